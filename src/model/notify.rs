//! Hooks: what is told, and what is started, when an instance or a sync group changes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// The hooks of an instance or of a sync group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    /// The programs, each by an absolute path with its arguments: no shell reads them.
    pub programs: BTreeMap<Phase, Vec<String>>,
    /// The user that they run as; `None`: the daemon's own, or `nobody` where that is root.
    pub user: Option<String>,
    /// The group, where that is not the user's own.
    pub group: Option<String>,
    /// A named pipe that gets a line for each change of state.
    pub fifo: Option<PathBuf>,
    /// Where the event is posted at each change of state: `http://` or `https://`.
    pub webhook: Option<String>,
    /// How long after one [`Phase::Verify`] the next one starts.
    pub verify_interval: Span,
    /// What takes longer than this is ended, and has failed: at least 10 ms, at most 60 s.
    pub timeout: Span,
    /// How often what has failed is tried again, 0 to 10; programs that are waited for are not.
    pub retries: u8,
}

impl Notify {
    /// A hook's time where the operator gives none.
    pub const TIMEOUT: Span = Span::from_secs(10);

    /// How often it is asked whether the addresses are still this node's, where the operator does
    /// not say.
    pub const VERIFY_INTERVAL: Span = Span::from_secs(30);

    /// The attempts after the first one, where the operator does not say.
    pub const RETRIES: u8 = 2;

    /// Whether there is a program for this.
    pub fn has(&self, phase: Phase) -> bool {
        self.programs.contains_key(&phase)
    }
}

/// When a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// At each change of state, with what keepalived's `notify` gets: `script` in the file.
    Script,
    /// It has won the election; its addresses wait until the program has ended.
    BeforeClaim,
    /// It has the addresses.
    AfterClaim,
    /// A planned departure waits until the program has ended.
    BeforeRelease,
    /// It has let go of the addresses.
    AfterRelease,
    /// It cannot take part.
    OnFault,
    /// Another router that was active, too, has yielded to it.
    OnConflictWon,
    /// While it has the addresses, now and then: are they still its own?
    Verify,
}

impl Phase {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::Script,
        Self::BeforeClaim,
        Self::AfterClaim,
        Self::BeforeRelease,
        Self::AfterRelease,
        Self::OnFault,
        Self::OnConflictWon,
        Self::Verify,
    ];

    /// Its key in the configuration.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::BeforeClaim => "before_claim",
            Self::AfterClaim => "after_claim",
            Self::BeforeRelease => "before_release",
            Self::AfterRelease => "after_release",
            Self::OnFault => "on_fault",
            Self::OnConflictWon => "on_conflict_won",
            Self::Verify => "verify",
        }
    }

    /// Whether it can be about a sync group as a whole; the others are about one instance.
    pub const fn suits_groups(self) -> bool {
        !matches!(self, Self::BeforeRelease | Self::OnConflictWon | Self::Verify)
    }

    /// Whether something waits for it to end.
    pub const fn is_waited_for(self) -> bool {
        matches!(self, Self::BeforeClaim | Self::BeforeRelease)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}
