//! An instance on one of its paths: who it is there, and who the others are.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::link::{Link, interfaces};
use super::look::Look;
use crate::ctl::wire::{OwnAddress, in_network};
use crate::engine::status::{DeviceStatus, InstanceStatus};
use crate::engine::story::StateName;
use crate::model::{
    Family, InterfaceName, Network, Node, Transport, VirtualAddress, is_link_local,
};
use crate::vrrp::packet::multicast_group;

/// The network of all IPv6 link-local addresses (RFC 4291 section 2.5.6).
const LINK_LOCAL: Network =
    Network { address: IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), prefix: 64 };

/// The network that has this address alone.
pub(super) fn whole(address: IpAddr) -> Network {
    Network { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
}

/// An instance on one of its paths, and what surrounds it there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'a> {
    /// How it is now.
    pub(super) instance: &'a InstanceStatus,
    /// Where it is looked at.
    pub(super) interface: &'a InterfaceName,
    /// In which family.
    pub(super) family: Family,
    /// What is around it.
    pub(super) look: &'a Look,
}

/// The paths of an instance, those on its own interface first.
pub(super) fn paths(instance: &InstanceStatus) -> Vec<(&InterfaceName, Family)> {
    let families = [Family::V4, Family::V6].into_iter().filter(|family| {
        instance.addresses.iter().any(|address| Family::of(address.address) == *family)
    });
    interfaces(instance)
        .flat_map(|interface| families.clone().map(move |family| (interface, family)))
        .collect()
}

/// All instances, each on every one of its paths; its leading one comes first.
pub(super) fn members(look: &Look) -> impl Iterator<Item = Member<'_>> {
    look.now.status.instances.iter().flat_map(move |instance| {
        let paths = paths(instance).into_iter();
        paths.map(move |(interface, family)| Member { instance, interface, family, look })
    })
}

