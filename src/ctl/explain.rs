//! `vipctl explain`: why an instance is in its state, and what it would do next.

use std::fmt::Write as _;

use clap::Args;

use super::options::{SourceOptions, instance_name};
use super::peers::{self, age};
use super::snapshot::Seen;
use super::told::Told;
use super::words::{date, since, state};
use super::wrong::failing;
use crate::api::Snapshot;
use crate::engine::few;
use crate::engine::status::{DeviceStatus, InstanceStatus};
use crate::engine::story::{Peer, StateName, Why};
use crate::engine::timer::Timer;
use crate::model::{InstanceName, Preempt};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The instance's name in the configuration
    #[arg(value_parser = instance_name)]
    instance: InstanceName,
    #[command(flatten)]
    source: SourceOptions,
}

/// Asks and tells.
pub(super) fn main(options: &Options) -> Told {
    let name = Some(&options.instance);
    let seen = match Seen::read(&options.source, name) {
        Ok(seen) => seen,
        Err(told) => return told,
    };
    let raw = options.source.json.then(|| seen.json(name));
    let pages: Vec<String> =
        seen.instances(name).map(|instance| text(&seen.snapshot, instance)).collect();
    Told { raw, ..Told::done(pages.join("\n")) }
}

/// The page: sentences first, then what they are made of.
fn text(snapshot: &Snapshot, instance: &InstanceStatus) -> String {
    let mut text = sentences(snapshot, instance).join("\n");
    let sections = [
        ("Next", timers(instance)),
        ("Checks", tracks(snapshot, instance)),
        ("Conflicts", conflicts(instance)),
        ("Hooks", hooks(snapshot, instance)),
        ("Last changes", transitions(instance)),
    ];
    for (title, lines) in sections.iter().filter(|(_, lines)| !lines.is_empty()) {
        let _ = write!(text, "\n\n{title}:\n  {}", lines.join("\n  "));
    }
    let _ = write!(text, "\n\nRouters heard for {}", peers::text(instance));
    text
}

fn sentences(snapshot: &Snapshot, instance: &InstanceStatus) -> Vec<String> {
    let InstanceStatus { name, reason, interface, .. } = instance;
    let node = snapshot.status.node.as_ref().map_or("this node".to_owned(), ToString::to_string);
    let here = state(instance.state);
    let mut lines = vec![format!(
        "{name} is {here} on {node} since {}: {reason}.",
        since(snapshot, instance.since)
    )];
    match (instance.state, &instance.active) {
        (StateName::Active, _) => {
            lines.push(format!("This node has {} on {interface}.", held(instance)));
            lines.extend(instance.devices.iter().map(|device| {
                let DeviceStatus { name, interface, mac } = device;
                format!("They answer from the virtual MAC address {mac}, of {name} on {interface}.")
            }));
            if let Some(left) = instance.lease_left {
                lines.push(format!(
                    "If vipd dies or stands still, the kernel takes them away within {left}."
                ));
            }
        }
        (StateName::Backup, Some(peer)) => lines.extend(behind(instance, peer)),
        (StateName::Backup, None) => {
            lines.push("It hears no router that has the addresses.".to_owned());
        }
        (StateName::Standby, _) if snapshot.status.standby.node => {
            lines.push("`vipctl online` puts this node back into the election.".to_owned());
        }
        (StateName::Standby, _) => {
            lines.push(format!("`vipctl online {name}` puts it back into the election."));
        }
        (StateName::Fault, _) => {
            lines.push("It takes no part in the election until that is over.".to_owned());
        }
        (StateName::Stopped, _) => {}
    }
    if let Some(until) = instance.held_down_until {
        lines.push(format!("It takes over at {} at the earliest (hold_down).", date(until)));
    }
    if instance.leaving {
        lines.push("It is leaving: it answers until another node has taken over.".to_owned());
    }
    if let Some(phase) = instance.waits_for {
        lines.push(format!("It waits for the hook {phase} to end."));
    }
    lines.push(match &instance.lowered {
        Some(lowered) => format!(
            "It takes part with priority {} instead of its own {}: {lowered}.",
            instance.priority, instance.own_priority
        ),
        None => format!("Its priority is {}, its own.", instance.priority),
    });
    lines
}

