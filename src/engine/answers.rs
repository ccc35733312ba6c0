//! The answers to what the operator asks for: handovers, and standby.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::words::{Peer, StateName};
use crate::model::{InstanceName, NodeName};
use crate::time::Span;

/// The answer to [`Input::Handover`](super::Input::Handover).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandoverAnswer {
    /// Another node has the addresses now.
    Done {
        /// Which one.
        to: Peer,
        /// How long it took from the request on.
        took: Span,
    },
    /// Another node has the addresses now, but not the one that was asked for.
    DoneByAnother {
        /// Which one.
        to: Peer,
        /// The one that was asked for.
        wanted: NodeName,
    },
    /// Nothing has moved.
    Refused(HandoverRefusal),
}

/// Why a handover was refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandoverRefusal {
    /// There is no such instance; here are those that there are.
    NoSuchInstance(Vec<InstanceName>),
    /// There is no such node; here are those that there are.
    NoSuchNode(Vec<NodeName>),
    /// The routers advertise from link-local addresses, and this node is listed without its one:
    /// who takes the addresses could not be compared with it.
    NoLinkLocal(NodeName),
    /// The node that should take it is this one.
    OwnNode,
    /// This node does not have the addresses.
    NotActive {
        /// What it is instead.
        state: StateName,
        /// Who has them, as far as this node knows.
        active: Option<Peer>,
    },
    /// The address owner always takes its addresses back.
    AddressOwner,
    /// One is under way already, or the daemon stops.
    Leaving,
    /// It waits for a hook before it takes the addresses itself.
    Pending,
    /// No other node took the addresses within this time.
    Nobody(Span),
    /// No other node took the addresses, and it was not to leave without.
    Unclaimed,
    /// It was called off: the instance could not go on taking part, the daemon stopped, or the
    /// operator wanted it in the election after all.
    CalledOff,
}

impl fmt::Display for HandoverAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done { to, took } => write!(f, "{to} has the addresses now, after {took}"),
            Self::DoneByAnother { to, wanted } => write!(
                f,
                "{to} has the addresses now, not {wanted}: the backup with the highest priority \
                 takes them"
            ),
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl fmt::Display for HandoverRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchInstance(known) => {
                write!(f, "there is no such instance; there are: {}", list(known))
            }
            Self::NoSuchNode(known) => {
                write!(f, "there is no such node; there are: {}", list(known))
            }
            Self::NoLinkLocal(node) => write!(
                f,
                "over IPv6 {node} is known by its link-local address alone: list that under 'nodes', \
                 beside its other address, or name no node"
            ),
            Self::OwnNode => f.write_str("this is that node, and it has the addresses already"),
            Self::NotActive { state, active: Some(active) } => {
                write!(f, "this node is {state}; {active} has the addresses: ask there")
            }
            Self::NotActive { state, active: None } => {
                write!(f, "this node is {state}, and it hears no node that has the addresses")
            }
            Self::AddressOwner => f.write_str(
                "this node owns the addresses (priority 255) and would take them back at once",
            ),
            Self::Leaving => f.write_str("it is being handed over already, or the daemon stops"),
            Self::Pending => {
                f.write_str("it is about to take the addresses, once before_claim has ended")
            }
            Self::Nobody(waited) => write!(
                f,
                "no other node took the addresses within {waited}, so this one has kept them: is \
                 vipd running on another node, and does multicast get through?"
            ),
            Self::Unclaimed => f.write_str(
                "no other node took the addresses, so this one has kept them: is vipd running on \
                 another node, and does multicast get through? (--force gives them up all the same)",
            ),
            Self::CalledOff => f.write_str(
                "it was called off: the instance was in trouble, the daemon stopped, or the \
                 operator wanted it online",
            ),
        }
    }
}

/// The instances that the operator has taken out of the election. It outlives the daemon: the shell
/// keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standby {
    /// All instances, those that a later configuration brings included.
    pub node: bool,
    /// These, by name.
    pub instances: BTreeSet<InstanceName>,
}

impl Standby {
    /// True if it keeps this instance out.
    pub fn covers(&self, name: &InstanceName) -> bool {
        self.node || self.instances.contains(name)
    }

    /// True if nothing is out.
    pub fn is_empty(&self) -> bool {
        !self.node && self.instances.is_empty()
    }
}

/// The answer to [`Input::Standby`](super::Input::Standby) and
/// [`Input::Online`](super::Input::Online).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandbyAnswer {
    /// The instances that are out of the election now.
    pub standby: Standby,
    /// The instances that were active, and who has their addresses now; `None`: this node has heard
    /// nobody take them, and that was accepted, or a fault came between.
    pub moved: Vec<(InstanceName, Option<Peer>)>,
    /// The instances for which nothing has changed, and why.
    pub refused: Vec<(InstanceName, HandoverRefusal)>,
}

/// One line for each instance of which there is something to say, and what is out at the end.
impl fmt::Display for StandbyAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (instance, peer) in &self.moved {
            match peer {
                Some(peer) => writeln!(f, "{instance}: {peer} has the addresses now")?,
                None => writeln!(
                    f,
                    "{instance}: this node has given the addresses up, and has heard nobody take them"
                )?,
            }
        }
        for (instance, refusal) in &self.refused {
            writeln!(f, "{instance}: nothing has changed: {refusal}")?;
        }
        self.standby.fmt(f)
    }
}

impl fmt::Display for Standby {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.node {
            return f.write_str("this node is on standby, with all instances");
        }
        if self.instances.is_empty() {
            return f.write_str("nothing is on standby");
        }
        let names: Vec<&str> = self.instances.iter().map(InstanceName::as_str).collect();
        write!(f, "on standby: {}", names.join(", "))
    }
}

fn list<T: fmt::Display>(names: &[T]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
