//! `vipctl status`: who has the addresses, and what is wrong.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use clap::Args;

use super::exit::Exit;
use super::options::{SourceOptions, instance_name};
use super::snapshot::Seen;
use super::told::Told;
use super::words::{BAD, ago, list, paint, since, state};
use super::wrong::wrong;
use crate::api::Snapshot;
use crate::engine::status::InstanceStatus;
use crate::engine::story::StateName;
use crate::model::{InstanceName, Routing, VirtualAddress};
use crate::table::Table;

/// So many addresses are shown one by one.
const LISTED: usize = 8;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Only this instance
    #[arg(value_parser = instance_name)]
    instance: Option<InstanceName>,
    /// Exit with 3 where it is not active here; without a name: where any instance is not
    #[arg(long, conflicts_with = "check")]
    active: bool,
    /// Exit with 4 where anything is wrong
    #[arg(long)]
    check: bool,
    /// Write nothing: the exit code says it
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
    #[command(flatten)]
    pub(super) source: SourceOptions,
}

/// Asks and tells.
pub(super) fn main(options: &Options) -> Told {
    let name = options.instance.as_ref();
    let seen = match Seen::read(&options.source, name) {
        Ok(seen) => seen,
        Err(told) => return told,
    };
    let exit = if options.active
        && !seen.instances(name).all(|instance| instance.state == StateName::Active)
    {
        Exit::NotActive
    } else if options.check && !wrong(&seen.snapshot, name).is_empty() {
        Exit::Wrong
    } else {
        Exit::Ok
    };
    let raw = options.source.json.then(|| seen.json(name));
    let text = if options.quiet { String::new() } else { text(&seen, name) };
    Told { raw, ..Told::shown(exit, text) }
}

