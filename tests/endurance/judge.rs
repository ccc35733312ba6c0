//! The judgement: something grows, or nothing does.

use crate::measure::{COUNT, MEASURES};

/// With fewer measurements a life is too short to be judged.
const ENOUGH: usize = 24;

/// A measurement.
pub(crate) struct Sample {
    /// When it was made, in hours since the start of the run.
    pub(crate) at: f64,
    /// The values, in the order of [`MEASURES`].
    pub(crate) values: [f64; COUNT],
}

/// A daemon from its start to its end.
pub(crate) struct Life {
    /// The node's number.
    pub(crate) node: u8,
    /// The how many-th daemon it was there.
    pub(crate) number: u32,
    /// The measurements, in the order of time.
    pub(crate) samples: Vec<Sample>,
}

/// The development of a measure in a life.
pub(crate) struct Trend {
    /// The medians of the second and of the last quarter.
    pub(crate) before: f64,
    /// See above.
    pub(crate) after: f64,
    /// The least and the most that was seen.
    pub(crate) least: f64,
    /// See above.
    pub(crate) most: f64,
    /// The median of the slopes between any two measurements (Theil and Sen), an hour.
    pub(crate) slope: f64,
}

impl Life {
    /// True if there are enough measurements to tell noise from growth.
    pub(crate) fn is_long(&self) -> bool {
        self.samples.len() >= ENOUGH
    }

    /// The development of a measure. The first quarter does not count: caches fill then, and the
    /// allocator learns what the most is that is needed.
    pub(crate) fn trend(&self, place: usize) -> Trend {
        let values: Vec<f64> = self.samples.iter().map(|sample| sample.values[place]).collect();
        let quarter = values.len() / 4;
        Trend {
            before: median(values[quarter..2 * quarter.max(1)].to_vec()),
            after: median(values[values.len() - quarter.max(1)..].to_vec()),
            least: values.iter().copied().fold(f64::INFINITY, f64::min),
            most: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            slope: self.slope(place),
        }
    }

    fn slope(&self, place: usize) -> f64 {
        let later = &self.samples[self.samples.len() / 4..];
        let mut slopes = Vec::new();
        for (index, first) in later.iter().enumerate() {
            for second in &later[index + 1..] {
                let rise = second.values[place] - first.values[place];
                slopes.push(rise / (second.at - first.at).max(f64::EPSILON));
            }
        }
        median(slopes)
    }

    /// The measures that have grown by more than they may.
    pub(crate) fn grown(&self) -> Vec<String> {
        if !self.is_long() {
            return Vec::new();
        }
        let judged = MEASURES.iter().enumerate().filter_map(|(place, measure)| {
            let Trend { before, after, .. } = self.trend(place);
            let allowed = measure.tolerance.max(before * measure.share);
            let text = || {
                format!(
                    "node {}, daemon {}: {} has grown from {before} to {after}, by more than {allowed:.0}",
                    self.node, self.number, measure.name
                )
            };
            (after - before > allowed).then(text)
        });
        judged.collect()
    }
}

/// The middle one, or 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Proves that the judgement can fail: something leaks in the course of a life three times what it may
/// grow, behind a noise of the same height, and something else makes the same noise and does not leak.
pub(crate) fn tells_a_leak() {
    const SAMPLES: u32 = 200;
    let mut random = fastrand::Rng::with_seed(1);
    let mut life = Life { node: 0, number: 1, samples: Vec::new() };
    for place in 0..SAMPLES {
        let part = f64::from(place) / f64::from(SAMPLES);
        let mut values = [1.0; COUNT];
        for (place, leak) in [(0, 3.0 * part), (1, 0.0)] {
            values[place] = 10_000.0 + MEASURES[place].tolerance * (leak + random.f64());
        }
        life.samples.push(Sample { at: part, values });
    }
    let grown = life.grown();
    assert!(
        matches!(&grown[..], [one] if one.contains(MEASURES[0].name)),
        "the judgement of a made-up life: {grown:?}"
    );
}
