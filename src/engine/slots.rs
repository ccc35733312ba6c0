//! Advertisements that go out at the same moments: a wake-up costs more than a packet.
//!
//! Instances with the same interval share a moment of it, a *slot*. One that becomes active, or
//! whose advertisement is put off, takes the slot shortly before its own time: its first interval
//! is a little shorter, and from then on its distances are exact.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included};

use crate::model::InterfaceName;
use crate::time::{Mono, Span};

/// The longest time by which an advertisement may go out sooner to share a slot; and the same as a
/// part of the interval.
const WIDTH: Span = Span::from_millis(10);
const PART: u64 = 10;

/// The most advertisements of one interface in a slot: a receiver's default
/// buffer holds 256 (`net.core.rmem_default`), and other traffic wants room, too.
const ROOM: usize = 100;

/// The slot of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Seat {
    interface: InterfaceName,
    interval: Span,
    /// The slot's distance from the interval's multiples.
    phase: Span,
}

/// The slots that are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Slots {
    seats: Vec<Option<Seat>>,
    /// By interval and phase: how many advertisements there are, by interface.
    taken: BTreeMap<(Span, Span), BTreeMap<InterfaceName, usize>>,
}

impl Slots {
    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The instance in this place does not advertise (any more).
    pub(super) fn leave(&mut self, place: usize) {
        let Some(seat) = self.seats.get_mut(place).and_then(Option::take) else { return };
        let slot = (seat.interval, seat.phase);
        let Some(there) = self.taken.get_mut(&slot) else { return };
        if let Some(count) = there.get_mut(&seat.interface) {
            *count -= 1;
            if *count == 0 {
                there.remove(&seat.interface);
            }
        }
        if there.is_empty() {
            self.taken.remove(&slot);
        }
    }

    /// The instance in this place is to advertise at `wish`, and at each interval from then on:
    /// returns when it does so first, not later than that. One that keeps its rhythm keeps its
    /// slot.
    pub(super) fn seat(
        &mut self,
        place: usize,
        interface: &InterfaceName,
        interval: Span,
        wish: Mono,
    ) -> Mono {
        if interval == Span::ZERO {
            return wish;
        }
        let phase = phase_of(wish, interval);
        let keeps = |seat: &Seat| {
            (seat.interval, seat.phase) == (interval, phase) && seat.interface == *interface
        };
        if self.seats.get(place).is_some_and(|seat| seat.as_ref().is_some_and(keeps)) {
            return wish;
        }
        self.leave(place);
        let at = self.find(interface, interval, wish);
        self.take(place, interface, interval, at);
        at
    }

    /// The same for one that keeps its time, whatever the others do.
    pub(super) fn keep(
        &mut self,
        place: usize,
        interface: &InterfaceName,
        interval: Span,
        at: Mono,
    ) {
        if interval > Span::ZERO {
            self.leave(place);
            self.take(place, interface, interval, at);
        }
    }

    fn take(&mut self, place: usize, interface: &InterfaceName, interval: Span, at: Mono) {
        let phase = phase_of(at, interval);
        *self.taken.entry((interval, phase)).or_default().entry(interface.clone()).or_default() +=
            1;
        if self.seats.len() <= place {
            self.seats.resize(place + 1, None);
        }
        if let Some(seat) = self.seats.get_mut(place) {
            *seat = Some(Seat { interface: interface.clone(), interval, phase });
        }
    }

    /// The last time before `wish` at which there is a slot with room, as long as that is near;
    /// where the near ones are full, a new one before them.
    fn find(&self, interface: &InterfaceName, interval: Span, wish: Mono) -> Mono {
        let width = WIDTH.min(interval.divided_by(PART));
        let mut end = wish;
        for _ in 0..PART / 2 {
            match self.nearest(interface, interval, end, width) {
                Nearest::Room(distance) => return end - distance,
                Nearest::None => return end,
                Nearest::Full => end = end - width,
            }
        }
        wish
    }

