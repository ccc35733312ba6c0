//! What a reload would do, before it is done.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::instance::differences;
use super::reload::{Identity, identity};
use super::words::few;
use crate::model::{
    Config, GroupName, InstanceConfig, InstanceName, InterfaceName, TrackName, VirtualAddress, Vrid,
};

/// All that a reload changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Each instance of both configurations: those of the new one in its order, then those that it
    /// has no more.
    pub instances: Vec<PlannedInstance>,
    /// Addresses that go from one instance to another, and stay where they are where this node
    /// holds both.
    pub moved: Vec<MovedAddress>,
    /// The checks that are not the same in both.
    pub tracks: Vec<PlannedTrack>,
    /// The sync groups that are not the same in both.
    pub sync_groups: Vec<GroupName>,
    /// Whether the list of nodes is another one.
    pub nodes: bool,
    /// Whether other users may control the daemon.
    #[serde(default)]
    pub control_group: bool,
    /// The things that the configuration needs and the machine does not have (yet), one line each.
    /// Filled in by the code that looks at the machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub awaited: Vec<String>,
}

/// What becomes of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedInstance {
    /// Its name: the new one.
    pub name: InstanceName,
    /// What becomes of it.
    pub change: InstanceChange,
}

/// What a reload does to an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceChange {
    /// Nothing.
    Unchanged,
    /// It is new, and starts as at the start of the daemon.
    Starts,
    /// It is not there any more: where it is active it hands over first, then stops.
    Stops,
    /// It becomes another virtual router: the old one hands over first, the new one starts.
    Replaced {
        /// What it was.
        from: RouterName,
        /// What it will be.
        to: RouterName,
    },
    /// It goes on, in the state that it is in, with other values.
    Changed {
        /// Which keys.
        keys: Vec<String>,
        /// The addresses that it gets.
        added: Vec<VirtualAddress>,
        /// The addresses that it gives up.
        removed: Vec<VirtualAddress>,
    },
}

/// A virtual router by its number and interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterName {
    /// Its number.
    pub virtual_router_id: Vrid,
    /// Its interface.
    pub interface: InterfaceName,
}

/// An address that another instance has afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedAddress {
    /// The address, as it is afterwards.
    pub address: VirtualAddress,
    /// The instance that has it before.
    pub from: InstanceName,
    /// The instance that has it afterwards.
    pub to: InstanceName,
}

/// What becomes of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedTrack {
    /// Its name.
    pub name: TrackName,
    /// What becomes of it.
    pub change: TrackChange,
}

/// What a reload does to a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackChange {
    /// It is new: it counts as failing until it has passed.
    Starts,
    /// It is not there any more.
    Stops,
    /// It has other values.
    Changed,
}

impl Plan {
    /// What a reload from one configuration to the other does.
    pub fn new(old: &Config, new: &Config) -> Self {
        let (before, after) = (Known::of(old), Known::of(new));
        let planned = new.instances.iter().map(|wanted| planned(&before, wanted));
        let stopped = old.instances.iter().filter(|before| {
            after.same(before).is_none() && !after.names.contains_key(&before.name)
        });
        let stopped = stopped.map(|before| PlannedInstance {
            name: before.name.clone(),
            change: InstanceChange::Stops,
        });
        Self {
            instances: planned.chain(stopped).collect(),
            moved: moved(&before, new),
            tracks: tracks(old, new),
            sync_groups: groups(old, new),
            nodes: old.nodes != new.nodes || old.this_node != new.this_node,
            control_group: old.control_group != new.control_group,
            awaited: Vec::new(),
        }
    }

    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        let unchanged = |planned: &PlannedInstance| planned.change == InstanceChange::Unchanged;
        self.instances.iter().all(unchanged)
            && self.tracks.is_empty()
            && self.sync_groups.is_empty()
            && !self.nodes
            && !self.control_group
    }
}

/// The instances of a configuration, of which there may be thousands, by what they are looked up
/// by.
struct Known<'a> {
    identities: BTreeMap<Identity, &'a InstanceConfig>,
    names: BTreeMap<&'a InstanceName, &'a InstanceConfig>,
    addresses: BTreeMap<IpAddr, &'a InstanceConfig>,
}

impl<'a> Known<'a> {
    fn of(config: &'a Config) -> Self {
        let mut known = Self {
            identities: BTreeMap::new(),
            names: BTreeMap::new(),
            addresses: BTreeMap::new(),
        };
        for instance in &config.instances {
            known.identities.entry(identity(instance)).or_insert(instance);
            known.names.entry(&instance.name).or_insert(instance);
            for address in instance.moving_addresses() {
                known.addresses.entry(address.address).or_insert(instance);
            }
        }
        known
    }

    /// The same virtual router.
    fn same(&self, instance: &InstanceConfig) -> Option<&'a InstanceConfig> {
        self.identities.get(&identity(instance)).copied()
    }
}

