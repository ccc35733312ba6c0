//! A daemon's loop: what has arrived, what is due, and an engine that is told of it.

use vipd::engine::story::{StateName, What};
use vipd::engine::{Action, Answer, Engine, Event, Input};
use vipd::model::{Authentication, Config};
use vipd::time::{Mono, Span};
use vipd::vrrp::auth::Proof;

use super::hearing::is_for;
use super::node::Arrived;
use super::packet::{family, message, received};
use super::{Happening, WAKE_JITTER, World};

impl World {
    pub(super) fn arrive(
        &mut self,
        node: usize,
        segment: usize,
        packet: Vec<u8>,
        is_rubbish: bool,
    ) {
        let at = self.local(node).mono;
        let socket = (self.setup.segments[segment].clone(), family(&packet));
        let state = &mut self.nodes[node];
        let port = state.ports[segment];
        if state.machine.process.listening.contains(&socket) && port.works() && !state.suspended {
            state.inbox.push_back(Arrived { at, segment, packet, is_rubbish });
            self.wake(node);
        }
    }

    /// One turn: everything that has arrived first, then what is due.
    pub(super) fn wake(&mut self, node: usize) {
        if self.nodes[node].paused_until.is_some() {
            return;
        }
        while let Some(Arrived { at, segment, packet, is_rubbish }) =
            self.nodes[node].inbox.pop_front()
        {
            if !is_rubbish {
                self.note_what_is_heard(node, segment, &packet);
            }
            let interface = self.setup.segments[segment].clone();
            let (packet, proof) = (received(packet), Proof::None);
            self.input(node, Input::Received { interface, arrived: at, packet, proof });
        }
        let mut turns = 0;
        while self.due(node) {
            self.input(node, Input::Deadline);
            turns += 1;
            if turns > 50 {
                return self.broken(node, "spins: its deadline stays due");
            }
        }
        if let Some(deadline) = self.nodes[node].engine.as_ref().and_then(Engine::next_deadline) {
            let jitter = Span::from_nanos(self.rng.u64(..WAKE_JITTER.nanos()));
            let at = self.global(node, deadline.at) + jitter;
            self.sleep_until(node, at);
        }
    }

    fn note_what_is_heard(&mut self, node: usize, segment: usize, packet: &[u8]) {
        let message = message(packet);
        let state = &mut self.nodes[node];
        let interface = &self.setup.segments[segment];
        let is_ours = state.config.instances.iter().any(|one| is_for(one, interface, packet));
        match (is_ours, message[2]) {
            (false, _) => {}
            // One is not active any more.
            (true, 0) => state.relieved = self.now,
            (true, _) => state.heard = self.now,
        }
    }

    pub(super) fn sleep_until(&mut self, node: usize, at: Mono) {
        self.nodes[node].sleep += 1;
        let sleep = self.nodes[node].sleep;
        self.schedule(at, Happening::Wake { node, sleep });
    }

    fn due(&self, node: usize) -> bool {
        let next = self.nodes[node].engine.as_ref().and_then(Engine::next_deadline);
        next.is_some_and(|deadline| deadline.at <= self.local(node).mono)
    }

    /// Hands an input to a node's engine and carries out what it wants.
    pub(crate) fn input(&mut self, node: usize, input: Input) {
        if self.nodes[node].paused_until.is_some() {
            let pending = &mut self.nodes[node].pending;
            // Signals that nobody has taken are one.
            let is_reload = |input: &Input| matches!(input, Input::Reload { .. });
            pending.retain(|other| !is_reload(other) || !is_reload(&input));
            pending.push_back(input);
            return;
        }
        let is_wake = !matches!(input, Input::Deadline | Input::Received { .. });
        self.handle(node, input);
        self.attend(node);
        if is_wake {
            self.sleep_until(node, self.now);
        }
    }

    /// Tells the engine what was not done, and which sockets are open.
    pub(super) fn attend(&mut self, node: usize) {
        let mut told = false;
        while let Some(answer) = self.nodes[node].shell.answers.pop_front() {
            self.handle(node, answer);
            told = true;
        }
        if told {
            self.sleep_until(node, self.now);
        }
    }

    fn handle(&mut self, node: usize, mut input: Input) {
        match &input {
            Input::Link { link, interface } => {
                let segment = self.segment(interface);
                self.nodes[node].ports[segment].told = link.as_ref().map(|link| link.index);
            }
            Input::Reload { config } => self.note_reload(node, config),
            _ => {}
        }
        let now = self.local(node);
        self.setup.keys.receive(&mut input);
        let Some(engine) = &mut self.nodes[node].engine else { return };
        let mut actions = engine.handle(now, input);
        self.note_what_is_wanted(node, &actions);
        self.setup.keys.complete(&mut actions);
        let Some(watcher) = self.watcher else { return self.carry_out(node, actions) };
        self.carry_out(node, actions.clone());
        if let Some(what) = watcher(self, node, &actions) {
            self.broken(node, &what);
        }
    }

    fn note_reload(&mut self, node: usize, config: &Config) {
        let state = &mut self.nodes[node];
        state.shell.reconfigure(config);
        state.reloaded = true;
        let old = state.engine.as_ref().map(Engine::config);
        if old.as_ref().is_some_and(|old| !is_hmac(old)) && is_hmac(config) {
            // As after a start: what was signed before may be a recording.
            (state.clock_set, state.steady_since) = (self.now, self.now);
        }
        let groups = config.sync_groups.iter().chain(old.iter().flat_map(|old| &old.sync_groups));
        state.told = groups.map(|group| (group.name.to_string(), None)).collect();
        // Members come and go, and with them what is waited for.
        state.mixed |= !state.told.is_empty() && !state.machine.process.hooks.is_empty();
    }

    /// Examines the actions of an engine before any of them is carried out.
    fn note_what_is_wanted(&mut self, node: usize, actions: &[Action]) {
        let begins_to_leave = |action: &Action| {
            matches!(action, Action::Report(Event { what: What::Leaving(_), .. }))
        };
        for (place, action) in actions.iter().enumerate() {
            match action {
                Action::Report(Event {
                    instance: Some(name),
                    what: What::Changed { to, .. },
                    ..
                }) => {
                    let state = &mut self.nodes[node];
                    if *to != StateName::Active {
                        state.active.remove(name);
                        continue;
                    }
                    state.active.insert(name.clone(), self.now);
                    if state.out {
                        self.broken(node, "is on standby and becomes active");
                    }
                }
                Action::Answer { answer: Answer::Standby(answer), .. } => {
                    let state = &mut self.nodes[node];
                    state.out = answer.standby.covers(&state.instance().name);
                }
                Action::Send { interface, source, message, .. } if message[2] == 0 => {
                    // What is said before that is told is said by one that leaves, also where
                    // the same answer ends with that.
                    let begins = actions[place..].iter().any(begins_to_leave);
                    self.note_farewell(node, (interface.clone(), *source, message[1]), begins);
                }
                _ => {}
            }
        }
    }
}

/// True if the first instance knows keys.
fn is_hmac(config: &Config) -> bool {
    matches!(config.instances[0].authentication, Authentication::Hmac(_))
}
