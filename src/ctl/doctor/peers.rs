//! Routers that should not be there, or do not agree with this node.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::finding::{Finding, Kind, Severity};
use super::member::Member;
use crate::engine::{Advertised, Discard, PeerStatus};
use crate::model::{Family, Interval, Node, Vrid, is_link_local};

/// Samples and other groups' favourites: nobody is told to take one of these.
const CROWDED: [u8; 2] = [1, 51];

/// What the daemon says about the routers that it hears on a path.
pub(super) fn judge(member: &Member<'_>) -> Vec<Finding> {
    member.peers().flat_map(|peer| about(member, peer)).collect()
}

fn about(member: &Member<'_>, peer: &PeerStatus) -> Vec<Finding> {
    if peer.peer.name.is_none() && is_comparable(member, peer.peer.address) {
        return vec![stranger(member, peer)];
    }
    let mut findings = Vec::new();
    findings.extend(peer.refusal.map(|why| refused(member, peer, why)));
    if let Some(advertised) = &peer.advertised {
        findings.extend(other_addresses(member, peer, advertised));
        findings.extend(other_interval(member, peer, advertised));
    }
    findings
}

/// Whether a node would be known by such an address. Over IPv6 routers advertise from link-local
/// addresses, which say nothing unless the nodes are listed with theirs.
fn is_comparable(member: &Member<'_>, source: IpAddr) -> bool {
    let mut listed = member.look.now.status.nodes.iter().flat_map(Node::addresses);
    listed.any(|own| {
        Family::of(own) == Family::of(source) && is_link_local(own) == is_link_local(source)
    })
}

/// `node2 (10.0.0.12)`
fn called(peer: &PeerStatus) -> String {
    peer.peer.to_string()
}

fn list(addresses: impl IntoIterator<Item = IpAddr>) -> String {
    addresses.into_iter().map(|address| address.to_string()).collect::<Vec<_>>().join(", ")
}

fn ours(member: &Member<'_>) -> BTreeSet<IpAddr> {
    let all = member.instance.addresses.iter().map(|address| address.address);
    all.filter(|address| Family::of(*address) == member.family).collect()
}

fn finding(severity: Severity, kind: Kind, member: &Member<'_>, what: &str) -> Finding {
    Finding::new(severity, kind, format!("{}: {what}", member.title()))
}

/// A router that is none of the nodes: another group, or a node that the list does not have.
fn stranger(member: &Member<'_>, peer: &PeerStatus) -> Finding {
    let vrid = member.instance.virtual_router_id;
    let (interface, address) = (member.interface(), peer.peer.address);
    let theirs: BTreeSet<IpAddr> =
        peer.advertised.iter().flat_map(|advertised| advertised.addresses.clone()).collect();
    let what = format!(
        "{address}, which is none of the nodes, uses virtual router ID {vrid} on {interface}"
    );
    let mut found = finding(Severity::Problem, Kind::Stranger, member, &what);
    if let Some(advertised) = &peer.advertised {
        found = found.because(format!(
            "it advertises {} with priority {}; this instance has {}",
            list(theirs.iter().copied()),
            advertised.priority,
            list(ours(member)),
        ));
    }
    found = found.because_all(peer.refusal.map(|why| format!("it is refused: {why}")));
    if theirs == ours(member) {
        return found.mend(format!(
            "if it is a node of this group: add it under nodes: in the file of every node ({}), \
             then vipctl reload",
            member.look.now.file.path
        ));
    }
    found.mend(format!(
        "give one of the two groups another ID, on all of its nodes: virtual_router_id: {} under \
         {} in {}, then vipctl reload",
        free(member),
        member.name(),
        member.look.now.file.path
    ))
}

/// An ID that nobody uses on the wire, as far as was heard, nor this configuration there.
fn free(member: &Member<'_>) -> Vrid {
    let heard = member.wire().into_iter().flat_map(|wire| &wire.heard);
    let mut used: BTreeSet<u8> =
        heard.map(|heard| heard.advertisement.virtual_router_id.get()).collect();
    let instances = &member.look.now.status.instances;
    used.extend(instances.iter().map(|instance| instance.virtual_router_id.get()));
    used.extend(CROWDED);
    let own = member.instance.virtual_router_id;
    let above = (own.get()..=u8::MAX).chain(1..own.get());
    let mut free = above.filter(|id| !used.contains(id)).filter_map(|id| Vrid::try_from(id).ok());
    free.next().unwrap_or(own)
}

/// As it is written in a configuration.
fn written(interval: Interval) -> String {
    interval.to_string().replace(' ', "")
}

