//! The segment and the machines on it, on virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::net::IpAddr;

use fastrand::Rng;
use vipd::engine::story::{StateName, What};
use vipd::engine::{Action, Engine, Farewell, HeldRouter, Input, Loss, Packet, SystemError};
use vipd::keyring::{KeyRing, restamp};
use vipd::model::AntiReplay;
use vipd::time::{Mono, Now, Span, Wall};
use vipd::vrrp::auth::{Proof, Stamper};

use crate::group::{config, interface, interface_of, keys, link, path_address, virtual_address};
use crate::health::Truth;
use crate::schedule::{Fault, Group};

/// Real daemons wake up a little late.
const WAKE_JITTER: Span = Span::from_micros(200);
/// How long a re-created interface is missing.
const RECREATION: Span = Span::from_millis(30);
/// How late the kernel is with an address whose lifetime is over, at the most (measured: 0.4 s).
pub(crate) const GRANULARITY: Span = Span::from_millis(400);
const UNIX_TIME: u64 = 1_800_000_000;

pub(crate) struct World {
    pub(crate) now: Mono,
    pub(crate) nodes: Vec<Node>,
    pub(crate) story: Vec<String>,
    pub(crate) takeovers: u64,
    /// A rule of the simulation itself that was broken on the way.
    pub(crate) violation: Option<String>,
    pub(crate) loss: u8,
    pub(crate) partition: Option<u8>,
    /// The same on the second path.
    second_partition: Option<u8>,
    keys: KeyRing,
    pub(crate) group: Group,
    pub(crate) rng: Rng,
    queue: BinaryHeap<Reverse<(Mono, u64, Happening)>>,
    pub(crate) happenings: u64,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Happening {
    Arrive {
        node: usize,
        path: usize,
        packet: Vec<u8>,
    },
    /// Only the latest one that was set counts: a daemon has one sleep.
    Wake {
        node: usize,
        sleep: u64,
    },
    Resume {
        node: usize,
    },
    Appear {
        node: usize,
    },
    /// What a look found.
    Answer {
        node: usize,
        life: u64,
        track: usize,
        number: u64,
    },
    /// A hook has ended by itself.
    HookEnds {
        node: usize,
        life: u64,
        number: u64,
    },
    /// The kernel removes the address, if it was not renewed since.
    Expire {
        node: usize,
        lease: u64,
    },
}

pub(crate) struct Node {
    pub(crate) engine: Option<Engine>,
    /// Its addresses, each with the number of its installation or renewal.
    held: BTreeMap<IpAddr, u64>,
    pub(crate) paused_until: Option<Mono>,
    /// Since when its daemon does not run, by death or pause.
    pub(crate) idle_since: Option<Mono>,
    /// What the operator has asked for and was not answered.
    pub(crate) unanswered: u32,
    /// What its disk says: the operator has taken it out of the election.
    pub(crate) standby: bool,
    pub(crate) carrier: bool,
    pub(crate) exists: bool,
    index: u32,
    /// The machine's uptime when the simulation began; reset by a power cut.
    booted: Boot,
    wall: u64,
    inbox: VecDeque<(Mono, usize, Vec<u8>)>,
    /// What its netlink socket and its signals hold while it is paused.
    pending: VecDeque<Input>,
    /// The machine sleeps: nothing arrives, and the kernel's own timers stand still.
    pub(crate) suspended: bool,
    /// What `vipd release` would find.
    written: Vec<HeldRouter>,
    /// Counts installations and renewals.
    lease: u64,
    /// The daemon dies when it has carried out so many more actions.
    dies_after: Option<u8>,
    stopping: bool,
    refusals: u8,
    listening: bool,
    sleep: u64,
    /// The interface that its netlink socket has told it about: names in actions mean this one.
    told_index: Option<u32>,
    /// How often its daemon has started.
    pub(crate) life: u64,
    /// What is true of the subject of each check.
    pub(crate) truths: Vec<Truth>,
    /// The look that is under way, of each check.
    pub(crate) looks: Vec<Option<u64>>,
    /// The hooks that are under way, and of each whether it is waited for.
    pub(crate) hooks: Vec<(u64, bool)>,
}

#[derive(Clone, Copy)]
struct Boot {
    at: Mono,
    uptime: Span,
}

impl World {
    pub(crate) fn new(group: &Group, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x5eed);
        let nodes = (0..group.priorities.len()).map(|_| Node::new(&mut rng, group)).collect();
        let mut world = Self {
            now: Mono(0),
            nodes,
            story: Vec::new(),
            takeovers: 0,
            violation: None,
            loss: 0,
            partition: None,
            second_partition: None,
            keys: keys(group),
            group: group.clone(),
            rng,
            queue: BinaryHeap::new(),
            happenings: 0,
        };
        for node in 0..world.nodes.len() {
            world.start(node);
        }
        world
    }