impl<'a> Member<'a> {
    /// The instance's name, as in the configuration.
    pub(super) fn name(&self) -> &'a str {
        self.instance.name.as_str()
    }

    /// What a finding is about: the name, and the path where there are several.
    pub(super) fn title(&self) -> String {
        if self.has_one_path() && self.is_leading() {
            return self.name().to_owned();
        }
        format!("{} on {} ({})", self.name(), self.interface, self.family)
    }

    /// The path's interface.
    pub(super) fn interface(&self) -> &'a str {
        self.interface.as_str()
    }

    /// The same instance elsewhere.
    pub(super) fn at(&self, interface: &'a InterfaceName, family: Family) -> Self {
        Self { interface, family, ..*self }
    }

    /// Where this virtual address is.
    pub(super) fn at_address(&self, address: &'a VirtualAddress) -> Self {
        let interface = address.dev.as_ref().unwrap_or(&self.instance.interface);
        self.at(interface, Family::of(address.address))
    }

    /// Whether the addresses are on this interface, unless they say otherwise.
    pub(super) fn is_on_first_interface(&self) -> bool {
        *self.interface == self.instance.interface
    }

    /// Whether this is the first path: what concerns the instance as a whole is told of this one.
    pub(super) fn is_leading(&self) -> bool {
        paths(self.instance).first() == Some(&(self.interface, self.family))
    }

    /// Whether this is the first path on this interface.
    pub(super) fn leads_on_interface(&self) -> bool {
        let first = paths(self.instance).into_iter().find(|(one, _)| *one == self.interface);
        first.is_some_and(|(_, family)| family == self.family)
    }

    /// Whether the instance has this path alone.
    pub(super) fn has_one_path(&self) -> bool {
        paths(self.instance).len() == 1
    }

    /// The instance on its other paths.
    pub(super) fn others(&self) -> impl Iterator<Item = Self> + use<'a> {
        let this = *self;
        let others = paths(self.instance).into_iter();
        let others = others.filter(move |path| *path != (this.interface, this.family));
        others.map(move |(interface, family)| this.at(interface, family))
    }

    /// Whether it takes part in the election.
    pub(super) fn takes_part(&self) -> bool {
        matches!(self.instance.state, StateName::Active | StateName::Backup)
    }

    /// Whether it is active.
    pub(super) fn is_active(&self) -> bool {
        self.instance.state == StateName::Active
    }

    /// Its interface; `None`: there is none of that name.
    pub(super) fn link(&self) -> Option<Link> {
        self.look.links.get(self.interface()).copied()
    }

    /// Its addresses of this family.
    pub(super) fn moving_addresses(&self) -> impl Iterator<Item = &'a VirtualAddress> {
        let family = self.family;
        let all = self.instance.moving_addresses();
        all.filter(move |address| Family::of(address.address) == family)
    }

    /// The multicast group of the path; `None`: unicast.
    pub(super) fn group(&self) -> Option<IpAddr> {
        let transport = &self.instance.transport;
        (!transport.is_unicast())
            .then(|| transport.group(self.family).unwrap_or_else(|| multicast_group(self.family)))
    }

    /// Where its advertisements go on this path: the group, or the peers that are reached here.
    pub(super) fn destinations(&self) -> Vec<IpAddr> {
        match &self.instance.transport {
            Transport::Unicast { peers, .. } => {
                let reached = peers.iter().copied().filter(|peer| !self.is_own(*peer));
                reached.filter(|peer| self.reaches(*peer)).collect()
            }
            Transport::Multicast { .. } => self.group().into_iter().collect(),
        }
    }

    /// The interface that what goes to the group leaves by: with virtual MAC addresses the device.
    pub(super) fn leaves_by(&self) -> &'a str {
        let mac = self.instance.virtual_router_id.virtual_mac(self.family);
        let is_here =
            |device: &&DeviceStatus| device.interface == *self.interface && device.mac == mac;
        let device = self.instance.devices.iter().find(is_here);
        let device = device.filter(|_| self.group().is_some());
        device.map_or(self.interface(), |device| device.name.as_str())
    }

    /// Where those of the others come to.
    pub(super) fn hears_at(&self) -> IpAddr {
        self.group()
            .unwrap_or_else(|| self.own_address().unwrap_or_else(|| multicast_group(self.family)))
    }

    /// The nodes of the configuration but this one, and their addresses on this path.
    pub(super) fn other_nodes(&self) -> impl Iterator<Item = (&'a Node, Vec<IpAddr>)> + use<'a> {
        let this = *self;
        let config = self.look.config.as_ref();
        let nodes = config.map_or(&[][..], |config| config.nodes.as_slice());
        let own_name = self.look.now.status.node.as_ref();
        let others = nodes.iter().filter(move |node| Some(&node.name) != own_name);
        others.filter_map(move |node| {
            let here: Vec<_> = node.addresses().filter(|one| this.reaches(*one)).collect();
            (!here.is_empty()).then_some((node, here))
        })
    }

    /// `node2 (10.0.0.12)`, or the address alone. A node that is not listed with it is known by the Ethernet
    /// address that it advertises from.
    pub(super) fn called(&self, address: IpAddr) -> String {
        let config = self.look.config.as_ref();
        let listed = config.and_then(|config| config.node_at(address));
        let name = listed.or_else(|| Some(&self.node_with(self.mac_of(address)?)?.0.name));
        match name {
            Some(name) => format!("{name} ({address})"),
            None => address.to_string(),
        }
    }

    /// From where the others advertise on this path, as far as is known; empty: from anywhere.
    pub(super) fn sources(&self) -> Vec<Network> {
        if self.instance.transport.is_unicast() {
            return self.destinations().into_iter().map(whole).collect();
        }
        let listed = self.other_nodes().flat_map(|(_, addresses)| addresses);
        let heard =
            self.peers().map(|peer| peer.peer.address).chain(self.seen_from_others().into_keys());
        let known: BTreeSet<Network> = listed
            .chain(heard)
            .filter(|address| address.is_ipv4() || is_link_local(*address))
            .map(whole)
            .collect();
        match (known.is_empty(), self.family) {
            (true, Family::V6) => vec![LINK_LOCAL],
            _ => known.into_iter().collect(),
        }
    }

    /// This machine's addresses on its interface, the virtual ones left out.
    pub(super) fn own_addresses(&self) -> impl Iterator<Item = &'a OwnAddress> + use<'a> {
        let is_owner = self.instance.own_priority.is_owner();
        let own = if is_owner { &self.look.addresses } else { &self.look.own };
        let (interface, family) = (self.interface(), self.family);
        own.iter()
            .filter(move |own| own.interface == interface && Family::of(own.address) == family)
    }

    /// The one that it advertises from, most likely: link-local over IPv6, unless it goes to peers that
    /// are not.
    pub(super) fn own_address(&self) -> Option<IpAddr> {
        let destination = self.destinations().first().copied();
        let on_link = destination.is_none_or(|to| to.is_multicast() || is_link_local(to));
        let is_candidate =
            |own: &IpAddr| self.family == Family::V4 || is_link_local(*own) == on_link;
        let candidates = || self.own_addresses().map(|own| own.address).filter(is_candidate);
        let status = &self.look.now.status;
        let mut this_node =
            status.nodes.iter().filter(|node| Some(&node.name) == status.node.as_ref());
        let listed = this_node.next().map(|node| node.addresses().collect::<BTreeSet<_>>());
        let first = candidates().find(|own| listed.as_ref().is_some_and(|all| all.contains(own)));
        first.or_else(|| match self.family {
            Family::V4 => candidates().next(),
            // The kernel lists the newest first, and the oldest is used.
            Family::V6 => candidates().last(),
        })
    }

    /// The segment's network: `10.0.0.0/24`.
    pub(super) fn network(&self) -> Option<String> {
        let own = self.own_addresses().next()?;
        let IpAddr::V4(address) = own.address else { return None };
        let shift = 32_u32.saturating_sub(own.prefix.into());
        let mask = u32::MAX.checked_shl(shift).unwrap_or(0);
        Some(format!("{}/{}", Ipv4Addr::from_bits(address.to_bits() & mask), own.prefix))
    }

    /// Whether an address is in a network of its interface, so that no router is on the way.
    pub(super) fn is_near(&self, address: IpAddr) -> bool {
        self.own_addresses().any(|own| in_network(address, own.address, own.prefix))
    }

    /// Whether this path leads to an address of its family: to one in a network of its interface, and on
    /// the first interface also to one that is in a network of none.
    pub(super) fn reaches(&self, address: IpAddr) -> bool {
        let near = |interface| self.at(interface, self.family).is_near(address);
        Family::of(address) == self.family
            && (near(self.interface)
                || self.is_on_first_interface() && !interfaces(self.instance).any(near))
    }

    /// Whether this machine has this address.
    pub(super) fn is_own(&self, address: IpAddr) -> bool {
        self.look.addresses.iter().any(|own| own.address == address)
    }
}
