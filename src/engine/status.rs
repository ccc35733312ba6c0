//! The snapshot: states, reasons, deadlines, counters.

mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Discard;
use super::answers::Standby;
use super::conflict::ConflictStatus;
use super::hook::call::HookName;
use super::peers::PeerStatus;
use super::story::{Fault, Lowered, Peer, StateName, TrackFailure, Why};
use super::timer::Timer;
use crate::histogram::Histogram;
use crate::model::{
    Family, GroupName, InstanceName, InterfaceName, Interval, Mac, Node, NodeName, Path, Phase,
    Preempt, Priority, Route, Routing, Rule, TrackName, Transport, Version, VirtualAddress,
    VirtualDevice, Vrid,
};
use crate::time::{Span, Wall};

/// What there is to know about this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Which of the configured nodes this is.
    pub node: Option<NodeName>,
    /// The configured nodes, the most preferred one first; empty without such a list.
    #[serde(default)]
    pub nodes: Vec<Node>,
    /// The instances in the order of the configuration.
    pub instances: Vec<InstanceStatus>,
    /// The sync groups in the order of the configuration.
    #[serde(default)]
    pub groups: Vec<GroupStatus>,
    /// The checks in the order of the configuration.
    #[serde(default)]
    pub tracks: Vec<TrackStatus>,
    /// What the operator has taken out of the election.
    #[serde(default)]
    pub standby: Standby,
    /// Frames that belong to no instance, by interface and reason.
    pub stray_discards: BTreeMap<InterfaceName, BTreeMap<Discard, u64>>,
}

/// A device with a virtual MAC address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceStatus {
    /// Its name.
    pub name: InterfaceName,
    /// The interface that it is on.
    pub interface: InterfaceName,
    /// Its Ethernet address.
    pub mac: Mac,
}

impl From<&VirtualDevice> for DeviceStatus {
    fn from(device: &VirtualDevice) -> Self {
        Self { name: device.name(), interface: device.interface.clone(), mac: device.mac() }
    }
}

/// What there is to know about one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// Its name.
    pub name: InstanceName,
    /// Its interface.
    pub interface: InterfaceName,
    /// The other interfaces that it speaks on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_interfaces: Vec<InterfaceName>,
    /// How its advertisements travel.
    #[serde(default, skip_serializing_if = "Transport::is_standard")]
    pub transport: Transport,
    /// Its virtual router ID.
    pub virtual_router_id: Vrid,
    /// The version of the protocol that it speaks.
    pub version: Version,
    /// What it is.
    pub state: StateName,
    /// Whether it has told the others that it stops being active, and waits for one of them.
    pub leaving: bool,
    /// Whether the operator has taken it out of the election.
    pub standby: bool,
    /// Since when.
    pub since: Wall,
    /// Why, for people.
    pub reason: String,
    /// Why, for programs.
    pub why: Why,
    /// The priority that it advertises or would advertise.
    pub priority: Priority,
    /// Its own priority, before its checks lower it.
    pub own_priority: Priority,
    /// Why these two are not the same.
    pub lowered: Option<Lowered>,
    /// Whether it takes over from a live router of lower priority.
    pub preempt: Preempt,
    /// How often it advertises.
    pub advertisement_interval: Interval,
    /// The addresses that move and are advertised.
    pub addresses: Vec<VirtualAddress>,
    /// The addresses that move along and are not advertised.
    #[serde(default)]
    pub extra_addresses: Vec<VirtualAddress>,
    /// Those of both kinds that this node holds now.
    pub held: Vec<VirtualAddress>,
    /// The routes that move along.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// The policy rules that move along.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Those of the routes and rules that this node holds now.
    #[serde(default)]
    pub held_routing: Vec<Routing>,
    /// The devices with its virtual MAC addresses, by their names; the addresses are on them while
    /// it is active.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceStatus>,
    /// How long the kernel keeps them if this daemon does not renew them any more.
    pub lease_left: Option<Span>,
    /// The active router that a backup hears.
    pub active: Option<Peer>,
    /// Until when a backup does not claim the addresses, whatever it hears (hold-down).
    pub held_down_until: Option<Wall>,
    /// What it does next if nothing happens, the soonest first.
    pub timers: Vec<Due>,
    /// The checks that count for it.
    pub tracks: Vec<TrackName>,
    /// What is wrong on the segment.
    pub conflicts: Vec<ConflictStatus>,
    /// On which of its further interfaces nothing is heard.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_paths: Vec<MissingPath>,
    /// What its hooks did last.
    #[serde(default)]
    pub hooks: Vec<HookStatus>,
    /// The hook that it waits for before it takes the addresses or gives them away.
    #[serde(default)]
    pub waits_for: Option<Phase>,
    /// The routers that it has heard, by address.
    pub peers: Vec<PeerStatus>,
    /// Its last ten changes of state, the oldest first.
    pub transitions: Vec<Transition>,
    /// What was counted since the daemon started.
    pub counters: Counters,
}

