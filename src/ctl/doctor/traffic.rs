//! What was seen and heard of an instance on one of its paths.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::link::interfaces;
use super::member::Member;
use super::segment::Observation;
use crate::ctl::wire::Heard;
use crate::engine::PeerStatus;
use crate::model::{Family, Mac, Node, is_link_local};
use crate::time::Span;

impl<'a> Member<'a> {
    /// What was seen on its wire; `None`: it could not be listened to.
    pub(super) fn wire(&self) -> Option<&'a Observation> {
        self.look.wires.get(self.interface())
    }

    /// The advertisements of its virtual router that were seen there.
    fn seen(&self) -> impl Iterator<Item = &'a Heard> + use<'a> {
        let (vrid, family) = (self.instance.virtual_router_id, self.family);
        let heard = self.wire().into_iter().flat_map(|wire| &wire.heard);
        heard.filter(move |heard| {
            heard.advertisement.virtual_router_id == vrid && Family::of(heard.source) == family
        })
    }

    /// Those of others that were for this node, by their source.
    pub(super) fn seen_from_others(&self) -> BTreeMap<IpAddr, usize> {
        let mut sources = BTreeMap::new();
        let group = self.group();
        let peers = self.destinations();
        let others = self.seen().filter(|heard| !self.is_own(heard.source));
        let for_us = others.filter(|heard| match group {
            Some(group) => heard.destination == group,
            None => self.is_own(heard.destination) && peers.contains(&heard.source),
        });
        for heard in for_us {
            *sources.entry(heard.source).or_insert(0) += 1;
        }
        sources
    }

    /// From which Ethernet address this router was seen to advertise.
    pub(super) fn mac_of(&self, source: IpAddr) -> Option<Mac> {
        self.seen().find(|heard| heard.source == source).map(|heard| heard.mac)
    }

    /// Whether advertisements of its own were seen to leave for this destination.
    pub(super) fn is_seen_sending_to(&self, destination: IpAddr) -> bool {
        let mut own = self.seen().filter(|heard| self.is_own(heard.source));
        own.any(|heard| heard.destination == destination)
    }

    /// Whether advertisements of its own were seen to leave, for all whom they are for.
    pub(super) fn is_seen_sending(&self) -> bool {
        self.destinations().into_iter().all(|to| self.is_seen_sending_to(to))
    }

    /// The routers that the daemon has heard lately on this path. It does not say on which: a link-local
    /// address is taken to be where it was seen, and on the first interface where it was on none.
    pub(super) fn peers(&self) -> impl Iterator<Item = &'a PeerStatus> + use<'a> {
        let this = *self;
        let bound = self.instance.advertisement_interval.span().times(4) + Span::from_secs(1);
        let lately = self.instance.peers.iter().filter(move |peer| peer.age <= bound);
        lately.filter(move |peer| this.is_here(peer.peer.address))
    }

    /// Whether a router with this address speaks on this path.
    pub(super) fn is_here(&self, address: IpAddr) -> bool {
        if !is_link_local(address) {
            return self.reaches(address);
        }
        let seen_at = |at| self.at(at, self.family).seen_from_others().contains_key(&address);
        self.family == Family::V6
            && (seen_at(self.interface)
                || self.is_on_first_interface() && !interfaces(self.instance).any(seen_at))
    }

    /// Whether the daemon hears another router here.
    pub(super) fn hears_somebody(&self) -> bool {
        self.peers().next().is_some()
    }

    /// Who answers for an address: Ethernet addresses of other stations.
    pub(super) fn answers(&self, address: IpAddr) -> BTreeSet<Mac> {
        let wire = self.wire();
        wire.and_then(|wire| wire.answers.get(&address)).cloned().unwrap_or_default()
    }

    /// The node whose own address is answered from this Ethernet address, and that address.
    pub(super) fn node_with(&self, mac: Mac) -> Option<(&'a Node, IpAddr)> {
        // In either family: it is the same interface.
        [Family::V4, Family::V6].into_iter().find_map(|family| {
            let mut nodes = self.at(self.interface, family).other_nodes();
            nodes.find_map(|(node, addresses)| {
                let mut own = addresses.into_iter();
                Some((node, own.find(|own| self.answers(*own).contains(&mac))?))
            })
        })
    }

    /// What asks for an address of this family (RFC 5227, RFC 4861).
    pub(super) fn question(&self) -> &'static str {
        match self.family {
            Family::V4 => "an ARP probe",
            Family::V6 => "a neighbour solicitation",
        }
    }

    /// Several of them.
    pub(super) fn questions(&self) -> &'static str {
        match self.family {
            Family::V4 => "ARP probes",
            Family::V6 => "neighbour solicitations",
        }
    }
}