    /// Lets everything happen that is due by `until`; `look` sees the world after each step.
    pub(crate) fn run(&mut self, until: Mono, mut look: impl FnMut(&mut World)) {
        while let Some(Reverse((at, _, _))) = self.queue.peek() {
            if *at > until {
                break;
            }
            let Some(Reverse((at, _, happening))) = self.queue.pop() else { break };
            self.now = at;
            match happening {
                Happening::Arrive { node, path, packet } => self.arrive(node, path, packet),
                Happening::Wake { node, sleep } if sleep == self.nodes[node].sleep => {
                    self.wake(node);
                }
                Happening::Wake { .. } => continue,
                Happening::Resume { node } => {
                    if self.nodes[node].paused_until.is_some_and(|until| until <= at) {
                        self.resume(node);
                    }
                }
                Happening::Appear { node } => self.appear(node),
                Happening::Answer { node, life, track, number } => {
                    self.answer(node, life, track, number);
                }
                Happening::HookEnds { node, life, number } => self.hook_ends(node, life, number),
                Happening::Expire { node, lease } => self.expire(node, lease),
            }
            look(self);
        }
        self.now = until;
    }

    pub(crate) fn inflict(&mut self, fault: Fault) {
        self.tell(None, &format!("{fault:?}"));
        match fault {
            Fault::PowerOff { node } => self.power_off(node),
            // On a machine that sleeps nothing is killed.
            Fault::Kill { node } if self.nodes[node].suspended => {}
            Fault::Kill { node } => self.kill(node),
            Fault::KillAfter { node, actions } => self.nodes[node].dies_after = Some(actions),
            Fault::Release { node } => self.release(node),
            Fault::HandOver { node } => self.hand_over(node),
            Fault::StandBy { node, force } => self.stand_by(node, force),
            Fault::Online { node } => self.go_online(node),
            Fault::Reload { node } => self.reload(node),
            Fault::Suspend { node, length } => self.suspend(node, length),
            Fault::Stop { node } => self.stop(node),
            Fault::Start { node } => self.start(node),
            Fault::Pause { node, length } => self.pause(node, length),
            Fault::LinkDown { node } => self.set_carrier(node, false),
            Fault::LinkUp { node } => self.set_carrier(node, true),
            Fault::Partition { side } => self.partition = Some(side),
            Fault::Heal => self.partition = None,
            Fault::PartitionSecond { side } => self.second_partition = Some(side),
            Fault::HealSecond => self.second_partition = None,
            Fault::Loss { percent } => self.loss = percent,
            Fault::WallClock { node, seconds } => {
                let wall = &mut self.nodes[node].wall;
                *wall = wall.saturating_add_signed(seconds.saturating_mul(1_000_000_000));
            }
            Fault::Delete { node } => self.delete(node),
            Fault::RefuseAddresses { node, count } => self.nodes[node].refusals = count,
            Fault::Recreate { node } => self.recreate(node),
            Fault::Turn { node, track, truth } => self.turn(node, track, truth),
        }
    }

