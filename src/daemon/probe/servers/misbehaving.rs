//! What every kind makes of servers that are absent, silent, rude or something else.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::scratch::Scratch;
use super::server::{free, host_port};
use super::*;
use crate::model::{
    DnsProbe, HostPort, HttpMethod, HttpProbe, MysqlProbe, MysqlRole, PostgresProbe, PostgresRole,
    RecordType, RedisProbe, RedisRole, StatusRange,
};

/// What no text may show.
pub(super) const PASSWORD: &str = "hunter2hunter2";

/// A probe of each kind that speaks over TCP, with a password where it takes one.
pub(super) fn probes(server: SocketAddr, password: &Path) -> Vec<Probe> {
    let password_file = Some(password.to_path_buf());
    let mut probes = vec![
        http(format!("http://{server}/health")),
        http(format!("https://{server}/health")),
        redis(host_port(server), password_file.clone()),
    ];
    if cfg!(feature = "postgres") {
        probes.push(postgres(server, "disable", password_file.clone()));
        probes.push(postgres(server, "require", password_file.clone()));
    }
    if cfg!(feature = "mysql") {
        let url = format!("mysql://vipd@{server}/");
        let role = MysqlRole::Any;
        probes.push(Probe::Mysql(MysqlProbe { url, password_file, role, max_lag: None }));
    }
    probes
}

pub(super) fn http(url: String) -> Probe {
    Probe::Http(HttpProbe {
        url,
        method: HttpMethod::Get,
        status: vec![StatusRange::SUCCESS],
        body: Some("ok".to_owned()),
        host: None,
        ca: None,
        verify: false,
        follow_redirects: true,
    })
}

pub(super) fn redis(address: HostPort, password_file: Option<PathBuf>) -> Probe {
    Probe::Redis(RedisProbe { address, password_file, role: RedisRole::Any })
}

fn postgres(server: SocketAddr, sslmode: &str, password_file: Option<PathBuf>) -> Probe {
    let (host, port) = (server.ip(), server.port());
    let dsn = format!("host={host} port={port} user=vipd dbname=postgres sslmode={sslmode}");
    let role = PostgresRole::Any;
    Probe::Postgres(PostgresProbe { dsn, password_file, role, max_lag: None })
}

/// Rule: where nobody listens, that is said, with the address.
#[tokio::test]
async fn nobody_listens() {
    let scratch = Scratch::new();
    let server = free();
    for probe in probes(server, &scratch.file("password", PASSWORD)) {
        fails_with(&probe, &format!("connection refused by {server}")).await;
    }
}

/// Rule: a look at a server that says nothing waits until its caller has had enough, and closes its
/// connection then.
///
/// Bug guarded: `mysql_async` goes on with a connection that is dropped, in a task of its own.
#[tokio::test]
async fn a_silent_server_is_left_at_the_timeout() {
    let scratch = Scratch::new();
    let password = scratch.file("password", PASSWORD);
    let listener = TcpListener::bind((free().ip(), 0)).await.unwrap();
    for probe in probes(listener.local_addr().unwrap(), &password) {
        let early = timeout(Duration::from_millis(300), look(&probe)).await;
        assert!(early.is_err(), "{early:?}: {probe:?}");
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut said = Vec::new();
        let rest = stream.read_to_end(&mut said);
        let end = timeout(BOUND, rest).await.expect("the connection is closed");
        assert!(end.is_ok(), "{end:?}: {probe:?}");
    }
}

/// Serves each client with the same, for as long as the test runs.
pub(super) async fn server<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((free().ip(), 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// Rule: what answers with anything else than it should fails at once, in words, whatever it says.
#[tokio::test]
async fn garbage_fails_at_once() {
    const GARBAGE: [&[u8]; 6] = [
        b"",
        b"\0",
        b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"HTTP/1.1 600\r\n\r\n",
        b"$999999999999\r\n*1\r\nS\x16\x03\x01\x00\x05",
    ];
    let scratch = Scratch::new();
    let password = scratch.file("password", PASSWORD);
    for garbage in GARBAGE {
        let address = server(move |mut stream| async move {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(garbage).await;
        });
        for probe in probes(address.await, &password) {
            let kind = probe.kind();
            // A MySQL server speaks first, and this one waits to be spoken to.
            if kind != "mysql" {
                fails(&probe).await;
            }
        }
        let address = server(move |mut stream| async move {
            let _ = stream.write_all(garbage).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        for probe in probes(address.await, &password) {
            fails(&probe).await;
        }
    }
}

/// Rule: a server that sends back what it gets, or quotes it, is not a way for a password into the
/// log.
#[tokio::test]
async fn an_echo_does_not_show_the_password() {
    let scratch = Scratch::new();
    let password = scratch.file("password", PASSWORD);
    for prefix in ["", "-ERR unknown command: ", "E\0\0\0\x20"] {
        let address = server(move |mut stream| async move {
            let mut bytes = [0; 1024];
            while let Ok(length @ 1..) = stream.read(&mut bytes).await {
                let said = String::from_utf8_lossy(&bytes[..length]).replace("\r\n", " ");
                let _ = stream.write_all(format!("{prefix}{said}\r\n").as_bytes()).await;
            }
        });
        let address = address.await;
        for probe in probes(address, &password).iter().filter(|probe| probe.kind() != "mysql") {
            // Some wait for what never comes.
            let result = timeout(Duration::from_millis(500), look(probe)).await;
            let shown = format!("{result:?}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}

/// Rule: a body without an end is read to a bound, and one that never comes as long as the caller
/// waits.
#[tokio::test]
async fn a_body_without_an_end_is_bounded() {
    let address = server(|mut stream| async move {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n";
        let _ = stream.write_all(head.as_bytes()).await;
        while stream.write_all(&[b'x'; 8192]).await.is_ok() {}
    });
    fails_with(&http(format!("http://{}/health", address.await)), "HTTP 200 without 'ok'").await;
}

/// Rule: a text is found wherever the server's packets cut it.
#[tokio::test]
async fn a_text_is_found_across_packets() {
    let address = server(|mut stream| async move {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        for part in [head, "2\r\n.o\r\n", "2\r\nk.\r\n", "0\r\n\r\n"] {
            let _ = stream.write_all(part.as_bytes()).await;
            let _ = stream.flush().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    passes(&http(format!("http://{}/health", address.await))).await;
}

pub(super) fn dns(server: SocketAddr) -> Probe {
    Probe::Dns(DnsProbe {
        server,
        name: "www.example.test".to_owned(),
        record_type: RecordType::A,
        expect: None,
    })
}

/// Rule: so it is over UDP: refused, silent, and no DNS.
#[tokio::test]
async fn name_servers_misbehave() {
    let server = free();
    fails_with(&dns(server), &format!("connection refused by {server}")).await;
    let socket = UdpSocket::bind(server).await.unwrap();
    let early = timeout(Duration::from_millis(300), look(&dns(server))).await;
    assert!(early.is_err(), "{early:?}");
    for garbage in [&b""[..], b"\0", b"HTTP/1.1 400 Bad Request\r\n\r\n", &[0xff; 600]] {
        let answer = async {
            // The question of the silent look may still be there.
            loop {
                let (_, from) = socket.recv_from(&mut [0; 512]).await.unwrap();
                let _ = socket.send_to(garbage, from).await;
            }
        };
        let probe = dns(server);
        tokio::select! {
            () = fails_with(&probe, "no DNS message") => {}
            () = answer => {}
        }
    }
}
