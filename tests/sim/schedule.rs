//! What happens to a group, drawn from a seed.

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use vipd::config::{self, Here, OwnAddress};
use vipd::model::{
    Family, IfAllFail, Interval, Notify, Phase, Preempt, Priority, TrackConfig, Version,
};
use vipd::time::Span;

use crate::health;
use crate::hooks;
use crate::world::Truth;

/// One group and everything that goes wrong with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Schedule {
    /// Drives loss, delay, duplication: everything that is drawn while it runs.
    pub(crate) seed: u64,
    pub(crate) group: Group,
    pub(crate) machines: Machines,
    /// In the order of their times.
    pub(crate) faults: Vec<(Span, Fault)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) priorities: Vec<Priority>,
    pub(crate) version: Version,
    pub(crate) wire: Wire,
    pub(crate) interval: Interval,
    pub(crate) preempt: Preempt,
    pub(crate) hold_down: Span,
    pub(crate) lease: Option<Span>,
    /// How long a frame is under way at the most.
    pub(crate) delay: Span,
    pub(crate) tracks: Vec<TrackConfig>,
    pub(crate) if_all_fail: IfAllFail,
    pub(crate) notify: Notify,
}

/// The settings that differ between the nodes, and the slowness of their kernels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machines {
    /// The advertisement interval of each node.
    pub(crate) intervals: Vec<Interval>,
    /// The longest interval that each learns from others.
    pub(crate) maximum_intervals: Vec<Interval>,
    /// True if a reload may change the interval.
    pub(crate) drift: bool,
    /// The longest time that the kernel takes to change addresses.
    pub(crate) kernel: Span,
}

impl Machines {
    fn draw(rng: &mut Rng, group: &Group) -> Self {
        // With version 2 another interval is a reason to refuse an advertisement.
        let drift = group.version == Version::V3 && rng.u8(..3) == 0;
        let times = |times| Interval::try_from(group.interval.centiseconds() * times);
        let longest = times(2).expect("valid");
        let mut intervals = Vec::new();
        let mut maximum_intervals = Vec::new();
        for _ in &group.priorities {
            let twice = drift && rng.bool();
            intervals.push(if twice { longest } else { group.interval });
            let is_v3 = group.version == Version::V3;
            let maximum = if is_v3 { Interval::LONGEST_V3 } else { group.interval };
            let least = if drift { longest } else { group.interval };
            maximum_intervals.push(if rng.bool() { maximum } else { least });
        }
        let kernel = Span::from_millis(rng.choice([1, 1, 30, 300]).expect("not empty"));
        Self { intervals, maximum_intervals, drift, kernel }
    }

    /// The longest interval at which anybody advertises.
    pub(crate) fn longest_interval(&self, group: &Group) -> Span {
        group.interval.span().times(if self.drift { 2 } else { 1 })
    }
}

/// How the nodes are joined.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Wire {
    /// The family of their addresses, where it is one.
    pub(crate) family: Family,
    /// Both families in one instance.
    pub(crate) dual: bool,
    /// A second interface, which can be cut off by itself.
    pub(crate) second_path: bool,
    pub(crate) unicast: bool,
    /// With a key and time stamps.
    pub(crate) signed: bool,
}

impl Wire {
    /// Multicast over IPv4 on one interface, unsigned.
    pub(crate) const PLAIN: Self =
        Self { family: Family::V4, dual: false, second_path: false, unicast: false, signed: false };

    fn draw(rng: &mut Rng, version: Version) -> Self {
        let mut one_in = |many: u8| rng.u8(..many) == 0;
        let is_v3 = version == Version::V3;
        Self {
            family: if is_v3 && one_in(4) { Family::V6 } else { Family::V4 },
            dual: is_v3 && one_in(4),
            second_path: one_in(4),
            unicast: one_in(4),
            signed: is_v3 && one_in(4),
        }
    }

    /// On how many interfaces the nodes hear each other.
    pub(crate) const fn paths(self) -> usize {
        if self.second_path { 2 } else { 1 }
    }

