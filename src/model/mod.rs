//! The vocabulary: what the rest of the crate talks about, checked on construction.
//!
//! A value of one of these types is valid; [`crate::config`] turns text into them or says what
//! is wrong. They serialize, because a recorded trace starts with the configuration.

mod authentication;
mod name;
mod notify;
mod routing;
mod secret;
mod track;
mod transport;
mod virtual_mac;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::time::Span;
pub use authentication::{
    AntiReplay, Authentication, HmacAuthentication, HmacKey, HmacMode, KeyId, SecretSource, Window,
};
pub use name::{BadName, GroupName, InstanceName, InterfaceName, NodeName, TrackName};
pub use notify::{Notify, Phase};
pub use routing::{
    Mark, Network, ROUTING_PROTOCOL, Route, RouteKind, Routing, RoutingTable, Rule, RuleAction,
};
pub use secret::{BadSecret, Key, Password};
pub use track::{
    ArpProbe, DnsProbe, FileCondition, FileProbe, Flap, HostPort, HttpMethod, HttpProbe,
    InterfaceProbe, MysqlProbe, MysqlRole, PingProbe, PostgresProbe, PostgresRole, Probe,
    ProcessProbe, RecordType, RedisProbe, RedisRole, Require, ScriptProbe, StatusRange,
    SystemdUnitProbe, TcpProbe, TrackConfig,
};
pub use transport::{Path, Transport};
pub use virtual_mac::VirtualDevice;

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

fn in_range(what: &'static str, low: u64, high: u64, found: u64) -> Result<u64, OutOfRange> {
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
    /// all the same has one from 1 to this. Where [`IfAllFail::Keep`] holds, no healthy node has.
    pub const LAST_RESORT: Self = Self(25);

    /// The lowest priority of a healthy node where [`IfAllFail::Keep`] holds.
    pub const LOWEST_HEALTHY: Self = Self(Self::LAST_RESORT.0 + 1);

    /// The number as it is on the wire.
    pub const fn get(self) -> u8 {
        self.0
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

/// IPv4 or IPv6: a virtual router belongs to one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Every station of the segment.
    pub const BROADCAST: Self = Self([0xff; 6]);
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            let colon = if place == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}

/// When a backup takes the addresses from a live active router of lower priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preempt {
    /// Never: whoever is active stays so for as long as it lives (RFC 9568 `Preempt_Mode` false).
    Never,
    /// As soon as it can (RFC 9568 `Preempt_Mode` true).
    Always,
    /// After having heard a lower-priority active router for this long without interruption.
    After(Span),
}

/// What a node does whose own checks fail, where no other router is active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfAllFail {
    /// It lets go of the addresses: nobody has them.
    #[default]
    Release,
    /// The best failing one holds them, with [`Priority::last_resort`].
    Keep,
}

/// How the checksum of VRRPv3 over IPv4 is computed when sending; both are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChecksumStyle {
    /// With an IPv4 pseudo-header until a router of the group is heard that sends without.
    Auto,
    /// With an IPv4 pseudo-header, as keepalived and FRR read RFC 5798.
    Rfc5798,
    /// The VRRP message alone (RFC 9568 section 5.2.8).
    Rfc9568,
}

/// The scope of an address (`rtnetlink(7)`, `ifa_scope`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Valid everywhere: the default.
    #[default]
    Global,
    /// Valid inside this site.
    Site,
    /// Valid on this link.
    Link,
    /// Valid on this host.
    Host,
}

/// One address that moves, as it is put on an interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VirtualAddress {
    /// The address.
    pub address: IpAddr,
    /// The prefix length: 0 to 32 or 0 to 128. /32 and /128 where the operator wrote none. An IPv6
    /// address with /128 is never chosen as a source by itself (RFC 6724 rule 3: deprecated).
    pub prefix: u8,
    /// The interface that gets it, where that is not the instance's own.
    pub dev: Option<InterfaceName>,
    /// The label (`ip addr ... label`), IPv4 only: the interface's name, ':' and more.
    pub label: Option<String>,
    /// The scope, IPv4 only: that of an IPv6 address is in its bits.
    pub scope: Scope,
}

