//! `vipctl serve` on a host, and whoever asks it over HTTP.

use std::fmt;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use super::{BOUND, Host, Process, program, within};

/// Where it listens, on all addresses of the host.
const PORT: u16 = 10112;

/// The name by which it is asked, besides its address.
pub(crate) const HOST_NAME: &str = "status.example";

/// `vipctl serve` on a host.
pub(crate) struct Web {
    process: Process,
    address: SocketAddr,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// As they came, a line each.
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Web {
    /// Starts one for the agent of this host, which need not run, and waits until it listens.
    pub(crate) fn start(host: &Host) -> Self {
        let mut command = Command::new(program("vipctl"));
        command.args(["serve", "--listen", &format!("0.0.0.0:{PORT}")]);
        command.args(["--host-name", HOST_NAME]);
        command.arg("--runtime-directory").arg(host.runtime_directory());
        let process = host.start(&mut command, "serve");
        let web = Self { process, address: SocketAddr::from((host.address(), PORT)) };
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        within(BOUND, "vipctl serve listens", || host.inside(|| TcpStream::connect(local)).is_ok());
        web
    }

    /// The address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills it.
    pub(crate) fn kill(self) {
        self.process.kill();
    }

    /// Asks for a path from another host.
    pub(crate) fn get(&self, from: &Host, path: &str) -> Answer {
        self.ask(from, "GET", path, "")
    }

    /// Asks with any method and further headers, each with its end of line.
    pub(crate) fn ask(&self, from: &Host, method: &str, path: &str, headers: &str) -> Answer {
        ask(from, self.address, method, path, headers)
    }

    /// Asks for a path under another name than its address.
    pub(crate) fn ask_under(&self, from: &Host, name: &str, path: &str, headers: &str) -> Answer {
        let mut stream = connect(from, self.address);
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {name}\r\n{headers}\r\n")
            .expect("a request is sent");
        answer(stream)
    }

    /// Listens to `/events`.
    pub(crate) fn listen(&self, from: &Host) -> Listener {
        let mut stream = connect(from, self.address);
        write!(stream, "GET /events HTTP/1.1\r\nHost: {}\r\n\r\n", self.address)
            .expect("a request is sent");
        Listener(BufReader::new(stream))
    }
}

/// A connection from a host.
pub(crate) fn connect(from: &Host, to: SocketAddr) -> TcpStream {
    let stream = from.inside(|| TcpStream::connect(to)).expect("a connection");
    stream.set_read_timeout(Some(BOUND)).expect("a timeout");
    stream
}

/// One request over a connection of its own; in HTTP/1.0, whose answers end with the connection.
pub(crate) fn ask(from: &Host, to: SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
    let mut stream = connect(from, to);
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: {to}\r\n{headers}\r\n")
        .expect("a request is sent");
    answer(stream)
}

fn answer(mut stream: TcpStream) -> Answer {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let (first, headers) = head.split_once("\r\n").expect("a status line and headers");
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("no status in {first}")),
        headers: headers.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n\n{}", self.status, self.headers, self.body)
    }
}

/// Hears server-sent events.
pub(crate) struct Listener(BufReader<TcpStream>);

impl Listener {
    /// The name and the data of the next one.
    pub(crate) fn next(&mut self) -> (String, serde_json::Value) {
        let mut name = String::new();
        loop {
            let mut line = String::new();
            let length = self.0.read_line(&mut line).expect("a line in time");
            assert!(length > 0, "the connection has ended");
            if let Some(value) = line.strip_prefix("event: ") {
                value.trim().clone_into(&mut name);
            } else if let Some(value) = line.strip_prefix("data: ") {
                return (name, serde_json::from_str(value).expect("JSON"));
            }
        }
    }

    /// Waits for an event of which this is true.
    pub(crate) fn hears(&mut self, what: &str, fact: impl Fn(&str, &serde_json::Value) -> bool) {
        within(BOUND, what, || {
            let (name, data) = self.next();
            fact(&name, &data)
        });
    }
}

/// Whether the other end ends a connection in this time.
pub(crate) fn ends_within(stream: &mut TcpStream, bound: Duration) -> bool {
    stream.set_read_timeout(Some(bound)).expect("a timeout");
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}