/// The page: this daemon, the table, why, and what is wrong.
pub(super) fn text(seen: &Seen, name: Option<&InstanceName>) -> String {
    let snapshot = &seen.snapshot;
    let mut text = head(snapshot);
    let instances: Vec<&InstanceStatus> = seen.instances(name).collect();
    if instances.is_empty() {
        text.push_str("\nno instances are configured\n");
    } else {
        let _ = writeln!(text, "\n{}", table(snapshot, &instances));
    }
    // What is wrong with the others stands below.
    let are_well = instances
        .iter()
        .filter(|instance| matches!(instance.state, StateName::Active | StateName::Backup));
    for instance in are_well {
        let _ = writeln!(text, "{}", reason(snapshot, instance));
    }
    // Who asks for one instance wants to see all of it.
    for instance in instances.iter().filter(|_| name.is_some()) {
        let routing = routing(instance);
        if !routing.is_empty() {
            let _ = write!(text, "\nroutes and rules (* here):\n{routing}");
        }
    }
    let wrong = wrong(snapshot, name);
    if wrong.is_empty() {
        text.push_str("\nnothing is wrong\n");
    } else {
        let _ = writeln!(text, "\n{}", paint(BAD, "WRONG:"));
        for line in &wrong {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

fn head(snapshot: &Snapshot) -> String {
    let node = snapshot.status.node.as_ref().map(|node| format!("node {node}, "));
    format!(
        "{}vipd {}, process {}, running since {}\nconfiguration {}, read at {}\n",
        node.unwrap_or_default(),
        snapshot.vipd,
        snapshot.process,
        since(snapshot, snapshot.started),
        snapshot.file.path,
        since(snapshot, snapshot.file.loaded)
    )
}

fn table(snapshot: &Snapshot, instances: &[&InstanceStatus]) -> String {
    const HEAD: [&str; 7] =
        ["NAME", "STATE", "PRIO", "ADDRESSES (* here)", "ON", "ACTIVE", "SINCE"];
    // A column for what there hardly ever is would cost its room every day.
    if instances.iter().all(|instance| instance.conflicts.is_empty()) {
        let mut table = Table::new(HEAD);
        for instance in instances {
            table.push(row(snapshot, instance));
        }
        return table.to_string();
    }
    let mut head = HEAD.into_iter().chain(["CONFLICTS"]);
    let mut table = Table::<8>::new(std::array::from_fn(|_| head.next().unwrap_or_default()));
    for instance in instances {
        let conflicts = match instance.conflicts.len() {
            0 => String::new(),
            count => paint(BAD, count),
        };
        let mut cells = row(snapshot, instance).into_iter().chain([conflicts]);
        table.push(std::array::from_fn(|_| cells.next().unwrap_or_default()));
    }
    table.to_string()
}

fn row(snapshot: &Snapshot, instance: &InstanceStatus) -> [String; 7] {
    [
        instance.name.to_string(),
        state(instance.state),
        priority(instance),
        addresses(instance),
        instance.interface.to_string(),
        active(instance),
        ago(snapshot.since(instance.since)),
    ]
}

/// `160/200`: lowered by a check.
fn priority(instance: &InstanceStatus) -> String {
    if instance.priority == instance.own_priority {
        return instance.priority.to_string();
    }
    paint(BAD, format_args!("{}/{}", instance.priority, instance.own_priority))
}

/// One in a line, with a star where this node holds it. An owner's are the machine's own. Of many the
/// first ones, and how many there are.
fn addresses(instance: &InstanceStatus) -> String {
    let owns = instance.own_priority.is_owner() && instance.state == StateName::Active;
    let held: BTreeSet<&VirtualAddress> = instance.held.iter().collect();
    let is_here = |address: &VirtualAddress| owns || held.contains(address);
    let moving: Vec<&VirtualAddress> = instance.moving_addresses().collect();
    let (shown, others) =
        moving.split_at(if moving.len() > LISTED + 1 { LISTED } else { moving.len() });
    let mut lines: Vec<String> =
        shown.iter().map(|address| format!("{} {address}", star(is_here(address)))).collect();
    if !others.is_empty() {
        let here = others.iter().filter(|address| is_here(address)).count();
        lines.push(format!("{} and {} more", star(here == others.len()), others.len()));
        if here > 0 && here < others.len() {
            lines.push(format!("  ({here} of them here)"));
        }
    }
    lines.join("\n")
}

const fn star(is_here: bool) -> char {
    if is_here { '*' } else { ' ' }
}

/// The routes and rules that move along, as `ip` writes them.
fn routing(instance: &InstanceStatus) -> String {
    let routes = instance.routes.iter().cloned().map(Routing::Route);
    let mut text = String::new();
    for one in routes.chain(instance.rules.iter().cloned().map(Routing::Rule)) {
        let _ = writeln!(text, "  {} {one}", star(instance.held_routing.contains(&one)));
    }
    text
}

fn active(instance: &InstanceStatus) -> String {
    match (instance.state, &instance.active) {
        (StateName::Active, _) => "here".to_owned(),
        (_, Some(peer)) => {
            peer.name.as_ref().map_or_else(|| peer.address.to_string(), ToString::to_string)
        }
        _ => "-".to_owned(),
    }
}

/// `web: active since 14:03:07 UTC (3 min ago): nobody heard for 3.61 s`
fn reason(snapshot: &Snapshot, instance: &InstanceStatus) -> String {
    let InstanceStatus { name, state, reason, .. } = instance;
    let mut text = format!("{name}: {state} since {}: {reason}", since(snapshot, instance.since));
    if let Some(until) = instance.held_down_until {
        let until = super::words::date(until);
        let _ = write!(text, "; takes over at {until} at the earliest (hold_down)");
    }
    text
}

/// The lines that a pipe sees of an instance and of the checks.
pub(super) fn summary(seen: &Seen, name: Option<&InstanceName>) -> Vec<String> {
    let instances = seen.instances(name).map(ToString::to_string);
    let tracks = seen.snapshot.status.tracks.iter();
    let tracks = tracks
        .filter(|track| {
            name.is_none() || seen.instances(name).any(|i| i.tracks.contains(&track.name))
        })
        .map(|t| format!("check {} ({}) {}", t.name, t.kind, t.text));
    let others = [
        (!seen.snapshot.file.refused.is_empty()).then(|| {
            format!("the configuration was not reloaded: {}", list(&seen.snapshot.file.refused))
        }),
        (!seen.snapshot.status.standby.is_empty())
            .then(|| seen.snapshot.status.standby.to_string()),
    ];
    instances.chain(tracks).chain(others.into_iter().flatten()).collect()
}
