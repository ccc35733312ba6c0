//! The rules for sync groups: each is on one node as a whole, at every moment and in the end.

use std::collections::BTreeSet;

use vipd::engine::status::InstanceStatus;
use vipd::engine::story::{StateName, What};
use vipd::engine::{Action, Event, Status};
use vipd::model::{Config, Family, InstanceConfig, Phase, Preempt};
use vipd::time::{Mono, Span};

use crate::check::Verdict;
use crate::health::Standing;
use crate::schedule::Group;
use crate::sync::{DELAY, Fault, GROUP, SEGMENTS, Schedule, segment_name};
use crate::world::{World, granularity};

/// Plays a schedule. `Err`: a rule was broken.
pub(crate) fn run(schedule: &Schedule) -> Result<Verdict, Verdict> {
    let mut world = World::new(schedule.setup());
    world.watcher = Some(look);
    match play(schedule, &mut world) {
        Ok(()) => Ok(Verdict::new(String::new(), world, Span::ZERO)),
        Err(what) => Err(Verdict::new(what, world, Span::ZERO)),
    }
}

fn play(schedule: &Schedule, world: &mut World) -> Result<(), String> {
    let nodes = world.nodes.len();
    let interval = schedule.group.interval.span();
    // The winner's next advertisement, its way, and some lateness.
    let bound = interval + DELAY + Span::from_millis(1);
    let mut owners = Owners {
        bound,
        alone: Alone::new(schedule),
        lease: schedule.group.lease,
        both: vec![None; nodes * nodes * SEGMENTS.len()],
    };
    // In which of their lives they were asked to hand over.
    let mut handed_over = vec![None; nodes];
    for (at, fault) in &schedule.faults {
        advance(world, &mut owners, Mono(0) + *at)?;
        if let Fault::HandOver(node, _) = fault {
            handed_over[*node] = Some(world.nodes[*node].life);
        }
        schedule.inflict(world, *fault);
    }
    // No daemon takes two files within microseconds, by which it numbers its hooks: neither this
    // one, nor one that has waited for it to go on.
    world.resume_all();
    advance(world, &mut owners, world.now + Span::from_millis(1))?;
    schedule.mend(world);
    let preemption = match schedule.group.preempt {
        Preempt::After(delay) => delay,
        Preempt::Never | Preempt::Always => Span::ZERO,
    };
    let rest = interval.times(16)
        + Span::from_millis(400)
        + preemption
        + schedule.group.hold_down
        + schedule.group.verdict_bound()
        + schedule.hooks.bound();
    let lease = schedule.group.lease.map_or(Span::ZERO, |lease| lease + granularity(Family::V4));
    advance(world, &mut owners, world.now + rest.max(lease))?;
    let mut lives = world.nodes.iter().zip(&handed_over);
    let moved = lives.any(|(node, life)| *life == Some(node.life));
    settled(schedule, world, moved)?;
    let told = world.story.len();
    advance(world, &mut owners, world.now + interval.times(10))?;
    settled(schedule, world, moved)?;
    match world.story.get(told) {
        Some(line) => Err(format!("no rest: {line}")),
        None => Ok(()),
    }
}

fn advance(world: &mut World, owners: &mut Owners, until: Mono) -> Result<(), String> {
    let mut broken = None;
    world.run(until, |world| {
        broken = broken.take().or_else(|| owners.look(world));
    });
    broken.or_else(|| world.violation.take()).map_or(Ok(()), Err)
}

/// True if a node takes part in everything that the others do, as one group.
fn is_whole(config: &Config) -> bool {
    !config.sync_groups.is_empty() && are_alike(config.instances.iter())
}

/// True if the instances have one virtual router ID, and an interface of the group each.
fn are_alike<'c>(instances: impl Iterator<Item = &'c InstanceConfig>) -> bool {
    let mut numbers = BTreeSet::new();
    let interfaces = instances.map(|one| {
        numbers.insert(one.virtual_router_id);
        one.interface.as_str()
    });
    interfaces.eq(SEGMENTS) && numbers.len() == 1
}

/// Judges what an engine has just decided.
fn look(world: &World, node: usize, actions: &[Action]) -> Option<String> {
    if let [.., StateName::Active, StateName::Backup] = changes(actions)[..] {
        return Some("takes over in vain".to_owned());
    }
    if world.has_just_gone_on(node) {
        return None;
    }
    let status = world.status(node)?;
    split(world, node, &status).or_else(|| lack(world, node, &status))
}

