//! All that doctor looks at, and one instance in the midst of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use super::segment::Observation;
use crate::api::Snapshot;
use crate::ctl::wire::{Heard, OwnAddress, in_network};
use crate::engine::PeerStatus;
use crate::engine::status::InstanceStatus;
use crate::engine::story::StateName;
use crate::model::{Authentication, Config, Family, Mac, Node, Transport};
use crate::time::Span;
use crate::vrrp::packet::multicast_group;

/// A running daemon and what surrounds it.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// How it was before the wire was listened to.
    pub(super) before: Snapshot,
    /// And after that.
    pub(super) now: Snapshot,
    /// What its file says, where it can be read and is valid.
    pub(super) config: Option<Config>,
    /// This machine's addresses.
    pub(super) own: Vec<OwnAddress>,
    /// The wires that could be listened to, by interface.
    pub(super) wires: BTreeMap<String, Observation>,
}

/// An instance and what surrounds it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'a> {
    /// How it is now.
    pub(super) instance: &'a InstanceStatus,
    /// What is around it.
    pub(super) look: &'a Look,
}

impl Look {
    /// All instances.
    pub(super) fn members(&self) -> impl Iterator<Item = Member<'_>> {
        self.now.status.instances.iter().map(|instance| Member { instance, look: self })
    }

    /// Whether an instance signs what it says, with the time.
    pub(super) fn signs(&self) -> bool {
        let mut all = self.config.iter().flat_map(|config| &config.instances);
        all.any(|instance| matches!(instance.authentication, Authentication::Hmac(_)))
    }
}

