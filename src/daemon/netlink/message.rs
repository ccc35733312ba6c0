//! Between the kernel's messages (`rtnetlink(7)`) and our words.

use std::net::IpAddr;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressScope, CacheInfo,
};
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::AddressMessageBuilder;

use super::interface::{AddressKey, KernelAddress, LinkState};
use super::table::Notice;
use crate::model::{Scope, VirtualAddress};
use crate::time::Span;

/// The length of a message's header.
const HEADER: usize = 16;

/// A message to or from the kernel.
pub(super) type Message = NetlinkMessage<RouteNetlinkMessage>;

/// The messages of one datagram, without those that cannot be understood.
pub(super) fn all(datagram: &[u8]) -> impl Iterator<Item = Message> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let length = rest.first_chunk().map(|length| u32::from_ne_bytes(*length))?;
        // At least a header: the end is reached at last.
        let length = usize::try_from(length).ok().filter(|length| *length >= HEADER)?;
        let message = rest.get(..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message::deserialize(message).ok())
    })
    .flatten()
}

/// What a message says, if it says something that we keep.
pub(super) fn change(message: RouteNetlinkMessage) -> Option<Notice> {
    match message {
        RouteNetlinkMessage::NewLink(link) if of_an_interface(&link) => {
            Some(Notice::Link(link_state(link)))
        }
        RouteNetlinkMessage::DelLink(link) if of_an_interface(&link) => {
            Some(Notice::LinkGone(link.header.index))
        }
        RouteNetlinkMessage::NewAddress(message) => {
            let address = kernel_address(&message)?;
            Some(Notice::Address(message.header.index, address))
        }
        RouteNetlinkMessage::DelAddress(message) => {
            let address = kernel_address(&message)?;
            Some(Notice::AddressGone(message.header.index, address.key, has_expired(&message)))
        }
        _ => None,
    }
}

/// Bridges tell of their ports with the same messages: a port that leaves its bridge is not an
/// interface that is gone.
fn of_an_interface(link: &LinkMessage) -> bool {
    link.header.interface_family == AddressFamily::Unspec
}

fn link_state(link: LinkMessage) -> LinkState {
    let flags = link.header.flags;
    let mut state = LinkState {
        index: link.header.index,
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp | LinkFlags::Running),
        ..LinkState::default()
    };
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => state.name = Some(name),
            LinkAttribute::Address(bytes) => state.mac = Some(bytes),
            LinkAttribute::Mtu(bytes) => state.mtu = Some(bytes),
            LinkAttribute::Link(below) => state.below = Some(below),
            LinkAttribute::IfAlias(alias) => state.alias = Some(alias),
            LinkAttribute::LinkInfo(infos) => state.kind = kind(&infos),
            LinkAttribute::AfSpecUnspec(families) => state.forwards_ipv6 = forwards_ipv6(&families),
            _ => {}
        }
    }
    state
}

fn kind(infos: &[LinkInfo]) -> Option<String> {
    infos.iter().find_map(|info| match info {
        LinkInfo::Kind(kind) => Some(kind.to_string()),
        _ => None,
    })
}

/// Whether an interface forwards IPv6; `None` where it has no IPv6.
fn forwards_ipv6(families: &[AfSpecUnspec]) -> Option<bool> {
    let mut of_ipv6 = families.iter().filter_map(|family| match family {
        AfSpecUnspec::Inet6(attributes) => Some(attributes),
        _ => None,
    });
    of_ipv6.by_ref().flatten().find_map(|attribute| match attribute {
        AfSpecInet6::DevConf(conf) => Some(conf.forwarding != 0),
        _ => None,
    })
}

fn kernel_address(message: &AddressMessage) -> Option<KernelAddress> {
    let (mut local, mut peer, mut wide_flags) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => peer = Some(*address),
            AddressAttribute::Flags(flags) => wide_flags = Some(*flags),
            _ => {}
        }
    }
    let flags = wide_flags
        .unwrap_or_else(|| AddressFlags::from_bits_retain(message.header.flags.bits().into()));
    Some(KernelAddress {
        // On a point-to-point link IFA_ADDRESS is the other end's.
        key: AddressKey { address: local.or(peer)?, prefix: message.header.prefix_len },
        // The same bit marks temporary addresses in IPv6, which are as good as others.
        secondary: flags.contains(AddressFlags::Secondary)
            && message.header.family == AddressFamily::Inet,
        scope: message.header.scope.into(),
        usable: !flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed),
        duplicate: flags.contains(AddressFlags::Dadfailed),
    })
}

/// Whether the lifetime of an address that is gone was over: the kernel tells what was left of it
/// (`IFA_CACHEINFO`; `inet_fill_ifaddr` in `net/ipv4/devinet.c`, `inet6_fill_ifaddr` in
/// `net/ipv6/addrconf.c`).
fn has_expired(message: &AddressMessage) -> bool {
    message.attributes.iter().any(
        |attribute| matches!(attribute, AddressAttribute::CacheInfo(left) if left.ifa_valid == 0),
    )
}

/// Asks for all interfaces, and for all addresses.
pub(super) fn dumps() -> [Message; 2] {
    let dump = |message| {
        let mut message = Message::from(message);
        message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        message
    };
    [
        dump(RouteNetlinkMessage::GetLink(LinkMessage::default())),
        dump(RouteNetlinkMessage::GetAddress(AddressMessage::default())),
    ]
}

