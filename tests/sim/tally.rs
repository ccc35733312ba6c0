//! Many schedules, played in parallel over the processors, and their results together.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde::{Deserialize, Serialize};
use vipd::time::Span;

use crate::case::{Case, Kind};
use crate::check::Verdict;
use crate::coverage::Coverage;

/// The results of many schedules.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) takeovers: u64,
    /// By interval: for how long two nodes had the address at the longest because of a daemon that
    /// was frozen or dead.
    pub(crate) overlaps: BTreeMap<Span, Span>,
    pub(crate) coverage: Coverage,
    /// In the order of their seeds.
    pub(crate) failed: Vec<Failed>,
}

/// A schedule in which a rule was broken.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Failed {
    pub(crate) kind: Kind,
    pub(crate) seed: u64,
    pub(crate) what: String,
}

impl Tally {
    fn count(&mut self, case: &Case, verdict: &Verdict) {
        self.takeovers += verdict.takeovers;
        self.coverage.count(case, &verdict.seen);
        if matches!(case, Case::Faults(_)) {
            let longest = self.overlaps.entry(case.interval()).or_default();
            *longest = verdict.overlap.max(*longest);
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.takeovers += other.takeovers;
        self.coverage.add(other.coverage);
        self.failed.extend(other.failed);
        self.failed.sort_by_key(|failed| failed.seed);
        for (interval, overlap) in other.overlaps {
            let longest = self.overlaps.entry(interval).or_default();
            *longest = overlap.max(*longest);
        }
    }
}

/// Plays the schedules of these seeds; each worker takes the next one.
pub(crate) fn play(seeds: Range<u64>, kind_of: fn(u64) -> Kind) -> Tally {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicU64::new(seeds.start);
    let mut all = Tally::default();
    thread::scope(|scope| {
        let work = || {
            let mut tally = Tally::default();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end {
                    return tally;
                }
                let kind = kind_of(seed);
                let case = Case::from_seed(kind, seed);
                match case.play() {
                    Ok(verdict) => tally.count(&case, &verdict),
                    Err(verdict) => {
                        tally.failed.push(Failed { kind, seed, what: verdict.what });
                    }
                }
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            all.add(worker.join().expect("no panic"));
        }
    });
    all
}
