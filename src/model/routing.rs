//! Routes and policy rules that move with the addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::address::{Family, Scope};
use super::name::InterfaceName;

/// The number by which the kernel knows who has made a route or a rule (`rtm_protocol` in
/// `rtnetlink(7)`, `proto` in `ip-route(8)`): ours is VRRP's own protocol number. Nobody else in
/// iproute2's list has it. What has another number is not ours, and never removed.
pub const ROUTING_PROTOCOL: u8 = 112;

/// A network: an address without bits for hosts, and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Network {
    /// Its first address.
    pub address: IpAddr,
    /// The prefix length: 0 to 32 or 0 to 128. 0: everything.
    pub prefix: u8,
}

impl Network {
    /// Everything in a family: `default` in a route.
    pub const fn everything(family: Family) -> Self {
        let address = match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        Self { address, prefix: 0 }
    }

    /// Its family.
    pub const fn family(self) -> Family {
        Family::of(self.address)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == 0 {
            return f.write_str("default");
        }
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// A routing table by its number (`ip-route(8)`): 1 to 4,294,967,295.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RoutingTable(pub u32);

impl RoutingTable {
    /// The one that is looked into unless a rule says otherwise.
    pub const MAIN: Self = Self(254);
}

impl fmt::Display for RoutingTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::MAIN { f.write_str("main") } else { self.0.fmt(f) }
    }
}

/// What happens to the packets of a route (`ip-route(8)`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum RouteKind {
    /// They are sent on.
    #[default]
    Unicast,
    /// They are dropped without a word.
    Blackhole,
    /// They are dropped, and the sender is told that the host is unreachable.
    Unreachable,
    /// They are dropped, and the sender is told that it is prohibited.
    Prohibit,
}

/// A route that is there while the instance is active.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Route {
    /// The destination.
    pub to: Network,
    /// What happens to its packets.
    pub kind: RouteKind,
    /// The next router; `None`: the destination is on the link. Only of the kind unicast.
    pub via: Option<IpAddr>,
    /// Through which interface; `None` where the kind is another than unicast.
    pub dev: Option<InterfaceName>,
    /// Which address this machine uses as source towards the destination.
    pub source: Option<IpAddr>,
    /// In which table it is.
    pub table: RoutingTable,
    /// Among several to the same destination the lowest one counts. IPv6 has no 0: it means 1024.
    pub metric: u32,
    /// The scope, IPv4 only; `None`: as `ip-route(8)` chooses it.
    pub scope: Option<Scope>,
    /// The largest packet in bytes; `None`: that of the interface.
    pub mtu: Option<u32>,
}

impl fmt::Display for RouteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unicast => "unicast",
            Self::Blackhole => "blackhole",
            Self::Unreachable => "unreachable",
            Self::Prohibit => "prohibit",
        })
    }
}

/// As `ip route` takes it.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind != RouteKind::Unicast {
            write!(f, "{} ", self.kind)?;
        }
        self.to.fmt(f)?;
        if let Some(via) = self.via {
            write!(f, " via {via}")?;
        }
        if let Some(dev) = &self.dev {
            write!(f, " dev {dev}")?;
        }
        if let Some(source) = self.source {
            write!(f, " src {source}")?;
        }
        if self.table != RoutingTable::MAIN {
            write!(f, " table {}", self.table)?;
        }
        if self.metric != 0 {
            write!(f, " metric {}", self.metric)?;
        }
        if let Some(mtu) = self.mtu {
            write!(f, " mtu {mtu}")?;
        }
        Ok(())
    }
}

/// What a rule does with the packets that it fits (`ip-rule(8)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleAction {
    /// Their route is looked up in this table.
    Lookup(RoutingTable),
    /// They are dropped without a word.
    Blackhole,
    /// They are dropped, and the sender is told that the network is unreachable.
    Unreachable,
    /// They are dropped, and the sender is told that it is prohibited.
    Prohibit,
}

/// A mark of the firewall's, as a rule compares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mark {
    /// The value.
    pub value: u32,
    /// Which of its bits count.
    pub mask: u32,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.value)?;
        if self.mask == u32::MAX { Ok(()) } else { write!(f, "/{:#x}", self.mask) }
    }
}