impl VirtualAddress {
    /// Whether it is an IPv6 link-local address.
    pub const fn is_link_local(&self) -> bool {
        is_link_local(self.address)
    }
}

/// Whether this is an IPv6 link-local address (RFC 4291 section 2.5.6): it is unique on its link
/// only. IPv4's kind (RFC 3927) is an address like others to VRRP.
pub const fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

impl fmt::Display for VirtualAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// One instance: a virtual router that this node takes part in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceConfig {
    /// Its name.
    pub name: InstanceName,
    /// Where its advertisements go, and its addresses unless they say otherwise.
    pub interface: InterfaceName,
    /// Further interfaces that its advertisements go through: it takes part while the first one can be
    /// used, and the others are alive while they are heard on any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_interfaces: Vec<InterfaceName>,
    /// How its advertisements reach the other nodes.
    #[serde(default, skip_serializing_if = "Transport::is_standard")]
    pub transport: Transport,
    /// Its number on the wire.
    pub virtual_router_id: Vrid,
    /// The version that it speaks.
    pub version: Version,
    /// This node's priority.
    pub priority: Priority,
    /// How often it advertises while active.
    pub advertisement_interval: Interval,
    /// The longest interval that it learns from an active router (v3).
    pub maximum_interval: Interval,
    /// What moves and is advertised; never empty, those of IPv4 before those of IPv6. Of these the
    /// link-local ones of the interface come first: an advertisement has to start with one (RFC 9568
    /// section 5.2.9).
    pub addresses: Vec<VirtualAddress>,
    /// What moves along and is not advertised, of either family. Empty for an address owner.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_addresses: Vec<VirtualAddress>,
    /// The routes that are there while it is active. Empty for an address owner.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// The policy rules that are there while it is active. Empty for an address owner.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// Whether it takes over from a live active router of lower priority.
    pub preempt: Preempt,
    /// How long the interface must have had carrier, after boot and after link-up, before this
    /// node may claim the addresses.
    pub hold_down: Span,
    /// How long carrier must be gone before that counts: short interruptions are ignored.
    pub link_down_delay: Span,
    /// How long carrier must be back before that counts.
    pub link_up_delay: Span,
    /// The kernel removes an address that was not renewed for this long: whole seconds, at least
    /// one. `None`: addresses are installed for ever.
    pub lease: Option<Span>,
    /// How often the addresses are announced again while nothing happens; zero: never.
    pub announce_refresh: Span,
    /// How v3 advertisements over IPv4 are summed.
    pub checksum: ChecksumStyle,
    /// The checks that it depends on; in a sync group those of all members.
    #[serde(default)]
    pub tracks: Vec<TrackName>,
    /// What it does when checks without a cost fail here and no other router is active.
    #[serde(default)]
    pub if_all_fail: IfAllFail,
    /// Who is told of its changes, and what is started.
    #[serde(default)]
    pub notify: Notify,
    /// How its advertisements are authenticated.
    #[serde(default, skip_serializing_if = "Authentication::is_none")]
    pub authentication: Authentication,
    /// Whether the virtual router has an Ethernet address of its own, and the addresses a device with
    /// it ([`InstanceConfig::virtual_devices`]). Never with [`Priority::OWNER`].
    #[serde(default, skip_serializing_if = "is_false")]
    pub virtual_mac: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl InstanceConfig {
    /// The family of its first address.
    pub fn leading_family(&self) -> Family {
        self.addresses.first().map_or(Family::V4, |first| Family::of(first.address))
    }

    /// The families of its addresses: in each it is a virtual router of its own to the others.
    pub fn families(&self) -> impl Iterator<Item = Family> {
        let has = |family: &Family| self.addresses_of(*family).next().is_some();
        [Family::V4, Family::V6].into_iter().filter(has)
    }

    /// Its addresses of that family.
    pub fn addresses_of(&self, family: Family) -> impl Iterator<Item = &VirtualAddress> {
        self.addresses.iter().filter(move |address| Family::of(address.address) == family)
    }

    /// The ways on which it speaks and hears; those of its own interface come first.
    pub fn paths(&self) -> impl Iterator<Item = Path> {
        let interfaces = std::iter::once(&self.interface).chain(&self.further_interfaces);
        interfaces.flat_map(|interface| {
            self.families().map(|family| Path { interface: interface.clone(), family })
        })
    }

    /// All that moves: what is advertised, then what is not.
    pub fn moving_addresses(&self) -> impl Iterator<Item = &VirtualAddress> {
        self.addresses.iter().chain(&self.extra_addresses)
    }

    /// The routes, then the rules that lead to them.
    pub fn routing(&self) -> impl Iterator<Item = Routing> {
        let routes = self.routes.iter().cloned().map(Routing::Route);
        routes.chain(self.rules.iter().cloned().map(Routing::Rule))
    }

    /// The interfaces that it needs: its own, then those of its addresses and routes that have
    /// another one.
    pub fn interfaces(&self) -> impl Iterator<Item = &InterfaceName> {
        let of_addresses = self.moving_addresses().filter_map(|address| address.dev.as_ref());
        let of_routes = self.routes.iter().filter_map(|route| route.dev.as_ref());
        std::iter::once(&self.interface).chain(of_addresses).chain(of_routes)
    }

    /// The interface that `address` is put on.
    pub fn interface_of<'a>(&'a self, address: &'a VirtualAddress) -> &'a InterfaceName {
        address.dev.as_ref().unwrap_or(&self.interface)
    }
}

