//! The vocabulary: what the rest of the crate talks about, checked on construction.
//!
//! A value of one of these types is valid; [`crate::config`] turns text into them or says what
//! is wrong. They serialize, because a recorded trace starts with the configuration.

mod address;
mod authentication;
mod instance;
mod name;
mod notify;
mod numbers;
mod routing;
mod secret;
mod track;
mod transport;
mod virtual_mac;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use address::{Family, Mac, Scope, VirtualAddress, is_link_local};
pub use authentication::{
    AntiReplay, Authentication, HmacAuthentication, HmacKey, HmacMode, KeyId, SecretSource, Window,
};
pub use instance::{ChecksumStyle, IfAllFail, InstanceConfig, Preempt};
pub use name::{BadName, GroupName, InstanceName, InterfaceName, NodeName, TrackName};
pub use notify::{Notify, Phase};
pub use numbers::{Interval, OutOfRange, Priority, Version, Vrid};
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
    /// The name of this node in `nodes`; `None` if there is no list, and while it is not known.
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
    /// The instances that cannot take part before something is on this machine, and what that is:
    /// one of the nodes' addresses, the addresses of an owner, a key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub awaited: BTreeMap<InstanceName, String>,
}

impl Config {
    /// Tells whether all is the same as in `other`, its instances aside.
    pub fn is_alike_besides_instances(&self, other: &Self) -> bool {
        let Self { this_node, nodes, tracks, instances: _, sync_groups, control_group, awaited } =
            self;
        *this_node == other.this_node
            && *nodes == other.nodes
            && *tracks == other.tracks
            && *sync_groups == other.sync_groups
            && *control_group == other.control_group
            && *awaited == other.awaited
    }

    /// The interfaces that it names, and the devices with virtual MAC addresses.
    pub fn interfaces(&self) -> BTreeSet<InterfaceName> {
        self.instances
            .iter()
            .flat_map(|instance| {
                let needed = instance.interfaces().chain(&instance.further_interfaces).cloned();
                let devices = instance.virtual_devices();
                needed.chain(devices.iter().map(VirtualDevice::name)).collect::<Vec<_>>()
            })
            .collect()
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

    /// The node that is the first to take over when this one is gone: the first of all others in
    /// the order of `nodes`. `None` where that is not one of them, or the only one.
    pub fn first_after(&self, gone: &NodeName) -> Option<&Node> {
        let is_listed = self.nodes.iter().any(|node| node.name == *gone);
        self.nodes.iter().find(|node| is_listed && node.name != *gone)
    }

    /// The place of this node in `nodes`, the first one's being 0; `None` if it has none.
    pub fn place(&self) -> Option<usize> {
        self.nodes.iter().position(|node| Some(&node.name) == self.this_node.as_ref())
    }
}
