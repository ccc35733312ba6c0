//! Advice about settings that are valid but probably not intended. `vipd check` prints it. It does
//! not keep vipd from starting.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::fields::not_of_its_network;
use super::instance::Draft;
use super::nodes::{Here, Nodes, OwnAddress};
use super::problem::{Marked, Problems, Wrong};
use super::section::Given;
use crate::model::{Family, VirtualAddress, is_link_local};

/// Examines all instances.
pub(super) fn all(drafts: &[Draft<'_>], nodes: &Nodes, here: &Here, problems: &mut Problems<'_>) {
    for draft in drafts {
        priority_beside_nodes(draft, nodes, problems);
    }
    let Here::Machine { addresses, .. } = here else { return };
    // An active node has the moving addresses, too: they do not make a network its own.
    let moves = |draft: &&Draft<'_>| !draft.has_owner_priority();
    let moving = drafts.iter().filter(moves).flat_map(Draft::moving_addresses);
    let moving: BTreeSet<IpAddr> = moving.map(|address| address.value.address).collect();
    let own: Vec<&OwnAddress> =
        addresses.iter().filter(|own| has_network(own) && !moving.contains(&own.address)).collect();
    for draft in drafts.iter().filter(moves) {
        for address in draft.moving_addresses() {
            network(draft, address, &own, problems);
        }
    }
}

/// Warns of a priority beside `nodes`. The file is meant to be the same on every node, so a
/// priority in it is the same, too.
fn priority_beside_nodes(draft: &Draft<'_>, nodes: &Nodes, problems: &mut Problems<'_>) {
    let Given::Right(Marked { value: priority, spot }) = &draft.priority else { return };
    if nodes.list.len() < 2 {
        return;
    }
    let wrong = if priority.is_owner() {
        let what = "255 beside 'nodes' makes every node that has this file wait until the \
                    addresses are its own, so that only their owner is ever active";
        Wrong::new(what).hint("write it on the owner alone, and leave it out on the others")
    } else {
        let what = format!(
            "every node that has this file gets the priority {priority}, and the order of 'nodes' \
             does not count: of equal ones the node with the highest address wins"
        );
        Wrong::new(what).hint("leave it out, unless each node has a file of its own")
    };
    problems.warn(spot, wrong);
}

/// Returns true if this address shows a network on its interface.
fn has_network(own: &OwnAddress) -> bool {
    let longest = if own.address.is_ipv4() { 32 } else { 128 };
    own.prefix < longest && !own.address.is_loopback() && !is_link_local(own.address)
}

fn contains(own: &OwnAddress, other: IpAddr) -> bool {
    match (own.address, other) {
        (IpAddr::V4(own_v4), IpAddr::V4(other)) => {
            let mask = u32::MAX.checked_shr(own.prefix.into()).map_or(0, |host| !host);
            (own_v4.to_bits() ^ other.to_bits()) & mask == 0
        }
        (IpAddr::V6(own_v6), IpAddr::V6(other)) => {
            let mask = u128::MAX.checked_shr(own.prefix.into()).map_or(0, |host| !host);
            (own_v6.to_bits() ^ other.to_bits()) & mask == 0
        }
        _ => false,
    }
}

fn shown(own: &OwnAddress) -> String {
    format!("{}/{}", own.address, own.prefix)
}

/// Warns of an address outside the networks of its interface. Hosts ask for an address on their
/// link only if it is in one of their networks there.
fn network(
    draft: &Draft<'_>,
    Marked { value: address, spot }: &Marked<VirtualAddress>,
    own: &[&OwnAddress],
    problems: &mut Problems<'_>,
) {
    let ip = address.address;
    let Some(interface) = address.dev.as_ref().or(draft.interface.as_ref()) else { return };
    if is_link_local(ip) {
        return;
    }
    let there: Vec<&&OwnAddress> = own
        .iter()
        .filter(|one| one.interface == *interface)
        .filter(|one| Family::of(one.address) == Family::of(ip))
        .collect();
    if let Some(near) = there.iter().find(|one| contains(one, ip)) {
        if let Err(wrong) = not_of_its_network(ip, near.prefix) {
            let what = format!("{} on {interface}: it can never work there", wrong.what);
            problems.wait(spot, Wrong::new(what).hint("use another address"));
        }
        return;
    }
    // An interface without an address of the family may get one.
    if there.is_empty() {
        return;
    }
    let networks: Vec<String> = there.iter().map(|one| shown(one)).collect();
    let what = format!(
        "{address} is in no network of {interface}, which has {}: hosts there reach it only by a \
         route or an address of their own for it",
        networks.join(" and ")
    );
    let hint = match own.iter().find(|one| contains(one, ip)) {
        Some(other) => format!("{} has {}: is that the interface?", other.interface, shown(other)),
        None => "is it mistyped?".to_owned(),
    };
    problems.warn(spot, Wrong::new(what).hint(hint));
}
