//! Plays a workload with one program after the other.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::account::Account;
use crate::capture::{Capture, Seen};
use crate::figures::{Figures, Row, Trial};
use crate::floor::Role;
use crate::lab::{Lab, longest_stall};
use crate::moving;
use crate::program::{Kind, Program};
use crate::rhythm::Rhythm;
use crate::stage::{ACTIVE, Stage, held};
use crate::workload::Workload;

/// A program that does not settle within this time is taken for one that never does.
const LIMIT: Duration = Duration::from_secs(60);

/// The pause before the measurement: the last announcement comes ten seconds after a takeover.
const REST: Duration = Duration::from_secs(12);

/// The pause between two counts of the addresses.
const POLL: Duration = Duration::from_millis(50);

/// The pause between two looks at the account.
const LOOK: Duration = Duration::from_secs(1);

/// A workload with all programs.
pub(crate) fn row(workload: Workload, seconds: Duration) -> Row {
    // A minute where it is 20 seconds for the others.
    let span = if workload.is_largest() { seconds * 3 } else { seconds };
    let kinds = Kind::all(workload).iter();
    let trials = kinds.map(|kind| (*kind, play(*kind, workload, span))).collect();
    Row { workload, trials }
}

/// Measures one program, and says on standard error how it went.
fn play(kind: Kind, workload: Workload, span: Duration) -> Trial {
    let lab = Lab::new(kind.name());
    let start = Instant::now();
    let trial = lab.attempt(|| measure(&lab, kind, workload, span)).and_then(|trial| trial);
    let seen = match &trial {
        Ok(figures) => format!("{figures:?}"),
        Err(why) => format!("FAILED: {why}\n{}", tail(&lab.logs())),
    };
    eprintln!("{workload}: {}, {} s: {seen}", kind.name(), start.elapsed().as_secs());
    trial
}

/// The last lines: thousands of instances have much to say.
fn tail(logs: &str) -> String {
    const LINES: usize = 20;
    let lines: Vec<&str> = logs.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

fn measure(lab: &Lab, kind: Kind, workload: Workload, span: Duration) -> Trial {
    let stage = Stage::new(lab, workload);
    let start = Instant::now();
    let active = Program::start(kind, Role::Active, &stage, workload);
    let held = all_are_held(&stage, workload, start)?;
    let backup = Program::start(kind, Role::Backup, &stage, workload);
    sleep(REST);
    settles(&stage, kind, workload)?;

    let accounts = accounts(lab, [&active, &backup], span);
    let (cpu, memory) =
        (accounts.each_ref().map(Account::percent), accounts.each_ref().map(Account::memory));

    let capture = Capture::start(&stage);
    let from = Instant::now();
    sleep(span);
    let until = Instant::now();
    let stall = longest_stall(from);
    Capture::catch_up();
    let rhythm = Rhythm::of(&capture.since(from), workload, from, until);
    // The floor cannot move anything.
    let moved = (kind != Kind::Floor).then(|| {
        let moved = lab.attempt(|| moving::stop(&stage, &capture, &active, workload));
        moved.and_then(|moved| moved)
    });
    Ok(Figures { cpu, memory, held, rhythm, dropped: capture.dropped(), stall, moved })
}

/// Accounts of some time. Nothing is captured meanwhile: the kernel does that in the sender's time.
fn accounts(lab: &Lab, programs: [&Program; 2], span: Duration) -> [Account; 2] {
    let from = Instant::now();
    let mut accounts = programs.map(|program| Account::open(lab.proc(), program.id()));
    while from.elapsed() < span {
        sleep(LOOK.min(span.saturating_sub(from.elapsed())));
        accounts.iter_mut().for_each(Account::look);
    }
    accounts
}

/// Waits until the active node has all addresses; the time since `start`.
fn all_are_held(stage: &Stage, workload: Workload, start: Instant) -> Result<Duration, String> {
    loop {
        let (count, all) = (held(&stage.active), workload.routers);
        if count == all {
            return Ok(start.elapsed());
        }
        if start.elapsed() > LIMIT {
            return Err(format!("{count} of {all} addresses are there after {LIMIT:?}"));
        }
        sleep(POLL);
    }
}

/// Waits until the active node alone advertises, and for all routers.
fn settles(stage: &Stage, kind: Kind, workload: Workload) -> Result<(), String> {
    let capture = Capture::start(stage);
    let start = Instant::now();
    let span = workload.interval * 2 + LOOK;
    loop {
        let from = Instant::now();
        sleep(span);
        Capture::catch_up();
        let seen = capture.since(from);
        let (advertised, strangers) = (advertised(&seen, workload), strangers(&seen));
        let at_rest = advertised == workload.routers && strangers == 0;
        if at_rest && held(&stage.active) == workload.routers && held(&stage.standby) == 0 {
            return Ok(());
        }
        if start.elapsed() > LIMIT {
            return Err(format!(
                "{} does not settle within {LIMIT:?}: the active node advertises {advertised} of \
                 {} routers and has {} addresses, the other one sends {strangers} advertisements",
                kind.name(),
                workload.routers,
                held(&stage.active)
            ));
        }
    }
}

/// The number of routers that the active node advertises.
fn advertised(seen: &[Seen], workload: Workload) -> usize {
    let mut routers = vec![[false; 256]; workload.interfaces];
    for seen in seen.iter().filter(|seen| seen.node == ACTIVE && seen.priority > 0) {
        routers[seen.segment][usize::from(seen.id)] = true;
    }
    routers.iter().flatten().filter(|seen| **seen).count()
}

/// The number of advertisements that are not the active node's.
fn strangers(seen: &[Seen]) -> usize {
    seen.iter().filter(|seen| seen.node != ACTIVE).count()
}
