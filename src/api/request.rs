//! What the control socket takes, and its answers.

use serde::{Deserialize, Serialize};

use crate::config::Problem;
use crate::engine::{HandoverAnswer, Plan, ProbeResult, StandbyAnswer};
use crate::model::{InstanceName, NodeName, TrackName};
use crate::time::Span;

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Move an instance's addresses to another node without a gap.
    Handover(Handover),
    /// Take an instance, or all, out of the election until [`Request::Online`]. It hands over first,
    /// and stays out also after a restart of the daemon or the machine.
    Standby(Standby),
    /// Put an instance, or all, back into the election.
    Online(Online),
    /// Read the configuration again, or only say what would change.
    Reload(Reload),
    /// Look once at what a check is about, as the daemon does.
    Probe(Probe),
}

/// Which handover is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handover {
    /// The instance.
    pub instance: InstanceName,
    /// The node that is to take it; `None`: whichever does.
    pub to: Option<NodeName>,
}

/// What is to be taken out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standby {
    /// The instance, with its sync group; `None`: all of them, also later ones.
    pub instance: Option<InstanceName>,
    /// Whether addresses that no other node takes are given up all the same.
    #[serde(default)]
    pub force: bool,
}

/// What is to be put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Online {
    /// The instance, with its sync group; `None`: all of them.
    pub instance: Option<InstanceName>,
}

/// How to reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reload {
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// Which check is to look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// The check.
    pub track: TrackName,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// The answer to [`Request::Handover`].
    Handover(HandoverAnswer),
    /// The answer to [`Request::Standby`] and [`Request::Online`].
    Standby(Stood),
    /// The answer to [`Request::Reload`].
    Reload(Reloaded),
    /// The answer to [`Request::Probe`].
    Probe(Probed),
    /// The request was not dealt with, or nothing is known of what came of it: why, for people.
    Error(String),
    /// This user may not ask: why, and who may.
    Forbidden(String),
}

/// What is out of the election now, and whether it stays so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stood {
    /// What the engine says.
    #[serde(flatten)]
    pub answer: StandbyAnswer,
    /// Why this does not outlive the daemon: it could not be written down. `None`: it does.
    pub not_kept: Option<String>,
}

/// How a reload ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reloaded {
    /// The new configuration is in effect.
    Done(Box<Plan>),
    /// It was not wanted; this is what it would do.
    Planned(Box<Plan>),
    /// The file is refused, and nothing has changed.
    Refused(BadFile),
}

/// Why a configuration was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadFile {
    /// All that is wrong with it.
    pub problems: Vec<Problem>,
    /// Why it could not be read at all.
    pub error: Option<String>,
}

/// What a look has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// What.
    pub result: ProbeResult,
    /// How long it took.
    pub took: Span,
}
