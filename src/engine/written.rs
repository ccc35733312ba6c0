//! The list of what is held, as it was written down last (invariant 4, write down, then touch).

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use super::event::{Action, Change};
use super::held::{HeldAddress, HeldRouter};
use super::turn::Turn;
use crate::model::{InstanceConfig, InstanceName, Routing, VirtualAddress};

/// The last note of each instance that holds something.
pub(super) type Written = BTreeMap<InstanceName, HeldRouter>;

/// The lists of one answer.
#[derive(Default)]
struct Notes {
    /// Before the first addition: what is there for a moment at least.
    before: Vec<HeldRouter>,
    /// After the last removal: what stays.
    after: Vec<HeldRouter>,
}

impl Engine {
    /// A new entry is written before the first address, route, rule or device is added, what is no
    /// more after the last one was removed.
    pub(super) fn write_down(&mut self, turn: &mut Turn) {
        let (context, instances) = self.parts(turn.now);
        let mut changed = Vec::new();
        for place in turn.touched.places() {
            let instance = instances.get_mut(place);
            if instance.is_some_and(|one| one.has_changed_what_is_held(&context)) {
                changed.push(place);
            }
        }
        if changed.is_empty() {
            return;
        }
        let instances = changed.iter().filter_map(|place| self.instances.get(*place));
        let names: BTreeSet<_> = instances.map(|one| one.config().name.clone()).collect();
        let adds = turn.out.iter().position(is_addition);
        let mut added = Added::by(&turn.out);
        let mut notes = Notes::default();
        for name in names {
            self.note(turn, name, adds.is_some(), &mut added, &mut notes);
        }
        let Notes { before, after } = notes;
        if let Some(place) = adds.filter(|_| !before.is_empty()) {
            turn.out.insert(place, Action::WriteDown { routers: before });
        }
        if !after.is_empty() {
            turn.out.push(Action::WriteDown { routers: after });
        }
        self.watch(turn, &changed);
    }

    /// Notes what the instances of this name hold, of which there are several while one of them
    /// still leaves.
    fn note(
        &mut self,
        turn: &Turn,
        name: InstanceName,
        adds: bool,
        added: &mut Added,
        notes: &mut Notes,
    ) {
        let nothing = HeldRouter::nothing(name.clone());
        let (mut held, mut passing) = (nothing.clone(), nothing.clone());
        for place in self.index.name(&name).to_vec() {
            let (context, instances) = self.parts(turn.now);
            let Some(instance) = instances.get(place) else { continue };
            held.include(instance.held_router(&context));
            added.of(instance.config(), &mut passing);
        }
        let old = self.written.get(&name).unwrap_or(&nothing);
        let mut all = held.clone();
        if adds {
            all.include(passing);
            all.include(HeldRouter { farewells: Vec::new(), ..old.clone() });
            notes.before.extend((all != *old).then(|| all.clone()));
        } else {
            all.clone_from(old);
        }
        notes.after.extend((all != held).then(|| held.clone()));
        if held.is_empty() {
            self.written.remove(&name);
        } else {
            self.written.insert(name, held);
        }
    }
}

const fn is_addition(action: &Action) -> bool {
    matches!(
        action,
        Action::Change(
            Change::AddAddress { .. } | Change::AddRouting { .. } | Change::AddDevice { .. }
        )
    )
}

/// The addresses, routes and rules that an answer puts on the system. Some of them may be taken off
/// again in the same answer: a reload brings an address or a route, say, and a check that has not
/// passed yet.
#[derive(Default)]
struct Added {
    addresses: BTreeMap<VirtualAddress, Vec<HeldAddress>>,
    routing: BTreeSet<Routing>,
}

impl Added {
    fn by(out: &[Action]) -> Self {
        let mut added = Self::default();
        for action in out {
            match action {
                Action::Change(Change::AddAddress { interface, address, .. }) => {
                    let held =
                        HeldAddress { interface: interface.clone(), address: address.clone() };
                    added.addresses.entry(address.clone()).or_default().push(held);
                }
                Action::Change(Change::AddRouting { routing, .. }) => {
                    added.routing.insert(routing.clone());
                }
                _ => {}
            }
        }
        added
    }

    /// Moves what belongs to an instance into the list.
    fn of(&mut self, config: &InstanceConfig, list: &mut HeldRouter) {
        let own = config.moving_addresses();
        list.addresses.extend(own.filter_map(|own| self.addresses.remove(own)).flatten());
        list.routing.extend(config.routing().filter(|own| self.routing.remove(own)));
    }
}
