//! Sets of times.

use std::time::Instant;

/// From one moment to a later one, the latter left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) from: Instant,
    pub(super) until: Instant,
}

impl Span {
    pub(super) const fn new(from: Instant, until: Instant) -> Self {
        Self { from, until }
    }

    pub(super) fn contains(&self, at: Instant) -> bool {
        self.from <= at && at < self.until
    }
}

/// A set of times as spans that follow each other and do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Times(Vec<Span>);

impl FromIterator<Span> for Times {
    fn from_iter<T: IntoIterator<Item = Span>>(spans: T) -> Self {
        let mut sorted: Vec<Span> =
            spans.into_iter().filter(|span| span.from < span.until).collect();
        sorted.sort_unstable();
        let mut merged: Vec<Span> = Vec::new();
        for span in sorted {
            match merged.last_mut() {
                Some(last) if span.from <= last.until => last.until = last.until.max(span.until),
                _ => merged.push(span),
            }
        }
        Self(merged)
    }
}

impl Times {
    /// All the time of a span.
    pub(super) fn all(span: Span) -> Self {
        [span].into_iter().collect()
    }

    /// The spans, the first one first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = Span> {
        self.0.iter().copied()
    }

    pub(super) fn contains(&self, at: Instant) -> bool {
        self.0.iter().any(|span| span.contains(at))
    }

    /// The times of either.
    pub(super) fn or(&self, other: &Self) -> Self {
        self.iter().chain(other.iter()).collect()
    }

    /// The times of both.
    pub(super) fn and(&self, other: &Self) -> Self {
        let both = self.0.iter().flat_map(|one| {
            other.0.iter().map(|two| Span::new(one.from.max(two.from), one.until.min(two.until)))
        });
        both.collect()
    }

    /// The times of this one that are none of the other's.
    pub(super) fn but(&self, other: &Self) -> Self {
        let mut rest = Vec::new();
        for span in &self.0 {
            let mut from = span.from;
            for gone in other.0.iter().filter(|gone| gone.until > span.from) {
                if gone.from >= span.until {
                    break;
                }
                rest.push(Span::new(from, gone.from));
                from = from.max(gone.until);
            }
            rest.push(Span::new(from, span.until));
        }
        rest.into_iter().collect()
    }

    /// The times between the spans, from the first one to `end`.
    pub(super) fn gaps(&self, end: Instant) -> Self {
        let Some(first) = self.0.first() else { return Self::default() };
        Self::all(Span::new(first.from, end)).but(self)
    }
}
