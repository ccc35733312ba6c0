//! Sync groups on two segments: nodes whose two instances have one election, and what happens to
//! them.

use std::net::{IpAddr, Ipv4Addr};

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use vipd::engine::{Link, LinkAddress};
use vipd::model::{
    Config, IfAllFail, InstanceConfig, InstanceName, InterfaceName, Interval, Node as Listed,
    Notify, Phase, Preempt, SyncGroup, Version, VirtualAddress,
};
use vipd::time::Span;

use crate::group;
use crate::health;
use crate::hooks::{GRACE, TIMEOUT};
use crate::schedule::{Group, Wire, draw_lease};
use crate::world::{Setup, Truth, World};

/// The sync group.
pub(crate) const GROUP: &str = "gateway";

/// The instances and their segments.
pub(crate) const SEGMENTS: [&str; 2] = ["wan", "lan"];
/// A segment that a reload may move the second instance to.
const SPARE: &str = "dmz";
pub(crate) const DELAY: Span = Span::from_micros(300);

/// What happens to the nodes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// The daemon does not run for this long; its sockets go on receiving.
    Pause(usize, Span),
    /// The daemon is killed; its machine runs on.
    Kill(usize),
    /// On one segment the frames of the one do not arrive at the other one any more.
    OneWay(usize, usize, usize),
    /// What the check of the second instance looks at is well, or not.
    Turn(usize, bool),
    /// The node gets another configuration.
    Reload(usize, Variant),
}

/// The difference between a configuration and that of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// The second instance is on a segment where no other node is.
    OtherInterface,
}

impl Variant {
    const ALL: [Self; 8] = [
        Self::Same,
        Self::NoGroup,
        Self::NoHooks,
        Self::OtherHooks,
        Self::OtherNames,
        Self::OtherRouter,
        Self::Alone,
        Self::OtherInterface,
    ];

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
            Self::OtherInterface => lan.interface = segment_name(SEGMENTS.len()),
            Self::Alone => {
                config.sync_groups.clear();
                config.instances.truncate(1);
            }
        }
    }
}

/// The programs of a group and of one of its members.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Hooks {
    pub(crate) of_group: Notify,
    pub(crate) of_member: Notify,
}

