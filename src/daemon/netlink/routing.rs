//! Routes and policy rules as messages to the kernel (`rtnetlink(7)`).
//!
//! All of them have our protocol number, and are removed by it: the kernel then leaves alone what
//! somebody else has made.

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkPayload,
};
use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{self, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::message::{Message, seconds};
use crate::model::{
    Family, Network, ROUTING_PROTOCOL, Route, RouteKind, Routing, RoutingTable, Rule, RuleAction,
    Scope,
};
use crate::time::Span;

/// Asks to add a route or a rule; `index` is that of the route's interface.
///
/// Anew (not `again`) the kernel refuses a route where it has one with the same key (destination,
/// table, metric), whosever it is. Asked for again, ours is left as it is if it is there (`EEXIST`), with an
/// IPv6 route's lifetime beginning anew; IPv4 puts it before another one with the same key.
pub(super) fn add(
    index: Option<u32>,
    routing: &Routing,
    lease: Option<Span>,
    again: bool,
) -> Message {
    let mut flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE;
    let inner = match routing {
        Routing::Route(route) => {
            if !again {
                flags |= NLM_F_EXCL;
            }
            let mut message = describe_route(index, route);
            if let (Some(lease), Family::V6) = (lease, route.to.family()) {
                message.attributes.push(RouteAttribute::Expires(seconds(lease)));
            }
            RouteNetlinkMessage::NewRoute(message)
        }
        Routing::Rule(rule) => {
            // Without it there would be two of them.
            flags |= NLM_F_EXCL;
            RouteNetlinkMessage::NewRule(describe_rule(rule))
        }
    };
    message(inner, flags)
}

/// Asks to remove it, if it is ours.
pub(super) fn remove(index: Option<u32>, routing: &Routing) -> Message {
    let inner = match routing {
        Routing::Route(route) => RouteNetlinkMessage::DelRoute(describe_route(index, route)),
        Routing::Rule(rule) => RouteNetlinkMessage::DelRule(describe_rule(rule)),
    };
    message(inner, NLM_F_REQUEST | NLM_F_ACK)
}

fn message(inner: RouteNetlinkMessage, flags: u16) -> Message {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    Message::new(header, NetlinkPayload::from(inner))
}

fn describe_route(index: Option<u32>, route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(route.to.family());
    message.header.destination_prefix_length = route.to.prefix;
    message.header.protocol = RouteProtocol::Other(ROUTING_PROTOCOL);
    message.header.kind = match route.kind {
        RouteKind::Unicast => RouteType::Unicast,
        RouteKind::Blackhole => RouteType::BlackHole,
        RouteKind::Unreachable => RouteType::Unreachable,
        RouteKind::Prohibit => RouteType::Prohibit,
    };
    message.header.scope = scope(route);
    let attributes = &mut message.attributes;
    if route.to.prefix > 0 {
        attributes.push(RouteAttribute::Destination(route.to.address.into()));
    }
    attributes.extend(route.via.map(|via| RouteAttribute::Gateway(via.into())));
    attributes.extend(route.source.map(|own| RouteAttribute::PrefSource(own.into())));
    attributes.extend(index.map(RouteAttribute::Oif));
    attributes.push(RouteAttribute::Priority(route.metric));
    attributes.extend(route.mtu.map(|mtu| RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)])));
    message.header.table = table(route.table);
    attributes.push(RouteAttribute::Table(route.table.0));
    message
}

/// As `ip-route(8)` chooses it where the operator does not: what no router is needed for is on the link.
fn scope(route: &Route) -> RouteScope {
    let on_link =
        route.to.family() == Family::V4 && route.kind == RouteKind::Unicast && route.via.is_none();
    let chosen = if on_link { Scope::Link } else { Scope::Global };
    match route.scope.unwrap_or(chosen) {
        Scope::Global => RouteScope::Universe,
        Scope::Site => RouteScope::Site,
        Scope::Link => RouteScope::Link,
        Scope::Host => RouteScope::Host,
    }
}

fn describe_rule(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = family(rule.family);
    let attributes = &mut message.attributes;
    attributes.push(RuleAttribute::Priority(rule.priority));
    attributes.push(RuleAttribute::Protocol(RouteProtocol::Other(ROUTING_PROTOCOL)));
    let some = |network: Option<Network>| network.filter(|network| network.prefix > 0);
    if let Some(Network { address, prefix }) = some(rule.from) {
        message.header.src_len = prefix;
        attributes.push(RuleAttribute::Source(address));
    }
    if let Some(Network { address, prefix }) = some(rule.to) {
        message.header.dst_len = prefix;
        attributes.push(RuleAttribute::Destination(address));
    }
    attributes.extend(rule.iif.as_ref().map(|name| RuleAttribute::Iifname(name.to_string())));
    attributes.extend(rule.oif.as_ref().map(|name| RuleAttribute::Oifname(name.to_string())));
    if let Some(mark) = rule.fwmark {
        attributes.push(RuleAttribute::FwMark(mark.value));
        attributes.push(RuleAttribute::FwMask(mark.mask));
    }
    message.header.action = match rule.action {
        RuleAction::Lookup(number) => {
            message.header.table = table(number);
            attributes.push(RuleAttribute::Table(number.0));
            rule::RuleAction::ToTable
        }
        RuleAction::Blackhole => rule::RuleAction::Blackhole,
        RuleAction::Unreachable => rule::RuleAction::Unreachable,
        RuleAction::Prohibit => rule::RuleAction::Prohibit,
    };
    message
}

/// The header's byte has room for small numbers only; the attribute counts.
fn table(number: RoutingTable) -> u8 {
    number.0.try_into().unwrap_or(RouteHeader::RT_TABLE_UNSPEC)
}

fn family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}
