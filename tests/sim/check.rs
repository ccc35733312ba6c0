//! What a group owes its clients, whatever happened to it: the reference model.

use vipd::model::{Preempt, Priority, Version};
use vipd::time::{Mono, Span};

use crate::schedule::{Fault, Group, Schedule};
use crate::world::World;

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
    let refused = |fault: &(Span, Fault)| matches!(fault.1, Fault::RefuseAddresses { .. });
    let convergence = convergence_bound(group, schedule.faults.iter().any(refused));
    advance(world, owners, world.now + convergence)?;
    settled(group, world)?;
    // And so it stays.
    let told = world.story.len();
    advance(world, owners, world.now + group.interval.span().times(10))?;
    settled(group, world)?;
    match world.story.get(told) {
        Some(line) => Err(format!("no rest after {convergence}: {line}")),
        None => Ok(()),
    }
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
fn convergence_bound(group: &Group, refused: bool) -> Span {
    let preemption = match group.preempt {
        Preempt::After(delay) => delay,
        Preempt::Never | Preempt::Always => Span::ZERO,
    };
    let fault = if refused { Span::from_secs(11) } else { Span::ZERO };
    // 30 ms: an interface that is just being re-created.
    group.hold_down
        + longest_active_down(group).times(3)
        + preemption
        + fault
        + Span::from_millis(40)
}

/// Exactly one node holds the address, and it is a rightful one.
fn settled(group: &Group, world: &World) -> Result<(), String> {
    let running = |node: usize| world.nodes[node].engine.is_some();
    let nodes = || 0..group.priorities.len();
    let holders: Vec<usize> = nodes().filter(|node| world.nodes[*node].holds).collect();
    let [holder] = holders[..] else {
        return Err(format!("after everything was mended the address is held by {holders:?}"));
    };
    let highest: Option<Priority> =
        nodes().filter(|n| running(*n)).map(|n| group.priorities[n]).max();
    if group.preempt != Preempt::Never && Some(group.priorities[holder]) != highest {
        return Err(format!("node{holder} holds the address, but a higher priority is there"));
    }
    Ok(())
}

/// Watches for two owners that could have heard each other.
struct Owners {
    bound: Span,
    /// For each pair: since when both hold the address with nothing wrong between them.
    since: Vec<Option<Mono>>,
}

impl Owners {
    fn new(group: &Group) -> Self {
        let nodes = group.priorities.len();
        let interval = group.interval.span();
        // The winner's next advertisement, its way, and the loop's lateness.
        let bound = interval + group.delay + interval.divided_by(10);
        Self { bound, since: vec![None; nodes * nodes] }
    }

    fn look(&mut self, world: &World) -> Option<String> {
        let nodes = world.nodes.len();
        let well = |node: usize| {
            let node = &world.nodes[node];
            node.holds && node.engine.is_some() && node.paused_until.is_none()
        };
        for first in 0..nodes {
            for second in first + 1..nodes {
                let both = well(first)
                    && well(second)
                    && world.loss == 0
                    && world.connected(first, second);
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
