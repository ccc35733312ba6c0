//! Checks: what is really the matter, and when a look at it answers.

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use vipd::engine::{Input, ProbeResult};
use vipd::model::TrackName;
use vipd::time::Span;

use super::{Happening, World};

/// The real state of the subject of a check, on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Truth {
    Well,
    Broken,
    /// A look never answers.
    Hangs,
}

impl Truth {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        rng.choice([Self::Well, Self::Well, Self::Broken, Self::Hangs]).expect("not empty")
    }
}

impl World {
    /// The subject of a check changes; a watcher notices at once, or nothing does.
    pub(crate) fn turn(&mut self, node: usize, track: usize, truth: Truth) {
        let Some(config) = self.setup.tracks.get(track) else { return };
        let name = config.name.clone();
        self.nodes[node].truths[track] = truth;
        self.nodes[node].steady_since = self.now;
        if self.rng.bool() {
            self.input(node, Input::Stirred { track: name });
        }
    }

    /// Looks: the answer comes some time later, with what is true then.
    pub(super) fn look(&mut self, node: usize, track: &TrackName, number: u64) {
        let place = self.setup.tracks.iter().position(|config| config.name == *track);
        let Some(place) = place else {
            return self.broken(node, &format!("looks at {track}, which is not configured"));
        };
        if self.nodes[node].truths[place] == Truth::Hangs {
            return;
        }
        let timeout = self.setup.tracks[place].timeout.nanos();
        let at = self.now + Span::from_nanos(self.rng.u64(..timeout));
        let life = self.nodes[node].life;
        self.schedule(at, Happening::Answer { node, life, track: place, number });
    }

    pub(super) fn answer(&mut self, node: usize, life: u64, track: usize, number: u64) {
        let state = &mut self.nodes[node];
        // A dead daemon's answers are nobody's.
        if state.life != life || state.engine.is_none() {
            return;
        }
        let name = self.setup.tracks[track].name.clone();
        state.machine.process.look_ends(&name, number);
        let result = match state.truths[track] {
            Truth::Well => ProbeResult::Passed(String::new()),
            Truth::Broken | Truth::Hangs => ProbeResult::Failed("broken".to_owned()),
        };
        self.input(node, Input::Probed { track: name, number, result });
    }
}
