//! Sync groups on two segments: nodes whose two instances have one election, on virtual time. The
//! kernel always does what it is asked to, so that whatever goes wrong is the engine's doing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr};

use fastrand::Rng;
use vipd::engine::status::InstanceStatus;
use vipd::engine::story::{StateName, What};
use vipd::engine::{
    Action, Engine, Event, HookOwner, Input, Link, LinkAddress, Packet, ProbeResult,
};
use vipd::model::{
    Config, IfAllFail, InstanceConfig, InstanceName, InterfaceName, Interval, Node as Listed,
    Notify, Phase, Preempt, SyncGroup, Version, VirtualAddress,
};
use vipd::time::{Mono, Now, Span, Wall};
use vipd::vrrp::auth::Proof;

use crate::group;
use crate::health;
use crate::schedule::{Group, Wire};
use crate::sync_hooks::{GROUP, Hooks, Under};
use crate::world::packet;

/// The instances and their segments.
const SEGMENTS: [&str; 2] = ["wan", "lan"];
const DELAY: Span = Span::from_micros(300);

/// What happens to the nodes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    PowerOff(usize),
    Stop(usize),
    Start(usize),
    Link(usize, usize, bool),
    /// On one segment the nodes whose bit is set hear only each other; `None`: it is whole.
    Partition(usize, Option<u8>),
    HandOver(usize, usize),
    /// This many of a hundred frames are lost from now on.
    Loss(u8),
    /// The machine sleeps for this long.
    Suspend(usize, Span),
    /// What the check of the second instance looks at is well, or not.
    Turn(usize, bool),
    /// The node gets another configuration.
    Reload(usize, Variant),
}

/// The difference between a configuration and that of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// No difference.
    Same,
    /// The instances are in no group.
    NoGroup,
    /// Nobody has hooks.
    NoHooks,
    /// The instance that has none gets those of the other one, which gets none.
    OtherHooks,
    /// The instance has another name, and with it another group.
    OtherNames,
    /// Another virtual router on the second segment.
    OtherRouter,
    /// Only the first segment.
    Alone,
}

impl Variant {
    const ALL: [Self; 7] = [
        Self::Same,
        Self::NoGroup,
        Self::NoHooks,
        Self::OtherHooks,
        Self::OtherNames,
        Self::OtherRouter,
        Self::Alone,
    ];

    /// True if the node takes part in everything that the others do, as one group.
    const fn is_whole(self) -> bool {
        matches!(self, Self::Same | Self::NoHooks | Self::OtherHooks | Self::OtherNames)
    }

