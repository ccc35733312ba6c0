//! The routes and policy rules of an instance.

use std::net::IpAddr;

use serde::Deserialize;
use serde_yaml::Value;

use super::fields::{Field, NodeAddress, read_by_serde};
use super::keys::{Keys, ROUTE, RULE};
use super::problem::{Marked, Problems, Wrong, quoted};
use super::section::{Given, Section};
use super::source::{Content, Scalar};
use crate::model::{
    Family, InterfaceName, Mark, Network, Route, RouteKind, RoutingTable, Rule, RuleAction, Scope,
};

/// The metric that an IPv6 route has where none is given (`IP6_RT_PRIO_USER` in the kernel's
/// `include/net/ip6_route.h`).
const METRIC_IPV6: u32 = 1024;

/// Reads the key `routes`. `interface` is the instance's own, where that is known.
pub(super) fn routes(
    section: &Section<'_>,
    interface: Option<&InterfaceName>,
    problems: &mut Problems<'_>,
) -> Option<Vec<Marked<Route>>> {
    list(section, "routes", &ROUTE, problems, |section, problems| {
        route(section, interface, problems)
    })
}

/// Reads the key `rules`.
pub(super) fn rules(
    section: &Section<'_>,
    problems: &mut Problems<'_>,
) -> Option<Vec<Marked<Rule>>> {
    list(section, "rules", &RULE, problems, rule)
}

/// The entries of a list of mappings; `None` where one of them is wrong.
fn list<T>(
    section: &Section<'_>,
    key: &str,
    keys: &Keys,
    problems: &mut Problems<'_>,
    mut read: impl FnMut(&Section<'_>, &mut Problems<'_>) -> Option<T>,
) -> Option<Vec<Marked<T>>> {
    let Some((node, spot)) = section.node(key) else {
        return (!section.has(key)).then(Vec::new);
    };
    let Content::List(items) = &node.content else {
        let expected = format!("a list of mappings, each {}", keys.example);
        problems.add(&spot, Wrong::expected(&expected, &node.shown()));
        return None;
    };
    let all: Vec<Option<Marked<T>>> = items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            let spot = spot.item(index, item.place);
            let section = Section::open(item, spot.clone(), keys, problems)?;
            read(&section, problems).map(|value| Marked { value, spot })
        })
        .collect();
    all.into_iter().collect()
}

fn route(
    section: &Section<'_>,
    interface: Option<&InterfaceName>,
    problems: &mut Problems<'_>,
) -> Option<Route> {
    let to = section.require::<Destination>("to", problems);
    let via = section.take::<NodeAddress>("via", problems).map(|via| via.0);
    let source = section.take::<NodeAddress>("source", problems).map(|source| source.0);
    let dev = section.take::<InterfaceName>("dev", problems);
    let kind = section.take::<RouteKind>("type", problems);
    let table = section.take::<RoutingTable>("table", problems);
    let metric = section.take::<Metric>("metric", problems);
    let scope = section.take::<Scope>("scope", problems);
    let mtu = section.take::<Mtu>("mtu", problems);
    let to = to?;
    let destination = to.value.0.map(|network| (network.family(), &to.spot));
    let addresses = [&via, &source].map(|given| match given {
        Given::Right(address) => Some((Family::of(address.value), &address.spot)),
        Given::Absent | Given::Wrong => None,
    });
    let said: Vec<_> = destination.into_iter().chain(addresses.into_iter().flatten()).collect();
    let family = family(section, &said, problems)?;
    if let Given::Right(kind) = &kind
        && kind.value != RouteKind::Unicast
    {
        let unsuitable =
            [("via", via.is_given()), ("dev", dev.is_given()), ("mtu", mtu.is_given())];
        for (key, _) in unsuitable.iter().filter(|(_, given)| *given) {
            let what = format!("has no meaning for a route of the type {}", kind.value);
            let spot = section.spot_of(key).unwrap_or_else(|| section.spot().clone());
            problems.add(&spot, Wrong::new(what).hint("leave it out"));
        }
    }
    refuse_scope(family, &scope, &via, problems);
    let kind = kind.or(RouteKind::Unicast)?;
    let own = interface.filter(|_| kind == RouteKind::Unicast).cloned();
    let metric = metric.map(|metric| metric.0).or(0)?;
    Some(Route {
        to: to.value.0.unwrap_or(Network::everything(family)),
        kind,
        via: via.map(Some).or(None)?,
        dev: dev.map(Some).or(own)?,
        source: source.map(Some).or(None)?,
        table: table.or(RoutingTable::MAIN)?,
        metric: if family == Family::V6 && metric == 0 { METRIC_IPV6 } else { metric },
        scope: scope.map(Some).or(None)?,
        mtu: mtu.map(|mtu| Some(mtu.0)).or(None)?,
    })
}

