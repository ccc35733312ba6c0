//! One instance: a set of addresses that move together, and all that is configured about it.

use serde::{Deserialize, Serialize};

use super::address::{Family, VirtualAddress};
use super::authentication::Authentication;
use super::name::{InstanceName, InterfaceName, TrackName};
use super::notify::Notify;
use super::numbers::{Interval, Priority, Version, Vrid};
use super::routing::{Route, Routing, Rule};
use super::transport::{Path, Transport};
use crate::time::Span;

/// When a backup takes the addresses from a live active router of lower priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// One instance: a virtual router that this node takes part in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceConfig {
    /// Its name.
    pub name: InstanceName,
    /// Where its advertisements go, and its addresses unless they say otherwise.
    pub interface: InterfaceName,
    /// Further interfaces that its advertisements go through: it takes part while the first one can
    /// be used, and the others are alive while they are heard on any.
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
    /// link-local ones of the interface come first: an advertisement has to start with one (RFC
    /// 9568 section 5.2.9).
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
    /// Whether the virtual router has an Ethernet address of its own, and the addresses a device
    /// with it ([`InstanceConfig::virtual_devices`]). Never with [`Priority::OWNER`].
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
        [Family::V4, Family::V6]
            .into_iter()
            .filter(|family| self.addresses_of(*family).next().is_some())
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
