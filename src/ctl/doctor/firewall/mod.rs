//! Whether a firewall of this machine drops VRRP: its rules, read.

mod iptables;
mod nft;
mod ruleset;

use std::fs;

use ruleset::{Dropped, Packet};

use super::finding::{Finding, Kind, LeftOut, Severity};
use super::look::Member;
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

/// What the rules would do with the advertisements of an instance.
pub(super) fn judge(rules: &Rules, member: &Member<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    // What is known to get through needs no rules read.
    if !member.hears_somebody() {
        let all = suspects(rules, member, true);
        findings.extend(finding(member, "from the other nodes", &all));
    }
    if !member.is_seen_sending() {
        let all = suspects(rules, member, false);
        findings.extend(finding(member, "to the other nodes", &all));
    }
    findings
}

/// The rules that drop the instance's packets, those that come in or those that go out.
pub(super) fn suspects(rules: &Rules, member: &Member<'_>, into: bool) -> Vec<Dropped> {
    let packets = if into { incoming(member) } else { vec![outgoing(member)] };
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
    let others = member.other_nodes();
    match others.len() {
        0 => vec![packet(None)],
        _ => others.iter().map(|node| packet(Some(node.address))).collect(),
    }
}

fn outgoing(member: &Member<'_>) -> Packet {
    Packet {
        input: None,
        output: Some(member.interface().to_owned()),
        source: member.own_address(),
        destination: member.sends_to(),
        network: member.network(),
    }
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

fn finding(member: &Member<'_>, direction: &str, all: &[Dropped]) -> Option<Finding> {
    if all.is_empty() {
        return None;
    }
    let certain = all.iter().any(|one| one.unless.is_empty());
    let (severity, may) =
        if certain { (Severity::Problem, "drops") } else { (Severity::Warning, "may drop") };
    let what = format!(
        "{}: a firewall of this machine {may} VRRP (IP protocol 112, to {}) {direction} on {}",
        member.name(),
        member.sends_to(),
        member.interface(),
    );
    Some(with(Finding::new(severity, Kind::Firewall, what), all))
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
