//! A daemon starts, stops, dies, stands still, or sleeps with its machine.

use vipd::engine::{Engine, Farewell, Input};
use vipd::keyring::restamp;
use vipd::model::AntiReplay;
use vipd::time::Span;
use vipd::vrrp::auth::Stamper;

use super::World;
use super::hearing::is_for;
use super::machine::{Machine, Process};
use super::node::{Arrived, Boot};
use super::packet::{message, packet};

impl World {
    pub(crate) fn start(&mut self, node: usize) {
        if self.nodes[node].engine.is_some() {
            return;
        }
        self.tell(Some(node), "starts");
        self.release(node);
        let engine = Engine::new(self.nodes[node].config.clone(), self.local(node));
        let now = self.now;
        let state = &mut self.nodes[node];
        state.shell.reconfigure(&engine.config());
        state.engine = Some(engine);
        state.life += 1;
        state.machine.process = Process::default();
        (state.reloaded, state.mixed) = (false, false);
        state.told.clear();
        state.paused_until = None;
        state.idle_since = None;
        state.stopping = false;
        state.out = false;
        (state.steady_since, state.runs_since, state.clock_set) = (now, now, now);
        state.started = now;
        if state.standby {
            // Before anything is known of the interfaces.
            self.stand_by(node, true);
        }
        for segment in (0..self.setup.segments.len()).rev() {
            self.report_link(node, segment);
        }
    }

    pub(crate) fn power_off(&mut self, node: usize) {
        let at = self.now;
        self.shell_ends(node, true);
        self.kill(node);
        let node = &mut self.nodes[node];
        node.machine = Machine::default();
        node.idle_since = Some(at);
        node.booted = Boot { at, uptime: Span::from_secs(5) };
    }

    pub(crate) fn stop(&mut self, node: usize) {
        if self.nodes[node].engine.is_some() {
            self.nodes[node].stopping = true;
            self.input(node, Input::Stop);
        }
    }

    /// As `kill -9` does it: the addresses stay, until the kernel removes them.
    pub(crate) fn kill(&mut self, node: usize) {
        self.shell_ends(node, false);
        self.is_gone(node);
        let node = &mut self.nodes[node];
        node.dies_after = None;
        node.paused_until = None;
        node.suspended = false;
        node.inbox.clear();
        node.pending.clear();
    }

    /// There is no daemon any more.
    pub(super) fn is_gone(&mut self, node: usize) {
        self.note_discards(node);
        let node = &mut self.nodes[node];
        node.engine = None;
        node.active.clear();
        node.machine.process = Process::default();
        node.idle_since.get_or_insert(self.now);
    }

    /// True if the daemon dies before its next action.
    pub(super) fn dies(&mut self, node: usize) -> bool {
        let Some(left) = &mut self.nodes[node].dies_after else { return false };
        if *left > 0 {
            *left -= 1;
            return false;
        }
        self.tell(Some(node), "dies in the middle of its work");
        self.disturbed = self.now;
        self.kill(node);
        true
    }

    /// Does what `vipd release` does; it refuses while a daemon runs.
    pub(crate) fn release(&mut self, node: usize) {
        if self.nodes[node].engine.is_some() {
            return;
        }
        let written = std::mem::take(&mut self.nodes[node].machine.written);
        for router in written.routers() {
            for held in &router.addresses {
                let place = (held.interface.clone(), held.address.address);
                self.nodes[node].machine.held.remove(&place);
            }
            for routing in &router.routing {
                self.nodes[node].machine.routings.remove(routing);
            }
            for farewell in &router.farewells {
                self.say_farewell(node, farewell);
            }
        }
    }

    /// The farewell in the name of a daemon that is dead, said twice.
    fn say_farewell(&mut self, node: usize, farewell: &Farewell) {
        let Farewell { interface, source, destination, message, .. } = farewell;
        let segment = self.segment(interface);
        if !self.nodes[node].ports[segment].exists {
            return;
        }
        let mut message = message.clone();
        let mut stamper = Stamper::default();
        for _ in 0..2 {
            let ends = (*source, *destination);
            if farewell.secret.is_some() {
                let sequence = stamper.next(self.local(node).wall, AntiReplay::Monotonic);
                restamp(ends, sequence, &mut message).expect("a message");
                let complete = self.setup.keys.complete_message(interface, ends, &mut message);
                complete.expect("a key");
            }
            self.transmit(node, segment, &packet(*source, *destination, &message));
        }
    }

    pub(crate) fn suspend(&mut self, node: usize, length: Span) {
        if self.nodes[node].runs() {
            self.nodes[node].suspended = true;
            self.pause(node, length);
            self.nodes[node].pending.push_front(Input::Resumed { length });
        }
    }

    pub(crate) fn pause(&mut self, node: usize, length: Span) {
        if self.nodes[node].runs() {
            let until = self.now + length;
            self.nodes[node].paused_until = Some(until);
            self.nodes[node].idle_since = Some(self.now);
            self.schedule(until, super::Happening::Resume { node });
        }
    }

    /// Invariant 2: an active router that stood still, and has a packet of another one waiting,
    /// yields whatever the priorities are. A router whose machine slept yields in any case.
    fn must_yield(&self, node: usize) -> bool {
        let state = &self.nodes[node];
        let own = state.instance();
        let length = state.idle_since.map_or(Span::ZERO, |since| self.now.since(since));
        let goes_on = state.active.contains_key(&own.name)
            && !state.stopping
            && !state.is_unanswered()
            && state.reidentified.is_none()
            && !self.leaves(node);
        let is_of_another = |arrived: &Arrived| {
            let Arrived { segment, packet, .. } = arrived;
            is_for(own, &self.setup.segments[*segment], packet) && message(packet)[2] > 0
        };
        // Time stamps from before may be refused.
        let mut arrived = state.inbox.iter().filter(|arrived| !arrived.is_rubbish);
        let is_replaced = !self.setup.signed && arrived.any(is_of_another);
        let is_long = length > own.advertisement_interval.span().times(4);
        goes_on && is_long && (state.suspended || is_replaced)
    }

    /// Every daemon that stands still goes on.
    pub(crate) fn resume_all(&mut self) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].paused_until.is_some() {
                self.resume(node);
            }
        }
    }

    pub(crate) fn resume(&mut self, node: usize) {
        let must_yield = self.must_yield(node);
        if self.nodes[node].suspended {
            self.prolong_leases(node);
        }
        let now = self.now;
        self.disturbed = now;
        let state = &mut self.nodes[node];
        state.paused_until = None;
        state.idle_since = None;
        state.suspended = false;
        (state.steady_since, state.runs_since) = (now, now);
        while let Some(input) = self.nodes[node].pending.pop_front() {
            self.input(node, input);
        }
        self.netlink_resumes(node);
        self.wake(node);
        let state = &self.nodes[node];
        let goes_on = state.active.get(&state.instance().name).is_some_and(|since| *since < now);
        if must_yield && goes_on {
            self.broken(node, "stood still, and goes on as if it had not");
        }
    }
}
