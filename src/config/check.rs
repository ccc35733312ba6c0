//! What must hold between instances, nodes and this machine.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Here;
use super::instance::Draft;
use super::nodes::Nodes;
use super::problem::{Marked, Problems, Spot, Wrong, quoted};
use super::section::Given;
use crate::model::{InterfaceName, Node, Vrid};

/// Compares the instances with each other, with the nodes and with this machine.
pub(super) fn all(drafts: &[Draft<'_>], nodes: &Nodes, here: &Here, problems: &mut Problems<'_>) {
    virtual_router_ids(drafts, problems);
    addresses(drafts, problems);
    for draft in drafts {
        apart_from_nodes(draft, nodes, problems);
        ownership(draft, here, problems);
    }
}

/// A number stands for one virtual router on an interface (RFC 9568 section 1.7).
fn virtual_router_ids(drafts: &[Draft<'_>], problems: &mut Problems<'_>) {
    let mut seen = BTreeMap::<(&InterfaceName, Vrid), &Spot>::new();
    for draft in drafts {
        let (Some(interface), Some(id)) = (&draft.interface, &draft.virtual_router_id) else {
            continue;
        };
        let Some(first) = seen.get(&(interface, id.value)) else {
            seen.insert((interface, id.value), &id.spot);
            continue;
        };
        let what =
            format!("{} is already taken on {interface}, in line {}", id.value, first.place.line);
        let hint = "every virtual router on an interface needs its own number";
        problems.add(&id.spot, Wrong::new(what).hint(hint));
    }
}

/// An address belongs to one virtual router, once.
fn addresses(drafts: &[Draft<'_>], problems: &mut Problems<'_>) {
    let mut seen = BTreeMap::<IpAddr, &Spot>::new();
    for address in drafts.iter().flat_map(|draft| &draft.addresses) {
        let ip = address.value.address;
        if let Some(first) = seen.get(&ip) {
            let what =
                format!("{ip} is already given, as {} in line {}", first.path, first.place.line);
            problems.add(&address.spot, Wrong::new(what).hint("give each address once"));
        } else {
            seen.insert(ip, &address.spot);
        }
    }
}

/// An address that a node has by itself is on two nodes at once after a failover, except where
/// it is the owner's.
fn apart_from_nodes(draft: &Draft<'_>, nodes: &Nodes, problems: &mut Problems<'_>) {
    match &draft.priority {
        Given::Wrong => return,
        Given::Right(priority) if priority.value.is_owner() => return,
        Given::Right(_) | Given::Absent => {}
    }
    for Marked { value: address, spot } in &draft.addresses {
        let same = |node: &&Marked<Node>| node.value.address == address.address;
        if let Some(node) = nodes.list.iter().find(same) {
            let name = quoted(node.value.name.as_str());
            let what = format!("{} is the address of node {name} itself", address.address);
            problems.add(spot, Wrong::new(what).hint("use one that no node has by itself"));
        }
    }
}

/// Priority 255 is for the router that has the addresses anyway (RFC 9568 section 5.2.4).
fn ownership(draft: &Draft<'_>, here: &Here, problems: &mut Problems<'_>) {
    let (Given::Right(priority), Here::Machine { addresses: own }) = (&draft.priority, here) else {
        return;
    };
    if !priority.value.is_owner() {
        return;
    }
    let lacking: Vec<String> = draft
        .addresses
        .iter()
        .filter_map(|address| {
            let interface = address.value.dev.as_ref().or(draft.interface.as_ref())?;
            let here = |(on, ip): &(_, _)| on == interface && *ip == address.value.address;
            (!own.iter().any(here)).then(|| format!("{} on {interface}", address.value.address))
        })
        .collect();
    if !lacking.is_empty() {
        let what = format!(
            "255 is for the owner of the addresses, but this machine has no {}",
            lacking.join(", no ")
        );
        problems.add(&priority.spot, Wrong::new(what).hint("use a number from 1 to 254"));
    }
}
