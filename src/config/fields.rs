//! The single values: what each is written as, and what it takes.

use std::net::{IpAddr, Ipv6Addr};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_yaml::Value;

use super::duration;
use super::problem::{Wrong, quoted};
use super::source::{Content, Node, Scalar};
use crate::model::{
    ChecksumStyle, Family, IfAllFail, InstanceName, InterfaceName, Interval, Preempt, Priority,
    Scope, TrackName, Version, Vrid,
};
use crate::time::Span;

/// A value that stands in one scalar.
pub(super) trait Field: Sized {
    /// What serde reads.
    type Written: DeserializeOwned;

    /// What is valid, to follow "expected".
    const TAKES: &'static str;

    /// The value, or what is wrong with it.
    fn check(written: Self::Written) -> Result<Self, Wrong>;

    /// The message about other text.
    fn wrong(written: &str) -> Wrong {
        Wrong::expected(Self::TAKES, &quoted(written))
    }

    /// What to write instead of something that is not a `Written` at all.
    fn hint(_found: &Scalar) -> Option<String> {
        None
    }
}

/// Reads one value.
pub(super) fn read<T: Field>(node: &Node) -> Result<T, Wrong> {
    let Content::Scalar(scalar) = &node.content else {
        return Err(Wrong::expected(T::TAKES, &node.shown()));
    };
    let Ok(written) = serde_yaml::from_value(scalar.value.clone()) else {
        let wrong = Wrong::expected(T::TAKES, &scalar.shown());
        return Err(Wrong { hint: T::hint(scalar), ..wrong });
    };
    T::check(written)
}

/// The hint for text that would be a number without its quotes or leading zeros.
fn number_in_text(found: &Scalar) -> Option<String> {
    let Value::String(text) = &found.value else { return None };
    text.trim().parse::<u64>().ok().map(|number| format!("write {number}"))
}

/// The hint for a value that YAML does not take for text.
pub(super) fn text_in_quotes(found: &Scalar) -> Option<String> {
    (!matches!(found.value, Value::Null)).then(|| format!("put it in quotes: \"{}\"", found.text))
}

macro_rules! read_by_serde {
    ($type:ty, $takes:literal, $hint:expr) => {
        impl Field for $type {
            type Written = Self;
            const TAKES: &'static str = $takes;

            fn check(written: Self) -> Result<Self, Wrong> {
                Ok(written)
            }

            fn hint(found: &Scalar) -> Option<String> {
                let hint: fn(&Scalar) -> Option<String> = $hint;
                hint(found)
            }
        }
    };
}

pub(super) use read_by_serde;

read_by_serde!(Vrid, "a number from 1 to 255", number_in_text);
read_by_serde!(Priority, "a number from 1 to 255", number_in_text);
read_by_serde!(ChecksumStyle, "auto, rfc5798 or rfc9568", |_| None);
read_by_serde!(LinkLocal, "auto or off", |_| None);
read_by_serde!(Scope, "global, site, link or host", |_| None);
read_by_serde!(TransportName, "multicast or unicast", |_| None);
read_by_serde!(IfAllFail, "release or keep", |_| None);

/// True if an instance gets a link-local address that its configuration does not list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LinkLocal {
    Auto,
    Off,
}

/// How advertisements travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TransportName {
    Multicast,
    Unicast,
}

/// A multicast group.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupAddress(pub(super) IpAddr);

impl Field for GroupAddress {
    type Written = String;
    const TAKES: &'static str = "a multicast group like 224.0.0.50 or ff02::50";

    fn check(written: String) -> Result<Self, Wrong> {
        let group = written.parse::<IpAddr>().ok().filter(IpAddr::is_multicast);
        group.map(Self).ok_or_else(|| Self::wrong(&written))
    }
}

/// The lowest TTL or hop limit on arrival.
#[derive(Clone, Copy, Debug)]
pub(super) struct MinimumTtl(pub(super) u8);

