//! The states of one virtual router (RFC 9568 section 6.3). Each owns its own deadlines, so that a
//! timer of a state that was left cannot fire.

use std::net::IpAddr;

use super::actives::{Actives, Tie};
use super::outcome::{Departure, Heard};
use super::settings::Settings;
use super::timing::{active_down_interval, skew_time};
use crate::hash::hash_by;
use crate::model::{Interval, Preempt, Priority};
use crate::time::{Mono, Span};

/// The state, RFC 9568 section 6.3.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    pub actives: Actives,
    /// That only routers of lower priority have been heard lately.
    pub lower: Option<Lower>,
    /// Since when this state lasts.
    pub since: Mono,
    /// Nothing is claimed before (hold-down); the timers run on.
    pub hold_until: Mono,
    /// It has handed the addresses over: it doesn't preempt the one that it gave them to.
    pub handed_over: bool,
}

hash_by!(Backup { active_down, actives, lower, hold_until, handed_over } without { since });

/// Only routers of lower priority were heard for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lower {
    /// Since then.
    pub since: Mono,
    /// When one was heard again, about an interval later: a single advertisement lasts for no time.
    pub again: Option<Mono>,
}

impl Lower {
    /// Heard for the first time.
    pub(super) const fn since(now: Mono) -> Self {
        Self { since: now, again: None }
    }

    /// When that has lasted for `delay`, as far as it is known.
    pub(super) fn preempted_at(self, delay: Span) -> Option<Mono> {
        self.again.map(|again| again.max(self.since + delay))
    }
}

/// What belongs to being active.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    /// Another active router with the same priority.
    pub tie: Tie,
    /// The others that are active, and have not said that they stop.
    pub rivals: Vec<Rival>,
    /// The router that this one has followed without waiting for its skew time.
    pub predecessor: Option<Predecessor>,
}

/// A router that has said that it stops, and that was followed at once. Its last advertisement may
/// still be under way on another path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Predecessor {
    /// Its addresses on the paths on which it was heard.
    pub sources: Vec<IpAddr>,
    /// What it has sent before its farewell has arrived by then.
    pub until: Mono,
}

/// Another router that was active beside this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rival {
    /// Its address.
    pub source: IpAddr,
    /// When it was last heard.
    pub heard: Mono,
}

impl Active {
    /// More than any group has. Where somebody forges that many, no advertisement is believed to be a
    /// takeover before half of a skew time has passed, as without `nodes`.
    const MOST_RIVALS: usize = 8;

    /// Became active, and advertises then.
    pub(super) const fn new(next_advertisement: Mono) -> Self {
        let tie = Tie(None);
        Self {
            next_advertisement,
            answered: None,
            consoled: None,
            held_up: None,
            tie,
            rivals: Vec::new(),
            predecessor: None,
        }
    }

    /// True if this was sent before a farewell that has come on another path, or has overtaken it.
    pub(super) fn is_outdated(&self, arrived: Mono, heard: Heard) -> bool {
        let predecessor = self.predecessor.as_ref().filter(|one| arrived < one.until);
        heard.priority > 0 && predecessor.is_some_and(|one| one.sources.contains(&heard.source))
    }

    /// Another router is active, or (priority 0) no longer: what it sends after that is of a new
    /// takeover.
    pub(super) fn hears_rival(&mut self, now: Mono, heard: Heard, interval: Span) {
        self.forget_silent_rivals(now, interval);
        self.rivals.retain(|rival| rival.source != heard.source);
        if heard.priority > 0 && self.rivals.len() < Self::MOST_RIVALS {
            self.rivals.push(Rival { source: heard.source, heard: now });
        }
    }

    /// Those of these addresses whose router was not active beside this one just now.
    pub(super) fn without_rivals(
        &mut self,
        now: Mono,
        mut addresses: Vec<IpAddr>,
        interval: Span,
    ) -> Vec<IpAddr> {
        self.forget_silent_rivals(now, interval);
        if self.rivals.len() == Self::MOST_RIVALS {
            return Vec::new();
        }
        addresses.retain(|address| self.rivals.iter().all(|rival| rival.source != *address));
        addresses
    }

    fn forget_silent_rivals(&mut self, now: Mono, interval: Span) {
        self.rivals.retain(|rival| now.since(rival.heard) < interval.times(4));
    }
}

/// What belongs to leaving.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Leaving {
    /// Why.
    pub why: Departure,
    /// When it began.
    pub since: Mono,
    /// When to say it once more.
    pub again: Option<Mono>,
    /// How long another router is waited for.
    pub until: Mono,
    /// The addresses of the router that takes over without waiting for its skew time.
    pub first: Vec<IpAddr>,
}

impl Backup {
    /// Keeps the best live active router of each path: while two of them fight, the loser's farewell
    /// must not be taken for the winner's.
    pub(super) fn remember(&mut self, now: Mono, heard: Heard) {
        self.actives.remember(now, heard);
    }

    /// The interval to wait by.
    pub(super) fn interval(&self, settings: &Settings) -> Interval {
        self.actives.interval(settings)
    }

    /// A router of lower priority was heard, which advertises at this interval. A second one within
    /// half of it is a repetition, or has come on another path.
    pub(super) fn hears_lower(&mut self, now: Mono, interval: Interval) {
        let lower = self.lower.get_or_insert(Lower::since(now));
        if now.since(lower.since) >= interval.span().divided_by(2) {
            lower.again.get_or_insert(now);
        }
    }

    /// The active router is there as a last resort: this one takes over as after a farewell, so
    /// that the best of the healthy ones does.
    pub(super) fn relieve(&mut self, now: Mono, settings: &Settings) {
        let skew = skew_time(settings.version, settings.priority, self.interval(settings));
        self.lower.get_or_insert(Lower::since(now));
        self.active_down = self.active_down.min(now + skew);
    }

    /// The priority was `old` and is now what the settings say.
    pub(super) fn set_priority(&mut self, now: Mono, settings: &Settings, old: Priority) {
        let (version, priority) = (settings.version, settings.priority);
        let interval = self.interval(settings);
        // The same silence, and another skew time.
        let shifted = self.active_down - skew_time(version, old, interval)
            + skew_time(version, priority, interval);
        let Some(active) = self.actives.first().copied().filter(|active| !active.stopping) else {
            self.active_down = shifted;
            return;
        };
        let lower = active.priority < priority.get();
        self.lower = lower.then(|| self.lower.unwrap_or(Lower::since(now)));
        if settings.relieve(active.priority) {
            return self.relieve(now, settings);
        }
        let runs_on = lower && settings.preempt == Preempt::Always && !self.handed_over;
        self.active_down = if runs_on {
            shifted
        } else {
            active.heard + active_down_interval(version, priority, interval)
        };
    }
}
