//! The segment and the machines on it, on virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::IpAddr;

use fastrand::Rng;
use vipd::engine::story::{StateName, What};
use vipd::engine::{Action, Engine, Farewell, HeldRouter, Input, Loss};
use vipd::keyring::{KeyRing, restamp};
use vipd::model::{AntiReplay, Config, InstanceConfig};
use vipd::time::{Mono, Now, Span, Wall};
use vipd::vrrp::auth::{Proof, Stamper};

use crate::group::{interface, interface_of, keys, link};
use crate::health::Truth;
use crate::kernel::Shell;
use crate::reload;
use crate::schedule::{Fault, Group, Machines, Schedule};
pub(crate) use crate::wire::packet;
use crate::wire::{message, received};

/// Real daemons wake up a little late.
pub(crate) const WAKE_JITTER: Span = Span::from_micros(200);
/// How long a re-created interface is missing.
const RECREATION: Span = Span::from_millis(30);
const UNIX_TIME: u64 = 1_800_000_000;

pub(crate) struct World {
    pub(crate) now: Mono,
    pub(crate) nodes: Vec<Node>,
    pub(crate) story: Vec<String>,
    pub(crate) takeovers: u64,
    /// A rule of the simulation itself that was broken on the way.
    pub(crate) violation: Option<String>,
    /// The last time that something went wrong or was repaired.
    pub(crate) disturbed: Mono,
    pub(crate) loss: u8,
    pub(crate) partition: Option<u8>,
    /// The same on the second path.
    pub(crate) second_partition: Option<u8>,
    /// From which node to which one nothing arrives, on this path.
    pub(crate) one_way: BTreeSet<(usize, usize, usize)>,
    keys: KeyRing,
    pub(crate) group: Group,
    pub(crate) machines: Machines,
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
    /// The changes of addresses that a daemon has asked for come a step further.
    Kernel {
        node: usize,
        number: u64,
    },
    /// The kernel removes the address, if it was not renewed since.
    Expire {
        node: usize,
        address: IpAddr,
    },
}

pub(crate) struct Node {
    pub(crate) engine: Option<Engine>,
    pub(crate) shell: Shell,
    /// The content of its file.
    pub(crate) config: Config,
    /// The lease before the last reload, and when that was.
    pub(crate) lease_before: Option<(Option<Span>, Mono)>,
    /// When it got another virtual router ID.
    pub(crate) reidentified: Option<Mono>,
    /// When it got another file.
    pub(crate) reconfigured: Mono,
    /// When something last happened to it.
    pub(crate) steady_since: Mono,
    /// When its engine last heard an advertisement of its virtual router.
    pub(crate) heard: Mono,
    /// Since when it says that it is active.
    pub(crate) active_since: Option<Mono>,
    /// Since when its daemon runs without interruption.
    pub(crate) runs_since: Mono,
    /// When its wall clock was set, or its daemon started.
    pub(crate) clock_set: Mono,
    /// When its interface went and came back.
    pub(crate) recreated: Option<Mono>,
    /// The addresses that its kernel has.
    pub(crate) held: BTreeMap<IpAddr, Lease>,
    pub(crate) paused_until: Option<Mono>,
    /// Since when its daemon does not run, by death or pause.
    pub(crate) idle_since: Option<Mono>,
    /// What the operator has asked for and was not answered.
    pub(crate) unanswered: u32,
    /// What its disk says: the operator has taken it out of the election.
    pub(crate) standby: bool,
    /// True if its engine has said last that the node is out.
    pub(crate) out: bool,
    pub(crate) carrier: bool,
    pub(crate) exists: bool,
    pub(crate) index: u32,
    /// The machine's uptime when the simulation began; reset by a power cut.
    booted: Boot,
    pub(crate) wall: u64,
    inbox: VecDeque<(Mono, usize, Vec<u8>)>,
    /// What its netlink socket and its signals hold while it is paused.
    pending: VecDeque<Input>,
    /// The machine sleeps: nothing arrives, and the kernel's own timers stand still.
    pub(crate) suspended: bool,
    /// What `vipd release` would find.
    pub(crate) written: Vec<HeldRouter>,
    /// The daemon dies when it has carried out so many more actions.
    dies_after: Option<u8>,
    pub(crate) stopping: bool,
    pub(crate) refusals: u8,
    /// When an address was last refused.
    pub(crate) refused: Option<Mono>,
    listening: bool,
    sleep: u64,
    /// The interface that its netlink socket has told it about: names in actions mean this one.
    pub(crate) told_index: Option<u32>,
    /// How often its daemon has started.
    pub(crate) life: u64,
    /// What is true of the subject of each check.
    pub(crate) truths: Vec<Truth>,
    /// The look that is under way, of each check.
    pub(crate) looks: Vec<Option<u64>>,
    /// The hooks that are under way, and of each whether it is waited for.
    pub(crate) hooks: Vec<(u64, bool)>,
}