fn refuse_scope(
    family: Family,
    scope: &Given<Scope>,
    via: &Given<IpAddr>,
    problems: &mut Problems<'_>,
) {
    let Given::Right(scope) = scope else { return };
    let wrong = if family == Family::V6 {
        Wrong::new("is for IPv4 only: IPv6 routes have no scope")
    } else if scope.value != Scope::Global && via.is_given() {
        // The kernel: "Nexthop has invalid scope".
        Wrong::new("fits routes without a router only: what 'via' leads to is beyond the link")
    } else {
        return;
    };
    problems.add(&scope.spot, wrong.hint("leave it out"));
}

fn rule(section: &Section<'_>, problems: &mut Problems<'_>) -> Option<Rule> {
    let priority = section.require::<RulePriority>("priority", problems);
    let from = section.take::<Destination>("from", problems);
    let to = section.take::<Destination>("to", problems);
    let iif = section.take::<InterfaceName>("iif", problems);
    let oif = section.take::<InterfaceName>("oif", problems);
    let fwmark = section.take::<FirewallMark>("fwmark", problems);
    let action = section.take::<RuleWord>("action", problems);
    let table = section.take::<RoutingTable>("table", problems);
    let said = [&from, &to].map(|given| match given {
        Given::Right(network) => Some((network.value.0?.family(), &network.spot)),
        Given::Absent | Given::Wrong => None,
    });
    let family = family(section, &said.into_iter().flatten().collect::<Vec<_>>(), problems)?;
    let action = rule_action(section, &action, &table, problems)?;
    Some(Rule {
        priority: priority?.value.0,
        family,
        from: from.map(|network| network.0).or(None)?,
        to: to.map(|network| network.0).or(None)?,
        iif: iif.map(Some).or(None)?,
        oif: oif.map(Some).or(None)?,
        fwmark: fwmark.map(|mark| Some(mark.0)).or(None)?,
        action,
    })
}

fn rule_action(
    section: &Section<'_>,
    action: &Given<RuleWord>,
    table: &Given<RoutingTable>,
    problems: &mut Problems<'_>,
) -> Option<RuleAction> {
    let word = match action {
        Given::Wrong => return None,
        Given::Absent => RuleWord::Lookup,
        Given::Right(word) => word.value,
    };
    let other = match word {
        RuleWord::Lookup => {
            if let Given::Absent = table {
                section.missing("table", "name the table to look into, like 100", problems);
            }
            return match table {
                Given::Right(table) => Some(RuleAction::Lookup(table.value)),
                Given::Absent | Given::Wrong => None,
            };
        }
        RuleWord::Blackhole => RuleAction::Blackhole,
        RuleWord::Unreachable => RuleAction::Unreachable,
        RuleWord::Prohibit => RuleAction::Prohibit,
    };
    if let Given::Right(table) = table {
        let wrong = Wrong::new("has no meaning where packets are dropped: no table is looked into");
        problems.add(&table.spot, wrong.hint("leave it out"));
    }
    Some(other)
}

/// The one family of all that is said; the key `family` where nothing says it.
fn family(
    section: &Section<'_>,
    said: &[(Family, &super::problem::Spot)],
    problems: &mut Problems<'_>,
) -> Option<Family> {
    let written = section.take::<FamilyWord>("family", problems).map(|word| match word {
        FamilyWord::Ipv4 => Family::V4,
        FamilyWord::Ipv6 => Family::V6,
    });
    let first = match &written {
        Given::Right(written) => Some(written.value),
        Given::Wrong => return None,
        Given::Absent => said.first().map(|(family, _)| *family),
    };
    let Some(first) = first else {
        let hint = "no address here says it: write ipv4 or ipv6";
        section.missing("family", hint, problems);
        return None;
    };
    if let Some((other, spot)) = said.iter().find(|(family, _)| *family != first) {
        let what = format!("is {other}, and what stands beside it is {first}");
        problems.add(spot, Wrong::new(what).hint("use addresses of one family"));
        return None;
    }
    Some(first)
}

/// A network, or `None`: everything, in a family that something else says.
#[derive(Clone, Copy, Debug)]
struct Destination(Option<Network>);

