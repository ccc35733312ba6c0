//! From a packet to the election: the reception rules (RFC 9568 section 7.1), in their order.
//!
//! A frame that is refused changes nothing but a counter: no timer, no state, no answer.

use super::Context;
use super::authentication::{self, Authenticator};
use super::event::Packet;
use crate::model::{self, Family, InstanceConfig, InterfaceName, Version};
use crate::vrrp::auth::{Proof, Sequence};
use crate::vrrp::packet::{self, Datagram, Decoded, Discard};

/// Finds the instance that a packet is for: its place in `instances`.
pub(super) fn address<'p, 'c>(
    interface: &InterfaceName,
    packet: &'p Packet,
    mut instances: impl Iterator<Item = &'c InstanceConfig>,
) -> Result<(usize, Datagram<'p>), Discard> {
    let datagram = packet.datagram()?;
    let family = Family::of(datagram.source);
    let (_, virtual_router_id) = packet::virtual_router_id(&datagram)?;
    let is_for = |i: &InstanceConfig| {
        i.interface == *interface
            && i.virtual_router_id == virtual_router_id
            && i.family() == family
    };
    match instances.position(is_for) {
        Some(place) => Ok((place, datagram)),
        None => Err(Discard::VirtualRouter),
    }
}

/// Every rule for a packet that names an instance, up to what the election may hear; with the sequence
/// of its trailer, if it has one.
pub(super) fn accept(
    context: &Context<'_>,
    config: &InstanceConfig,
    authenticator: &Authenticator,
    datagram: &Datagram<'_>,
    proof: Proof,
) -> Result<(Decoded, Option<Sequence>), Discard> {
    datagram.require_multicast_ttl()?;
    datagram.require_multicast_group()?;
    let (version, _) = packet::virtual_router_id(datagram)?;
    if version != config.version {
        return Err(Discard::VersionMismatch);
    }
    let link = context.links.get(&config.interface);
    if link.is_some_and(|link| link.addresses.iter().any(|a| a.address == datagram.source)) {
        return Err(Discard::OwnPacket);
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
        authenticator.require_news(context.now, hmac.anti_replay, datagram.source, sequence)?;
    }
    if config.priority.is_owner() && decoded.advertisement.priority == config.priority.get() {
        return Err(Discard::AddressOwner);
    }
    Ok((decoded, sequence))
}

/// Whether somebody must mend a configuration when frames are refused for this reason.
pub(super) fn is_misconfiguration(discard: Discard) -> bool {
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
            | Discard::AddressOwner
    )
}