fn planned(old: &Known<'_>, wanted: &InstanceConfig) -> PlannedInstance {
    let name = wanted.name.clone();
    let change = match (old.same(wanted), old.names.get(&name).copied()) {
        (Some(before), _) if before == wanted => InstanceChange::Unchanged,
        (Some(before), _) => InstanceChange::Changed {
            keys: differences(before, wanted),
            added: only(wanted, before),
            removed: only(before, wanted),
        },
        (None, Some(before)) => {
            InstanceChange::Replaced { from: RouterName::of(before), to: RouterName::of(wanted) }
        }
        (None, None) => InstanceChange::Starts,
    };
    PlannedInstance { name, change }
}

fn only(of: &InstanceConfig, not_of: &InstanceConfig) -> Vec<VirtualAddress> {
    let others: BTreeSet<&VirtualAddress> = not_of.moving_addresses().collect();
    of.moving_addresses().filter(|address| !others.contains(address)).cloned().collect()
}

fn moved(old: &Known<'_>, new: &Config) -> Vec<MovedAddress> {
    let mut moved = Vec::new();
    for instance in &new.instances {
        for address in instance.moving_addresses() {
            let before = old.addresses.get(&address.address);
            // The same virtual router under another name has it still.
            if let Some(before) = before.filter(|before| identity(before) != identity(instance)) {
                let (from, to) = (before.name.clone(), instance.name.clone());
                moved.push(MovedAddress { address: address.clone(), from, to });
            }
        }
    }
    moved
}

fn tracks(old: &Config, new: &Config) -> Vec<PlannedTrack> {
    let present = new.tracks.iter().filter_map(|track| {
        let change = match old.track(&track.name) {
            None => TrackChange::Starts,
            Some(before) if before != track => TrackChange::Changed,
            Some(_) => return None,
        };
        Some(PlannedTrack { name: track.name.clone(), change })
    });
    let gone = old.tracks.iter().filter(|track| new.track(&track.name).is_none());
    let gone =
        gone.map(|track| PlannedTrack { name: track.name.clone(), change: TrackChange::Stops });
    present.chain(gone).collect()
}

fn groups(old: &Config, new: &Config) -> Vec<GroupName> {
    let (before, after) = (&old.sync_groups, &new.sync_groups);
    let changed = after.iter().filter(|group| !before.contains(group));
    let gone = before.iter().filter(|group| !after.iter().any(|other| other.name == group.name));
    changed.chain(gone).map(|group| group.name.clone()).collect()
}

impl RouterName {
    fn of(config: &InstanceConfig) -> Self {
        let interface = config.interface.clone();
        Self { virtual_router_id: config.virtual_router_id, interface }
    }
}

impl fmt::Display for RouterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "virtual router {} on {}", self.virtual_router_id, self.interface)
    }
}

/// One line for each thing that changes.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let awaited = self.awaited.iter().map(|line| format!("not on this machine: {line}"));
        if self.is_empty() {
            let lines: Vec<String> =
                ["nothing changes".to_owned()].into_iter().chain(awaited).collect();
            return f.write_str(&lines.join("\n"));
        }
        let mut lines: Vec<String> = self.instances.iter().map(ToString::to_string).collect();
        let moved = |m: &MovedAddress| format!("{} moves from {} to {}", m.address, m.from, m.to);
        lines.extend(self.moved.iter().map(moved));
        lines.extend(self.tracks.iter().map(ToString::to_string));
        lines.extend(self.sync_groups.iter().map(|name| format!("sync group {name}: changes")));
        if self.nodes {
            lines.push("the list of nodes changes".to_owned());
        }
        if self.control_group {
            lines.push("who may control vipd changes".to_owned());
        }
        lines.extend(awaited);
        f.write_str(&lines.join("\n"))
    }
}

impl fmt::Display for PlannedInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        match &self.change {
            InstanceChange::Unchanged => f.write_str("unchanged"),
            InstanceChange::Starts => f.write_str("new: starts"),
            InstanceChange::Stops => {
                f.write_str("not there any more: hands over where it is active, and stops")
            }
            InstanceChange::Replaced { from, to } => {
                write!(f, "{from} hands over where it is active, and stops; {to} starts")
            }
            InstanceChange::Changed { keys, added, removed } => {
                write!(f, "goes on, with another {}", keys.join(", "))?;
                let signed = |sign: char, all: &[VirtualAddress]| -> Vec<String> {
                    all.iter().map(|address| format!("{sign}{address}")).collect()
                };
                for list in [signed('+', added), signed('-', removed)] {
                    if !list.is_empty() {
                        write!(f, " {}", few(&list, " "))?;
                    }
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for PlannedTrack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "check {}: ", self.name)?;
        f.write_str(match self.change {
            TrackChange::Starts => "new",
            TrackChange::Stops => "not there any more",
            TrackChange::Changed => "changes",
        })
    }
}