    pub(crate) fn families(self) -> Vec<Family> {
        if self.dual { vec![Family::V4, Family::V6] } else { vec![self.family] }
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// The machine is gone at once, and with it its addresses.
    PowerOff {
        node: usize,
    },
    /// The daemon is killed; its machine runs on.
    Kill {
        node: usize,
    },
    /// The daemon is killed in the middle of its next answers: after so many actions.
    KillAfter {
        node: usize,
        actions: u8,
    },
    /// `vipd release`, as systemd runs it when the daemon has died.
    Release {
        node: usize,
    },
    /// The operator wants another node to have the address.
    HandOver {
        node: usize,
    },
    /// The operator wants the node out of the election, by force where nobody takes over.
    StandBy {
        node: usize,
        force: bool,
    },
    /// The operator puts the node back.
    Online {
        node: usize,
    },
    /// The daemon gets a configuration that differs in what is drawn from this seed.
    Reload {
        node: usize,
        seed: u64,
    },
    /// The machine sleeps for this long.
    Suspend {
        node: usize,
        length: Span,
    },
    /// An orderly stop of the daemon.
    Stop {
        node: usize,
    },
    /// The daemon starts (again).
    Start {
        node: usize,
    },
    /// The daemon does not run for this long; its sockets go on receiving.
    Pause {
        node: usize,
        length: Span,
    },
    /// The node's cable is out.
    LinkDown {
        node: usize,
    },
    LinkUp {
        node: usize,
    },
    /// The nodes whose bit is set hear only each other, and so do the others.
    Partition {
        side: u8,
    },
    /// All is whole again, one-way links too.
    Heal,
    /// From now on the one's frames do not arrive at the other one, which is heard.
    OneWay {
        path: usize,
        from: usize,
        to: usize,
    },
    /// The same on the second path.
    PartitionSecond {
        side: u8,
    },
    HealSecond,
    /// This many of a hundred frames are lost from now on.
    Loss {
        percent: u8,
    },
    /// The wall clock jumps.
    WallClock {
        node: usize,
        seconds: i64,
    },
    /// Another program deletes the address.
    Delete {
        node: usize,
    },
    /// The kernel refuses the next so many additions of an address or a route.
    RefuseAddresses {
        node: usize,
        count: u8,
    },
    /// The kernel does not send the next so many messages.
    RefuseSends {
        node: usize,
        count: u8,
    },
    /// The next so many sockets cannot be opened.
    RefuseSockets {
        node: usize,
        count: u8,
    },
    /// The administrator takes the interface down.
    InterfaceDown {
        node: usize,
    },
    /// The interface loses its own addresses.
    Unnumber {
        node: usize,
    },
    /// After this many of a hundred frames one comes that must be refused.
    Rubbish {
        percent: u8,
    },
    /// The subject of a check changes.
    Turn {
        node: usize,
        track: usize,
        truth: Truth,
    },
    /// The interface goes and comes back with another index.
    Recreate {
        node: usize,
    },
    /// The same for the second path's, and its next so many sockets cannot be opened: the node takes
    /// part on the first path alone.
    RecreateSecond {
        node: usize,
        refused: u8,
    },
}

impl Schedule {
    /// True if a daemon gets another configuration on the way.
    pub(crate) fn reloads(&self) -> bool {
        self.faults.iter().any(|(_, fault)| matches!(fault, Fault::Reload { .. }))
    }

    pub(crate) fn from_seed(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let group = Group::draw(&mut rng);
        let machines = Machines::draw(&mut rng, &group);
        let interval = group.interval.span();
        let mut faults = Vec::new();
        let mut at = Span::ZERO;
        for _ in 0..rng.usize(1..14) {
            // Often close together: faults that fall into another one's consequences find more.
            let intervals = if rng.bool() { rng.u64(0..20) } else { rng.u64(0..80) };
            at =
                at + interval.times(intervals).divided_by(10) + Span::from_micros(rng.u64(..5_000));
            faults.push((at, Fault::draw(&mut rng, &group)));
        }
        Self { seed, group, machines, faults }
    }

