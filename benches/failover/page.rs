//! The table, and its place in docs/failover.md.

use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use crate::figures::{Figures, Measure, Trial, cell};
use crate::router::Kind;
use crate::trials::Row;

/// Where the table lives.
const PAGE: &str = "docs/failover.md";

/// The lines around what is written there.
const FIGURES: &str = "Written by: cargo bench --bench failover -- --write";
const LIFETIMES: &str = "Lifetimes, written by the same command";
const END: &str = "<!-- The end of what is written by it. -->";

/// The table as Markdown.
pub(crate) fn render(rows: &[Row], versions: &[String; 2], trials: u32) -> String {
    let [vipd, keepalived] = versions;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut text = format!(
        "{vipd} and {keepalived} on Linux {}. VRRPv3, an interval of 1 s unless the row says \
         otherwise. Median / worst of {trials} trials.\n\n",
        kernel.trim()
    );
    text += "| | longest gap: vipd | keepalived | two holders: vipd | keepalived |\n";
    text += "|---|---|---|---|---|\n";
    for Row { scenario, trials } in rows {
        let _ = write!(text, "| {}", scenario.name);
        for figure in [|f: &Figures| Some(f.gap), |f: &Figures| f.together] {
            for trials in trials {
                let _ = write!(text, " | {}", shown(trials, figure));
            }
        }
        text += " |\n";
    }
    for Row { scenario, trials } in rows {
        for why in trials.iter().zip(Kind::ALL).flat_map(|(trials, kind)| failures(kind, trials)) {
            let _ = write!(text, "\nFailed: {}: {why}\n", scenario.name);
        }
        if let Some((kind, why)) = scenario.leaves_out {
            let _ = write!(text, "\nLeft out: {}: {}, {why}.\n", scenario.name, kind.name());
        }
    }
    text
}

/// A cell; a dash where there was nothing to play.
fn shown(trials: &[Trial], figure: impl Fn(&Figures) -> Option<Measure>) -> String {
    if trials.is_empty() { "—".to_owned() } else { cell(trials, figure) }
}

/// One line for each different reason.
fn failures(kind: Kind, trials: &[Trial]) -> Vec<String> {
    // A panic names its place in a line of its own.
    let message = |why: &String| {
        let mut lines = why.lines().filter(|line| !line.contains("panicked at"));
        lines.next().unwrap_or_default().to_owned()
    };
    let mut reasons: Vec<String> =
        trials.iter().filter_map(|trial| trial.as_ref().err().map(message)).collect();
    reasons.sort();
    reasons.dedup();
    reasons.into_iter().map(|why| format!("{}: {why}", kind.name())).collect()
}

/// Puts both tables into the page, in place of what they replace.
pub(crate) fn replace(figures: &str, lifetimes: &str) -> io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = fs::read_to_string(&path)?;
    let page = with(&page, FIGURES, figures)?;
    fs::write(path, with(&page, LIFETIMES, lifetimes)?)
}

/// The page with `text` between the line `begin` and the next end.
fn with(page: &str, begin: &str, text: &str) -> io::Result<String> {
    let begin = format!("<!-- {begin} -->");
    let parts = page.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) =
        parts.ok_or_else(|| io::Error::other(format!("{PAGE} has lost the line '{begin}'")))?;
    Ok(format!("{before}{begin}\n\n{text}\n{END}{after}"))
}
