//! The tables, and their place in docs/performance.md.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io, thread};

use time::OffsetDateTime;

use crate::addresses::Times;
use crate::figures::{Figures, Row, Trial};
use crate::moving::Moved;
use crate::program::Kind;
use crate::targets::{self, Target};

/// The page with the tables, and the plot beside it.
const PAGE: &str = "docs/performance.md";
const PLOT: &str = "performance.svg";

/// The lines around what is written there.
const BEGIN: &str = "<!-- Written by: cargo bench --bench scale -- --write -->";
const END: &str = "<!-- The end of what is written by it. -->";

/// All that was measured at once.
pub(crate) struct Run {
    /// The workloads.
    pub(crate) rows: Vec<Row>,
    /// The move of an instance with many addresses, where that was measured.
    pub(crate) addresses: Option<Result<Times, String>>,
    /// Of vipd and keepalived.
    pub(crate) versions: [String; 2],
    /// The time that was measured.
    pub(crate) seconds: u64,
}

/// The tables as Markdown.
pub(crate) fn render(run: &Run) -> String {
    let Run { rows, addresses, versions: [vipd, keepalived], seconds } = run;
    let mut text = format!(
        "{vipd} and {keepalived} on {}, {}. {seconds} s each. Pairs are active / backup.\n\n\
         ![Processor time compared with keepalived's]({PLOT})\n",
        machine(),
        OffsetDateTime::now_utc().date()
    );
    for row in rows {
        let _ = write!(
            text,
            "\n### {} on {} interfaces\n\n\
             | | CPU, % of a core | RSS, MiB | peak RSS | longest distance | missed | \
             all held after |\n|---|---|---|---|---|---|---|\n",
            row.workload.title(),
            row.workload.interfaces
        );
        for (kind, trial) in &row.trials {
            text += &line(*kind, trial);
        }
        text += &remarks(row);
        text += &table(&targets::of(row));
    }
    if let Some(times) = addresses {
        text += &many_addresses(times);
    }
    text
}

fn table(targets: &[Target]) -> String {
    let mut text = "\n| vipd | target | seen | |\n|---|---|---|---|\n".to_owned();
    for target in targets {
        let Target { name, bound, figure, .. } = target;
        let _ = writeln!(text, "| {name} | {bound} | {figure} | {} |", target.verdict());
    }
    text
}

fn many_addresses(times: &Result<Times, String>) -> String {
    let mut text = "\n### 1,000 addresses of one instance\n".to_owned();
    if let Ok(times) = times {
        let _ = write!(
            text,
            "\nvipd, stopped by `SIGTERM`, five times: from its farewell, upon which the other node \
             decides to take over, to the last address that this one answers for: {} (median), {} \
             (worst).\n",
            milliseconds(times.median()),
            milliseconds(times.worst())
        );
    }
    text + &table(&[targets::of_addresses(times)])
}

/// The processors and the kernel.
fn machine() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let all = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = all.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.unwrap_or_default().trim_start_matches([' ', '\t', ':']).to_owned();
    format!("{processors} processors ({model}), Linux {}", kernel.trim())
}

fn line(kind: Kind, trial: &Trial) -> String {
    let name = kind.name();
    let Ok(Figures { cpu, memory, held, rhythm, .. }) = trial else {
        return format!("| {name} | failed | — | — | — | — | — |\n");
    };
    let ([active, backup], [of_active, of_backup]) = (cpu, memory);
    format!(
        "| {name} | {active:.2} / {backup:.2} | {:.1} / {:.1} | {:.1} / {:.1} | {} | {} | \
         {:.2} s |\n",
        of_active.resident,
        of_backup.resident,
        of_active.peak,
        of_backup.peak,
        milliseconds(rhythm.longest),
        rhythm.missed,
        held.as_secs_f64()
    )
}

/// Sentences below the table: failures, stalls, losses, and the move at the end.
fn remarks(row: &Row) -> String {
    let mut text = String::new();
    for (kind, trial) in &row.trials {
        let name = kind.name();
        let figures = match trial {
            Ok(figures) => figures,
            Err(why) => {
                let _ = write!(text, "\nFailed: {name}: {}\n", reason(why));
                continue;
            }
        };
        let running = figures.rhythm.longest_running;
        if running + Duration::from_millis(1) < figures.rhythm.longest {
            let _ = write!(
                text,
                "\n{name}: the machine itself stood still for up to {}; the longest distance \
                 without that is {}.\n",
                milliseconds(figures.stall),
                milliseconds(running)
            );
        }
        if figures.dropped > 0 {
            let _ = write!(text, "\n{name}: the capture lost {} packets.\n", figures.dropped);
        }
        match &figures.moved {
            Some(Ok(moved)) => text += &story(name, moved),
            Some(Err(why)) => {
                let _ = write!(text, "\n{name}, stopped: {}\n", reason(why));
            }
            None => {}
        }
    }
    text
}

/// A panic names its place in a line of its own.
fn reason(why: &str) -> &str {
    why.lines().find(|line| !line.contains("panicked at")).unwrap_or_default()
}

fn story(name: &str, moved: &Moved) -> String {
    format!(
        "\n{name}, stopped by `SIGTERM`: all addresses were on the other node after {}; for up to {} nobody had \
         an address, and clients of four addresses were without an answer for up to {}. The \
         longest distance between two advertisements of one router was {}.\n",
        milliseconds(moved.took),
        milliseconds(moved.nobody),
        milliseconds(moved.unanswered),
        milliseconds(moved.distance)
    )
}

fn milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

/// Puts the tables into the page, in place of what they replace, and the plot beside it.
pub(crate) fn replace(text: &str, plot: &str) -> io::Result<()> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = fs::read_to_string(&path)?;
    let parts = page.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) =
        parts.ok_or_else(|| io::Error::other(format!("{PAGE} has lost the line '{BEGIN}'")))?;
    fs::write(path.with_file_name(PLOT), plot)?;
    fs::write(path, format!("{before}{BEGIN}\n\n{text}\n{END}{after}"))
}
