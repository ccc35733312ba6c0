//! The small worlds: who is in them, and what may happen to them.

use std::net::{IpAddr, Ipv4Addr};

use vipd::config::{self, Here, OwnAddress};
use vipd::model::{Config, Preempt};
use vipd::time::{Mono, Span};
use vipd::vrrp::router::Settings;

/// The advertisement interval. All other times below are made of it.
pub(crate) const INTERVAL: Span = Span::from_secs(1);
/// For how long the kernel keeps an address that is not renewed: the default for this interval.
pub(crate) const LEASE: Span = Span::from_secs(4);
/// How late the kernel is at most with removing an address whose lifetime has ended
/// (docs/failover.md, "How late the kernel is").
pub(crate) const LATENESS: Span = Span::from_millis(1_700);
/// The longest time that a frame is under way. It may be handed over at each event within this
/// time.
pub(crate) const DELAY: Span = Span::from_micros(62_500);
/// A point of time that is further away than this in the past is just long ago to a state's hash:
/// nothing in these worlds is older when it counts (four intervals for a router that has fallen
/// silent, the lease, the hold-down, the delay before preemption).
pub(crate) const LONG_AGO: Span = Span::from_secs(8);
/// The machines run for long enough by then that a start of the daemon is no start of the machine.
pub(crate) const START: Mono = Mono(Span::from_secs(10_000).nanos());

/// What may happen to a world. Each costs one of its `faults`; that a node goes on or starts again,
/// and that a wire heals, costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// A frame is lost.
    Lose,
    /// A daemon stands still (SIGSTOP, starvation, a machine that is paused) until it goes on.
    Pause,
    /// A whole machine stands still (suspended, or stopped by its hypervisor) until it goes on.
    Sleep,
    /// A daemon stands still in the middle of carrying out what its engine has decided.
    Freeze,
    /// A daemon dies (SIGKILL). `vipd release` runs then, or does not.
    Kill,
    /// The same in the middle of carrying out what its engine has decided.
    Die,
    /// Two nodes do not hear each other.
    Cut,
    /// One node does not hear another one.
    CutOneWay,
    /// A planned move: `vipctl handover`.
    HandOver,
    /// The daemon stops in an orderly way.
    Stop,
    /// The node gets a file with another priority, or its own again.
    Reload,
    /// What the check looks at breaks, or is well again.
    Flip,
}

/// What a world is like, and what may happen in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    /// By node. Multiples of 16, so that all skew times are multiples of a sixteenth of the
    /// interval and there are few moments.
    pub(crate) priorities: &'static [u8],
    /// The file has all nodes in their order, which gives them these priorities.
    pub(crate) listed: bool,
    /// The priority that [`Act::Reload`] gives.
    pub(crate) other_priority: u8,
    pub(crate) preempt: Preempt,
    pub(crate) hold_down: Span,
    /// Each node has a check that keeps it out of the election while it fails.
    pub(crate) check: bool,
    /// How many acts there are on each way through the world.
    pub(crate) faults: u8,
    pub(crate) acts: &'static [Act],
}

/// A plan with what is made of it once.
pub(crate) struct Setup {
    pub(crate) plan: Plan,
    /// By node: its own file, and the other one.
    configs: Vec<[Config; 2]>,
}

impl Plan {
    fn priority(&self, node: usize, reloaded: bool) -> u8 {
        if reloaded { self.other_priority } else { self.priorities[node] }
    }

