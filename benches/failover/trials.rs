//! Plays every scenario as often as asked for, with each router, two at a time.

use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use crate::figures::Trial;
use crate::lab::Lab;
use crate::router::Kind;
use crate::scenario::{SCENARIOS, Scenario};

/// What came of a scenario.
pub(crate) struct Row {
    /// The scenario.
    pub(crate) scenario: &'static Scenario,
    /// All trials of each router, in the order of [`Kind::ALL`]; empty where it is left out.
    pub(crate) trials: [Vec<Trial>; 2],
}

/// One trial that is to be played.
#[derive(Clone, Copy)]
struct Job {
    row: usize,
    scenario: &'static Scenario,
    router: usize,
    kind: Kind,
}

/// Plays the scenarios whose name contains `only`, and says on standard error how it goes.
pub(crate) fn run(only: &str, trials: u32, at_once: u8) -> Vec<Row> {
    let wanted = SCENARIOS.iter().filter(|scenario| scenario.name.contains(only));
    let rows: Vec<Row> =
        wanted.map(|scenario| Row { scenario, trials: [Vec::new(), Vec::new()] }).collect();
    let jobs = jobs(&rows, trials);
    let all = jobs.len();
    let jobs = Mutex::new((1..).zip(jobs));
    let rows = Mutex::new(rows);
    let next = || jobs.lock().expect("the jobs").next();
    let work = || {
        while let Some((number, job)) = next() {
            let trial = play(job, number, all);
            rows.lock().expect("the rows")[job.row].trials[job.router].push(trial);
        }
    };
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(work);
        }
    });
    rows.into_inner().expect("the rows")
}

fn jobs(rows: &[Row], trials: u32) -> Vec<Job> {
    let mut jobs = Vec::new();
    for (row, Row { scenario, .. }) in rows.iter().enumerate() {
        for _ in 0..trials {
            for (router, kind) in Kind::ALL.into_iter().enumerate() {
                if scenario.leaves_out.is_none_or(|(left_out, _)| left_out != kind) {
                    jobs.push(Job { row, scenario, router, kind });
                }
            }
        }
    }
    jobs
}

fn play(job: Job, number: usize, of: usize) -> Trial {
    let Job { scenario, kind, .. } = job;
    let start = Instant::now();
    let lab = Lab::new(scenario.name);
    let trial = lab.attempt(|| (scenario.play)(&lab, kind)).and_then(|trial| trial);
    let seen = match &trial {
        Ok(figures) => format!("{figures:?}"),
        Err(why) => format!("FAILED: {why}\n{}", lab.logs()),
    };
    let (name, took) = (kind.name(), start.elapsed().as_secs());
    eprintln!("{number}/{of} {}: {name}, {took} s: {seen}", scenario.name);
    trial
}
