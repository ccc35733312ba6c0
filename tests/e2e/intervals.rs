//! The shortest advertisement interval, 10 ms, on a machine that has other things to do.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, available_parallelism};
use std::time::{Duration, Instant};

use crate::lab::{Agent, Group, Lab};

/// What three intervals of the default, 1 s, would take: far longer than anything here may.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(3);

/// How often the backup may take over for a moment in the whole case. Where a virtual machine pauses one
/// node for 35 ms that is what the protocol wants; a group that flaps does so hundreds of times.
const MOMENTS: usize = 10;

/// Rule: at 10 ms a takeover after a crash takes a part of a second, and a machine whose processors are
/// all busy keeps its roles, but for moments that its clients do not notice: a pause of the backup's own
/// is no reason to take over (invariant 2).
pub(crate) fn shortest(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let config = group.config().set("advertisement_interval", "10ms");
    let (preferred, other) = (&group.nodes[0], &group.nodes[1]);
    let first = Agent::start(preferred, &config);
    let second = Agent::start(other, &config);
    group.taken_over_by(preferred);
    group.held_only_by(preferred);
    let takeovers = |agent: &Agent| agent.log().matches("backup -> active").count();
    let before = takeovers(&second);

    let start = Instant::now();
    // A pause of the machine makes the other one active for a moment here, too.
    thread::sleep(Duration::from_secs(2));
    let calm = (group.client.longest_gap(start), takeovers(&second) - before);
    let start = Instant::now();
    while_busy(|| thread::sleep(Duration::from_secs(5)));
    let busy = (group.client.longest_gap(start), takeovers(&second) - before - calm.1);
    for (when, (gap, takeovers)) in [("calm", calm), ("busy", busy)] {
        lab.note(format!("{when}: longest gap of the client {gap:?}, {takeovers} takeovers"));
    }
    group.held_only_by(preferred);
    group.taken_over_by(preferred);
    assert!(calm.1 + busy.1 < MOMENTS, "the group flaps: {}", second.log());
    for (gap, _) in [calm, busy] {
        assert!(gap < DEFAULT_PATIENCE, "the client had no answer for {gap:?}");
    }

    let start = Instant::now();
    first.kill();
    let took = group.taken_over_by(other);
    let gap = group.client.longest_gap(start);
    lab.note(format!("crash: taken over after {took:?}, longest gap of the client {gap:?}"));
    assert!(gap < DEFAULT_PATIENCE, "the client had no answer for {gap:?}");
}

/// Meanwhile twice as many threads as there are processors do nothing but count.
fn while_busy(work: impl FnOnce()) {
    let over = AtomicBool::new(false);
    let threads = available_parallelism().map_or(2, usize::from) * 2;
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    spin_loop();
                }
            });
        }
        work();
        over.store(true, Ordering::Relaxed);
    });
}
