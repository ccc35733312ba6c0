//! Whether advertisements arrive: what is on the wire, what the daemon hears, and who else is active.

use std::net::IpAddr;

use super::finding::{Finding, Kind, LeftOut, Severity};
use super::firewall::{self, Direction, Dropped, Rules};
use super::member::Member;
use super::multicast::Switch;
use crate::engine::conflict::Conflict;
use crate::engine::story::{Fault, Why};
use crate::model::{VirtualAddress, is_link_local};

/// What is wrong on the way, in either direction.
pub(super) fn judge(
    member: &Member<'_>,
    rules: &Rules,
    switch: &Switch,
    left_out: &mut Vec<LeftOut>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(lost_behind_the_wire(member, rules, switch, left_out));
    findings.extend(never_sent(member, rules));
    findings.extend(refused_to_send(member, rules));
    // What this machine drops, nobody else has to explain.
    if member.is_active() && findings.is_empty() {
        let others = also_active(member);
        findings.extend(others.into_iter().map(|(other, why)| both(member, other, why, switch)));
    }
    findings
}

/// How bad it is that advertisements are lost on this path: on others they may get through.
fn severity(elsewhere: bool) -> Severity {
    if elsewhere { Severity::Warning } else { Severity::Problem }
}

/// What comes over the wire and does not get to the daemon.
fn lost_behind_the_wire(
    member: &Member<'_>,
    rules: &Rules,
    switch: &Switch,
    left_out: &mut Vec<LeftOut>,
) -> Option<Finding> {
    if !member.takes_part() {
        return None;
    }
    let since = member.look.before.taken;
    let interface = member.interface();
    let mut lost = Vec::new();
    for (source, count) in member.seen_from_others() {
        let mut peers = member.instance.peers.iter();
        if !peers.any(|peer| peer.peer.address == source && peer.heard >= since) {
            lost.push((source, count));
        } else if let Some(other) = also_at(member, source) {
            let what = format!("whether a firewall drops what {source} sends to {interface}");
            let why =
                format!("the same address sends to {other}, and vipd does not tell them apart");
            left_out.push(LeftOut { what, why });
        }
    }
    let suspects = firewall::suspects(rules, member, Direction::In);
    // Whom the kernel does not listen to, no firewall keeps away.
    let unheard = member.group().is_some_and(|group| switch.lacks(group));
    if lost.is_empty() || unheard && suspects.is_empty() {
        return None;
    }
    Some(lost_to_a_firewall(member, &lost, &suspects))
}

fn lost_to_a_firewall(
    member: &Member<'_>,
    lost: &[(IpAddr, usize)],
    suspects: &[Dropped],
) -> Finding {
    let interface = member.interface();
    let from: Vec<String> = lost.iter().map(|(source, _)| member.called(*source)).collect();
    let what = format!(
        "{}: a firewall of this machine drops the advertisements of {} on {interface}",
        member.title(),
        from.join(", "),
    );
    let severity = severity(member.others().any(|other| other.hears_somebody()));
    let mut finding = Finding::new(severity, Kind::Firewall, what);
    for (source, count) in lost {
        finding = finding.because(format!(
            "{count} advertisements of {} came in on {interface}, and vipd got none of them",
            member.called(*source),
        ));
    }
    if suspects.is_empty() {
        finding = finding.because(
            "the rules that doctor can read let them pass: look for eBPF programs (bpftool net), \
             tc filters (tc filter show), and rp_filter",
        );
    }
    firewall::with(finding, suspects)
}

/// Another interface on which the same address was seen to advertise to this instance.
fn also_at<'a>(member: &Member<'a>, source: IpAddr) -> Option<&'a str> {
    let mut others = member.others().filter(|other| other.interface != member.interface);
    let other = others.find(|other| other.seen_from_others().contains_key(&source))?;
    Some(other.interface.as_str())
}