/// Something that is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// The timer that fires.
    pub what: Timer,
    /// How long until then.
    pub left: Span,
}

/// A change of state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// When.
    pub at: Wall,
    /// What it was.
    pub from: StateName,
    /// What it was then.
    pub to: StateName,
    /// The kind of the reason: a word that is the same in every release.
    pub cause: String,
    /// The reason, for people.
    pub reason: String,
}

/// What there is to know about one sync group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// Its name.
    pub name: GroupName,
    /// Its instances.
    pub members: Vec<InstanceName>,
    /// What it is as a whole: active when all of its members are.
    pub state: StateName,
    /// Since when.
    pub since: Wall,
    /// What its hooks did last.
    pub hooks: Vec<HookStatus>,
    /// Hooks of its own that failed since the daemon started.
    pub hooks_failed: u64,
    /// Those that were left out because a newer change came before they had started.
    pub hooks_superseded: u64,
}

/// What there is to know about one hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookStatus {
    /// Which one.
    pub name: HookName,
    /// Whether it is under way.
    pub running: bool,
    /// How it ended last: whether well, what it said, and when.
    pub last: Option<(bool, String, Wall)>,
}

/// What there is to know about one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackStatus {
    /// Its name.
    pub name: TrackName,
    /// Its kind, as in the configuration.
    pub kind: String,
    /// How it is, for people: `fails: connection refused`.
    pub text: String,
    /// Why it counts as failing; `None`: it passes.
    pub failure: Option<TrackFailure>,
    /// Since when.
    pub since: Wall,
    /// By how much it lowers the priority while it fails; `None`: its node is not eligible then.
    pub cost: Option<u8>,
    /// What the last look found.
    pub last: Option<LastLook>,
    /// How many looks in a row have ended like the last one.
    pub in_a_row: u32,
    /// For how long it counts as failing, if it does not change any more, because it is flapping.
    pub held_for: Option<Span>,
}

impl TrackStatus {
    /// [`TrackStatus::text`].
    pub(super) fn in_words(failure: Option<&TrackFailure>) -> String {
        failure.map_or("passes".to_owned(), ToString::to_string)
    }
}

/// What a look found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastLook {
    /// Whether all was as it should be.
    pub passed: bool,
    /// What there is to say about it; may be empty.
    pub text: String,
}