    /// Ends every fault; at least one machine runs afterwards.
    pub(crate) fn mend(&mut self) {
        self.tell(None, "everything is mended");
        self.loss = 0;
        self.partition = None;
        self.second_partition = None;
        for node in 0..self.nodes.len() {
            self.nodes[node].refusals = 0;
            if self.nodes[node].paused_until.is_some() {
                self.resume(node);
            }
            self.nodes[node].dies_after = None;
            if self.group.wire.signed {
                self.nodes[node].wall = UNIX_TIME * 1_000_000_000;
            }
            if self.nodes[node].stopping {
                // Asked twice it ends at once: from now on it is there, or it isn't.
                self.stop(node);
            }
            self.set_carrier(node, true);
            if !self.group.tracks.is_empty() {
                // Every check is there again.
                let whole = Box::new(config(&self.group, node));
                self.input(node, Input::Reload { config: whole });
            }
            if self.rng.bool() {
                self.go_online(node);
            }
            if self.rng.bool() {
                self.start(node);
            } else if self.group.lease.is_none() {
                // As systemd does when the daemon has died.
                self.release(node);
            }
        }
        if self.nodes.iter().all(|node| node.engine.is_none()) {
            self.start(0);
        }
    }

    /// Whether the two hear each other, except for frames that are lost by chance.
    pub(crate) fn connected(&self, first: usize, second: usize) -> bool {
        (0..self.paths()).any(|path| self.connected_on(path, first, second))
    }

    fn paths(&self) -> usize {
        if self.group.wire.second_path { 2 } else { 1 }
    }

    /// Whether a node has each of its addresses.
    pub(crate) fn has_all(&self, node: usize) -> bool {
        self.nodes[node].held.len() == self.group.wire.families().len()
    }

    fn connected_on(&self, path: usize, first: usize, second: usize) -> bool {
        if path > 0 {
            let side = |node: usize| self.second_partition.map(|side| side >> node & 1);
            return side(first) == side(second);
        }
        let side = |node: usize| self.partition.map(|side| side >> node & 1);
        let up = |node: usize| self.nodes[node].carrier && self.nodes[node].exists;
        side(first) == side(second) && up(first) && up(second)
    }

    /// Whether a node has told the others that it stops being active.
    pub(crate) fn leaves(&self, node: usize) -> bool {
        let now = self.local(node);
        let status = self.nodes[node].engine.as_ref().map(|engine| engine.status(now));
        status.is_some_and(|status| status.instances.iter().any(|instance| instance.leaving))
    }

    pub(crate) fn schedule(&mut self, at: Mono, happening: Happening) {
        self.happenings += 1;
        self.queue.push(Reverse((at, self.happenings, happening)));
    }

    fn tell(&mut self, node: Option<usize>, what: &str) {
        let ms = self.now.0 as f64 / 1e6;
        let who = node.map_or_else(|| "**".to_owned(), |node| format!("node{node}"));
        self.story.push(format!("{ms:10.3} ms  {who:6} {what}"));
    }

    pub(crate) fn local(&self, node: usize) -> Now {
        let node = &self.nodes[node];
        let mono = Mono(0) + node.booted.uptime + self.now.since(node.booted.at);
        Now { mono, wall: Wall(node.wall.saturating_add(self.now.0)) }
    }

    /// A time of the node's own clock in the world's time.
    fn global(&self, node: usize, local: Mono) -> Mono {
        self.now + local.since(self.local(node).mono)
    }

    fn start(&mut self, node: usize) {
        if self.nodes[node].engine.is_some() {
            return;
        }
        self.tell(Some(node), "starts");
        self.release(node);
        let engine = Engine::new(config(&self.group, node), self.local(node));
        self.nodes[node].engine = Some(engine);
        self.nodes[node].life += 1;
        self.nodes[node].looks.fill(None);
        self.nodes[node].hooks.clear();
        self.nodes[node].paused_until = None;
        self.nodes[node].idle_since = None;
        self.nodes[node].stopping = false;
        if self.nodes[node].standby {
            // Before anything is known of the interfaces.
            self.stand_by(node, true);
        }
        self.report_link(node);
    }

