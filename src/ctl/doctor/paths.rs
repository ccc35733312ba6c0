//! Paths of an instance that do not carry what its other paths do: nothing fails as long as one of them
//! does, so that nobody would notice.

use std::net::IpAddr;

use super::finding::{Finding, Kind, Severity};
use super::member::Member;
use super::multicast::Switch;

/// How many advertisements must have come in elsewhere before one would be missed here.
const ENOUGH: usize = 2;

/// What is wrong with this path.
pub(super) fn judge(member: &Member<'_>, switch: &Switch) -> Option<Finding> {
    if member.has_one_path() || !member.takes_part() {
        return None;
    }
    broken(member).or_else(|| silent(member, switch))
}

/// A further interface that cannot be used. Without its own one the instance is in fault.
fn broken(member: &Member<'_>) -> Option<Finding> {
    if member.is_on_first_interface() {
        return None;
    }
    let interface = member.interface();
    let once = |finding| Some(finding).filter(|_| member.leads_on_interface());
    let up = format!("ip link set {interface} up");
    match member.link() {
        None => {
            let mend = "ip link show; the interface's name stands under paths:";
            return once(unusable(member, &format!("there is no interface {interface}"), mend));
        }
        Some(link) if !link.up => return once(unusable(member, "it is down", &up)),
        Some(link) if !link.running => {
            let mend =
                format!("the cable or the switch's port of {interface}: ethtool {interface}");
            return once(unusable(member, "it has no carrier", &mend));
        }
        Some(_) => {}
    }
    let family = member.family;
    if member.group().is_none() && member.destinations().is_empty() {
        let why = format!("none of the peers is in an {family} network of {interface}");
        let mend = "list all addresses of each node under nodes:, those of this network too";
        return Some(unusable(member, &why, mend));
    }
    if member.own_address().is_none() {
        let why = format!("it has no {family} address of its own to advertise from");
        let mend = format!("give it one: ip address show dev {interface}");
        return Some(unusable(member, &why, &mend));
    }
    None
}

fn unusable(member: &Member<'_>, why: &str, mend: &str) -> Finding {
    let what = format!(
        "{}: this path cannot be used; the nodes hear each other on the others alone",
        member.title()
    );
    Finding::new(Severity::Warning, Kind::PathBroken, what)
        .because(format!("{}: {why}", member.interface()))
        .mend(mend)
}

/// The active router's advertisements come in on another path, and on this one they do not.
fn silent(member: &Member<'_>, switch: &Switch) -> Option<Finding> {
    let can_hear = member.link().is_some_and(|link| link.running) && !member.is_active();
    let wire = member.wire().filter(|_| can_hear && member.seen_from_others().is_empty())?;
    let (other, source, count) = member.others().find_map(|other| {
        let mut seen = other.seen_from_others().into_iter();
        let (source, count) =
            seen.find(|(source, count)| *count >= ENOUGH && is_of_the_group(&other, *source))?;
        Some((other, source, count))
    })?;
    let called = member.called(source);
    let (interface, family, destination) = (member.interface(), member.family, member.hears_at());
    let what = format!(
        "{}: nothing of {called} arrives here, only on {} ({})",
        member.title(),
        other.interface,
        other.family
    );
    let finding = Finding::new(Severity::Warning, Kind::NotArriving, what)
        .because(format!(
            "no {family} advertisement to {destination} came in on {interface} in {:.1} s, before any \
             firewall; on {} ({}) {count} did",
            wire.span.as_secs_f64(),
            other.interface,
            other.family
        ))
        .because("if the other path breaks, this node takes the addresses from a live one");
    Some(advice(finding, member, switch, destination, &called))
}

/// Whether nothing is wrong with this router but perhaps that it is not heard everywhere.
fn is_of_the_group(member: &Member<'_>, source: IpAddr) -> bool {
    let mut peers = member.peers().filter(|peer| peer.peer.address == source);
    peers.any(|peer| peer.advertised.is_some() && peer.oddities.is_empty())
}

fn advice(
    mut finding: Finding,
    member: &Member<'_>,
    switch: &Switch,
    destination: IpAddr,
    called: &str,
) -> Finding {
    finding = finding.mend(format!(
        "on {called}: vipctl doctor, which says whether it sends them and whether its firewall drops them"
    ));
    if !member.is_on_first_interface() {
        let interface = member.interface();
        finding = finding.mend(format!(
            "the cables, switches and the VLAN between the {interface} of both nodes"
        ));
    }
    if destination.is_multicast() {
        finding = finding.because_all(switch.evidence(destination));
        finding = finding.mend_all(switch.mend(destination));
    }
    finding
}