/// The time for which the kernel keeps an address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    /// When it was put there, or renewed.
    pub(crate) since: Mono,
    pub(crate) ends: Option<Mono>,
}

#[derive(Clone, Copy)]
struct Boot {
    at: Mono,
    uptime: Span,
}

impl World {
    pub(crate) fn new(schedule: &Schedule) -> Self {
        let Schedule { group, machines, seed, .. } = schedule;
        let mut rng = Rng::with_seed(seed ^ 0x5eed);
        let whole = |node| reload::whole(group, machines, node);
        let numbers = 0..group.priorities.len();
        let nodes = numbers.map(|n| Node::new(&mut rng, group, whole(n))).collect();
        let mut world = Self {
            now: Mono(0),
            nodes,
            story: Vec::new(),
            takeovers: 0,
            violation: None,
            disturbed: Mono(0),
            loss: 0,
            partition: None,
            second_partition: None,
            one_way: BTreeSet::new(),
            keys: keys(group),
            group: group.clone(),
            machines: machines.clone(),
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
                Happening::Kernel { node, number } => self.kernel_goes_on(node, number),
                Happening::Expire { node, address } => self.expire(node, address),
            }
            look(self);
        }
        self.now = until;
    }

    pub(crate) fn inflict(&mut self, fault: Fault) {
        self.tell(None, &format!("{fault:?}"));
        self.disturbed = self.now;
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
            Fault::Reload { node, seed } => self.reload(node, seed),
            Fault::Suspend { node, length } => self.suspend(node, length),
            Fault::Stop { node } => self.stop(node),
            Fault::Start { node } => self.start(node),
            Fault::Pause { node, length } => self.pause(node, length),
            Fault::LinkDown { node } => self.set_carrier(node, false),
            Fault::LinkUp { node } => self.set_carrier(node, true),
            Fault::Partition { side } => self.partition = Some(side),
            Fault::Heal => {
                self.partition = None;
                self.one_way.clear();
            }
            Fault::OneWay { path, from, to } => {
                self.one_way.insert((path, from, to));
            }
            Fault::PartitionSecond { side } => self.second_partition = Some(side),
            Fault::HealSecond => self.second_partition = None,
            Fault::Loss { percent } => self.loss = percent,
            Fault::WallClock { node, seconds } => {
                let now = self.now;
                for other in &mut self.nodes {
                    (other.clock_set, other.steady_since) = (now, now);
                }
                let wall = &mut self.nodes[node].wall;
                *wall = wall.saturating_add_signed(seconds.saturating_mul(1_000_000_000));
            }
            Fault::Delete { node } => self.delete(node),
            Fault::RefuseAddresses { node, count } => {
                self.nodes[node].refusals = count;
                self.nodes[node].refused = Some(self.now);
            }
            Fault::Recreate { node } => self.recreate(node),
            Fault::Turn { node, track, truth } => self.turn(node, track, truth),
        }
    }

    /// Ends every fault; at least one machine runs afterwards.
    pub(crate) fn mend(&mut self) {
        self.tell(None, "everything is mended");
        let now = self.now;
        self.disturbed = now;
        for node in &mut self.nodes {
            (node.clock_set, node.steady_since) = (now, now);
        }
        self.loss = 0;
        self.partition = None;
        self.second_partition = None;
        self.one_way.clear();
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
            let whole = reload::whole(&self.group, &self.machines, node);
            if self.nodes[node].config != whole {
                self.configure(node, whole);
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

    /// Whether a node has each of its addresses.
    pub(crate) fn has_all(&self, node: usize) -> bool {
        let state = &self.nodes[node];
        let mut all = state.instance().moving_addresses();
        all.all(|address| state.held.contains_key(&address.address))
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
        let engine = Engine::new(self.nodes[node].config.clone(), self.local(node));
        self.nodes[node].shell.reconfigure(engine.config());
        self.nodes[node].engine = Some(engine);
        self.nodes[node].life += 1;
        self.nodes[node].looks.fill(None);
        self.nodes[node].hooks.clear();
        let state = &mut self.nodes[node];
        state.paused_until = None;
        state.idle_since = None;
        state.stopping = false;
        state.out = false;
        (state.steady_since, state.runs_since) = (self.now, self.now);
        state.clock_set = self.now;
        if self.nodes[node].standby {
            // Before anything is known of the interfaces.
            self.stand_by(node, true);
        }
        self.report_link(node);
    }

    fn power_off(&mut self, node: usize) {
        let at = self.now;
        self.shell_ends(node, true);
        self.kill(node);
        let node = &mut self.nodes[node];
        node.held.clear();
        node.written.clear();
        node.idle_since = Some(at);
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
        self.shell_ends(node, false);
        let node = &mut self.nodes[node];
        node.engine = None;
        node.idle_since.get_or_insert(self.now);
        node.active_since = None;
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

    fn suspend(&mut self, node: usize, length: Span) {
        if self.nodes[node].paused_until.is_none() && self.nodes[node].engine.is_some() {
            self.nodes[node].suspended = true;
            self.pause(node, length);
            self.nodes[node].pending.push_front(Input::Resumed { length });
        }
    }

    fn expire(&mut self, node: usize, address: IpAddr) {
        let ends = self.nodes[node].held.get(&address).and_then(|lease| lease.ends);
        // While the machine sleeps the kernel's time stands still.
        if ends.is_some_and(|ends| ends <= self.now) && !self.nodes[node].suspended {
            self.must_be_renewed(node, address);
            self.take_away(node, address, Loss::Expired);
        }
    }

    /// A daemon that runs, and holds the address, renews its lease in time.
    fn must_be_renewed(&mut self, node: usize, address: IpAddr) {
        let state = &self.nodes[node];
        let Some(Lease { since, .. }) = state.held.get(&address) else { return };
        let has_run = state.runs() && state.runs_since <= *since;
        if has_run && state.active_since.is_some() && state.refused.is_none() {
            self.violation = Some(format!("node{node} runs, and its lease of {address} runs out"));
        }
    }

    /// The time asleep is added to what is left of the leases.
    fn prolong_leases(&mut self, node: usize) {
        let Some(since) = self.nodes[node].idle_since else { return };
        let slept = self.now.since(since);
        let mut later = Vec::new();
        for (address, lease) in &mut self.nodes[node].held {
            if let Some(ends) = &mut lease.ends {
                *ends = *ends + slept;
                later.push((*ends, *address));
            }
        }
        for (at, address) in later {
            self.schedule(at, Happening::Expire { node, address });
        }
    }

    fn pause(&mut self, node: usize, length: Span) {
        let until = self.now + length;
        if self.nodes[node].engine.is_some() && self.nodes[node].paused_until.is_none() {
            self.nodes[node].paused_until = Some(until);
            self.nodes[node].idle_since = Some(self.now);
            self.schedule(until, Happening::Resume { node });
        }
    }

    /// Invariant 2: an active router that stood still, and has a packet of another one waiting,
    /// yields whatever the priorities are. A router whose machine slept yields in any case.
    fn must_yield(&self, node: usize) -> bool {
        let state = &self.nodes[node];
        let own = state.instance();
        let length = state.idle_since.map_or(Span::ZERO, |since| self.now.since(since));
        let goes_on = state.active_since.is_some()
            && !state.stopping
            && state.unanswered == 0
            && state.reidentified.is_none()
            && !self.leaves(node);
        let is_of_another = |packet: &[u8]| {
            let message = message(packet);
            message[1] == own.virtual_router_id.get() && message[2] > 0
        };
        // Time stamps from before may be refused.
        let is_replaced = !self.group.wire.signed
            && state.inbox.iter().any(|(_, _, packet)| is_of_another(packet));
        let is_long = length > own.advertisement_interval.span().times(4);
        goes_on && is_long && (state.suspended || is_replaced)
    }

    fn resume(&mut self, node: usize) {
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
        if must_yield && self.nodes[node].active_since.is_some_and(|since| since < now) {
            self.violation = Some(format!("node{node} stood still, and goes on as if it had not"));
        }
    }

    fn set_carrier(&mut self, node: usize, carrier: bool) {
        if self.nodes[node].carrier != carrier {
            self.nodes[node].carrier = carrier;
            self.nodes[node].steady_since = self.now;
            self.report_link(node);
        }
    }

    fn recreate(&mut self, node: usize) {
        if !self.nodes[node].exists {
            return;
        }
        self.nodes[node].exists = false;
        self.nodes[node].recreated = Some(self.now);
        self.nodes[node].held.clear();
        self.nodes[node].listening = false;
        self.report_link(node);
        self.schedule(self.now + RECREATION, Happening::Appear { node });
    }

    fn appear(&mut self, node: usize) {
        self.disturbed = self.now;
        self.nodes[node].steady_since = self.now;
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
        self.nodes[node].steady_since = self.now;
        self.input(node, Input::AddressGone { interface: interface(), address, loss });
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
            self.note_what_is_heard(node, &bytes);
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

    fn note_what_is_heard(&mut self, node: usize, packet: &[u8]) {
        let message = message(packet);
        let state = &mut self.nodes[node];
        let is_ours = message[1] == state.instance().virtual_router_id.get();
        // Priority 0 says that one is not active any more.
        if is_ours && message[2] > 0 {
            state.heard = self.now;
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
        self.handle(node, input);
        self.attend(node);
        if is_wake {
            self.sleep_until(node, self.now);
        }
    }

    /// Tells the engine what was not done, and which sockets are open.
    pub(crate) fn attend(&mut self, node: usize) {
        let mut told = false;
        while let Some(answer) = self.next_answer(node) {
            self.handle(node, answer);
            told = true;
        }
        if told {
            self.sleep_until(node, self.now);
        }
    }

    fn handle(&mut self, node: usize, mut input: Input) {
        match &input {
            Input::Link { link, interface: on } if *on == interface() => {
                self.nodes[node].told_index = link.as_ref().map(|link| link.index);
            }
            Input::Reload { config } => self.nodes[node].shell.reconfigure(config),
            _ => {}
        }
        let now = self.local(node);
        self.keys.receive(&mut input);
        let Some(engine) = &mut self.nodes[node].engine else { return };
        let mut actions = engine.handle(now, input);
        self.note_what_is_wanted(node, &actions);
        self.keys.complete(&mut actions);
        self.carry_out(node, actions);
    }

    /// Whether the daemon dies before its next action.
    pub(crate) fn dies(&mut self, node: usize) -> bool {
        let Some(left) = &mut self.nodes[node].dies_after else { return false };
        if *left > 0 {
            *left -= 1;
            return false;
        }
        self.tell(Some(node), "dies in the middle of its work");
        self.kill(node);
        true
    }

    /// Carries out an action that needs no time. `Some`: the system refuses it.
    pub(crate) fn apply(&mut self, node: usize, action: &Action) -> Option<i32> {
        const ENODEV: i32 = 19;
        let Node { exists, index, told_index, .. } = self.nodes[node];
        let exists = exists && told_index == Some(index);
        match action {
            Action::Listen { interface: on, .. } | Action::Send { interface: on, .. }
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
                if message[2] == 0 {
                    self.must_be_gone(node, *source);
                }
                self.transmit(node, path, &packet(*source, *destination, message));
            }
            Action::WriteDown { routers } => self.nodes[node].written.clone_from(routers),
            Action::Answer { answer, .. } => self.answered(node, answer),
            Action::Announce { .. } | Action::Watch { .. } => {}
            Action::Probe { .. } => self.look(node, action),
            Action::CancelProbe { track, number } => self.look_away(node, track, *number),
            Action::Hook { .. } => self.hook(node, action),
            Action::CancelHook { number, .. } => self.cancel_hook(node, *number),
            Action::Report(event) => {
                if let What::Changed { to: StateName::Active, .. } = event.what {
                    self.takeovers += 1;
                }
                self.tell(Some(node), &event.to_string());
            }
            Action::AddAddress { .. }
            | Action::RemoveAddress { .. }
            | Action::AddRouting { .. }
            | Action::RemoveRouting { .. }
            | Action::AddDevice { .. }
            | Action::RemoveDevice { .. }
            | Action::SetDevice { .. } => panic!("it takes the kernel's time: {action:?}"),
            Action::Exit => {
                self.nodes[node].engine = None;
                self.nodes[node].active_since = None;
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
}

impl Node {
    /// Whether it has an address.
    pub(crate) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Its instance, as its file has it.
    pub(crate) fn instance(&self) -> &InstanceConfig {
        &self.config.instances[0]
    }

    fn new(rng: &mut Rng, group: &Group, config: Config) -> Self {
        // Some have just booted, some run for long.
        let uptime = Span::from_secs(rng.u64(10..1_000));
        Self {
            engine: None,
            shell: Shell::default(),
            config,
            lease_before: None,
            reidentified: None,
            reconfigured: Mono(0),
            steady_since: Mono(0),
            heard: Mono(0),
            active_since: None,
            runs_since: Mono(0),
            clock_set: Mono(0),
            recreated: None,
            held: BTreeMap::new(),
            paused_until: None,
            idle_since: None,
            unanswered: 0,
            standby: false,
            out: false,
            carrier: true,
            exists: true,
            index: 2,
            booted: Boot { at: Mono(0), uptime },
            wall: UNIX_TIME * 1_000_000_000,
            inbox: VecDeque::new(),
            pending: VecDeque::new(),
            suspended: false,
            written: Vec::new(),
            dies_after: None,
            stopping: false,
            refusals: 0,
            refused: None,
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
