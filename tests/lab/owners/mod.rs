//! The owner of each virtual address at every moment of a case, seen from outside.
//!
//! A host *owns* an address while its kernel would answer for it on the segment: the address is on
//! an interface that is up and has carrier, it is not tentative, and the switch lets the host's
//! frames through. The daemon is not asked: the kernel of a dead or frozen one goes on answering.
//!
//! Two measurements, both passive, so that no case counts a frame or a message more than without
//! them:
//!
//! - The kernel of every host tells of each change of an address and of a link (netlink, one
//!   socket for each host, opened before the host has an interface, so that nothing is missed).
//!   One thread of the test program reads them all before every agent's thread gets the processor,
//!   and notes the time.
//! - A tap at each switch hears who answers: ARP and neighbour advertisements for the address, by
//!   the port that they come in at (not by the sender's Ethernet address, which may be virtual, or
//!   a lie). Who answers has to be an owner.
//!
//! Questions of our own (ARP, echo) would be the other way. They are seen by the cases that judge
//! every frame, they say nothing between two questions, and a host that is asked has to learn our
//! address.
//!
//! An address is a virtual one from the moment that a host has it with a lifetime: only vipd gives
//! addresses one here. At the end of the case `judge.rs` looks for times with two owners, for
//! times with none after the first one, and for answers of a host that does not own the address.
//! It knows what the case did (each kill, freeze, cable and partition goes through the lab) and
//! what the agents said of themselves, and the bounds that the documentation has for each. What is
//! left fails the case, unless the case has said before why it has to be so ([`Owners::overlap`],
//! [`Owners::hole`], [`Owners::answers`]).
//!
//! Not seen: `vipd demo`, which makes namespaces of its own. Not judged: cases with routers of
//! others, which make no such promises.

mod book;
mod intervals;
mod judge;
mod kernel;
mod life;
mod story;
mod wire;

use std::mem;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use book::{Book, Expected, Trouble, TroubleKind};
pub(super) use life::{Life, Said};

use super::Host;

/// Programs that make routers of others.
const OTHERS: [&str; 3] = ["keepalived", "zebra", "vrrpd"];

/// Commands that change what an agent has on the system, behind its back.
const INTERFERES: [&str; 6] = ["ip ", "sysctl", "nft", "iptables", "bridge", "tc "];

/// The watch over one case. Clones are of the same case.
#[derive(Clone)]
pub(crate) struct Owners(Option<Arc<Mutex<Book>>>);

/// The subject of a declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Two hosts own the address.
    Overlap,
    /// No host does.
    Hole,
    /// A host answers that does not own it.
    Answer,
}

impl Owners {
    /// Nothing is watched: benches, whose times it would change.
    pub(super) fn off() -> Self {
        Self(None)
    }

    /// Watches a case from now on.
    pub(super) fn watch() -> Self {
        Self(Some(Arc::new(Mutex::new(Book::default()))))
    }

    /// One for a part of the same case.
    pub(super) fn another(&self) -> Self {
        self.0.as_ref().map_or_else(Self::off, |_| Self::watch())
    }

    /// From now on two hosts may own an address for so long at a stretch, because of this.
    pub(crate) fn overlap(&self, at_most: Duration, why: &'static str) {
        self.expect(Kind::Overlap, at_most, why);
    }

    /// From now on no host may own an address for so long at a stretch, because of this.
    pub(crate) fn hole(&self, at_most: Duration, why: &'static str) {
        self.expect(Kind::Hole, at_most, why);
    }

    /// From now on a host may answer for an address that it does not own, because of this.
    pub(crate) fn answers(&self, why: &'static str) {
        self.expect(Kind::Answer, Duration::MAX, why);
    }

    fn expect(&self, kind: Kind, at_most: Duration, why: &'static str) {
        let now = Instant::now();
        self.write(|book| {
            book.expected.push(Expected { kind, from: now, until: None, at_most, why });
        });
    }

    /// The agents run on whole machines, where the lab does not see them: no host may be without
    /// the address for longer than a takeover at an interval of a second takes, once two have had
    /// it.
    pub(crate) fn machines(&self) {
        self.write(|book| book.machines = true);
    }

    /// The longest time since `from` for which no host owned an address, after the first one had
    /// it.
    pub(crate) fn longest_hole(&self, address: impl Into<IpAddr>, from: Instant) -> Duration {
        kernel::catch_up();
        let address = address.into();
        self.book().map_or(Duration::ZERO, |book| {
            judge::longest_hole(&book, address, from, Instant::now())
        })
    }

    /// Ends all declarations.
    pub(crate) fn as_usual(&self) {
        let now = Instant::now();
        self.write(|book| {
            for one in book.expected.iter_mut().filter(|one| one.until.is_none()) {
                one.until = Some(now);
            }
        });
    }

