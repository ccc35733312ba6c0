//! How times and states are written for people, and in which colours. `anstream` takes the colours
//! out again where nobody would see them.

use anstyle::{AnsiColor, Style};
use time::OffsetDateTime;

use crate::api::Snapshot;
use crate::engine::story::StateName;
use crate::time::{Span, Wall};

const SECOND: u64 = 1_000_000_000;
const DAY: Span = Span::from_secs(86_400);

/// What somebody has to look at.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What is so by somebody's wish, and should not be forgotten.
pub(super) const NOTABLE: Style = AnsiColor::Yellow.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();

/// The text in this style.
pub(super) fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// A state, the good ones in green.
pub(super) fn state(state: StateName) -> String {
    match state {
        StateName::Active => paint(GOOD, state),
        StateName::Backup => state.to_string(),
        StateName::Fault => paint(BAD, state),
        StateName::Standby | StateName::Stopped => paint(NOTABLE, state),
    }
}

/// `2026-11-24 14:03:07 UTC`, as in the log.
pub(super) fn date(at: Wall) -> String {
    let Ok(time) = OffsetDateTime::from_unix_timestamp_nanos(at.0.into()) else {
        return "at no time that can be".to_owned();
    };
    let day = format!("{}-{:02}-{:02}", time.year(), u8::from(time.month()), time.day());
    format!("{day} {:02}:{:02}:{:02} UTC", time.hour(), time.minute(), time.second())
}

/// `14:03:07 UTC (3 min ago)`; with the date where that is not clear.
pub(super) fn since(snapshot: &Snapshot, at: Wall) -> String {
    let age = snapshot.since(at);
    let date = date(at);
    let short = date.split_once(' ').filter(|_| age < DAY).map(|(_, time)| time);
    format!("{} ({})", short.unwrap_or(&date), ago(age))
}

/// `3 min ago`: one unit, the largest that fits.
pub(super) fn ago(age: Span) -> String {
    let seconds = age.nanos() / SECOND;
    match seconds {
        0 => "just now".to_owned(),
        1..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// `10.0.0.100/24, 10.0.0.101/24`
pub(super) fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: times are UTC, as in the log and in `systemctl status`.
    #[test]
    fn times_are_written_for_people() {
        assert_eq!(date(Wall(1_800_000_000 * SECOND)), "2027-01-15 08:00:00 UTC");
        let written = [0, 59, 60, 3_599, 3_600, 86_399, 86_400, 1_000_000]
            .map(|seconds| ago(Span::from_secs(seconds)));
        let expected = [
            "just now",
            "59 s ago",
            "1 min ago",
            "59 min ago",
            "1 h ago",
            "23 h ago",
            "1 d ago",
            "11 d ago",
        ];
        assert_eq!(written, expected);
    }
}