    fn apply(self, config: &mut Config) {
        let lan = &mut config.instances[1];
        match self {
            Self::Same => {}
            Self::NoGroup => config.sync_groups.clear(),
            Self::NoHooks => {
                lan.notify = Notify::default();
                config.sync_groups[0].notify = Notify::default();
            }
            Self::OtherHooks => {
                config.instances[0].notify = std::mem::take(&mut config.instances[1].notify);
            }
            Self::OtherNames => {
                lan.name = "net".try_into().expect("valid");
                let group = &mut config.sync_groups[0];
                group.name = "other".try_into().expect("valid");
                group.members[1].clone_from(&lan.name);
            }
            Self::OtherRouter => lan.virtual_router_id = 99.try_into().expect("valid"),
            Self::Alone => {
                config.sync_groups.clear();
                config.instances.truncate(1);
            }
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    seed: u64,
    group: Group,
    hooks: Hooks,
    pub(crate) faults: Vec<(Span, Fault)>,
}

impl Schedule {
    pub(crate) fn from_seed(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let group = draw(&mut rng);
        let interval = group.interval.span();
        let mut at = Span::ZERO;
        let mut faults = Vec::new();
        for _ in 0..rng.usize(1..14) {
            at = at
                + interval.times(rng.u64(0..80)).divided_by(10)
                + Span::from_micros(rng.u64(..999));
            let node = rng.usize(..group.priorities.len());
            let segment = rng.usize(..SEGMENTS.len());
            let fault = match rng.u8(..25) {
                0..2 => Fault::PowerOff(node),
                2 => Fault::Stop(node),
                3..5 => Fault::Start(node),
                5..8 => Fault::Link(node, segment, rng.bool()),
                8..12 => Fault::Partition(segment, rng.bool().then(|| rng.u8(..))),
                12..14 => Fault::HandOver(node, segment),
                14 => Fault::Loss(rng.choice([0, 10, 40]).expect("not empty")),
                15..17 => Fault::Suspend(node, interval.times(rng.u64(1..100)).divided_by(10)),
                17..20 => Fault::Turn(node, rng.bool()),
                _ => Fault::Reload(node, rng.choice(Variant::ALL).expect("not empty")),
            };
            faults.push((at, fault));
        }
        let hooks = Hooks::draw(&mut rng);
        Self { seed, group, hooks, faults }
    }
}

fn draw(rng: &mut Rng) -> Group {
    let interval = Interval::try_from(rng.choice([10, 100]).expect("not empty")).expect("valid");
    let place = |place: u8| (200 - 10 * place).try_into().expect("valid");
    let mut tracks = health::draw(rng);
    tracks.truncate(1);
    Group {
        priorities: (0..rng.u8(2..5)).map(place).collect(),
        version: Version::V3,
        wire: Wire::PLAIN,
        interval,
        preempt: match rng.u8(..4) {
            0 => Preempt::Never,
            1 => Preempt::After(interval.span().times(rng.u64(1..12))),
            _ => Preempt::Always,
        },
        hold_down: interval.span().times(rng.u64(0..2)),
        lease: None,
        delay: DELAY,
        tracks,
        if_all_fail: rng.choice([IfAllFail::Keep, IfAllFail::Release]).expect("not empty"),
        notify: Notify::default(),
    }
}

fn segment_name(segment: usize) -> InterfaceName {
    InterfaceName::try_from(SEGMENTS[segment]).expect("valid")
}

fn address(segment: usize, last: usize) -> IpAddr {
    let byte = |number: usize| u8::try_from(number).expect("few");
    Ipv4Addr::new(10, 0, byte(segment), byte(last)).into()
}

fn config(group: &Group, hooks: &Hooks, node: usize, variant: Variant) -> Config {
    let one = group::config(group, node);
    let template = &one.instances[0];
    let instance = |segment: usize| InstanceConfig {
        name: InstanceName::try_from(SEGMENTS[segment]).expect("valid"),
        interface: segment_name(segment),
        addresses: vec![VirtualAddress {
            address: address(segment, 100),
            ..template.addresses[0].clone()
        }],
        notify: if segment == 0 { Notify::default() } else { hooks.of_member.clone() },
        ..template.clone()
    };
    let nodes = one.nodes.iter().enumerate();
    let mut config = Config {
        nodes: nodes
            .map(|(n, node)| Listed { address: address(0, 10 + n), ..node.clone() })
            .collect(),
        instances: (0..SEGMENTS.len()).map(instance).collect(),
        sync_groups: vec![SyncGroup {
            name: GROUP.try_into().expect("valid"),
            members: SEGMENTS.map(|name| name.try_into().expect("valid")).to_vec(),
            notify: hooks.of_group.clone(),
        }],
        ..one
    };
    variant.apply(&mut config);
    config
}

struct Node {
    engine: Option<Engine>,
    carrier: [bool; 2],
    holds: [bool; 2],
    well: bool,
    handed_over: bool,
    /// How often it was started.
    life: u64,
    hooks: Under,
    /// It sleeps until then, and since when.
    asleep: Option<(Mono, Mono)>,
    /// The configuration that it has, and whether it ever had another one.
    variant: Variant,
    reloaded: bool,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Arrive(usize, usize, Vec<u8>),
    Look(usize),
    /// A hook of this node in this life of its ends.
    Ends(usize, u64, HookOwner, u64),
}

pub(crate) struct World {
    now: Mono,
    group: Group,
    hooks: Hooks,
    nodes: Vec<Node>,
    partitions: [Option<u8>; 2],
    loss: u8,
    queue: BinaryHeap<Reverse<(Mono, u64, Happening)>>,
    count: u64,
    rng: Rng,
    broken: Option<String>,
    /// For each pair and segment: since when both hold its address and hear each other.
    both: Vec<Option<Mono>>,
    pub(crate) story: Vec<String>,
}

impl World {
    fn new(schedule: &Schedule) -> Self {
        let nodes = schedule.group.priorities.len();
        let node = |_| Node {
            engine: None,
            carrier: [true; 2],
            holds: [false; 2],
            well: true,
            handed_over: false,
            life: 0,
            hooks: Under::default(),
            asleep: None,
            variant: Variant::Same,
            reloaded: false,
        };
        let mut world = Self {
            now: Mono(1_000_000_000_000),
            group: schedule.group.clone(),
            hooks: schedule.hooks.clone(),
            nodes: (0..nodes).map(node).collect(),
            partitions: [None; 2],
            loss: 0,
            queue: BinaryHeap::new(),
            count: 0,
            rng: Rng::with_seed(schedule.seed ^ 0x9a7e),
            broken: None,
            both: vec![None; nodes * nodes * 2],
            story: Vec::new(),
        };
        (0..nodes).for_each(|node| world.start(node));
        world
    }

    fn at(&self) -> Now {
        Now { mono: self.now, wall: Wall(self.now.0) }
    }

    fn later(&mut self, at: Mono, happening: Happening) {
        self.count += 1;
        self.queue.push(Reverse((at, self.count, happening)));
    }

    fn tell(&mut self, text: &str) {
        self.story
            .push(format!("{:10.3} ms  {text}", (self.now.0 - 1_000_000_000_000) as f64 / 1e6));
    }

    fn start(&mut self, node: usize) {
        if self.nodes[node].engine.is_none() {
            self.tell(&format!("node{node} starts"));
            self.nodes[node].engine =
                Some(Engine::new(config(&self.group, &self.hooks, node, Variant::Same), self.at()));
            self.nodes[node].variant = Variant::Same;
            self.nodes[node].reloaded = false;
            self.nodes[node].handed_over = false;
            self.nodes[node].life += 1;
            self.nodes[node].hooks = Under::default();
            (0..2).for_each(|segment| self.report(node, segment));
        }
    }

    fn report(&mut self, node: usize, segment: usize) {
        let own =
            LinkAddress { address: address(segment, 10 + node), prefix: 24, secondary: false };
        let carrier = self.nodes[node].carrier[segment];
        let link = Link { addresses: vec![own], ..group::link(&self.group, 0, node, 2, carrier) };
        self.input(node, Input::Link { interface: segment_name(segment), link: Some(link) });
    }

    fn inflict(&mut self, fault: Fault) {
        self.tell(&format!("{fault:?}"));
        match fault {
            Fault::PowerOff(node) => {
                self.nodes[node].engine = None;
                self.nodes[node].asleep = None;
                self.nodes[node].holds = [false; 2];
            }
            Fault::Stop(node) => self.input(node, Input::Stop),
            Fault::Start(node) => self.start(node),
            Fault::Link(node, segment, up) => {
                self.nodes[node].carrier[segment] = up;
                self.report(node, segment);
            }
            Fault::Partition(segment, sides) => self.partitions[segment] = sides,
            Fault::HandOver(node, segment) => {
                let instance = SEGMENTS[segment].try_into().expect("valid");
                self.nodes[node].handed_over = true;
                self.input(node, Input::Handover { request: self.count, instance, to: None });
            }
            Fault::Loss(percent) => self.loss = percent,
            Fault::Suspend(node, length) if self.nodes[node].asleep.is_none() => {
                self.nodes[node].asleep = Some((self.now + length, self.now));
                self.later(self.now + length, Happening::Look(node));
            }
            Fault::Suspend(..) => {}
            Fault::Turn(node, well) => self.nodes[node].well = well,
            Fault::Reload(node, variant) => self.reload(node, variant),
        }
    }

    fn reload(&mut self, node: usize, variant: Variant) {
        if self.nodes[node].engine.is_some() {
            self.nodes[node].variant = variant;
            self.nodes[node].reloaded = true;
            self.nodes[node].hooks.reloaded();
            let config = config(&self.group, &self.hooks, node, variant);
            self.input(node, Input::Reload { config: Box::new(config) });
        }
    }

    fn connected(&self, segment: usize, first: usize, second: usize) -> bool {
        let side = |node: usize| self.partitions[segment].map(|sides| sides >> node & 1);
        let up = |node: usize| self.nodes[node].carrier[segment];
        side(first) == side(second) && up(first) && up(second)
    }

    fn run(&mut self, until: Mono) -> Result<(), String> {
        while let Some(Reverse((at, ..))) = self.queue.peek()
            && *at <= until
        {
            let Some(Reverse((at, _, happening))) = self.queue.pop() else { break };
            self.now = at;
            match happening {
                Happening::Look(node) => self.wake(node),
                Happening::Arrive(node, segment, bytes)
                    if self.nodes[node].carrier[segment] && self.nodes[node].asleep.is_none() =>
                {
                    let packet = Packet::V4 { bytes };
                    let interface = segment_name(segment);
                    let proof = Proof::None;
                    self.input(node, Input::Received { interface, arrived: at, packet, proof });
                }
                Happening::Arrive(..) => {}
                Happening::Ends(node, life, owner, number) => self.end(node, life, owner, number),
            }
            self.look_for_two_owners();
            if let Some(broken) = self.broken.take() {
                return Err(broken);
            }
        }
        self.now = until;
        Ok(())
    }

    fn end(&mut self, node: usize, life: u64, owner: HookOwner, number: u64) {
        let state = &mut self.nodes[node];
        if state.life != life || state.engine.is_none() {
            return;
        }
        if let Some((until, _)) = state.asleep {
            return self.later(until, Happening::Ends(node, life, owner, number));
        }
        if let Some(result) = state.hooks.end(&mut self.rng, &owner, number) {
            self.input(node, Input::Hooked { owner, number, result });
        }
    }

    fn wake(&mut self, node: usize) {
        match self.nodes[node].asleep {
            Some((until, _)) if until > self.now => return,
            Some((_, since)) => {
                self.nodes[node].asleep = None;
                let length = self.now.since(since);
                self.input(node, Input::Resumed { length });
            }
            None => {}
        }
        let due = self.nodes[node].engine.as_ref().and_then(Engine::next_deadline);
        if due.is_some_and(|due| due.at <= self.now) {
            self.input(node, Input::Deadline);
        }
    }

    fn input(&mut self, node: usize, input: Input) {
        let now = self.at();
        if self.nodes[node].asleep.is_some() {
            // It is told when it wakes.
            self.wake_now(node);
        }
        let Some(engine) = &mut self.nodes[node].engine else { return };
        let actions = engine.handle(now, input);
        if let Some(due) = engine.next_deadline() {
            let jitter = Span::from_micros(self.rng.u64(..100));
            let at = if due.at > self.now { due.at } else { self.now };
            self.later(at + jitter, Happening::Look(node));
        }
        if let [.., StateName::Active, StateName::Backup] = changes(&actions)[..] {
            self.broken = Some(format!("node{node} takes over in vain"));
        }
        let mut answers = Vec::new();
        for action in actions {
            answers.extend(self.apply(node, action));
        }
        self.look_for_a_split(node);
        self.look_for_addresses(node);
        for answer in answers {
            self.input(node, answer);
        }
    }

    /// Whatever an operator wants of a machine that sleeps wakes it first.
    fn wake_now(&mut self, node: usize) {
        if let Some((_, since)) = self.nodes[node].asleep {
            self.nodes[node].asleep = Some((self.now, since));
            self.wake(node);
        }
    }

    fn apply(&mut self, node: usize, action: Action) -> Option<Input> {
        let segment_of = |name: &InterfaceName| SEGMENTS.iter().position(|s| *s == name.as_str());
        match action {
            Action::AddAddress { interface, .. } => {
                let state = &self.nodes[node];
                if state.variant.is_whole() && state.hooks.holds_back() {
                    self.broken =
                        Some(format!("node{node} takes an address before its hooks have ended"));
                }
                self.nodes[node].holds[segment_of(&interface)?] = true;
            }
            Action::RemoveAddress { interface, .. } => {
                self.nodes[node].holds[segment_of(&interface)?] = false;
            }
            Action::Send { interface, source, destination, message, .. } => {
                let segment = segment_of(&interface)?;
                let packet = packet(source, destination, &message);
                for to in (0..self.nodes.len()).filter(|to| *to != node) {
                    let lost = self.rng.u8(..100) < self.loss;
                    if self.connected(segment, node, to) && !lost {
                        let delay = Span::from_nanos(self.rng.u64(..DELAY.nanos()));
                        self.later(
                            self.now + delay,
                            Happening::Arrive(to, segment, packet.clone()),
                        );
                    }
                }
            }
            Action::Listen { interface, family, .. } => {
                return Some(Input::Listening { interface, family, missing: Vec::new() });
            }
            Action::Probe { track, number } => {
                let result = if self.nodes[node].well {
                    ProbeResult::Passed(String::new())
                } else {
                    ProbeResult::Failed("broken".to_owned())
                };
                return Some(Input::Probed { track, number, result });
            }
            Action::Hook { owner, number, call } => {
                let state = &mut self.nodes[node];
                match state.hooks.begin(&mut self.rng, owner.clone(), number, &call) {
                    Ok(Some(time)) => {
                        let life = state.life;
                        self.later(self.now + time, Happening::Ends(node, life, owner, number));
                    }
                    Ok(None) => {}
                    Err(why) => self.broken = Some(format!("node{node}: {why}")),
                }
            }
            Action::CancelHook { owner, number } => {
                self.nodes[node].hooks.end(&mut self.rng, &owner, number);
            }
            Action::Report(event) => self.tell(&format!("node{node} {}", event.line())),
            Action::Exit => self.nodes[node].engine = None,
            _ => {}
        }
        None
    }

    /// A node has all of the group or nothing of it, and takes part with all of it or with nothing;
    /// except while it leaves.
    fn look_for_a_split(&mut self, node: usize) {
        let Some(engine) = &self.nodes[node].engine else { return };
        let status = engine.status(self.at());
        // One that a reload has replaced leaves yet, or its successor has not come so far.
        if !self.nodes[node].variant.is_whole() || status.instances.len() != SEGMENTS.len() {
            return;
        }
        let leaves = status.instances.iter().any(|instance| instance.leaving);
        // One that a reload has put beside an active one may have to wait for a hook.
        let joins = status.instances.iter().any(|instance| instance.waits_for.is_some());
        if self.nodes[node].reloaded && joins {
            return;
        }
        let both = [0, 1].map(|place| status.instances[place].state);
        let differ = |state| (both[0] == state) != (both[1] == state);
        let [wan, lan] = self.nodes[node].holds;
        // Until both links are known neither takes part.
        let is_apart = differ(StateName::Active) || differ(StateName::Fault) || wan != lan;
        if !leaves && is_apart && !both.contains(&StateName::Stopped) {
            self.broken = Some(format!("node{node} has a part of the group: {both:?}"));
        }
    }

    /// Whoever is active to the election has its addresses, or waits for a hook that runs.
    fn look_for_addresses(&mut self, node: usize) {
        let Some(engine) = &self.nodes[node].engine else { return };
        let status = engine.status(self.at());
        let lacks = |one: &&InstanceStatus| one.state == StateName::Active && one.held.is_empty();
        if let Some(one) = status.instances.iter().find(lacks)
            && !self.nodes[node].hooks.is_at_gate()
        {
            self.broken = Some(format!("{} of node{node} waits for nothing", one.name));
        }
    }

    fn look_for_two_owners(&mut self) {
        // The winner's next advertisement, its way, and some lateness.
        let bound = self.group.interval.span() + DELAY + Span::from_millis(1);
        let nodes = self.nodes.len();
        for (segment, name) in SEGMENTS.into_iter().enumerate() {
            for first in 0..nodes {
                for second in first + 1..nodes {
                    let holds = |node: usize| {
                        let state = &self.nodes[node];
                        let awake = state.asleep.is_none() && self.loss == 0;
                        awake
                            && state.variant.is_whole()
                            && self.nodes[node].holds[segment]
                            && !self.leaves(node)
                    };
                    let both =
                        self.connected(segment, first, second) && holds(first) && holds(second);
                    let since = &mut self.both[(segment * nodes + first) * nodes + second];
                    if !both {
                        *since = None;
                    } else if self.now.since(*since.get_or_insert(self.now)) > bound {
                        self.broken =
                            Some(format!("node{first} and node{second} both have {name}"));
                    }
                }
            }
        }
    }

    fn leaves(&self, node: usize) -> bool {
        let status = self.nodes[node].engine.as_ref().map(|engine| engine.status(self.at()));
        status.is_some_and(|status| status.instances.iter().any(|instance| instance.leaving))
    }

    fn mend(&mut self) {
        self.tell("everything is mended");
        self.partitions = [None; 2];
        self.loss = 0;
        for node in 0..self.nodes.len() {
            self.wake_now(node);
            self.nodes[node].carrier = [true; 2];
            (0..2).for_each(|segment| self.report(node, segment));
            if self.nodes[node].variant != Variant::Same {
                self.reload(node, Variant::Same);
            }
        }
        let random = self.rng.usize(..self.nodes.len());
        self.start(random);
    }

    /// Each group was told last what it is.
    fn told(&self) -> Result<(), String> {
        for (number, node) in self.nodes.iter().enumerate() {
            let Some(engine) = &node.engine else { continue };
            let state = engine.status(self.at()).groups[0].state;
            let must_know = self.hooks.of_group.has(Phase::Script) && !node.hooks.may_not_know;
            if must_know && node.hooks.told != Some(state) {
                let told = node.hooks.told;
                return Err(format!("the group of node{number} is {state}, and was told {told:?}"));
            }
            if (state == StateName::Active) != (node.holds == [true; 2]) {
                return Err(format!("the group of node{number} is {state}"));
            }
        }
        Ok(())
    }

    fn settled(&self) -> Result<(), String> {
        self.told()?;
        let standing = |node: usize| {
            let well = self.nodes[node].well;
            let truth = if well { health::Truth::Well } else { health::Truth::Broken };
            let runs = self.nodes[node].engine.is_some();
            let truths = vec![truth; self.group.tracks.len()];
            if runs { self.group.standing(node, &truths) } else { health::Standing::Out }
        };
        let nodes = || 0..self.nodes.len();
        let holders: Vec<usize> =
            nodes().filter(|node| self.nodes[*node].holds != [false; 2]).collect();
        let best = nodes().map(standing).max().unwrap_or(health::Standing::Out);
        match (best, holders.as_slice()) {
            (health::Standing::Out, []) => Ok(()),
            (_, [holder]) if self.nodes[*holder].holds == [true; 2] => {
                let handed_over = self.nodes.iter().any(|node| node.handed_over);
                let kind = |standing| std::mem::discriminant(&standing);
                let must_be_best = self.group.preempt != Preempt::Never && !handed_over;
                let is_best = standing(*holder).priority() == best.priority();
                if is_best || !must_be_best && kind(standing(*holder)) == kind(best) {
                    return Ok(());
                }
                Err(format!("node{holder} has the group, not the {best:?} node"))
            }
            _ => Err(format!("in the end the group is on {holders:?}, and the best is {best:?}")),
        }
    }
}

/// The states that instances take on, in their order.
fn changes(actions: &[Action]) -> Vec<StateName> {
    let state = |action: &Action| match action {
        Action::Report(Event { what: What::Changed { to, .. }, .. }) => Some(*to),
        _ => None,
    };
    actions.iter().filter_map(state).collect()
}

/// Plays a schedule. `Err`: a rule was broken; with the story.
pub(crate) fn run(schedule: &Schedule) -> Result<u64, (String, Vec<String>)> {
    let mut world = World::new(schedule);
    let start = world.now;
    let play = |world: &mut World| {
        for (at, fault) in &schedule.faults {
            world.run(start + *at)?;
            world.inflict(*fault);
        }
        world.run(world.now)?;
        world.mend();
        let interval = schedule.group.interval.span();
        let preemption = match schedule.group.preempt {
            Preempt::After(delay) => delay,
            Preempt::Never | Preempt::Always => Span::ZERO,
        };
        let bound = interval.times(16)
            + Span::from_millis(400)
            + preemption
            + schedule.group.hold_down
            + schedule.group.verdict_bound()
            + schedule.hooks.bound();
        world.run(world.now + bound)?;
        world.settled()?;
        let told = world.story.len();
        world.run(world.now + interval.times(10))?;
        world.settled()?;
        match world.story.get(told) {
            Some(line) => Err(format!("no rest: {line}")),
            None => Ok(()),
        }
    };
    match play(&mut world) {
        Ok(()) => Ok(world.story.iter().filter(|line| line.contains("-> active")).count() as u64),
        Err(what) => Err((what, world.story)),
    }
}
