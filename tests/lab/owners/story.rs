//! The story of a finding, line by line.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::book::Book;
use super::intervals::Span;
use super::judge::Finding;

/// The part of the time before and after that is told.
const BEFORE: Duration = Duration::from_secs(3);
const AFTER: Duration = Duration::from_millis(500);

/// So many findings are told.
const TOLD: usize = 3;

/// Lines of a story at the most.
const LINES: usize = 60;

/// All findings, each with who did what when, in seconds from its beginning.
pub(super) fn tell(book: &Book, findings: &[Finding]) -> String {
    let mut text = format!("ownership: {} times that nothing explains", findings.len());
    for finding in findings.iter().take(TOLD) {
        let Finding { kind, address, span, took, bound, who } = finding;
        let _ = write!(text, "\n{kind:?} of {address}: {who} for {took:.0?}; allowed: {bound:?}");
        for (at, line) in lines(book, finding).into_iter().take(LINES) {
            let _ = write!(text, "\n  {:>8} {line}", relative(at, span.from));
        }
        let declared = book.expected.iter().filter(|one| one.kind == *kind);
        for one in declared {
            let _ = write!(text, "\n  declared: {:?} at most, because {}", one.at_most, one.why);
        }
    }
    text
}

/// `-0.204`
fn relative(at: Instant, from: Instant) -> String {
    match at.checked_duration_since(from) {
        Some(later) => format!("+{:.3}", later.as_secs_f64()),
        None => format!("-{:.3}", (from - at).as_secs_f64()),
    }
}

fn lines(book: &Book, finding: &Finding) -> Vec<(Instant, String)> {
    let Span { from, until } = finding.span;
    let told = Span::new(from.checked_sub(BEFORE).unwrap_or(from), until + AFTER);
    let name = |host: usize| book.hosts[host].name.as_str();
    let mut lines = Vec::new();
    for station in &book.hosts {
        let held = station.held.iter().filter(|held| held.place.address == finding.address);
        for held in held {
            lines.push((held.from, format!("{} has {}", station.name, finding.address)));
            let until = held.until.into_iter();
            lines.extend(until.map(|at| (at, format!("{} has lost it", station.name))));
        }
        lines.extend(station.came_to_run().map(|at| (at, format!("{} has carrier", station.name))));
        let ceased = station.ceased_to_run();
        lines.extend(ceased.map(|at| (at, format!("{} has no carrier", station.name))));
    }
    for life in &book.lives {
        let host = name(life.host);
        lines.push((life.started, format!("{host}: agent starts")));
        lines.extend(life.ended.map(|at| (at, format!("{host}: agent has ended"))));
        for span in life.still(until).iter() {
            lines.push((span.from, format!("{host}: agent frozen")));
            lines.push((span.until, format!("{host}: agent thawed or dead")));
        }
        let said = life.lines().into_iter().filter(|(_, line)| line != "WATCHDOG=1");
        lines.extend(said.map(|(at, line)| (at, format!("{host}: {line}"))));
    }
    for trouble in &book.troubles {
        let what = format!("{} {}: {:?}", name(trouble.host), trouble.interface, trouble.kind);
        lines.extend(trouble.until.map(|at| (at, format!("{what} no longer"))));
        lines.push((trouble.from, what));
    }
    for deed in &book.deeds {
        let host = deed.host.map_or("a switch", name);
        lines.push((deed.at, format!("{host}: the case does '{}'", deed.what)));
    }
    for answer in book.answers.iter().filter(|answer| answer.address == finding.address) {
        lines.push((answer.at, format!("{} answers", name(answer.host))));
    }
    lines.retain(|(at, _)| told.contains(*at));
    lines.sort();
    lines
}
