//! The sender's time stamps: growing numbers that are nearly the time.

use serde::{Deserialize, Serialize};

use crate::model::AntiReplay;
use crate::time::Wall;

/// A time stamp with a counter, as it is in a trailer: seconds since 1970 modulo 2^32, then 1/65536
/// s, then a counter. All together it is one number that grows with each advertisement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(u64);

impl Sequence {
    /// The number that is on the wire.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number as it is on the wire.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The first one of a moment.
    pub fn at(wall: Wall) -> Self {
        const SECOND: u64 = 1_000_000_000;
        let fraction = (wall.0 % SECOND) * 65_536 / SECOND;
        Self((wall.0 / SECOND) << 32 | fraction << 16)
    }

    /// The one that follows it; the counter carries into the time.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Whether it is later than the other one, in the order of numbers that wrap (RFC 1982).
    pub const fn is_after(self, other: Self) -> bool {
        let distance = self.0.wrapping_sub(other.0);
        distance != 0 && distance < 1 << 63
    }

    /// By how many seconds it is later than the other one; negative: earlier. Whole seconds are
    /// compared, and the difference wraps with them (in 2106 for the first time).
    pub const fn seconds_after(self, other: Self) -> i32 {
        self.seconds().wrapping_sub(other.seconds()).cast_signed()
    }

    const fn seconds(self) -> u32 {
        // The upper half fits.
        (self.0 >> 32) as u32
    }

    /// Whether the two are no more than this many seconds apart.
    pub const fn is_within(self, seconds: u16, other: Self) -> bool {
        self.seconds_after(other).unsigned_abs() <= seconds as u32
    }
}

/// Gives each advertisement of one sender its sequence. Nothing of it is kept over a restart: the
/// clock goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stamper {
    last: Sequence,
}

impl Stamper {
    /// The next one: the time where that has gone on, else the one after the last. After a step of
    /// the clock backwards that is longer than the window it starts anew, because what is ahead of
    /// the others' clocks by so much would be refused.
    pub fn next(&mut self, now: Wall, anti_replay: AntiReplay) -> Sequence {
        let clock = Sequence::at(now);
        let stepped_back = match anti_replay {
            AntiReplay::Time(window) => {
                self.last.seconds_after(clock) > i32::from(window.seconds())
            }
            AntiReplay::Monotonic => false,
        };
        let restart = clock.is_after(self.last) || stepped_back;
        self.last = if restart { clock } else { self.last.next() };
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Window;
    use crate::time::Span;

    const NOW: u64 = 1_700_000_000;
    const TIME: AntiReplay = AntiReplay::Time(Window::DEFAULT);

    fn wall(seconds: u64) -> Wall {
        Wall(0) + Span::from_secs(seconds)
    }

    fn at(seconds: u64) -> Sequence {
        Sequence::at(wall(seconds))
    }

    /// Rule: seconds, 1/65536 s and counter are where keepalived has them.
    #[test]
    fn a_moment_as_a_number() {
        assert_eq!(at(NOW).get(), NOW << 32);
        let half = Sequence::at(wall(NOW) + Span::from_millis(500));
        assert_eq!(half.get(), NOW << 32 | 0x8000 << 16);
        let end = Sequence::at(wall(NOW) + Span::from_nanos(999_999_999));
        assert_eq!(end.get(), NOW << 32 | 0xffff << 16, "it never reaches the next second");
    }

    /// Rule: a sender's sequences grow, within a moment and over a small step of the clock
    /// backwards; after a large one they start anew, but in monotonic mode they never do.
    #[test]
    fn sequences_grow() {
        let mut stamper = Stamper::default();
        assert_eq!(stamper.next(wall(NOW), TIME), at(NOW));
        assert_eq!(stamper.next(wall(NOW), TIME), at(NOW).next());
        assert_eq!(stamper.next(wall(NOW - 5), TIME), at(NOW).next().next(), "within the window");
        assert_eq!(stamper.next(wall(NOW - 3600), TIME), at(NOW - 3600));
        assert_eq!(stamper.next(wall(NOW), TIME), at(NOW), "forwards it follows");

        let mut monotonic = Stamper::default();
        monotonic.next(wall(NOW), AntiReplay::Monotonic);
        assert_eq!(monotonic.next(wall(NOW - 3600), AntiReplay::Monotonic), at(NOW).next());
    }

    /// Rule: the order and the differences go on over the wrap of the seconds in 2106.
    #[test]
    fn the_order_survives_2106() {
        let (before, after) = (at((1 << 32) - 1), at((1 << 32) + 1));
        assert!(after.is_after(before) && !before.is_after(after) && !after.is_after(after));
        assert_eq!(after.seconds_after(before), 2);
        assert_eq!(before.seconds_after(after), -2);
        assert!(before.is_within(2, after) && !before.is_within(1, after));
        let mut stamper = Stamper::default();
        stamper.next(wall((1 << 32) - 1), TIME);
        assert_eq!(stamper.next(wall((1 << 32) + 1), TIME), after);
    }

    /// Bug guarded: half of all numbers away there is neither before nor after, and the difference
    /// of seconds has no positive counterpart.
    #[test]
    fn the_far_end_of_the_circle() {
        let (zero, far) = (Sequence::new(0), Sequence::new(1 << 63));
        assert!(!zero.is_after(far) && !far.is_after(zero));
        assert!(!zero.is_within(300, far));
    }
}
