//! The words that the pages of the contract have in common.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{Config, NodeName};

/// The states of an instance as people see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateName {
    /// Not started yet, or stopped.
    Stopped,
    /// Cannot take part.
    Fault,
    /// Watching the active router.
    Backup,
    /// Holding the addresses.
    Active,
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stopped => "stopped",
            Self::Fault => "fault",
            Self::Backup => "backup",
            Self::Active => "active",
        })
    }
}

/// Another router, with its name where the configuration lists its address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Peer {
    /// The address that its advertisements come from.
    pub address: IpAddr,
    /// Its name under `nodes`.
    pub name: Option<NodeName>,
}

impl Peer {
    /// The router with this address.
    pub fn new(config: &Config, address: IpAddr) -> Self {
        Self { address, name: config.node_at(address).cloned() }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} ({})", self.address),
            None => self.address.fmt(f),
        }
    }
}

/// What the system said to an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemError {
    /// The number (`errno(3)`), zero where there is none.
    pub errno: i32,
    /// The text.
    pub text: String,
}
