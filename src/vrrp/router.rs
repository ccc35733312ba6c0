//! The state machine of one virtual router (RFC 9568 section 6.4, RFC 3768 section 6.4).
//!
//! It knows neither packets nor addresses: it is told of valid advertisements and of time, and
//! each call has at most one [`Outcome`]. Each state owns its own deadlines, so that a timer of
//! a state that was left cannot fire.

use std::cmp::Ordering;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::timing::{active_down_interval, compare_actives, skew_time};
use crate::model::{InstanceConfig, Interval, Preempt, Priority, Version};
use crate::time::{Mono, Span};

/// What the election depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which standard's times apply.
    pub version: Version,
    /// Ours.
    pub priority: Priority,
    /// How often we advertise.
    pub interval: Interval,
    /// The longest interval that we learn from an active router.
    pub maximum_interval: Interval,
    /// Whether we take over from a live active router of lower priority.
    pub preempt: Preempt,
}

impl From<&InstanceConfig> for Settings {
    fn from(config: &InstanceConfig) -> Self {
        Self {
            version: config.version,
            priority: config.priority,
            interval: config.advertisement_interval,
            maximum_interval: config.maximum_interval,
            preempt: config.preempt,
        }
    }
}

/// A valid advertisement, as far as the election cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Who sent it.
    pub source: IpAddr,
    /// Its priority; 0: it stops being active.
    pub priority: u8,
    /// Its interval.
    pub interval: Interval,
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
}

/// Why a router becomes active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    fn is_gone(&self, now: Mono) -> bool {
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
}

/// What belongs to being active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Active {
    /// When to advertise next (`Adver_Timer`).
    pub next_advertisement: Mono,
    /// When a lower-priority router was last answered.
    pub answered: Option<Mono>,
}

/// One virtual router.
#[derive(Clone, Debug)]
pub struct Router {
    settings: Settings,
    state: State,
}

