//! Who has the addresses: this node, the active one, another one, or somebody else.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::finding::{Finding, Kind, Severity};
use super::look::Member;
use crate::engine::conflict::Conflict;
use crate::model::{Family, Mac, VirtualAddress};

/// What the answers to our questions mean.
pub(super) fn judge(member: &Member<'_>) -> Vec<Finding> {
    if member.wire().is_none() || !member.takes_part() {
        return unasked(member);
    }
    let addresses = member.instance.moving_addresses();
    let here = addresses.filter(|address| is_here(member, address));
    let mut findings: Vec<Finding> =
        here.flat_map(|address| address_held(member, address)).collect();
    findings.extend(silent_nodes(member));
    findings
}

/// Whether an address is on the instance's own interface.
fn is_here(member: &Member<'_>, address: &VirtualAddress) -> bool {
    address.dev.as_ref().is_none_or(|dev| dev.as_str() == member.interface())
}

fn address_held(member: &Member<'_>, address: &VirtualAddress) -> Vec<Finding> {
    let answers = member.answers(address.address);
    let strangers: BTreeSet<Mac> =
        answers.iter().copied().filter(|mac| !belongs(member, *mac)).collect();
    let mut findings = Vec::new();
    // A single answer is the active node's, where that does not say which one is its own.
    let known = member.is_active() || active_macs(member).next().is_some() || answers.len() > 1;
    if known && !strangers.is_empty() {
        findings.push(elsewhere(member, address, &strangers));
    }
    if answers.is_empty() && is_advertised(member, address) && active_macs(member).next().is_some()
    {
        findings.push(unanswered(member, address));
    }
    findings
}

/// Whether the active router says that it has this IPv4 address.
fn is_advertised(member: &Member<'_>, address: &VirtualAddress) -> bool {
    let Some(active) = &member.instance.active else { return false };
    let mut advertised = member
        .peers()
        .filter(|peer| peer.peer.address == active.address)
        .filter_map(|peer| peer.advertised.as_ref())
        .flat_map(|advertised| &advertised.addresses);
    address.address.is_ipv4() && advertised.any(|one| *one == address.address)
}

/// Whether a station that answers is one of the group: a node, the active router that is none, or
/// the virtual router's own Ethernet address (RFC 9568 section 7.3). Where this node uses that itself, its
/// own announcements are heard too.
fn belongs(member: &Member<'_>, mac: Mac) -> bool {
    let vrid = member.instance.virtual_router_id;
    let own = member.instance.devices.iter().any(|device| device.mac == mac);
    let is_virtual = mac == vrid.virtual_mac(Family::V4) && (own || !member.is_active());
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
    let what = format!("{name}: a machine outside of the group has {ip}, too: {}", list(macs));
    let mut finding = Finding::new(Severity::Problem, Kind::AddressElsewhere, what);
    finding = finding.because(format!(
        "on {interface}, {} answered an ARP probe for {ip} (RFC 5227)",
        list(macs)
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
    let what = format!("{}: nobody answers for {ip}, although {active} is active", member.name());
    Finding::new(Severity::Problem, Kind::AddressUnanswered, what)
        .because(format!("three ARP probes on {} without an answer", member.interface()))
        .because("the active node answers for its own address")
        .mend(format!(
            "on {active}: ip address show to {ip}; vipctl doctor (arp_ignore, arp_filter)"
        ))
}

/// Listed nodes that neither answer nor advertise: nobody would take over.
fn silent_nodes(member: &Member<'_>) -> Vec<Finding> {
    let silent = member.other_nodes().into_iter().filter(|node| {
        node.address.is_ipv4()
            && member.is_near(node.address)
            && member.answers(node.address).is_empty()
            && !member.peers().any(|peer| peer.peer.address == node.address)
    });
    let finding = |address: IpAddr| {
        let called = member.called(address);
        let what = format!("{called} does not answer on {}", member.interface());
        Finding::new(Severity::Warning, Kind::NodeUnreachable, what)
            .because(format!("three ARP probes for {address} without an answer"))
            .mend(format!("is {called} up, and on this segment? on it: systemctl status vipd"))
            .mend("if it is gone for good: take it out of nodes: on all nodes")
    };
    silent.map(|node| finding(node.address)).collect()
}

/// Where nobody could be asked: what the daemon has seen by itself.
fn unasked(member: &Member<'_>) -> Vec<Finding> {
    let claims = member.instance.conflicts.iter().filter_map(|conflict| match &conflict.what {
        Conflict::ForeignClaim(address, mac) => {
            let what = format!("{}: another station, {mac}, has {address}, too", member.name());
            let finding = Finding::new(Severity::Problem, Kind::AddressElsewhere, what);
            Some(finding.because(format!("vipd has seen it {} times", conflict.count)).mend(
                format!(
                    "find the machine that has the Ethernet address {mac}, and take {address} off"
                ),
            ))
        }
        _ => None,
    });
    claims.collect()
}
