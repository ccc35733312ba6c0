//! `vipctl doctor`: looks for what goes wrong in the field, and says how to mend it.
//!
//! ```text
//! status socket, configuration, wire, firewall, /proc, /sys, /etc, /run     gathered here
//!      -> daemon, checks, peers, arrival, holders, firewall, sysctl, virtual_mac, service,
//!         manager, clock
//!         (each: what was gathered -> findings)
//!      -> finding::Report -> text or JSON
//! ```

mod arrival;
mod checks;
mod clock;
mod daemon;
mod finding;
mod firewall;
mod holders;
mod look;
mod manager;
mod multicast;
mod peers;
mod segment;
mod service;
mod sysctl;
mod system;
mod virtual_mac;

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::exit::{self, Exit};
use super::{Told, snapshot, wire};
use crate::api::{RUNTIME_DIRECTORY, STATUS_SOCKET, Snapshot};
use crate::engine::status::InstanceStatus;
use crate::model::Config;
use crate::time::Span;
use finding::{Finding, LeftOut, Report};
use look::Look;
use sysctl::Settings;
use system::System;
use virtual_mac::Below;

/// How long the wire is listened to where the intervals do not want more.
const SHORTEST: Duration = Duration::from_millis(1_500);

/// And at the most.
const LONGEST: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
#[command(after_help = exit::TEXT)]
pub(super) struct DoctorOptions {
    /// Write one JSON object: `healthy`, `findings`, `left_out`
    #[arg(long)]
    json: bool,
    /// The runtime directory of vipd
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIRECTORY)]
    runtime_directory: PathBuf,
    /// How long to listen to the wire [default: two and a half advertisement intervals, 1.5 to 10 s]
    #[arg(long, value_name = "SECONDS")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=300))]
    listen: Option<u64>,
    /// Where to look for other programs' files (/etc, /run, /usr/lib, /sys)
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

/// Looks at everything, and tells.
pub(super) fn main(options: &DoctorOptions) -> Told {
    let report = examine(options);
    let exit = if report.healthy { Exit::Ok } else { Exit::Refused };
    let text = if options.json {
        serde_json::to_string(&report).unwrap_or_else(|error| error.to_string())
    } else {
        report.to_string()
    };
    // What was found is what was asked for, and no failure of this program.
    Told::shown(exit, text)
}

fn examine(options: &DoctorOptions) -> Report {
    let system = System::new(&options.root);
    let mut left_out = Vec::new();
    let mut findings = Vec::new();
    let look =
        snapshot(options).and_then(|before| look(options, before, &mut findings, &mut left_out));
    let signs = look.as_ref().is_ok_and(Look::signs);
    findings.extend(clock::judge(signs, &mut left_out));
    match look {
        Ok(look) => {
            let rules = firewall::gather(&mut left_out);
            findings.extend(daemon::condition(&look.now));
            findings.extend(checks::judge(&look.now.status));
            of_instances(&look, &rules, &system, &mut findings, &mut left_out);
            of_interfaces(&look, &system, &mut findings);
        }
        Err(trouble) => {
            findings.push(daemon::not_running(&trouble, &mut left_out));
            let why = "no vipd answers".to_owned();
            left_out.push(LeftOut { what: "all that needs a running vipd".to_owned(), why });
        }
    }
    Report::new(findings, left_out)
}

/// Listens to the wires, between two looks at the daemon.
fn look(
    options: &DoctorOptions,
    before: Snapshot,
    findings: &mut Vec<Finding>,
    left_out: &mut Vec<LeftOut>,
) -> Result<Look, super::socket::Trouble> {
    let (of_file, config) = daemon::configuration(&before, left_out);
    findings.extend(of_file);
    let span = options.listen.map_or_else(|| span(&before), Duration::from_secs);
    let mut wires = BTreeMap::new();
    for (interface, seen) in segment::observe(&wanted(&before, config.as_ref()), span) {
        match seen {
            Ok(seen) => drop(wires.insert(interface, seen)),
            Err(error) => {
                let what = format!("the wire of {interface} (advertisements, ARP probes)");
                let why = match error.kind() {
                    ErrorKind::PermissionDenied => "needs CAP_NET_RAW: run it with sudo".to_owned(),
                    _ => error.to_string(),
                };
                left_out.push(LeftOut { what, why });
            }
        }
    }
    let now = snapshot(options)?;
    let own = wire::own_addresses().unwrap_or_default();
    Ok(Look { before, now, config, own, wires })
}

