//! A router that says that it stops: this one, until another one has taken over, and the one that a
//! backup has followed.

use std::cmp::Ordering;
use std::net::IpAddr;

use super::{
    Active, Departure, Heard, Leaving, Outcome, Predecessor, Priority, Router, Settings, State,
    Takeover, compare_actives, skew_time,
};
use crate::time::{Mono, Span};

/// The farewell is said again after this part of an interval: soon enough to come before the
/// backups' skew times end, where the first one was lost.
const FAREWELL_DISTANCE: u64 = 16;

impl Router {
    /// The planned end of being active: the others are told now, and the addresses stay until one
    /// of them has taken over or none does. [`Outcome::Nothing`] where it isn't active. `takeover`
    /// is how long a takeover may take at the least, once a backup has decided on it. `first` are
    /// the addresses of the router that takes over at once ([`Router::follow_at_once`]), where there
    /// is one.
    pub fn leave(
        &mut self,
        now: Mono,
        why: Departure,
        takeover: Span,
        first: Vec<IpAddr>,
    ) -> Outcome {
        let first = match &mut self.state {
            // What another active router has sent before it heard this says nothing of a takeover.
            State::Active(active) => {
                active.without_rivals(now, first, self.settings.interval.span())
            }
            State::Leaving(leaving) => {
                // A stop while a handover is under way only changes what comes after.
                leaving.why = why;
                return Outcome::Nothing;
            }
            State::Initialize | State::Backup(_) => return Outcome::Nothing,
        };
        let interval = self.settings.interval;
        let lowest = Priority::LOWEST;
        let slowest = skew_time(self.settings.version, lowest, interval);
        let again = interval.span().divided_by(FAREWELL_DISTANCE);
        let margin = interval.span().divided_by(2).max(takeover);
        self.state = State::Leaving(Leaving {
            why,
            since: now,
            again: Some(now + again),
            until: now + again + slowest + margin,
            first,
        });
        Outcome::Farewell
    }

    /// It stays after all: the operator has called off its departure. [`Outcome::Nothing`] where it
    /// is not leaving, or not to come back.
    pub fn stay(&mut self, now: Mono) -> Outcome {
        match &mut self.state {
            State::Leaving(leaving) if leaving.why == Departure::Handover => {
                self.state = State::Active(Active::new(now + self.settings.interval.span()));
                Outcome::Reassert
            }
            // It takes part as after a start: who has its addresses may be preempted.
            State::Backup(backup) => {
                backup.handed_over = false;
                Outcome::Nothing
            }
            State::Initialize | State::Active(_) | State::Leaving(_) => Outcome::Nothing,
        }
    }

    pub(super) fn hear_as_leaving(
        &mut self,
        now: Mono,
        arrived: Mono,
        heard: Heard,
        own: IpAddr,
    ) -> Outcome {
        let State::Leaving(leaving) = &self.state else { return Outcome::Nothing };
        if !self.has_taken_over(leaving, arrived, heard, own) {
            return Outcome::Nothing;
        }
        match leaving.why {
            Departure::Stop => self.state = State::Initialize,
            Departure::Handover => {
                self.become_backup(now, heard);
                if let State::Backup(backup) = &mut self.state {
                    backup.handed_over = true;
                }
            }
        }
        Outcome::Succeeded(heard)
    }

    /// Returns true if this proves that another router answers for the addresses. A router that
    /// outranks this one does: it installs them before it advertises. The first one after this one
    /// takes over at once. Any other router has waited for its skew time since the farewell. An
    /// earlier advertisement was sent by a router that was active beside this one, and that may have
    /// yielded since. Half of the time is enough, because others round it.
    fn has_taken_over(&self, leaving: &Leaving, arrived: Mono, heard: Heard, own: IpAddr) -> bool {
        let Ok(priority) = Priority::try_from(heard.priority) else { return false };
        let ours = (self.settings.priority.get(), own);
        if compare_actives((heard.priority, heard.source), ours) == Ordering::Greater {
            return true;
        }
        let is_first = leaving.first.contains(&heard.source);
        let skew = skew_time(self.settings.version, priority, self.settings.interval);
        let waits = if is_first { Span::ZERO } else { skew.divided_by(2) };
        arrived >= leaving.since + waits
    }

    /// The active router at these addresses has said on one path that it stops: it does so on all.
    /// To be called before that is [heard](Router::hear).
    pub fn stops_on_all_paths(&mut self, is_its_own: impl Fn(IpAddr) -> bool) {
        if let State::Backup(backup) = &mut self.state {
            backup.actives.stop(is_its_own);
        }
    }

    /// The active router has said that it stops, in a packet that arrived then, and this one is the
    /// first to follow: no other one takes over at the same time, so that it need not wait for its
    /// skew time. If the packet has waited for as long as that, because this daemon stood still,
    /// another router may have taken over: it listens for the skew time, as others do.
    pub fn follow_at_once(&mut self, now: Mono, arrived: Mono) {
        let Settings { version, priority, .. } = self.settings;
        if let State::Backup(backup) = &mut self.state
            && backup.actives.all_stop()
            && now.since(arrived) < skew_time(version, priority, backup.interval(&self.settings))
        {
            backup.active_down = backup.active_down.min(now);
        }
    }

    /// The router that stops, if this one takes over from it before the skew time has passed since
    /// its farewell. It advertises again an interval later at the earliest, or at once because its
    /// operator has called the handover off: then it does so an interval later, too.
    pub(super) fn followed_at_once(&self, now: Mono, why: Takeover) -> Option<Predecessor> {
        let State::Backup(backup) = &self.state else { return None };
        let Takeover::Stopped(_) = why else { return None };
        let interval = backup.interval(&self.settings);
        let skew = skew_time(self.settings.version, self.settings.priority, interval);
        let farewell = backup.actives.latest()?.heard;
        (now < farewell + skew).then(|| Predecessor {
            sources: backup.actives.iter().map(|active| active.source).collect(),
            until: farewell + interval.span().divided_by(2),
        })
    }
}
