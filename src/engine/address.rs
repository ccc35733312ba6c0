//! From a packet to the instance that it names, by the short way where it repeats the one before.

use super::Engine;
use super::deadlines::Owner;
use super::event::Packet;
use super::index::Index;
use super::repetition::Arrived;
use super::turn::Turn;
use crate::model::{Family, InterfaceName};
use crate::time::{Mono, Now};
use crate::vrrp::auth::Proof;
use crate::vrrp::packet::{self, Datagram, Discard};

/// A packet that has arrived, whoever it is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received<'a> {
    /// The interface.
    pub(super) interface: &'a InterfaceName,
    /// The time of its arrival, a little earlier than now.
    pub(super) at: Mono,
    /// The packet.
    pub(super) packet: &'a Packet,
    /// Whether its sender knows the secret.
    pub(super) proof: Proof,
}

impl Engine {
    /// Hands a packet to the instance that it names; a packet that names none is counted.
    pub(super) fn received(
        &mut self,
        turn: &mut Turn,
        Received { interface, at, packet, proof }: Received<'_>,
    ) {
        match address(interface, packet, &self.index) {
            Ok((place, datagram)) => {
                let arrived = Arrived { interface, at, datagram, proof };
                if !self.hears_again(turn.now, place, arrived) {
                    self.each(turn, [place], |instance, context, out| {
                        instance.received(context, arrived, out);
                    });
                }
            }
            Err(discard) => {
                let reasons = self.stray_discards.entry(interface.clone()).or_default();
                *reasons.entry(discard).or_default() += 1;
            }
        }
    }

    /// The short way of a packet that says what its sender has said before. The instance is not
    /// touched: nothing has changed but when it takes over if nobody says it again. The members of
    /// sync groups go the long way, because each depends on when the others could take over.
    fn hears_again(&mut self, now: Now, place: usize, arrived: Arrived<'_>) -> bool {
        if !self.index.groups_of(place).is_empty() {
            return false;
        }
        let (context, instances) = self.parts(now);
        let Some(instance) = instances.get_mut(place) else { return false };
        let again = instance.hears_again(&context, arrived);
        if again {
            let next = instance.settled_deadline();
            self.deadlines.set(Owner::Instance(place), next);
        }
        again
    }
}

/// Finds the instance that a packet is for.
fn address<'p>(
    interface: &InterfaceName,
    packet: &'p Packet,
    index: &Index,
) -> Result<(usize, Datagram<'p>), Discard> {
    let datagram = packet.datagram()?;
    let family = Family::of(datagram.source);
    let (_, virtual_router_id) = packet::virtual_router_id(&datagram)?;
    match index.router(interface, family, virtual_router_id).first() {
        Some(place) => Ok((*place, datagram)),
        None => Err(Discard::VirtualRouter),
    }
}
