//! What a hook is told: as arguments that a program for keepalived understands, and as JSON.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::words::{Peer, StateName};
use crate::hash::hash_by;
use crate::model::{GroupName, InstanceName, InterfaceName, NodeName, Phase, Vrid};
use crate::time::Span;

/// Whose a hook is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookOwner {
    /// An instance's.
    Instance(InstanceName),
    /// A sync group's.
    Group(GroupName),
}

/// The name; a group's after what it is.
impl fmt::Display for HookOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance(name) => name.fmt(f),
            Self::Group(name) => write!(f, "sync group {name}"),
        }
    }
}

/// One hook, to be carried out once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookCall {
    /// Who is told.
    pub target: HookTarget,
    /// What it is told.
    pub event: HookEvent,
    /// It has failed when it has not ended by then.
    pub timeout: Span,
}

hash_by!(HookCall { target, timeout } without { event });

/// Who is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookTarget {
    /// A program: these words, then [`HookEvent::arguments`]; the event as JSON on its standard
    /// input.
    Program {
        /// Its absolute path and its arguments.
        command: Vec<String>,
        /// The user that it runs as; `None`: the daemon's own, or `nobody` where that is root.
        user: Option<String>,
        /// The group, where that is not the user's own.
        group: Option<String>,
    },
    /// A named pipe gets [`HookEvent::line`].
    Fifo(PathBuf),
    /// The event as JSON is posted there.
    Webhook(String),
}

/// What has happened. Its JSON is an interface: fields may be added, none is renamed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HookEvent {
    /// To an instance.
    Instance(InstanceEvent),
    /// To a sync group as a whole.
    Group(GroupEvent),
}

/// What has happened to an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceEvent {
    /// What this is about.
    pub phase: Phase,
    /// The instance.
    pub instance: InstanceName,
    /// This node, where the configuration lists the nodes.
    pub node: Option<NodeName>,
    /// The interface of the instance.
    pub interface: InterfaceName,
    /// Its number on the wire.
    pub virtual_router_id: Vrid,
    /// Its state now.
    pub state: StateName,
    /// Its priority now, what its checks cost taken off.
    pub priority: u8,
    /// The addresses that move, with their prefix lengths.
    pub addresses: Vec<String>,
    /// The reason for the state, for people.
    pub why: String,
    /// The active router, where this one is not it and hears one.
    pub active: Option<Peer>,
    /// When it happened, in milliseconds since 1970.
    pub time_ms: u64,
}

/// What has happened to a sync group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupEvent {
    /// What this is about.
    pub phase: Phase,
    /// The group.
    pub group: GroupName,
    /// This node, where the configuration lists the nodes.
    pub node: Option<NodeName>,
    /// The state of the group now.
    pub state: StateName,
    /// The priority that its members have in common, what their checks cost taken off.
    pub priority: u8,
    /// Its instances, in the order of the configuration.
    pub members: Vec<GroupMember>,
    /// The reason for the state, for people.
    pub why: String,
    /// When it happened, in milliseconds since 1970.
    pub time_ms: u64,
}

/// An instance as a member of a sync group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMember {
    /// Its name.
    pub instance: InstanceName,
    /// Its interface.
    pub interface: InterfaceName,
    /// Its number on the wire.
    pub virtual_router_id: Vrid,
    /// Its state now.
    pub state: StateName,
    /// The addresses that move, with their prefix lengths.
    pub addresses: Vec<String>,
    /// The active router, where this one is not it and hears one.
    pub active: Option<Peer>,
}

impl HookEvent {
    /// What keepalived appends to the words of a `notify` program (`keepalived.conf(5)`). The
    /// priority of a group is 0 there, as seen with keepalived 2.2.7 and as its `vrrp_notify.c`
    /// says; so it is here.
    pub fn arguments(&self) -> [String; 4] {
        let (kind, name, priority) = self.words();
        [kind, name, self.state_word(), &priority.to_string()].map(str::to_owned)
    }

    /// What keepalived writes into its `vrrp_notify_fifo`, with the line's end.
    pub fn line(&self) -> String {
        let (kind, name, priority) = self.words();
        format!("{kind} \"{name}\" {} {priority}\n", self.state_word())
    }

    fn words(&self) -> (&'static str, &str, u8) {
        match self {
            Self::Instance(event) => ("INSTANCE", event.instance.as_str(), event.priority),
            Self::Group(event) => ("GROUP", event.group.as_str(), 0),
        }
    }

    /// keepalived's word for the state.
    pub fn state_word(&self) -> &'static str {
        match self.state() {
            StateName::Active => "MASTER",
            StateName::Backup => "BACKUP",
            StateName::Fault => "FAULT",
            // Who steps down for maintenance has so far stopped keepalived.
            StateName::Standby | StateName::Stopped => "STOP",
        }
    }

    /// The state that it is about.
    pub fn state(&self) -> StateName {
        match self {
            Self::Instance(event) => event.state,
            Self::Group(event) => event.state,
        }
    }

    /// What this is about.
    pub fn phase(&self) -> Phase {
        match self {
            Self::Instance(event) => event.phase,
            Self::Group(event) => event.phase,
        }
    }

    /// The same as the program for another phase gets it.
    pub(super) fn in_phase(&self, phase: Phase) -> Self {
        match self.clone() {
            Self::Instance(event) => Self::Instance(InstanceEvent { phase, ..event }),
            Self::Group(event) => Self::Group(GroupEvent { phase, ..event }),
        }
    }
}

/// Who was told, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookName {
    /// The program for this.
    Program(Phase),
    /// The named pipe.
    Fifo,
    /// The webhook.
    Webhook,
}

impl fmt::Display for HookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(phase) => phase.fmt(f),
            Self::Fifo => f.write_str("fifo"),
            Self::Webhook => f.write_str("webhook"),
        }
    }
}
