//! What an instance holds: the addresses that it has put on interfaces, until when the kernel
//! keeps them there, and what the system still owes.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::event::{Action, Change, SystemError};
use super::held::HeldAddress;
use super::link::Loss;
use super::retry::{InstallFailure, Installation, Removals};
use super::timer::Timer;
use crate::hash::hash_by;
use crate::model::{InterfaceName, VirtualAddress};
use crate::time::{Mono, Span};

/// How far apart an address is put back at the least, where another program fights for it.
const PUT_BACK_DISTANCE: Span = Span::from_millis(50);
/// How often a lease is renewed in its lifetime: one late renewal, even two, cost nothing.
const RENEWALS: u64 = 4;

/// How addresses are put on interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Terms {
    /// How long the kernel keeps an address that is not renewed; `None`: for ever.
    pub(super) lease: Option<Span>,
    /// Up to how long after the decision an address may still be added.
    pub(super) patience: Span,
}

/// An address that has gone from an interface.
#[derive(Clone, Copy, Debug)]
pub(super) struct LostAddress<'a> {
    pub(super) interface: &'a InterfaceName,
    pub(super) address: IpAddr,
    pub(super) loss: Loss,
}

/// The addresses that an instance holds, or is to let go of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holding {
    terms: Terms,
    held: Vec<Held>,
    unremoved: Removals<HeldAddress>,
    renew_at: Option<Mono>,
    /// The number of changes of what is on the system.
    changes: u64,
}

hash_by!(Holding { terms, held, unremoved, renew_at } without { changes });

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held {
    interface: InterfaceName,
    address: VirtualAddress,
    installation: Installation,
    /// How it went where it is put on again for that, and not because it could not be put on.
    loss: Option<Loss>,
    /// When another program's removal was last made good.
    put_back: Option<Mono>,
}

impl Holding {
    /// Holds nothing yet.
    pub(super) fn new(terms: Terms) -> Self {
        Self { terms, held: Vec::new(), unremoved: Removals::default(), renew_at: None, changes: 0 }
    }

