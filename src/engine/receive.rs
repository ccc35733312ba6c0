//! From a packet to the election: the reception rules (RFC 9568 section 7.1), in their order.
//!
//! A frame that is refused changes nothing but a counter: no timer, no state, no answer.

use std::net::IpAddr;

use super::Context;
use super::authentication::{self, Authenticator};
use crate::model::{
    self, Family, InstanceConfig, InterfaceName, Transport, Version, is_link_local,
};
use crate::vrrp::auth::{Proof, Sequence};
use crate::vrrp::packet::{self, Datagram, Decoded, Discard, MULTICAST_TTL, multicast_group};

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
