//! What a group owes its clients, whatever happened to it: the reference model.

use vipd::model::{Preempt, Version};
use vipd::time::{Mono, Span};

use crate::group::WINDOW;
use crate::health::Standing;
use crate::schedule::{Fault, Group, Schedule};
use crate::world::{GRANULARITY, World};

/// How a schedule ended.
pub(crate) struct Verdict {
    pub(crate) what: String,
    pub(crate) story: Vec<String>,
    pub(crate) takeovers: u64,
}

/// Plays a schedule and judges it. `Err`: a rule was broken.
pub(crate) fn run(schedule: &Schedule) -> Result<Verdict, Verdict> {
    let mut world = World::new(&schedule.group, schedule.seed);
    let mut owners = Owners::new(&schedule.group);
    let outcome = play(schedule, &mut world, &mut owners);
    let verdict = |what: String| Verdict { what, story: world.story, takeovers: world.takeovers };
    match outcome {
        Ok(()) => Ok(verdict(String::new())),
        Err(what) => Err(verdict(what)),
    }
}

fn play(schedule: &Schedule, world: &mut World, owners: &mut Owners) -> Result<(), String> {
    let group = &schedule.group;
    for (at, fault) in &schedule.faults {
        advance(world, owners, Mono(0) + *at)?;
        world.inflict(*fault);
    }
    advance(world, owners, world.now)?;
    world.mend();
    let happened = |what: fn(&Fault) -> bool| schedule.faults.iter().any(|(_, fault)| what(fault));
    let refused = happened(|fault| matches!(fault, Fault::RefuseAddresses { .. }));
    // What is left of a standby that was called off is a handover.
    let handed_over =
        happened(|fault| matches!(fault, Fault::HandOver { .. } | Fault::StandBy { .. }));
    let recreated = happened(|fault| matches!(fault, Fault::Recreate { .. }));
    // How long an instance stays out after an address, or a socket, was refused.
    let fault = match (refused, recreated) {
        (true, _) => Span::from_secs(11),
        (false, true) => Span::from_millis(2_100),
        (false, false) => Span::ZERO,
    };
    let convergence = convergence_bound(group, fault);
    advance(world, owners, world.now + convergence)?;
    settled(group, world, handed_over)?;
    // And so it stays.
    let told = world.story.len();
    advance(world, owners, world.now + group.interval.span().times(10))?;
    settled(group, world, handed_over)?;
    match world.story.get(told) {
        Some(line) => Err(format!("no rest after {convergence}: {line}")),
        None => Ok(()),
    }
}

/// Plays a schedule of planned moves: from the first takeover on somebody always has the address.
pub(crate) fn run_without_gap(schedule: &Schedule) -> Result<(), Verdict> {
    let mut world = World::new(&schedule.group, schedule.seed);
    let mut held = false;
    let mut gap = None;
    let mut play = |world: &mut World, until: Mono| {
        world.run(until, |world| {
            let holds = world.nodes.iter().any(crate::world::Node::holds);
            if held && !holds {
                gap.get_or_insert(world.now);
            }
            held |= holds;
        });
        match gap {
            Some(at) => Err(format!("nobody has the address at {at:?}")),
            None if held => Ok(()),
            None => Err("nobody ever took the address".to_owned()),
        }
    };
    let end = schedule.faults.last().map_or(Span::ZERO, |(at, _)| *at) + Span::from_secs(60);
    let mut steps = schedule.faults.iter().map(|(at, fault)| (Mono(0) + *at, Some(*fault)));
    let outcome = steps.by_ref().chain([(Mono(0) + end, None)]).try_for_each(|(at, fault)| {
        play(&mut world, at)?;
        fault.map_or(Ok(()), |fault| {
            world.inflict(fault);
            Ok(())
        })
    });
    outcome.map_err(|what| Verdict { what, story: world.story, takeovers: world.takeovers })
}

fn advance(world: &mut World, owners: &mut Owners, until: Mono) -> Result<(), String> {
    let mut broken = None;
    world.run(until, |world| {
        if let Some(what) = owners.look(world) {
            broken.get_or_insert(what);
        }
    });
    match broken.or_else(|| world.violation.take()) {
        Some(what) => Err(what),
        None => Ok(()),
    }
}

/// The longest active-down interval in the group (RFC 9568 section 6.1), computed here anew.
fn longest_active_down(group: &Group) -> Span {
    let skew = match group.version {
        Version::V2 => Span::from_secs(1),
        Version::V3 => group.interval.span(),
    };
    group.interval.span().times(3) + skew
}

