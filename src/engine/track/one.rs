//! One check: a look at its subject every interval, one at a time; what counts is the last so many
//! in a row.

use std::hash::{Hash, Hasher};

use super::super::event::{Action, ProbeResult};
use super::super::status::{LastLook, TrackStatus};
use super::super::story::{Event, What};
use super::super::timer::Timer;
use super::super::words::{TrackFailure, shown};
use super::flap::Changes;
use crate::hash::hash_by;
use crate::model::{TrackConfig, TrackName};
use crate::time::{Mono, Now, Span, Wall};

/// How much longer than a check's timeout its answer is waited for: the shell's own clock ends the
/// look first, unless the shell is in trouble.
const GRACE: Span = Span::from_secs(1);

/// A stirred check looks again after this part of its interval until it is sure.
const HURRY: u64 = 10;

/// But not sooner than this: whatever stirs it, so much of a processor it may take.
const SOONEST: Span = Span::from_millis(50);

/// A check with what it has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Track {
    config: TrackConfig,
    verdict: Verdict,
    changes: Changes,
    /// Why it counts as failing; `None`: it passes. Also what people were told last.
    failure: Option<TrackFailure>,
    since: Wall,
    last: Option<LastLook>,
    /// How many looks in a row have ended like the last one.
    in_a_row: u32,
    /// How many of them have said the same.
    alike: u32,
    look: Option<Look>,
    started: Option<Mono>,
    /// When the next regular look starts.
    next: Mono,
    /// Its subject may have changed since the last look began.
    stirred: bool,
    /// It looks again soon, until its verdict agrees with what it sees.
    hurries: bool,
}

/// By all that decides when it looks and what it says: more looks in a row than are needed are as
/// many as are needed.
impl Hash for Track {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { config, verdict, changes, failure, since: _, last, in_a_row, .. } = self;
        let Self { alike: _, look, started, next, stirred, hurries, .. } = self;
        let enough = u32::from(config.rise.max(config.fall));
        let passed = last.as_ref().map(|last| last.passed);
        (verdict, changes, failure, passed, (*in_a_row).min(enough)).hash(state);
        (look, started, next, stirred, hurries).hash(state);
    }
}

/// What the looks so far say, flapping aside.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Verdict {
    Untried,
    Passing,
    Failing(String),
}

/// A look that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    number: u64,
    /// It has failed when no answer has come by then.
    until: Mono,
}

hash_by!(Look { until } without { number });

impl Track {
    /// A check that has never looked: it fails until it has passed often enough. It looks at once.
    pub(super) fn new(config: TrackConfig, now: Now) -> Self {
        Self {
            config,
            verdict: Verdict::Untried,
            changes: Changes::default(),
            failure: Some(TrackFailure::Untried),
            since: now.wall,
            last: None,
            in_a_row: 0,
            alike: 0,
            look: None,
            started: None,
            next: now.mono,
            stirred: false,
            hurries: false,
        }
    }

    /// An answer. Late ones, whose look is not under way any more, change nothing.
    pub(super) fn probed(
        &mut self,
        now: Now,
        number: u64,
        result: &ProbeResult,
        out: &mut Vec<Action>,
    ) -> bool {
        if self.look.take_if(|look| look.number == number).is_none() {
            return false;
        }
        self.learn(now.mono, result);
        self.conclude(now, out)
    }

    /// Its subject may have changed.
    pub(super) fn stirred(&mut self) {
        self.stirred = true;
    }

    /// Does what is due: gives up waiting, believes itself again, looks.
    pub(super) fn fire(&mut self, now: Now, looks: &mut u64, out: &mut Vec<Action>) -> bool {
        if let Some(Look { number, .. }) = self.look.take_if(|look| look.until <= now.mono) {
            out.push(Action::CancelProbe { track: self.config.name.clone(), number });
            let reason = format!("no answer within {}", self.config.timeout);
            self.learn(now.mono, &ProbeResult::Failed(reason));
        }
        self.changes.fire(now.mono);
        if self.look.is_none() && self.next_look().0 <= now.mono {
            self.start(now.mono, looks, out);
        }
        self.conclude(now, out)
    }

    fn start(&mut self, now: Mono, looks: &mut u64, out: &mut Vec<Action>) {
        *looks += 1;
        let (track, number) = (self.config.name.clone(), *looks);
        let interval = self.config.interval;
        if self.started.is_none() {
            self.next = now + phase(&self.config);
        } else if self.next <= now {
            // Keep the beat, but never catch up.
            let next = self.next + interval;
            self.next = if next > now { next } else { now + interval };
        }
        self.hurries |= std::mem::take(&mut self.stirred);
        self.started = Some(now);
        self.look = Some(Look { number, until: now + self.config.timeout + GRACE });
        out.push(Action::Probe { track, number });
    }