    fn power_off(&mut self, node: usize) {
        let at = self.now;
        self.kill(node);
        let node = &mut self.nodes[node];
        node.held.clear();
        node.written.clear();
        node.booted = Boot { at, uptime: Span::from_secs(5) };
    }

    fn stop(&mut self, node: usize) {
        if self.nodes[node].engine.is_some() {
            self.nodes[node].stopping = true;
            self.input(node, Input::Stop);
        }
    }

    /// As `kill -9` does it: the addresses stay, until the kernel removes them.
    fn kill(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        node.engine = None;
        node.idle_since = Some(self.now);
        node.unanswered = 0;
        node.dies_after = None;
        node.listening = false;
        node.paused_until = None;
        node.suspended = false;
        node.inbox.clear();
        node.pending.clear();
    }

    /// What `vipd release` does; it refuses while a daemon runs.
    fn release(&mut self, node: usize) {
        if self.nodes[node].engine.is_some() {
            return;
        }
        for router in std::mem::take(&mut self.nodes[node].written) {
            for held in &router.addresses {
                self.nodes[node].held.remove(&held.address.address);
            }
            for farewell in router.farewells {
                self.say_farewell(node, farewell);
            }
        }
    }

    /// What it says in the name of a daemon that is dead, twice.
    fn say_farewell(&mut self, node: usize, farewell: Farewell) {
        let Farewell { interface, source, destination, mut message, .. } = farewell;
        let path = usize::from(interface == interface_of(1));
        if path == 0 && !self.nodes[node].exists {
            return;
        }
        let mut stamper = Stamper::default();
        for _ in 0..2 {
            let ends = (source, destination);
            if self.group.wire.signed {
                let sequence = stamper.next(self.local(node).wall, AntiReplay::Monotonic);
                restamp(ends, sequence, &mut message).expect("a message");
                self.keys.complete_message(&interface, ends, &mut message).expect("a key");
            }
            self.transmit(node, path, &packet(source, destination, &message));
        }
    }

    fn reload(&mut self, node: usize) {
        let mut config = config(&self.group, node);
        for instance in &mut config.instances {
            instance.announce_refresh = Span::from_secs(self.rng.u64(..4) * 20);
        }
        // Some of the checks go; the next reload may bring them back.
        let stays: Vec<bool> = config.tracks.iter().map(|_| self.rng.u8(..4) > 0).collect();
        let mut stay = stays.iter();
        config.tracks.retain(|_| stay.next() == Some(&true));
        for instance in &mut config.instances {
            instance.tracks.retain(|name| config.tracks.iter().any(|track| track.name == *name));
        }
        self.input(node, Input::Reload { config: Box::new(config) });
    }

    fn suspend(&mut self, node: usize, length: Span) {
        if self.nodes[node].paused_until.is_none() && self.nodes[node].engine.is_some() {
            self.nodes[node].suspended = true;
            self.pause(node, length);
            self.nodes[node].pending.push_front(Input::Resumed { length });
        }
    }

    fn expire(&mut self, node: usize, lease: u64) {
        let expired = |address: &IpAddr| self.nodes[node].held.get(address) == Some(&lease);
        let mut addresses = self.addresses().into_iter();
        let Some(address) = addresses.find(expired) else { return };
        if self.nodes[node].suspended
            && let Some(until) = self.nodes[node].paused_until
        {
            // The time asleep is added to the lease, at the worst all of it.
            return self.schedule(until + GRANULARITY, Happening::Expire { node, lease });
        }
        self.take_away(node, address, Loss::Expired);
    }

    fn pause(&mut self, node: usize, length: Span) {
        let until = self.now + length;
        if self.nodes[node].engine.is_some() && self.nodes[node].paused_until.is_none() {
            self.nodes[node].paused_until = Some(until);
            self.nodes[node].idle_since = Some(self.now);
            self.schedule(until, Happening::Resume { node });
        }
    }

