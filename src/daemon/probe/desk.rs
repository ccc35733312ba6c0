//! What a check keeps from one look to the next.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError};

use crate::daemon::outside::{Aside, Doing};
use crate::model::TrackName;

/// What a check has to itself.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// Where its calls that may block are made.
    pub(super) aside: Aside,
    /// What the look that is under way waits for.
    pub(crate) doing: Doing,
    /// The process that a `process` check has found; zero: none.
    pub(super) process: AtomicU32,
}

/// The desks of all checks.
#[derive(Debug, Default)]
pub(crate) struct Desks(Mutex<BTreeMap<TrackName, Arc<Desk>>>);

impl Desks {
    /// The desk of a check; a new one where it has none yet.
    pub(crate) fn of(&self, track: &TrackName) -> Arc<Desk> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(track.clone()).or_default())
    }

    /// Forgets the desks of the checks that do not exist any more.
    pub(crate) fn retain(&self, exists: impl Fn(&TrackName) -> bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|track, _| exists(track));
    }
}