impl Field for MinimumTtl {
    type Written = u64;
    const TAKES: &'static str = "a number from 1 to 255";

    fn check(written: u64) -> Result<Self, Wrong> {
        let ttl = u8::try_from(written).ok().filter(|ttl| *ttl > 0);
        ttl.map(Self).ok_or_else(|| Wrong::expected(Self::TAKES, &written.to_string()))
    }

    fn hint(found: &Scalar) -> Option<String> {
        number_in_text(found)
    }
}

impl Field for Version {
    type Written = u64;
    const TAKES: &'static str = "2 or 3";

    fn check(written: u64) -> Result<Self, Wrong> {
        match written {
            2 => Ok(Self::V2),
            3 => Ok(Self::V3),
            other => Err(Wrong::expected(Self::TAKES, &other.to_string())),
        }
    }

    fn hint(found: &Scalar) -> Option<String> {
        number_in_text(found)
    }
}

impl Field for InterfaceName {
    type Written = String;
    const TAKES: &'static str = "the name of an interface, like eth0";

    fn check(written: String) -> Result<Self, Wrong> {
        Self::try_from(written.as_str()).map_err(|bad| Self::wrong(&written).hint(bad.why))
    }

    fn hint(found: &Scalar) -> Option<String> {
        text_in_quotes(found)
    }
}

macro_rules! read_name {
    ($type:ty, $takes:literal) => {
        impl Field for $type {
            // A name is taken as written: it may look like a number.
            type Written = Value;
            const TAKES: &'static str = $takes;

            fn check(written: Value) -> Result<Self, Wrong> {
                let text = match written {
                    Value::String(text) => text,
                    Value::Number(number) => number.to_string(),
                    Value::Bool(truth) => truth.to_string(),
                    _ => return Err(Wrong::expected(Self::TAKES, "nothing")),
                };
                Self::try_from(text.as_str()).map_err(Wrong::from)
            }
        }
    };
}

read_name!(InstanceName, "the name of an instance");
read_name!(TrackName, "the name of a check under 'tracks'");

/// The label of an address, not yet compared with its interface.
#[derive(Clone, Debug)]
pub(super) struct Label(pub(super) String);

impl Field for Label {
    type Written = String;
    const TAKES: &'static str = "a label like eth0:web";

    fn check(written: String) -> Result<Self, Wrong> {
        Ok(Self(written))
    }

    fn hint(found: &Scalar) -> Option<String> {
        text_in_quotes(found)
    }
}

impl Field for Span {
    type Written = String;
    const TAKES: &'static str = "a duration like 1s or 100ms";

    fn check(written: String) -> Result<Self, Wrong> {
        duration::parse(&written).map_err(|bad| Self::wrong(&written).hint(bad.to_string()))
    }

    fn hint(found: &Scalar) -> Option<String> {
        let number = &found.text;
        found.value.is_number().then(|| format!("name the unit: {number}s or {number}ms"))
    }
}

/// How often something is advertised, not yet compared with the version.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    span: Span,
    written: String,
}

impl Pace {
    /// The interval, if an advertisement of this version can carry it.
    pub(super) fn interval(&self, version: Version) -> Result<Interval, Wrong> {
        const CENTISECOND: u64 = 10_000_000;
        let nanos = self.span.nanos();
        let centiseconds = nanos.is_multiple_of(CENTISECOND).then_some(nanos / CENTISECOND);
        centiseconds
            .and_then(|count| u16::try_from(count).ok())
            .and_then(|count| Interval::try_from(count).ok())
            .filter(|interval| interval.fits(version))
            .ok_or_else(|| {
                let takes = match version {
                    Version::V2 => "whole seconds from 1s to 255s, as version 2 can carry them",
                    Version::V3 => "10ms to 40.95s in steps of 10ms, as version 3 can carry them",
                };
                Wrong::expected(takes, &quoted(&self.written))
            })
    }
}

impl Field for Pace {
    type Written = String;
    const TAKES: &'static str = Span::TAKES;