impl Hooks {
    /// Often none.
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let mut some = |all: &[Phase]| {
            let chosen = all.iter().copied().filter(|_| rng.bool());
            let programs = chosen.map(|phase| (phase, vec![format!("/hooks/{phase}")])).collect();
            Notify { programs, timeout: TIMEOUT, retries: 1, ..Notify::default() }
        };
        let phases = [Phase::Script, Phase::BeforeClaim, Phase::AfterClaim, Phase::OnFault];
        let (of_group, of_member) = (some(&phases), some(&[Phase::BeforeClaim]));
        if rng.bool() { Self::default() } else { Self { of_group, of_member } }
    }

    /// The time by which everything comes to rest later because of them: a claim that comes to
    /// nothing, another one, and what is told of it, tried twice.
    pub(crate) fn bound(&self) -> Span {
        let has = |notify: &Notify| !notify.programs.is_empty();
        let some = has(&self.of_group) || has(&self.of_member);
        if some { (TIMEOUT + GRACE).times(12) } else { Span::ZERO }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Schedule {
    seed: u64,
    pub(crate) group: Group,
    pub(crate) hooks: Hooks,
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
            let fault = match rng.u8(..31) {
                0..2 => Fault::PowerOff(node),
                2 => Fault::Stop(node),
                3..5 => Fault::Start(node),
                5..8 => Fault::Link(node, segment, rng.bool()),
                8..12 => Fault::Partition(segment, rng.bool().then(|| rng.u8(..))),
                12..14 => Fault::HandOver(node, segment),
                14 => Fault::Loss(rng.choice([0, 10, 40]).expect("not empty")),
                15..17 => Fault::Suspend(node, interval.times(rng.u64(1..100)).divided_by(10)),
                17..20 => Fault::Turn(node, rng.bool()),
                20..22 => Fault::Pause(node, interval.times(rng.u64(1..100)).divided_by(10)),
                22..24 => Fault::Kill(node),
                24..26 => Fault::OneWay(segment, node, rng.usize(..group.priorities.len())),
                _ => Fault::Reload(node, rng.choice(Variant::ALL).expect("not empty")),
            };
            faults.push((at, fault));
        }
        let hooks = Hooks::draw(&mut rng);
        Self { seed, group, hooks, faults }
    }

    /// The kernel always does what it is asked to, so that whatever goes wrong is the engine's
    /// doing.
    pub(crate) fn setup(&self) -> Setup {
        let nodes = 0..self.group.priorities.len();
        let all = 0..=SEGMENTS.len();
        let links = |node| all.clone().map(move |segment| link(&self.group, segment, node));
        Setup {
            seed: self.seed,
            segments: all.clone().map(segment_name).collect(),
            links: nodes.clone().map(|node| links(node).collect()).collect(),
            configs: nodes.map(|node| config(&self.group, &self.hooks, node)).collect(),
            tracks: self.group.tracks.clone(),
            keys: group::keys(&self.group),
            signed: false,
            window: Span::ZERO,
            delay: DELAY,
            kernel: None,
        }
    }

    pub(crate) fn inflict(&self, world: &mut World, fault: Fault) {
        world.tell(None, &format!("{fault:?}"));
        match fault {
            Fault::PowerOff(node) => world.power_off(node),
            // On a machine that sleeps nothing is killed.
            Fault::Kill(node) if world.nodes[node].suspended => {}
            Fault::Kill(node) => world.kill(node),
            Fault::Pause(node, length) => world.pause(node, length),
            Fault::OneWay(segment, from, to) => {
                world.one_way.insert((segment, from, to));
            }
            Fault::Stop(node) => world.stop(node),
            Fault::Start(node) => self.start(world, node),
            Fault::Link(node, segment, up) => world.set_carrier(node, segment, up),
            Fault::Partition(segment, sides) => world.partitions[segment] = sides,
            Fault::HandOver(node, segment) => {
                world.hand_over(node, SEGMENTS[segment].try_into().expect("valid"));
            }
            Fault::Loss(percent) => world.loss = percent,
            Fault::Suspend(node, length) => world.suspend(node, length),
            Fault::Turn(node, well) => {
                world.turn(node, 0, if well { Truth::Well } else { Truth::Broken });
            }
            Fault::Reload(node, variant) => self.reload(world, node, variant),
        }
    }

    fn start(&self, world: &mut World, node: usize) {
        if world.nodes[node].engine.is_none() {
            world.nodes[node].config = config(&self.group, &self.hooks, node);
            world.start(node);
        }
    }

    fn reload(&self, world: &mut World, node: usize, variant: Variant) {
        let mut config = config(&self.group, &self.hooks, node);
        variant.apply(&mut config);
        if world.nodes[node].engine.is_some() {
            world.configure(node, config);
        }
    }

    /// Ends every fault but what checks find; at least one machine runs afterwards.
    pub(crate) fn mend(&self, world: &mut World) {
        world.tell(None, "everything is mended");
        world.partitions.fill(None);
        world.one_way.clear();
        world.loss = 0;
        for node in 0..world.nodes.len() {
            if self.group.lease.is_none() {
                // As systemd does when the daemon has died.
                world.release(node);
            }
            (0..SEGMENTS.len()).for_each(|segment| world.set_carrier(node, segment, true));
            if world.nodes[node].config != config(&self.group, &self.hooks, node) {
                self.reload(world, node, Variant::Same);
            }
        }
        let random = world.rng.usize(..world.nodes.len());
        self.start(world, random);
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
        lease: draw_lease(rng, Version::V3, interval),
        delay: DELAY,
        tracks,
        if_all_fail: rng.choice([IfAllFail::Keep, IfAllFail::Release]).expect("not empty"),
        notify: Notify::default(),
    }
}

/// The interface of a segment, the spare one after the others.
pub(crate) fn segment_name(segment: usize) -> InterfaceName {
    let name = SEGMENTS.get(segment).copied().unwrap_or(SPARE);
    InterfaceName::try_from(name).expect("valid")
}

fn address(segment: usize, last: usize) -> IpAddr {
    let byte = |number: usize| u8::try_from(number).expect("few");
    Ipv4Addr::new(10, 0, byte(segment), byte(last)).into()
}

fn config(group: &Group, hooks: &Hooks, node: usize) -> Config {
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
    Config {
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
    }
}

fn link(group: &Group, segment: usize, node: usize) -> Link {
    let own = LinkAddress { address: address(segment, 10 + node), prefix: 24, secondary: false };
    Link { addresses: vec![own], ..group::link(group, 0, node) }
}
