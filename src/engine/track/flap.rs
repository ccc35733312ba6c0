//! When a check changes so often that it is not believed any more.

use std::collections::VecDeque;

use crate::model::Flap;
use crate::time::Mono;

/// The changes of one check that are not long ago.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Changes {
    /// When they were, the oldest first; never more than the most that are allowed.
    at: VecDeque<Mono>,
    held_until: Option<Mono>,
}

impl Changes {
    /// The check has changed between passing and failing.
    pub(super) fn another(&mut self, now: Mono, flap: Flap) {
        self.at.push_back(now);
        while self.at.len() > flap.changes.into()
            || self.at.front().is_some_and(|first| now.since(*first) > flap.within)
        {
            self.at.pop_front();
        }
        if self.held_until.is_some() || self.at.len() >= flap.changes.into() {
            self.held_until = Some(now + flap.hold);
        }
    }

    /// It has been quiet for long enough, if the time has come.
    pub(super) fn fire(&mut self, now: Mono) {
        if self.held_until.is_some_and(|until| until <= now) {
            self.forget();
        }
    }

    /// Whatever was, it is believed again.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Until when it counts as failing, if nothing changes any more.
    pub(super) fn held_until(&self) -> Option<Mono> {
        self.held_until
    }
}
