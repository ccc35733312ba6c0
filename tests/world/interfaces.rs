//! The interfaces of a node, and the addresses on them that go without being removed by the daemon.

use vipd::engine::{Input, Link, Loss};
use vipd::model::InterfaceName;
use vipd::time::Span;

use super::machine::Place;
use super::node::owner_of;
use super::{Happening, World};

/// The time for which a re-created interface is missing.
const RECREATION: Span = Span::from_millis(30);

impl World {
    pub(crate) fn set_carrier(&mut self, node: usize, segment: usize, carrier: bool) {
        if self.nodes[node].ports[segment].carrier != carrier {
            self.nodes[node].ports[segment].carrier = carrier;
            self.nodes[node].steady_since = self.now;
            self.report_link(node, segment);
        }
    }

    /// The administrator takes an interface down or up.
    pub(crate) fn set_up(&mut self, node: usize, segment: usize, up: bool) {
        if self.nodes[node].ports[segment].up != up {
            self.nodes[node].ports[segment].up = up;
            if !up {
                self.lose_routes(node, segment);
            }
            self.nodes[node].steady_since = self.now;
            self.report_link(node, segment);
        }
    }

    /// The administrator takes the interface's own addresses away, or gives them back.
    pub(crate) fn set_numbered(&mut self, node: usize, segment: usize, numbered: bool) {
        if self.nodes[node].ports[segment].numbered != numbered {
            self.nodes[node].ports[segment].numbered = numbered;
            self.nodes[node].steady_since = self.now;
            self.report_link(node, segment);
        }
    }

    pub(crate) fn recreate(&mut self, node: usize, segment: usize) {
        let gone = self.setup.segments[segment].clone();
        let state = &mut self.nodes[node];
        if !state.ports[segment].exists {
            return;
        }
        state.ports[segment].exists = false;
        state.recreated = Some(self.now);
        let is_there = |interface: &InterfaceName| *interface != gone;
        state.machine.held.retain(|(interface, _), _| is_there(interface));
        state.machine.process.listening.retain(|(interface, _)| is_there(interface));
        self.lose_routes(node, segment);
        self.report_link(node, segment);
        self.schedule(self.now + RECREATION, Happening::Appear { node, segment });
    }

    /// The routes over an interface go with it, and nobody is told.
    fn lose_routes(&mut self, node: usize, segment: usize) {
        let gone = &self.setup.segments[segment];
        self.nodes[node].machine.routings.retain(|routing| routing.dev() != Some(gone));
    }

    pub(super) fn appear(&mut self, node: usize, segment: usize) {
        self.disturbed = self.now;
        self.nodes[node].steady_since = self.now;
        self.nodes[node].ports[segment].exists = true;
        self.nodes[node].ports[segment].index += 1;
        self.report_link(node, segment);
    }

    pub(super) fn report_link(&mut self, node: usize, segment: usize) {
        let port = self.nodes[node].ports[segment];
        let mut good = self.setup.links[node][segment].clone();
        if !port.numbered {
            good.addresses.clear();
        }
        let carrier = port.carrier && port.up;
        let link = port.exists.then_some(Link { index: port.index, up: port.up, carrier, ..good });
        self.input(node, Input::Link { interface: self.setup.segments[segment].clone(), link });
    }

    /// Another program deletes an address.
    pub(crate) fn delete(&mut self, node: usize) {
        let held: Vec<Place> = self.nodes[node].machine.held.keys().cloned().collect();
        if let Some(place) = self.rng.choice(held) {
            self.take_away(node, place, Loss::Removed);
        }
    }

    fn take_away(&mut self, node: usize, place: Place, loss: Loss) {
        self.nodes[node].machine.held.remove(&place);
        self.nodes[node].steady_since = self.now;
        let (interface, address) = place;
        self.input(node, Input::AddressGone { interface, address, loss });
    }

    pub(super) fn expire(&mut self, node: usize, place: Place) {
        let ends = self.nodes[node].machine.held.get(&place).and_then(|lease| lease.ends);
        // While the machine sleeps the kernel's time stands still.
        if ends.is_some_and(|ends| ends <= self.now) && !self.nodes[node].suspended {
            self.must_be_renewed(node, &place);
            self.take_away(node, place, Loss::Expired);
        }
    }

    /// A daemon that runs, and holds the address, renews its lease in time.
    fn must_be_renewed(&mut self, node: usize, place: &Place) {
        let state = &self.nodes[node];
        let Some(lease) = state.machine.held.get(place) else { return };
        let has_run = state.runs() && state.runs_since <= lease.since;
        let owner = owner_of(&state.config, place).unwrap_or(state.instance());
        if has_run && state.active.contains_key(&owner.name) && state.refused.is_none() {
            self.broken(node, &format!("runs, and its lease of {} runs out", place.1));
        }
    }

    /// The time asleep is added to what is left of the leases.
    pub(super) fn prolong_leases(&mut self, node: usize) {
        let Some(since) = self.nodes[node].idle_since else { return };
        let slept = self.now.since(since);
        let mut later = Vec::new();
        for (place, lease) in &mut self.nodes[node].machine.held {
            if let Some(ends) = &mut lease.ends {
                *ends = *ends + slept;
                later.push((*ends, place.clone()));
            }
        }
        for (at, place) in later {
            self.schedule(at, Happening::Expire { node, place });
        }
    }
}
