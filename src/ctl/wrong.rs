//! What is wrong: all that an operator should look at, loudest first.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::words::since;
use crate::api::Snapshot;
use crate::engine::conflict::Conflict;
use crate::engine::status::{FailedHook, GroupStatus, InstanceStatus, TrackStatus};
use crate::engine::story::{Fault, StateName, Why};
use crate::engine::{PeerStatus, few};
use crate::model::InstanceName;
use crate::time::Span;

/// A router that was not heard for longer than this is not there any more.
const GONE: Span = Span::from_secs(60);

/// A line for each thing; of an instance, its own and what concerns the whole node.
pub(super) fn wrong(snapshot: &Snapshot, name: Option<&InstanceName>) -> Vec<String> {
    let status = &snapshot.status;
    let instances: Vec<&InstanceStatus> = status
        .instances
        .iter()
        .filter(|instance| name.is_none_or(|name| instance.name == *name))
        .collect();
    let mut lines = Vec::new();
    for refused in &snapshot.file.refused {
        lines.push(format!("the configuration was not reloaded: {refused}"));
    }
    for awaited in &snapshot.file.awaited {
        let is_told = status.instances.iter().any(|instance| match &instance.why {
            Why::Fault(Fault::Awaiting(what)) => awaited.contains(what),
            _ => false,
        });
        if !is_told {
            lines.push(format!("not on this machine: {awaited}"));
        }
    }
    if status.standby.node {
        let text = "this node is on standby, with all instances, until `vipctl online`";
        lines.push(text.to_owned());
    }
    for instance in &instances {
        lines.extend(of_instance(snapshot, instance));
    }
    for group in status.groups.iter().filter(|group| concerns(group, name)) {
        for FailedHook { name, text, at } in group.failed_hooks() {
            let at = since(snapshot, at);
            lines.push(format!("sync group {}: hook {name} failed at {at}: {text}", group.name));
        }
    }
    for track in &status.tracks {
        let counts = instances.iter().any(|instance| instance.tracks.contains(&track.name));
        if track.failure.is_some() && (name.is_none() || counts) {
            lines.push(failing(snapshot, track));
        }
    }
    lines.extend(snapshot.notes.iter().cloned());
    lines
}

/// Whether the chosen instance is a member; all are where none is chosen.
fn concerns(group: &GroupStatus, name: Option<&InstanceName>) -> bool {
    name.is_none_or(|name| group.members.contains(name))
}

fn of_instance(snapshot: &Snapshot, instance: &InstanceStatus) -> Vec<String> {
    let mut lines = vec![];
    let since_then = since(snapshot, instance.since);
    match instance.state {
        StateName::Fault | StateName::Stopped => {
            lines.push(format!("{} since {since_then}: {}", instance.state, instance.reason));
        }
        StateName::Standby if !snapshot.status.standby.node => {
            let name = &instance.name;
            lines.push(format!("on standby since {since_then}, until `vipctl online {name}`"));
        }
        StateName::Backup if instance.active.is_none() => {
            lines.push("this node hears no router that has the addresses".to_owned());
        }
        StateName::Standby | StateName::Backup | StateName::Active => {}
    }
    if let Some(lowered) = &instance.lowered {
        let (priority, own) = (instance.priority, instance.own_priority);
        lines.push(format!("priority {priority} instead of {own}: {lowered}"));
    }
    if instance.leaving {
        lines.push("leaving, until another node has taken over".to_owned());
    }
    if let Some(phase) = instance.waits_for {
        lines.push(format!("waiting for {phase} to end"));
    }
    lines.extend(instance.missing_paths.iter().map(ToString::to_string));
    lines.extend(misplaced(instance));
    lines.extend(instance.conflicts.iter().map(|conflict| {
        let (text, count, lasts) = (&conflict.text, conflict.count, conflict.lasts);
        format!("conflict: {text} (seen {count} times, for {lasts})")
    }));
    for FailedHook { name, text, at } in instance.failed_hooks() {
        lines.push(format!("hook {name} failed at {}: {text}", since(snapshot, at)));
    }
    lines.extend(
        instance
            .peers
            .iter()
            .filter(|peer| is_news(instance, peer))
            .map(|peer| format!("router {} {}", peer.peer, peer.oddities.join("; "))),
    );
    lines.into_iter().map(|line| format!("{}: {line}", instance.name)).collect()
}

/// Addresses that are not where the state says.
fn misplaced(instance: &InstanceStatus) -> Option<String> {
    let is_here = instance.state == StateName::Active;
    if is_here && instance.waits_for.is_none() && !instance.own_priority.is_owner() {
        let held: BTreeSet<_> = instance.held.iter().collect();
        let missing: Vec<_> = instance.moving_addresses().filter(|a| !held.contains(a)).collect();
        return (!missing.is_empty())
            .then(|| format!("not on the interface: {}", few(&missing, ", ")));
    }
    let left = !is_here && !instance.held.is_empty();
    left.then(|| format!("still on the interface: {}", few(&instance.held, ", ")))
}

/// Whether something is odd about a router that is still there and that no conflict tells already.
fn is_news(instance: &InstanceStatus, peer: &PeerStatus) -> bool {
    let told = instance.conflicts.iter().any(|conflict| match &conflict.what {
        Conflict::AddressDrift { peer: other, .. }
        | Conflict::IntervalDrift(other, _)
        | Conflict::Refused(other, _) => *other == peer.peer,
        Conflict::TwoActive(..) | Conflict::DuplicateAddress(..) => false,
    });
    !peer.oddities.is_empty() && peer.age <= GONE && !told
}

/// `check postgres (postgres) fails: connection refused, since 14:03:07 UTC (3 min ago)`
pub(super) fn failing(snapshot: &Snapshot, track: &TrackStatus) -> String {
    let mut text = format!("check {} ({}) {}", track.name, track.kind, track.text);
    if let Some(span) = track.held_for {
        let _ = write!(text, " for another {span}");
    }
    let _ = write!(text, ", since {}", since(snapshot, track.since));
    text
}