/// Asks to add an address for the time of the lease, or to let the one that is there last as long
/// from now on: the kernel leaves the label and the other flags of that one as they are, which is
/// true of IPv6 because we ask for the same flags each time.
///
/// With a `metric` that is that of the route to its network (`IFA_RT_PRIORITY` of
/// `linux/if_addr.h`, kernel 4.18).
pub(super) fn add(
    index: u32,
    address: &VirtualAddress,
    lease: Option<Span>,
    metric: Option<u32>,
) -> Message {
    let mut body = describe(index, address);
    body.attributes.extend(metric.map(AddressAttribute::RoutePriority));
    body.attributes.push(AddressAttribute::CacheInfo(lifetime(address, lease)));
    if let Some(label) = &address.label {
        body.attributes.push(AddressAttribute::Label(label.clone()));
    }
    body.header.scope = match address.scope {
        Scope::Global => AddressScope::Universe,
        Scope::Site => AddressScope::Site,
        Scope::Link => AddressScope::Link,
        Scope::Host => AddressScope::Host,
    };
    if address.address.is_ipv6() {
        // The former active node may still answer for it; waiting until the kernel has looked
        // for duplicates would lengthen the gap by a second.
        body.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    let mut message = Message::from(RouteNetlinkMessage::NewAddress(body));
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    message
}

/// How long the kernel keeps an address, and as long it may be chosen as a source: whole seconds,
/// at least one, since the kernel refuses zero. Without a lease forever, which has to be said:
/// an address that is there may have a lifetime already.
///
/// An IPv6 address with /128 is deprecated from the start: it is never chosen as a source where
/// there is another one (RFC 6724 section 5, rule 3). IPv4 has that by the prefix length alone;
/// among IPv6 addresses of whatever prefix length the kernel takes the newest.
fn lifetime(address: &VirtualAddress, lease: Option<Span>) -> CacheInfo {
    // The kernel's `INFINITY_LIFE_TIME`.
    const FOREVER: u32 = u32::MAX;
    let seconds = lease.map_or(FOREVER, seconds);
    let mut lifetime = CacheInfo::default();
    lifetime.ifa_valid = seconds;
    let is_deprecated = address.address.is_ipv6() && address.prefix == 128;
    lifetime.ifa_preferred = if is_deprecated { 0 } else { seconds };
    lifetime
}

/// A lifetime as the kernel counts it: whole seconds, at least one.
pub(super) fn seconds(lease: Span) -> u32 {
    u32::try_from(lease.nanos() / 1_000_000_000).unwrap_or(u32::MAX).max(1)
}

/// Asks to remove an address, whatever its label is by now.
pub(super) fn remove(index: u32, address: &VirtualAddress) -> Message {
    let body = describe(index, address);
    let mut message = Message::from(RouteNetlinkMessage::DelAddress(body));
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK;
    message
}

fn describe(index: u32, address: &VirtualAddress) -> AddressMessage {
    match address.address {
        IpAddr::V4(v4) => AddressMessageBuilder::<std::net::Ipv4Addr>::new()
            .index(index)
            .address(v4, address.prefix)
            .build(),
        IpAddr::V6(v6) => AddressMessageBuilder::<std::net::Ipv6Addr>::new()
            .index(index)
            .address(v6, address.prefix)
            .build(),
    }
}

/// The kernel's number for what went wrong with a request (`errno(3)`), zero for nothing; `None`
/// where the message is no answer.
pub(super) fn answer(message: &Message) -> Option<i32> {
    match &message.payload {
        NetlinkPayload::Error(error) => Some(error.raw_code().saturating_abs()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn link(family: AddressFamily) -> LinkMessage {
        let mut link = LinkMessage::default();
        link.header.interface_family = family;
        link.header.index = 3;
        link.header.flags = LinkFlags::Up | LinkFlags::LowerUp;
        link.attributes.push(LinkAttribute::IfName("eth0".to_owned()));
        link
    }

    /// Bug guarded: a port that is taken out of its bridge makes the kernel send `RTM_DELLINK`
    /// too, and is still there.
    #[test]
    fn a_bridges_messages_about_its_ports_are_not_about_interfaces() {
        let of = |family| change(RouteNetlinkMessage::DelLink(link(family)));
        assert_eq!(of(AddressFamily::Bridge), None);
        assert_eq!(of(AddressFamily::Unspec), Some(Notice::LinkGone(3)));
    }

    /// Rule: carrier is `IFF_LOWER_UP` and `IFF_RUNNING` together; a dormant link has the first
    /// alone.
    #[test]
    fn carrier_needs_both_flags() {
        let carrier = |flags| {
            let mut message = link(AddressFamily::Unspec);
            message.header.flags = flags;
            match change(RouteNetlinkMessage::NewLink(message)) {
                Some(Notice::Link(state)) => (state.up, state.carrier),
                other => panic!("{other:?}"),
            }
        };
        let both = LinkFlags::LowerUp | LinkFlags::Running;
        assert_eq!(carrier(LinkFlags::Up | both), (true, true));
        assert_eq!(carrier(LinkFlags::Up | LinkFlags::LowerUp), (true, false));
        assert_eq!(carrier(LinkFlags::empty()), (false, false));
    }

    /// Rule: the address is the local end's where both ends are told, and the flags that do not
    /// fit into the header count.
    #[test]
    fn addresses_are_the_local_ones() {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.index = 3;
        message.header.prefix_len = 32;
        let (own, other) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        message.attributes = vec![
            AddressAttribute::Address(other.into()),
            AddressAttribute::Local(own.into()),
            AddressAttribute::Flags(AddressFlags::Secondary | AddressFlags::Tentative),
        ];
        let key = AddressKey { address: own.into(), prefix: 32 };
        let address =
            KernelAddress { key, secondary: true, scope: 0, usable: false, duplicate: false };
        let told = change(RouteNetlinkMessage::NewAddress(message));
        assert_eq!(told, Some(Notice::Address(3, address)));
    }
}
