//! What a hook is told: as arguments that a program for keepalived understands, and as JSON.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::words::{Peer, StateName};
use crate::model::{InstanceName, InterfaceName, NodeName, Phase, Vrid};
use crate::time::Span;

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

/// Who is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
pub struct HookEvent {
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

impl HookEvent {
    /// What keepalived appends to the words of a `notify` program (`keepalived.conf(5)`).
    pub fn arguments(&self) -> [String; 4] {
        [
            "INSTANCE".to_owned(),
            self.instance.to_string(),
            self.state_word().to_owned(),
            self.priority.to_string(),
        ]
    }

    /// What keepalived writes into its `vrrp_notify_fifo`, with the line's end.
    pub fn line(&self) -> String {
        let Self { instance, priority, .. } = self;
        format!("INSTANCE \"{instance}\" {} {priority}\n", self.state_word())
    }

    /// keepalived's word for the state.
    pub fn state_word(&self) -> &'static str {
        match self.state {
            StateName::Active => "MASTER",
            StateName::Backup => "BACKUP",
            StateName::Fault => "FAULT",
            // Who steps down for maintenance has so far stopped keepalived.
            StateName::Standby | StateName::Stopped => "STOP",
        }
    }
}

/// Who was told, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
