//! The words that the pages of the contract have in common.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{Config, NodeName, TrackName};
use crate::time::Span;

/// The states of an instance as people see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateName {
    /// Not started yet, or stopped.
    Stopped,
    /// Cannot take part.
    Fault,
    /// Taken out of the election by the operator.
    Standby,
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
            Self::Standby => "standby",
            Self::Backup => "backup",
            Self::Active => "active",
        })
    }
}

/// How much is kept of what a program said, in characters.
const LONGEST_TEXT: usize = 200;

/// What a program said, as one line of bounded length: it may print anything.
pub(super) fn shown(text: &str) -> String {
    let short = text.trim().chars().take(LONGEST_TEXT);
    short.map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Another router, with its name where the configuration lists its address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

/// Why a check counts as failing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackFailure {
    /// It has not passed often enough since the daemon started or the configuration got it.
    Untried,
    /// This is what it found, when it began to fail.
    Failed(String),
    /// It has changed too often.
    Flapping {
        /// So many times.
        changes: u8,
        /// Within this time.
        within: Span,
    },
}

/// To follow the name of the check.
impl fmt::Display for TrackFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untried => f.write_str("has not passed yet"),
            Self::Failed(reason) => write!(f, "fails: {reason}"),
            Self::Flapping { changes, within } => {
                write!(
                    f,
                    "is flapping, with {changes} changes within {within}: it counts as failing"
                )
            }
        }
    }
}

/// Why an instance takes part with another priority than its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lowered {
    /// These checks fail, and this is what each costs.
    Costs(Vec<(TrackName, u8)>),
    /// This check fails, and the addresses are to be kept where no healthy router is active.
    LastResort(TrackName, TrackFailure),
}

impl fmt::Display for Lowered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Costs(costs) => {
                for (place, (track, cost)) in costs.iter().enumerate() {
                    let comma = if place > 0 { ", " } else { "" };
                    write!(f, "{comma}check {track} fails and costs {cost}")?;
                }
                Ok(())
            }
            Self::LastResort(track, failure) => write!(f, "a last resort, check {track} {failure}"),
        }
    }
}

/// What the system said to an action.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SystemError {
    /// The number (`errno(3)`), zero where there is none.
    pub errno: i32,
    /// The text.
    pub text: String,
}

/// So many of a list are named in a line; of more the first ones, and how many there are.
const NAMED: usize = 8;

/// `10.0.0.100/24, 10.0.0.101/24`, or of many the first ones: `..., and 992 more`.
pub fn few<T: fmt::Display>(all: &[T], between: &str) -> String {
    let shown = if all.len() > NAMED + 1 { NAMED } else { all.len() };
    let mut text: Vec<String> = all.iter().take(shown).map(ToString::to_string).collect();
    if shown < all.len() {
        text.push(format!("and {} more", all.len() - shown));
    }
    text.join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a long list is cut where that saves more than it hides.
    #[test]
    fn of_many_the_first_ones_are_named() {
        let all: Vec<u32> = (1..=1000).collect();
        assert_eq!(few(&all, ", "), "1, 2, 3, 4, 5, 6, 7, 8, and 992 more");
        assert_eq!(few(&all[..9], " "), "1 2 3 4 5 6 7 8 9");
        assert_eq!(few(&all[..0], " "), "");
    }
}
