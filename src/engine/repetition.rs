//! Packets that repeat the last one of their sender, received and sent.
//!
//! An active router says the same in each interval. What follows from its packet follows from the
//! next one with the same bytes too, while nothing has changed here: such a packet is not judged and
//! decoded again, and costs its receiver little more than the look for the router that it is for.
//! Where nothing else is due, its sender looks at nothing else.

use std::net::IpAddr;

use super::Engine;
use super::deadlines::Owner;
use super::links::Links;
use super::turn::Turn;
use crate::model::InterfaceName;
use crate::time::Mono;
use crate::vrrp::auth::Proof;
use crate::vrrp::packet::{ChecksumForm, Datagram};
use crate::vrrp::router::Heard;

/// A packet that has arrived, and names an instance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived<'a> {
    /// The interface.
    pub(super) interface: &'a InterfaceName,
    /// The time of its arrival, a little earlier than now.
    pub(super) at: Mono,
    /// What it carries, from where to where.
    pub(super) datagram: Datagram<'a>,
    /// Whether its sender knows the secret.
    pub(super) proof: Proof,
}

/// A packet without a signature that was accepted and told nothing remarkable, with all that its
/// acceptance depended on besides the configuration. Another configuration counts as another state
/// of the links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    interface: InterfaceName,
    destination: IpAddr,
    ttl: u8,
    message: Box<[u8]>,
    proof: Proof,
    /// [`Links::state`] then.
    links: u64,
    /// How its sender computes the checksum.
    pub(super) checksum: ChecksumForm,
    /// What the election hears of it.
    pub(super) heard: Heard,
    /// This node's address on the path.
    pub(super) own: IpAddr,
}

impl Accepted {
    /// This packet was accepted, and led to this.
    pub(super) fn new(
        Arrived { interface, datagram, proof, .. }: Arrived<'_>,
        links: &Links,
        checksum: ChecksumForm,
        heard: Heard,
        own: IpAddr,
    ) -> Self {
        Self {
            interface: interface.clone(),
            destination: datagram.destination,
            ttl: datagram.ttl,
            message: datagram.message.into(),
            proof,
            links: links.state(),
            checksum,
            heard,
            own,
        }
    }

    /// Tells whether this packet says the same in the same circumstances.
    pub(super) fn is_repeated_by(&self, arrived: Arrived<'_>, links: &Links) -> bool {
        let Datagram { source, destination, ttl, message } = arrived.datagram;
        *self.message == *message
            && (self.heard.source, self.destination, self.ttl) == (source, destination, ttl)
            && self.links == links.state()
            && self.proof == arrived.proof
            && self.interface == *arrived.interface
    }
}

impl Engine {
    /// The short way of an instance whose next advertisement is due on time, and nothing else of
    /// it. It is not touched: nothing changes but when it advertises next, and its slot stays. The
    /// members of sync groups go the long way, because a group puts their actions in order.
    pub(super) fn advertises_again(&mut self, turn: &mut Turn, place: usize) -> bool {
        if !self.index.groups_of(place).is_empty() {
            return false;
        }
        let (context, instances) = self.parts(turn.now);
        let Some(instance) = instances.get_mut(place) else { return false };
        let again = instance.advertises_again(&context, &mut turn.out);
        if again {
            let next = instance.settled_deadline();
            self.deadlines.set(Owner::Instance(place), next);
        }
        again
    }
}