    /// Judges what was seen until now.
    ///
    /// # Errors
    /// Every overlap, hole and answer that nothing explains, with its story.
    pub(super) fn judge(&self) -> Result<(), String> {
        // Messages that the thread has not read yet.
        kernel::catch_up();
        // The thread that reads for all cases must not wait for the judgement of one.
        let taken = self.book().map(|mut book| mem::take(&mut *book));
        taken.map_or(Ok(()), |book| judge::judge(&book, Instant::now()))
    }

    fn book(&self) -> Option<MutexGuard<'_, Book>> {
        self.0.as_ref().map(|book| book.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, write: impl FnOnce(&mut Book)) {
        if let Some(mut book) = self.book() {
            write(&mut book);
        }
    }

    /// A new host, still without interfaces. It is watched until what is returned is dropped.
    pub(super) fn host(&self, name: &str, inside: impl FnOnce(&mut dyn FnMut())) -> Watched {
        let Some(book) = &self.0 else { return Watched::default() };
        let host = self.book().map_or(0, |mut book| book.add_host(name));
        let mut source = None;
        inside(&mut || source = Some(kernel::watch(book, host)));
        Watched { source, host }
    }

    /// A new switch, whose ports are told by [`Owners::port`].
    pub(super) fn switch(&self, name: &str, inside: impl FnOnce(&mut dyn FnMut())) -> Watched {
        let Some(book) = &self.0 else { return Watched::default() };
        let mut source = None;
        inside(&mut || source = Some(wire::watch(book, name)));
        Watched { source, host: 0 }
    }

    /// An interface of a host has been joined to this port of a switch.
    pub(super) fn port(&self, switch: &str, port: u32, host: &Host, interface: &str) {
        let host = host.watched();
        self.write(|book| book.add_port(switch, port, host, interface));
    }

    /// The switch passes nothing from and to an interface any more, or does again.
    pub(super) fn cut(&self, switch: &str, host: usize, is_cut: bool) {
        self.trouble(switch, host, TroubleKind::Cut, is_cut);
    }

    /// The switch passes no multicast to an interface any more, or does again.
    pub(super) fn deafen(&self, switch: &str, host: usize, is_deaf: bool) {
        self.trouble(switch, host, TroubleKind::Deaf, is_deaf);
    }

    fn trouble(&self, switch: &str, host: usize, kind: TroubleKind, begins: bool) {
        let at = Instant::now();
        self.write(|book| {
            let Some(interface) = book.interface_at(switch, host) else { return };
            let what = Trouble { host, interface, kind, from: at, until: None };
            book.troubled(what, begins, at);
        });
    }

    /// Something is done at a host, or at a switch: `work`.
    pub(super) fn deed<T>(&self, host: Option<usize>, what: &str, work: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let interferes = INTERFERES.iter().any(|program| what.starts_with(program));
        let mut number = None;
        if !what.contains(" show") {
            self.write(|book| number = Some(book.does(begin, host, what, interferes)));
        }
        let outcome = work();
        let end = Instant::now();
        self.write(|book| {
            if let Some(deed) = number.and_then(|number| book.deeds.get_mut(number)) {
                deed.until = end;
            }
        });
        outcome
    }

    /// A program was started at a host.
    pub(super) fn started(&self, program: &str) {
        if OTHERS.contains(&program) {
            self.write(|book| book.others = true);
        }
    }

    /// An agent starts at a host with this configuration file.
    pub(super) fn agent(&self, host: &Host, file: &Path, said: Said) -> Agency {
        let life = Life::new(host.watched(), file, said, Instant::now());
        let number = self.book().map(|mut book| book.add_life(life));
        Agency { owners: self.clone(), number }
    }
}

/// A source of messages, closed when dropped.
#[derive(Default)]
pub(super) struct Watched {
    source: Option<kernel::Source>,
    host: usize,
}

impl Watched {
    /// The number of the host in the book.
    pub(super) const fn host(&self) -> usize {
        self.host
    }
}

/// Tells of an agent's life, which ends when this is dropped.
pub(super) struct Agency {
    owners: Owners,
    number: Option<usize>,
}

impl Agency {
    /// It is sent this signal.
    pub(super) fn signalled(&self, signal: Signal) {
        let now = Instant::now();
        self.write(|life| match signal {
            Signal::SIGSTOP => life.freezes(now),
            Signal::SIGCONT => life.thaws(now),
            Signal::SIGTERM | Signal::SIGINT => life.stops(now),
            Signal::SIGHUP => life.reloads(now),
            _ => {}
        });
    }

    /// It has ended, or is killed now.
    pub(super) fn ends(&self) {
        let now = Instant::now();
        self.write(|life| life.ends(now));
    }

    fn write(&self, write: impl FnOnce(&mut Life)) {
        let Some(number) = self.number else { return };
        self.owners.write(|book| {
            if let Some(life) = book.lives.get_mut(number) {
                write(life);
            }
        });
    }
}

impl Drop for Agency {
    fn drop(&mut self) {
        self.ends();
    }
}
