//! What has happened to an instance: its transitions, the last ones whole and all of them counted.

use std::collections::{BTreeMap, VecDeque};

use super::super::status::Transition;
use super::super::story::{StateName, Why};
use crate::time::{Now, Wall};

/// How many transitions are remembered whole.
const REMEMBERED: usize = 10;

/// The transitions of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Past {
    /// When it came into its state.
    pub(super) since: Wall,
    /// Why it is in its state.
    pub(super) why: Why,
    last: VecDeque<Transition>,
    /// A few of all that there could be: a list takes less memory than maps.
    counted: Vec<Counted>,
}

/// The transitions to one state for reasons of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Counted {
    to: StateName,
    cause: &'static str,
    times: u64,
}

impl Past {
    /// Nothing yet, but that it starts now.
    pub(super) fn new(now: Now) -> Self {
        Self { since: now.wall, why: Why::Started, last: VecDeque::new(), counted: Vec::new() }
    }

    /// The state has changed.
    pub(super) fn changed(&mut self, at: Wall, from: StateName, to: StateName, why: Why) {
        let cause = why.cause();
        let known = self.counted.iter_mut().find(|one| (one.to, one.cause) == (to, cause));
        match known {
            Some(counted) => counted.times += 1,
            None => self.counted.push(Counted { to, cause, times: 1 }),
        }
        if self.last.len() >= REMEMBERED {
            self.last.pop_front();
        }
        self.last.reserve_exact(1);
        let (cause, reason) = (cause.to_owned(), why.to_string());
        self.last.push_back(Transition { at, from, to, cause, reason });
        (self.since, self.why) = (at, why);
    }

    /// The last transitions, the newest at the end.
    pub(super) fn last(&self) -> Vec<Transition> {
        self.last.iter().cloned().collect()
    }

    /// The number of transitions, by the new state and the kind of the reason.
    pub(super) fn counted(&self) -> BTreeMap<StateName, BTreeMap<String, u64>> {
        let mut all: BTreeMap<StateName, BTreeMap<String, u64>> = BTreeMap::new();
        for Counted { to, cause, times } in &self.counted {
            all.entry(*to).or_default().insert((*cause).to_owned(), *times);
        }
        all
    }
}