    /// Takes in what a look has found.
    fn learn(&mut self, now: Mono, result: &ProbeResult) {
        let (passed, text) = match result {
            ProbeResult::Passed(text) => (true, shown(text)),
            ProbeResult::Failed(text) => (false, shown(text)),
        };
        let goes_on = self.last.as_ref().is_some_and(|last| last.passed == passed);
        self.in_a_row = if goes_on { self.in_a_row.saturating_add(1) } else { 1 };
        let is_alike = goes_on && self.last_text() == text;
        self.alike = if is_alike { self.alike.saturating_add(1) } else { 1 };
        let enough = match (&self.verdict, passed) {
            // Nothing is lost by believing the first failure: it failed before, too.
            (Verdict::Untried, false) => 1,
            (_, true) => self.config.rise,
            (_, false) => self.config.fall,
        };
        let agrees =
            passed == (self.verdict == Verdict::Passing) && self.verdict != Verdict::Untried;
        if !agrees && self.in_a_row >= enough.into() {
            let is_change = self.verdict != Verdict::Untried;
            self.verdict = if passed { Verdict::Passing } else { Verdict::Failing(text.clone()) };
            if let (true, Some(flap)) = (is_change, self.config.flap) {
                self.changes.another(now, flap);
            }
            self.hurries = false;
        } else if agrees {
            self.hurries = false;
            // It fails for another reason by now, and stays with it: people should not look for the
            // old one.
            if let Verdict::Failing(reason) = &mut self.verdict
                && self.alike >= self.config.fall.into()
                && *reason != text
            {
                reason.clone_from(&text);
            }
        }
        self.last = Some(LastLook { passed, text });
    }

    /// Compares what counts now with what counted before, and tells people of a difference.
    fn conclude(&mut self, now: Now, out: &mut Vec<Action>) -> bool {
        let failure = match (&self.verdict, self.config.flap) {
            (_, Some(flap)) if self.changes.held_until().is_some() => {
                Some(TrackFailure::Flapping { changes: flap.changes, within: flap.within })
            }
            (Verdict::Passing, _) => None,
            (Verdict::Untried, _) => Some(TrackFailure::Untried),
            (Verdict::Failing(reason), _) => Some(TrackFailure::Failed(reason.clone())),
        };
        if failure == self.failure {
            return false;
        }
        self.failure = failure;
        self.since = now.wall;
        let name = self.config.name.clone();
        let what = match &self.failure {
            Some(failure) => What::TrackFails(name, failure.clone()),
            None => What::TrackPasses(name, self.last_text().to_owned()),
        };
        out.push(Action::Report(Event::of_node(what)));
        true
    }

    /// The machine was suspended, and with it what looks: its time begins anew.
    pub(super) fn resume(&mut self, now: Mono) {
        if let Some(look) = &mut self.look {
            look.until = now + self.config.timeout + GRACE;
        }
    }

    /// Another configuration of the same check. What it has found stays, so that a mended check
    /// does not take the addresses from a node that serves; it looks anew at once.
    pub(super) fn reconfigure(&mut self, now: Mono, config: &TrackConfig, out: &mut Vec<Action>) {
        if self.config == *config {
            return;
        }
        let old = std::mem::replace(&mut self.config, config.clone());
        if (&old.probe, old.timeout) != (&config.probe, config.timeout) {
            self.cancel(out);
            self.next = now;
        } else if old.interval != config.interval {
            self.next = self.next.min(now + config.interval);
        }
        if old.flap != config.flap {
            self.changes.forget();
        }
    }

    /// Whatever is under way is not waited for any more.
    pub(super) fn cancel(&mut self, out: &mut Vec<Action>) {
        if let Some(Look { number, .. }) = self.look.take() {
            out.push(Action::CancelProbe { track: self.config.name.clone(), number });
        }
    }

    /// When [`Track::fire`] is due, and what for.
    pub(super) fn deadline(&self) -> (Mono, Timer) {
        let look = match &self.look {
            Some(look) => (look.until, Timer::CheckAnswer),
            None => self.next_look(),
        };
        match self.changes.held_until() {
            Some(until) if until < look.0 => (until, Timer::FlappingEnd),
            _ => look,
        }
    }

    fn next_look(&self) -> (Mono, Timer) {
        let soon = self.config.interval.divided_by(HURRY).max(SOONEST);
        match self.started {
            Some(started) if self.stirred || self.hurries => {
                (self.next.min(started + soon), Timer::StirredCheck)
            }
            _ => (self.next, Timer::Check),
        }
    }

    pub(super) fn name(&self) -> &TrackName {
        &self.config.name
    }

    pub(super) fn cost(&self) -> Option<u8> {
        self.config.cost
    }

    /// Why it counts as failing; `None`: it passes.
    pub(super) fn failure(&self) -> Option<&TrackFailure> {
        self.failure.as_ref()
    }

    fn last_text(&self) -> &str {
        self.last.as_ref().map_or("", |last| &last.text)
    }

    pub(super) fn status(&self, now: Mono) -> TrackStatus {
        TrackStatus {
            name: self.config.name.clone(),
            kind: self.config.probe.kind().to_owned(),
            text: TrackStatus::in_words(self.failure.as_ref()),
            failure: self.failure.clone(),
            since: self.since,
            cost: self.config.cost,
            last: self.last.clone(),
            in_a_row: self.in_a_row,
            held_for: self.changes.held_until().map(|until| until.since(now)),
        }
    }
}

/// How long after its first look a check looks for the second time: a quarter of the interval to
/// the whole, by a hash of its name. So the checks of a node spread over the interval, and do so in
/// the same way each time.
fn phase(config: &TrackConfig) -> Span {
    // FNV-1a, 32 bits.
    let hash = config
        .name
        .as_str()
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let part = u64::from(hash % 1_000);
    config.interval.divided_by(4) + config.interval.divided_by(4_000).times(part * 3)
}
