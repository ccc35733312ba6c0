//! The figures of a trial.

use std::time::{Duration, Instant};

use crate::account::Memory;
use crate::capture::Seen;
use crate::lab::gaps;
use crate::moving::Moved;
use crate::program::Kind;
use crate::workload::Workload;

/// The figures of a program with a workload. Pairs are of the active node and of the backup.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    /// Percent of one core.
    pub(crate) cpu: [f64; 2],
    /// Of the largest process.
    pub(crate) memory: [Memory; 2],
    /// The time from the start of the active node to the last address.
    pub(crate) held: Duration,
    /// The advertisements.
    pub(crate) rhythm: Rhythm,
    /// The number of advertisements that were lost to the capture.
    pub(crate) dropped: u32,
    /// The longest time for which the machine ran nobody meanwhile.
    pub(crate) stall: Duration,
    /// The move at the end.
    pub(crate) moved: Option<Result<Moved, String>>,
}

/// A program's figures, or why it has none.
pub(crate) type Trial = Result<Figures, String>;

/// A workload with the trials of all programs that had it.
pub(crate) struct Row {
    /// The workload.
    pub(crate) workload: Workload,
    /// The trials, in the order of the table.
    pub(crate) trials: Vec<(Kind, Trial)>,
}

impl Row {
    /// The figures of a program.
    pub(crate) fn of(&self, kind: Kind) -> Option<&Figures> {
        let mut all = self.trials.iter();
        all.find(|(found, _)| *found == kind).and_then(|(_, trial)| trial.as_ref().ok())
    }

    /// The processor time of vipd or the floor compared with another program's, of both nodes.
    pub(crate) fn ratio(&self, of: Kind, to: Kind) -> Option<[f64; 2]> {
        let ([active, backup], to) = (self.of(of)?.cpu, self.of(to)?.cpu);
        Some([active / to[0], backup / to[1]])
    }
}

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
