//! The state machine of one virtual router (RFC 9568 section 6.4, RFC 3768 section 6.4).
//!
//! It knows neither packets nor addresses: it is told of valid advertisements and of time, and
//! each call has at most one [`Outcome`]. Each state owns its own deadlines, so that a timer of
//! a state that was left cannot fire.

mod deadline;
mod departure;

use std::cmp::Ordering;
use std::net::IpAddr;

pub use super::actives::{ActiveRouter, Actives};
pub use super::outcome::{Departure, Heard, Outcome, Takeover};
pub use super::settings::Settings;
pub use super::state::{Active, Backup, Leaving, Lower, Predecessor, State};
pub use super::timer::Timer;
use super::timing::{active_down_interval, compare_actives, skew_time};
use crate::model::{Interval, Preempt, Priority};
use crate::time::{Mono, Span};

/// One virtual router.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Router {
    settings: Settings,
    state: State,
    /// A backup claims nothing before: what the others of its sync group wait for.
    claim_not_before: Mono,
}

impl Router {
    /// A router that does not take part yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, state: State::Initialize, claim_not_before: Mono(0) }
    }

    /// The *Startup* event (RFC 9568 section 6.4.1). Nothing is claimed before `hold_until`,
    /// except by the address owner.
    pub fn start(&mut self, now: Mono, hold_until: Mono) -> Outcome {
        if self.settings.priority.is_owner() {
            return self.become_active(now, Takeover::Owner);
        }
        self.state = State::Backup(Backup {
            active_down: now + self.active_down_interval(self.settings.interval),
            actives: Actives::default(),
            lower: None,
            since: now,
            hold_until,
            handed_over: false,
        });
        Outcome::Nothing
    }

    /// The *Shutdown* event, at once. The caller sends priority 0 if the router was active.
    pub fn shut_down(&mut self) {
        self.state = State::Initialize;
    }

    /// Other settings hold from now on; the state stays. Returns whether an advertisement is due,
    /// because what this active router says of itself has changed.
    pub fn reconfigure(&mut self, now: Mono, settings: Settings) -> bool {
        let old = std::mem::replace(&mut self.settings, settings);
        if old == settings {
            return false;
        }
        match &mut self.state {
            State::Initialize | State::Leaving(_) => false,
            State::Active(active) => {
                active.next_advertisement = now + settings.interval.span();
                true
            }
            State::Backup(backup) => {
                // The same silence, and other times: a reload must not put a takeover off.
                let patience = |backup: &Backup, settings: &Settings| {
                    let interval = backup.interval(settings);
                    active_down_interval(settings.version, settings.priority, interval)
                };
                let silent_since = backup.active_down - patience(backup, &old);
                backup.actives.bound(settings.maximum_interval);
                backup.active_down = (silent_since + patience(backup, &settings)).max(now);
                backup.lower = backup
                    .actives
                    .first()
                    .filter(|active| active.priority < settings.priority.get())
                    .map(|_| backup.lower.unwrap_or(Lower::since(now)));
                false
            }
        }
    }

    /// Changes the priority because of a check. A check that comes and goes must not delay a
    /// takeover again and again. Returns whether an advertisement is due.
    pub fn set_priority(&mut self, now: Mono, priority: Priority) -> bool {
        let old = std::mem::replace(&mut self.settings.priority, priority);
        let settings = self.settings;
        match &mut self.state {
            State::Initialize | State::Leaving(_) => false,
            State::Active(active) => {
                active.next_advertisement = now + settings.interval.span();
                old != priority
            }
            State::Backup(backup) => {
                backup.set_priority(now, &settings, old);
                false
            }
        }
    }

    /// A valid advertisement of another router, which arrived a little earlier than now, while our
    /// own source address is `own`.
    pub fn hear(&mut self, now: Mono, arrived: Mono, heard: Heard, own: IpAddr) -> Outcome {
        let arrived = arrived.min(now);
        // Whatever is remembered of a router lasts no longer than the bound allows.
        let heard = heard.bounded(self.settings.maximum_interval);
        match &self.state {
            State::Initialize => Outcome::Nothing,
            State::Backup(_) => {
                self.hear_as_backup(now, arrived, heard);
                Outcome::Nothing
            }
            State::Active(active) if active.is_outdated(arrived, heard) => Outcome::Nothing,
            State::Active(_) => self.hear_as_active(now, heard, own),
            State::Leaving(_) => self.hear_as_leaving(now, arrived, heard, own),
        }
    }

    /// RFC 9568 section 6.4.2, lines (420) to (470).
    ///
    /// The silence of the active router began when its packet arrived; the timer runs from now,
    /// when this node was able to listen again.
    fn hear_as_backup(&mut self, now: Mono, arrived: Mono, heard: Heard) {
        let settings = self.settings;
        let State::Backup(backup) = &mut self.state else { return };
        if heard.priority == 0 {
            if backup.actives.stops(now, arrived, heard) {
                let interval = backup.interval(&settings);
                backup.active_down = now + skew_time(settings.version, settings.priority, interval);
            }
            return;
        }
        backup.remember(arrived, heard);
        if backup.actives.is_known(heard) && settings.relieve(heard.priority) {
            return backup.relieve(now, &settings);
        }
        let lower = heard.priority < settings.priority.get();
        let preempt = if backup.handed_over { Preempt::Never } else { settings.preempt };
        if lower {
            backup.hears_lower(now, heard.interval);
        } else {
            backup.lower = None;
        }
        if lower && preempt == Preempt::Always {
            return; // the timer runs on, and when it fires we take over
        }
        backup.active_down =
            now + active_down_interval(settings.version, settings.priority, heard.interval);
    }

    /// RFC 9568 section 6.4.3, lines (715) to (780).
    fn hear_as_active(&mut self, now: Mono, heard: Heard, own: IpAddr) -> Outcome {
        let interval = self.settings.interval.span();
        let priority = self.settings.priority.get();
        let State::Active(active) = &mut self.state else { return Outcome::Nothing };
        // An owner defends its own addresses, however late it is.
        if let Some(late) = active.held_up
            && heard.priority > 0
            && !self.settings.priority.is_owner()
        {
            self.become_backup(now, heard);
            return Outcome::Overslept(late, heard);
        }
        active.hears_rival(now, heard, interval);
        let rate_limited = active.answered.is_some_and(|at| now.since(at) < interval.divided_by(2));
        if heard.priority == 0 {
            // Another active router yields: its backups must hear us before their skew time ends,
            // and whoever it has served must learn where the addresses are.
            let answered = active.consoled.is_some_and(|at| now.since(at) < interval.divided_by(2));
            if answered {
                return Outcome::Nothing;
            }
            active.consoled = Some(now);
            active.next_advertisement = now + interval;
            return Outcome::Reassert;
        }
        if heard.priority == priority && !active.tie.is_decided_on(heard.path, now, interval) {
            return Outcome::Nothing;
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
        let mut backup = Backup {
            active_down: now + self.active_down_interval(heard.interval),
            actives: Actives::default(),
            lower: None,
            since: now,
            hold_until: now,
            handed_over: false,
        };
        backup.remember(now, heard);
        self.state = State::Backup(backup);
    }

    /// To be called before anything else whenever time has passed. An active router that was held
    /// up for longer than the others' shortest active-down interval may have been replaced. Then
    /// its packets are waiting already: until they have been heard it defends nothing.
    pub fn wake(&mut self, now: Mono) {
        let patience = self.settings.interval.span().times(2);
        let State::Active(active) = &mut self.state else { return };
        // The others count from its last advertisement, an interval before the next one.
        let late = now.since(active.next_advertisement);
        if late > patience {
            active.held_up = Some(late);
        }
    }

    /// The next advertisement of an active router goes out at this earlier time, together with
    /// others; all later ones keep their distance from it.
    pub fn advertise_at(&mut self, at: Mono) {
        if let State::Active(active) = &mut self.state {
            active.next_advertisement = active.next_advertisement.min(at);
        }
    }

    /// The advertisement interval.
    pub fn advertisement_interval(&self) -> Span {
        self.settings.interval.span()
    }

    /// Whether it may have been replaced, and has not heard yet.
    pub fn is_held_up(&self) -> bool {
        matches!(&self.state, State::Active(Active { held_up: Some(_), .. }))
    }

    /// The machine was suspended: nothing that was sent meanwhile is waiting anywhere, so that it
    /// listens anew. Returns whether it was active and must let go of the addresses.
    #[must_use = "a router that is backup must not answer for the addresses"]
    pub fn resume(&mut self, now: Mono) -> bool {
        let listening = self.listening(now);
        match &mut self.state {
            State::Backup(backup) => {
                let handed_over = backup.handed_over;
                self.state = listening;
                if let State::Backup(backup) = &mut self.state {
                    backup.handed_over = handed_over;
                }
                false
            }
            // Who stops does not wait any longer.
            State::Leaving(leaving) if leaving.why == Departure::Stop => {
                leaving.until = now;
                false
            }
            // An address owner listens to nobody.
            State::Active(_) | State::Leaving(_) if !self.settings.priority.is_owner() => {
                self.state = listening;
                true
            }
            State::Initialize | State::Active(_) | State::Leaving(_) => false,
        }
    }

    /// Lets go and listens, because another member of its sync group has.
    pub fn listen_anew(&mut self, now: Mono) {
        self.state = self.listening(now);
    }

    fn listening(&self, now: Mono) -> State {
        State::Backup(Backup {
            active_down: now + self.active_down_interval(self.settings.interval),
            actives: Actives::default(),
            lower: None,
            since: now,
            hold_until: now,
            handed_over: false,
        })
    }

    /// Whether a backup may take over as soon as its sync group wants it: it hears no live active
    /// router, or one that it preempts.
    pub fn may_join(&self, now: Mono) -> bool {
        let State::Backup(backup) = &self.state else { return false };
        let preempts = self.settings.preempt != Preempt::Never && !backup.handed_over;
        backup.actives.iter().all(|active| {
            active.stopping
                || active.is_gone(now)
                || self.settings.relieve(active.priority)
                || preempts && active.priority < self.settings.priority.get()
        })
    }

    /// A backup takes over, because its sync group has.
    pub fn join(&mut self, now: Mono) -> Outcome {
        self.claim(now, now)
    }

    /// A backup claims nothing before this time, whatever its own timers say;
    /// `Mono(u64::MAX)`: not at all.
    pub fn claim_not_before(&mut self, at: Mono) {
        self.claim_not_before = at;
    }

    /// A backup claims nothing before this time (hold-down); its timers run on. An earlier time
    /// than the one that holds changes nothing.
    pub fn hold_until(&mut self, at: Mono) {
        if let State::Backup(backup) = &mut self.state {
            backup.hold_until = backup.hold_until.max(at);
        }
    }

    fn become_active(&mut self, now: Mono, why: Takeover) -> Outcome {
        self.state = State::Active(Active::new(now + self.settings.interval.span()));
        Outcome::TakeOver(why)
    }

    /// The deadline has come. Nothing happens if it has not.
    pub fn fire(&mut self, now: Mono) -> Outcome {
        let Some((at, _)) = self.deadline().filter(|(at, _)| *at <= now) else {
            return Outcome::Nothing;
        };
        match &mut self.state {
            State::Initialize => Outcome::Nothing,
            State::Active(active) => {
                active.held_up = None;
                let interval = self.settings.interval.span();
                let next = active.next_advertisement + interval;
                // Keep the beat, but never send a burst to catch up.
                active.next_advertisement = if next > now { next } else { now + interval };
                Outcome::Advertise
            }
            State::Backup(_) => self.claim(now, at),
            State::Leaving(leaving) if leaving.until > now => {
                leaving.again = None;
                Outcome::Farewell
            }
            State::Leaving(leaving) => {
                self.state = match leaving.why {
                    Departure::Stop => State::Initialize,
                    Departure::Handover => {
                        State::Active(Active::new(now + self.settings.interval.span()))
                    }
                };
                Outcome::Unclaimed
            }
        }
    }

    /// An active router whose next advertisement is due on time keeps the beat, as
    /// [`Router::fire`] does. Returns whether it advertises; otherwise nothing has changed.
    #[must_use = "an advertisement that is not sent is missed"]
    pub fn keeps_beat(&mut self, now: Mono) -> bool {
        let interval = self.settings.interval.span();
        let State::Active(active) = &mut self.state else { return false };
        let (due, next) = (active.next_advertisement, active.next_advertisement + interval);
        let keeps = active.held_up.is_none() && due <= now && now < next;
        if keeps {
            active.next_advertisement = next;
        }
        keeps
    }

    /// A backup's deadline, which was due `at`: take over, unless the loop itself was so late
    /// that the advertisements may have come while nobody was listening.
    fn claim(&mut self, now: Mono, at: Mono) -> Outcome {
        let State::Backup(backup) = &mut self.state else { return Outcome::Nothing };
        let interval = backup.interval(&self.settings);
        let late = now.since(at);
        if late > interval.span() {
            backup.active_down =
                now + active_down_interval(self.settings.version, self.settings.priority, interval);
            backup.lower = None;
            return Outcome::Distrusted(late);
        }
        let preempts = self.settings.preempt != Preempt::Never && !backup.handed_over;
        let is_preempted = |active: &&ActiveRouter| {
            !active.stopping
                && (preempts && active.priority < self.settings.priority.get()
                    || self.settings.relieve(active.priority))
                && !active.is_gone(now)
        };
        let actives = &backup.actives;
        let stopped = || actives.iter().find(|active| active.stopping);
        let why = match (actives.latest(), actives.iter().find(is_preempted), stopped()) {
            (None, ..) => Takeover::Silence(None, now.since(backup.since)),
            (_, Some(live), _) => Takeover::Preempt(live.as_heard()),
            (_, None, Some(stopped)) => Takeover::Stopped(stopped.source),
            (Some(last), None, None) => Takeover::Silence(Some(last.source), now.since(last.heard)),
        };
        let predecessor = self.followed_at_once(now, why);
        let outcome = self.become_active(now, why);
        if let State::Active(active) = &mut self.state {
            active.predecessor = predecessor;
        }
        outcome
    }

    /// The state with its deadlines.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Whether it holds the addresses.
    pub fn holds(&self) -> bool {
        matches!(self.state, State::Active(_) | State::Leaving(_))
    }

    /// The priority that it advertises and compares with.
    pub fn priority(&self) -> Priority {
        self.settings.priority
    }

    fn active_down_interval(&self, interval: Interval) -> Span {
        active_down_interval(self.settings.version, self.settings.priority, interval)
    }
}

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
