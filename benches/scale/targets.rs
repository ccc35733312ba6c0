//! The targets of vipd, met or missed.

use std::time::Duration;

use crate::addresses::Times;
use crate::figures::{Figures, Row, Trial};
use crate::moving::Moved;
use crate::program::Kind;

/// The most processor time, compared with the floor's.
const OF_FLOOR: f64 = 2.0;

/// The longest distance between two advertisements at an interval of 0.1 s.
const DISTANCE: Duration = Duration::from_millis(120);

/// Bounds for 1,000 routers: the time to all addresses, and the memory in MiB.
const HELD: Duration = Duration::from_secs(5);
const RESIDENT: f64 = 24.0;

/// The time from the decision to take over to the last of an instance's 1,000 addresses.
const TAKEN: Duration = Duration::from_millis(40);

/// A shorter time without an address, or without an answer, is no gap: those who watch are ordinary
/// threads.
const GAP: Duration = Duration::from_millis(10);

/// A figure beside its bound.
pub(crate) struct Target {
    /// The name of the figure.
    pub(crate) name: String,
    /// The bound.
    pub(crate) bound: String,
    /// The figure.
    pub(crate) figure: String,
    met: bool,
}

impl Target {
    fn ratio(name: &str, figure: f64, bound: f64) -> Self {
        let name = name.to_owned();
        let (bound_text, figure_text) = (format!("at most {bound} ×"), format!("{figure:.2} ×"));
        Self { name, bound: bound_text, figure: figure_text, met: figure <= bound }
    }

    fn time(name: &str, figure: Duration, bound: Duration) -> Self {
        let bound_text = format!("at most {bound:?}");
        let (name, figure_text) = (name.to_owned(), format!("{figure:.0?}"));
        Self { name, bound: bound_text, figure: figure_text, met: figure <= bound }
    }

    fn failure(name: &str, why: &str) -> Self {
        let why = why.lines().next().unwrap_or_default();
        Self { name: name.to_owned(), bound: "yes".into(), figure: why.into(), met: false }
    }

    /// True if vipd has failed it.
    pub(crate) fn is_missed(&self) -> bool {
        !self.met
    }

    /// For the table.
    pub(crate) fn verdict(&self) -> &'static str {
        if self.met { "met" } else { "**missed**" }
    }
}

/// The targets of a workload.
pub(crate) fn of(row: &Row) -> Vec<Target> {
    // Without one of the programs there is nothing to compare with.
    let mut targets: Vec<Target> = row.trials.iter().filter_map(failed).collect();
    let Some(vipd) = row.of(Kind::Vipd) else { return targets };
    let short = row.workload.interval < Duration::from_secs(1);
    let bound = if short { 0.5 } else { 0.9 };
    let others = [("keepalived", Kind::Keepalived, bound), ("the floor", Kind::Floor, OF_FLOOR)];
    for (name, kind, bound) in others {
        if let Some([active, backup]) = row.ratio(Kind::Vipd, kind) {
            targets.push(Target::ratio(&format!("active CPU, to {name}"), active, bound));
            targets.push(Target::ratio(&format!("backup CPU, to {name}"), backup, bound));
        }
    }
    if short {
        let distance = vipd.rhythm.longest_running;
        targets.push(Target::time("longest distance", distance, DISTANCE));
    }
    if row.workload.routers == 1_000 {
        targets.push(Target::time("all addresses held after", vipd.held, HELD));
        targets.push(memory(vipd));
    }
    if row.workload.is_largest() {
        targets.extend(largest(vipd));
    }
    targets
}

/// The target of an instance with many addresses.
pub(crate) fn of_addresses(times: &Result<Times, String>) -> Target {
    match times {
        Ok(times) => Target::time("decision to last address, median", times.median(), TAKEN),
        Err(why) => Target::failure("1,000 addresses move", why),
    }
}

fn failed((kind, trial): &(Kind, Trial)) -> Option<Target> {
    let why = trial.as_ref().err()?;
    Some(Target::failure(&format!("{} settles", kind.name()), why))
}

fn memory(vipd: &Figures) -> Target {
    let [active, backup] = vipd.memory.map(|memory| memory.resident);
    let resident = active.max(backup);
    Target {
        name: "RSS".to_owned(),
        bound: format!("at most {RESIDENT} MiB"),
        figure: format!("{resident:.1} MiB"),
        met: resident <= RESIDENT,
    }
}

/// No advertisement is missed, and a stop leaves no gap.
fn largest(vipd: &Figures) -> Vec<Target> {
    let missed = vipd.rhythm.missed;
    let mut targets = vec![Target {
        name: "missed advertisements".to_owned(),
        bound: "none".to_owned(),
        figure: missed.to_string(),
        met: missed == 0,
    }];
    match &vipd.moved {
        Some(Ok(Moved { nobody, unanswered, .. })) => {
            targets.push(Target::time("stopped: nobody has an address", *nobody, GAP));
            targets.push(Target::time("stopped: a client without an answer", *unanswered, GAP));
        }
        Some(Err(why)) => targets.push(Target::failure("stopped: all addresses move", why)),
        None => {}
    }
    targets
}