impl Field for Destination {
    type Written = String;
    const TAKES: &'static str = "a network like 10.9.0.0/16, an address, or default";

    fn check(written: String) -> Result<Self, Wrong> {
        if matches!(written.as_str(), "default" | "all" | "any") {
            return Ok(Self(None));
        }
        let (address, length) = match written.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (written.as_str(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| Self::wrong(&written))?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match length {
            None => longest,
            Some(length) => length
                .parse()
                .ok()
                .filter(|n| *n <= longest)
                .ok_or_else(|| Self::wrong(&written))?,
        };
        let first = first_of(address, prefix);
        if first != address {
            let what = format!("{address}/{prefix} is a host in a network, not a network");
            return Err(Wrong::new(what).hint(format!("write {first}/{prefix}")));
        }
        Ok(Self(Some(Network { address, prefix })))
    }
}

/// The first address of the network that an address is in.
fn first_of(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let hosts = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & !hosts).into())
        }
        IpAddr::V6(v6) => {
            let hosts = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & !hosts).into())
        }
    }
}

impl Field for RoutingTable {
    type Written = Value;
    const TAKES: &'static str = "the number of a table from 1 on, or main";

    fn check(written: Value) -> Result<Self, Wrong> {
        let number = match &written {
            Value::String(word) if word == "main" => return Ok(Self::MAIN),
            Value::Number(number) => number.as_u64().and_then(|n| u32::try_from(n).ok()),
            _ => None,
        };
        match number {
            // RT_TABLE_LOCAL: the kernel's own.
            Some(255) => {
                let wrong = Wrong::new("255 is the table 'local', which is the kernel's own");
                Err(wrong.hint("use another one"))
            }
            Some(number @ 1..) => Ok(Self(number)),
            _ => {
                let found = match written {
                    Value::String(text) => quoted(&text),
                    Value::Number(number) => number.to_string(),
                    _ => "something else".to_owned(),
                };
                Err(Wrong::expected(Self::TAKES, &found))
            }
        }
    }
}

macro_rules! number {
    ($name:ident, $low:literal, $high:expr, $takes:literal) => {
        #[derive(Clone, Copy, Debug)]
        struct $name(u32);

        impl Field for $name {
            type Written = u64;
            const TAKES: &'static str = $takes;

            fn check(written: u64) -> Result<Self, Wrong> {
                u32::try_from(written)
                    .ok()
                    .filter(|number| ($low..=$high).contains(number))
                    .map(Self)
                    .ok_or_else(|| Wrong::expected(Self::TAKES, &written.to_string()))
            }
        }
    };
}

number!(Metric, 0, u32::MAX, "a number from 0 to 4294967295");
// IPv4 needs 68 (RFC 791 section 3.2); the kernel takes no more than a datagram has.
number!(Mtu, 68, 65_535, "a number of bytes from 68 to 65535");
// 0 is the kernel's own rule for the table 'local'.
number!(RulePriority, 1, u32::MAX, "a number from 1 to 4294967295");

/// `0x10`, `16` or `0x10/0xff`.
#[derive(Clone, Copy, Debug)]
struct FirewallMark(Mark);

impl Field for FirewallMark {
    type Written = Value;
    const TAKES: &'static str = "a mark like 0x10 or 0x10/0xff";

    fn check(written: Value) -> Result<Self, Wrong> {
        let text = match written {
            Value::Number(number) => number.to_string(),
            Value::String(text) => text,
            _ => return Err(Wrong::expected(Self::TAKES, "something else")),
        };
        let (value, mask) = match text.split_once('/') {
            Some((value, mask)) => (value, mask),
            None => (text.as_str(), "0xffffffff"),
        };
        match (bits(value), bits(mask)) {
            (Some(value), Some(mask)) => Ok(Self(Mark { value, mask })),
            _ => Err(Self::wrong(&text)),
        }
    }
}

fn bits(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FamilyWord {
    Ipv4,
    Ipv6,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RuleWord {
    Lookup,
    Blackhole,
    Unreachable,
    Prohibit,
}

fn no_hint(_: &Scalar) -> Option<String> {
    None
}

read_by_serde!(FamilyWord, "ipv4 or ipv6", no_hint);
read_by_serde!(RuleWord, "lookup, blackhole, unreachable or prohibit", no_hint);
read_by_serde!(RouteKind, "unicast, blackhole, unreachable or prohibit", no_hint);
