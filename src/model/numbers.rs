//! The numbers of VRRP, each within its range.

use std::fmt;
use std::net::Ipv6Addr;

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// A number is outside the range of its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be from {low} to {high}, not {found}")]
pub struct OutOfRange {
    /// Which quantity it is, in words.
    pub what: &'static str,
    /// The smallest valid number.
    pub low: u64,
    /// The largest valid number.
    pub high: u64,
    /// What was given.
    pub found: u64,
}

pub(super) fn in_range(
    what: &'static str,
    low: u64,
    high: u64,
    found: u64,
) -> Result<u64, OutOfRange> {
    if (low..=high).contains(&found) {
        Ok(found)
    } else {
        Err(OutOfRange { what, low, high, found })
    }
}

/// A virtual router identifier, 1 to 255 (RFC 9568 section 5.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Vrid(u8);

impl Vrid {
    /// The number as it is on the wire.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The link-local address of this virtual router where the operator gives it none: its virtual
    /// MAC address, 00-00-5e-00-02-VRID, as an interface identifier (RFC 9568 section 7.3, RFC 4291
    /// appendix A). No router may make its own identifier from that (RFC 9568 section 7.4), so it
    /// is free, and the same on every node.
    pub const fn link_local(self) -> Ipv6Addr {
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0x0200, 0x5eff, 0xfe00, 0x0200 | self.0 as u16)
    }
}

impl TryFrom<u8> for Vrid {
    type Error = OutOfRange;

    fn try_from(number: u8) -> Result<Self, OutOfRange> {
        in_range("a virtual router ID", 1, 255, number.into()).map(|_| Self(number))
    }
}

impl From<Vrid> for u8 {
    fn from(vrid: Vrid) -> Self {
        vrid.0
    }
}

impl fmt::Display for Vrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A router's own priority, 1 to 255; higher is preferred (RFC 9568 section 5.2.4). On the wire
/// there is also 0, "I stop being active", which no router is configured with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Priority(u8);

impl Priority {
    /// The address owner's priority: the virtual addresses are its real ones.
    pub const OWNER: Self = Self(255);

    /// The lowest priority that a router can have.
    pub const LOWEST: Self = Self(1);

    /// The highest priority of a last resort: a node whose checks fail and that holds the addresses
    /// all the same has one from 1 to this. Where [`IfAllFail::Keep`](super::IfAllFail::Keep) holds, no
    /// healthy node has.
    pub const LAST_RESORT: Self = Self(25);

    /// The lowest priority of a healthy node where [`IfAllFail::Keep`](super::IfAllFail::Keep) holds.
    pub const LOWEST_HEALTHY: Self = Self(Self::LAST_RESORT.0 + 1);

    /// The number as it is on the wire.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The priority that a place in `nodes` gives: 200 for the first, 0, and ten less for each
    /// after it; `None` for one that is too far behind.
    pub fn of_place(place: usize) -> Option<Self> {
        let steps = u8::try_from(place).ok()?;
        Self::try_from(200_u8.checked_sub(steps.checked_mul(10)?)?).ok()
    }

    /// What a node with this priority has as a last resort: a tenth, at least 1. That keeps the
    /// order of the nodes: the priorities that follow from it are multiples of ten.
    #[must_use]
    pub const fn last_resort(self) -> Self {
        let tenth = self.0 / 10;
        Self(if tenth == 0 { 1 } else { tenth })
    }

    /// Lowered by the costs of failing checks, but not below `lowest`.
    #[must_use]
    pub fn lowered(self, costs: u32, lowest: Self) -> Self {
        let costs = u8::try_from(costs).unwrap_or(u8::MAX);
        Self(self.0.saturating_sub(costs)).max(lowest.min(self))
    }

    /// Whether this is the address owner's priority, 255.
    pub const fn is_owner(self) -> bool {
        self.0 == Self::OWNER.0
    }
}

impl TryFrom<u8> for Priority {
    type Error = OutOfRange;

