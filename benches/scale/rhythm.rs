//! The distances between advertisements.

use std::time::{Duration, Instant};

use crate::capture::Seen;
use crate::lab::gaps;
use crate::workload::Workload;

/// The advertisements of all routers in some time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rhythm {
    /// The longest distance between two of one router.
    pub(crate) longest: Duration,
    /// The same without the time for which the machine ran nobody.
    pub(crate) longest_running: Duration,
    /// The number of advertisements that did not come when they were due.
    pub(crate) missed: u32,
}

impl Rhythm {
    /// Of what was seen from one moment to another.
    pub(crate) fn of(seen: &[Seen], workload: Workload, from: Instant, until: Instant) -> Self {
        let mut last = vec![[from; 256]; workload.interfaces];
        let mut rhythm = Self::default();
        for seen in seen.iter().filter(|seen| seen.priority > 0 && seen.at < until) {
            let last = &mut last[seen.segment][usize::from(seen.id)];
            rhythm.add(*last, seen.at, workload.interval);
            *last = seen.at;
        }
        for router in workload.all() {
            rhythm.add(last[router.interface][usize::from(router.id)], until, workload.interval);
        }
        rhythm
    }

    fn add(&mut self, from: Instant, until: Instant, interval: Duration) {
        let distance = until.saturating_duration_since(from);
        self.longest = self.longest.max(distance);
        // Most are far too short to be asked about.
        if distance > self.longest_running {
            let running = gaps(&[from, until]).into_iter().max().unwrap_or_default();
            self.longest_running = self.longest_running.max(running);
        }
        let late = distance.as_secs_f64() / interval.as_secs_f64() - 0.5;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "few intervals"
        )]
        let missed = late.max(0.0).floor() as u32;
        self.missed += missed;
    }
}
