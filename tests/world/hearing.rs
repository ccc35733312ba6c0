//! Whom a configuration lets a node hear.

use vipd::model::{
    Authentication, HmacMode, InstanceConfig, InterfaceName, KeyId, Transport, Version,
};
use vipd::vrrp::packet::multicast_group;

use super::packet::{destination, family, message};

/// True if two nodes with these configurations obey each other's advertisements on a segment where
/// both are.
pub(crate) fn speak_alike(one: &InstanceConfig, other: &InstanceConfig) -> bool {
    let id = one.virtual_router_id == other.virtual_router_id;
    id && one.version == other.version
        && one.transport == other.transport
        && believes(one, other)
        && believes(other, one)
}

/// True if the listener has the speaker's key, or asks for none and there is none.
fn believes(listener: &InstanceConfig, speaker: &InstanceConfig) -> bool {
    match (&listener.authentication, signing_key(&speaker.authentication)) {
        (Authentication::Hmac(ours), Some(key)) => ours.has_key(key),
        (Authentication::Hmac(ours), None) => ours.mode != HmacMode::Enforce,
        (_, key) => key.is_none(),
    }
}

fn signing_key(authentication: &Authentication) -> Option<KeyId> {
    match authentication {
        Authentication::Hmac(hmac) => hmac.signing_key().map(|key| key.id),
        Authentication::None | Authentication::Password(_) => None,
    }
}

/// True if an instance speaks and listens on an interface.
pub(super) fn uses(config: &InstanceConfig, interface: &InterfaceName) -> bool {
    config.interface == *interface || config.further_interfaces.contains(interface)
}

/// True if a packet on an interface is one that this instance listens for.
pub(super) fn is_for(config: &InstanceConfig, interface: &InterfaceName, packet: &[u8]) -> bool {
    let message = message(packet);
    let version = if message[0] >> 4 == 2 { Version::V2 } else { Version::V3 };
    uses(config, interface)
        && message[1] == config.virtual_router_id.get()
        && version == config.version
        && is_meant(config, packet)
}

/// True if the destination is that of the instance's transport.
fn is_meant(config: &InstanceConfig, packet: &[u8]) -> bool {
    let destination = destination(packet);
    match &config.transport {
        Transport::Multicast { .. } => {
            let family = family(packet);
            let group = config.transport.group(family);
            destination == group.unwrap_or_else(|| multicast_group(family))
        }
        Transport::Unicast { .. } => !destination.is_multicast(),
    }
}
