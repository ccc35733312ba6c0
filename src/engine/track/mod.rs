//! The checks of this node: when each looks, and what counts of what it saw.
//!
//! A check belongs to the node, not to an instance: several instances may depend on one. In `one`
//! is the life of a single check, in `flap` when it is not believed any more.

mod flap;
mod one;

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Action, ProbeResult};
use super::status::TrackStatus;
use super::timer::Timer;
use super::words::TrackFailure;
use crate::hash::hash_by;
use crate::model::{TrackConfig, TrackName};
use crate::time::{Mono, Now};
use one::Track;

/// All checks in the order of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tracks {
    all: Vec<Track>,
    /// The places by name.
    index: BTreeMap<TrackName, usize>,
    /// The number of the last look.
    looks: u64,
    stopped: bool,
}

hash_by!(Tracks { all, stopped } without { index, looks });

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
        let all: Vec<Track> =
            configs.iter().map(|config| Track::new(config.clone(), now)).collect();
        Self { index: index(&all), all, ..Self::default() }
    }

    /// The place of the check of this name.
    pub(super) fn place(&self, name: &TrackName) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// The places of all.
    pub(super) fn places(&self) -> std::ops::Range<usize> {
        0..self.all.len()
    }

    /// What came of a look. Returns whether what the check says has changed.
    pub(super) fn probed(
        &mut self,
        now: Now,
        place: usize,
        number: u64,
        result: &ProbeResult,
        out: &mut Vec<Action>,
    ) -> bool {
        self.all.get_mut(place).is_some_and(|track| track.probed(now, number, result, out))
    }

    /// The subject of a check may have changed; returns its place.
    pub(super) fn stirred(&mut self, name: &TrackName) -> Option<usize> {
        let place = self.place(name)?;
        self.all.get_mut(place)?.stirred();
        Some(place)
    }

    /// Does what is due of the check in this place. Returns its name if what it says has changed.
    pub(super) fn fire(
        &mut self,
        now: Now,
        place: usize,
        out: &mut Vec<Action>,
    ) -> Option<TrackName> {
        let track = self.all.get_mut(place).filter(|_| !self.stopped)?;
        track.fire(now, &mut self.looks, out).then(|| track.name().clone())
    }

    /// The machine was suspended: a look that was under way gets its time anew.
    pub(super) fn resume(&mut self, now: Mono) {
        self.all.iter_mut().for_each(|track| track.resume(now));
    }

    /// Another configuration. A check that is in both keeps what it has found, whatever differs.
    pub(super) fn reload(&mut self, configs: &[TrackConfig], now: Now, out: &mut Vec<Action>) {
        let mut before = std::mem::take(&mut self.all);
        for config in configs {
            let track = match before.iter().position(|old| *old.name() == config.name) {
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
        self.index = index(&self.all);
    }

    /// The daemon stops: nothing is looked at any more.
    pub(super) fn stop(&mut self, out: &mut Vec<Action>) {
        self.stopped = true;
        self.all.iter_mut().for_each(|track| track.cancel(out));
    }

    /// When the check in this place is due, and what for.
    pub(super) fn deadline(&self, place: usize) -> Option<(Mono, Timer)> {
        self.all.get(place).filter(|_| !self.stopped).map(Track::deadline)
    }

    /// What these checks say together.
    pub(super) fn health(&self, names: &[TrackName]) -> Health {
        let mut health = Health::default();
        // In the order of the configuration.
        let places: BTreeSet<usize> = names.iter().filter_map(|name| self.place(name)).collect();
        for track in places.into_iter().filter_map(|place| self.all.get(place)) {
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

fn index(all: &[Track]) -> BTreeMap<TrackName, usize> {
    all.iter().enumerate().map(|(place, track)| (track.name().clone(), place)).collect()
}