    /// Only what need not leave a gap: stops, starts, handovers and standby, and checks that make a
    /// node worse without taking it out, each after the one before has come to rest, on a segment
    /// that loses nothing; and never the last node.
    pub(crate) fn planned(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut group = Group::draw(&mut rng);
        let mut machines = Machines::draw(&mut rng, &group);
        // A takeover that takes longer than a leaving router waits leaves a gap.
        machines.kernel = machines.kernel.min(Span::from_millis(30));
        group.hold_down = Span::ZERO;
        if group.if_all_fail == IfAllFail::Release {
            // A node that must not have the address leaves a gap on purpose.
            group.tracks.retain(|track| track.cost.is_some());
        }
        // No switch lets a frame overtake another one that was sent a sixteenth of an interval
        // later.
        group.delay = group.delay.min(group.interval.span().divided_by(100));
        // What a takeover waits for is a gap that the operator has chosen.
        group.notify.programs.remove(&Phase::BeforeClaim);
        let rest = machines.longest_interval(&group).times(8)
            + Span::from_secs(4)
            + group.verdict_bound()
            + group.hook_bound();
        let rest = match group.preempt {
            Preempt::After(delay) => rest + delay,
            Preempt::Never | Preempt::Always => rest,
        };
        let mut running = vec![true; group.priorities.len()];
        let mut out = vec![false; group.priorities.len()];
        let mut faults = Vec::new();
        let mut at = Span::ZERO;
        for _ in 0..rng.usize(1..12) {
            at = at + rest + Span::from_micros(rng.u64(..2_000_000));
            let node = rng.usize(..running.len());
            let others =
                (0..running.len()).any(|other| other != node && running[other] && !out[other]);
            let turns = !group.tracks.is_empty() && rng.bool();
            let fault = match (running[node], others, rng.bool()) {
                _ if turns => {
                    let track = rng.usize(..group.tracks.len());
                    Fault::Turn { node, track, truth: Truth::draw(&mut rng) }
                }
                (false, ..) => Fault::Start { node },
                (true, _, true) if out[node] => Fault::Online { node },
                (true, true, true) if rng.bool() => Fault::Stop { node },
                (true, true, true) => Fault::StandBy { node, force: rng.bool() },
                // Nobody could take over: it must be refused.
                (true, false, true) => Fault::StandBy { node, force: false },
                _ => Fault::HandOver { node },
            };
            match fault {
                Fault::Start { .. } => running[node] = true,
                Fault::Stop { .. } => running[node] = false,
                Fault::StandBy { .. } => out[node] = others,
                Fault::Online { .. } => out[node] = false,
                _ => {}
            }
            faults.push((at, fault));
        }
        Self { seed, group, machines, faults }
    }
}

impl Group {
    fn draw(rng: &mut Rng) -> Self {
        let version = if rng.u8(..4) == 0 { Version::V2 } else { Version::V3 };
        let centiseconds = match version {
            Version::V2 => rng.choice([100, 200]).expect("not empty"),
            Version::V3 => rng.choice([1, 10, 100, 100, 300]).expect("not empty"),
        };
        let mut wire = Wire::draw(rng, version);
        // What their time window makes longer is a great many advertisements at short intervals.
        wire.signed &= centiseconds >= 100;
        let interval = Interval::try_from(centiseconds).expect("valid");
        let nodes = rng.usize(2..=5);
        let tracks = health::draw(rng);
        let if_all_fail = rng.choice([IfAllFail::Keep, IfAllFail::Release]).expect("not empty");
        // As most files have it: then the first one does not wait after a farewell.
        let by_place = rng.u8(..3) == 0;
        let mut priorities = Vec::new();
        for place in 0..nodes {
            if by_place {
                priorities.push(Priority::of_place(place).expect("few nodes"));
                continue;
            }
            // Few different numbers, so that equal priorities are common.
            let number = rng.choice([1, 50, 100, 100, 150, 200, 254]).expect("not empty");
            // The lowest are kept for last resorts.
            let number = if if_all_fail == IfAllFail::Keep { number.max(30) } else { number };
            priorities.push(Priority::try_from(number).expect("valid"));
        }
        let preempt = match rng.u8(..4) {
            0 => Preempt::Never,
            1 => Preempt::After(interval.span().times(rng.u64(1..12))),
            _ => Preempt::Always,
        };
        let hold_down = interval.span().times(rng.u64(0..4));
        // At least a frame's time on a wire; up to a third of an interval, as on a bad link.
        let delay = interval.span().divided_by(rng.choice([1_000, 100, 3]).expect("not empty"));
        let lease = draw_lease(rng, version, interval);
        Self {
            priorities,
            version,
            wire,
            interval,
            preempt,
            hold_down,
            lease,
            delay,
            tracks,
            if_all_fail,
            notify: hooks::draw(rng),
        }
    }
}

/// The lease of a configuration that names none, another one, or none.
pub(crate) fn draw_lease(rng: &mut Rng, version: Version, interval: Interval) -> Option<Span> {
    match rng.u8(..6) {
        0 => None,
        1 => Some(Span::from_secs(rng.u64(1..8))),
        _ => shipped_lease(version, interval),
    }
}

/// Returns the lease that the program itself chooses.
fn shipped_lease(version: Version, interval: Interval) -> Option<Span> {
    let milliseconds = interval.centiseconds() * 10;
    let text = format!(
        "instances: {{ vip: {{ interface: eth0, virtual_router_id: 51, priority: 100, addresses: \
         [10.0.0.100], version: {version}, advertisement_interval: {milliseconds}ms }} }}"
    );
    let own = OwnAddress {
        interface: "eth0".try_into().expect("valid"),
        address: [10, 0, 0, 11].into(),
        prefix: 24,
    };
    let config = config::load("vipd.yaml", &text, &Here::machine(vec![own]));
    config.expect("a valid file").instances[0].lease
}

impl Fault {
    fn draw(rng: &mut Rng, group: &Group) -> Self {
        let node = rng.usize(..group.priorities.len());
        let interval = group.interval.span();
        if !group.tracks.is_empty() && rng.u8(..3) == 0 {
            let track = rng.usize(..group.tracks.len());
            return Self::Turn { node, track, truth: Truth::draw(rng) };
        }
        if group.wire.second_path && rng.u8(..6) == 0 {
            return match rng.u8(..5) {
                0..2 => Self::PartitionSecond { side: rng.u8(..) },
                2..4 => Self::HealSecond,
                _ => Self::RecreateSecond { node, refused: rng.u8(..4) },
            };
        }
        match rng.u8(..52) {
            0..4 => Self::PowerOff { node },
            4..6 => Self::Stop { node },
            6..10 => Self::Start { node },
            10..13 => Self::Pause { node, length: interval.times(rng.u64(1..120)).divided_by(10) },
            13..15 => Self::LinkDown { node },
            15 => Self::LinkUp { node },
            16..19 => Self::Partition { side: rng.u8(..) },
            19 => Self::Heal,
            20 => Self::Loss { percent: rng.choice([10, 30, 60]).expect("not empty") },
            // A clock that is further off than the time window is a node that nobody believes.
            21 if group.wire.signed => Self::WallClock { node, seconds: rng.i64(-2..=2) },
            21 => Self::WallClock { node, seconds: rng.i64(-100_000..100_000) },
            22 | 23 => Self::Delete { node },
            24 => Self::RefuseAddresses { node, count: rng.u8(1..6) },
            25 => Self::Recreate { node },
            26..29 => Self::Kill { node },
            29..32 => Self::KillAfter { node, actions: rng.u8(..12) },
            32..35 => Self::Release { node },
            35..38 => Self::HandOver { node },
            40..43 => Self::Reload { node, seed: rng.u64(..) },
            43..46 => Self::StandBy { node, force: rng.bool() },
            46..49 => Self::Online { node },
            49..52 => Self::OneWay {
                path: if group.wire.second_path { rng.usize(..2) } else { 0 },
                from: node,
                to: rng.usize(..group.priorities.len()),
            },
            39 => Self::rare(rng, node),
            38 => Self::Suspend { node, length: interval.times(rng.u64(1..120)).divided_by(10) },
            _ => Self::Pause { node, length: Span::from_millis(rng.u64(1..8_000)) },
        }
    }

    fn rare(rng: &mut Rng, node: usize) -> Self {
        match rng.u8(..5) {
            0 => Self::RefuseSends { node, count: rng.u8(1..12) },
            1 => Self::RefuseSockets { node, count: rng.u8(1..4) },
            2 => Self::InterfaceDown { node },
            3 => Self::Unnumber { node },
            _ => Self::Rubbish { percent: rng.choice([5, 30, 100]).expect("not empty") },
        }
    }
}
