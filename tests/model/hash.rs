//! What makes two states the same: time counts relative to now, what is long ago is just that, and
//! what only people are told does not count.

use std::hash::{DefaultHasher, Hash, Hasher};

use vipd::time::Mono;

use crate::daemon::Daemon;
use crate::setup::{LEASE, LONG_AGO};
use crate::world::{Node, World};

/// A time that is as good as never.
const NEVER: u64 = u64::MAX / 2;

/// A hasher that takes points of time relative to now, and those of the wall clock not at all (they
/// follow from the others). The types of `vipd::time` say by the kind of integer what they are.
struct Relative<'h, H> {
    now: Mono,
    inner: &'h mut H,
}

impl<H: Hasher> Hasher for Relative<'_, H> {
    fn finish(&self) -> u64 {
        self.inner.finish()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.inner.write(bytes);
    }

    fn write_u8(&mut self, number: u8) {
        self.inner.write_u8(number);
    }

    fn write_u64(&mut self, number: u64) {
        self.inner.write_u64(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.inner.write_usize(number);
    }

    fn write_isize(&mut self, number: isize) {
        self.inner.write_isize(number);
    }

    fn write_u128(&mut self, point: u128) {
        let point = Mono(u64::try_from(point).unwrap_or(u64::MAX));
        self.inner.write_u64(if point.0 >= NEVER {
            u64::MAX
        } else if point + LONG_AGO < self.now {
            u64::MAX - 1
        } else {
            (point + LONG_AGO).since(self.now).nanos()
        });
    }

    fn write_i128(&mut self, _: i128) {}
}

impl<D: Daemon> Hash for World<D> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { now, nodes, wires, faults, judge, told: _ } = self;
        // Leases are renewed at multiples of a quarter of the lease.
        state.write_u64(now.0 % LEASE.divided_by(4).nanos());
        let mut relative = Relative { now: *now, inner: state };
        (nodes, wires, faults, judge).hash(&mut relative);
    }
}

impl<D: Daemon> Hash for Node<D> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { life, held, written, well, reloaded, stopping } = self;
        (life, held, written, well, reloaded, stopping).hash(state);
    }
}

/// The hash of a part of a state, at one time.
pub(crate) fn digest(part: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    part.hash(&mut hasher);
    hasher.finish()
}
