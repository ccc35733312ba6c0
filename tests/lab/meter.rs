//! A client that measures: a numbered datagram each millisecond to the virtual address.

use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Socket, Type};

use super::Host;
use super::stalls::running_time;
use super::traffic::{PORT, domain};

/// How often it asks.
const EVERY: Duration = Duration::from_millis(1);

/// What is answered later than this counts as lost. A shorter delay is a busy machine's: the
/// datagram arrived.
const PATIENCE: Duration = Duration::from_millis(100);

/// As little as the kernel allows: what the kernel keeps until somebody has the address would look as if
/// it had been answered.
const SEND_BUFFER: usize = 1;

/// A question and who answered it in time.
struct Datagram {
    at: Instant,
    answer: Option<u8>,
}

/// Asks until it is dropped. Somebody has to answer: a [`Client`](super::Client) or
/// [`Responders`](super::Responders) have to be there, too.
pub(crate) struct Meter {
    sent: Arc<Mutex<Vec<Datagram>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Meter {
    /// Starts asking `vip` from `client`.
    pub(crate) fn start(client: &Host, vip: impl Into<IpAddr>) -> Self {
        let vip = vip.into();
        let socket = client.inside(|| Socket::new(domain(vip), Type::DGRAM, None));
        let socket = socket.expect("the client's socket");
        socket.set_send_buffer_size(SEND_BUFFER).expect("a small buffer");
        socket.set_nonblocking(true).expect("a socket that doesn't wait");
        let socket = UdpSocket::from(socket);
        let sent = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (sent, over) = (Arc::clone(&sent), Arc::clone(&over));
            move || ask(&socket, vip, &over, &sent)
        });
        Self { sent, over, thread: Some(thread) }
    }

    /// The longest outage that reaches beyond `from`: from the first datagram that was lost to the
    /// next one that was answered, or to the last one where none was yet. One lost datagram is one
    /// millisecond. The time before the very first answer is no outage, nor is that in which the
    /// machine did not run somebody who was ready.
    pub(crate) fn longest_gap(&self, from: Instant) -> Duration {
        let sent = self.sent.lock().expect("the datagrams");
        let Some(first) = sent.iter().position(|datagram| datagram.answer.is_some()) else {
            return sent.first().map_or(Duration::ZERO, |first| first.at.elapsed());
        };
        let mut longest = Duration::ZERO;
        let mut lost_since: Option<Instant> = None;
        for datagram in &sent[first..] {
            match (datagram.answer, lost_since) {
                (None, None) => lost_since = Some(datagram.at),
                (Some(_), Some(since)) => {
                    if datagram.at > from && datagram.at - since > longest {
                        longest = longest.max(running_time(since, datagram.at));
                    }
                    lost_since = None;
                }
                _ => {}
            }
        }
        // What was sent a moment ago is on its way.
        let unfinished = lost_since.map(|since| running_time(since, Instant::now()));
        let unfinished = unfinished.filter(|lost| *lost > PATIENCE);
        longest.max(unfinished.unwrap_or_default())
    }

    /// Whether everything that was sent in the last `span` was answered by this host, apart from
    /// what may be on its way and what a busy machine loses.
    pub(crate) fn steadily_served_by(&self, host: u8, span: Duration) -> bool {
        let now = Instant::now();
        let (Some(start), Some(end)) =
            (now.checked_sub(span + PATIENCE), now.checked_sub(PATIENCE))
        else {
            return false;
        };
        self.turns_between(start, end) == [host] && self.longest_gap(start) < PATIENCE
    }

    /// The hosts in the order in which they answered what was sent since `from`.
    pub(crate) fn turns(&self, from: Instant) -> Vec<u8> {
        self.turns_between(from, Instant::now())
    }

    fn turns_between(&self, from: Instant, until: Instant) -> Vec<u8> {
        let sent = self.sent.lock().expect("the datagrams");
        let place = |time| sent.partition_point(|datagram| datagram.at < time);
        let answers = sent[place(from)..place(until)].iter().filter_map(|asked| asked.answer);
        let mut hosts: Vec<u8> = answers.collect();
        hosts.dedup();
        hosts
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn ask(socket: &UdpSocket, vip: IpAddr, over: &AtomicBool, sent: &Mutex<Vec<Datagram>>) {
    let mut next = Instant::now();
    while !over.load(Ordering::Relaxed) {
        collect(socket, vip, sent);
        let number = {
            let mut sent = sent.lock().expect("the datagrams");
            sent.push(Datagram { at: Instant::now(), answer: None });
            sent.len() as u64 - 1
        };
        // While nobody has the address there is nobody to send to: a question without an answer.
        let _ = socket.send_to(&number.to_be_bytes(), (vip, PORT));
        // After a pause of the machine: one datagram, not all that were missed.
        next = Instant::now().max(next + EVERY);
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

fn collect(socket: &UdpSocket, vip: IpAddr, sent: &Mutex<Vec<Datagram>>) {
    let mut bytes = [0; 16];
    loop {
        match socket.recv_from(&mut bytes) {
            Ok((length, from)) if from.ip() == vip => note(&bytes[..length], sent),
            Err(why) if why.kind() == std::io::ErrorKind::WouldBlock => return,
            // Errors: "host unreachable", said of an earlier question.
            Ok(_) | Err(_) => {}
        }
    }
}

fn note(answer: &[u8], sent: &Mutex<Vec<Datagram>>) {
    let Some((number, &[host])) = answer.split_first_chunk() else { return };
    let mut sent = sent.lock().expect("the datagrams");
    let place = usize::try_from(u64::from_be_bytes(*number)).ok();
    let asked = place.and_then(|place| sent.get_mut(place));
    let in_time = |asked: &&mut Datagram| {
        asked.at.elapsed() <= PATIENCE || running_time(asked.at, Instant::now()) <= PATIENCE
    };
    if let Some(asked) = asked.filter(in_time) {
        asked.answer = Some(host);
    }
}
