//! Changes that the system has refused are asked for again: an addition a few times, a removal
//! until it is done.

use super::event::SystemError;
use crate::time::{Mono, Span};

/// When a failed addition is tried again; a failed removal waits ten times as long.
const RETRY: Span = Span::from_millis(100);
/// How many attempts to add something are made before the instance gives up.
const ATTEMPTS: u32 = 3;
/// `ETIME` (`errno(3)`): an addition was carried out too late and so not at all.
const TOO_LATE: i32 = 62;

/// What to tell about a failed installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InstallFailure {
    /// Not what is held (any more), or nothing to tell.
    Nothing,
    /// It is tried again.
    Again,
    /// It was tried often enough.
    Hopeless,
}

/// When something that is held is put (back) on the system, and how often that has failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Installation {
    /// `None` while it should be there.
    pub(super) at: Option<Mono>,
    failures: u32,
}

impl Installation {
    /// It could not be put there: it is not there, as far as we know.
    pub(super) fn failed(&mut self, now: Mono, error: &SystemError) -> InstallFailure {
        if error.errno == TOO_LATE {
            // The time that it was meant for has passed, and it is still meant.
            self.at = Some(now);
            return InstallFailure::Nothing;
        }
        self.failures += 1;
        if self.failures >= ATTEMPTS {
            return InstallFailure::Hopeless;
        }
        self.at = Some(now + RETRY);
        InstallFailure::Again
    }

    /// Whether it is due; it should be there from now on if it was.
    pub(super) fn is_due(&mut self, now: Mono) -> bool {
        self.at.take_if(|at| *at <= now).is_some()
    }

    /// It is asked for in its turn again, and is there as far as we know: what failed before is
    /// over.
    pub(super) fn forgive(&mut self) {
        self.failures = 0;
    }
}

/// What could not be removed: each is asked for again until it is gone, or held again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Removals<T>(Vec<Refused<T>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Refused<T> {
    what: T,
    /// `None`: it was asked for again, and no failure came back.
    retry_at: Option<Mono>,
    attempts: u32,
}

impl<T> Default for Removals<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: PartialEq> Removals<T> {
    /// One could not be removed. Returns whether that is worth telling (again).
    pub(super) fn failed(&mut self, now: Mono, what: T) -> bool {
        let retry_at = Some(now + RETRY.times(10));
        if let Some(known) = self.0.iter_mut().find(|refused| refused.what == what) {
            known.retry_at = retry_at;
            known.attempts = known.attempts.saturating_add(1);
            return known.attempts.is_power_of_two();
        }
        self.0.push(Refused { what, retry_at, attempts: 1 });
        true
    }

    /// Forgets all but these.
    pub(super) fn retain(&mut self, stays: impl Fn(&T) -> bool) {
        self.0.retain(|refused| stays(&refused.what));
    }

    /// When the next one is due.
    pub(super) fn deadline(&self) -> Option<Mono> {
        self.0.iter().filter_map(|refused| refused.retry_at).min()
    }

    /// Those that are due, asked for again with this.
    pub(super) fn due(&mut self, now: Mono) -> impl Iterator<Item = &T> {
        self.0.iter_mut().filter_map(move |refused| {
            refused.retry_at.take_if(|at| *at <= now)?;
            Some(&refused.what)
        })
    }

    /// Those of which the last that is known is that they are still there.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter(|refused| refused.retry_at.is_some()).map(|refused| &refused.what)
    }
}
