//! The rules between instances and nodes, and the needs of an address owner on this machine.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::instance::Draft;
use super::nodes::{Here, Nodes, OwnAddress};
use super::problem::{Marked, Problems, Spot, Wrong, quoted};
use super::section::Given;
use crate::model::{
    Family, InstanceConfig, InstanceName, InterfaceName, VirtualDevice, Vrid, is_link_local,
};

/// Compares the instances with each other and with the nodes.
pub(super) fn all(drafts: &[Draft<'_>], nodes: &Nodes, problems: &mut Problems<'_>) {
    virtual_router_ids(drafts, problems);
    addresses(drafts, problems);
    routing(drafts, problems);
    device_names(drafts, problems);
    for draft in drafts {
        apart_from_nodes(draft, nodes, problems);
        nothing_beside_an_owners(draft, problems);
    }
}

/// A number stands for one virtual router on an interface, in each address family (RFC 9568 section
/// 1.7).
fn virtual_router_ids(drafts: &[Draft<'_>], problems: &mut Problems<'_>) {
    let mut seen = BTreeMap::<(&InterfaceName, Family, Vrid), &Spot>::new();
    for draft in drafts {
        let Some(id) = &draft.virtual_router_id else { continue };
        // Before its addresses are right it is of IPv4, as most are.
        let is_ipv4 = draft.has(Family::V4) || !draft.has(Family::V6);
        let families = [(Family::V4, is_ipv4), (Family::V6, draft.has(Family::V6))];
        let families = families.into_iter().filter(|(_, has)| *has).map(|(family, _)| family);
        let paths = draft.interfaces().flat_map(|one| families.clone().map(move |f| (one, f)));
        let mut taken = None;
        for (interface, family) in paths {
            match seen.get(&(interface, family, id.value)) {
                None => drop(seen.insert((interface, family, id.value), &id.spot)),
                Some(first) => taken = taken.or(Some((interface, *first))),
            }
        }
        if let Some((interface, first)) = taken {
            let what = format!(
                "{} is already taken on {interface}, in line {}",
                id.value, first.place.line
            );
            let hint = "every virtual router on an interface needs its own number";
            problems.add(&id.spot, Wrong::new(what).hint(hint));
        }
    }
}

/// Names of devices with virtual MAC addresses are vipd's, and each is that of one device.
fn device_names(drafts: &[Draft<'_>], problems: &mut Problems<'_>) {
    let mut seen = BTreeMap::<InterfaceName, VirtualDevice>::new();
    for draft in drafts {
        let devs = draft.addresses.iter().filter_map(|a| Some((a.value.dev.as_ref()?, &a.spot)));
        let own = draft.section.spot_of("interface");
        let own = draft.interface.as_ref().zip(own.as_ref());
        for (name, spot) in own.into_iter().chain(devs).filter(|(n, _)| n.is_virtual_device()) {
            let what = format!("{name} is the name of a device that vipd makes");
            problems.add(spot, Wrong::new(what).hint("write the interface that it is on"));
        }
        let devices = draft.config.iter().flat_map(InstanceConfig::virtual_devices);
        for device in devices {
            let Some(first) = seen.insert(device.name(), device.clone()) else { continue };
            if let Some(id) = draft.virtual_router_id.as_ref().filter(|_| first != device) {
                let what = format!(
                    "the device with the virtual MAC address on {} would have the same name as \
                     that on {}, {device}",
                    device.interface, first.interface
                );
                problems.add(&id.spot, Wrong::new(what).hint("give it another number"));
            }
        }
    }
}

/// An address belongs to one virtual router, once; a link-local one on each interface.
fn addresses(drafts: &[Draft<'_>], problems: &mut Problems<'_>) {
    let mut seen = BTreeMap::<(IpAddr, Option<&InterfaceName>), (&Spot, &Draft<'_>)>::new();
    let all = drafts
        .iter()
        .flat_map(|draft| draft.moving_addresses().map(move |address| (address, draft)));
    for (address, draft) in all {
        let ip = address.value.address;
        let dev = address.value.dev.as_ref().or(draft.interface.as_ref());
        let place = (ip, dev.filter(|_| is_link_local(ip)));
        if let Some((first, other)) = seen.get(&place) {
            // Both have that of their number, and the number was the mistake.
            if !std::ptr::eq(*other, draft) && has_own_link_local(other, draft, ip) {
                continue;
            }
            let what =
                format!("{ip} is already given, as {} in line {}", first.path, first.place.line);
            problems.add(&address.spot, Wrong::new(what).hint("give each address once"));
        } else {
            seen.insert(place, (&address.spot, draft));
        }
    }
}

fn has_own_link_local(one: &Draft<'_>, other: &Draft<'_>, address: IpAddr) -> bool {
    let [one_id, other_id] =
        [one, other].map(|draft| draft.virtual_router_id.as_ref().map(|id| id.value));
    one.interface == other.interface
        && one_id == other_id
        && one_id.is_some_and(|id| address == IpAddr::from(id.link_local()))
}

/// The kernel has one route to a destination in a table with a metric, and a rule once.
fn routing(drafts: &[Draft<'_>], problems: &mut Problems<'_>) {
    let mut seen = BTreeMap::new();
    for Marked { value, spot } in drafts.iter().filter_map(|draft| draft.routes.as_ref()).flatten()
    {
        if let Some(first) = seen.insert((value.to, value.table, value.metric), spot) {
            let what = format!(
                "{} is already given in this table with this metric, as {} in line {}",
                value.to, first.path, first.place.line
            );
            problems.add(spot, Wrong::new(what).hint("give each route once"));
        }
    }
    let mut seen = BTreeMap::new();
    for Marked { value, spot } in drafts.iter().filter_map(|draft| draft.rules.as_ref()).flatten() {
        if let Some(first) = seen.insert(value, spot) {
            let place = (&first.path, first.place.line);
            let what =
                format!("the same rule is already given, as {} in line {}", place.0, place.1);
            problems.add(spot, Wrong::new(what).hint("give each rule once"));
        }
    }
}

/// The owner's addresses are there without vipd, and what belongs to them has to be, too.
fn nothing_beside_an_owners(draft: &Draft<'_>, problems: &mut Problems<'_>) {
    if !matches!(&draft.priority, Given::Right(priority) if priority.value.is_owner()) {
        return;
    }
    for key in ["extra_addresses", "routes", "rules"] {
        if let Some(spot) = draft.section.spot_of(key) {
            let wrong = Wrong::new(
                "has no effect at priority 255: what belongs to the owner's addresses is there \
                 all the time, as they are",
            );
            problems.add(&spot, wrong.hint("make it part of this machine's own network setup"));
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
    for Marked { value: address, spot } in draft.moving_addresses() {
        let mut nodes = nodes.list.iter();
        if let Some(node) =
            nodes.find(|node| node.value.addresses().any(|own| own == address.address))
        {
            let name = quoted(node.value.name.as_str());
            let what = format!("{} is the address of node {name} itself", address.address);
            problems.add(spot, Wrong::new(what).hint("use one that no node has by itself"));
        }
    }
}

/// Priority 255 is for the router that has the addresses anyway (RFC 9568 section 5.2.4). Returns
/// the instances whose addresses are not on this machine, and which those are.
pub(super) fn ownership(
    drafts: &[Draft<'_>],
    here: &Here,
    problems: &mut Problems<'_>,
) -> BTreeMap<InstanceName, String> {
    let mut awaited = BTreeMap::new();
    let Here::Machine { addresses: own, .. } = here else { return awaited };
    for draft in drafts {
        let Given::Right(priority) = &draft.priority else { continue };
        let lacking = lacking(draft, own);
        if !priority.value.is_owner() || lacking.is_empty() {
            continue;
        }
        let what = format!(
            "255 is for the owner of the addresses, and this machine has no {}",
            lacking.join(", no ")
        );
        awaited.extend(draft.name.clone().map(|name| (name, what.clone())));
        let hint = "put them on it, or use a number from 1 to 254";
        problems.wait(&priority.spot, Wrong::new(what).hint(hint));
    }
    awaited
}

/// The addresses of an instance that this machine does not have: `10.0.0.100 on eth0`.
fn lacking(draft: &Draft<'_>, own: &[OwnAddress]) -> Vec<String> {
    let lacking = draft.addresses.iter().filter_map(|Marked { value, .. }| {
        let interface = value.dev.as_ref().or(draft.interface.as_ref())?;
        let mut own = own.iter();
        let has = own.any(|own| own.interface == *interface && own.address == value.address);
        (!has).then(|| format!("{} on {interface}", value.address))
    });
    lacking.collect()
}
