//! The states of one virtual router (RFC 9568 section 6.3). Each owns its own deadlines, so that a
//! timer of a state that was left cannot fire.

use std::cmp::Ordering;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::outcome::{Departure, Heard};
use super::timing::compare_actives;
use crate::model::Interval;
use crate::time::{Mono, Span};

/// The active router as a backup knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveRouter {
    /// Its address.
    pub source: IpAddr,
    /// Its priority.
    pub priority: u8,
    /// The interval that it advertises.
    pub interval: Interval,
    /// When it was last heard.
    pub heard: Mono,
    /// Whether its last word was that it stops.
    pub stopping: bool,
}

impl ActiveRouter {
    /// Whether it has been silent for so long that every backup must take it for dead.
    pub(super) fn is_gone(&self, now: Mono) -> bool {
        now.since(self.heard) >= self.interval.span().times(4)
    }
}

/// The state, RFC 9568 section 6.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not taking part.
    Initialize,
    /// Watching the active router.
    Backup(Backup),
    /// Holding the addresses.
    Active(Active),
    /// Has said that it stops being active, and answers for the addresses until another router
    /// is (invariant 5, make before break). The RFC has no such state: to the others it is as if
    /// this router were gone.
    Leaving(Leaving),
}

/// What belongs to being backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// When the active router is taken for dead (`Active_Down_Timer`).
    pub active_down: Mono,
    /// The active router, once heard.
    pub active: Option<ActiveRouter>,
    /// Since when only routers of lower priority have been heard.
    pub lower_since: Option<Mono>,
    /// Since when this state lasts.
    pub since: Mono,
    /// Nothing is claimed before (hold-down); the timers run on.
    pub hold_until: Mono,
    /// It has handed the addresses over: it doesn't preempt the one that it gave them to.
    pub handed_over: bool,
}

/// What belongs to being active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Active {
    /// When to advertise next (`Adver_Timer`).
    pub next_advertisement: Mono,
    /// When a lower-priority router was last answered.
    pub answered: Option<Mono>,
    /// When one that yields was last answered.
    pub consoled: Option<Mono>,
    /// By how much the daemon was late when that was too much; until it has heard what came
    /// meanwhile.
    pub held_up: Option<Span>,
}

/// What belongs to leaving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// Why.
    pub why: Departure,
    /// When it began.
    pub since: Mono,
    /// When to say it once more.
    pub again: Option<Mono>,
    /// How long another router is waited for.
    pub until: Mono,
}

impl Backup {
    /// Keeps the best live active router: while two of them fight, the loser's farewell must not
    /// be taken for the winner's.
    pub(super) fn remember(&mut self, now: Mono, heard: Heard) {
        let better = |known: &ActiveRouter| {
            known.source == heard.source
                || known.stopping
                || known.is_gone(now)
                || compare_actives((heard.priority, heard.source), (known.priority, known.source))
                    == Ordering::Greater
        };
        if self.active.as_ref().is_none_or(better) {
            self.active = Some(ActiveRouter {
                source: heard.source,
                priority: heard.priority,
                interval: heard.interval,
                heard: now,
                stopping: false,
            });
        }
    }
}