/// What an instance counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Advertisements sent, priority 0 included.
    pub advertisements_sent: u64,
    /// Of those, with priority 0.
    pub priority_zero_sent: u64,
    /// Advertisements accepted, priority 0 included.
    pub advertisements_received: u64,
    /// Of those, with priority 0.
    pub priority_zero_received: u64,
    /// Advertisements accepted although their addresses differ from ours.
    pub address_drift: u64,
    /// Accepted VRRPv3/IPv4 advertisements whose checksum had no pseudo-header.
    pub checksum_without_pseudo_header: u64,
    /// Frames refused, by reason.
    pub discards: BTreeMap<Discard, u64>,
    /// How often it became active.
    pub became_active: u64,
    /// Addresses, routes and rules put back after another program had removed them.
    pub put_back: u64,
    /// Actions that the system refused.
    pub failures: u64,
    /// Times that the active-down timer was restarted because the loop had been late.
    pub distrusted_pauses: u64,
    /// Times that it gave up being active because the loop had been late for too long.
    pub overslept: u64,
    /// Times that nobody took over when it left.
    pub unclaimed: u64,
    /// ARP packets and neighbour advertisements of other stations for an address that it held.
    pub address_conflicts: u64,
    /// Hooks that failed.
    #[serde(default)]
    pub hooks_failed: u64,
    /// Hooks that were left out because a newer change came before they had started.
    #[serde(default)]
    pub hooks_superseded: u64,
    /// Signs of a conflict on the segment, of any kind.
    pub conflicts: u64,
    /// Changes of state, by the new one and the kind of the reason.
    pub transitions: BTreeMap<StateName, BTreeMap<String, u64>>,
    /// For how long the active router before it had not been heard when it took over.
    pub takeovers: Histogram,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            advertisements_sent: 0,
            priority_zero_sent: 0,
            advertisements_received: 0,
            priority_zero_received: 0,
            address_drift: 0,
            checksum_without_pseudo_header: 0,
            discards: BTreeMap::new(),
            became_active: 0,
            put_back: 0,
            failures: 0,
            distrusted_pauses: 0,
            overslept: 0,
            unclaimed: 0,
            address_conflicts: 0,
            hooks_failed: 0,
            hooks_superseded: 0,
            conflicts: 0,
            transitions: BTreeMap::new(),
            takeovers: Histogram::of_takeovers(),
        }
    }
}

/// An interface on which an instance should be heard in a family, and is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingPath {
    /// The interface.
    pub interface: InterfaceName,
    /// The family.
    pub family: Family,
    /// The reason, for people.
    pub reason: String,
    /// The reason, for programs.
    pub why: Fault,
}

impl MissingPath {
    pub(super) fn new((path, fault): (&Path, &Fault)) -> Self {
        Self {
            interface: path.interface.clone(),
            family: path.family,
            reason: fault.to_string(),
            why: fault.clone(),
        }
    }
}

impl InstanceStatus {
    /// All addresses that move.
    pub fn moving_addresses(&self) -> impl Iterator<Item = &VirtualAddress> {
        self.addresses.iter().chain(&self.extra_addresses)
    }

    /// Whether an operator would want to know.
    fn is_in_trouble(&self) -> bool {
        matches!(self.state, StateName::Fault | StateName::Standby)
            || self.leaving
            || self.lowered.is_some()
            || !self.conflicts.is_empty()
            || !self.missing_paths.is_empty()
            || self.waits_for.is_some()
            || self.failed_hooks().next().is_some()
    }

    /// The hooks whose last end was a bad one.
    pub fn failed_hooks(&self) -> impl Iterator<Item = FailedHook<'_>> {
        self.hooks.iter().filter_map(HookStatus::failure)
    }
}

impl GroupStatus {
    /// The hooks whose last end was a bad one.
    pub fn failed_hooks(&self) -> impl Iterator<Item = FailedHook<'_>> {
        self.hooks.iter().filter_map(HookStatus::failure)
    }
}

impl HookStatus {
    /// What went wrong when it ended last.
    fn failure(&self) -> Option<FailedHook<'_>> {
        match &self.last {
            Some((false, text, at)) => Some(FailedHook { name: self.name, text, at: *at }),
            _ => None,
        }
    }
}

/// `hook script failed at 14:03:07 UTC: exit code 1`
#[derive(Clone, Copy, Debug)]
pub struct FailedHook<'a> {
    /// Which one.
    pub name: HookName,
    /// What went wrong.
    pub text: &'a str,
    /// When.
    pub at: Wall,
}
