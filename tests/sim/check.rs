//! What a group owes its clients, whatever happened to it: the reference model.

use vipd::model::{Preempt, Routing};
use vipd::time::{Mono, Span};

use crate::health::Standing;
use crate::rules::{REFUSED, Rules};
use crate::schedule::{Fault, Group, Schedule};
use crate::world::{Node, Seen, World};

/// How a schedule ended.
pub(crate) struct Verdict {
    pub(crate) what: String,
    pub(crate) story: Vec<String>,
    pub(crate) takeovers: u64,
    /// The longest time that two nodes had the address because of a frozen or dead daemon.
    pub(crate) overlap: Span,
    pub(crate) seen: Seen,
}

impl Verdict {
    /// The end of a world; `what` is empty where no rule was broken.
    pub(crate) fn new(what: String, mut world: World, overlap: Span) -> Self {
        let seen = world.take_seen();
        Self { what, story: world.story, takeovers: world.takeovers, overlap, seen }
    }
}

/// Plays a schedule and judges it. `Err`: a rule was broken.
pub(crate) fn run(schedule: &Schedule) -> Result<Verdict, Verdict> {
    let mut world = World::new(schedule.setup());
    let mut rules = Rules::new(schedule);
    let outcome = play(schedule, &mut world, &mut rules);
    let verdict = |what: String| Verdict::new(what, world, rules.longest_overlap);
    match outcome {
        Ok(()) => Ok(verdict(String::new())),
        Err(what) => Err(verdict(what)),
    }
}

fn play(schedule: &Schedule, world: &mut World, rules: &mut Rules) -> Result<(), String> {
    let group = &schedule.group;
    for (at, fault) in &schedule.faults {
        advance(world, rules, Mono(0) + *at)?;
        schedule.inflict(world, *fault);
    }
    // No daemon takes two files within microseconds, by which it numbers its hooks: neither this
    // one, nor one that has waited for it to go on.
    world.resume_all();
    advance(world, rules, world.now + Span::from_millis(1))?;
    schedule.mend(world);
    let happened = |what: fn(&Fault) -> bool| schedule.faults.iter().any(|(_, fault)| what(fault));
    let refused = happened(|fault| {
        matches!(fault, Fault::RefuseAddresses { .. } | Fault::RefuseSends { .. })
    });
    // What is left of a standby that was called off is a handover.
    let handed_over =
        happened(|fault| matches!(fault, Fault::HandOver { .. } | Fault::StandBy { .. }));
    let recreated = happened(|fault| {
        let is_recreated = matches!(fault, Fault::Recreate { .. } | Fault::RecreateSecond { .. });
        is_recreated || matches!(fault, Fault::RefuseSockets { .. })
    });
    // How long an instance stays out after an address, or a socket, was refused.
    let fault = match (refused, recreated) {
        (true, _) => REFUSED,
        (false, true) => Span::from_millis(2_100),
        (false, false) => Span::ZERO,
    };
    let dead = world.nodes.iter().filter_map(|node| {
        let idle = node.idle_since?;
        node.held().filter_map(|one| rules.times.end_of_lease(node, one, idle)).max()
    });
    let leases = dead.max().unwrap_or(world.now).since(world.now);
    let convergence = rules.times.convergence(group, fault).max(leases);
    advance(world, rules, world.now + convergence)?;
    settled(group, world, handed_over)?;
    // And so it stays.
    let told = world.story.len();
    advance(world, rules, world.now + rules.times.interval.times(10))?;
    settled(group, world, handed_over)?;
    // That a conflict lasts is told again and again.
    let is_news = |line: &&String| !line.contains("make the configurations the same");
    match world.story[told..].iter().find(is_news) {
        Some(line) => Err(format!("no rest after {convergence}: {line}")),
        None => Ok(()),
    }
}

/// Plays a schedule of planned moves: from the first takeover on somebody always has the address.
pub(crate) fn run_without_gap(schedule: &Schedule) -> Result<Verdict, Verdict> {
    let mut world = World::new(schedule.setup());
    // Equals that start together may both claim, and one yields to the other.
    let started = Mono(0) + schedule.faults.first().map_or(Span::ZERO, |(at, _)| *at);
    let mut held = false;
    let mut gap = None;
    let mut play = |world: &mut World, until: Mono| {
        world.run(until, |world| {
            let holds = world.nodes.iter().any(Node::holds);
            if held && !holds && world.now >= started {
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
            schedule.inflict(&mut world, fault);
            Ok(())
        })
    });
    let verdict = |what: String| Verdict::new(what, world, Span::ZERO);
    match outcome {
        Ok(()) => Ok(verdict(String::new())),
        Err(what) => Err(verdict(what)),
    }
}

fn advance(world: &mut World, rules: &mut Rules, until: Mono) -> Result<(), String> {
    let mut broken = None;
    world.run(until, |world| {
        if let Some(what) = rules.look(world) {
            broken.get_or_insert(what);
        }
    });
    match broken.or_else(|| world.violation.take()) {
        Some(what) => Err(what),
        None => Ok(()),
    }
}

/// True if a node has routes that it should not have: other ones, or without having an address.
fn has_foreign_routes(node: &Node) -> bool {
    let is_own = |routing: &Routing| node.instance().routing().any(|own| own == *routing);
    let mut all = node.machine.routings.iter();
    node.runs() && all.any(|routing| !node.holds() || !is_own(routing))
}

/// Exactly one node holds the address, and it is a rightful one.
fn settled(group: &Group, world: &World, handed_over: bool) -> Result<(), String> {
    let nodes = || 0..group.priorities.len();
    let holders: Vec<usize> = nodes().filter(|node| world.nodes[*node].holds()).collect();
    // What checks find is not mended: the model knows who may have the address.
    let best = nodes().map(|node| group.standing_in(world, node)).max().unwrap_or(Standing::Out);
    if let Some(node) = nodes().find(|node| has_foreign_routes(&world.nodes[*node])) {
        let routings = &world.nodes[node].machine.routings;
        return Err(format!("in the end node{node} has {routings:?}"));
    }
    if let (Standing::Out, []) = (best, &holders[..]) {
        return Ok(());
    }
    let [holder] = holders[..] else {
        let standings: Vec<Standing> = nodes().map(|node| group.standing_in(world, node)).collect();
        return Err(format!("in the end the address is held by {holders:?} of {standings:?}"));
    };
    if !world.has_all(holder) {
        return Err(format!("node{holder} has only a part of the addresses"));
    }
    let standing = group.standing_in(world, holder);
    if let Some(node) = nodes().find(|node| world.nodes[*node].is_unanswered()) {
        return Err(format!("node{node} has not answered the operator"));
    }
    // Whoever has handed over does not preempt.
    let same_kind = std::mem::discriminant(&standing) == std::mem::discriminant(&best);
    let must_be_best = group.preempt != Preempt::Never && !handed_over;
    if standing.priority() != best.priority() && (must_be_best || !same_kind) {
        return Err(format!("node{holder} has the address as {standing:?}, not the {best:?} one"));
    }
    // The priority that it says it has.
    let status = world.status(holder);
    let first = status.as_ref().and_then(|status| status.instances.first());
    let advertised = first.map(|instance| instance.priority);
    if advertised != standing.priority() {
        return Err(format!("node{holder} has priority {advertised:?} as {standing:?}"));
    }
    Ok(())
}
