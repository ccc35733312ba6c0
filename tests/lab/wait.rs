//! Waiting for facts: bounds are generous, because a busy machine is not a defect.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often facts are looked at.
const POLL: Duration = Duration::from_millis(10);

/// Waits until `fact` holds and says how long that took; fails after `bound`.
#[track_caller]
pub(crate) fn within(bound: Duration, what: &str, mut fact: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !fact() {
        assert!(start.elapsed() < bound, "not within {bound:?}: {what}");
        sleep(POLL);
    }
    start.elapsed()
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
