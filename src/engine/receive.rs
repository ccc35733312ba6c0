//! From a packet to the election: the reception rules (RFC 9568 section 7.1), in their order.
//!
//! A frame that is refused changes nothing but a counter: no timer, no state, no answer.

use std::net::IpAddr;

use super::authentication::{self, Authenticator};
use super::deadlines::Owner;
use super::event::Packet;
use super::index::Index;
use super::repetition::Arrived;
use super::turn::Turn;
use super::{Context, Engine};
use crate::model::{
    self, Family, InstanceConfig, InterfaceName, Transport, Version, is_link_local,
};
use crate::time::{Mono, Now};
use crate::vrrp::auth::{Proof, Sequence};
use crate::vrrp::packet::{self, Datagram, Decoded, Discard, MULTICAST_TTL, multicast_group};

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

/// Every rule for a packet that names an instance, up to what the election may hear; with the
/// sequence of its trailer, if it has one.
pub(super) fn accept(
    context: &Context<'_>,
    config: &InstanceConfig,
    authenticator: &Authenticator,
    interface: &InterfaceName,
    datagram: &Datagram<'_>,
    proof: Proof,
) -> Result<(Decoded, Option<Sequence>), Discard> {
    came_to_us(context, config, datagram)?;
    let (version, _) = packet::virtual_router_id(datagram)?;
    if version != config.version {
        return Err(Discard::VersionMismatch);
    }
    if context.links.has(config, datagram.source) {
        return Err(Discard::OwnPacket);
    }
    if let Transport::Unicast { peers, .. } = &config.transport
        && !peers.contains(&datagram.source)
    {
        return Err(Discard::NotAPeer);
    }
    let sequence =
        authentication::signature(context.now.wall, &config.authentication, datagram, proof)?;
    let decoded = packet::decode_before_trailer(datagram)?;
    authentication::password(&config.authentication, decoded.advertisement.authentication, proof)?;
    let interval = decoded.advertisement.interval;
    if version == Version::V2 && interval != config.advertisement_interval {
        return Err(Discard::IntervalMismatch);
    }
    if let (model::Authentication::Hmac(hmac), Some(sequence)) = (&config.authentication, sequence)
    {
        is_no_copy(context, config, interface, datagram.source, &decoded)?;
        authenticator.require_news(context.now, hmac.anti_replay, datagram.source, sequence)?;
    }
    if config.priority.is_owner() && decoded.advertisement.priority == config.priority.get() {
        return Err(Discard::AddressOwner);
    }
    Ok((decoded, sequence))
}

/// Refuses a signed advertisement of another virtual router with the same ID and key. The trailer
/// covers the source and the addresses, and nothing that names the segment. Without a signature
/// these rules would protect from nobody.
fn is_no_copy(
    context: &Context<'_>,
    config: &InstanceConfig,
    interface: &InterfaceName,
    source: IpAddr,
    decoded: &Decoded,
) -> Result<(), Discard> {
    // Unicast peers may be behind routers; they are known by their addresses.
    if !config.transport.is_unicast()
        && !context.links.can_come_from(context.config, config, interface, source)
    {
        return Err(Discard::ForeignSource);
    }
    let ours: Vec<IpAddr> = config.moving_addresses().map(|own| own.address).collect();
    if share_an_address(&ours, &decoded.advertisement.addresses) {
        Ok(())
    } else {
        Err(Discard::ForeignAddresses)
    }
}

/// True where two lists can be those of one virtual router. Link-local addresses, which may be the
/// same on every segment, count only where one of the lists has no others.
fn share_an_address(ours: &[IpAddr], theirs: &[IpAddr]) -> bool {
    let family = theirs.first().map(|first| Family::of(*first));
    let ours = || ours.iter().filter(|own| Some(Family::of(**own)) == family);
    let tells = |address: &&IpAddr| !is_link_local(**address);
    if ours().any(|own| tells(&own)) && theirs.iter().any(|their| tells(&their)) {
        ours().filter(tells).any(|own| theirs.contains(own))
    } else {
        ours().any(|own| theirs.contains(own))
    }
}

/// That it was sent to where this instance listens, from near enough.
fn came_to_us(
    context: &Context<'_>,
    config: &InstanceConfig,
    datagram: &Datagram<'_>,
) -> Result<(), Discard> {
    match &config.transport {
        Transport::Multicast { .. } => {
            datagram.require_ttl(MULTICAST_TTL)?;
            let group = config.transport.group(datagram.family());
            datagram.require_group(group.unwrap_or_else(|| multicast_group(datagram.family())))
        }
        Transport::Unicast { minimum_ttl, .. } => {
            datagram.require_ttl(*minimum_ttl)?;
            let ours = context.links.has(config, datagram.destination);
            if ours { Ok(()) } else { Err(Discard::Destination) }
        }
    }
}

/// Whether somebody must mend a configuration when frames of this sender are refused for this
/// reason.
pub(super) fn is_misconfiguration(
    config: &InstanceConfig,
    source: IpAddr,
    discard: Discard,
) -> bool {
    if let (Discard::Ttl, Transport::Unicast { peers, .. }) = (discard, &config.transport) {
        return peers.contains(&source);
    }
    matches!(
        discard,
        Discard::VersionMismatch
            | Discard::TrailerMissing
            | Discard::Stale
            | Discard::UnknownKey
            | Discard::Hmac
            | Discard::AuthenticationMismatch
            | Discard::Password
            | Discard::IntervalMismatch
            | Discard::ForeignSource
            | Discard::ForeignAddresses
            | Discard::AddressOwner
    )
}