/// The states that instances take on, in their order.
fn changes(actions: &[Action]) -> Vec<StateName> {
    let state = |action: &Action| match action {
        Action::Report(Event { what: What::Changed { to, .. }, .. }) => Some(*to),
        _ => None,
    };
    actions.iter().filter_map(state).collect()
}

/// The segments on which a node has the address.
fn holds(world: &World, node: usize) -> [bool; 2] {
    let held = &world.nodes[node].machine.held;
    [0, 1].map(|segment| held.keys().any(|(interface, _)| *interface == segment_name(segment)))
}

/// A node has all of the group or nothing of it, and takes part with all of it or with nothing;
/// except while it leaves.
fn split(world: &World, node: usize, status: &Status) -> Option<String> {
    let state = &world.nodes[node];
    let engine = state.engine.as_ref()?;
    let is_whole = !engine.common_config().sync_groups.is_empty() && are_alike(engine.configured());
    // One that a reload has replaced leaves yet, or its successor has not come so far.
    if !is_whole || status.instances.len() != SEGMENTS.len() {
        return None;
    }
    let leaves = status.instances.iter().any(|instance| instance.leaving);
    // One that a reload has put beside an active one may have to wait for a hook; and so may one
    // that comes back to another one, which nobody has taken over from when both were handed over.
    let joins = status.instances.iter().find(|one| one.waits_for.is_some());
    if joins.is_some_and(|one| state.reloaded || comes_back(world, node, status, one)) {
        return None;
    }
    let both = [0, 1].map(|place| status.instances[place].state);
    let differ = |state| (both[0] == state) != (both[1] == state);
    let [wan, lan] = holds(world, node);
    // Until both links are known neither takes part.
    let is_apart = differ(StateName::Active) || differ(StateName::Fault) || wan != lan;
    let is_broken = !leaves && is_apart && !both.contains(&StateName::Stopped);
    is_broken.then(|| format!("has a part of the group: {both:?}"))
}

/// True if another instance has been active for longer than this one.
fn comes_back(world: &World, node: usize, status: &Status, one: &InstanceStatus) -> bool {
    let since = |one: &InstanceStatus| world.nodes[node].active.get(&one.name);
    status.instances.iter().any(|other| since(other).is_some_and(|at| Some(at) < since(one)))
}

/// Whoever is active to the election has its addresses, or waits for a hook that runs.
fn lack(world: &World, node: usize, status: &Status) -> Option<String> {
    let lacks = |one: &&InstanceStatus| one.state == StateName::Active && one.held.is_empty();
    let one = status.instances.iter().find(lacks)?;
    let waits = world.nodes[node].machine.process.is_at_gate();
    (!waits).then(|| format!("{} waits for nothing", one.name))
}

/// The longest time that a node which can have the group and hears nobody does not have it.
struct Alone {
    group: Group,
    /// From the last advertisement to the takeover by the least preferred node.
    down: Span,
    /// Until a node that can take part does so.
    settling: Span,
}

impl Alone {
    fn new(schedule: &Schedule) -> Self {
        let group = schedule.group.clone();
        let down = group.interval.span().times(4);
        // An instance that a reload has replaced leaves first.
        let departure = group.interval.span().times(2) + Span::from_millis(110);
        let settling = group.hold_down.max(down) + departure + group.verdict_bound();
        Self { down, settling: settling + schedule.hooks.bound(), group }
    }

    fn look(&self, world: &World, node: usize) -> Option<String> {
        let state = &world.nodes[node];
        let steady = state.steady_since.max(state.reconfigured) + self.settling;
        let is_due = world.now > steady.max(state.heard + self.down) + Span::from_millis(1);
        if !is_due || !self.is_fit(world, node) || holds(world, node) == [true; 2] {
            return None;
        }
        Some(format!("node{node} hears nobody since {:?}, and has not the group", state.heard))
    }

    fn is_fit(&self, world: &World, node: usize) -> bool {
        let state = &world.nodes[node];
        let is_joined = |place: usize| state.ports[place].works();
        state.runs()
            && !state.stopping
            && !state.is_unanswered()
            && !state.machine.process.is_at_gate()
            && is_whole(&state.config)
            && (0..SEGMENTS.len()).all(is_joined)
            && self.group.standing_in(world, node) != Standing::Out
    }
}

