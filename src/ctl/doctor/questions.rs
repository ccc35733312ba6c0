//! Who is asked for on which wire, and how (RFC 5227, RFC 4861 section 7.2).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use super::finding::LeftOut;
use super::link::interfaces;
use crate::api::Snapshot;
use crate::ctl::wire::OwnAddress;
use crate::engine::status::InstanceStatus;
use crate::model::{Config, InterfaceName, Mac, Node, Transport, is_link_local};
use crate::vrrp::frame::{arp_probe, neighbour_solicitation};

/// What there is to ask on a wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Questions {
    /// Who has these?
    pub(super) addresses: BTreeSet<IpAddr>,
    /// This machine's own link-local address there: without one nobody is asked for IPv6 addresses.
    pub(super) link_local: Option<Ipv6Addr>,
}

impl Questions {
    /// Whether nobody can be asked for an address.
    pub(super) fn leaves_out(&self, address: IpAddr) -> bool {
        address.is_ipv6() && self.link_local.is_none()
    }

    /// The frames that ask.
    pub(super) fn frames(&self, mac: Mac) -> Vec<Vec<u8>> {
        self.addresses
            .iter()
            .filter_map(|address| match address {
                IpAddr::V4(v4) => Some(arp_probe(mac, *v4)),
                IpAddr::V6(v6) => Some(neighbour_solicitation(mac, self.link_local?, *v6)),
            })
            .collect()
    }
}

/// The interfaces to listen to, and the addresses to ask for there: virtual ones and the others' own.
pub(super) fn wanted(
    snapshot: &Snapshot,
    config: Option<&Config>,
    own: &[OwnAddress],
) -> BTreeMap<String, Questions> {
    let nodes: BTreeSet<IpAddr> =
        config.iter().flat_map(|config| &config.nodes).flat_map(Node::addresses).collect();
    let mut wanted: BTreeMap<String, Questions> = BTreeMap::new();
    let mut ask = |interface: &InterfaceName, addresses: BTreeSet<IpAddr>| {
        let questions = wanted.entry(interface.to_string()).or_insert_with(|| Questions {
            addresses: nodes.clone(),
            link_local: link_local(interface, own),
        });
        questions.addresses.extend(addresses);
    };
    for instance in &snapshot.status.instances {
        let others = instance.active.iter().map(|active| active.address);
        let peers = peers(&instance.transport).iter().copied();
        let others: BTreeSet<IpAddr> = others.chain(peers).collect();
        for interface in interfaces(instance) {
            ask(interface, others.clone());
        }
        for address in instance.moving_addresses() {
            let interface = address.dev.as_ref().unwrap_or(&instance.interface);
            ask(interface, [address.address].into());
        }
    }
    wanted
}

fn link_local(interface: &InterfaceName, own: &[OwnAddress]) -> Option<Ipv6Addr> {
    let mut here = own.iter().filter(|own| own.interface == interface.as_str());
    here.find_map(|own| match own.address {
        IpAddr::V6(v6) if is_link_local(own.address) => Some(v6),
        _ => None,
    })
}

/// The peers of unicast.
fn peers(transport: &Transport) -> &[IpAddr] {
    match transport {
        Transport::Unicast { peers, .. } => peers,
        Transport::Multicast { .. } => &[],
    }
}

/// The wires on which nobody can be asked for virtual IPv6 addresses.
pub(super) fn unasked(
    snapshot: &Snapshot,
    questions: &BTreeMap<String, Questions>,
) -> Vec<LeftOut> {
    let virtual_ones: BTreeSet<IpAddr> = moving(snapshot).collect();
    let without = questions.iter().filter(|(_, questions)| {
        let mut asked = questions.addresses.intersection(&virtual_ones);
        asked.any(|address| questions.leaves_out(*address))
    });
    without
        .map(|(interface, _)| LeftOut {
            what: format!("who has the IPv6 addresses on {interface}"),
            why: "this machine has no link-local address there to ask from".to_owned(),
        })
        .collect()
}

/// All that moves, of all instances.
pub(super) fn moving(snapshot: &Snapshot) -> impl Iterator<Item = IpAddr> {
    let instances = snapshot.status.instances.iter();
    instances.flat_map(InstanceStatus::moving_addresses).map(|one| one.address)
}
