//! How the daemon itself is: what it has to do without, and whether its loop was held up.
//!
//! A loop that is held up sends its advertisements late and may lose its addresses to another
//! node. The engine copes with that; people have to know that it was not the network.

use std::fmt::Write as _;

use super::clock::Moment;
use super::realtime::Refusal;
use crate::api::LoopStatus;
use crate::histogram::Histogram;
use crate::model::Config;
use crate::time::{Mono, Span};

/// Shorter delays are everyday life on a shared machine.
const SHORTEST: Span = Span::from_millis(100);

/// From this length on, a suspension is not an inaccuracy of reading two clocks.
const SUSPENDED: Span = Span::from_millis(100);

/// The least time between two lines of the log.
const PAUSE: Span = Span::from_secs(10);

/// How long the status shows what happened: it is forgotten after this long without another.
const RECENTLY: Span = Span::from_secs(3600);

/// The daemon's condition.
#[derive(Debug)]
pub(crate) struct Condition {
    notes: Vec<String>,
    /// From this length on, the loop was held up.
    threshold: Span,
    phase: Phase,
    /// What the status shows, and when the last of it happened.
    recent: HoldUps,
    last: Mono,
    /// What the log does not have yet, and when it may have it.
    untold: HoldUps,
    pause_ends: Mono,
    /// How long the machine had been suspended when that was last asked.
    suspended: Span,
    /// When the last turn began.
    turned: Mono,
    lateness: Histogram,
    held_up: u64,
}

/// What the loop does.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Works { since: Moment },
    Sleeps { since: Moment, due: Option<Mono> },
}

/// Some times that the loop was held up.
#[derive(Clone, Copy, Debug, Default)]
struct HoldUps {
    count: u64,
    longest: Span,
    /// How much of the longest the machine was suspended.
    suspended: Span,
}

impl Condition {
    /// At the start, with what the system refused.
    pub(crate) fn new(config: &Config, refusals: &[Refusal], now: Moment) -> Self {
        Self {
            notes: refusals.iter().map(|refusal| refusal.note()).collect(),
            threshold: threshold(config),
            phase: Phase::Works { since: now },
            recent: HoldUps::default(),
            last: now.mono,
            untold: HoldUps::default(),
            pause_ends: now.mono,
            suspended: now.suspended,
            turned: now.mono,
            lateness: Histogram::of_lateness(),
            held_up: 0,
        }
    }

    /// Another configuration is in effect.
    pub(crate) fn reconfigure(&mut self, config: &Config) {
        self.threshold = threshold(config);
    }

    /// The loop goes to sleep until something happens, at the latest until `due`.
    pub(crate) fn sleeps(&mut self, now: Moment, due: Option<Mono>) {
        self.ends(now);
        self.phase = Phase::Sleeps { since: now, due };
    }

    /// The loop begins a turn, after a sleep or at once.
    pub(crate) fn wakes(&mut self, now: Moment) {
        self.ends(now);
        self.measure(now.mono);
        self.phase = Phase::Works { since: now };
        self.turned = now.mono;
    }

    /// For how long the machine has been suspended since this was last asked, if it was at all.
    pub(crate) fn suspension(&mut self, now: Moment) -> Option<Span> {
        let before = std::mem::replace(&mut self.suspended, now.suspended);
        let length = Mono(now.suspended.nanos()).since(Mono(before.nanos()));
        (length >= SUSPENDED).then_some(length)
    }

    /// What there is to say.
    pub(crate) fn news(&mut self, now: Mono) -> Option<String> {
        if self.untold.count == 0 || now < self.pause_ends {
            return None;
        }
        self.pause_ends = now + PAUSE;
        Some(line(std::mem::take(&mut self.untold)))
    }

    /// When there is something to say next, if nothing happens.
    pub(crate) fn due(&self) -> Option<Mono> {
        (self.untold.count > 0).then_some(self.pause_ends)
    }

    /// How late the alarm rang, if it was due. Nothing is late before the turn in which it was set.
    fn measure(&mut self, now: Mono) {
        if let Phase::Sleeps { due: Some(due), .. } = self.phase
            && due <= now
        {
            self.lateness.observe(now.since(due.max(self.turned)));
        }
    }