    /// What the operator has written into the file of a node.
    fn text(&self, node: usize, reloaded: bool) -> String {
        let preempt = match self.preempt {
            Preempt::Never => "never".to_owned(),
            Preempt::Always => "always".to_owned(),
            Preempt::After(delay) => format!("after {}ms", delay.millis()),
        };
        let priority = if self.listed && !reloaded {
            String::new()
        } else {
            format!("    priority: {}\n", self.priority(node, reloaded))
        };
        let mut text = format!(
            "instances:\n  web:\n    interface: eth0\n    virtual_router_id: 51\n{priority}    \
             preempt: {preempt}\n    hold_down: {}ms\n    lease: {}s\n    \
             addresses: [10.0.0.100/24]\n    announce_refresh: 0s\n",
            self.hold_down.millis(),
            LEASE.millis() / 1_000,
        );
        if self.check {
            text += "    track: [check]\ntracks:\n  check: { file: { path: /run/ready }, interval: 1s, \
                     timeout: 500ms, rise: 1, fall: 1 }\n";
        }
        self.list() + &text
    }

    fn list(&self) -> String {
        if !self.listed {
            return String::new();
        }
        let nodes = 0..self.priorities.len();
        let lines = nodes.map(|node| format!("  node{node}: {}\n", own_address(node)));
        "nodes:\n".to_owned() + &lines.collect::<String>()
    }

    fn config(&self, node: usize, reloaded: bool) -> Config {
        let text = self.text(node, reloaded);
        let address = own_address(node);
        let own = OwnAddress { interface: "eth0".try_into().expect("valid"), address, prefix: 24 };
        let own = self.listed.then_some(own).into_iter().collect();
        config::load("vipd.yaml", &text, &Here::machine(own))
            .unwrap_or_else(|problems| panic!("{problems:?}\n{text}"))
    }
}

impl Setup {
    pub(crate) fn new(plan: Plan) -> Self {
        let nodes = 0..plan.priorities.len();
        let both = |node| [false, true].map(|reloaded| plan.config(node, reloaded));
        Self { plan, configs: nodes.map(both).collect() }
    }

    pub(crate) fn nodes(&self) -> std::ops::Range<usize> {
        0..self.plan.priorities.len()
    }

    pub(crate) fn priority(&self, node: usize, reloaded: bool) -> u8 {
        self.plan.priority(node, reloaded)
    }

    /// The configuration of a node.
    pub(crate) fn config(&self, node: usize, reloaded: bool) -> &Config {
        &self.configs[node][usize::from(reloaded)]
    }

    /// The same for the election alone.
    pub(crate) fn settings(&self, node: usize, reloaded: bool) -> Settings {
        Settings::from(&self.config(node, reloaded).instances[0])
    }

    /// The lowest priority that a node may have.
    fn lowest(&self) -> u8 {
        let all = self.plan.priorities.iter().copied();
        let reloaded = self.plan.acts.contains(&Act::Reload).then_some(self.plan.other_priority);
        all.chain(reloaded).min().expect("a node")
    }

    /// From the last advertisement of a node that dies to the takeover by the least preferred
    /// backup (RFC 9568 section 6.1: three intervals and the skew time).
    fn dead_time(&self) -> Span {
        INTERVAL.times(3) + self.skew_time()
    }

    /// From a farewell to the takeover by the least preferred backup.
    pub(crate) fn skew_time(&self) -> Span {
        INTERVAL.times(256 - u64::from(self.lowest())).divided_by(256)
    }

    /// For how long after the last fault there need not be just one active node yet: until one has
    /// taken over, and until another one that is active has heard of it.
    pub(crate) fn countdown(&self) -> Span {
        // The look before, which ends when it is overdue, and the one that finds it well.
        let check = if self.plan.check { Span::from_secs(2) } else { Span::ZERO };
        self.dead_time().max(self.plan.hold_down) + check + INTERVAL + DELAY.times(2)
    }
}

/// For how long a router that leaves answers at most while no other one does: it says its farewell
/// twice, and the slowest backup waits for a whole interval then, and needs half a one to take
/// over.
pub(crate) const DEPARTURE: Span = Span::from_micros(62_500 + 1_000_000 + 500_000);

pub(crate) const VIRTUAL: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 100));

pub(crate) fn own_address(node: usize) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, 10 + u8::try_from(node).expect("few nodes")).into()
}
