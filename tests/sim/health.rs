//! The checks of a simulated group: what is really the matter, when a look at it answers, and what a
//! reference model makes of it.

use fastrand::Rng;
use vipd::engine::{Action, Input, ProbeResult};
use vipd::model::{
    FileCondition, FileProbe, Flap, IfAllFail, Priority, Probe, TrackConfig, TrackName,
};
use vipd::time::Span;

use crate::schedule::Group;
use crate::world::{Happening, Node, World};

/// How much longer than its timeout the engine waits for a look.
const GRACE: Span = Span::from_secs(1);

/// What is really the matter with the subject of a check, on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// The checks of a group: often none.
pub(crate) fn draw(rng: &mut Rng) -> Vec<TrackConfig> {
    let count = rng.choice([0, 0, 1, 1, 2, 3]).expect("not empty");
    (0..count).map(|number| track(rng, number)).collect()
}

fn track(rng: &mut Rng, number: usize) -> TrackConfig {
    let interval = Span::from_millis(rng.choice([100, 300, 1_000]).expect("not empty"));
    let flap = Flap { changes: 3, within: interval.times(20), hold: interval.times(5) };
    TrackConfig {
        name: TrackName::try_from(format!("check{number}").as_str()).expect("valid"),
        probe: Probe::File(FileProbe {
            path: "/run/ready".into(),
            condition: FileCondition::Present,
        }),
        interval,
        timeout: interval.divided_by(rng.u64(1..4)),
        rise: rng.u8(1..4),
        fall: rng.u8(1..4),
        cost: rng.bool().then(|| rng.choice([5, 30, 60, 200]).expect("not empty")),
        flap: (rng.u8(..3) == 0).then_some(flap),
    }
}

impl Group {
    /// How long after the last change of a subject the checks say what is true of it.
    pub(crate) fn verdict_bound(&self) -> Span {
        let bound = |track: &TrackConfig| {
            let looks = u64::from(track.rise.max(track.fall)) + 2;
            let hold = track.flap.map_or(Span::ZERO, |flap| flap.hold);
            // A look that hangs ends late, and so does each one before the verdict.
            (track.interval + track.timeout + GRACE).times(looks) + hold
        };
        self.tracks.iter().map(bound).max().unwrap_or_default()
    }

    /// What the election must make of a node, in the model's words.
    pub(crate) fn standing(&self, node: usize, truths: &[Truth]) -> Standing {
        self.standing_of(self.priorities[node], &self.tracks, truths)
    }

    fn standing_of(&self, own: Priority, tracks: &[TrackConfig], truths: &[Truth]) -> Standing {
        // A reload may have left out some of the checks.
        let is_configured = |name: &TrackName| tracks.iter().find(|track| track.name == *name);
        let failing = || {
            let all = self.tracks.iter().zip(truths).filter(|(_, t)| **t != Truth::Well);
            all.filter_map(|(track, _)| is_configured(&track.name))
        };
        let own = own.get();
        let keeps = self.if_all_fail == IfAllFail::Keep;
        if failing().any(|track| track.cost.is_none()) {
            return if keeps { Standing::LastResort(own / 10) } else { Standing::Out };
        }
        let costs: u32 = failing().filter_map(|track| track.cost).map(u32::from).sum();
        let lowest = if keeps { 26 } else { 1 };
        let left = u32::from(own).saturating_sub(costs).max(lowest);
        Standing::Healthy(u8::try_from(left).expect("it was lowered"))
    }
}

/// What a node may be. The greater one is the more rightful holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    Out,
    LastResort(u8),
    Healthy(u8),
}

impl Standing {
    /// The priority that it must advertise.
    pub(crate) fn priority(self) -> Option<Priority> {
        match self {
            Self::Out => None,
            Self::LastResort(priority) | Self::Healthy(priority) => {
                Some(Priority::try_from(priority.max(1)).expect("valid"))
            }
        }
    }
}

impl World {
    /// The subject of a check changes; a watcher notices at once, or nothing does.
    pub(crate) fn turn(&mut self, node: usize, track: usize, truth: Truth) {
        let Some(config) = self.group.tracks.get(track) else { return };
        let name = config.name.clone();
        self.nodes[node].truths[track] = truth;
        self.nodes[node].steady_since = self.now;
        if self.rng.bool() {
            self.input(node, Input::Stirred { track: name });
        }
    }

    /// Looks: the answer comes some time later, with what is true then.
    pub(crate) fn look(&mut self, node: usize, action: &Action) {
        let Action::Probe { track, number } = action else { return };
        let place = self.group.tracks.iter().position(|config| config.name == *track);
        let Some(place) = place else {
            self.violation = Some(format!("node{node} looks at {track}, which is not configured"));
            return;
        };
        let under_way = self.nodes[node].looks[place].replace(*number);
        if let Some(other) = under_way {
            self.violation = Some(format!("node{node} looks at {track} twice: {other}, {number}"));
        }
        if self.nodes[node].truths[place] == Truth::Hangs {
            return;
        }
        let timeout = self.group.tracks[place].timeout.nanos();
        let at = self.now + Span::from_nanos(self.rng.u64(..timeout));
        let (life, number) = (self.nodes[node].life, *number);
        self.schedule(at, Happening::Answer { node, life, track: place, number });
    }

    pub(crate) fn answer(&mut self, node: usize, life: u64, track: usize, number: u64) {
        let state = &mut self.nodes[node];
        // A dead daemon's answers are nobody's.
        if state.life != life || state.engine.is_none() {
            return;
        }
        state.looks[track].take_if(|look| *look == number);
        let result = match state.truths[track] {
            Truth::Well => ProbeResult::Passed(String::new()),
            Truth::Broken | Truth::Hangs => ProbeResult::Failed("broken".to_owned()),
        };
        let track = self.group.tracks[track].name.clone();
        self.input(node, Input::Probed { track, number, result });
    }

    pub(crate) fn look_away(&mut self, node: usize, track: &TrackName, number: u64) {
        let place = self.group.tracks.iter().position(|config| config.name == *track);
        if let Some(place) = place {
            self.nodes[node].looks[place].take_if(|look| *look == number);
        }
    }

    /// What the model says of a node now.
    pub(crate) fn standing(&self, node: usize) -> Standing {
        match self.nodes[node].engine {
            None => Standing::Out,
            Some(_) if self.nodes[node].standby => Standing::Out,
            Some(_) => {
                let Node { config, truths, .. } = &self.nodes[node];
                let own = config.instances[0].priority;
                self.group.standing_of(own, &config.tracks, truths)
            }
        }
    }

    /// The priority that a node says it has.
    pub(crate) fn advertised(&self, node: usize) -> Option<Priority> {
        let now = self.local(node);
        let status = self.nodes[node].engine.as_ref().map(|engine| engine.status(now));
        status.and_then(|status| status.instances.first().map(|instance| instance.priority))
    }
}
