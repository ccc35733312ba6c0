//! Rounds of faults: each ends with everything repaired, at rest, and measured.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::configuration::NODES;
use crate::fault::Fault;
use crate::judge::{Life, Sample};
use crate::lab::{Lab, stalled};
use crate::measure::{Logged, sample};
use crate::report::{Files, table};
use crate::stage::Stage;

/// The number of faults in a round.
const FAULTS: std::ops::RangeInclusive<usize> = 1..=6;

/// The longest time between two of them, and after the last one.
const PAUSE: Duration = Duration::from_millis(2500);

/// For how long nothing happens before it is measured.
const REST: Duration = Duration::from_secs(3);

/// Over how many measurements the rate of log lines is taken: some rounds are loud, some quiet.
const WINDOW: usize = 10;

/// The time between two tables.
const TABLE: Duration = Duration::from_secs(600);

/// So many rounds may fail until nothing more is to be learnt.
const FAILURES: usize = 3;

/// A run and its figures.
struct Play {
    start: Instant,
    length: Duration,
    random: Rng,
    stage: Stage,
    proc: PathBuf,
    files: Files,
    lives: Vec<Life>,
    /// The lines of each node's log at each measurement, and when that was.
    logged: Vec<Vec<(usize, Instant)>>,
    counts: BTreeMap<String, u64>,
    rounds: u64,
    longest: Duration,
}

/// Plays for so many hours.
pub(crate) fn run(hours: f64, seed: u64, directory: &Path) -> ExitCode {
    println!("seed {seed}, {hours} h, measurements and logs in {}", directory.display());
    let lab = Lab::new("soak");
    let mut play = match lab.attempt(|| Play::new(&lab, hours, seed, directory)) {
        Ok(play) => play,
        Err(why) => {
            println!("{why}\n{}", lab.logs());
            return ExitCode::FAILURE;
        }
    };
    let mut failed = Vec::new();
    let mut printed = Instant::now();
    while play.start.elapsed() < play.length && failed.len() < FAILURES {
        let mut told = String::new();
        if let Err(why) = lab.attempt(|| play.round(&mut told)) {
            let name = format!("failure-{}.log", failed.len() + 1);
            let why = format!("round {}: {why}, after{told}", play.rounds);
            let path = play.files.write(&name, &format!("{why}\n{}", lab.logs()));
            println!("{why}\nthe logs: {}", path.display());
            failed.push(why);
        }
        if printed.elapsed() >= TABLE {
            printed = Instant::now();
            println!("{}\n{}", play.progress(), table(&play.lives));
        }
    }
    let path = play.files.write("daemons.log", &lab.logs());
    println!("the daemons' logs: {}", path.display());
    play.verdict(failed)
}

impl Play {
    fn new(lab: &Lab, hours: f64, seed: u64, directory: &Path) -> Self {
        let stage = Stage::new(lab);
        stage.settle(|_| false);
        Self {
            start: Instant::now(),
            length: Duration::from_secs_f64(hours * 3600.0),
            random: Rng::with_seed(seed),
            stage,
            proc: lab.proc(),
            files: Files::new(directory),
            lives: Vec::new(),
            logged: NODES.iter().map(|_| vec![(0, Instant::now())]).collect(),
            counts: BTreeMap::new(),
            rounds: 0,
            longest: Duration::ZERO,
        }
    }

    /// The place of the node whose daemons die: the one in the first half, the other in the second,
    /// so that each has one that lives for long.
    fn mortal(&self) -> usize {
        usize::from(self.start.elapsed() < self.length / 2)
    }

    /// Some faults, their repair, everything at rest, and the measurement.
    fn round(&mut self, told: &mut String) {
        self.rounds += 1;
        let mut moved = Vec::new();
        for _ in 0..self.random.usize(FAULTS) {
            let mortal = self.mortal();
            let fault = Fault::any(&mut self.random, mortal);
            if self.stage.suffer(fault, &mut self.random) {
                *self.counts.entry(fault.kind()).or_default() += 1;
                moved.extend(fault.moves());
                let pause = PAUSE.mul_f64(self.random.f64().powi(2));
                let _ = write!(told, " {fault:?}, {} ms,", pause.as_millis());
                sleep(pause);
            }
        }
        sleep(PAUSE.mul_f64(self.random.f64()));
        self.stage.mend();
        let took = self.stage.settle(|router| moved.contains(&router.name));
        if !moved.is_empty() {
            self.stage.hand_back();
            self.stage.settle(|_| false);
        }
        self.longest = self.longest.max(took);
        self.measure();
    }

    /// Measures both daemons after a while in which nothing happened.
    fn measure(&mut self) {
        let before: Vec<usize> =
            NODES.iter().enumerate().map(|(place, _)| self.lines(place)).collect();
        self.stage.stays(REST);
        for (place, before) in before.into_iter().enumerate() {
            self.measure_one(place, before);
        }
    }

    fn measure_one(&mut self, place: usize, lines_before: usize) {
        let machine = &self.stage.machines[place];
        let (node, number) = (machine.host.number(), machine.lives);
        let is_new = !self.lives.iter().any(|life| life.node == node && life.number == number);
        if is_new {
            self.lives.push(Life { node, number, samples: Vec::new() });
        }
        let lines = self.lines(place);
        let all = &mut self.logged[place];
        let (lines_then, then) = all[all.len().saturating_sub(WINDOW)];
        all.push((lines, Instant::now()));
        let hours = then.elapsed().as_secs_f64() / 3600.0;
        let logged = Logged {
            rate: (lines - lines_then) as f64 / hours,
            at_rest: (lines - lines_before) as f64,
        };
        let values = sample(&self.stage.machines[place], &self.proc, &logged);
        let sample = Sample { at: self.start.elapsed().as_secs_f64() / 3600.0, values };
        self.files.add(node, number, &sample);
        let life = self.lives.iter_mut().find(|life| life.node == node && life.number == number);
        life.expect("it was added").samples.push(sample);
    }

    /// The number of lines that the daemons of a node have logged.
    fn lines(&self, place: usize) -> usize {
        let agent = self.stage.machines[place].agent.as_ref().expect("a daemon that runs");
        agent.log().lines().count()
    }

    fn progress(&self) -> String {
        let faults: u64 = self.counts.values().sum();
        let counts: Vec<String> =
            self.counts.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        format!(
            "after {:.2} h: {} rounds, {faults} faults ({}); the longest time until all was at rest \
             {:.1?}; {:.1?} of the last minute the machine let a ready thread wait",
            self.start.elapsed().as_secs_f64() / 3600.0,
            self.rounds,
            counts.join(", "),
            self.longest,
            Instant::now().checked_sub(Duration::from_secs(60)).map(stalled).unwrap_or_default(),
        )
    }

    fn verdict(&self, mut failed: Vec<String>) -> ExitCode {
        println!("{}\n{}", self.progress(), table(&self.lives));
        let long = self.lives.iter().filter(|life| life.is_long());
        println!(
            "{} daemons, {} of them measured often enough to be judged",
            self.lives.len(),
            long.count()
        );
        failed.extend(self.lives.iter().flat_map(Life::grown));
        for why in &failed {
            println!("FAILED: {why}");
        }
        if failed.is_empty() {
            println!("nothing has grown, and after each round all was where it belongs");
            return ExitCode::SUCCESS;
        }
        ExitCode::FAILURE
    }
}
