//! When a router is due, and why: what follows from the deadlines that its state owns.

use super::{Backup, Preempt, Router, State, Timer};
use crate::time::Mono;

impl Router {
    /// When [`Router::fire`] is due, and for which timer.
    pub fn deadline(&self) -> Option<(Mono, Timer)> {
        match &self.state {
            State::Initialize => None,
            State::Active(active) => Some((active.next_advertisement, Timer::Advertisement)),
            State::Leaving(leaving) => match leaving.again {
                Some(again) if again < leaving.until => Some((again, Timer::Farewell)),
                _ => Some((leaving.until, Timer::Departure)),
            },
            State::Backup(backup) => {
                let (at, why) = self.own_claim(backup);
                let group = self.claim_not_before;
                let why = if group > at { Timer::SyncGroup } else { why };
                (group < Mono(u64::MAX)).then_some((at.max(group), why))
            }
        }
    }

    /// When a backup claims the addresses, its sync group aside.
    pub fn claim_time(&self) -> Option<Mono> {
        match &self.state {
            State::Backup(backup) => Some(self.own_claim(backup).0),
            _ => None,
        }
    }

    fn own_claim(&self, backup: &Backup) -> (Mono, Timer) {
        let (at, why) = self.timer(backup);
        (at.max(backup.hold_until), why)
    }

    fn timer(&self, backup: &Backup) -> (Mono, Timer) {
        let down = (backup.active_down, Timer::ActiveDown);
        let Preempt::After(delay) = self.settings.preempt else { return down };
        match backup.lower.and_then(|lower| lower.preempted_at(delay)) {
            Some(at) if at < backup.active_down && !backup.handed_over => {
                (at, Timer::PreemptionDelay)
            }
            _ => down,
        }
    }

    /// When an active router advertises next; `None`: it is not active.
    pub fn next_advertisement(&self) -> Option<Mono> {
        match &self.state {
            State::Active(active) => Some(active.next_advertisement),
            _ => None,
        }
    }
}
