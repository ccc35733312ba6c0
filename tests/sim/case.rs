//! A schedule of any kind: drawn from a seed, played, made smaller, and kept as JSON.

use std::fmt::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};
use vipd::time::Span;

use crate::check::{Verdict, run, run_without_gap};
use crate::schedule::Schedule;
use crate::world::Seen;
use crate::{sync, sync_rules};

/// The kinds of schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Faults of one group.
    Faults,
    /// Planned moves of one group.
    Planned,
    /// Faults of a sync group.
    Sync,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Faults => "faults",
            Self::Planned => "planned",
            Self::Sync => "sync",
        })
    }
}

/// A schedule. In JSON it is independent of how schedules are drawn, which a seed is not.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "there are a few at a time")]
pub(crate) enum Case {
    Faults(Schedule),
    Planned(Schedule),
    Sync(sync::Schedule),
}

impl Case {
    pub(crate) fn from_seed(kind: Kind, seed: u64) -> Self {
        match kind {
            Kind::Faults => Self::Faults(Schedule::from_seed(seed)),
            Kind::Planned => Self::Planned(Schedule::planned(seed)),
            Kind::Sync => Self::Sync(sync::Schedule::from_seed(seed)),
        }
    }

    /// Plays it. `Err`: a rule was broken, or the engine has panicked.
    pub(crate) fn play(&self) -> Result<Verdict, Verdict> {
        let played = catch_unwind(AssertUnwindSafe(|| match self {
            Self::Faults(schedule) => run(schedule),
            Self::Planned(schedule) => run_without_gap(schedule),
            Self::Sync(schedule) => sync_rules::run(schedule),
        }));
        played.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(Verdict {
                what: format!("panic: {}", text.unwrap_or_default()),
                story: Vec::new(),
                takeovers: 0,
                overlap: Span::ZERO,
                seen: Seen::default(),
            })
        })
    }

    /// The interval of its group.
    pub(crate) fn interval(&self) -> Span {
        match self {
            Self::Faults(schedule) | Self::Planned(schedule) => schedule.group.interval.span(),
            Self::Sync(schedule) => schedule.group.interval.span(),
        }
    }

    /// The same without one of its faults; `None`: it has none in this place.
    fn without(&self, place: usize) -> Option<Self> {
        let mut smaller = self.clone();
        let is_there = match &mut smaller {
            Self::Faults(Schedule { faults, .. }) | Self::Planned(Schedule { faults, .. }) => {
                remove(faults, place)
            }
            Self::Sync(sync::Schedule { faults, .. }) => remove(faults, place),
        };
        is_there.then_some(smaller)
    }

    /// Removes faults one after the other for as long as it goes on failing.
    pub(crate) fn shrink(mut self) -> Self {
        let mut place = 0;
        while let Some(smaller) = self.without(place) {
            if smaller.play().is_err() {
                self = smaller;
            } else {
                place += 1;
            }
        }
        self
    }

    /// What goes wrong with it, and the story, for people.
    pub(crate) fn explain(&self) -> String {
        let Err(verdict) = self.play() else { return "fails only at times".to_owned() };
        let mut text = format!("{}\n{self:#?}\n", verdict.what);
        for line in &verdict.story {
            writeln!(text, "  {line}").expect("a string takes it");
        }
        text
    }
}

fn remove<T>(all: &mut Vec<T>, place: usize) -> bool {
    let is_there = place < all.len();
    if is_there {
        all.remove(place);
    }
    is_there
}
