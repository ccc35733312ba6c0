//! One turn of the engine: an input, all that it has touched, and the answer.

use std::collections::BTreeSet;

use super::event::Action;
use crate::time::Now;

/// Whatever is settled at the end of a turn.
pub(super) struct Turn {
    pub(super) now: Now,
    pub(super) out: Vec<Action>,
    /// The instances that were touched.
    pub(super) touched: Touched,
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
            touched: Touched::default(),
            groups: BTreeSet::new(),
            tracks: BTreeSet::new(),
            listening: false,
            reloads: false,
        }
    }
}

/// The instances that were touched in a turn, by their places in order, and whether each was active
/// before. Most turns touch one, or a hundred in their order: a list is enough.
#[derive(Debug, Default)]
pub(super) struct Touched(Vec<(usize, bool)>);

impl Touched {
    /// These were touched, in the order of their places.
    pub(super) fn all(were_active: impl Iterator<Item = bool>) -> Self {
        Self(were_active.enumerate().collect())
    }

    /// The instance in this place is touched. Where it was not before, `touch` tells whether it is
    /// active.
    pub(super) fn insert(&mut self, place: usize, touch: impl FnOnce() -> bool) {
        let is_next = self.0.last().is_none_or(|(last, _)| *last < place);
        let end = self.0.len();
        let found = if is_next { Err(end) } else { self.find(place) };
        if let Err(at) = found {
            self.0.insert(at, (place, touch()));
        }
    }

    /// The places, the lowest first.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|(place, _)| *place)
    }

    /// Tells whether the instance in this place was touched and had been active.
    pub(super) fn was_active(&self, place: usize) -> bool {
        self.find(place).ok().and_then(|at| self.0.get(at)).is_some_and(|(_, active)| *active)
    }

    fn find(&self, place: usize) -> Result<usize, usize> {
        self.0.binary_search_by_key(&place, |(place, _)| *place)
    }
}
