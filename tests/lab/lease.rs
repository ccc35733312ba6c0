//! A reference for leases: the time that a lease of one second lasts on this machine now. The
//! kernel ends a lease up to a second late, and later if it has much else to do.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;

use super::Host;
use super::segment::is_at;

/// An address that nobody else has.
const ADDRESS: [u8; 4] = [10, 99, 99, 99];

/// The pause between two looks.
const POLL: Duration = Duration::from_millis(20);

/// The start and the end of an address with a lease of one second.
type Lease = (Instant, Instant);

/// Lets the kernel end one lease of a second after another, on a host whose own addresses are not
/// judged.
pub(crate) struct Leases {
    seen: Arc<Mutex<Vec<Lease>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Leases {
    /// Starts with the first lease.
    pub(crate) fn watch(host: &Host) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        // A thread stays in the namespace that it was started in, and so do its programs.
        let thread = host.inside(|| {
            let (seen, over) = (Arc::clone(&seen), Arc::clone(&over));
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    lease(&seen, &over);
                }
            })
        });
        Self { seen, over, thread: Some(thread) }
    }

    /// The longest of the leases that ended after `from`, at least a second.
    pub(crate) fn longest(&self, from: Instant) -> Duration {
        let seen = self.seen.lock().expect("the leases");
        let later = seen.iter().filter(|(_, end)| *end > from);
        let longest = later.map(|(start, end)| *end - *start).max().unwrap_or_default();
        longest.max(Duration::from_secs(1))
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Adds an address for a second, and notes at each look that it was still there.
fn lease(seen: &Mutex<Vec<Lease>>, over: &AtomicBool) {
    let [a, b, c, d] = ADDRESS;
    let address = format!("{a}.{b}.{c}.{d}/32");
    let mut command = Command::new("ip");
    command.args(["address", "replace", &address, "dev", "lo"]);
    command.args(["valid_lft", "1", "preferred_lft", "1"]);
    let start = Instant::now();
    let status = command.status().expect("ip runs");
    assert!(status.success(), "an address with a lease cannot be added: {status}");
    seen.lock().expect("the leases").push((start, start));
    while !over.load(Ordering::Relaxed) && is_there() {
        sleep(POLL);
        if let Some((_, end)) = seen.lock().expect("the leases").last_mut() {
            *end = Instant::now();
        }
    }
}

fn is_there() -> bool {
    let mut interfaces = getifaddrs().expect("the list of addresses");
    interfaces.any(|interface| is_at(&interface, ADDRESS.into()))
}
