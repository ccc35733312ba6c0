//! Whether advertisements arrive: what is on the wire, what the daemon hears, and who else is active.

use std::net::IpAddr;

use super::finding::{Finding, Kind, Severity};
use super::firewall::{self, Rules};
use super::look::Member;
use super::multicast::Switch;
use crate::engine::conflict::Conflict;
use crate::engine::story::{Fault, Why};

/// What is wrong on the way, in either direction.
pub(super) fn judge(member: &Member<'_>, rules: &Rules, switch: &Switch) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(lost_behind_the_wire(member, rules));
    findings.extend(never_sent(member, rules));
    findings.extend(refused_to_send(member, rules));
    // What this machine drops, nobody else has to explain.
    if member.is_active() && findings.is_empty() {
        let others = also_active(member);
        findings.extend(others.into_iter().map(|(other, why)| both(member, other, why, switch)));
    }
    findings
}

/// What comes over the wire and does not get to the daemon.
fn lost_behind_the_wire(member: &Member<'_>, rules: &Rules) -> Option<Finding> {
    if !member.takes_part() {
        return None;
    }
    let since = member.look.before.taken;
    let heard = |source: IpAddr| {
        member.instance.peers.iter().any(|peer| peer.peer.address == source && peer.heard >= since)
    };
    let seen = member.seen_from_others();
    let lost: Vec<_> = seen.into_iter().filter(|(source, _)| !heard(*source)).collect();
    if lost.is_empty() {
        return None;
    }
    let from: Vec<String> = lost.iter().map(|(source, _)| member.called(*source)).collect();
    let what = format!(
        "{}: a firewall of this machine drops the advertisements of {} on {}",
        member.name(),
        from.join(", "),
        member.interface()
    );
    let mut finding = Finding::new(Severity::Problem, Kind::Firewall, what);
    for (source, count) in &lost {
        finding = finding.because(format!(
            "{count} advertisements of {} came in on {}, and vipd got none of them",
            member.called(*source),
            member.interface()
        ));
    }
    let suspects = firewall::suspects(rules, member, true);
    if suspects.is_empty() {
        finding = finding.because(
            "the rules that doctor can read let them pass: look for eBPF programs (bpftool net), \
             tc filters (tc filter show), and rp_filter",
        );
    }
    Some(firewall::with(finding, &suspects))
}

/// What the daemon sends and does not leave the machine.
fn never_sent(member: &Member<'_>, rules: &Rules) -> Option<Finding> {
    let wire = member.wire().filter(|_| member.is_active() && !member.is_seen_sending())?;
    let then =
        member.look.before.status.instances.iter().find(|i| i.name == member.instance.name)?;
    let sent =
        |instance: &crate::engine::status::InstanceStatus| instance.counters.advertisements_sent;
    let count = sent(member.instance).saturating_sub(sent(then));
    if count == 0 {
        return None;
    }
    let what = format!(
        "{}: a firewall of this machine drops its own advertisements on {}",
        member.name(),
        member.interface()
    );
    let finding = Finding::new(Severity::Problem, Kind::Firewall, what).because(format!(
        "vipd has sent {count} in {:.1} s, and none was seen to leave",
        wire.span.as_secs_f64()
    ));
    Some(firewall::with(finding, &firewall::suspects(rules, member, false)))
}

/// A firewall that drops what is sent makes the kernel refuse it (`EPERM`).
fn refused_to_send(member: &Member<'_>, rules: &Rules) -> Option<Finding> {
    let Why::Fault(Fault::CannotSend(interface, error)) = &member.instance.why else { return None };
    let suspects = firewall::suspects(rules, member, false);
    if suspects.is_empty() {
        return None;
    }
    let what = format!(
        "{}: a firewall of this machine drops its own advertisements on {interface}",
        member.name()
    );
    let finding = Finding::new(Severity::Problem, Kind::Firewall, what)
        .because(format!("the kernel refuses to send them: {}", error.text));
    Some(firewall::with(finding, &suspects))
}

/// Other nodes that have the addresses although this one is active, and how that is known.
fn also_active(member: &Member<'_>) -> Vec<(IpAddr, String)> {
    let mut others = Vec::new();
    for address in member.instance.moving_addresses() {
        for mac in member.answers(address.address) {
            if let Some(node) = member.node_with(mac) {
                let why = format!(
                    "an ARP probe for {} was answered from {mac}, which is {}",
                    address.address,
                    member.called(node.address)
                );
                others.push((node.address, why));
            }
        }
    }
    for conflict in &member.instance.conflicts {
        if let Conflict::TwoActive(peer, priority) = &conflict.what {
            let why = format!("it goes on advertising, with priority {priority}");
            others.push((peer.address, why));
        }
    }
    others.sort();
    others.dedup_by_key(|(address, _)| *address);
    others
}

fn both(member: &Member<'_>, other: IpAddr, why: String, switch: &Switch) -> Finding {
    let (name, called) = (member.name(), member.called(other));
    let destination = member.hears_at();
    let on_the_wire = member.seen_from_others().contains_key(&other);
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
        finding = finding.because_all(switch.evidence(destination)).mend_all(switch.mend());
    }
    finding.mend(format!("on {called}: vipctl doctor, whose firewall may drop what it sends"))
}
