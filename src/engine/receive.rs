//! From a packet to the election: the reception rules (RFC 9568 section 7.1), in their order.
//!
//! A frame that is refused changes nothing but a counter: no timer, no state, no answer.

use super::Context;
use super::event::Packet;
use crate::model::{Family, InstanceConfig, InterfaceName, Version};
use crate::vrrp::packet::{self, Authentication, Datagram, Decoded, Discard};

/// Finds the instance that a packet is for: its place in `instances`.
pub(super) fn address<'p, 'c>(
    interface: &InterfaceName,
    packet: &'p Packet,
    mut instances: impl Iterator<Item = &'c InstanceConfig>,
) -> Result<(usize, Datagram<'p>), Discard> {
    let datagram = match packet {
        Packet::V4 { bytes } => Datagram::from_ipv4(bytes)?,
        Packet::V6 { source, destination, hop_limit, bytes } => {
            Datagram::from_ipv6(*source, *destination, *hop_limit, bytes)
        }
    };
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

/// Every rule for a packet that names an instance, up to what the election may hear.
pub(super) fn accept(
    context: &Context<'_>,
    config: &InstanceConfig,
    datagram: &Datagram<'_>,
) -> Result<Decoded, Discard> {
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
    let decoded = packet::decode(datagram)?;
    if decoded.advertisement.authentication != Authentication::None {
        return Err(Discard::AuthenticationMismatch);
    }
    let interval = decoded.advertisement.interval;
    if version == Version::V2 && interval != config.advertisement_interval {
        return Err(Discard::IntervalMismatch);
    }
    if config.priority.is_owner() {
        return Err(Discard::AddressOwner);
    }
    Ok(decoded)
}

/// Whether somebody must mend a configuration when frames are refused for this reason.
pub(super) fn is_misconfiguration(discard: Discard) -> bool {
    matches!(
        discard,
        Discard::VersionMismatch
            | Discard::AuthenticationMismatch
            | Discard::IntervalMismatch
            | Discard::AddressOwner
    )
}
