//! How an instance's advertisements travel: the interfaces, the transport, who the others are.

use std::net::IpAddr;

use super::fields::{GroupAddress, MinimumTtl, NodeAddress, TransportName};
use super::nodes::Nodes;
use super::problem::{Marked, Problems, Wrong};
use super::section::{Given, Section};
use crate::model::{Family, InterfaceName, Transport, VirtualAddress, is_link_local};

/// The lowest TTL that a unicast peer's advertisements may have on arrival, where nothing else is
/// written: no router is on the way.
const MINIMUM_TTL: u8 = 255;

/// Reads the key `paths`: the interfaces besides the instance's own. `None` where something is wrong.
pub(super) fn further_interfaces(
    section: &Section<'_>,
    interface: Option<&InterfaceName>,
    problems: &mut Problems<'_>,
) -> Option<Vec<InterfaceName>> {
    let paths = match section.several::<InterfaceName>("paths", problems) {
        Given::Absent => return Some(Vec::new()),
        Given::Wrong => return None,
        Given::Right(paths) => paths,
    };
    let interface = interface?;
    let mut others: Vec<InterfaceName> = Vec::new();
    for (place, Marked { value: path, spot }) in paths.value.iter().enumerate() {
        if paths.value.iter().take(place).any(|earlier| earlier.value == *path) {
            problems.add(spot, Wrong::new(format!("{path} is listed already")));
        } else if path != interface {
            others.push(path.clone());
        }
    }
    if others.len() == paths.value.len() {
        let wrong = Wrong::new(format!("lacks {interface}, the instance's own interface"));
        problems.add(&paths.spot, wrong.hint(format!("add {interface}: it is always a path")));
        return None;
    }
    Some(others)
}

/// Reads how the advertisements reach the others. `None` where something is wrong.
pub(super) fn read(
    section: &Section<'_>,
    addresses: &[Marked<VirtualAddress>],
    nodes: &Nodes,
    problems: &mut Problems<'_>,
) -> Option<Transport> {
    let name = section.take::<TransportName>("transport", problems).or(TransportName::Multicast);
    let groups = groups(section, addresses, problems);
    let peers = section.several::<NodeAddress>("peers", problems);
    let minimum_ttl = section.take::<MinimumTtl>("minimum_ttl", problems);
    match name? {
        TransportName::Multicast => {
            for spot in [spot(&peers), spot(&minimum_ttl)].into_iter().flatten() {
                let wrong = Wrong::new("has a meaning only with 'transport: unicast'");
                problems.add(spot, wrong.hint("write that too, or leave this out"));
            }
            Some(Transport::Multicast { groups: groups? })
        }
        TransportName::Unicast => {
            if let Some(spot) = section.spot_of("multicast_group") {
                let wrong = Wrong::new("has no meaning with 'transport: unicast'");
                problems.add(&spot, wrong.hint("leave it out"));
            }
            let peers = unicast_peers(section, peers, addresses, nodes, problems)?;
            Some(Transport::Unicast {
                peers,
                minimum_ttl: minimum_ttl.or(MinimumTtl(MINIMUM_TTL))?.0,
            })
        }
    }
}

fn spot<T>(given: &Given<T>) -> Option<&super::problem::Spot> {
    match given {
        Given::Right(marked) => Some(&marked.spot),
        Given::Absent | Given::Wrong => None,
    }
}

/// Other groups than VRRP's own: one of a family, and of a family that there are addresses of.
fn groups(
    section: &Section<'_>,
    addresses: &[Marked<VirtualAddress>],
    problems: &mut Problems<'_>,
) -> Option<Vec<IpAddr>> {
    let given = match section.several::<GroupAddress>("multicast_group", problems) {
        Given::Absent => return Some(Vec::new()),
        Given::Wrong => return None,
        Given::Right(given) => given.value,
    };
    let mut groups: Vec<IpAddr> = Vec::new();
    for Marked { value: GroupAddress(group), spot } in given {
        let family = Family::of(group);
        if groups.iter().any(|other| Family::of(*other) == family) {
            let wrong = Wrong::new(format!("is a second {family} group"));
            problems.add(&spot, wrong.hint("one of each family is used"));
        } else if !addresses.iter().any(|a| Family::of(a.value.address) == family) {
            let wrong = Wrong::new(format!("is an {family} group, and no address is {family}"));
            problems.add(&spot, wrong.hint("leave it out"));
        }
        groups.push(group);
    }
    Some(groups)
}

/// Those that are written, or else the other nodes.
fn unicast_peers(
    section: &Section<'_>,
    given: Given<Vec<Marked<NodeAddress>>>,
    addresses: &[Marked<VirtualAddress>],
    nodes: &Nodes,
    problems: &mut Problems<'_>,
) -> Option<Vec<IpAddr>> {
    let families = [Family::V4, Family::V6]
        .into_iter()
        .filter(|family| addresses.iter().any(|a| Family::of(a.value.address) == *family));
    let is_used = |address: &IpAddr| families.clone().any(|family| Family::of(*address) == family);
    let (peers, spot) = match given {
        Given::Wrong => return None,
        Given::Right(list) => {
            for peer in list.value.iter().filter(|peer| !is_used(&peer.value.0)) {
                let family = Family::of(peer.value.0);
                let wrong = Wrong::new(format!(
                    "{} is {family}, and no address of the instance is",
                    peer.value.0
                ));
                problems.add(&peer.spot, wrong.hint("leave it out"));
            }
            (list.value.iter().map(|peer| peer.value.0).collect::<Vec<_>>(), list.spot)
        }
        Given::Absent if nodes.given => {
            let others = nodes.others().flat_map(|node| best_addresses(node.addresses()));
            let spot = section.spot_of("transport").unwrap_or_else(|| section.spot().clone());
            (others.filter(is_used).collect(), spot)
        }
        Given::Absent => {
            let hint = "unicast needs to know the others: list the group under 'nodes', or their \
                        addresses here";
            section.missing("peers", hint, problems);
            return None;
        }
    };
    for family in families.clone() {
        if !peers.iter().any(|peer| Family::of(*peer) == family) {
            let wrong = Wrong::new(format!("no other node has an {family} address to send to"));
            problems.add(&spot, wrong.hint(format!(
                "a node may have several: 'db1: [10.0.0.11, 2001:db8::11]'; or write 'peers' with \
                 {family} addresses"
            )));
        }
    }
    Some(peers)
}

/// All of a node's addresses; a link-local one only where it has no other of IPv6: it would be told
/// twice.
fn best_addresses(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let all: Vec<IpAddr> = addresses.collect();
    let has_global = all.iter().any(|address| address.is_ipv6() && !is_link_local(*address));
    all.into_iter().filter(|address| !(has_global && is_link_local(*address))).collect()
}