/// A node of the group, as listed under `nodes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Its own address on the segment.
    pub address: IpAddr,
    /// Further ones, by which it is known too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<IpAddr>,
}

impl Node {
    /// All its addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        std::iter::once(self.address).chain(self.others.iter().copied())
    }
}

/// Instances that are on one node together: one election for all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncGroup {
    /// Its name.
    pub name: GroupName,
    /// At least two instances of this configuration, each in one group at most. They have the same
    /// priority, interval, preemption, checks and `if_all_fail`, and none owns its addresses.
    pub members: Vec<InstanceName>,
    /// Who is told of its changes, and what is started: no program for a phase that does not suit
    /// groups ([`Phase::suits_groups`]).
    #[serde(default)]
    pub notify: Notify,
}

/// A whole valid configuration, as this node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Which of `nodes` this one is; `None` where there is no list.
    pub this_node: Option<NodeName>,
    /// The group in order of preference; empty where priorities are given by hand.
    pub nodes: Vec<Node>,
    /// The checks in the order of the file; each is used by an instance.
    #[serde(default)]
    pub tracks: Vec<TrackConfig>,
    /// The instances in the order of the file.
    pub instances: Vec<InstanceConfig>,
    /// The sync groups in the order of the file.
    #[serde(default)]
    pub sync_groups: Vec<SyncGroup>,
    /// The group of users (`group(5)`) whose members may control the daemon; `None`: only root may.
    #[serde(default)]
    pub control_group: Option<String>,
}

impl Config {
    /// The interfaces that it names, and the devices with virtual MAC addresses.
    pub fn interfaces(&self) -> BTreeSet<InterfaceName> {
        let all = |instance: &InstanceConfig| {
            let needed = instance.interfaces().chain(&instance.further_interfaces).cloned();
            let devices = instance.virtual_devices();
            needed.chain(devices.iter().map(VirtualDevice::name)).collect::<Vec<_>>()
        };
        self.instances.iter().flat_map(all).collect()
    }

    /// The check of that name.
    pub fn track(&self, name: &TrackName) -> Option<&TrackConfig> {
        self.tracks.iter().find(|track| track.name == *name)
    }

    /// The name of the node with this address, for logs and status.
    pub fn node_at(&self, address: IpAddr) -> Option<&NodeName> {
        let mut nodes = self.nodes.iter();
        nodes.find(|node| node.addresses().any(|own| own == address)).map(|node| &node.name)
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
