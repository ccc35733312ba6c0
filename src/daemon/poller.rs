//! Waiting for packets, with pauses in which they wake nobody.
//!
//! The packet sockets are in an epoll of their own, so one call says which of them have something,
//! however many there are. That one is in a second epoll, the gate, which the runtime waits for:
//! while the gate is shut, packets gather in the sockets and the loop sleeps on. Being woken for
//! each packet is what costs a backup most of its time.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::task::{Context, Poll};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::socket::Readiness;

/// The packet sockets.
#[derive(Debug)]
pub(crate) struct Poller {
    packets: Epoll,
    gate: Epoll,
    readiness: Readiness,
    is_shut: bool,
    /// Room for an event of each socket.
    events: Vec<EpollEvent>,
}

impl Poller {
    /// Without sockets; within a tokio runtime.
    ///
    /// # Errors
    /// The kernel's error.
    pub(crate) fn new() -> io::Result<Self> {
        let packets = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let gate = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        gate.add(&packets.0, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        let readiness = Readiness::of(&gate.0)?;
        let events = vec![EpollEvent::empty()];
        Ok(Self { packets, gate, readiness, is_shut: false, events })
    }

    /// Waits for this socket too.
    ///
    /// # Errors
    /// The kernel's error.
    pub(crate) fn add(&mut self, socket: &impl AsFd) -> io::Result<()> {
        let number = u64::try_from(socket.as_fd().as_raw_fd()).unwrap_or_default();
        self.packets.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, number))?;
        self.events.push(EpollEvent::empty());
        Ok(())
    }

    /// Waits for this socket no more.
    pub(crate) fn remove(&mut self, socket: &impl AsFd) {
        if self.packets.delete(socket).is_ok() {
            self.events.pop();
        }
    }

    /// The sockets that have something to read now, by their descriptors. This is the kernel's
    /// word, whatever the runtime knows (invariant 1).
    ///
    /// # Errors
    /// The kernel's error.
    pub(crate) fn ready(&mut self) -> io::Result<Vec<RawFd>> {
        loop {
            match self.packets.wait(&mut self.events, EpollTimeout::ZERO) {
                Ok(0) => {
                    self.readiness.clear();
                    return Ok(Vec::new());
                }
                Ok(count) => {
                    let ready = self.events.iter().take(count);
                    let number = |event: &EpollEvent| RawFd::try_from(event.data()).ok();
                    return Ok(ready.filter_map(number).collect());
                }
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// From now on packets do not wake the loop.
    pub(crate) fn shut(&mut self) {
        if !self.is_shut {
            self.is_shut = self.set_gate(EpollFlags::empty());
        }
    }

    /// From now on packets wake the loop. Says if some have come meanwhile.
    pub(crate) fn open(&mut self) -> bool {
        if self.is_shut {
            self.is_shut = !self.set_gate(EpollFlags::EPOLLIN);
            return self.ready().is_ok_and(|ready| !ready.is_empty());
        }
        false
    }

    fn set_gate(&self, flags: EpollFlags) -> bool {
        let mut event = EpollEvent::new(flags, 0);
        self.gate.modify(&self.packets.0, &mut event).is_ok()
    }

    /// Ready when something may have arrived, unless the gate is shut.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_shut { Poll::Pending } else { self.readiness.poll(context) }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::os::unix::net::UnixDatagram;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Far longer than anything that is waited for may take.
    const BOUND: Duration = Duration::from_secs(15);

    fn in_a_runtime(test: impl AsyncFnOnce()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test());
    }

    async fn wakes(poller: &Poller, within: Duration) -> bool {
        timeout(within, poll_fn(|context| poller.poll(context))).await.is_ok()
    }

    fn read(socket: &UnixDatagram) {
        socket.recv(&mut [0; 8]).unwrap();
    }

    /// Rule: a packet wakes the loop, again and again; while the gate is shut it does not, and what
    /// has come meanwhile is known when it is opened. Afterwards packets wake as before.
    #[test]
    fn packets_wake_while_the_gate_is_open() {
        in_a_runtime(async || {
            let (ours, theirs) = UnixDatagram::pair().unwrap();
            let mut poller = Poller::new().unwrap();
            poller.add(&ours).unwrap();
            let short = Duration::from_millis(50);
            for _ in 0..3 {
                assert!(poller.ready().unwrap().is_empty());
                assert!(!wakes(&poller, short).await);
                theirs.send(&[1]).unwrap();
                assert!(wakes(&poller, BOUND).await);
                assert_eq!(poller.ready().unwrap(), [ours.as_raw_fd()]);
                read(&ours);
                poller.shut();
                theirs.send(&[1]).unwrap();
                assert!(!wakes(&poller, short).await, "woken through a shut gate");
                assert!(poller.open(), "what came meanwhile is not known");
                read(&ours);
                assert!(!poller.open());
            }
        });
    }

    /// Rule: what is ready is known without the runtime, also while the gate is shut, and a socket
    /// that was taken out is not.
    #[test]
    fn the_kernel_says_what_is_ready() {
        in_a_runtime(async || {
            let pairs = [UnixDatagram::pair().unwrap(), UnixDatagram::pair().unwrap()];
            let mut poller = Poller::new().unwrap();
            for (ours, theirs) in &pairs {
                poller.add(ours).unwrap();
                theirs.send(&[1]).unwrap();
            }
            poller.shut();
            assert_eq!(poller.ready().unwrap().len(), 2);
            poller.remove(&pairs[0].0);
            assert_eq!(poller.ready().unwrap(), [pairs[1].0.as_raw_fd()]);
        });
    }
}
