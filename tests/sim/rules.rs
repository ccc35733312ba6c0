//! The rules that hold at every moment, whatever goes wrong: the longest time for which two nodes
//! may have an address, and for which none may have it. A node has an address if its kernel does,
//! whatever its daemon is doing.

use std::collections::BTreeMap;
use std::net::IpAddr;

use vipd::model::{Family, Phase, Preempt, Version};
use vipd::time::{Mono, Span};

use crate::group::WINDOW;
use crate::health::Standing;
use crate::hooks::{GRACE, TIMEOUT};
use crate::schedule::{Group, Schedule};
use crate::world::{Node, THREADS, UNDISTURBED, WAKE_JITTER, World, granularity, speak_alike};

/// The time for which an instance stays out after the system has refused it something, and until
/// the refusal is known.
pub(crate) const REFUSED: Span = Span::from_secs(11);
/// The time after which a socket that could not be opened is tried again, and the attempt.
const SOCKET_RETRY: Span = Span::from_millis(2_100);
/// The delay before an address that another program fights over is put back again.
const PUT_BACK: Span = Span::from_millis(50);

/// The times that the rules are made of, each computed independently from the protocol.
pub(crate) struct Times {
    /// The longest interval at which anybody advertises.
    pub(crate) interval: Span,
    /// From the last advertisement to the takeover by the least preferred backup (RFC 9568
    /// section 6.1).
    down: Span,
    /// From an advertisement of the winner until the loser's kernel has lost the address.
    pub(crate) yielding: Span,
    /// From a farewell to the takeover by the least preferred backup.
    skew: Span,
    /// The time for which a router that leaves waits for a successor.
    departure: Span,
    /// From a decision until the kernel has the addresses.
    pub(crate) claim: Span,
    /// From the decision to release an address until the kernel has removed it.
    kernel: Span,
    /// Until a node that can take part does so, and no longer listens only.
    pub(crate) settling: Span,
    /// Until two nodes believe each other's time stamps.
    clocks: Span,
    /// The additional time that two equals need if they hear each other on several paths.
    paths: Span,
}

impl Times {
    pub(crate) fn new(schedule: &Schedule) -> Self {
        let Schedule { group, machines, .. } = schedule;
        let interval = machines.longest_interval(group);
        let skew = match group.version {
            Version::V2 => Span::from_secs(1),
            Version::V3 => interval,
        };
        let changes_version = schedule.reloads() && schedule.may_change_version();
        let skew = if changes_version { skew.max(Span::from_secs(1)).max(interval) } else { skew };
        let hold_down = if schedule.reloads() { interval.times(3) } else { Span::ZERO };
        let hold_down = group.hold_down.max(hold_down);
        let down = interval.times(3) + skew;
        // Twice: for the changes before, and for these.
        let kernel = (machines.kernel.max(UNDISTURBED) + THREADS.times(2)).times(2);
        let lateness = WAKE_JITTER.times(3);
        // A reload may bring any hook.
        let gate = |phase: Phase| {
            let waits = schedule.reloads() || group.notify.has(phase);
            if waits { TIMEOUT + GRACE } else { Span::ZERO }
        };
        let (claiming, leaving) = (gate(Phase::BeforeClaim), gate(Phase::BeforeRelease));
        // A hook of a claim or departure that came to nothing ends before the next one begins.
        let has_gate = claiming > Span::ZERO;
        let claiming = if has_gate { claiming.times(2) + leaving } else { Span::ZERO };
        let farewells = skew + interval.divided_by(16);
        let takeover = interval.divided_by(2).max(Span::from_millis(110));
        let departure = leaving + farewells + takeover;
        let several = group.wire.dual || group.wire.second_path;
        let window = Span::from_secs(WINDOW.into());
        let clocks = if group.wire.signed { window + interval.times(4) } else { Span::ZERO };
        Self {
            interval,
            down,
            skew,
            yielding: group.delay + lateness + kernel,
            departure,
            // The engine is told that a request came too late, and asks again.
            claim: claiming + lateness + kernel.times(2),
            kernel,
            settling: hold_down.max(down) + departure + group.verdict_bound() + clocks + RECREATION,
            clocks,
            paths: if several { interval.times(5) } else { Span::ZERO },
        }
    }

    /// The time after the last fault until the group has its one rightful active router.
    pub(crate) fn convergence(&self, group: &Group, fault: Span) -> Span {
        let preemption = match group.preempt {
            Preempt::After(delay) => delay,
            Preempt::Never | Preempt::Always => Span::ZERO,
        };
        let taken_over = fault + self.settling + preemption + self.claim;
        let yielded = taken_over + self.interval + self.yielding + self.paths;
        yielded + group.hook_bound()
    }

    /// The latest time at which the kernel still has an address, if its daemon has not run since
    /// `idle`.
    pub(crate) fn end_of_lease(&self, node: &Node, address: IpAddr, idle: Mono) -> Option<Mono> {
        let own = node.instance().lease;
        // The last renewal may have had the lease from before a reload.
        let before = node.lease_before.filter(|(_, at)| idle.since(*at) <= self.kernel);
        let lease = match before {
            Some((before, _)) => before?.max(own?),
            None => own?,
        };
        Some(idle + self.kernel + lease + granularity(Family::of(address)))
    }
}

