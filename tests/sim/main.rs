//! Whole groups of nodes on virtual time: seeded schedules of faults against the engine that
//! ships, judged by a small model of what any VRRP group owes its clients.
//!
//! `VIPD_SIM_SEED=N` replays one schedule and tells its story; `VIPD_SIM_SCHEDULES=N` runs
//! another number of them. `tests/simulate --schedules N --seed S` plays them at length.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::match_wild_err_arm,
    clippy::panic,
    clippy::struct_excessive_bools,
    reason = "a test may fail loudly, and tells how fast it was"
)]

mod case;
mod check;
mod coverage;
mod faults;
mod group;
mod health;
mod hooks;
mod length;
mod reload;
mod rules;
mod schedule;
mod sync;
mod sync_rules;
mod tally;

/// The order of actions is not modelled: it is the daemon's.
#[path = "../../src/daemon/outbox/mod.rs"]
mod outbox;
#[path = "../world/mod.rs"]
mod world;

use std::time::Instant;
use std::{env, fs};

use case::{Case, Kind};
use check::Verdict;
use tally::{Failed, Tally, play};
// The outbox uses these names.
use vipd::{engine, model, time};

const SCHEDULES: u64 = 3_000;

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// Fails with the story of a schedule that has failed, made as small as it can be.
fn fail(variable: &str, seed: u64, case: Case) -> ! {
    panic!("{variable}={seed} fails: {}", case.shrink().explain())
}

/// Rules: two nodes that hear each other never both have an address for longer than it takes to
/// hear so and to release it. A daemon that is paused, frozen or dead loses the address to the
/// kernel's lease. A node that could have the address and hears nobody has it after the protocol's
/// own time. Once the faults are over, a group has exactly one active router within that time, the
/// most preferred one if it preempts.
#[test]
fn seeded_fault_schedules() {
    if let Some(seed) = number("VIPD_SIM_SEED") {
        let case = Case::from_seed(Kind::Faults, seed);
        println!("{case:#?}");
        match case.play() {
            Ok(Verdict { story, .. }) => println!("{}", story.join("\n")),
            Err(_) => fail("VIPD_SIM_SEED", seed, case),
        }
        return;
    }
    let schedules = number("VIPD_SIM_SCHEDULES").unwrap_or(SCHEDULES);
    let started = Instant::now();
    let Tally { takeovers, overlaps, failed, .. } = play(0..schedules, |_| Kind::Faults);
    if let Some(Failed { kind, seed, .. }) = failed.into_iter().next() {
        fail("VIPD_SIM_SEED", seed, Case::from_seed(kind, seed));
    }
    for (interval, overlap) in overlaps {
        println!("beside a frozen or dead daemon at {interval}: {overlap} at the longest");
    }
    let seconds = started.elapsed().as_secs_f64();
    let speed = schedules as f64 / seconds;
    println!("{schedules} schedules, {takeovers} takeovers, {seconds:.1} s, {speed:.0} a second");
    assert!(takeovers > schedules, "the schedules hardly make anything happen");
}

/// Rule: a schedule is a function of its seed, and its run a function of the schedule; without
/// that a printed seed would be worthless. Written as JSON it is the same schedule.
#[test]
fn a_seed_replays() {
    let told = |case: &Case| match case.play() {
        Ok(verdict) | Err(verdict) => verdict.story,
    };
    for (kind, seeds) in [(Kind::Faults, 20), (Kind::Planned, 2), (Kind::Sync, 5)] {
        for seed in 0..seeds {
            let case = Case::from_seed(kind, seed);
            let json = serde_json::to_string(&case).expect("serializes");
            let read: Case = serde_json::from_str(&json).expect("deserializes");
            assert_eq!(told(&case), told(&read), "{kind} {seed}");
        }
    }
}

/// Invariant 5, make before break: a planned move never leaves the address without a holder, not
/// for a moment: stops, handovers, standby where another one can take over, and preemption by a
/// node that comes back.
#[test]
fn planned_moves_leave_no_gap() {
    for seed in 0..250 {
        let case = Case::from_seed(Kind::Planned, seed);
        if case.play().is_err() {
            fail("planned seed", seed, case);
        }
    }
}

/// Rule: a node has all of a sync group or nothing of it; two nodes that hear each other on any of
/// its segments agree about all of it; and in the end it is on one node, the most preferred one
/// where it preempts.
#[test]
fn sync_groups_stay_together() {
    let one = number("VIPD_SIM_SYNC_SEED");
    let schedules = number("VIPD_SIM_SCHEDULES").unwrap_or(400);
    let seeds = one.map_or(0..schedules, |seed| seed..seed + 1);
    let mut takeovers = 0;
    for seed in seeds {
        let case = Case::from_seed(Kind::Sync, seed);
        match case.play() {
            Ok(verdict) => takeovers += verdict.takeovers,
            Err(_) => fail("VIPD_SIM_SYNC_SEED", seed, case),
        }
    }
    assert!(one.is_some() || takeovers > schedules, "the schedules hardly make anything happen");
}

/// Rule: what a schedule has once found is mended and stays so. Each file is such a schedule, as
/// `tests/simulate --schedules` has written it.
#[test]
fn what_was_found_stays_mended() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sim/found");
    let mut paths: Vec<_> = fs::read_dir(directory)
        .expect("tests/sim/found")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    for path in paths {
        let text = fs::read_to_string(&path).expect("readable");
        let case: Case = serde_json::from_str(&text).expect("a schedule");
        assert!(case.play().is_ok(), "{}: {}", path.display(), case.explain());
    }
}

/// Not a test of its own: `tests/simulate --schedules N --seed S` plays this.
#[test]
#[ignore = "takes as long as one likes: tests/simulate --schedules N --seed S"]
fn at_length() {
    length::run();
}