    fn check(written: String) -> Result<Self, Wrong> {
        Ok(Self { span: Span::check(written.clone())?, written })
    }

    fn hint(found: &Scalar) -> Option<String> {
        Span::hint(found)
    }
}

impl Field for Preempt {
    type Written = String;
    const TAKES: &'static str = "never, always or a delay like 'after 60s'";

    fn check(written: String) -> Result<Self, Wrong> {
        match written.as_str() {
            "never" => Ok(Self::Never),
            "always" => Ok(Self::Always),
            "no" | "off" => Err(Self::wrong(&written).hint("write never")),
            "yes" | "on" => Err(Self::wrong(&written).hint("write always")),
            other => {
                let delay = other.strip_prefix("after ").ok_or_else(|| Self::wrong(&written))?;
                match duration::parse(delay.trim_start()) {
                    Ok(Span::ZERO) => {
                        Err(Self::wrong(&written).hint("without a delay it is always"))
                    }
                    Ok(delay) => Ok(Self::After(delay)),
                    Err(bad) => Err(Self::wrong(&written).hint(bad.to_string())),
                }
            }
        }
    }

    fn hint(found: &Scalar) -> Option<String> {
        match &found.value {
            Value::Bool(preempt) => {
                Some(if *preempt { "write always" } else { "write never" }.to_owned())
            }
            Value::Number(number) => Some(format!("write 'after {number}s'")),
            _ => None,
        }
    }
}

/// How long the kernel keeps an address that is not renewed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease(pub(super) Option<Span>);

impl Lease {
    /// The default: the longest time that another node can wait before it takes over, which is
    /// three intervals and the skew time of the lowest priority (RFC 9568 section 6.1, RFC 3768
    /// section 6.1). A node that stands still for less, and was not replaced, keeps its address.
    /// The kernel counts whole seconds, so the sum is rounded up.
    pub(super) fn following(interval: Interval, version: Version) -> Self {
        let second = Span::from_secs(1);
        let longest_skew = match version {
            Version::V2 => second,
            Version::V3 => interval.span(),
        };
        let takeover = interval.span().times(3) + longest_skew;
        Self(Some(Span::from_secs(takeover.nanos().div_ceil(second.nanos()))))
    }
}

impl Field for Lease {
    type Written = String;
    const TAKES: &'static str = "whole seconds like 3s, or off";

    fn check(written: String) -> Result<Self, Wrong> {
        if written == "off" {
            return Ok(Self(None));
        }
        match duration::parse(&written) {
            Ok(span) if span > Span::ZERO && span.nanos().is_multiple_of(1_000_000_000) => {
                Ok(Self(Some(span)))
            }
            Ok(_) => {
                Err(Self::wrong(&written)
                    .hint("the kernel counts address lifetimes in whole seconds"))
            }
            Err(bad) => Err(Self::wrong(&written).hint(bad.to_string())),
        }
    }

    fn hint(found: &Scalar) -> Option<String> {
        match &found.value {
            Value::Bool(false) => Some("write off".to_owned()),
            Value::Number(_) => Some(format!("name the unit: {}s", found.text)),
            _ => None,
        }
    }
}

/// An address of a node: without a prefix.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeAddress(pub(super) IpAddr);

impl Field for NodeAddress {
    type Written = String;
    const TAKES: &'static str = "an address like 10.0.0.11";

    fn check(written: String) -> Result<Self, Wrong> {
        match (written.parse(), written.split_once('/')) {
            (Ok(address), _) => of_a_host(address).map(Self),
            (_, Some((address, _))) if address.parse::<IpAddr>().is_ok() => {
                Err(Self::wrong(&written).hint(format!("write {address}, without a prefix length")))
            }
            _ => Err(without_zone(&written, Self::wrong(&written))),
        }
    }
}

/// A virtual address with the length of its prefix.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cidr {
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
}

