//! Whether a firewall of this machine drops VRRP: its rules, read.

mod iptables;
mod nft;
mod ruleset;

use std::fs;

pub(super) use ruleset::Dropped;
use ruleset::Packet;

use super::finding::{Finding, Kind, LeftOut, Severity};
use super::member::{Member, whole};
use super::system::{Ran, System};

/// The rules of this machine, as its programs write them.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    /// `nft -j list ruleset`
    nft: Option<String>,
    /// Of iptables: the program to change them with, and what it writes.
    iptables: Vec<(&'static str, String)>,
}

/// Asks the programs that there are.
pub(super) fn gather(left_out: &mut Vec<LeftOut>) -> Rules {
    let mut rules = Rules::default();
    let mut leave = |program: &str, why: String| {
        left_out.push(LeftOut { what: format!("firewall rules ({program})"), why });
    };
    if !System::is_root() {
        leave("nft, iptables", "only root may read them: run it with sudo".to_owned());
        return rules;
    }
    let mut installed = true;
    match System::run("nft", &["-j", "list", "ruleset"]) {
        Ran::Well(text) => rules.nft = Some(text),
        Ran::Failed(why) => leave("nft", why),
        Ran::Absent => installed = false,
    }
    let mut programs = vec![("iptables", "iptables-save"), ("ip6tables", "ip6tables-save")];
    // The kernel's older interface has rules only if its tables are loaded.
    for (names, legacy) in [
        ("/proc/net/ip_tables_names", ("iptables-legacy", "iptables-legacy-save")),
        ("/proc/net/ip6_tables_names", ("ip6tables-legacy", "ip6tables-legacy-save")),
    ] {
        if fs::read_to_string(names).is_ok_and(|names| !names.is_empty()) {
            programs.push(legacy);
        }
    }
    for (program, save) in programs {
        match System::run(save, &[]) {
            Ran::Well(text) => {
                installed = true;
                rules.iptables.push((program, text));
            }
            Ran::Failed(why) => leave(save, why),
            Ran::Absent => {}
        }
    }
    if !installed {
        leave("nft, iptables", "neither is installed here: apt install nftables".to_owned());
    }
    rules
}

/// Into this machine, or out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the other nodes.
    In,
    /// To them.
    Out,
}

/// What the rules would do with the advertisements of an instance on one path.
pub(super) fn judge(rules: &Rules, member: &Member<'_>) -> Vec<Finding> {
    let directions = [Direction::In, Direction::Out].into_iter();
    directions.filter_map(|direction| finding(rules, member, direction)).collect()
}

/// Whether it is proven that advertisements get through, so that no rules need be read.
fn is_proven(member: &Member<'_>, direction: Direction) -> bool {
    match direction {
        Direction::In => member.hears_somebody(),
        Direction::Out => member.is_seen_sending(),
    }
}

/// The rules that drop the instance's packets.
pub(super) fn suspects(rules: &Rules, member: &Member<'_>, direction: Direction) -> Vec<Dropped> {
    let packets = match direction {
        Direction::In => incoming(member),
        Direction::Out => outgoing(member),
    };
    let mut all: Vec<Dropped> = packets.iter().flat_map(|packet| dropped(rules, packet)).collect();
    all.dedup();
    all
}

fn incoming(member: &Member<'_>) -> Vec<Packet> {
    let packet = |source| Packet {
        input: Some(member.interface().to_owned()),
        output: None,
        source,
        destination: member.hears_at(),
        network: member.network(),
    };
    let sources = member.sources();
    match sources.len() {
        0 => vec![packet(None)],
        _ => sources.into_iter().map(|source| packet(Some(source))).collect(),
    }
}

fn outgoing(member: &Member<'_>) -> Vec<Packet> {
    member
        .destinations()
        .into_iter()
        .map(|destination| Packet {
            input: None,
            output: Some(member.leaves_by().to_owned()),
            source: member.own_address().map(whole),
            destination,
            network: member.network(),
        })
        .collect()
}

fn dropped(rules: &Rules, packet: &Packet) -> Vec<Dropped> {
    let by_nft =
        rules.nft.as_deref().map(|text| nft::read(text, packet, !rules.iptables.is_empty()));
    let mut all = by_nft.and_then(Result::ok).map(|set| set.dropped()).unwrap_or_default();
    for (program, text) in &rules.iptables {
        if program.starts_with("ip6") == packet.destination.is_ipv6() {
            all.extend(iptables::read(text, packet, program).dropped());
        }
    }
    all
}

fn finding(rules: &Rules, member: &Member<'_>, direction: Direction) -> Option<Finding> {
    let all = suspects(rules, member, direction);
    if is_proven(member, direction) || all.is_empty() {
        return None;
    }
    let certain = all.iter().any(|one| one.unless.is_empty());
    let may = if certain { "drops" } else { "may drop" };
    let is_cut_off = certain
        && !member.others().any(|other| {
            is_proven(&other, direction) || suspects(rules, &other, direction).is_empty()
        });
    let severity = if is_cut_off { Severity::Problem } else { Severity::Warning };
    let nodes = match direction {
        Direction::In => "from the other nodes",
        Direction::Out => "to the other nodes",
    };
    let destinations = match direction {
        Direction::In => vec![member.hears_at()],
        Direction::Out => member.destinations(),
    };
    let destinations: Vec<String> = destinations.iter().map(ToString::to_string).collect();
    let what = format!(
        "{}: a firewall of this machine {may} VRRP (IP protocol 112, to {}) {nodes} on {}",
        member.title(),
        destinations.join(", "),
        member.interface(),
    );
    Some(with(Finding::new(severity, Kind::Firewall, what), &all))
}

/// Names the rules and what to do about them.
pub(super) fn with(mut finding: Finding, all: &[Dropped]) -> Finding {
    for one in all {
        finding = finding.because(one.by.clone());
        for unless in &one.unless {
            finding = finding.because(format!("unless this one lets it pass: {unless}"));
        }
        finding = finding.mend_all(one.mend.clone());
    }
    finding.mend.dedup();
    finding
}
