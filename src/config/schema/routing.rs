//! Routes and policy rules.

use schemars::JsonSchema;

use super::value::Scope;

/// A route that is there while this node is active.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Route {
    /// The destination: a network like 10.9.0.0/16, an address, or default.
    to: String,
    /// The next router. Default: none, the destination is on the link.
    via: Option<String>,
    /// Through which interface. Default: the instance's.
    #[schemars(length(min = 1, max = 15))]
    dev: Option<String>,
    /// The address that this machine sends from towards the destination. Default: as the kernel
    /// chooses.
    source: Option<String>,
    /// The routing table: a number or main. Default: main.
    table: Option<Table>,
    /// Among routes to the same destination the lowest one counts. Default: 0, over IPv6 1024.
    metric: Option<u32>,
    /// What happens to the packets. Default: unicast, they are sent on.
    #[schemars(rename = "type")]
    kind: Option<RouteKind>,
    /// As in ip-route(8), IPv4 only. Default: link where there is no 'via', else global.
    scope: Option<Scope>,
    /// The largest packet in bytes. Default: the interface's.
    #[schemars(range(min = 68, max = 65535))]
    mtu: Option<u32>,
    /// Where no address says it: ipv4 or ipv6.
    family: Option<Family>,
}

/// A policy rule that is there while this node is active. What it leaves out fits every packet.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Rule {
    /// Its place among the rules: the lowest number is looked at first.
    #[schemars(range(min = 1))]
    priority: u32,
    /// Where packets come from: a network or an address.
    from: Option<String>,
    /// Where packets go to: a network or an address.
    to: Option<String>,
    /// The interface through which packets come in.
    #[schemars(length(min = 1, max = 15))]
    iif: Option<String>,
    /// The interface that the sending program is bound to.
    #[schemars(length(min = 1, max = 15))]
    oif: Option<String>,
    /// The firewall's mark, like 0x10 or 0x10/0xff.
    fwmark: Option<Mark>,
    /// What is done with the packets. Default: lookup, in 'table'.
    action: Option<RuleAction>,
    /// The routing table to look into: a number or main.
    table: Option<Table>,
    /// Where no address says it: ipv4 or ipv6.
    family: Option<Family>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
enum Table {
    Number(#[schemars(range(min = 1))] u32),
    Word(Main),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Main {
    Main,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
enum Mark {
    Number(u32),
    Text(
        #[schemars(regex(pattern = r"^(0x[0-9a-fA-F]+|[0-9]+)(/(0x[0-9a-fA-F]+|[0-9]+))?$"))]
        String,
    ),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum RouteKind {
    Unicast,
    Blackhole,
    Unreachable,
    Prohibit,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum RuleAction {
    Lookup,
    Blackhole,
    Unreachable,
    Prohibit,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Family {
    Ipv4,
    Ipv6,
}