/// A policy rule that is there while the instance is active. What it leaves out fits every packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rule {
    /// Its place among the rules: the lowest number is looked at first.
    pub priority: u32,
    /// The family of the packets.
    pub family: Family,
    /// Where they come from.
    pub from: Option<Network>,
    /// Where they go to.
    pub to: Option<Network>,
    /// The interface through which they came in.
    pub iif: Option<InterfaceName>,
    /// The interface that the program which sends them is bound to.
    pub oif: Option<InterfaceName>,
    /// The mark that they have.
    pub fwmark: Option<Mark>,
    /// What is done with them.
    pub action: RuleAction,
}

/// As `ip rule` takes it.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from {
            Some(from) => write!(f, "from {from}")?,
            None => f.write_str("from all")?,
        }
        if let Some(to) = self.to {
            write!(f, " to {to}")?;
        }
        if let Some(iif) = &self.iif {
            write!(f, " iif {iif}")?;
        }
        if let Some(oif) = &self.oif {
            write!(f, " oif {oif}")?;
        }
        if let Some(mark) = self.fwmark {
            write!(f, " fwmark {mark}")?;
        }
        match self.action {
            RuleAction::Lookup(table) => write!(f, " lookup {table}")?,
            RuleAction::Blackhole => f.write_str(" blackhole")?,
            RuleAction::Unreachable => f.write_str(" unreachable")?,
            RuleAction::Prohibit => f.write_str(" prohibit")?,
        }
        write!(f, " priority {}", self.priority)
    }
}

/// A route or a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Routing {
    /// A route.
    Route(Route),
    /// A rule.
    Rule(Rule),
}

impl Routing {
    /// The interface without which it cannot be there. A rule waits for its interfaces.
    pub const fn dev(&self) -> Option<&InterfaceName> {
        match self {
            Self::Route(route) => route.dev.as_ref(),
            Self::Rule(_) => None,
        }
    }

    /// The command that removes it, for people.
    pub fn removal(&self) -> String {
        let (family, object) = match self {
            Self::Route(route) => (route.to.family(), "route"),
            Self::Rule(rule) => (rule.family, "rule"),
        };
        let family = if family == Family::V6 { " -6" } else { "" };
        format!("ip{family} {object} del {} proto {ROUTING_PROTOCOL}", self.plain())
    }

    fn plain(&self) -> String {
        match self {
            Self::Route(route) => route.to_string(),
            Self::Rule(rule) => rule.to_string(),
        }
    }
}

/// `route 10.9.0.0/16 via 10.0.0.1 dev eth0`
impl fmt::Display for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(route) => write!(f, "route {route}"),
            Self::Rule(rule) => write!(f, "rule {rule}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a route and a rule read as `ip` takes them, so that they can be copied into a command.
    #[test]
    fn they_read_as_ip_takes_them() {
        let route = Route {
            to: Network::everything(Family::V6),
            kind: RouteKind::Unicast,
            via: Some("fe80::1".parse().unwrap()),
            dev: Some("eth0".try_into().unwrap()),
            source: Some("2001:db8::100".parse().unwrap()),
            table: RoutingTable(100),
            metric: 1024,
            scope: None,
            mtu: Some(1400),
        };
        assert_eq!(
            Routing::Route(route).removal(),
            "ip -6 route del default via fe80::1 dev eth0 src 2001:db8::100 table 100 metric 1024 \
             mtu 1400 proto 112"
        );
        let from = Network { address: [10, 0, 0, 100].into(), prefix: 32 };
        let rule = Rule {
            priority: 1000,
            family: Family::V4,
            from: Some(from),
            to: None,
            iif: None,
            oif: None,
            fwmark: Some(Mark { value: 16, mask: 0xff }),
            action: RuleAction::Lookup(RoutingTable::MAIN),
        };
        assert_eq!(
            Routing::Rule(rule).removal(),
            "ip rule del from 10.0.0.100/32 fwmark 0x10/0xff lookup main priority 1000 proto 112"
        );
    }
}
