//! What the state machine is told, and what it answers.

use std::net::IpAddr;

use crate::model::Interval;
use crate::time::Span;

/// A valid advertisement, as far as the election cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Heard {
    /// Who sent it.
    pub source: IpAddr,
    /// Its priority; 0: it stops being active.
    pub priority: u8,
    /// Its interval.
    pub interval: Interval,
    /// On which of the paths it was heard, in the order of the configuration: the first one has the
    /// last word.
    pub path: usize,
}

impl Heard {
    /// The same with an interval that is no longer than this.
    #[must_use]
    pub fn bounded(self, maximum: Interval) -> Self {
        Self { interval: self.interval.min(maximum), ..self }
    }
}

/// What a call led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the state has changed already; the system must follow"]
pub enum Outcome {
    /// Nothing to do.
    Nothing,
    /// Send an advertisement.
    Advertise,
    /// Send an advertisement and announce the addresses again: another router has just claimed
    /// them, and the segment has learnt that it has them.
    Reassert,
    /// Now active: advertise, hold the addresses, announce them.
    TakeOver(Takeover),
    /// Now backup: stop answering for the addresses.
    GiveUp(Heard),
    /// The active-down timer was seen so late that frames may have been missed; it was restarted
    /// instead (DESIGN.md, invariant 2).
    Distrusted(Span),
    /// Now backup: this active router was held up for so long that the others could take it for
    /// dead, and this one has. Let go of the addresses (invariant 2).
    Overslept(Span, Heard),
    /// Leaving: advertise priority 0 (again, multicast can be lost), keep the addresses.
    Farewell,
    /// This router has left, and the other one is active: let go of the addresses.
    Succeeded(Heard),
    /// Nobody has taken over within the bound. After a handover it is active again, which the
    /// others must hear; where it stops, the addresses go now.
    Unclaimed,
}

/// Why a router becomes active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Takeover {
    /// It owns the addresses.
    Owner,
    /// No active router was heard for this long. `None`: there never was one.
    Silence(Option<IpAddr>, Span),
    /// The active router said that it stops.
    Stopped(IpAddr),
    /// The active router has a lower priority, and we preempt. It is still live.
    Preempt(Heard),
}

/// Why an active router leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Departure {
    /// It stops taking part.
    Stop,
    /// The addresses are to move to another router; it goes on as backup.
    Handover,
}
