//! `vipctl doctor`: looks for what goes wrong in the field, and says how to mend it.
//!
//! ```text
//! status socket, configuration, wire, firewall, /proc, /sys, /etc, /run     gathered here
//!      -> of the machine: daemon, checks, manager, clock
//!         of an instance: holders, service
//!         of each path of it (interface and address family): peers, arrival, paths, firewall,
//!         multicast, sysctl, virtual_mac
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
mod link;
mod look;
mod manager;
mod member;
mod multicast;
mod paths;
mod peers;
mod questions;
mod segment;
mod service;
mod sysctl;
mod system;
mod traffic;
mod virtual_mac;

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::exit::{self, Exit};
use super::snapshot;
use super::told::Told;
use super::wire::{self, OwnAddress};
use crate::api::{RUNTIME_DIRECTORY, STATUS_SOCKET, Snapshot};
use crate::model::InterfaceName;
use crate::time::Span;
use finding::{Finding, Kind, LeftOut, Report};
use look::Look;
use member::{Member, members};
use questions::{moving, unasked, wanted};
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
    let questions = wanted(&before, config.as_ref(), &of_its_own(&before, usable_addresses()));
    let mut wires = BTreeMap::new();
    for (interface, seen) in segment::observe(&questions, span) {
        match seen {
            Ok(seen) => drop(wires.insert(interface, seen)),
            Err(error) => {
                let what = format!(
                    "the wire of {interface} (advertisements, ARP probes, neighbour solicitations)"
                );
                let why = match error.kind() {
                    ErrorKind::PermissionDenied => "needs CAP_NET_RAW: run it with sudo".to_owned(),
                    _ => error.to_string(),
                };
                left_out.push(LeftOut { what, why });
            }
        }
    }
    left_out.extend(unasked(&before, &questions));
    let now = snapshot(options)?;
    let addresses = usable_addresses();
    let own = of_its_own(&now, addresses.clone());
    let links = link::links();
    Ok(Look { before, now, config, addresses, own, links, questions, wires })
}

/// This machine's addresses, without those that the kernel does not use (yet).
fn usable_addresses() -> Vec<OwnAddress> {
    let unusable = link::unusable();
    let all = wire::own_addresses().unwrap_or_default().into_iter();
    all.filter(|own| !unusable.contains(&(own.interface.clone(), own.address))).collect()
}

/// The addresses that do not move.
fn of_its_own(snapshot: &Snapshot, addresses: Vec<OwnAddress>) -> Vec<OwnAddress> {
    let virtual_ones: BTreeSet<IpAddr> = moving(snapshot).collect();
    addresses.into_iter().filter(|own| !virtual_ones.contains(&own.address)).collect()
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

fn of_instances(
    look: &Look,
    rules: &firewall::Rules,
    system: &System,
    findings: &mut Vec<Finding>,
    left_out: &mut Vec<LeftOut>,
) {
    let addresses: Vec<IpAddr> = moving(&look.now).collect();
    let bound = service::bound(system, &addresses);
    let defaults = sysctl::default_routes();
    for member in members(look) {
        findings.extend(of_path(&member, rules, system, &defaults, left_out));
        if member.is_on_first_interface() {
            findings.extend(service::nonlocal(&member, &bound));
        }
        if member.is_leading() {
            findings.extend(holders::judge(&member, left_out));
            findings.extend(service::nobody(&member));
        }
    }
}

/// What there is to say about an instance on one of its paths.
fn of_path(
    member: &Member<'_>,
    rules: &firewall::Rules,
    system: &System,
    defaults: &[String],
    left_out: &mut Vec<LeftOut>,
) -> Vec<Finding> {
    let interface = member.interface();
    let settings = Settings::of(interface);
    let switch = multicast::Switch::of(system, interface);
    let mut findings = peers::judge(member);
    let arrival = arrival::judge(member, rules, &switch, left_out);
    // What is proven by traffic need not be told again as a rule that would do it.
    if !arrival.iter().any(|found| found.kind == Kind::Firewall) {
        findings.extend(firewall::judge(rules, member));
    }
    findings.extend(arrival);
    findings.extend(paths::judge(member, &switch));
    findings.extend(multicast::judge(member, &switch, left_out));
    findings.extend(holders::silent_nodes(member));
    findings.extend(sysctl::judge(member, settings, defaults));
    findings.extend(sysctl::secondaries(member, settings, left_out));
    findings.extend(virtual_mac::judge(member, &member.look.links, Below::of(interface)));
    findings
}

/// The programs that manage the interfaces with addresses.
fn of_interfaces(look: &Look, system: &System, findings: &mut Vec<Finding>) {
    let mut interfaces = BTreeSet::new();
    for instance in &look.now.status.instances {
        interfaces.insert(instance.interface.as_str());
        let others = instance.moving_addresses().filter_map(|address| address.dev.as_ref());
        interfaces.extend(others.map(InterfaceName::as_str));
    }
    for interface in interfaces {
        if let Ok(index) = nix::net::if_::if_nametoindex(interface) {
            findings.extend(manager::judge(system, interface, index));
        }
    }
}
