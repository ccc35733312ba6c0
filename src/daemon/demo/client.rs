//! The client: a datagram each millisecond to the address that moves.

use std::io;
use std::net::UdpSocket;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::cast::{Node, SERVICE};
use super::record::{Answer, Record};
use super::worker::{Worker, datagram_socket, goes_on};

const PERIOD: Duration = Duration::from_millis(1);
/// As little as the kernel allows: what ARP keeps until somebody has the address would be
/// answered after the first election, as if it had been sent then.
const SEND_BUFFER: usize = 1;

/// Sends and listens until it is dropped.
#[derive(Debug)]
pub(super) struct Client {
    shared: Arc<Shared>,
    _worker: Worker,
}

impl Client {
    /// Starts it in this thread's network namespace.
    pub(super) fn start() -> io::Result<Self> {
        let socket = datagram_socket()?;
        socket.set_nonblocking(true)?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        socket.connect(&SERVICE.into())?;
        let socket = socket.into();
        let shared = Arc::new(Shared { started: Instant::now(), record: Mutex::default() });
        let sender = Sender { socket, shared: shared.clone() };
        let worker = Worker::start("client", move |running| sender.run(running))?;
        Ok(Self { shared, _worker: worker })
    }

    /// The time since its start.
    pub(super) fn now(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// That instant as a time since its start.
    pub(super) fn at(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.shared.started)
    }

    /// What it has seen so far. It waits while the guard is held.
    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.shared.record()
    }
}

#[derive(Debug)]
struct Shared {
    started: Instant,
    record: Mutex<Record>,
}

impl Shared {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Sender {
    socket: UdpSocket,
    shared: Arc<Shared>,
}

impl Sender {
    fn run(&self, running: &AtomicBool) {
        let mut next = Instant::now();
        while goes_on(running) {
            self.collect();
            self.send();
            // After a pause of the machine: one datagram, not all that were missed.
            next = Instant::now().max(next + PERIOD);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    fn send(&self) {
        let number = self.shared.record().send(self.shared.started.elapsed());
        // While nobody holds the address, ARP fails and the kernel says so here: that is a
        // datagram without an answer like any other.
        let _ = self.socket.send(&number.to_be_bytes());
    }

    fn collect(&self) {
        let mut bytes = [0; 64];
        loop {
            match self.socket.recv(&mut bytes) {
                Ok(length) => self.answer(bytes.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // An ICMP error about an earlier datagram.
                Err(_) => {}
            }
        }
    }

    fn answer(&self, bytes: &[u8]) {
        let at = self.shared.started.elapsed();
        let answer = bytes.split_first_chunk().and_then(|(number, name)| {
            Some((u64::from_be_bytes(*number), Answer { by: Node::by_name(name)?, at }))
        });
        if let Some((number, answer)) = answer {
            self.shared.record().answer(number, answer);
        }
    }
}