/// For each pair and segment: since when both hold its address and hear each other.
struct Owners {
    bound: Span,
    alone: Alone,
    lease: Option<Span>,
    both: Vec<Option<Mono>>,
}

impl Owners {
    fn look(&mut self, world: &World) -> Option<String> {
        let mut nodes = 0..world.nodes.len();
        let judged = |node| self.lease_ends(world, node).or_else(|| self.alone.look(world, node));
        nodes.find_map(judged).or_else(|| self.never_two(world))
    }

    /// Invariant 3: the kernel removes the addresses of a daemon that does not run.
    fn lease_ends(&self, world: &World, node: usize) -> Option<String> {
        let state = &world.nodes[node];
        let end = state.idle_since? + self.lease? + granularity(Family::V4);
        let is_late = state.holds() && !state.suspended && world.now > end;
        is_late.then(|| format!("node{node} has an address still, after its lease"))
    }

    fn never_two(&mut self, world: &World) -> Option<String> {
        let nodes = world.nodes.len();
        let mut broken = None;
        for (segment, name) in SEGMENTS.into_iter().enumerate() {
            let owns = |node: &usize| owns(world, *node, segment);
            let owners: Vec<usize> = (0..nodes).filter(owns).collect();
            for first in 0..nodes {
                for second in first + 1..nodes {
                    let both = owners.contains(&first)
                        && owners.contains(&second)
                        && world.meet(segment, first, second)
                        && !is_deaf(world, first, second)
                        && ![first, second].iter().any(|node| world.leaves(*node));
                    let since = &mut self.both[(segment * nodes + first) * nodes + second];
                    if !both {
                        *since = None;
                    } else if world.now.since(*since.get_or_insert(world.now)) > self.bound {
                        broken = Some(format!("node{first} and node{second} both have {name}"));
                    }
                }
            }
        }
        broken
    }
}

/// True if one of the two does not hear the other on a segment on which it is heard by it: they do
/// not agree about the group then.
fn is_deaf(world: &World, first: usize, second: usize) -> bool {
    let mut all = world.one_way.iter();
    all.any(|(_, from, to)| [(first, second), (second, first)].contains(&(*from, *to)))
}

/// True if a node has the address of a segment, and nothing explains that another one has it, too.
fn owns(world: &World, node: usize, segment: usize) -> bool {
    let state = &world.nodes[node];
    let is_awake = state.runs() && world.loss == 0;
    is_awake && is_whole(&state.config) && holds(world, node)[segment]
}

fn settled(schedule: &Schedule, world: &World, handed_over: bool) -> Result<(), String> {
    told(schedule, world)?;
    let nodes = || 0..world.nodes.len();
    let standing = |node: usize| schedule.group.standing_in(world, node);
    let holders: Vec<usize> = nodes().filter(|node| world.nodes[*node].holds()).collect();
    let best = nodes().map(standing).max().unwrap_or(Standing::Out);
    match (best, holders.as_slice()) {
        (Standing::Out, []) => Ok(()),
        (_, [holder]) if holds(world, *holder) == [true; 2] => {
            let kind = |standing| std::mem::discriminant(&standing);
            let must_be_best = schedule.group.preempt != Preempt::Never && !handed_over;
            let is_best = standing(*holder).priority() == best.priority();
            if is_best || !must_be_best && kind(standing(*holder)) == kind(best) {
                return Ok(());
            }
            Err(format!("node{holder} has the group, not the {best:?} node"))
        }
        _ => Err(format!("in the end the group is on {holders:?}, and the best is {best:?}")),
    }
}

/// Each group was told last what it is.
fn told(schedule: &Schedule, world: &World) -> Result<(), String> {
    for (number, node) in world.nodes.iter().enumerate() {
        let Some(status) = world.status(number) else { continue };
        let state = status.groups[0].state;
        // Hooks that a reload has brought were not told of what was before.
        let told = node.told.get(GROUP).copied().unwrap_or_default();
        let may_not_know = node.told.get(GROUP) == Some(&None);
        let has_script = schedule.hooks.of_group.has(Phase::Script);
        if has_script && !may_not_know && told != Some(state) {
            return Err(format!("the group of node{number} is {state}, and was told {told:?}"));
        }
        if (state == StateName::Active) != (holds(world, number) == [true; 2]) {
            return Err(format!("the group of node{number} is {state}"));
        }
    }
    Ok(())
}