    fn try_from(number: u8) -> Result<Self, OutOfRange> {
        in_range("a priority", 1, 255, number.into()).map(|_| Self(number))
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> Self {
        priority.0
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The VRRP version that an instance speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Version {
    /// RFC 3768: IPv4 only, whole seconds.
    #[serde(rename = "2")]
    V2,
    /// RFC 9568 (and 5798): IPv4 and IPv6, centiseconds.
    #[serde(rename = "3")]
    V3,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2 => "2",
            Self::V3 => "3",
        })
    }
}

/// An advertisement interval in centiseconds, 1 to 25,500: what either version can carry.
/// [`Interval::fits`] says whether one of them can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Interval(u16);

impl Interval {
    /// The default of every VRRP version: one second.
    pub const ONE_SECOND: Self = Self(100);

    /// The longest that a v3 advertisement can carry: 40.95 s (12 bits of centiseconds, RFC 9568
    /// section 5.2.7).
    pub const LONGEST_V3: Self = Self(0x0fff);

    /// The number of centiseconds (v3's unit).
    pub const fn centiseconds(self) -> u16 {
        self.0
    }

    /// The number of whole seconds (v2's unit), or `None` where it is not whole or over 255.
    pub fn whole_seconds(self) -> Option<u8> {
        (self.0.is_multiple_of(100)).then_some(self.0 / 100).and_then(|s| u8::try_from(s).ok())
    }

    /// An interval of `seconds`, 1 to 255, as v2 carries it; `None` for zero.
    pub fn from_seconds(seconds: u8) -> Option<Self> {
        Self::try_from(u16::from(seconds) * 100).ok()
    }

    /// The same as a length of time.
    pub const fn span(self) -> Span {
        Span::from_millis(self.0 as u64 * 10)
    }

    /// Whether an advertisement of this version can carry it: v2 whole seconds up to 255 s
    /// (RFC 3768 section 5.3.7), v3 centiseconds up to 40.95 s.
    pub fn fits(self, version: Version) -> bool {
        match version {
            Version::V2 => self.whole_seconds().is_some(),
            Version::V3 => self <= Self::LONGEST_V3,
        }
    }
}

impl TryFrom<u16> for Interval {
    type Error = OutOfRange;

    fn try_from(centiseconds: u16) -> Result<Self, OutOfRange> {
        in_range("an advertisement interval in centiseconds", 1, 25_500, centiseconds.into())
            .map(|_| Self(centiseconds))
    }
}

impl From<Interval> for u16 {
    fn from(interval: Interval) -> Self {
        interval.0
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.span().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priority(number: u8) -> Priority {
        Priority::try_from(number).unwrap()
    }

    /// Rule: every healthy priority beats every last resort, and the order of the nodes stays.
    #[test]
    fn a_last_resort_is_below_every_healthy_priority() {
        for number in Priority::LOWEST_HEALTHY.get()..=254 {
            assert!(priority(number).last_resort() <= Priority::LAST_RESORT, "{number}");
        }
        for place in 0..17 {
            let (first, second) = (priority(200 - 10 * place), priority(190 - 10 * place));
            assert!(first.last_resort() > second.last_resort(), "{first} and {second}");
        }
    }

    /// Rule: costs never lower a priority below the bound, and never raise one that is below it.
    #[test]
    fn costs_stop_at_the_lowest() {
        let healthy = Priority::LOWEST_HEALTHY;
        assert_eq!(priority(200).lowered(30, Priority::LOWEST), priority(170));
        assert_eq!(priority(200).lowered(1_000, Priority::LOWEST), Priority::LOWEST);
        assert_eq!(priority(200).lowered(190, healthy), healthy);
        assert_eq!(priority(20).lowered(5, healthy), priority(20));
    }

    /// Rule: the link-local address of a virtual router is its virtual MAC's identifier, with the
    /// universal bit inverted.
    #[test]
    fn a_virtual_router_has_a_link_local_address() {
        let address = |number: u8| Vrid::try_from(number).unwrap().link_local().to_string();
        assert_eq!(address(51), "fe80::200:5eff:fe00:233");
        assert_eq!(address(255), "fe80::200:5eff:fe00:2ff");
    }
}