    /// Holds these addresses from now on.
    pub(super) fn claim<'a>(
        &mut self,
        now: Mono,
        addresses: impl Iterator<Item = (&'a InterfaceName, &'a VirtualAddress)>,
        out: &mut Vec<Action>,
    ) {
        self.changes += 1;
        for (interface, address) in addresses {
            self.unremoved.retain(|u| u.interface != *interface || u.address != *address);
            self.held.push(Held {
                interface: interface.clone(),
                address: address.clone(),
                installation: Installation::default(),
                loss: None,
                put_back: None,
            });
            out.push(self.terms.add(now, interface, address));
        }
        // Most instances have one address, and a list that grows has room for four.
        self.held.shrink_to_fit();
        // A renewal that is due comes before.
        let next = self.terms.next_renewal(now);
        self.renew_at = self.renew_at.filter(|at| *at <= now).or(next);
    }

    /// Holds just these addresses from now on: the new ones are put on first, then those that are
    /// not among them are taken off.
    pub(super) fn change<'a>(
        &mut self,
        now: Mono,
        addresses: impl Iterator<Item = (&'a InterfaceName, &'a VirtualAddress)>,
        out: &mut Vec<Action>,
    ) {
        let wanted: Vec<_> = addresses.collect();
        // There may be thousands: sets, not searches.
        let held: BTreeSet<_> = self.held().collect();
        let new: Vec<_> = wanted.iter().filter(|place| !held.contains(*place)).copied().collect();
        let wanted: BTreeSet<_> = wanted.iter().copied().collect();
        // The same address with another label is one to the kernel: off with it before.
        let (kept, gone): (Vec<Held>, Vec<Held>) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|h| wanted.contains(&(&h.interface, &h.address)));
        self.held = kept;
        let (renewed, gone): (Vec<Held>, Vec<Held>) = gone.into_iter().partition(|h| {
            new.iter().any(|(interface, address)| {
                h.interface == **interface
                    && (h.address.address, h.address.prefix) == (address.address, address.prefix)
            })
        });
        out.extend(renewed.iter().map(|h| remove(&h.interface, &h.address)));
        self.claim(now, new.into_iter(), out);
        out.extend(gone.iter().map(|h| remove(&h.interface, &h.address)));
    }

    /// The time for which the kernel keeps the addresses if nobody renews them; `None`: always,
    /// or none are held.
    pub(super) fn lease_left(&self, now: Mono) -> Option<Span> {
        let (lease, next) = (self.terms.lease?, self.renew_at?);
        let renewed = next - lease.divided_by(RENEWALS);
        (!self.held.is_empty()).then(|| (renewed + lease).since(now))
    }

    /// Other terms hold from now on, for what is held already too.
    pub(super) fn set_terms(&mut self, now: Mono, terms: Terms) {
        if self.terms.lease != terms.lease && !self.held.is_empty() {
            self.renew_at = Some(now);
        }
        self.terms = terms;
    }

    /// Lets go of everything.
    pub(super) fn release(&mut self, out: &mut Vec<Action>) {
        self.changes += 1;
        self.renew_at = None;
        for held in self.held.drain(..) {
            out.push(remove(&held.interface, &held.address));
        }
    }

    /// There is no interface of this name any more. Where it has another name now, what was put on
    /// it is still there.
    pub(super) fn interface_vanished(&mut self, interface: &InterfaceName, out: &mut Vec<Action>) {
        self.changes += 1;
        for held in self.held.extract_if(.., |held| held.interface == *interface) {
            out.push(remove(&held.interface, &held.address));
        }
    }

    /// An address is gone from an interface. Returns it when it is one of ours and is put back
    /// at once; where that happens all the time it is put back a little later.
    pub(super) fn gone(
        &mut self,
        now: Mono,
        lost: &LostAddress<'_>,
        out: &mut Vec<Action>,
    ) -> Option<VirtualAddress> {
        let terms = self.terms;
        let held = self.find(lost)?;
        match held.put_back {
            Some(before) if now.since(before) < PUT_BACK_DISTANCE => {
                held.installation.at = Some(before + PUT_BACK_DISTANCE);
                held.loss = Some(lost.loss);
                None
            }
            _ => {
                held.put_back = Some(now);
                held.installation.at = None;
                let address = held.address.clone();
                out.push(terms.add(now, lost.interface, &address));
                Some(address)
            }
        }
    }

    /// An address is gone that may not be ours any more: it is put back by [`Holding::fire`] if
    /// it is.
    pub(super) fn gone_late(&mut self, now: Mono, lost: &LostAddress<'_>) {
        if let Some(held) = self.find(lost) {
            held.installation.at = Some(now);
            held.loss = Some(lost.loss);
        }
    }

    fn find(&mut self, lost: &LostAddress<'_>) -> Option<&mut Held> {
        self.held
            .iter_mut()
            .find(|h| h.interface == *lost.interface && h.address.address == lost.address)
    }

    /// An address could not be installed or renewed: it is not there, as far as we know.
    pub(super) fn install_failed(
        &mut self,
        now: Mono,
        interface: &InterfaceName,
        address: &VirtualAddress,
        error: &SystemError,
    ) -> InstallFailure {
        let mut held = self.held.iter_mut();
        let held = held.find(|h| h.interface == *interface && h.address == *address);
        held.map_or(InstallFailure::Nothing, |held| held.installation.failed(now, error))
    }

    /// An address could not be removed: it is tried again until it is gone or held again.
    /// Returns whether that is worth telling (again).
    pub(super) fn remove_failed(
        &mut self,
        now: Mono,
        interface: &InterfaceName,
        address: &VirtualAddress,
    ) -> bool {
        self.changes += 1;
        let (interface, address) = (interface.clone(), address.clone());
        self.unremoved.failed(now, HeldAddress { interface, address })
    }

    /// When [`Holding::fire`] is due.
    pub(super) fn deadline(&self) -> Option<(Mono, Timer)> {
        let installs =
            self.held.iter().filter_map(|h| h.installation.at).map(|at| (at, Timer::Install));
        let removals = self.unremoved.deadline().map(|at| (at, Timer::Removal));
        let renewal = self.renew_at.map(|at| (at, Timer::Renewal));
        installs.chain(removals).chain(renewal).min_by_key(|(at, _)| *at)
    }

    /// Does what is due; returns the addresses that were put on again, and how each had gone if it
    /// had been there.
    pub(super) fn fire(
        &mut self,
        now: Mono,
        out: &mut Vec<Action>,
    ) -> Vec<(VirtualAddress, Option<Loss>)> {
        let before = out.len();
        out.extend(self.unremoved.due(now).map(|u| remove(&u.interface, &u.address)));
        self.changes += u64::from(out.len() > before);
        let mut back = Vec::new();
        for held in &mut self.held {
            if !held.installation.is_due(now) {
                continue;
            }
            held.put_back = Some(now);
            out.push(self.terms.add(now, &held.interface, &held.address));
            back.push((held.address.clone(), held.loss.take()));
        }
        if self.renew_at.is_some_and(|at| at <= now) {
            self.renew(now, out);
        }
        back
    }

    /// To the kernel a renewal is the same as adding the address again.
    fn renew(&mut self, now: Mono, out: &mut Vec<Action>) {
        self.renew_at = self.terms.next_renewal(now);
        for held in &mut self.held {
            if held.installation.at.is_some() || held.put_back == Some(now) {
                continue;
            }
            held.installation.forgive();
            out.push(self.terms.add(now, &held.interface, &held.address));
        }
    }

    /// The addresses with their interfaces.
    pub(super) fn held(&self) -> impl Iterator<Item = (&InterfaceName, &VirtualAddress)> {
        self.held.iter().map(|held| (&held.interface, &held.address))
    }

    /// The number of changes of what is on the system.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// What may be on interfaces because of us.
    pub(super) fn on_the_system(&self) -> Vec<HeldAddress> {
        let held = self.held().map(|(interface, address)| HeldAddress {
            interface: interface.clone(),
            address: address.clone(),
        });
        held.chain(self.unremoved.waiting().cloned()).collect()
    }
}

impl Terms {
    fn add(self, now: Mono, interface: &InterfaceName, address: &VirtualAddress) -> Action {
        Action::Change(Change::AddAddress {
            interface: interface.clone(),
            address: address.clone(),
            lease: self.lease,
            not_after: now + self.patience,
        })
    }

    /// Instances with the same lease renew at the same times, so that it is one exchange with the
    /// kernel for all of them.
    pub(super) fn next_renewal(self, now: Mono) -> Option<Mono> {
        let period = self.lease?.divided_by(RENEWALS).nanos();
        let periods = now.0.checked_div(period)?.saturating_add(1);
        Some(Mono(periods.saturating_mul(period)))
    }
}

fn remove(interface: &InterfaceName, address: &VirtualAddress) -> Action {
    Action::Change(Change::RemoveAddress { interface: interface.clone(), address: address.clone() })
}
