//! Waiting for facts: bounds are generous, because a busy machine is not a defect.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::stalls::running_time;

/// How often facts are looked at.
const POLL: Duration = Duration::from_millis(10);

/// A machine that stands still all the time makes a bound so many times longer at the most.
const MOST: u32 = 5;

/// Waits until `fact` holds and says how long that took; fails after `bound`, in which the
/// machine's own stalls do not count.
#[track_caller]
pub(crate) fn within(bound: Duration, what: &str, mut fact: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !fact() {
        assert!(!is_over(bound, start), "not within {bound:?}: {what}");
        sleep(POLL);
    }
    start.elapsed()
}

/// Says if so much time has gone by, the machine's own stalls left out.
pub(crate) fn is_over(bound: Duration, start: Instant) -> bool {
    let now = Instant::now();
    // Most looks are far from the end.
    now - start >= bound && (running_time(start, now) >= bound || now - start >= bound * MOST)
}

/// Looks at `fact` again and again for `span`; fails when it does not hold once.
#[track_caller]
pub(crate) fn steadily(span: Duration, what: &str, mut fact: impl FnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < span {
        assert!(fact(), "no longer true after {:?}: {what}", start.elapsed());
        sleep(POLL);
    }
}
