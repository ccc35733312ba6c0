//! One turn of the engine: an input, all that it has touched, and the answer.

use std::collections::{BTreeMap, BTreeSet};

use super::event::Action;
use crate::time::Now;

/// Whatever is settled at the end of a turn.
pub(super) struct Turn {
    pub(super) now: Now,
    pub(super) out: Vec<Action>,
    /// The instances that were touched, by their places, and whether each was active before.
    pub(super) touched: BTreeMap<usize, bool>,
    /// The sync groups whose hooks were touched.
    pub(super) groups: BTreeSet<usize>,
    /// The checks that were touched.
    pub(super) tracks: BTreeSet<usize>,
    /// True if the sockets were.
    pub(super) listening: bool,
    /// True if the configuration is another one.
    pub(super) reloads: bool,
}

impl Turn {
    /// A turn that has touched nothing.
    pub(super) fn new(now: Now) -> Self {
        Self {
            now,
            out: Vec::new(),
            touched: BTreeMap::new(),
            groups: BTreeSet::new(),
            tracks: BTreeSet::new(),
            listening: false,
            reloads: false,
        }
    }

    /// The places of the instances that were touched so far.
    pub(super) fn places(&self) -> Vec<usize> {
        self.touched.keys().copied().collect()
    }
}
