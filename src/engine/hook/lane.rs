//! Hooks that run one after the other: the order of the changes is the order of what is told.

use std::collections::VecDeque;

use super::call::{HookCall, HookName};
use crate::hash::hash_by;
use crate::time::{Mono, Span};

/// The time for which a hook is waited for beyond its timeout: the shell's own clock ends it first,
/// unless the shell is in trouble.
const GRACE: Span = Span::from_secs(1);

/// The pause before the first repetition; it doubles each time.
const PAUSE: Span = Span::from_secs(1);

/// The longest one.
const LONGEST_PAUSE: Span = Span::from_secs(60);

/// Something that is to be told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Job {
    pub(super) name: HookName,
    pub(super) call: HookCall,
    /// How often it may be tried again.
    pub(super) retries: u8,
    pub(super) attempts: u8,
    /// Not before.
    pub(super) at: Mono,
}

impl Job {
    /// Whether the engine waits for its end.
    pub(super) fn is_waited_for(&self) -> bool {
        matches!(self.name, HookName::Program(phase) if phase.is_waited_for())
    }
}

/// One that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Running {
    job: Job,
    number: u64,
    until: Mono,
}

hash_by!(Running { job, until } without { number });

/// Hooks in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Lane {
    waiting: VecDeque<Job>,
    /// In a box: it is empty most of the time.
    running: Option<Box<Running>>,
}

impl Lane {
    pub(super) fn push(&mut self, job: Job) {
        self.waiting.push_back(job);
    }

    /// A newer state has come: what has not started yet tells of an older one and is left out, and
    /// what is under way is not tried again. Returns how many were left out.
    pub(super) fn supersede(&mut self) -> u64 {
        let left_out = self.waiting.len();
        self.waiting.clear();
        if let Some(running) = &mut self.running {
            running.job.retries = running.job.attempts;
        }
        u64::try_from(left_out).unwrap_or_default()
    }

    /// Another one of this name is to come: those that have not started yet are left out. Returns
    /// how many that were.
    pub(super) fn leave_out(&mut self, name: HookName) -> u64 {
        let before = self.waiting.len();
        self.waiting.retain(|job| job.name != name);
        u64::try_from(before - self.waiting.len()).unwrap_or_default()
    }

    /// The next one, if none is under way and its time has come.
    pub(super) fn start(&mut self, now: Mono, number: u64) -> Option<HookCall> {
        if self.running.is_some() || self.waiting.front()?.at > now {
            return None;
        }
        let job = self.waiting.pop_front()?;
        let call = job.call.clone();
        let until = now + call.timeout + GRACE;
        self.running = Some(Box::new(Running { job, number, until }));
        Some(call)
    }

    /// It has ended, if it is that one.
    pub(super) fn finish(&mut self, number: u64) -> Option<Job> {
        self.running.take_if(|running| running.number == number).map(|running| running.job)
    }

    /// Takes that one for failed which has not ended in its time; with its number.
    pub(super) fn overdue(&mut self, now: Mono) -> Option<(Job, u64)> {
        let Running { job, number, .. } = *self.running.take_if(|running| running.until <= now)?;
        Some((job, number))
    }

    /// Tries it again after a pause, unless that was done often enough or something newer waits.
    /// Returns whether it does.
    pub(super) fn again(&mut self, now: Mono, mut job: Job) -> bool {
        if job.attempts >= job.retries || job.is_waited_for() || !self.waiting.is_empty() {
            return false;
        }
        let pause = PAUSE.times(1 << job.attempts.min(10)).min(LONGEST_PAUSE);
        job.attempts += 1;
        job.at = now + pause;
        self.waiting.push_front(job);
        true
    }

    /// Nothing is tried again any more: the end is near.
    pub(super) fn hurry(&mut self) {
        self.waiting.retain(|job| job.attempts == 0);
        let all = self.waiting.iter_mut().chain(self.running.iter_mut().map(|r| &mut r.job));
        all.for_each(|job| job.retries = 0);
    }

    /// Forgets everything; the number of the one that is under way.
    pub(super) fn abandon(&mut self) -> Option<u64> {
        self.waiting.clear();
        self.running.take().map(|running| running.number)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running.is_none() && self.waiting.is_empty()
    }

    /// True if a hook of this name is under way or waits.
    pub(super) fn has(&self, name: HookName) -> bool {
        self.running() == Some(name) || self.waiting.iter().any(|job| job.name == name)
    }

    /// What is under way.
    pub(super) fn running(&self) -> Option<HookName> {
        self.running.as_ref().map(|running| running.job.name)
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        match &self.running {
            Some(running) => Some(running.until),
            None => self.waiting.front().map(|job| job.at),
        }
    }
}
