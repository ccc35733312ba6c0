//! The checks of a simulated group, and what a reference model makes of what is true of their
//! subjects.

use fastrand::Rng;
use vipd::model::{
    FileCondition, FileProbe, Flap, IfAllFail, Priority, Probe, TrackConfig, TrackName,
};
use vipd::time::Span;

use crate::schedule::Group;
use crate::world::{Node, Truth, World};

/// How much longer than its timeout the engine waits for a look.
const GRACE: Span = Span::from_secs(1);

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

impl Group {
    /// What the model says of a node now.
    pub(crate) fn standing_in(&self, world: &World, node: usize) -> Standing {
        let Node { engine, standby, config, truths, .. } = &world.nodes[node];
        if engine.is_none() || *standby {
            return Standing::Out;
        }
        let own = config.instances[0].priority;
        self.standing_of(own, &config.tracks, truths)
    }
}