/// The time for which a re-created interface is missing.
const RECREATION: Span = Span::from_millis(40);

/// Checks the rules during a schedule.
pub(crate) struct Rules {
    group: Group,
    pub(crate) times: Times,
    /// For each pair: the time since which both have an address and nothing explains it.
    both: BTreeMap<(usize, usize), Mono>,
    /// For each pair: the time since which both have an address, and one of their daemons does not
    /// run.
    beside_idle: BTreeMap<(usize, usize), Mono>,
    /// For each pair: when one of them was still leaving.
    left: BTreeMap<(usize, usize), Mono>,
    nobody: Option<Mono>,
    /// The longest time that two nodes had an address because of a frozen or dead daemon.
    pub(crate) longest_overlap: Span,
}

impl Rules {
    pub(crate) fn new(schedule: &Schedule) -> Self {
        Self {
            group: schedule.group.clone(),
            times: Times::new(schedule),
            both: BTreeMap::new(),
            beside_idle: BTreeMap::new(),
            left: BTreeMap::new(),
            nobody: None,
            longest_overlap: Span::ZERO,
        }
    }

    /// Checks the world. `Some`: this rule is broken.
    pub(crate) fn look(&mut self, world: &World) -> Option<String> {
        let nodes = 0..world.nodes.len();
        let holders: Vec<usize> = nodes.clone().filter(|n| answers(&world.nodes[*n])).collect();
        let pairs = holders
            .iter()
            .flat_map(|first| holders.iter().map(move |second| (*first, *second)))
            .filter(|(first, second)| first < second);
        self.never_two(world, pairs.collect())
            .or_else(|| holders.iter().find_map(|holder| self.lease_ends(world, *holder)))
            .or_else(|| holders.iter().find_map(|holder| self.may_have(world, *holder)))
            .or_else(|| nodes.clone().find_map(|node| self.serves(world, node)))
            .or_else(|| self.never_nobody(world, holders.is_empty()))
    }

    fn never_two(&mut self, world: &World, pairs: Vec<(usize, usize)>) -> Option<String> {
        self.both.retain(|pair, _| pairs.contains(pair));
        self.beside_idle.retain(|pair, _| pairs.contains(pair));
        self.left.retain(|pair, _| pairs.contains(pair));
        for pair in pairs {
            let (first, second) = (&world.nodes[pair.0], &world.nodes[pair.1]);
            if !first.runs() || !second.runs() {
                self.both.remove(&pair);
                // The lease bounds this time.
                let since = *self.beside_idle.entry(pair).or_insert(world.now);
                let is_leased = |node: &Node| node.runs() || node.instance().lease.is_some();
                if is_leased(first) && is_leased(second) {
                    self.longest_overlap = self.longest_overlap.max(world.now.since(since));
                }
                continue;
            }
            self.beside_idle.remove(&pair);
            if !self.understand(world, pair.0, pair.1) || !share(first, second) {
                self.both.remove(&pair);
                continue;
            }
            let times = &self.times;
            // One that leaves takes nobody for its successor who was heard too early for that, and
            // so may wait in vain beside one that was active before.
            let leaves = world.leaves(pair.0) || world.leaves(pair.1);
            if leaves {
                self.left.insert(pair, world.now);
            }
            let departure = if leaves { times.departure } else { Span::ZERO };
            let bound = times.interval + times.yielding + times.paths + departure;
            let since = *self.both.entry(pair).or_insert(world.now);
            let settled = |node: &Node| {
                // A node with another virtual router ID or interface is leaving as the one before.
                let reidentified = node.reidentified.map(|at| at + times.departure);
                let clocks = node.clock_set + times.clocks;
                let heard = node.muted.max(node.deafened).unwrap_or(Mono(0));
                reidentified.map_or(clocks, |at| at.max(clocks)).max(heard)
            };
            let since = since.max(settled(first)).max(settled(second));
            let left = self.left.get(&pair).filter(|_| !leaves);
            let since = left.map_or(since, |left| since.max(*left));
            if world.now.since(since) > bound {
                let (first, second) = pair;
                let for_long = world.now.since(since);
                return Some(format!(
                    "node{first} and node{second} both have the address for {for_long}, \
                     more than {bound}"
                ));
            }
        }
        None
    }

    /// Invariant 3: the kernel removes the address of a daemon that does not run.
    fn lease_ends(&self, world: &World, node: usize) -> Option<String> {
        let state = &world.nodes[node];
        let idle = state.idle_since?;
        state.held().find_map(|address| {
            let end = self.times.end_of_lease(state, address, idle)?;
            let late = world.now.since(end);
            (late > Span::ZERO).then(|| {
                let gone = world.now.since(idle);
                format!("node{node} has {address} still, {gone} after its daemon, {late} too long")
            })
        })
    }

