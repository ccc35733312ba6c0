//! Records the times at which the machine let a ready thread wait, so that the tests can leave them
//! out of the times that they judge.
//!
//! Two threads on each processor want to run every few milliseconds and note when they could not.
//! One is an ordinary thread, like those of the tests. The other one goes before the agents, which
//! are scheduled in real time. It waits only while the whole machine stands still: the processor
//! time that an agent itself uses is no excuse for the agent.

use std::collections::VecDeque;
use std::process::{Command, Stdio};
use std::sync::{Mutex, Once, PoisonError};
use std::thread::{self, available_parallelism, sleep};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::{Pid, gettid};

/// The pause after which each thread wants to run again.
const EVERY: Duration = Duration::from_millis(5);

/// A shorter wait is no stall: other threads had a turn.
const SHORT: Duration = Duration::from_millis(10);

/// The number of stalls that are kept. The tests ask about the last minute or two.
const KEPT: usize = 100_000;

/// After a stall of this length a loop may report that it was held up.
pub(crate) const HELD_UP: Duration = Duration::from_millis(50);

/// A time in which a processor did not run a ready thread: when the thread was due, and when it
/// ran.
type Stall = (Instant, Instant);

/// The stalls of each kind of thread.
static ORDINARY: Mutex<VecDeque<Stall>> = Mutex::new(VecDeque::new());
static WHOLE_MACHINE: Mutex<VecDeque<Stall>> = Mutex::new(VecDeque::new());

/// The real-time priority of the thread that goes before the agents. If nobody may set it, the
/// agents are ordinary programs, and so is that thread.
const FIRST: &str = "50";

/// Starts watching, once for the whole program.
pub(super) fn watch() {
    static START: Once = Once::new();
    START.call_once(|| {
        for processor in 0..available_parallelism().map_or(1, usize::from) {
            thread::spawn(move || run_on(processor, &ORDINARY));
            thread::spawn(move || {
                let thread = gettid().to_string();
                let mut command = Command::new("chrt");
                command.args(["--rr", "--pid", FIRST, &thread]);
                let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
                run_on(processor, &WHOLE_MACHINE);
            });
        }
    });
}

fn run_on(processor: usize, kept: &Mutex<VecDeque<Stall>>) {
    let mut only = CpuSet::new();
    // A thread that may not run on its processor watches any processor.
    let _ = only.set(processor).and_then(|()| sched_setaffinity(Pid::from_raw(0), &only));
    loop {
        let due = Instant::now() + EVERY;
        sleep(EVERY);
        let ran = Instant::now();
        if ran.saturating_duration_since(due) >= SHORT {
            let mut stalls = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if stalls.len() == KEPT {
                stalls.pop_front();
            }
            stalls.push_back((due, ran));
        }
    }
}

/// The part of the time from `from` to `until` that these stalls cover.
fn sum(stalls: &Mutex<VecDeque<Stall>>, from: Instant, until: Instant) -> Duration {
    let stalls = stalls.lock().unwrap_or_else(PoisonError::into_inner);
    let within = stalls.iter().map(|(due, ran)| ((*due).max(from), (*ran).min(until)));
    let mut within: Vec<Stall> = within.filter(|(due, ran)| due < ran).collect();
    drop(stalls);
    within.sort_unstable();
    // Stalls of two processors at the same time count once.
    let mut covered = from;
    let mut sum = Duration::ZERO;
    for (due, ran) in within {
        sum += ran.saturating_duration_since(due.max(covered));
        covered = covered.max(ran);
    }
    sum
}

/// The time since `from` in which the machine did not run a ready thread.
pub(crate) fn stalled(from: Instant) -> Duration {
    sum(&ORDINARY, from, Instant::now())
}

/// The time between two moments in which the machine ran every ready thread.
pub(crate) fn running_time(from: Instant, until: Instant) -> Duration {
    until.saturating_duration_since(from).saturating_sub(sum(&ORDINARY, from, until))
}

/// The longest time since `from` for which the whole machine stood still.
pub(crate) fn longest_stall(from: Instant) -> Duration {
    let stalls = WHOLE_MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let later = stalls.iter().filter(|(_, ran)| *ran > from);
    later.map(|(due, ran)| *ran - *due).max().unwrap_or_default()
}

/// The gaps between successive moments of something that is scheduled in real time, without the
/// times in which the whole machine stood still.
pub(crate) fn gaps(moments: &[Instant]) -> Vec<Duration> {
    let gap =
        |two: &[Instant]| (two[1] - two[0]).saturating_sub(sum(&WHOLE_MACHINE, two[0], two[1]));
    moments.windows(2).map(gap).collect()
}
