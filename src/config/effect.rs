//! What the checks are for: which instances depend on which, and whether their costs can ever move
//! an address.

use std::collections::BTreeSet;

use super::instance::Draft;
use super::keys::nearest;
use super::nodes::Nodes;
use super::problem::{Marked, Problems, Wrong, quoted};
use super::section::Given;
use super::track::Tracks;
use crate::model::{
    IfAllFail, InstanceConfig, Preempt, Priority, SyncGroup, TrackConfig, TrackName,
};

/// Compares the checks with the instances that depend on them.
pub(super) fn all(
    drafts: &[Draft<'_>],
    tracks: &Tracks,
    nodes: &Nodes,
    groups: &[SyncGroup],
    problems: &mut Problems<'_>,
) {
    let mut all_known = tracks.complete;
    for draft in drafts {
        all_known &= names(draft, tracks, problems);
    }
    if all_known {
        unused(drafts, tracks, problems);
    }
    for draft in drafts {
        let shared = drafts.iter().filter(|other| depend_alike(draft, other, groups));
        let names: BTreeSet<&TrackName> = shared.flat_map(Draft::track_names).collect();
        effect(draft, &names, tracks, nodes, problems);
    }
}

/// Whether a check of one of these is a check of the other: in a group it is.
fn depend_alike(draft: &Draft<'_>, other: &Draft<'_>, groups: &[SyncGroup]) -> bool {
    draft.name == other.name || groups.iter().any(|g| has(g, draft) && has(g, other))
}

fn has(group: &SyncGroup, draft: &Draft<'_>) -> bool {
    draft.name.as_ref().is_some_and(|name| group.members.contains(name))
}

/// Every name is that of a check, once. Returns whether that is so.
fn names(draft: &Draft<'_>, tracks: &Tracks, problems: &mut Problems<'_>) -> bool {
    let list = match &draft.tracks {
        Given::Absent => return true,
        Given::Wrong => return false,
        Given::Right(list) => &list.value,
    };
    let mut seen = BTreeSet::new();
    let mut all_known = true;
    for Marked { value: name, spot } in list {
        if !seen.insert(name) {
            problems.add(spot, Wrong::new(format!("{} stands here twice", quoted(name.as_str()))));
        } else if tracks.find(name).is_none() {
            all_known = false;
            if tracks.complete {
                problems.add(spot, unknown(name, tracks));
            }
        }
    }
    all_known
}

fn unknown(name: &TrackName, tracks: &Tracks) -> Wrong {
    let known: Vec<&str> = tracks.list.iter().map(|draft| draft.name.value.as_str()).collect();
    let wrong = Wrong::new(format!("there is no check {} under 'tracks'", quoted(name.as_str())));
    match nearest(known.iter().copied(), name.as_str()) {
        Some(near) => wrong.hint(format!("did you mean '{near}'?")),
        None if known.is_empty() => wrong.hint("add it there"),
        None => wrong.hint(format!("there are {}", known.join(", "))),
    }
}

/// A check on which nothing depends guards nothing, whatever its writer believes.
fn unused(drafts: &[Draft<'_>], tracks: &Tracks, problems: &mut Problems<'_>) {
    let used: BTreeSet<&TrackName> = drafts.iter().flat_map(Draft::track_names).collect();
    for track in &tracks.list {
        if !used.contains(&track.name.value) {
            let wrong = Wrong::new("no instance depends on this check");
            let hint = format!("name it in one, 'track: [{}]', or leave it out", track.name.value);
            problems.add(&track.name.spot, wrong.hint(hint));
        }
    }
}

/// Whether what is to happen when its checks fail can happen.
fn effect(
    draft: &Draft<'_>,
    names: &BTreeSet<&TrackName>,
    tracks: &Tracks,
    nodes: &Nodes,
    problems: &mut Problems<'_>,
) {
    let Some(config) = &draft.config else { return };
    let checks = names.iter().map(|name| tracks.find(name)?.config.as_ref());
    let Some(checks) = checks.collect::<Option<Vec<&TrackConfig>>>() else { return };
    last_resort(draft, config, &checks, nodes, problems);
    let costs: Vec<&TrackConfig> = checks.into_iter().filter(|t| t.cost.is_some()).collect();
    if costs.is_empty() {
        return;
    }
    if let (Preempt::Never, Some(spot)) = (config.preempt, draft.section.spot_of("preempt")) {
        let what = format!(
            "with never the costs of {} could not move the addresses: the other nodes leave them \
             to an active one whatever its priority",
            list(&costs)
        );
        let hint = "leave the costs out, so that a failing check takes its node out, or preempt";
        problems.add(&spot, Wrong::new(what).hint(hint));
    } else if let (Some(wrong), Some(spot)) =
        (too_small(config, &costs, draft, nodes), draft.section.spot_of("track"))
    {
        problems.add(&spot, wrong);
    }
}

fn last_resort(
    draft: &Draft<'_>,
    config: &InstanceConfig,
    checks: &[&TrackConfig],
    nodes: &Nodes,
    problems: &mut Problems<'_>,
) {
    let Some(spot) = draft.section.spot_of("if_all_fail") else { return };
    if checks.iter().all(|check| check.cost.is_some()) {
        let wrong = Wrong::new("has no effect: no check without a cost stands under 'track'");
        problems.add(&spot, wrong.hint("leave it out"));
    } else if config.if_all_fail == IfAllFail::Keep && config.priority.is_owner() {
        let wrong = Wrong::new("has no meaning at priority 255: the addresses stay there anyway");
        problems.add(&spot, wrong.hint("leave it out"));
    } else if config.if_all_fail == IfAllFail::Keep {
        let mut all = priorities(draft, nodes).into_iter();
        if let Some((node, low)) = all.find(|(_, one)| *one < Priority::LOWEST_HEALTHY) {
            let what = format!(
                "keeps the priorities from 1 to {} for nodes whose checks fail, and {low} is that \
                 of {node}",
                Priority::LAST_RESORT
            );
            let hint = format!("use priorities from {} on", Priority::LOWEST_HEALTHY);
            problems.add(&spot, Wrong::new(what).hint(hint));
        }
    }
}

/// The nodes' priorities as far as this file says them, the highest first.
fn priorities(draft: &Draft<'_>, nodes: &Nodes) -> Vec<(String, Priority)> {
    match &draft.priority {
        Given::Right(own) => vec![("this node".to_owned(), own.value)],
        Given::Absent | Given::Wrong => nodes.priorities(),
    }
}

/// Whether all costs together leave the addresses where they are, whichever node has them.
fn too_small(
    config: &InstanceConfig,
    costs: &[&TrackConfig],
    draft: &Draft<'_>,
    nodes: &Nodes,
) -> Option<Wrong> {
    let own = config.priority;
    if own.is_owner() || own == Priority::LOWEST {
        let what = format!("the costs of {} have no effect at priority {own}", list(costs));
        return Some(Wrong::new(what).hint("leave the costs out"));
    }
    let lowest = match config.if_all_fail {
        IfAllFail::Keep => Priority::LOWEST_HEALTHY,
        IfAllFail::Release => Priority::LOWEST,
    };
    let sum = costs.iter().filter_map(|track| track.cost).map(u32::from).sum();
    let nodes = priorities(draft, nodes);
    let hint = "raise the costs, or leave them out, so that a failing check takes its node out";
    let stays = nodes.windows(2).find_map(|pair| match pair {
        [(node, priority), (next, below)] => {
            let left = priority.lowered(sum, lowest);
            let what = format!(
                "{node}'s priority {priority} - {sum} for {} = {left} is not below {next}'s {below}: \
                 these checks could never move the addresses",
                list(costs)
            );
            (left >= *below).then_some(what)
        }
        _ => None,
    });
    stays.map(|what| Wrong::new(what).hint(hint))
}

/// `disk (5), net (3)`
fn list(costs: &[&TrackConfig]) -> String {
    let costs = costs.iter().map(|track| format!("{} ({})", track.name, track.cost.unwrap_or(0)));
    costs.collect::<Vec<_>>().join(", ")
}