impl<'a> Member<'a> {
    /// The instance's name.
    pub(super) fn name(&self) -> &'a str {
        self.instance.name.as_str()
    }

    /// Its interface.
    pub(super) fn interface(&self) -> &'a str {
        self.instance.interface.as_str()
    }

    /// The family of its addresses.
    pub(super) fn family(&self) -> Family {
        self.instance.addresses.first().map_or(Family::V4, |first| Family::of(first.address))
    }

    /// Where its advertisements go.
    pub(super) fn sends_to(&self) -> IpAddr {
        let of_family = |peer: &&IpAddr| Family::of(**peer) == self.family();
        match &self.instance.transport {
            Transport::Unicast { peers, .. } => {
                let others = peers.iter().filter(of_family).find(|peer| !self.is_own(**peer));
                others.copied().unwrap_or_else(|| multicast_group(self.family()))
            }
            transport @ Transport::Multicast { .. } => {
                let group = transport.group(self.family());
                group.unwrap_or_else(|| multicast_group(self.family()))
            }
        }
    }

    /// Where those of the others come to.
    pub(super) fn hears_at(&self) -> IpAddr {
        match self.own_address().filter(|_| self.instance.transport.is_unicast()) {
            Some(own) => own,
            None => self.sends_to(),
        }
    }

    /// Whether it takes part in the election.
    pub(super) fn takes_part(&self) -> bool {
        matches!(self.instance.state, StateName::Active | StateName::Backup)
    }

    /// Whether it is active.
    pub(super) fn is_active(&self) -> bool {
        self.instance.state == StateName::Active
    }

    /// The nodes of the configuration but this one, of the instance's family.
    pub(super) fn other_nodes(&self) -> Vec<&'a Node> {
        let config = self.look.config.as_ref();
        let nodes = config.map_or(&[][..], |config| config.nodes.as_slice());
        let this = self.look.now.status.node.as_ref();
        let others = nodes.iter().filter(|node| Some(&node.name) != this);
        others.filter(|node| Family::of(node.address) == self.family()).collect()
    }

    /// `node2 (10.0.0.12)`, or the address alone.
    pub(super) fn called(&self, address: IpAddr) -> String {
        let config = self.look.config.as_ref();
        match config.and_then(|config| config.node_at(address)) {
            Some(name) => format!("{name} ({address})"),
            None => address.to_string(),
        }
    }

    /// This machine's addresses on its interface, the virtual ones left out.
    pub(super) fn own_addresses(&self) -> impl Iterator<Item = &'a OwnAddress> {
        let virtual_ones: BTreeSet<IpAddr> = self
            .look
            .now
            .status
            .instances
            .iter()
            .flat_map(InstanceStatus::moving_addresses)
            .map(|a| a.address)
            .collect();
        let interface = self.interface();
        let family = self.family();
        self.look.own.iter().filter(move |own| {
            own.interface == interface
                && Family::of(own.address) == family
                && !virtual_ones.contains(&own.address)
        })
    }

    /// The one that it advertises from, most likely.
    pub(super) fn own_address(&self) -> Option<IpAddr> {
        self.own_addresses().map(|own| own.address).next()
    }

    /// The segment's network: `10.0.0.0/24`.
    pub(super) fn network(&self) -> Option<String> {
        let own = self.own_addresses().next()?;
        let IpAddr::V4(address) = own.address else { return None };
        let shift = 32_u32.saturating_sub(own.prefix.into());
        let mask = u32::MAX.checked_shl(shift).unwrap_or(0);
        Some(format!("{}/{}", Ipv4Addr::from_bits(address.to_bits() & mask), own.prefix))
    }

    /// Whether an address is in a network of its interface, so that ARP reaches it.
    pub(super) fn is_near(&self, address: IpAddr) -> bool {
        self.own_addresses().any(|own| in_network(address, own.address, own.prefix))
    }

    /// What was seen on its wire; `None`: it could not be listened to.
    pub(super) fn wire(&self) -> Option<&'a Observation> {
        self.look.wires.get(self.interface())
    }

    /// The advertisements of its virtual router that were seen there.
    pub(super) fn seen(&self) -> impl Iterator<Item = &'a Heard> {
        let (vrid, family) = (self.instance.virtual_router_id, self.family());
        let heard = self.wire().into_iter().flat_map(|wire| &wire.heard);
        heard.filter(move |heard| {
            heard.advertisement.virtual_router_id == vrid && Family::of(heard.source) == family
        })
    }

    /// Those of others, by their source.
    pub(super) fn seen_from_others(&self) -> BTreeMap<IpAddr, usize> {
        let mut sources = BTreeMap::new();
        for heard in self.seen().filter(|heard| !self.is_own(heard.source)) {
            *sources.entry(heard.source).or_insert(0) += 1;
        }
        sources
    }

    /// Whether advertisements of its own were seen to leave.
    pub(super) fn is_seen_sending(&self) -> bool {
        self.seen().any(|heard| self.is_own(heard.source))
    }

    fn is_own(&self, address: IpAddr) -> bool {
        self.look.own.iter().any(|own| own.address == address)
    }

    /// The routers that the daemon has heard lately.
    pub(super) fn peers(&self) -> impl Iterator<Item = &'a PeerStatus> {
        let bound = self.instance.advertisement_interval.span().times(4) + Span::from_secs(1);
        self.instance.peers.iter().filter(move |peer| peer.age <= bound)
    }

    /// Whether the daemon hears another router.
    pub(super) fn hears_somebody(&self) -> bool {
        self.peers().next().is_some()
    }

    /// Who answers for an address: Ethernet addresses of other stations.
    pub(super) fn answers(&self, address: IpAddr) -> BTreeSet<Mac> {
        match (address, self.wire()) {
            (IpAddr::V4(v4), Some(wire)) => wire.answers.get(&v4).cloned().unwrap_or_default(),
            _ => BTreeSet::new(),
        }
    }

    /// The node whose own address is answered from this Ethernet address.
    pub(super) fn node_with(&self, mac: Mac) -> Option<&'a Node> {
        self.other_nodes().into_iter().find(|node| self.answers(node.address).contains(&mac))
    }
}
