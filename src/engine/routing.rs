//! The routes and rules that an instance holds: put there after its addresses, looked after while
//! it holds them, and taken off before them.
//!
//! The kernel does not tell of every route that goes: those over a link that goes down, and those
//! whose source address is taken off, vanish without a word. So each is asked for again at
//! every renewal of the addresses' lease; what was there already stays as it is.

use super::event::{Action, Change, SystemError};
use super::lease::Terms;
use super::retry::{InstallFailure, Installation, Removals};
use super::timer::Timer;
use crate::hash::hash_by;
use crate::model::{InterfaceName, Routing};
use crate::time::{Mono, Span};

/// How often what is held is asked for again where the addresses have no lease.
const LOOK: Span = Span::from_secs(1);

/// The routes and rules that an instance holds, or is to let go of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Routings {
    held: Vec<Held>,
    unremoved: Removals<Routing>,
    look_at: Option<Mono>,
    /// The number of changes of what is on the system.
    changes: u64,
}

hash_by!(Routings { held, unremoved, look_at } without { changes });

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held {
    routing: Routing,
    installation: Installation,
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
            self.changes += 1;
            self.unremoved.retain(|u| *u != routing);
            out.push(add(now, terms, &routing, false));
            self.held.push(Held { routing, installation: Installation::default() });
        }
        if !self.held.is_empty() {
            self.look_at = self.look_at.or(next_look(now, terms));
        }
    }

    /// Holds just these from now on: what is not among them is taken off first, since a new one may
    /// be the same to the kernel but for its gateway.
    pub(super) fn change(
        &mut self,
        now: Mono,
        terms: Terms,
        wanted: impl Iterator<Item = Routing>,
        out: &mut Vec<Action>,
    ) {
        self.changes += 1;
        let wanted: Vec<Routing> = wanted.collect();
        let (kept, gone): (Vec<Held>, Vec<Held>) =
            std::mem::take(&mut self.held).into_iter().partition(|h| wanted.contains(&h.routing));
        out.extend(
            gone.into_iter()
                .rev()
                .map(|h| Action::Change(Change::RemoveRouting { routing: h.routing })),
        );
        self.held = kept;
        let mut new = wanted;
        new.retain(|routing| !self.held.iter().any(|held| held.routing == *routing));
        self.claim(now, terms, new.into_iter(), out);
        if self.held.is_empty() {
            self.look_at = None;
        }
    }

    /// Lets go of everything, the last first.
    pub(super) fn release(&mut self, out: &mut Vec<Action>) {
        self.changes += u64::from(!self.held.is_empty());
        self.look_at = None;
        let gone = self.held.drain(..).rev();
        out.extend(gone.map(|h| Action::Change(Change::RemoveRouting { routing: h.routing })));
    }

    /// There is no interface of this name any more. Where it has another name now, the routes
    /// through it are still there.
    pub(super) fn interface_vanished(&mut self, interface: &InterfaceName, out: &mut Vec<Action>) {
        for Held { routing, .. } in
            self.held.extract_if(.., |held| held.routing.dev() == Some(interface))
        {
            self.changes += 1;
            out.push(Action::Change(Change::RemoveRouting { routing }));
        }
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
        held.installation.failed(now, error)
    }

    /// One could not be removed: it is tried again until it is gone or held again. Returns whether
    /// that is worth telling (again).
    pub(super) fn remove_failed(&mut self, now: Mono, routing: &Routing) -> bool {
        self.changes += 1;
        self.unremoved.failed(now, routing.clone())
    }

    /// When [`Routings::fire`] is due.
    pub(super) fn deadline(&self) -> Option<(Mono, Timer)> {
        let installs =
            self.held.iter().filter_map(|h| h.installation.at).map(|at| (at, Timer::Install));
        let removals = self.unremoved.deadline().map(|at| (at, Timer::Removal));
        let look = self.look_at.map(|at| (at, Timer::Routes));
        installs.chain(removals).chain(look).min_by_key(|(at, _)| *at)
    }

    /// Does what is due.
    pub(super) fn fire(&mut self, now: Mono, terms: Terms, out: &mut Vec<Action>) {
        let before = out.len();
        let removals = self.unremoved.due(now).cloned();
        out.extend(removals.map(|routing| Action::Change(Change::RemoveRouting { routing })));
        self.changes += u64::from(out.len() > before);
        let looks = self.look_at.is_some_and(|at| at <= now);
        for held in &mut self.held {
            if held.installation.is_due(now) {
                out.push(add(now, terms, &held.routing, false));
            } else if looks && held.installation.at.is_none() {
                held.installation.forgive();
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

    /// The number of changes of what is on the system.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// What may be on the system because of us.
    pub(super) fn on_the_system(&self) -> Vec<Routing> {
        self.held().chain(self.unremoved.waiting()).cloned().collect()
    }
}

/// With the renewals of the addresses: one exchange with the kernel for all of it.
fn next_look(now: Mono, terms: Terms) -> Option<Mono> {
    terms.next_renewal(now).or(Some(now + LOOK))
}

fn add(now: Mono, terms: Terms, routing: &Routing, again: bool) -> Action {
    let not_after = now + terms.patience;
    Action::Change(Change::AddRouting {
        routing: routing.clone(),
        lease: terms.lease,
        not_after,
        again,
    })
}
