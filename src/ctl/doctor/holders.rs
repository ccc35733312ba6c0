//! Who has the addresses: this node, the active one, another one, or somebody else.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::finding::{Finding, Kind, LeftOut, Severity};
use super::link::interfaces;
use super::member::Member;
use crate::engine::conflict::Conflict;
use crate::model::{Family, Mac, VirtualAddress, is_link_local};
use crate::time::Span;

/// What the answers to our questions about an instance's addresses mean. It is looked at as a whole, from
/// whichever of its paths.
pub(super) fn judge(member: &Member<'_>, left_out: &mut Vec<LeftOut>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for address in member.instance.moving_addresses() {
        let place = member.at_address(address);
        if place.wire().is_none() || !place.takes_part() {
            findings.extend(unasked(&place, address));
        } else {
            findings.extend(address_held(&place, address, left_out));
        }
    }
    findings
}

fn address_held(
    member: &Member<'_>,
    address: &VirtualAddress,
    left_out: &mut Vec<LeftOut>,
) -> Vec<Finding> {
    let answers = member.answers(address.address);
    let strangers: BTreeSet<Mac> =
        answers.iter().copied().filter(|mac| !belongs(member, *mac)).collect();
    let is_known = active_macs(member).next().is_some();
    let mut findings = Vec::new();
    if !strangers.is_empty() {
        // A single answer is the active node's, where that does not say which one is its own.
        let is_somebody_else = member.is_active() || is_known || answers.len() > 1;
        if is_somebody_else && knows_the_others(member) {
            findings.push(elsewhere(member, address, &strangers));
        } else if is_somebody_else {
            left_out.push(unknown(member, address, &strangers));
        }
    }
    let is_missing = answers.is_empty() && can_be_asked(member, address.address);
    if is_missing && is_known && is_advertised(member, address) {
        findings.push(unanswered(member, address));
    }
    findings
}

/// Whether an answer of a node can be told from that of a stranger: on the interface where the nodes
/// speak, by their own addresses.
fn knows_the_others(member: &Member<'_>) -> bool {
    interfaces(member.instance).any(|interface| interface == member.interface)
        || member
            .other_nodes()
            .any(|(_, own)| own.iter().any(|one| !member.answers(*one).is_empty()))
}

fn unknown(member: &Member<'_>, address: &VirtualAddress, macs: &BTreeSet<Mac>) -> LeftOut {
    let (ip, interface) = (address.address, member.interface());
    LeftOut {
        what: format!("whose {ip} on {interface} is that {} has", list(macs)),
        why: "no node has answered there for an address of its own, by which it could be told"
            .to_owned(),
    }
}

/// Whether the active router says that it has this address.
fn is_advertised(member: &Member<'_>, address: &VirtualAddress) -> bool {
    let bound = member.instance.advertisement_interval.span().times(4) + Span::from_secs(1);
    let peers = member.instance.peers.iter().filter(|peer| peer.age <= bound);
    let mut said =
        peers.filter_map(|peer| peer.advertised.as_ref()).filter(|said| said.priority > 0);
    said.any(|said| said.addresses.contains(&address.address))
}

/// Whether a station that answers is one of the group: a node, the active router that is none, or
/// the virtual router's own Ethernet address (RFC 9568 section 7.3). Where this node uses that itself, its
/// own announcements are heard too.
fn belongs(member: &Member<'_>, mac: Mac) -> bool {
    let vrid = member.instance.virtual_router_id;
    let own = member.instance.devices.iter().any(|device| device.mac == mac);
    let is_virtual = mac == vrid.virtual_mac(member.family) && (own || !member.is_active());
    is_virtual || member.node_with(mac).is_some() || active_macs(member).any(|active| active == mac)
}

/// The Ethernet addresses of the active router that a backup hears.
fn active_macs<'a>(member: &Member<'a>) -> impl Iterator<Item = Mac> + use<'a> {
    let active = member.instance.active.as_ref().filter(|_| !member.is_active());
    let macs = active.map(|active| member.answers(active.address)).unwrap_or_default();
    macs.into_iter()
}

