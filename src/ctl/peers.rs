//! `vipctl peers`: every router that is heard, and what is odd about it.

use std::fmt::Write as _;

use clap::Args;

use super::options::{SourceOptions, instance_name};
use super::snapshot::Seen;
use super::told::Told;
use super::words::{BAD, ago, paint};
use crate::engine::PeerStatus;
use crate::engine::status::InstanceStatus;
use crate::model::InstanceName;
use crate::table::Table;
use crate::time::Span;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Only this instance
    #[arg(value_parser = instance_name)]
    instance: Option<InstanceName>,
    #[command(flatten)]
    source: SourceOptions,
}

/// Asks and tells.
pub(super) fn main(options: &Options) -> Told {
    let name = options.instance.as_ref();
    match Seen::read(&options.source, name) {
        Ok(seen) => {
            let raw = options.source.json.then(|| seen.json(name));
            let pages: Vec<String> = seen.instances(name).map(text).collect();
            Told { raw, ..Told::done(pages.join("\n")) }
        }
        Err(told) => told,
    }
}

/// The routers of one instance.
pub(super) fn text(instance: &InstanceStatus) -> String {
    let InstanceStatus { name, virtual_router_id, interface, version, .. } = instance;
    let mut text = format!("{name}: virtual router {virtual_router_id} on {interface}");
    for further in &instance.further_interfaces {
        let _ = write!(text, " and {further}");
    }
    let _ = write!(text, ", VRRPv{version}");
    if instance.transport.is_unicast() {
        text.push_str(" by unicast");
    }
    if instance.peers.is_empty() {
        text.push_str("\nno other router was heard since vipd started\n");
        return text;
    }
    let head = ["ROUTER", "HEARD", "PRIO", "VRRP", "EVERY", "ACCEPTED", "REFUSED"];
    let mut table = Table::new(head);
    for peer in &instance.peers {
        table.push(row(peer));
    }
    let _ = write!(text, "\n{table}");
    for peer in instance.peers.iter().filter(|peer| !peer.oddities.is_empty()) {
        for oddity in &peer.oddities {
            let _ = writeln!(text, "{} {oddity}", paint(BAD, &peer.peer));
        }
    }
    text
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

fn row(peer: &PeerStatus) -> [String; 7] {
    let advertised = peer.advertised.as_ref();
    let refused = match peer.refused {
        0 => "0".to_owned(),
        count => paint(BAD, count),
    };
    [
        peer.peer.to_string(),
        age(peer.age),
        or_dash(advertised.map(|said| said.priority.to_string())),
        or_dash(advertised.map(|said| format!("v{}", said.version))),
        or_dash(advertised.map(|said| said.interval.to_string())),
        peer.accepted.to_string(),
        refused,
    ]
}

/// A router that advertises is heard each interval, so that parts of a second matter.
pub(super) fn age(age: Span) -> String {
    if age < Span::from_secs(60) { format!("{age} ago") } else { ago(age) }
}
