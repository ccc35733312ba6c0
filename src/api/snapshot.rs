//! What the status socket says.

use serde::{Deserialize, Serialize};

use crate::engine::Status;
use crate::engine::story::Severity;
use crate::histogram::Histogram;
use crate::model::InstanceName;
use crate::time::{Span, Wall};

/// All that there is to know about a daemon, at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The format of this object: raised where a reader of an older one would misunderstand it, not
    /// where something is added.
    pub format: u32,
    /// The daemon's version.
    pub vipd: String,
    /// When this was written.
    pub taken: Wall,
    /// When the daemon started.
    pub started: Wall,
    /// The daemon's process.
    pub process: u32,
    /// What `systemctl status` shows.
    pub text: String,
    /// Instances, checks and what else the engine knows.
    #[serde(flatten)]
    pub status: Status,
    /// The configuration's file.
    pub file: FileStatus,
    /// How the protocol loop keeps time.
    #[serde(rename = "loop")]
    pub protocol_loop: LoopStatus,
    /// What the system has refused the daemon, for people; empty where all is well.
    pub notes: Vec<String>,
    /// What happened last, the oldest first: the lines of the log, without those for debugging.
    pub events: Vec<EventRecord>,
}

impl Snapshot {
    /// The format that this version writes and reads.
    pub const FORMAT: u32 = 1;

    /// How long before this was written a point in time was.
    pub fn since(&self, then: Wall) -> Span {
        self.taken.since(then)
    }
}

/// The configuration's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStatus {
    /// Where it is.
    pub path: String,
    /// When the configuration in effect was read.
    pub loaded: Wall,
    /// Why the last attempt to read another one was refused: a line for each thing that is wrong;
    /// empty where it was not.
    pub refused: Vec<String>,
    /// The things that the configuration in effect needs and this machine does not have (yet), one
    /// line each. vipd keeps looking for them.
    #[serde(default)]
    pub awaited: Vec<String>,
}

/// How the protocol loop keeps time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopStatus {
    /// How late its alarm rang, each time that it did.
    pub lateness: Histogram,
    /// How often it was held up for half an advertisement interval or more.
    pub held_up: u64,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Counts from 1 since the daemon started; where some are missing, they are forgotten.
    pub number: u64,
    /// When.
    pub at: Wall,
    /// How loudly it is told.
    pub severity: Severity,
    /// Which instance it is about; `None`: the node as a whole.
    pub instance: Option<InstanceName>,
    /// What happened, for people, without the instance's name.
    pub text: String,
}