fn refused(member: &Member<'_>, peer: &PeerStatus, why: Discard) -> Finding {
    let called = called(peer);
    let (kind, what, mend) = match why {
        Discard::AddressOwner => (
            Kind::TwoActive,
            format!(
                "{called} says that it owns the addresses (priority 255), and so does this node"
            ),
            "no owner yields to another: only one node may have priority: 255".to_owned(),
        ),
        Discard::VersionMismatch => (
            Kind::VersionDiffers,
            format!(
                "{called} speaks another version of VRRP than this node (version {})",
                member.instance.version
            ),
            format!("the same version: on both, under {}; keepalived: vrrp_version", member.name()),
        ),
        Discard::AuthenticationType
        | Discard::AuthenticationMismatch
        | Discard::Password
        | Discard::TrailerMissing
        | Discard::TrailerMalformed
        | Discard::UnknownKey
        | Discard::Hmac => (
            Kind::AuthenticationDiffers,
            format!("{called} and this node do not authenticate alike"),
            "the same authentication, or none, on both (keepalived: the block authentication)"
                .to_owned(),
        ),
        Discard::IntervalMismatch => (
            Kind::IntervalDiffers,
            format!(
                "{called} advertises at another interval than {}, which version 2 refuses",
                member.instance.advertisement_interval
            ),
            format!(
                "advertisement_interval: {} under {} on every node (keepalived: advert_int)",
                written(member.instance.advertisement_interval),
                member.name()
            ),
        ),
        other => (
            Kind::AdvertisementsRefused,
            format!("advertisements of {called} are refused"),
            match other {
                Discard::Ttl => "something on the way routes them, or they are forged: vipd and \
                                 they must be on one segment"
                    .to_owned(),
                Discard::Stale => {
                    "synchronize the clocks of all nodes (timedatectl set-ntp true), \
                                   or give more time: window under authentication"
                        .to_owned()
                }
                Discard::ForeignSource => {
                    "if it is a router of this group: list its address under nodes: on every \
                     node; if not, give each segment a key of its own"
                        .to_owned()
                }
                Discard::ForeignAddresses => {
                    "if it is a router of this group: give both the same addresses; if not, give \
                     each group a key of its own"
                        .to_owned()
                }
                _ => {
                    format!("look at what it sends: tcpdump -vni {} proto 112", member.interface())
                }
            },
        ),
    };
    let found = finding(Severity::Problem, kind, member, &what).because(format!(
        "{} of its packets are refused, {} were accepted: {why}",
        peer.refused, peer.accepted
    ));
    found.mend(mend)
}

fn other_addresses(
    member: &Member<'_>,
    peer: &PeerStatus,
    advertised: &Advertised,
) -> Option<Finding> {
    let theirs: BTreeSet<IpAddr> = advertised.addresses.iter().copied().collect();
    let ours = ours(member);
    if theirs == ours {
        return None;
    }
    let called = called(peer);
    let what = format!("{called} has other addresses in its configuration than this node");
    let file = &member.look.now.file.path;
    Some(
        finding(Severity::Problem, Kind::AddressesDiffer, member, &what)
            .because_all(only(&theirs, &ours, &called))
            .because_all(only(&ours, &theirs, "this node"))
            .mend(format!(
                "if this node is right: scp {file} root@{}:{file}, and there: vipd check && \
                 vipctl reload",
                peer.peer.address
            ))
            .mend("if the other one is right: the same the other way round"),
    )
}

fn only(one: &BTreeSet<IpAddr>, other: &BTreeSet<IpAddr>, who: &str) -> Option<String> {
    let only: Vec<IpAddr> = one.difference(other).copied().collect();
    (!only.is_empty()).then(|| format!("only {who}: {}", list(only)))
}

fn other_interval(
    member: &Member<'_>,
    peer: &PeerStatus,
    advertised: &Advertised,
) -> Option<Finding> {
    let own = member.instance.advertisement_interval;
    if advertised.interval == own || peer.refusal == Some(Discard::IntervalMismatch) {
        return None;
    }
    let called = called(peer);
    let what = format!("{called} advertises every {}, this node every {own}", advertised.interval);
    Some(
        finding(Severity::Warning, Kind::IntervalDiffers, member, &what)
            .because(
                "version 3 learns the active router's interval, so it works; the time until a \
                 takeover depends on who is active",
            )
            .mend(format!(
                "advertisement_interval: {} under {} on every node (keepalived: advert_int)",
                written(own),
                member.name()
            )),
    )
}
