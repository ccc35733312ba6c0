//! The routes and rules that an instance holds: put there after its addresses, looked after while it
//! holds them, and taken off before them.
//!
//! The kernel does not tell of every route that goes: those over a link that goes down, and those
//! whose source address is taken off, vanish without a word. So each is asked for again at
//! every renewal of the addresses' lease; what was there already stays as it is.

use super::event::{Action, SystemError};
use super::lease::{InstallFailure, Terms};
use crate::model::{InterfaceName, Routing};
use crate::time::{Mono, Span};

/// How often what is held is asked for again where the addresses have no lease.
const LOOK: Span = Span::from_secs(1);
/// When a failed action is tried again.
const RETRY: Span = Span::from_millis(100);
/// How many attempts are made before the instance gives up.
const ATTEMPTS: u32 = 3;
/// `ETIME` (`errno(3)`): an addition was carried out too late and so not at all.
const TOO_LATE: i32 = 62;

/// The routes and rules that an instance holds, or is to let go of.
#[derive(Debug, Default)]
pub(super) struct Routings {
    held: Vec<Held>,
    unremoved: Vec<Unremoved>,
    look_at: Option<Mono>,
}

#[derive(Debug)]
struct Held {
    routing: Routing,
    /// When to try again; `None` while it should be there.
    install_at: Option<Mono>,
    failures: u32,
}

#[derive(Debug)]
struct Unremoved {
    routing: Routing,
    /// `None`: it was asked for again, and no failure came back.
    retry_at: Option<Mono>,
    attempts: u32,
}

impl Routings {
    /// Holds these from now on, too.
    pub(super) fn claim(
        &mut self,
        now: Mono,
        terms: Terms,
        routing: impl Iterator<Item = Routing>,
        out: &mut Vec<Action>,
    ) {
        for routing in routing {
            self.unremoved.retain(|u| u.routing != routing);
            out.push(add(now, terms, &routing, false));
            self.held.push(Held { routing, install_at: None, failures: 0 });
        }
        if !self.held.is_empty() {
            self.look_at = self.look_at.or(next_look(now, terms));
        }
    }

    /// Holds just these from now on: what is not among them is taken off first, since a new one may be
    /// the same to the kernel but for its gateway.
    pub(super) fn change(
        &mut self,
        now: Mono,
        terms: Terms,
        wanted: impl Iterator<Item = Routing>,
        out: &mut Vec<Action>,
    ) {
        let wanted: Vec<Routing> = wanted.collect();
        let (kept, gone): (Vec<Held>, Vec<Held>) =
            std::mem::take(&mut self.held).into_iter().partition(|h| wanted.contains(&h.routing));
        out.extend(gone.into_iter().rev().map(|h| Action::RemoveRouting { routing: h.routing }));
        self.held = kept;
        let is_new = |routing: &Routing| !self.held.iter().any(|h| h.routing == *routing);
        let new: Vec<Routing> = wanted.into_iter().filter(is_new).collect();
        self.claim(now, terms, new.into_iter(), out);
        if self.held.is_empty() {
            self.look_at = None;
        }
    }

    /// Lets go of everything, the last first.
    pub(super) fn release(&mut self, out: &mut Vec<Action>) {
        self.look_at = None;
        let gone = self.held.drain(..).rev();
        out.extend(gone.map(|h| Action::RemoveRouting { routing: h.routing }));
    }

    /// Forgets what went with an interface that does not exist any more.
    pub(super) fn interface_vanished(&mut self, interface: &InterfaceName) {
        self.held.retain(|h| h.routing.dev() != Some(interface));
        self.unremoved.retain(|u| u.routing.dev() != Some(interface));
    }

    /// Something may have gone: it is looked after at once.
    pub(super) fn look(&mut self, now: Mono) {
        if !self.held.is_empty() {
            self.look_at = Some(now);
        }
    }

    /// Whether it is held.
    pub(super) fn holds(&self, routing: &Routing) -> bool {
        self.held.iter().any(|h| h.routing == *routing)
    }

    /// One could not be put there.
    pub(super) fn install_failed(
        &mut self,
        now: Mono,
        routing: &Routing,
        error: &SystemError,
    ) -> InstallFailure {
        let Some(held) = self.held.iter_mut().find(|h| h.routing == *routing) else {
            return InstallFailure::Nothing;
        };
        if error.errno == TOO_LATE {
            // The time that it was meant for has passed, and it is still meant.
            held.install_at = Some(now);
            return InstallFailure::Nothing;
        }
        held.failures += 1;
        if held.failures >= ATTEMPTS {
            return InstallFailure::Hopeless;
        }
        held.install_at = Some(now + RETRY);
        InstallFailure::Again
    }

    /// One could not be removed: it is tried again until it is gone or held again. Returns whether
    /// that is worth telling (again).
    pub(super) fn remove_failed(&mut self, now: Mono, routing: &Routing) -> bool {
        let retry_at = Some(now + RETRY.times(10));
        if let Some(known) = self.unremoved.iter_mut().find(|u| u.routing == *routing) {
            known.retry_at = retry_at;
            known.attempts = known.attempts.saturating_add(1);
            return known.attempts.is_power_of_two();
        }
        self.unremoved.push(Unremoved { routing: routing.clone(), retry_at, attempts: 1 });
        true
    }

    /// When [`Routings::fire`] is due.
    pub(super) fn deadline(&self) -> Option<(Mono, &'static str)> {
        let installs = self.held.iter().filter_map(|h| h.install_at.map(|at| (at, "install")));
        let removals = self.unremoved.iter().filter_map(|u| u.retry_at.map(|at| (at, "removal")));
        let look = self.look_at.map(|at| (at, "look after the routes"));
        installs.chain(removals).chain(look).min_by_key(|(at, _)| *at)
    }

    /// Does what is due.
    pub(super) fn fire(&mut self, now: Mono, terms: Terms, out: &mut Vec<Action>) {
        let due = |at: Option<Mono>| at.is_some_and(|at| at <= now);
        for unremoved in self.unremoved.iter_mut().filter(|u| due(u.retry_at)) {
            unremoved.retry_at = None;
            out.push(Action::RemoveRouting { routing: unremoved.routing.clone() });
        }
        let looks = due(self.look_at);
        for held in &mut self.held {
            if due(held.install_at) {
                held.install_at = None;
                out.push(add(now, terms, &held.routing, false));
            } else if looks && held.install_at.is_none() {
                held.failures = 0;
                out.push(add(now, terms, &held.routing, true));
            }
        }
        if looks {
            self.look_at = next_look(now, terms);
        }
    }

    /// What is held.
    pub(super) fn held(&self) -> impl Iterator<Item = &Routing> {
        self.held.iter().map(|held| &held.routing)
    }

    /// What may be on the system because of us.
    pub(super) fn on_the_system(&self) -> Vec<Routing> {
        let unremoved = self.unremoved.iter().filter(|u| u.retry_at.is_some());
        self.held().chain(unremoved.map(|u| &u.routing)).cloned().collect()
    }
}

/// With the renewals of the addresses: one exchange with the kernel for all of it.
fn next_look(now: Mono, terms: Terms) -> Option<Mono> {
    terms.next_renewal(now).or(Some(now + LOOK))
}

fn add(now: Mono, terms: Terms, routing: &Routing, again: bool) -> Action {
    let not_after = now + terms.patience;
    Action::AddRouting { routing: routing.clone(), lease: terms.lease, not_after, again }
}