    /// The nearest slot with room within `width` before `end`, that moment included.
    fn nearest(
        &self,
        interface: &InterfaceName,
        interval: Span,
        end: Mono,
        width: Span,
    ) -> Nearest {
        let phase = phase_of(end, interval);
        let until = (Included((interval, Span::ZERO)), Included((interval, phase)));
        // Before the interval's multiple come the last phases of the one before.
        let after = (Excluded((interval, phase)), Excluded((interval, interval)));
        let near = self.taken.range(until).rev().chain(self.taken.range(after).rev());
        let mut nearest = Nearest::None;
        for ((_, slot), there) in near {
            let wraps = if *slot > phase { interval } else { Span::ZERO };
            let distance = Span::from_nanos((phase + wraps).nanos() - slot.nanos());
            if distance >= width {
                break;
            }
            if there.get(interface).is_none_or(|count| *count < ROOM) {
                return Nearest::Room(distance);
            }
            nearest = Nearest::Full;
        }
        nearest
    }
}

/// The slots shortly before a time.
enum Nearest {
    /// A slot with room, so long before it.
    Room(Span),
    /// Slots without.
    Full,
    /// No slot.
    None,
}

fn phase_of(at: Mono, interval: Span) -> Span {
    Span::from_nanos(at.0.checked_rem(interval.nanos()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Span = Span::from_millis(100);

    fn eth(number: u8) -> InterfaceName {
        format!("eth{number}").as_str().try_into().unwrap()
    }

    fn at(micros: u64) -> Mono {
        Mono(0) + Span::from_micros(micros)
    }

    /// Rule: who becomes active shortly after another one advertises with it, on any interface;
    /// later than that it has its own moment.
    #[test]
    fn neighbours_share_a_slot() {
        let mut slots = Slots::default();
        assert_eq!(slots.seat(0, &eth(0), INTERVAL, at(203_000)), at(203_000));
        assert_eq!(slots.seat(1, &eth(0), INTERVAL, at(212_900)), at(203_000));
        assert_eq!(slots.seat(2, &eth(1), INTERVAL, at(305_000)), at(303_000));
        assert_eq!(slots.seat(3, &eth(0), INTERVAL, at(313_000)), at(313_000));
        // Not later than it would alone.
        assert_eq!(slots.seat(4, &eth(0), INTERVAL, at(302_900)), at(302_900));
    }

    /// Rule: distances are exact: who keeps its rhythm is moved no more.
    #[test]
    fn a_rhythm_is_kept() {
        let mut slots = Slots::default();
        slots.seat(0, &eth(0), INTERVAL, at(205_000));
        slots.seat(1, &eth(0), INTERVAL, at(204_000));
        assert_eq!(slots.seat(0, &eth(0), INTERVAL, at(305_000)), at(305_000));
        assert_eq!(slots.seat(1, &eth(0), INTERVAL, at(304_000)), at(304_000));
    }

    /// Rule: no more of one interface than a receiver has room for go out at once; the others
    /// go out in slots before, also over the interval's multiple.
    #[test]
    fn a_slot_has_bounds() {
        let mut slots = Slots::default();
        let times: Vec<Mono> =
            (0..255).map(|place| slots.seat(place, &eth(0), INTERVAL, at(1_005_000))).collect();
        let count = |time| times.iter().filter(|at| **at == time).count();
        assert_eq!(
            [at(1_005_000), at(995_000), at(985_000)].map(count),
            [ROOM, ROOM, 255 - 2 * ROOM]
        );
        assert_eq!(slots.seat(255, &eth(1), INTERVAL, at(1_005_000)), at(1_005_000));
    }

    /// Rule: a slot ends with the last that used it.
    #[test]
    fn slots_are_left() {
        let mut slots = Slots::default();
        slots.seat(0, &eth(0), INTERVAL, at(205_000));
        slots.leave(0);
        assert_eq!(slots, Slots { seats: vec![None], ..Slots::default() });
        assert_eq!(slots.seat(1, &eth(0), INTERVAL, at(207_000)), at(207_000));
    }
}