impl Router {
    /// A router that does not take part yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, state: State::Initialize }
    }

    /// The *Startup* event (RFC 9568 section 6.4.1). Nothing is claimed before `hold_until`,
    /// except by the address owner.
    pub fn start(&mut self, now: Mono, hold_until: Mono) -> Outcome {
        if self.settings.priority.is_owner() {
            return self.become_active(now, Takeover::Owner);
        }
        self.state = State::Backup(Backup {
            active_down: now + self.active_down_interval(self.settings.interval),
            active: None,
            lower_since: None,
            since: now,
            hold_until,
        });
        Outcome::Nothing
    }

    /// The *Shutdown* event. The caller sends priority 0 if the router was active.
    pub fn shut_down(&mut self) {
        self.state = State::Initialize;
    }

    /// A valid advertisement of another router, while our own source address is `own`.
    pub fn hear(&mut self, now: Mono, heard: Heard, own: IpAddr) -> Outcome {
        match &self.state {
            State::Initialize => Outcome::Nothing,
            State::Backup(_) => {
                self.hear_as_backup(now, heard);
                Outcome::Nothing
            }
            State::Active(_) => self.hear_as_active(now, heard, own),
        }
    }

    /// RFC 9568 section 6.4.2, lines (420) to (470).
    fn hear_as_backup(&mut self, now: Mono, heard: Heard) {
        let settings = self.settings;
        let State::Backup(backup) = &mut self.state else { return };
        if heard.priority == 0 {
            // It counts only from the active router: a third one's must not make us claim.
            if let Some(active) = backup.active.as_mut().filter(|a| a.source == heard.source) {
                let interval = active.interval.min(settings.maximum_interval);
                active.heard = now;
                active.stopping = true;
                backup.active_down = now + skew_time(settings.version, settings.priority, interval);
            }
            return;
        }
        backup.remember(now, heard);
        let lower = heard.priority < settings.priority.get();
        if !lower {
            backup.lower_since = None;
        } else if backup.lower_since.is_none() {
            backup.lower_since = Some(now);
        }
        if lower && settings.preempt == Preempt::Always {
            return; // the timer runs on, and when it fires we take over
        }
        let interval = heard.interval.min(settings.maximum_interval);
        backup.active_down =
            now + active_down_interval(settings.version, settings.priority, interval);
    }

    /// RFC 9568 section 6.4.3, lines (715) to (780).
    fn hear_as_active(&mut self, now: Mono, heard: Heard, own: IpAddr) -> Outcome {
        let interval = self.settings.interval.span();
        let priority = self.settings.priority.get();
        let State::Active(active) = &mut self.state else { return Outcome::Nothing };
        let rate_limited = active.answered.is_some_and(|at| now.since(at) < interval.divided_by(2));
        if heard.priority == 0 {
            // Another active router leaves: its backups must hear us before their skew time ends.
            if rate_limited {
                return Outcome::Nothing;
            }
            active.answered = Some(now);
            active.next_advertisement = now + interval;
            return Outcome::Advertise;
        }
        if compare_actives((heard.priority, heard.source), (priority, own)) == Ordering::Greater {
            self.become_backup(now, heard);
            return Outcome::GiveUp(heard);
        }
        // Answered so that the other one and the bridges learn, but not as often as somebody
        // likes to ask: one forged frame must not cost an advertisement and an announcement.
        if rate_limited {
            return Outcome::Nothing;
        }
        active.answered = Some(now);
        Outcome::Reassert
    }

    fn become_backup(&mut self, now: Mono, heard: Heard) {
        let interval = heard.interval.min(self.settings.maximum_interval);
        let mut backup = Backup {
            active_down: now + self.active_down_interval(interval),
            active: None,
            lower_since: None,
            since: now,
            hold_until: now,
        };
        backup.remember(now, heard);
        self.state = State::Backup(backup);
    }

    fn become_active(&mut self, now: Mono, why: Takeover) -> Outcome {
        self.state = State::Active(Active {
            next_advertisement: now + self.settings.interval.span(),
            answered: None,
        });
        Outcome::TakeOver(why)
    }

    /// When [`Router::fire`] is due, and for which timer.
    pub fn deadline(&self) -> Option<(Mono, &'static str)> {
        match &self.state {
            State::Initialize => None,
            State::Active(active) => Some((active.next_advertisement, "advertisement")),
            State::Backup(backup) => {
                let (at, why) = self.claim_time(backup);
                Some((at.max(backup.hold_until), why))
            }
        }
    }

    /// When a backup claims the addresses, hold-down aside.
    fn claim_time(&self, backup: &Backup) -> (Mono, &'static str) {
        let down = (backup.active_down, "active-down");
        match (self.settings.preempt, backup.lower_since) {
            (Preempt::After(delay), Some(since)) if since + delay < backup.active_down => {
                (since + delay, "preemption delay")
            }
            _ => down,
        }
    }

    /// The deadline has come. Nothing happens if it has not.
    pub fn fire(&mut self, now: Mono) -> Outcome {
        let Some((at, _)) = self.deadline().filter(|(at, _)| *at <= now) else {
            return Outcome::Nothing;
        };
        match &mut self.state {
            State::Initialize => Outcome::Nothing,
            State::Active(active) => {
                let interval = self.settings.interval.span();
                let next = active.next_advertisement + interval;
                // Keep the beat, but never send a burst to catch up.
                active.next_advertisement = if next > now { next } else { now + interval };
                Outcome::Advertise
            }
            State::Backup(_) => self.claim(now, at),
        }
    }

    /// A backup's deadline, which was due `at`: take over, unless the loop itself was so late
    /// that the advertisements may have come while nobody was listening.
    fn claim(&mut self, now: Mono, at: Mono) -> Outcome {
        let State::Backup(backup) = &mut self.state else { return Outcome::Nothing };
        let interval = backup
            .active
            .map_or(self.settings.interval, |a| a.interval.min(self.settings.maximum_interval));
        let late = now.since(at);
        if late > interval.span() {
            backup.active_down =
                now + active_down_interval(self.settings.version, self.settings.priority, interval);
            backup.lower_since = None;
            return Outcome::Distrusted(late);
        }
        let why = match backup.active {
            None => Takeover::Silence(None, now.since(backup.since)),
            Some(active) if active.stopping => Takeover::Stopped(active.source),
            Some(active)
                if active.priority < self.settings.priority.get() && !active.is_gone(now) =>
            {
                Takeover::Preempt(Heard {
                    source: active.source,
                    priority: active.priority,
                    interval: active.interval,
                })
            }
            Some(active) => Takeover::Silence(Some(active.source), now.since(active.heard)),
        };
        self.become_active(now, why)
    }

    /// The state with its deadlines.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Whether it holds the addresses.
    pub fn is_active(&self) -> bool {
        matches!(self.state, State::Active(_))
    }

    /// The priority that it advertises and compares with.
    pub fn priority(&self) -> Priority {
        self.settings.priority
    }

    fn active_down_interval(&self, interval: Interval) -> Span {
        active_down_interval(self.settings.version, self.settings.priority, interval)
    }
}

impl Backup {
    /// Keeps the best live active router: while two of them fight, the loser's farewell must not
    /// be taken for the winner's.
    fn remember(&mut self, now: Mono, heard: Heard) {
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

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