/// What the daemon sends and does not leave the machine.
fn never_sent(member: &Member<'_>, rules: &Rules) -> Option<Finding> {
    let wire = member.wire().filter(|_| member.is_active())?;
    // Nothing is sent on a path that cannot be used.
    let usable = member.link().is_some_and(|link| link.running) && member.own_address().is_some();
    // Nor leaves what is for a peer whose Ethernet address nobody knows.
    let missing: Vec<String> = member
        .destinations()
        .into_iter()
        .filter(|to| to.is_multicast() || !member.answers(*to).is_empty())
        .filter(|to| !member.is_seen_sending_to(*to))
        .map(|to| member.called(to))
        .collect();
    let then =
        member.look.before.status.instances.iter().find(|i| i.name == member.instance.name)?;
    let before = then.counters.advertisements_sent;
    let count = member.instance.counters.advertisements_sent.saturating_sub(before);
    if count == 0 || !usable || missing.is_empty() {
        return None;
    }
    let what = format!(
        "{}: a firewall of this machine drops its own advertisements on {}",
        member.title(),
        member.interface()
    );
    let everywhere = if member.has_one_path() { "" } else { " on all paths" };
    let severity = severity(member.others().any(|other| other.is_seen_sending()));
    let finding = Finding::new(severity, Kind::Firewall, what).because(format!(
        "vipd has sent {count}{everywhere} in {:.1} s, and none was seen to leave for {}",
        wire.span.as_secs_f64(),
        missing.join(", "),
    ));
    Some(firewall::with(finding, &firewall::suspects(rules, member, Direction::Out)))
}

/// A firewall that drops what is sent makes the kernel refuse it (`EPERM`).
fn refused_to_send(member: &Member<'_>, rules: &Rules) -> Option<Finding> {
    let Why::Fault(Fault::CannotSend(_, error)) = &member.instance.why else { return None };
    let suspects = firewall::suspects(rules, member, Direction::Out);
    if suspects.is_empty() {
        return None;
    }
    let what = format!(
        "{}: a firewall of this machine drops its own advertisements on {}",
        member.title(),
        member.interface()
    );
    let finding = Finding::new(Severity::Problem, Kind::Firewall, what)
        .because(format!("the kernel refuses to send them: {}", error.text));
    Some(firewall::with(finding, &suspects))
}

/// Other nodes that have the addresses although this one is active, and how that is known.
fn also_active(member: &Member<'_>) -> Vec<(IpAddr, String)> {
    let mut others = Vec::new();
    let is_here =
        |address: &&VirtualAddress| member.at_address(address).interface == member.interface;
    for address in member.moving_addresses().filter(is_here) {
        for mac in member.answers(address.address) {
            if let Some((_, own)) = member.node_with(mac) {
                let why = format!(
                    "{} for {} was answered from {mac}, which is {}",
                    member.question(),
                    address.address,
                    member.called(own)
                );
                others.push((own, why));
            }
        }
    }
    for conflict in &member.instance.conflicts {
        if let Conflict::TwoActive(peer, priority) = &conflict.what
            && member.is_here(peer.address)
        {
            let why = format!("it goes on advertising, with priority {priority}");
            others.push((peer.address, why));
        }
    }
    others.sort();
    others.dedup_by_key(|(address, _)| *address);
    others
}

/// Whether advertisements of this router came in. Over IPv6 they come from link-local addresses, which
/// need not be those under which a node is known.
fn is_on_the_wire(member: &Member<'_>, other: IpAddr) -> bool {
    let seen = member.seen_from_others();
    let config = member.look.config.as_ref();
    seen.contains_key(&other)
        || other.is_ipv6()
            && !is_link_local(other)
            && seen.keys().any(|source| {
                is_link_local(*source)
                    && config.is_none_or(|config| config.node_at(*source).is_none())
            })
}

fn both(member: &Member<'_>, other: IpAddr, why: String, switch: &Switch) -> Finding {
    let (name, called) = (member.title(), member.called(other));
    let destination = member.hears_at();
    let on_the_wire = is_on_the_wire(member, other);
    if on_the_wire {
        let what = format!("{name}: {called} is active, too, and does not hear this node");
        return Finding::new(Severity::Problem, Kind::TwoActive, what)
            .because(why)
            .because(format!("its advertisements arrive on {}", member.interface()))
            .mend(format!(
                "on {called}: vipctl doctor. It says whether a firewall there drops what this \
                 node sends, or the switch does"
            ));
    }
    let kind = if destination.is_multicast() { "multicast does" } else { "advertisements do" };
    let what = format!("{name}: {called} is active, too, and its {kind} not arrive here");
    let mut finding = Finding::new(Severity::Problem, Kind::NotArriving, what).because(why);
    if let Some(wire) = member.wire() {
        finding = finding.because(format!(
            "none of its advertisements to {destination} came in on {} in {:.1} s, before any firewall",
            member.interface(),
            wire.span.as_secs_f64()
        ));
    }
    if destination.is_multicast() {
        finding =
            finding.because_all(switch.evidence(destination)).mend_all(switch.mend(destination));
    }
    finding.mend(format!("on {called}: vipctl doctor, whose firewall may drop what it sends"))
}
