//! Where log lines go: the journal under systemd, otherwise standard error.

use std::fmt;
use std::io::{self, IsTerminal};

use nix::sys::stat::fstat;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Sends all log lines of this process to where they belong. `VIPD_LOG` chooses what is told, as
/// `debug` or `vipd=debug` (the default is `info`).
pub(crate) fn start() {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .with_env_var("VIPD_LOG")
        .from_env_lossy();
    if stderr_is_the_journal()
        && let Ok(journal) = tracing_journald::layer()
    {
        let journal = journal.with_field_prefix(None).with_filter(filter);
        tracing_subscriber::registry().with(journal).init();
        return;
    }
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .event_format(Line)
        .with_filter(filter);
    tracing_subscriber::registry().with(lines).init();
}

/// Whether what we write to standard error ends in the journal anyway: systemd says so by the
/// device and inode in `JOURNAL_STREAM` (`systemd.exec(5)`).
fn stderr_is_the_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    fstat(io::stderr()).is_ok_and(|file| stream == format!("{}:{}", file.st_dev, file.st_ino))
}

/// One line for people: time, level, text.
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut message = Message::default();
        event.record(&mut message);
        SystemTime.format_time(&mut to)?;
        let level = *event.metadata().level();
        match colour(level).filter(|_| to.has_ansi_escapes()) {
            Some(colour) => write!(to, " \x1b[{colour}m{level:>5}\x1b[0m ")?,
            None => write!(to, " {level:>5} ")?,
        }
        writeln!(to, "{}", message.0)
    }
}

/// The colour of a level, as an ANSI escape code's number.
fn colour(level: Level) -> Option<u8> {
    match level {
        Level::ERROR => Some(31),
        Level::WARN => Some(33),
        Level::INFO => Some(32),
        _ => None,
    }
}

/// The text of a line, without its fields.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Rule: a line for people has the time, the level and the text; fields are for the journal.
    #[test]
    fn a_line_is_time_level_and_text() {
        let written = Shared::default();
        let writer = written.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .event_format(Line);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(INSTANCE = Some("db"), "{}", "db: silence of db1 for 3.2 s");
            tracing::warn!(INSTANCE = None::<&str>, "{}", "no instance");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = text.lines().map(|line| line.split_once('Z').unwrap().1).collect();
        assert_eq!(lines, ["  INFO db: silence of db1 for 3.2 s", "  WARN no instance"]);
    }
}