/// How long after the last fault the group has its one active router: hold-down, then an
/// active-down interval that may have been restarted twice (a pause that is distrusted, a
/// deposed active router that yields in its turn), the preemption delay, and a refused
/// address' time in fault.
fn convergence_bound(group: &Group, fault: Span) -> Span {
    let preemption = match group.preempt {
        Preempt::After(delay) => delay,
        Preempt::Never | Preempt::Always => Span::ZERO,
    };
    // A handover that is under way when the faults end: nobody is heard for a skew time and half
    // an interval. The address of a node that died stays for its lease.
    let departure = longest_active_down(group).times(2).divided_by(4).max(Span::from_millis(200));
    let lease = group.lease.map_or(Span::ZERO, |lease| lease + GRANULARITY);
    // 30 ms: an interface that is just being re-created.
    group.hold_down
        + (longest_active_down(group).times(3) + departure).max(lease)
        + preemption
        + fault
        + group.verdict_bound()
        + group.hook_bound()
        + patience(group).times(2)
        + Span::from_millis(40)
}

/// What else it may take until two routers agree: on several paths equals give the first one time to
/// decide, and who signs waits for clocks that are behind its own.
fn patience(group: &Group) -> Span {
    let interval = group.interval.span();
    let several = group.wire.dual || group.wire.second_path;
    let for_paths = if several { interval.times(5) } else { Span::ZERO };
    let window = Span::from_secs(WINDOW.into());
    let for_clocks = if group.wire.signed { window + interval.times(4) } else { Span::ZERO };
    for_paths + for_clocks
}

/// Exactly one node holds the address, and it is a rightful one.
fn settled(group: &Group, world: &World, handed_over: bool) -> Result<(), String> {
    let nodes = || 0..group.priorities.len();
    let holders: Vec<usize> = nodes().filter(|node| world.nodes[*node].holds()).collect();
    // What checks find is not mended: the model knows who may have the address.
    let best = nodes().map(|node| world.standing(node)).max().unwrap_or(Standing::Out);
    if let (Standing::Out, []) = (best, &holders[..]) {
        return Ok(());
    }
    let [holder] = holders[..] else {
        let standings: Vec<Standing> = nodes().map(|node| world.standing(node)).collect();
        return Err(format!("in the end the address is held by {holders:?} of {standings:?}"));
    };
    if !world.has_all(holder) {
        return Err(format!("node{holder} has only a part of the addresses"));
    }
    let standing = world.standing(holder);
    if let Some(node) = nodes().find(|node| world.nodes[*node].unanswered > 0) {
        return Err(format!("node{node} has not answered the operator"));
    }
    // Whoever has handed over does not preempt.
    let same_kind = std::mem::discriminant(&standing) == std::mem::discriminant(&best);
    let must_be_best = group.preempt != Preempt::Never && !handed_over;
    if standing.priority() != best.priority() && (must_be_best || !same_kind) {
        return Err(format!("node{holder} has the address as {standing:?}, not the {best:?} one"));
    }
    let advertised = world.advertised(holder);
    if advertised != standing.priority() {
        return Err(format!("node{holder} has priority {advertised:?} as {standing:?}"));
    }
    Ok(())
}

/// Watches for two owners that could have heard each other, and for the addresses of daemons that
/// do not run.
struct Owners {
    bound: Span,
    /// How long an address may stay where its daemon does not run.
    lease: Option<Span>,
    /// For each pair: since when both hold the address with nothing wrong between them.
    since: Vec<Option<Mono>>,
}

impl Owners {
    fn new(group: &Group) -> Self {
        let nodes = group.priorities.len();
        let interval = group.interval.span();
        // The winner's next advertisement, its way, and the loop's lateness.
        let bound = interval + group.delay + interval.divided_by(10) + patience(group);
        let lease = group.lease.map(|lease| lease + GRANULARITY);
        Self { bound, lease, since: vec![None; nodes * nodes] }
    }

    fn look(&mut self, world: &World) -> Option<String> {
        let nodes = world.nodes.len();
        for (number, node) in world.nodes.iter().enumerate() {
            let idle = node.idle_since.map(|since| world.now.since(since));
            if let (true, Some(idle), Some(lease)) = (node.holds(), idle, self.lease)
                && idle > lease
                && !node.suspended
            {
                return Some(format!("node{number} holds the address, {idle} after its daemon"));
            }
        }
        let well = |node: usize| {
            let node = &world.nodes[node];
            node.holds() && node.engine.is_some() && node.paused_until.is_none()
        };
        for first in 0..nodes {
            for second in first + 1..nodes {
                let both = well(first)
                    && well(second)
                    && world.loss == 0
                    && world.connected(first, second)
                    // After a partition both may be asked to hand over: then neither says more.
                    && !(world.leaves(first) && world.leaves(second));
                let since = &mut self.since[first * nodes + second];
                if !both {
                    *since = None;
                    continue;
                }
                let since = *since.get_or_insert(world.now);
                if world.now.since(since) > self.bound {
                    return Some(format!("node{first} and node{second} both hold the address"));
                }
            }
        }
        None
    }
}