impl Field for Cidr {
    type Written = String;
    const TAKES: &'static str = "an address like 10.0.0.100/24";

    fn check(written: String) -> Result<Self, Wrong> {
        let (address, prefix) = match written.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (written.as_str(), None),
        };
        let Ok(address) = address.parse() else {
            return Err(without_zone(&written, Self::wrong(&written)));
        };
        let address = of_a_host(address)?;
        let longest = match Family::of(address) {
            Family::V4 => 32,
            Family::V6 => 128,
        };
        let prefix = match prefix {
            None => longest,
            Some(prefix) => prefix_length(prefix, longest)?,
        };
        not_of_its_network(address, prefix)?;
        Ok(Self { address, prefix })
    }
}

/// Explains what `ip` and `ping` show of link-local addresses: the interface after a '%'.
fn without_zone(written: &str, wrong: Wrong) -> Wrong {
    match written.split_once('%') {
        Some((address, _)) if address.parse::<IpAddr>().is_ok() => {
            wrong.hint("leave out the '%' and the interface: the key 'interface' says it")
        }
        _ => wrong,
    }
}

/// A length of 0 is refused, too: the kernel would send all traffic to that interface.
fn prefix_length(text: &str, longest: u8) -> Result<u8, Wrong> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(length) if digits && (1..=longest).contains(&length) => Ok(length),
        _ => {
            let expected = format!("a prefix length from 1 to {longest} after the '/'");
            Err(Wrong::expected(&expected, &quoted(text)))
        }
    }
}

/// Refuses what cannot be the address of one host.
fn of_a_host(address: IpAddr) -> Result<IpAddr, Wrong> {
    let kind = match address {
        IpAddr::V6(v6) => return of_an_ipv6_host(v6).map(IpAddr::V6),
        IpAddr::V4(v4) if v4.is_unspecified() => "stands for no address at all",
        IpAddr::V4(v4) if v4.is_loopback() => "is a loopback address: it never leaves its machine",
        IpAddr::V4(v4) if v4.is_multicast() => "is a multicast address",
        IpAddr::V4(v4) if v4.is_broadcast() => "is the broadcast address",
        IpAddr::V4(_) => return Ok(address),
    };
    Err(Wrong::new(format!("{address} {kind}")).hint("use the address of a host"))
}

fn of_an_ipv6_host(address: Ipv6Addr) -> Result<Ipv6Addr, Wrong> {
    let kind = match address {
        v6 if v6.is_unspecified() => "stands for no address at all",
        v6 if v6.is_loopback() => "is a loopback address: it never leaves its machine",
        v6 if v6.is_multicast() => "is a multicast address",
        v6 => match v6.to_ipv4_mapped() {
            None => return Ok(v6),
            Some(v4) => {
                let what = format!("{address} is an IPv4 address in the form of an IPv6 one");
                return Err(Wrong::new(what).hint(format!("write {v4}")));
            }
        },
    };
    Err(Wrong::new(format!("{address} {kind}")).hint("use the address of a host"))
}

/// Refuses the addresses of a network that no host has. A network of one or two addresses has
/// none such (RFC 3021, RFC 6164).
pub(super) fn not_of_its_network(address: IpAddr, prefix: u8) -> Result<(), Wrong> {
    let what = match (address, prefix) {
        (IpAddr::V4(v4), 1..=30) => {
            let host_part = u32::MAX >> prefix;
            match v4.to_bits() & host_part {
                0 => "the address of the network itself",
                bits if bits == host_part => "the broadcast address of its network",
                _ => return Ok(()),
            }
        }
        // RFC 4291 section 2.6.1.
        (IpAddr::V6(v6), 1..=126) if v6.to_bits() & (u128::MAX >> prefix) == 0 => {
            "the anycast address of all routers of its network"
        }
        _ => return Ok(()),
    };
    let wrong = Wrong::new(format!("{address}/{prefix} is {what}"));
    Err(wrong.hint("use the address of a host, or another prefix length"))
}