    fn resume(&mut self, node: usize) {
        self.nodes[node].paused_until = None;
        self.nodes[node].idle_since = None;
        self.nodes[node].suspended = false;
        while let Some(input) = self.nodes[node].pending.pop_front() {
            self.input(node, input);
        }
        self.wake(node);
    }

    fn set_carrier(&mut self, node: usize, carrier: bool) {
        if self.nodes[node].carrier != carrier {
            self.nodes[node].carrier = carrier;
            self.report_link(node);
        }
    }

    fn recreate(&mut self, node: usize) {
        if !self.nodes[node].exists {
            return;
        }
        self.nodes[node].exists = false;
        self.nodes[node].held.clear();
        self.nodes[node].listening = false;
        self.report_link(node);
        self.schedule(self.now + RECREATION, Happening::Appear { node });
    }

    fn appear(&mut self, node: usize) {
        self.nodes[node].exists = true;
        self.nodes[node].index += 1;
        self.report_link(node);
    }

    fn delete(&mut self, node: usize) {
        let held: Vec<IpAddr> = self.nodes[node].held.keys().copied().collect();
        if let Some(address) = self.rng.choice(held) {
            self.take_away(node, address, Loss::Removed);
        }
    }

    fn take_away(&mut self, node: usize, address: IpAddr, loss: Loss) {
        self.nodes[node].held.remove(&address);
        self.input(node, Input::AddressGone { interface: interface(), address, loss });
    }

    fn addresses(&self) -> Vec<IpAddr> {
        self.group.wire.families().into_iter().map(virtual_address).collect()
    }

    fn report_link(&mut self, node: usize) {
        let Node { exists, index, carrier, .. } = self.nodes[node];
        if self.group.wire.second_path {
            let link = Some(link(&self.group, 1, node, 77, true));
            self.input(node, Input::Link { interface: interface_of(1), link });
        }
        let link = exists.then(|| link(&self.group, 0, node, index, carrier));
        self.input(node, Input::Link { interface: interface(), link });
    }

    fn arrive(&mut self, node: usize, path: usize, packet: Vec<u8>) {
        let arrived = self.local(node).mono;
        let state = &mut self.nodes[node];
        if state.engine.is_some()
            && state.listening
            && (path > 0 || state.exists && state.carrier)
            && !state.suspended
        {
            state.inbox.push_back((arrived, path, packet));
            self.wake(node);
        }
    }

    /// One turn of the daemon's loop: everything that has arrived first, then what is due.
    fn wake(&mut self, node: usize) {
        if self.nodes[node].paused_until.is_some() {
            return;
        }
        while let Some((arrived, path, bytes)) = self.nodes[node].inbox.pop_front() {
            let packet = received(bytes);
            let proof = Proof::None;
            let interface = interface_of(path);
            self.input(node, Input::Received { interface, arrived, packet, proof });
        }
        let mut turns = 0;
        while self.due(node) {
            self.input(node, Input::Deadline);
            turns += 1;
            if turns > 50 {
                self.violation = Some(format!("node{node} spins: its deadline stays due"));
                return;
            }
        }
        if let Some(deadline) = self.nodes[node].engine.as_ref().and_then(Engine::next_deadline) {
            let jitter = Span::from_nanos(self.rng.u64(..WAKE_JITTER.nanos()));
            let at = self.global(node, deadline.at) + jitter;
            self.sleep_until(node, at);
        }
    }