fn held(instance: &InstanceStatus) -> String {
    if instance.own_priority.is_owner() {
        return format!("{}, its own addresses,", few(&instance.addresses, ", "));
    }
    let moving: Vec<_> = instance.moving_addresses().collect();
    let held = few(&instance.held, ", ");
    match instance.held.len() {
        0 => "none of the addresses yet".to_owned(),
        count if count == moving.len() => held,
        _ => format!("{held} (not all of {})", few(&moving, ", ")),
    }
}

/// Why a backup is one, and when it would not be.
fn behind(instance: &InstanceStatus, peer: &Peer) -> Vec<String> {
    let mut lines = Vec::new();
    let heard = instance.peers.iter().find(|heard| heard.peer == *peer);
    let priority = heard.and_then(|heard| heard.advertised.as_ref()).map(|said| said.priority);
    let when = heard.map(|heard| format!("; it was heard {}", age(heard.age))).unwrap_or_default();
    let with = priority.map(|number| format!(", with priority {number}")).unwrap_or_default();
    lines.push(format!("{peer} has the addresses{with}{when}."));
    let ours = instance.priority.get();
    let because = match (priority, &instance.preempt) {
        (Some(theirs), _) if theirs > ours => {
            format!("This node waits: its priority {ours} is the lower one.")
        }
        (Some(theirs), _) if theirs == ours => {
            format!("This node waits: the priorities are both {ours}, and the other one is there.")
        }
        (None, _) => return lines,
        _ if matches!(instance.why, Why::HandedOver(_)) => {
            "This node has handed over, and takes nothing back from a node that lives.".to_owned()
        }
        (_, Preempt::Never) => format!(
            "This node has the higher priority {ours}, and takes nothing from a node that lives \
             (preempt: never)."
        ),
        (_, Preempt::Always) => {
            format!("This node has the higher priority {ours}, and is about to take over.")
        }
        (_, Preempt::After(delay)) => format!(
            "This node has the higher priority {ours}, and takes over once that was so for {delay} \
             (preempt: after)."
        ),
    };
    lines.push(because);
    lines
}

fn timers(instance: &InstanceStatus) -> Vec<String> {
    let claims = instance.state == StateName::Backup;
    let lines = instance.timers.iter().map(|timer| {
        let meaning = match timer.what {
            Timer::ActiveDown if claims => "takes over, if it hears no active router by then",
            Timer::PreemptionDelay => "takes over from the router of lower priority",
            Timer::SyncGroup => "takes over with its sync group",
            Timer::Advertisement => "advertises",
            Timer::Announcement => "tells the segment again who has the addresses",
            Timer::Renewal => "renews the lifetime of the addresses in the kernel",
            Timer::AnotherAttempt => "tries again what the system has refused",
            other => other.text(),
        };
        format!("in {}: {meaning}", timer.left)
    });
    lines.collect()
}

fn tracks(snapshot: &Snapshot, instance: &InstanceStatus) -> Vec<String> {
    let tracks = snapshot.status.tracks.iter();
    tracks
        .filter(|track| instance.tracks.contains(&track.name))
        .map(|track| {
            let last = track.last.as_ref().filter(|last| !last.text.is_empty() && last.passed);
            let said = last.map(|last| format!(" ({})", last.text)).unwrap_or_default();
            let cost = match track.cost {
                Some(cost) => format!("; costs {cost}"),
                None => String::new(),
            };
            let cost = if track.failure.is_some() { cost } else { String::new() };
            format!("{}{cost}{said}", failing(snapshot, track))
        })
        .collect()
}

fn conflicts(instance: &InstanceStatus) -> Vec<String> {
    let lines = instance.conflicts.iter().map(|conflict| {
        format!("{} (seen {} times, for {})", conflict.text, conflict.count, conflict.lasts)
    });
    lines.collect()
}

fn hooks(snapshot: &Snapshot, instance: &InstanceStatus) -> Vec<String> {
    let lines = instance.hooks.iter().map(|hook| {
        let last = match &hook.last {
            None => "has not ended yet".to_owned(),
            Some((true, _, at)) => format!("went well at {}", since(snapshot, *at)),
            Some((false, text, at)) => format!("failed at {}: {text}", since(snapshot, *at)),
        };
        let running = if hook.running { ", and is running" } else { "" };
        format!("{} {last}{running}", hook.name)
    });
    lines.collect()
}

fn transitions(instance: &InstanceStatus) -> Vec<String> {
    let lines = instance.transitions.iter().map(|change| {
        format!("{} {} -> {}: {}", date(change.at), change.from, change.to, change.reason)
    });
    lines.collect()
}
