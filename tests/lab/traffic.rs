//! A client that asks the virtual address who is there, and hosts that answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::Host;
use super::stalls::running_time;
use super::stamped::{self, Received};

/// Where the hosts answer.
pub(super) const PORT: u16 = 4711;

/// How often the client asks.
const EVERY: Duration = Duration::from_millis(1);

/// How long a blocked thread may take to notice that it is over.
const PATIENCE: Duration = Duration::from_millis(100);

/// An answer that the client got.
#[derive(Clone, Copy)]
struct Answer {
    at: Instant,
    host: u8,
}

/// Hosts that answer for the virtual address while they have it: with the question and their
/// number.
pub(crate) struct Responders {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Responders {
    /// Starts one on each of `hosts`.
    pub(crate) fn start(hosts: &[&Host], vip: impl Into<IpAddr>) -> Self {
        let vip = vip.into();
        let over = Arc::new(AtomicBool::new(false));
        let threads = hosts.iter().map(|host| responder(host, vip, &over)).collect();
        Self { over, threads }
    }
}

impl Drop for Responders {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Asks `vip` every millisecond and remembers who answered when.
pub(crate) struct Client {
    answers: Arc<Mutex<Vec<Answer>>>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    _responders: Responders,
}

impl Client {
    /// Starts asking from `client`; each of `hosts` answers with its number while it has `vip`.
    pub(crate) fn start(client: &Host, hosts: &[&Host], vip: impl Into<IpAddr>) -> Self {
        let vip = vip.into();
        let any: IpAddr = match vip {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let over = Arc::new(AtomicBool::new(false));
        let answers = Arc::new(Mutex::new(Vec::new()));
        let mut threads = Vec::new();
        let socket = client.inside(|| UdpSocket::bind((any, 0)));
        let socket = Arc::new(socket.expect("the client's socket"));
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stamped::stamp(&socket);
        threads.push(thread::spawn({
            let (socket, over) = (Arc::clone(&socket), Arc::clone(&over));
            move || ask(&socket, vip, &over)
        }));
        threads.push(thread::spawn({
            let (over, answers) = (Arc::clone(&over), Arc::clone(&answers));
            move || listen(&socket, vip, &over, &answers)
        }));
        Self { answers, over, threads, _responders: Responders::start(hosts, vip) }
    }

    /// Who answered last, if anyone did within the last `recently`.
    pub(crate) fn answered_by(&self, recently: Duration) -> Option<u8> {
        let answers = self.answers.lock().expect("the answers");
        answers.last().filter(|answer| answer.at.elapsed() < recently).map(|answer| answer.host)
    }

    /// The longest time without an answer that ended after `from`, or lasts until now. The time in
    /// which the machine did not run somebody who was ready is not counted.
    pub(crate) fn longest_gap(&self, from: Instant) -> Duration {
        let answers = self.answers.lock().expect("the answers");
        let times = || answers.iter().map(|answer| answer.at);
        let ends = times().skip(1).chain([Instant::now()]);
        let mut longest = None;
        for (start, end) in times().zip(ends).filter(|(_, end)| *end >= from) {
            // Most are far too short to be asked about.
            if longest.is_none_or(|longest| end - start > longest) {
                longest = longest.max(Some(running_time(start, end)));
            }
        }
        longest.unwrap_or(Duration::MAX)
    }

    /// Which hosts have answered at or after `from`, in the order of their turns.
    pub(crate) fn turns(&self, from: Instant) -> Vec<u8> {
        let answers = self.answers.lock().expect("the answers");
        let mut hosts: Vec<u8> =
            answers.iter().filter(|answer| answer.at >= from).map(|answer| answer.host).collect();
        hosts.dedup();
        hosts
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Answers on `host` from the virtual address itself, whether the host has it yet or not: without
/// it no question arrives.
fn responder(host: &Host, vip: IpAddr, over: &Arc<AtomicBool>) -> JoinHandle<()> {
    let number = host.number();
    let over = Arc::clone(over);
    let domain = domain(vip);
    let socket = host.inside(|| Socket::new(domain, Type::DGRAM, None)).expect("a socket");
    let unbound = match vip {
        IpAddr::V4(_) => socket.set_freebind_v4(true),
        IpAddr::V6(_) => socket.set_freebind_v6(true),
    };
    unbound.expect("binding to an absent address");
    socket.bind(&SocketAddr::new(vip, PORT).into()).expect("the responder's port");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let socket = UdpSocket::from(socket);
    thread::spawn(move || {
        let mut question = [0; 16];
        while !over.load(Ordering::Relaxed) {
            if let Ok((length, from)) = socket.recv_from(&mut question) {
                // An answer that cannot be sent is a question without an answer.
                let _ = socket.send_to(&[&question[..length], &[number]].concat(), from);
            }
        }
    })
}

/// The kind of socket that reaches an address.
pub(super) fn domain(address: IpAddr) -> Domain {
    match address {
        IpAddr::V4(_) => Domain::IPV4,
        IpAddr::V6(_) => Domain::IPV6,
    }
}

fn ask(socket: &UdpSocket, vip: IpAddr, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        // While nobody has the address there is nobody to send to.
        let _ = socket.send_to(b"who?", (vip, PORT));
        thread::sleep(EVERY);
    }
}

fn listen(socket: &UdpSocket, vip: IpAddr, over: &AtomicBool, answers: &Mutex<Vec<Answer>>) {
    let mut answer = [0; 16];
    while !over.load(Ordering::Relaxed) {
        // Errors: nothing has come, or "host unreachable", said of an earlier question.
        if let Ok(Received { length, from, at, .. }) = stamped::receive(socket, &mut answer)
            && from == Some(vip)
            && let Some(&host) = answer[..length].last()
        {
            let answer = Answer { at, host };
            answers.lock().expect("the answers").push(answer);
        }
    }
}