    fn sleep_until(&mut self, node: usize, at: Mono) {
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
            self.nodes[node].pending.push_back(input);
            return;
        }
        let is_wake = !matches!(input, Input::Deadline | Input::Received { .. });
        let mut inputs = VecDeque::from([input]);
        while let Some(mut input) = inputs.pop_front() {
            match &input {
                Input::Link { link, interface: on } if *on == interface() => {
                    self.nodes[node].told_index = link.as_ref().map(|link| link.index);
                }
                _ => {}
            }
            let now = self.local(node);
            self.keys.receive(&mut input);
            let Some(engine) = &mut self.nodes[node].engine else { return };
            let mut actions = engine.handle(now, input);
            self.keys.complete(&mut actions);
            for action in actions {
                if self.dies(node) {
                    return;
                }
                if let Some(error) = self.apply(node, &action) {
                    let error = SystemError { errno: error, text: format!("errno {error}") };
                    inputs.push_back(Input::Failed { action: Box::new(action), error });
                } else if let Action::Listen { interface, family, .. } = action {
                    inputs.push_back(Input::Listening { interface, family, missing: Vec::new() });
                }
            }
        }
        if is_wake {
            self.sleep_until(node, self.now);
        }
    }

    /// Whether the daemon dies before its next action.
    fn dies(&mut self, node: usize) -> bool {
        let Some(left) = &mut self.nodes[node].dies_after else { return false };
        if *left > 0 {
            *left -= 1;
            return false;
        }
        self.tell(Some(node), "dies in the middle of its work");
        self.kill(node);
        true
    }

    /// The kernel has the address now, for as long as its lease is.
    fn install(&mut self, node: usize, address: IpAddr, lease: Option<Span>) {
        let is_written = |router: &HeldRouter| !router.addresses.is_empty();
        if !self.nodes[node].written.iter().any(is_written) {
            self.violation = Some(format!("node{node} adds its address without writing it down"));
        }
        self.nodes[node].lease += 1;
        let number = self.nodes[node].lease;
        self.nodes[node].held.insert(address, number);
        if let Some(length) = lease {
            let late = Span::from_nanos(self.rng.u64(..GRANULARITY.nanos()));
            let lease = self.nodes[node].lease;
            self.schedule(self.now + length + late, Happening::Expire { node, lease });
        }
    }

    fn apply(&mut self, node: usize, action: &Action) -> Option<i32> {
        const ENODEV: i32 = 19;
        const EPERM: i32 = 1;
        let Node { exists, index, told_index, .. } = self.nodes[node];
        let exists = exists && told_index == Some(index);
        match action {
            Action::Listen { interface: on, .. }
            | Action::Send { interface: on, .. }
            | Action::AddAddress { interface: on, .. }
                if !exists && *on == interface() =>
            {
                return Some(ENODEV);
            }
            Action::Listen { interface: on, .. } | Action::StopListening { interface: on, .. }
                if *on != interface() => {}
            Action::Listen { .. } => self.nodes[node].listening = true,
            Action::StopListening { .. } => self.nodes[node].listening = false,
            Action::Send { interface: on, source, destination, message, .. } => {
                let path = usize::from(*on == interface_of(1));
                self.transmit(node, path, &packet(*source, *destination, message));
            }
            Action::AddAddress { .. } if self.nodes[node].refusals > 0 => {
                self.nodes[node].refusals -= 1;
                return Some(EPERM);
            }
            Action::AddAddress { address, lease, .. } => {
                self.install(node, address.address, *lease);
            }
            Action::WriteDown { routers } => self.nodes[node].written.clone_from(routers),
            Action::Answer { answer, .. } => self.answered(node, answer),
            Action::RemoveAddress { address, .. } if exists => {
                self.nodes[node].held.remove(&address.address);
            }
            Action::RemoveAddress { .. }
            | Action::AddRouting { .. }
            | Action::RemoveRouting { .. }
            | Action::Announce { .. }
            | Action::Watch { .. } => {}
            Action::Probe { .. } => self.look(node, action),
            Action::CancelProbe { track, number } => self.look_away(node, track, *number),
            Action::Hook { .. } => self.hook(node, action),
            Action::CancelHook { number, .. } => self.cancel_hook(node, *number),
            Action::Report(event) => {
                if let What::Changed { to: StateName::Active, .. } = event.what {
                    self.takeovers += 1;
                    self.must_not_be_on_standby(node);
                }
                self.tell(Some(node), &event.to_string());
            }
            // No instance of the simulation has a virtual MAC address.
            Action::AddDevice { .. } | Action::RemoveDevice { .. } | Action::SetDevice { .. } => {
                panic!("{action:?}")
            }
            Action::Exit => {
                self.nodes[node].engine = None;
                self.nodes[node].idle_since = Some(self.now);
                self.nodes[node].unanswered = 0;
                self.nodes[node].listening = false;
                if self.nodes[node].holds() {
                    self.violation = Some(format!("node{node} ended and left its address behind"));
                }
            }
        }
        None
    }

    /// Puts a packet on the wire of a path: to everybody, or to the one whose address it names.
    fn transmit(&mut self, from: usize, path: usize, packet: &[u8]) {
        let destination = destination(packet);
        for to in 0..self.nodes.len() {
            let is_for = |family| path_address(family, path, to) == destination;
            let is_meant =
                destination.is_multicast() || self.group.wire.families().into_iter().any(is_for);
            if to == from
                || !is_meant
                || !self.connected_on(path, from, to)
                || self.rng.u8(..100) < self.loss
            {
                continue;
            }
            // Different delays reorder frames by themselves.
            let copies = if self.rng.u8(..50) == 0 { 2 } else { 1 };
            for _ in 0..copies {
                let delay = Span::from_nanos(self.rng.u64(..=self.group.delay.nanos()));
                let packet = packet.to_vec();
                self.schedule(self.now + delay, Happening::Arrive { node: to, path, packet });
            }
        }
    }
}