/// How the daemon is now.
fn snapshot(options: &DoctorOptions) -> Result<Snapshot, super::socket::Trouble> {
    let seen = snapshot::read(&options.runtime_directory.join(STATUS_SOCKET))?;
    Ok(seen.snapshot)
}

fn span(snapshot: &Snapshot) -> Duration {
    let intervals = snapshot.status.instances.iter().map(|one| one.advertisement_interval.span());
    let longest = intervals.max().map_or(0, Span::nanos);
    Duration::from_nanos(longest).mul_f64(2.5).clamp(SHORTEST, LONGEST)
}

/// The interfaces to listen to, and the addresses to ask for there: virtual ones and nodes' own.
fn wanted(snapshot: &Snapshot, config: Option<&Config>) -> BTreeMap<String, BTreeSet<Ipv4Addr>> {
    let v4 = |address: IpAddr| match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    };
    let nodes: Vec<IpAddr> =
        config.iter().flat_map(|config| &config.nodes).map(|node| node.address).collect();
    let mut wanted: BTreeMap<String, BTreeSet<Ipv4Addr>> = BTreeMap::new();
    for instance in &snapshot.status.instances {
        let asked = wanted.entry(instance.interface.to_string()).or_default();
        let virtual_ones = instance.moving_addresses().map(|address| address.address);
        let active = instance.active.iter().map(|active| active.address);
        asked.extend(virtual_ones.chain(active).chain(nodes.clone()).filter_map(v4));
    }
    wanted
}

fn of_instances(
    look: &Look,
    rules: &firewall::Rules,
    system: &System,
    findings: &mut Vec<Finding>,
    left_out: &mut Vec<LeftOut>,
) {
    let instances = || look.now.status.instances.iter();
    let addresses: Vec<IpAddr> = instances()
        .flat_map(InstanceStatus::moving_addresses)
        .map(|address| address.address)
        .collect();
    if addresses.iter().any(IpAddr::is_ipv6) {
        let why = "only IPv4 addresses are asked for on the wire (ARP)".to_owned();
        left_out.push(LeftOut { what: "who has the IPv6 addresses".to_owned(), why });
    }
    let bound = service::bound(system, &addresses);
    let defaults = sysctl::default_routes();
    let interfaces = virtual_mac::interfaces();
    for member in look.members() {
        let interface = member.interface();
        let settings = Settings::of(interface);
        let switch = multicast::Switch::of(system, interface);
        findings.extend(peers::judge(&member));
        let arrival = arrival::judge(&member, rules, &switch);
        // What is proven by traffic need not be told again as a rule that would do it.
        if !arrival.iter().any(|found| found.kind == finding::Kind::Firewall) {
            findings.extend(firewall::judge(rules, &member));
        }
        findings.extend(arrival);
        findings.extend(holders::judge(&member));
        findings.extend(sysctl::judge(&member, settings, &defaults));
        findings.extend(sysctl::secondaries(&member, settings, left_out));
        findings.extend(virtual_mac::judge(&member, &interfaces, Below::of(interface)));
        findings.extend(service::judge(&member, &bound));
    }
}

fn of_interfaces(look: &Look, system: &System, findings: &mut Vec<Finding>) {
    let interfaces: BTreeSet<&str> =
        look.now.status.instances.iter().map(|one| one.interface.as_str()).collect();
    for interface in interfaces {
        if let Ok(index) = nix::net::if_::if_nametoindex(interface) {
            findings.extend(manager::judge(system, interface, index));
        }
    }
}
