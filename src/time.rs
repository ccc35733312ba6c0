//! Points and lengths of time, as plain numbers.
//!
//! The pure half never reads a clock: every input carries a [`Now`]. The types serialize as
//! whole nanoseconds, so that a recorded incident replays exactly.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point on the monotonic clock: nanoseconds of `CLOCK_BOOTTIME`, which goes on counting
/// while the machine is suspended (`clock_gettime(2)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mono(pub u64);

/// A point on the wall clock: nanoseconds since 1970-01-01 UTC. Only for showing to people and
/// for the authentication trailer; no deadline is ever computed from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Wall(pub u64);

/// A length of time in nanoseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Span(u64);

/// The two clocks, read together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// For deadlines.
    pub mono: Mono,
    /// For people and for authentication.
    pub wall: Wall,
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// `count` nanoseconds.
    pub const fn from_nanos(count: u64) -> Self {
        Self(count)
    }

    /// `count` microseconds.
    pub const fn from_micros(count: u64) -> Self {
        Self(count.saturating_mul(1_000))
    }

    /// `count` milliseconds.
    pub const fn from_millis(count: u64) -> Self {
        Self(count.saturating_mul(1_000_000))
    }

    /// `count` seconds.
    pub const fn from_secs(count: u64) -> Self {
        Self(count.saturating_mul(1_000_000_000))
    }

    /// The length in nanoseconds.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// The length in whole milliseconds, rounded down.
    pub const fn millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// `self * factor`, or the longest span there is.
    #[must_use]
    pub const fn times(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }

    /// `self / divisor`, rounded down; a divisor of zero counts as one.
    #[must_use]
    pub const fn divided_by(self, divisor: u64) -> Self {
        Self(self.0 / if divisor == 0 { 1 } else { divisor })
    }
}

/// Nothing else here is hashed as a `u128`, so that a hasher can tell points of time from numbers:
/// two states that differ only by when they are can hash alike.
impl Hash for Mono {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.0.into());
    }
}

/// As an `i128`, for the same reason.
impl Hash for Wall {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_i128(self.0.into());
    }
}

impl Mono {
    /// The time from `earlier` to `self`, or zero where `earlier` is the later one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Wall {
    /// The time from `earlier` to `self`, or zero where `earlier` is the later one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Span> for Mono {
    type Output = Self;

    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Mono {
    type Output = Self;

    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Add<Span> for Wall {
    type Output = Self;

    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Wall {
    type Output = Self;

    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Add for Span {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        Self::from_nanos(span.0)
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// For people: `3.2 s`, `100 ms`, `4 min 5 s`, with three significant digits where it is short.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SECOND: u64 = 1_000_000_000;
        let whole = self.0 / SECOND;
        match self.0 {
            0 => f.write_str("0 s"),
            n if n < 1_000_000 => write!(f, "{} µs", n / 1_000),
            n if n < SECOND => write!(f, "{} ms", n / 1_000_000),
            n if n < 60 * SECOND => match n % SECOND / 10_000_000 {
                0 => write!(f, "{whole} s"),
                hundredths if hundredths % 10 == 0 => write!(f, "{whole}.{} s", hundredths / 10),
                hundredths => write!(f, "{whole}.{hundredths:02} s"),
            },
            n if n < 3_600 * SECOND => write!(f, "{} min {} s", whole / 60, whole % 60),
            _ => write!(f, "{} h {} min", whole / 3_600, whole / 60 % 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a length of time reads the same in every log line and status text.
    #[test]
    fn spans_are_written_for_people() {
        let written = |span: Span| span.to_string();
        assert_eq!(written(Span::ZERO), "0 s");
        assert_eq!(written(Span::from_micros(250)), "250 µs");
        assert_eq!(written(Span::from_millis(100)), "100 ms");
        assert_eq!(written(Span::from_millis(3_200)), "3.2 s");
        assert_eq!(written(Span::from_millis(3_219)), "3.21 s");
        assert_eq!(written(Span::from_secs(3)), "3 s");
        assert_eq!(written(Span::from_secs(245)), "4 min 5 s");
        assert_eq!(written(Span::from_secs(7_260)), "2 h 1 min");
    }

    /// Rule: arithmetic on times saturates; a deadline far away never wraps into the past.
    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Mono(u64::MAX) + Span::from_secs(1), Mono(u64::MAX));
        assert_eq!(Mono(1).since(Mono(2)), Span::ZERO);
    }
}
