//! The simulation at length: as many schedules as one likes, and which events occurred in them. A
//! run that was broken off goes on where it was.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use serde::{Deserialize, Serialize};

use crate::case::{Case, Kind};
use crate::number;
use crate::tally::{Failed, Tally, play};

/// The number of schedules between two states on the disk.
const BLOCK: u64 = 500;
/// How often it is said how far it is.
const NEWS: Duration = Duration::from_secs(10);

/// How far a run is.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    /// The program that has played: what another one has found says nothing of this one.
    program: u64,
    /// How many of its schedules were played, from the first on.
    played: u64,
    /// How long that took.
    seconds: f64,
    tally: Tally,
}

/// Of ten schedules seven are of faults, two of sync groups and one of planned moves.
fn kind_of(seed: u64) -> Kind {
    match seed % 10 {
        0..7 => Kind::Faults,
        7 | 8 => Kind::Sync,
        _ => Kind::Planned,
    }
}

/// Plays `VIPD_SIM_SCHEDULES` schedules from `VIPD_SIM_FIRST` on, and keeps its state and what has
/// failed in `VIPD_SIM_DIRECTORY`. Panics at the end where something has failed.
pub(crate) fn run() {
    let schedules = number("VIPD_SIM_SCHEDULES").expect("VIPD_SIM_SCHEDULES");
    let first = number("VIPD_SIM_FIRST").expect("VIPD_SIM_FIRST");
    let directory = PathBuf::from(env::var_os("VIPD_SIM_DIRECTORY").expect("VIPD_SIM_DIRECTORY"));
    fs::create_dir_all(&directory).expect("a directory for the state");
    let path = directory.join(format!("{first}+{schedules}.json"));
    let mut state = resumed(&path);
    let mut told = Instant::now();
    while state.played < schedules {
        let started = Instant::now();
        let from = first + state.played;
        let to = first + schedules.min(state.played + BLOCK);
        let tally = play(from..to, kind_of);
        for failed in &tally.failed {
            keep(&directory, failed);
        }
        state.tally.add(tally);
        state.played = to - first;
        state.seconds += started.elapsed().as_secs_f64();
        write(&path, &serde_json::to_string(&state).expect("serializes"));
        if told.elapsed() >= NEWS {
            told = Instant::now();
            println!("{}", progress(&state, schedules));
        }
    }
    println!("{}\n{}", progress(&state, schedules), state.tally.coverage);
    for (interval, overlap) in &state.tally.overlaps {
        println!("beside a frozen or dead daemon at {interval}: {overlap} at the longest");
    }
    let failed = &state.tally.failed;
    for Failed { kind, seed, what } in failed {
        println!("failed: {kind} {seed}: {what}");
    }
    assert!(failed.is_empty(), "{} schedules failed: see {}", failed.len(), directory.display());
}

fn progress(state: &State, schedules: u64) -> String {
    let State { played, seconds, tally, .. } = state;
    let speed = *played as f64 / seconds;
    format!(
        "{played} of {schedules} schedules, {} takeovers, {seconds:.0} s, {speed:.0} a second, {} \
         failed",
        tally.takeovers,
        tally.failed.len()
    )
}

/// What an earlier call of the same command, with the same program, has left.
fn resumed(path: &Path) -> State {
    let mut hasher = DefaultHasher::new();
    let program = env::current_exe().and_then(fs::read).expect("this program");
    program.hash(&mut hasher);
    let program = hasher.finish();
    let state = fs::read(path).ok().and_then(|text| serde_json::from_slice::<State>(&text).ok());
    match state {
        Some(state) if state.program == program => {
            println!("goes on after {} schedules", state.played);
            state
        }
        Some(_) => {
            println!("{} is of another program: begins anew", path.display());
            State { program, ..State::default() }
        }
        None => State { program, ..State::default() },
    }
}

/// Writes a schedule that has failed beside the state: as it is to be put into `tests/sim/found`,
/// and its story.
fn keep(directory: &Path, failed: &Failed) {
    let Failed { kind, seed, what } = failed;
    println!("failed: {kind} {seed}: {what}");
    let case = Case::from_seed(*kind, *seed).shrink();
    let name = |extension: &str| directory.join(format!("{kind}-{seed}.{extension}"));
    let json = serde_json::to_string_pretty(&case).expect("serializes");
    write(&name("json"), &(json + "\n"));
    write(&name("txt"), &case.explain());
}

/// A file is there as a whole, or as it was.
fn write(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect("writable");
    fs::rename(&new, path).expect("writable");
}
