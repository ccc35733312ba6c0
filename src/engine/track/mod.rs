//! The checks of this node: when each looks, and what counts of what it saw.
//!
//! A check belongs to the node, not to an instance: several instances may depend on one. In `one`
//! is the life of a single check, in `flap` when it is not believed any more.

mod flap;
mod one;

use std::collections::BTreeSet;

use super::event::{Action, ProbeResult};
use super::status::TrackStatus;
use super::words::TrackFailure;
use crate::model::{TrackConfig, TrackName};
use crate::time::{Mono, Now};
use one::Track;

/// All checks in the order of the configuration.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    all: Vec<Track>,
    /// The number of the last look.
    looks: u64,
    stopped: bool,
}

/// What the checks of an instance say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Health {
    /// A check without a cost that does not pass. One that has not passed yet comes first.
    pub(super) failing: Option<(TrackName, TrackFailure)>,
    /// The failing checks with a cost.
    pub(super) costs: Vec<(TrackName, u8)>,
}

impl Tracks {
    /// Checks that have never looked.
    pub(super) fn new(configs: &[TrackConfig], now: Now) -> Self {
        let all = configs.iter().map(|config| Track::new(config.clone(), now)).collect();
        Self { all, ..Self::default() }
    }

    /// What came of a look. Returns whether what the check says has changed.
    pub(super) fn probed(
        &mut self,
        now: Now,
        name: &TrackName,
        number: u64,
        result: &ProbeResult,
        out: &mut Vec<Action>,
    ) -> bool {
        let track = self.all.iter_mut().find(|track| track.name() == name);
        track.is_some_and(|track| track.probed(now, number, result, out))
    }

    /// What a check looks at may have changed.
    pub(super) fn stirred(&mut self, name: &TrackName) {
        if let Some(track) = self.all.iter_mut().find(|track| track.name() == name) {
            track.stirred();
        }
    }

    /// Does what is due. Returns whether what a check says has changed.
    pub(super) fn fire(&mut self, now: Now, out: &mut Vec<Action>) -> bool {
        if self.stopped {
            return false;
        }
        let mut changed = false;
        for track in &mut self.all {
            changed |= track.fire(now, &mut self.looks, out);
        }
        changed
    }

    /// The machine was suspended: a look that was under way gets its time anew.
    pub(super) fn resume(&mut self, now: Mono) {
        self.all.iter_mut().for_each(|track| track.resume(now));
    }

    /// Another configuration. A check that is in both keeps what it has found, whatever differs.
    pub(super) fn reload(&mut self, configs: &[TrackConfig], now: Now, out: &mut Vec<Action>) {
        let mut before = std::mem::take(&mut self.all);
        for config in configs {
            let same = |old: &Track| *old.name() == config.name;
            let track = match before.iter().position(same) {
                Some(place) => {
                    let mut track = before.remove(place);
                    track.reconfigure(now.mono, config, out);
                    track
                }
                None => Track::new(config.clone(), now),
            };
            self.all.push(track);
        }
        for old in &mut before {
            old.cancel(out);
        }
    }

    /// The daemon stops: nothing is looked at any more.
    pub(super) fn stop(&mut self, out: &mut Vec<Action>) {
        self.stopped = true;
        self.all.iter_mut().for_each(|track| track.cancel(out));
    }

    /// When [`Tracks::fire`] is due, and what for.
    pub(super) fn deadline(&self) -> Option<(Mono, &'static str)> {
        let all = self.all.iter().filter(|_| !self.stopped);
        all.map(Track::deadline).min_by_key(|(at, _)| *at)
    }

    /// What these checks say together.
    pub(super) fn health(&self, names: &[TrackName]) -> Health {
        let mut health = Health::default();
        let names: BTreeSet<&TrackName> = names.iter().collect();
        for track in self.all.iter().filter(|track| names.contains(track.name())) {
            let Some(failure) = track.failure() else { continue };
            let name = track.name().clone();
            let is_first = matches!(
                (&health.failing, failure),
                (None, _) | (Some((_, TrackFailure::Failed(_))), TrackFailure::Untried)
            );
            match track.cost() {
                Some(cost) => health.costs.push((name, cost)),
                None if is_first => health.failing = Some((name, failure.clone())),
                None => {}
            }
        }
        health
    }

    /// What there is to know about them.
    pub(super) fn status(&self, now: Now) -> Vec<TrackStatus> {
        self.all.iter().map(|track| track.status(now.mono)).collect()
    }
}