    /// A node on standby has no address once the kernel has done everything it was asked for.
    fn may_have(&self, world: &World, node: usize) -> Option<String> {
        let state = &world.nodes[node];
        // A virtual router that it has no more is no part of that, and leaves in its own time.
        let retired = state.reidentified.map(|at| at + self.times.departure);
        let steady = retired.map_or(state.steady_since, |at| at.max(state.steady_since));
        let is_settled = world.now.since(steady) > self.times.kernel;
        let has = state.runs() && state.standby && state.out && is_settled;
        has.then(|| format!("node{node} is on standby and has the address"))
    }

    /// A node must have the addresses if it can have them and hears nobody who has them, or if it
    /// has said itself that it has them.
    fn serves(&self, world: &World, node: usize) -> Option<String> {
        let state = &world.nodes[node];
        let times = &self.times;
        let unheard = (state.heard + times.down).max(state.steady_since + times.settling);
        // A farewell sets the timer anew, also one that would have fired before (RFC 9568 section
        // 6.4.2).
        let unheard = unheard.max(state.relieved + times.skew);
        // Whoever was out after a refusal listens anew.
        let refused = state.refused.max(state.muted).max(state.deafened);
        let unheard = refused.map_or(unheard, |at| unheard.max(at + REFUSED + times.settling));
        let is_lonely = world.now > unheard + times.claim;
        let is_active = state.active_since().is_some_and(|since| {
            world.now > since.max(state.steady_since) + times.claim + PUT_BACK
        });
        let is_new = world.now <= state.reconfigured + times.claim;
        if !is_lonely && !is_active || is_new || !self.is_fit(world, node) || world.has_all(node) {
            return None;
        }
        Some(if is_active {
            format!("node{node} is active and has not all addresses")
        } else {
            format!("node{node} hears nobody since {:?} and claims nothing", state.heard)
        })
    }

    /// As long as nothing else goes wrong, somebody has an address after the protocol's own time.
    fn never_nobody(&mut self, world: &World, nobody: bool) -> Option<String> {
        if !nobody {
            self.nobody = None;
            return None;
        }
        let since = *self.nobody.get_or_insert(world.now);
        let times = &self.times;
        // One node was said to be active and was not, and another one waited for it.
        let bound = times.settling + times.claim.times(2) + times.interval;
        let since = since.max(world.disturbed);
        if world.now.since(since) <= bound {
            return None;
        }
        // Whoever was out after a refusal listens anew.
        let has_had_time = |node: &usize| {
            let state = &world.nodes[*node];
            let refused = state.refused.max(state.muted).max(state.deafened);
            let since = refused.map_or(since, |at| since.max(at + REFUSED));
            world.now.since(since) > bound
        };
        let mut all = 0..world.nodes.len();
        all.find(|node| has_had_time(node) && self.is_fit(world, *node)).map(|node| {
            let for_long = world.now.since(since);
            format!("nobody has the address for {for_long}, more than {bound}; node{node} could")
        })
    }

    /// True if nothing keeps a node from having the addresses.
    fn is_fit(&self, world: &World, node: usize) -> bool {
        let state = &world.nodes[node];
        let port = state.ports[world.segment(&state.instance().interface)];
        let is_over = |at: Option<Mono>| at.is_none_or(|at| world.now.since(at) > REFUSED);
        state.runs()
            && !state.stopping
            && port.works()
            && port.numbered
            && !state.is_unanswered()
            && (state.refusals, state.mute, state.deaf) == (0, 0, 0)
            && is_over(state.refused)
            && is_over(state.muted)
            && is_over(state.deafened)
            && is_over(state.recreated)
            && self.group.standing_in(world, node) != Standing::Out
    }

    /// True if each of the two hears the other and believes it.
    fn understand(&self, world: &World, first: usize, second: usize) -> bool {
        let [one, other] = [first, second].map(|node| world.nodes[node].instance());
        // No node's clock keeps the others from believing it.
        let clocks = || world.nodes.iter().map(|node| node.wall);
        let apart = clocks().max().unwrap_or(0) - clocks().min().unwrap_or(0);
        let agree = !self.group.wire.signed || apart < u64::from(WINDOW - 1) * 1_000_000_000;
        let hears = |node: usize| world.nodes[node].mute == 0 && !is_deaf(world, node);
        let hear = hears(first) && hears(second) && speak_alike(one, other);
        world.loss == 0 && world.connected(first, second) && agree && hear
    }
}

/// True if its kernel answers for an address.
fn answers(node: &Node) -> bool {
    node.holds() && !node.suspended
}

/// True if two nodes have one address, each on any of its interfaces.
fn share(first: &Node, second: &Node) -> bool {
    first.held().any(|address| second.held().any(|other| other == address))
}

/// True if one of its sockets may be closed because it could not be opened.
fn is_deaf(world: &World, node: usize) -> bool {
    let state = &world.nodes[node];
    let is_recent = |at: Mono| world.now.since(at) <= SOCKET_RETRY;
    state.deaf > 0 || state.deafened.is_some_and(is_recent)
}
