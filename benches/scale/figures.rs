//! The figures of a trial.

use std::time::Duration;

use crate::account::Memory;
use crate::moving::Moved;
use crate::program::Kind;
use crate::rhythm::Rhythm;
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
