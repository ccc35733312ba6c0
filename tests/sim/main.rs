//! Whole groups of nodes on virtual time: seeded schedules of faults against the engine that
//! ships, judged by a small model of what any VRRP group owes its clients.
//!
//! `VIPD_SIM_SEED=N` replays one schedule and tells its story; `VIPD_SIM_SCHEDULES=N` runs
//! another number of them.

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

mod check;
mod faults;
mod group;
mod health;
mod hooks;
mod reload;
mod rules;
mod schedule;
mod sync;
mod sync_rules;

/// The order of actions is not modelled: it is the daemon's.
#[path = "../../src/daemon/outbox/mod.rs"]
mod outbox;
#[path = "../world/mod.rs"]
mod world;

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::thread;
use std::time::Instant;

use check::{Verdict, run, run_without_gap};
use schedule::Schedule;
// The outbox uses these names.
use vipd::{engine, model, time};

use time::Span;

const SCHEDULES: u64 = 3_000;

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// The results of many schedules.
#[derive(Default)]
struct Tally {
    takeovers: u64,
    /// By interval: for how long two nodes had the address at the longest because of a daemon that
    /// was frozen or dead.
    overlaps: BTreeMap<Span, Span>,
}

impl Tally {
    fn count(&mut self, schedule: &Schedule, verdict: &Verdict) {
        self.takeovers += verdict.takeovers;
        let longest = self.overlaps.entry(schedule.group.interval.span()).or_default();
        *longest = verdict.overlap.max(*longest);
    }

    fn add(&mut self, other: Self) {
        self.takeovers += other.takeovers;
        for (interval, overlap) in other.overlaps {
            let longest = self.overlaps.entry(interval).or_default();
            *longest = overlap.max(*longest);
        }
    }
}

/// Removes faults one after the other for as long as the schedule goes on failing.
fn shrink(mut failing: Schedule) -> Schedule {
    let mut place = 0;
    while place < failing.faults.len() {
        let mut smaller = failing.clone();
        smaller.faults.remove(place);
        if run(&smaller).is_err() {
            failing = smaller;
        } else {
            place += 1;
        }
    }
    failing
}

fn explain(seed: u64, schedule: Schedule) -> String {
    let shrunk = shrink(schedule);
    let Err(verdict) = run(&shrunk) else { return format!("seed {seed}: fails only at times") };
    let mut text = format!("VIPD_SIM_SEED={seed} fails: {}\n{shrunk:#?}\n", verdict.what);
    for line in &verdict.story {
        writeln!(text, "  {line}").expect("a string takes it");
    }
    text
}

/// Rules: two nodes that hear each other never both have an address for longer than it takes to
/// hear so and to release it. A daemon that is paused, frozen or dead loses the address to the
/// kernel's lease. A node that could have the address and hears nobody has it after the protocol's
/// own time. Once the faults are over, a group has exactly one active router within that time, the
/// most preferred one if it preempts.
#[test]
fn seeded_fault_schedules() {
    if let Some(seed) = number("VIPD_SIM_SEED") {
        let schedule = Schedule::from_seed(seed);
        println!("{schedule:#?}");
        match run(&schedule) {
            Ok(Verdict { story, .. }) => println!("{}", story.join("\n")),
            Err(_) => panic!("{}", explain(seed, schedule)),
        }
        return;
    }
    let schedules = number("VIPD_SIM_SCHEDULES").unwrap_or(SCHEDULES);
    let threads = thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let started = Instant::now();
    let workers: Vec<_> = (0..threads)
        .map(|worker| {
            thread::spawn(move || {
                let mut tally = Tally::default();
                for seed in (worker..schedules).step_by(threads as usize) {
                    let schedule = Schedule::from_seed(seed);
                    match run(&schedule) {
                        Ok(verdict) => tally.count(&schedule, &verdict),
                        Err(_) => return Err(explain(seed, schedule)),
                    }
                }
                Ok(tally)
            })
        })
        .collect();
    let outcomes: Vec<_> = workers.into_iter().map(|w| w.join().expect("no panic")).collect();
    let mut all = Tally::default();
    for outcome in outcomes {
        all.add(outcome.unwrap_or_else(|story| panic!("{story}")));
    }
    let Tally { takeovers, overlaps } = all;
    for (interval, overlap) in overlaps {
        println!("beside a frozen or dead daemon at {interval}: {overlap} at the longest");
    }
    let seconds = started.elapsed().as_secs_f64();
    let speed = schedules as f64 / seconds;
    println!("{schedules} schedules, {takeovers} takeovers, {seconds:.1} s, {speed:.0} a second");
    assert!(takeovers > schedules, "the schedules hardly make anything happen");
}

/// Rule: a schedule is a function of its seed, and its run a function of the schedule; without
/// that a printed seed would be worthless.
#[test]
fn a_seed_replays() {
    for seed in 0..20 {
        let told = |schedule: &Schedule| match run(schedule) {
            Ok(verdict) | Err(verdict) => verdict.story,
        };
        assert_eq!(told(&Schedule::from_seed(seed)), told(&Schedule::from_seed(seed)));
    }
}

/// Invariant 5, make before break: a planned move never leaves the address without a holder, not
/// for a moment: stops, handovers, standby where another one can take over, and preemption by a
/// node that comes back.
#[test]
fn planned_moves_leave_no_gap() {
    for seed in 0..250 {
        let schedule = Schedule::planned(seed);
        if let Err(Verdict { what, story, .. }) = run_without_gap(&schedule) {
            panic!("seed {seed}: {what}\n{schedule:#?}\n{}", story.join("\n"));
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
    for seed in seeds.clone() {
        let mut schedule = sync::Schedule::from_seed(seed);
        let Err(_) = sync_rules::run(&schedule).map(|count| takeovers += count) else { continue };
        let mut place = 0;
        while place < schedule.faults.len() {
            let fault = schedule.faults.remove(place);
            if sync_rules::run(&schedule).is_ok() {
                schedule.faults.insert(place, fault);
                place += 1;
            }
        }
        let Err((what, story)) = sync_rules::run(&schedule) else {
            panic!("seed {seed} fails at times")
        };
        panic!("VIPD_SIM_SYNC_SEED={seed}: {what}\n{schedule:#?}\n{}", story.join("\n"));
    }
    assert!(one.is_some() || takeovers > schedules, "the schedules hardly make anything happen");
}
