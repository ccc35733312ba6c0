//! The times at which the machine let a ready thread wait: what is judged by a clock is not charged
//! with them.
//!
//! A thread on each processor wants to run every few milliseconds and notes when it could not. It is
//! an ordinary thread, as those of the tests are.

use std::collections::VecDeque;
use std::sync::{Mutex, Once, PoisonError};
use std::thread::{self, available_parallelism, sleep};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// How often each thread wants to run.
const EVERY: Duration = Duration::from_millis(5);

/// What is no stall yet: a turn of another thread or two.
const SHORT: Duration = Duration::from_millis(10);

/// How many are kept. The cases ask of the last minute or two.
const KEPT: usize = 100_000;

/// After a stall of this length a loop may say that it was held up.
pub(crate) const HELD_UP: Duration = Duration::from_millis(50);

/// A time in which a processor did not run what was ready: when it was due, and when it ran.
type Stall = (Instant, Instant);

static STALLS: Mutex<VecDeque<Stall>> = Mutex::new(VecDeque::new());

/// Starts to watch, once for the whole program.
pub(super) fn watch() {
    static START: Once = Once::new();
    START.call_once(|| {
        for processor in 0..available_parallelism().map_or(1, usize::from) {
            thread::spawn(move || run_on(processor));
        }
    });
}

fn run_on(processor: usize) {
    let mut only = CpuSet::new();
    // Where it may not be there it watches any processor.
    let _ = only.set(processor).and_then(|()| sched_setaffinity(Pid::from_raw(0), &only));
    loop {
        let due = Instant::now() + EVERY;
        sleep(EVERY);
        let ran = Instant::now();
        if ran.saturating_duration_since(due) >= SHORT {
            let mut stalls = STALLS.lock().unwrap_or_else(PoisonError::into_inner);
            if stalls.len() == KEPT {
                stalls.pop_front();
            }
            stalls.push_back((due, ran));
        }
    }
}

/// How much of the time from `from` until `until` the machine did not let somebody run who was ready.
pub(crate) fn stalled_between(from: Instant, until: Instant) -> Duration {
    let stalls = STALLS.lock().unwrap_or_else(PoisonError::into_inner);
    let within = stalls.iter().map(|(due, ran)| ((*due).max(from), (*ran).min(until)));
    let mut within: Vec<Stall> = within.filter(|(due, ran)| due < ran).collect();
    drop(stalls);
    within.sort_unstable();
    // Two processors at the same time count once.
    let mut covered = from;
    let mut sum = Duration::ZERO;
    for (due, ran) in within {
        sum += ran.saturating_duration_since(due.max(covered));
        covered = covered.max(ran);
    }
    sum
}

/// The same from `from` until now.
pub(crate) fn stalled(from: Instant) -> Duration {
    stalled_between(from, Instant::now())
}

/// The time between two moments in which the machine ran everybody.
pub(crate) fn running_time(from: Instant, until: Instant) -> Duration {
    until.saturating_duration_since(from).saturating_sub(stalled_between(from, until))
}

/// The longest time from `from` until now for which the machine did not let somebody run.
pub(crate) fn longest_stall(from: Instant) -> Duration {
    let stalls = STALLS.lock().unwrap_or_else(PoisonError::into_inner);
    let later = stalls.iter().filter(|(_, ran)| *ran > from);
    later.map(|(due, ran)| *ran - *due).max().unwrap_or_default()
}

/// The longest time between two neighbours of these moments, without the machine's own stalls.
pub(crate) fn longest_pause(moments: &[Instant]) -> Duration {
    let pauses = moments.windows(2).map(|two| running_time(two[0], two[1]));
    pauses.max().unwrap_or_default()
}
