//! How lengths of time are spread: what a scraper makes quantiles of.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::time::Span;

const LATENESS: [Span; 15] = [
    Span::from_micros(50),
    Span::from_micros(100),
    Span::from_micros(250),
    Span::from_micros(500),
    Span::from_millis(1),
    Span::from_micros(2_500),
    Span::from_millis(5),
    Span::from_millis(10),
    Span::from_millis(25),
    Span::from_millis(50),
    Span::from_millis(100),
    Span::from_millis(250),
    Span::from_millis(500),
    Span::from_secs(1),
    Span::from_secs(5),
];

const TAKEOVERS: [Span; 16] = [
    Span::from_millis(1),
    Span::from_millis(5),
    Span::from_millis(10),
    Span::from_millis(50),
    Span::from_millis(100),
    Span::from_millis(250),
    Span::from_millis(500),
    Span::from_secs(1),
    Span::from_secs(2),
    Span::from_secs(3),
    Span::from_secs(4),
    Span::from_secs(5),
    Span::from_secs(10),
    Span::from_secs(30),
    Span::from_secs(60),
    Span::from_secs(120),
];

/// Counts of lengths of time between fixed bounds, the sum and the longest of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// The upper bounds, ascending; a length that equals a bound counts below it, as in Prometheus.
    bounds: Cow<'static, [Span]>,
    /// How many lie between the bound before and each bound; one more at the end, for those above
    /// all bounds.
    counts: Vec<u64>,
    /// All of them together.
    sum: Span,
    /// The longest one so far.
    longest: Span,
}

impl Histogram {
    /// An empty one with these bounds, which ascend.
    pub fn new(bounds: impl Into<Cow<'static, [Span]>>) -> Self {
        let bounds = bounds.into();
        let counts = vec![0; bounds.len() + 1];
        Self { bounds, counts, sum: Span::ZERO, longest: Span::ZERO }
    }

    /// One for how late an alarm rings: from 50 microseconds to 5 seconds.
    pub fn of_lateness() -> Self {
        Self::new(&LATENESS)
    }

    /// One for how long it takes until another node has taken over: from 1 millisecond to 2 minutes.
    pub fn of_takeovers() -> Self {
        Self::new(&TAKEOVERS)
    }

    /// Counts one length.
    pub fn observe(&mut self, length: Span) {
        let place = self.bounds.partition_point(|bound| *bound < length);
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.sum = Span::from_nanos(self.sum.nanos().saturating_add(length.nanos()));
        self.longest = self.longest.max(length);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together.
    pub fn sum(&self) -> Span {
        self.sum
    }

    /// The longest of them.
    pub fn longest(&self) -> Span {
        self.longest
    }

    /// Each upper bound (`None`: without bound) with how many lie between the one before and it.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Span>, u64)> {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        bounds.zip(self.counts.iter().copied())
    }

    /// The bound below which at least this many of a hundred lie; `None` where none were counted or
    /// that lies above all bounds.
    pub fn below(&self, percent: u64) -> Option<Span> {
        let wanted = (self.count() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let bucket = self.buckets().find(|(_, count)| {
            seen += count;
            seen >= wanted
        });
        bucket.and_then(|(bound, _)| bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(count: u64) -> Span {
        Span::from_millis(count)
    }

    /// Rule: each length counts once, below the first bound that is not shorter (Prometheus' `le`).
    #[test]
    fn lengths_are_counted_below_their_bound() {
        let mut histogram = Histogram::new(vec![millis(1), millis(10)]);
        for length in [0, 1, 2, 10, 11, 3_000] {
            histogram.observe(millis(length));
        }
        let buckets: Vec<_> = histogram.buckets().collect();
        assert_eq!(buckets, [(Some(millis(1)), 2), (Some(millis(10)), 2), (None, 2)]);
        assert_eq!((histogram.count(), histogram.sum()), (6, millis(3_024)));
        assert_eq!(histogram.longest(), millis(3_000));
    }

    /// Rule: a share of all is below the bound that is said, and no smaller one.
    #[test]
    fn shares_are_found() {
        let mut histogram = Histogram::of_lateness();
        assert_eq!(histogram.below(99), None);
        (0..98).for_each(|_| histogram.observe(Span::from_micros(60)));
        histogram.observe(millis(2));
        histogram.observe(Span::from_secs(60));
        assert_eq!(histogram.below(50), Some(Span::from_micros(100)));
        assert_eq!(histogram.below(99), Some(Span::from_micros(2_500)));
        assert_eq!(histogram.below(100), None);
    }
}