impl Node {
    /// Whether it has an address.
    pub(crate) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    fn new(rng: &mut Rng, group: &Group) -> Self {
        // Some have just booted, some run for long.
        let uptime = Span::from_secs(rng.u64(10..1_000));
        Self {
            engine: None,
            held: BTreeMap::new(),
            paused_until: None,
            idle_since: None,
            unanswered: 0,
            standby: false,
            carrier: true,
            exists: true,
            index: 2,
            booted: Boot { at: Mono(0), uptime },
            wall: UNIX_TIME * 1_000_000_000,
            inbox: VecDeque::new(),
            pending: VecDeque::new(),
            suspended: false,
            written: Vec::new(),
            lease: 0,
            dies_after: None,
            stopping: false,
            refusals: 0,
            listening: false,
            sleep: 0,
            told_index: None,
            life: 0,
            truths: vec![Truth::Well; group.tracks.len()],
            looks: vec![None; group.tracks.len()],
            hooks: Vec::new(),
        }
    }
}

/// Where a packet goes to.
fn destination(packet: &[u8]) -> IpAddr {
    if packet[0] >> 4 == 4 {
        return <[u8; 4]>::try_from(&packet[16..20]).expect("an address").into();
    }
    <[u8; 16]>::try_from(&packet[24..40]).expect("an address").into()
}

/// An IP packet on the wire.
pub(crate) fn packet(source: IpAddr, destination: IpAddr, message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("short");
    let mut packet = Vec::new();
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            packet.extend([0x45, 0xc0]);
            packet.extend((20 + length).to_be_bytes());
            packet.extend([0, 0, 0, 0, 255, 112, 0, 0]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            packet.extend([0x6c, 0, 0, 0]);
            packet.extend(length.to_be_bytes());
            packet.extend([112, 255]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
        }
        ends => panic!("no packet goes between {ends:?}"),
    }
    packet.extend(message);
    packet
}

/// The same as a raw socket hands it over.
fn received(bytes: Vec<u8>) -> Packet {
    let Some((header, message)) = bytes.split_at_checked(40).filter(|_| bytes[0] >> 4 == 6) else {
        return Packet::V4 { bytes };
    };
    let address = |at: usize| {
        let octets: [u8; 16] = header[at..at + 16].try_into().expect("an address");
        IpAddr::from(octets)
    };
    let (source, destination) = (address(8), address(24));
    Packet::V6 { source, destination, hop_limit: header[7], bytes: message.to_vec() }
}