    /// How the loop has kept time since the start.
    pub(crate) fn protocol_loop(&self) -> LoopStatus {
        LoopStatus { lateness: self.lateness.clone(), held_up: self.held_up }
    }

    /// What the system has refused.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What stands behind the engine's status, with the semicolons that separate it.
    pub(crate) fn status(&self, now: Mono) -> String {
        let mut text = String::new();
        for note in &self.notes {
            let _ = write!(text, "; {note}");
        }
        let HoldUps { count, longest, .. } = self.recent;
        if count > 0 && now.since(self.last) < RECENTLY {
            let _ = write!(text, "; held up {} lately, {longest} at the longest", times(count));
        }
        text
    }

    /// What the loop has been doing ends now: a turn should take no time, and a sleep should last
    /// until its alarm at most. Set to a time in the past, an alarm rings at once.
    fn ends(&mut self, now: Moment) {
        match self.phase {
            Phase::Works { since } => self.judge(since.mono, since, now),
            Phase::Sleeps { since, due: Some(due) } => self.judge(due.max(since.mono), since, now),
            Phase::Sleeps { due: None, .. } => {}
        }
    }

    /// Something should have been finished at `due`, and was at `now`; `since` is before both.
    fn judge(&mut self, due: Mono, since: Moment, now: Moment) {
        let length = now.mono.since(due);
        if length < self.threshold {
            return;
        }
        if now.mono.since(self.last) >= RECENTLY {
            self.recent = HoldUps::default();
        }
        self.last = now.mono;
        self.held_up += 1;
        let suspended = Mono(now.suspended.nanos()).since(Mono(since.suspended.nanos()));
        for hold_ups in [&mut self.recent, &mut self.untold] {
            hold_ups.add(length, suspended.min(length));
        }
    }
}

/// From which length on a loop with this configuration was held up.
fn threshold(config: &Config) -> Span {
    let intervals = config.instances.iter().map(|one| one.advertisement_interval.span());
    intervals.min().unwrap_or_default().divided_by(2).max(SHORTEST)
}

impl HoldUps {
    fn add(&mut self, length: Span, suspended: Span) {
        self.count += 1;
        if length > self.longest {
            (self.longest, self.suspended) = (length, suspended);
        }
    }
}

fn line(HoldUps { count, longest, suspended }: HoldUps) -> String {
    let what = match count {
        1 => format!("for {longest}"),
        _ => format!("{count} times, for {longest} at the longest"),
    };
    let why = if suspended >= SUSPENDED {
        format!("the machine was suspended for {suspended} of it")
    } else {
        "SIGSTOP, an overloaded machine or a paused virtual machine?".to_owned()
    };
    format!("the protocol loop was held up {what} ({why})")
}

fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        _ => format!("{count} times"),
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    /// That many milliseconds after the start.
    fn at(millis: u64) -> Moment {
        Moment { mono: Mono(0) + Span::from_millis(millis), suspended: Span::ZERO }
    }

    fn condition() -> Condition {
        Condition::new(&config(), &[], at(0))
    }

    fn config() -> Config {
        Config::default()
    }

    /// A short turn, and a sleep that should have ended at `due` and ended at `woke`.
    fn slept(condition: &mut Condition, due: u64, woke: u64) -> Option<String> {
        condition.phase = Phase::Works { since: at(due.saturating_sub(20)) };
        condition.sleeps(at(due.saturating_sub(10)), Some(at(due).mono));
        woken(condition, at(woke))
    }

    /// A turn begins: what there is to say.
    fn woken(condition: &mut Condition, now: Moment) -> Option<String> {
        condition.wakes(now);
        condition.news(now.mono)
    }

    /// Rule: a loop that wakes far later than its alarm was set to says so, with the length.
    #[test]
    fn waking_late_is_told() {
        let mut condition = condition();
        let expected = "the protocol loop was held up for 2.31 s (SIGSTOP, an overloaded machine \
                        or a paused virtual machine?)";
        assert_eq!(slept(&mut condition, 1_000, 3_310).as_deref(), Some(expected));
        let status = condition.status(at(3_310).mono);
        assert_eq!(status, "; held up once lately, 2.31 s at the longest");
    }

    /// Rule: what is a little late, or is woken before its alarm, or had none, is not told.
    #[test]
    fn everyday_lateness_is_not_told() {
        let mut condition = condition();
        assert_eq!(slept(&mut condition, 1_000, 1_099), None);
        assert_eq!(slept(&mut condition, 9_000, 8_995), None);
        condition.sleeps(at(9_000), None);
        assert_eq!(woken(&mut condition, at(900_000)), None);
        assert_eq!(condition.status(at(900_000).mono), "");
    }

    /// Bug guarded: an alarm that was set to a time long past is not a loop that was held up.
    #[test]
    fn an_alarm_in_the_past_is_not_late() {
        let mut condition = condition();
        condition.sleeps(at(50), Some(at(5).mono));
        assert_eq!(woken(&mut condition, at(60)), None);
        condition.sleeps(at(100), Some(at(5).mono));
        assert!(woken(&mut condition, at(250)).is_some_and(|line| line.contains("150 ms")));
    }

    /// Rule: a turn that takes long holds the loop up too; many short ones without a sleep between
    /// them do not.
    #[test]
    fn a_long_turn_is_told() {
        let mut condition = condition();
        assert!((0..50).all(|turn| woken(&mut condition, at(turn * 20)).is_none()));
        condition.sleeps(at(1_480), Some(at(1_490).mono));
        let told = woken(&mut condition, at(1_490));
        assert!(told.is_some_and(|line| line.contains("held up for 500 ms (")));
    }

    /// Rule: what of it the machine was suspended is said, as the likely cause.
    #[test]
    fn a_suspended_machine_is_named() {
        let mut condition = condition();
        condition.sleeps(at(0), Some(at(1_000).mono));
        let woke = Moment { suspended: Span::from_secs(3_600), ..at(3_602_000) };
        let expected = "the protocol loop was held up for 1 h 0 min (the machine was suspended \
                        for 1 h 0 min of it)";
        assert_eq!(woken(&mut condition, woke).as_deref(), Some(expected));
        assert_eq!(condition.suspension(woke), Some(Span::from_secs(3_600)));
        assert_eq!(condition.suspension(woke), None, "it is said once");
        // Suspended before and not again: no longer the cause.
        condition.sleeps(woke, Some(woke.mono));
        let later = Moment { mono: woke.mono + PAUSE, ..woke };
        assert!(woken(&mut condition, later).is_some_and(|line| line.contains("overloaded")));
    }

    /// Rule: a machine that is always busy does not flood the log; nothing is left out of the
    /// count, and what was not told yet is told without another hold-up.
    #[test]
    fn repeats_are_folded() {
        let mut condition = condition();
        let lines: Vec<_> =
            (1..=20).filter_map(|n| slept(&mut condition, n * 400, n * 400 + 100 + n)).collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        let due = condition.due().unwrap();
        assert_eq!(due, at(400 + 101).mono + PAUSE);
        condition.sleeps(at(8_125), Some(due));
        let rest = woken(&mut condition, Moment { mono: due, ..at(0) }).unwrap();
        let expected = "held up 19 times, for 120 ms at the longest (";
        assert!(rest.contains(expected), "{rest}");
        assert_eq!(condition.due(), None);
        assert_eq!(condition.status(due), "; held up 20 times lately, 120 ms at the longest");
    }

    /// Rule: the status shows it for an hour after the last time; then it counts anew.
    #[test]
    fn the_status_forgets_after_an_hour() {
        let mut condition = condition();
        assert!(slept(&mut condition, 1_000, 3_000).is_some());
        assert_eq!(condition.status(at(3_000).mono + RECENTLY), "");
        assert!(slept(&mut condition, 4_000_000, 4_000_500).is_some());
        let status = condition.status(at(4_000_500).mono);
        assert_eq!(status, "; held up once lately, 500 ms at the longest");
    }

    /// Rule: what the system refused stays in the status, and in few words.
    #[test]
    fn refusals_are_notes() {
        let refusals = [Refusal::RealTime(Errno::EPERM), Refusal::LockedMemory(Errno::ENOMEM)];
        let condition = Condition::new(&config(), &refusals, at(0));
        let expected = "; not real-time: Operation not permitted; \
                        memory not locked: Out of memory";
        assert_eq!(condition.status(at(0).mono), expected);
    }
}