fn list(macs: &BTreeSet<Mac>) -> String {
    macs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn elsewhere(member: &Member<'_>, address: &VirtualAddress, macs: &BTreeSet<Mac>) -> Finding {
    let (name, interface, ip) = (member.name(), member.interface(), address.address);
    let title = member.title();
    let what = format!("{title}: a machine outside of the group has {ip}, too: {}", list(macs));
    let mut finding = Finding::new(Severity::Problem, Kind::AddressElsewhere, what);
    finding = finding.because(format!(
        "on {interface}, {} answered {} for {ip}",
        list(macs),
        member.question()
    ));
    if member.is_active() {
        let own = member.wire().map(|wire| wire.mac.to_string()).unwrap_or_default();
        finding = finding.because(format!("this node is active and has it at {own}"));
    } else if let Some(active) = &member.instance.active {
        let macs: BTreeSet<Mac> = active_macs(member).collect();
        finding = finding.because(format!("the active node, {active}, is at {}", list(&macs)));
    }
    finding
        .mend(format!("find the machine: the switch's table says which port {} is at", list(macs)))
        .mend(format!(
            "there: ip address del {ip}/PREFIX dev INTERFACE, and out of its configuration"
        ))
        .mend(format!("if it is meant to have it: give {name} another address under addresses:"))
}

fn unanswered(member: &Member<'_>, address: &VirtualAddress) -> Finding {
    let ip = address.address;
    let active = member.instance.active.as_ref().map(ToString::to_string).unwrap_or_default();
    let what = format!("{}: nobody answers for {ip}, although {active} is active", member.title());
    Finding::new(Severity::Problem, Kind::AddressUnanswered, what)
        .because(format!("three {} on {} without an answer", member.questions(), member.interface()))
        .because("the active node answers for its own address")
        .mend(match member.family {
            Family::V4 => format!(
                "on {active}: ip address show to {ip}; vipctl doctor (arp_ignore, arp_filter)"
            ),
            Family::V6 => format!(
                "on {active}: ip address show to {ip} (tentative, dadfailed?); does its firewall let \
                 ICMPv6 neighbour discovery pass?"
            ),
        })
}

/// Listed nodes that neither answer nor advertise on this path: nobody would take over.
pub(super) fn silent_nodes(member: &Member<'_>) -> Vec<Finding> {
    if member.wire().is_none() || !member.takes_part() {
        return Vec::new();
    }
    let silent = member.other_nodes().filter_map(|(_, own)| {
        let asked: Vec<IpAddr> = own.into_iter().filter(|one| is_asked(member, *one)).collect();
        let silent = !asked.iter().any(|address| {
            !member.answers(*address).is_empty()
                || member.peers().any(|peer| peer.peer.address == *address)
        });
        asked.first().copied().filter(|_| silent)
    });
    silent.map(|address| silent_node(member, address)).collect()
}

/// Whether a node with this address should answer here. With several interfaces, a link-local one
/// does not say on which of them it is.
fn is_asked(member: &Member<'_>, address: IpAddr) -> bool {
    let is_anywhere = is_link_local(address) && !member.instance.further_interfaces.is_empty();
    can_be_asked(member, address) && member.is_near(address) && !is_anywhere
}

fn can_be_asked(member: &Member<'_>, address: IpAddr) -> bool {
    let questions = member.look.questions.get(member.interface());
    questions.is_some_and(|questions| !questions.leaves_out(address))
}

fn silent_node(member: &Member<'_>, address: IpAddr) -> Finding {
    let called = member.called(address);
    let what = if member.has_one_path() {
        format!("{called} does not answer on {}", member.interface())
    } else {
        format!("{}: {called} does not answer on {}", member.title(), member.interface())
    };
    Finding::new(Severity::Warning, Kind::NodeUnreachable, what)
        .because(format!("three {} for {address} without an answer", member.questions()))
        .mend(format!("is {called} up, and on this segment? on it: systemctl status vipd"))
        .mend("if it is gone for good: take it out of nodes: on all nodes")
}

/// Where nobody could be asked: what the daemon has seen by itself.
fn unasked(member: &Member<'_>, address: &VirtualAddress) -> Vec<Finding> {
    let duplicates = member.instance.conflicts.iter().filter_map(|conflict| match &conflict.what {
        Conflict::DuplicateAddress(duplicate, mac) if *duplicate == address.address => {
            let what = format!("{}: another station, {mac}, has {duplicate}, too", member.title());
            let finding = Finding::new(Severity::Problem, Kind::AddressElsewhere, what);
            Some(finding.because(format!("vipd has seen it {} times", conflict.count)).mend(
                format!(
                    "find the machine that has the Ethernet address {mac}, and take {duplicate} off"
                ),
            ))
        }
        _ => None,
    });
    duplicates.collect()
}
