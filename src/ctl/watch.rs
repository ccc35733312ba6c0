//! `vipctl watch`: the status all the time on a terminal, its changes on a pipe.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};
use std::thread::sleep;
use std::time::Duration;

use clap::Args;

use super::events;
use super::exit::Exit;
use super::options::{SourceOptions, instance_name};
use super::snapshot::Seen;
use super::status;
use super::told::Told;
use super::words::{BAD, date, paint};
use crate::model::InstanceName;

/// How many of the last events a terminal shows below the status.
const EVENTS: usize = 8;

/// Goes to the first place of the terminal, and removes what is from there on.
const CLEAR: &str = "\x1b[H\x1b[J";

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Only this instance
    #[arg(value_parser = instance_name)]
    instance: Option<InstanceName>,
    /// How often to look, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 500)]
    #[arg(value_parser = clap::value_parser!(u64).range(50..=3_600_000))]
    interval: u64,
    #[command(flatten)]
    source: SourceOptions,
}

/// Looks until it is interrupted or nobody reads any more. A daemon that is not there is waited for.
pub(super) fn main(options: &Options) -> Told {
    let draws = env::var_os("TERM").is_none_or(|term| term != "dumb");
    let terminal = io::stdout().is_terminal() && draws && !options.source.json;
    let mut before = Before::default();
    loop {
        let written = match Seen::read(&options.source, options.instance.as_ref()) {
            // A name that was never there is a mistake.
            Err(told) if told.exit == Exit::Refused && before == Before::default() => return told,
            outcome if terminal => draw(options, &outcome),
            outcome => before.changes(options, outcome),
        };
        if written.is_err() {
            return Told::done(String::new());
        }
        sleep(Duration::from_millis(options.interval));
    }
}

fn draw(options: &Options, outcome: &Result<Seen, Told>) -> io::Result<()> {
    let mut text = String::new();
    match outcome {
        Ok(seen) => {
            let name = options.instance.as_ref();
            text.push_str(&status::text(seen, name));
            text.push_str("\nlast events:\n");
            text.push_str(&events::last(seen, name, EVENTS).join("\n"));
        }
        Err(told) => text.push_str(&paint(BAD, &told.text)),
    }
    // Not by way of what takes the colours out: that is no colour.
    write!(io::stdout(), "{CLEAR}")?;
    let mut out = anstream::stdout();
    writeln!(out, "{text}")?;
    out.flush()
}

/// What was written last.
#[derive(Debug, Default, PartialEq, Eq)]
struct Before {
    lines: Vec<String>,
    trouble: Option<String>,
}

impl Before {
    /// Writes the lines that were not there before, with the time.
    fn changes(&mut self, options: &Options, outcome: Result<Seen, Told>) -> io::Result<()> {
        let seen = match outcome {
            Ok(seen) => seen,
            Err(told) => return self.trouble(told.text),
        };
        let name = options.instance.as_ref();
        let lines = status::summary(&seen, name);
        self.trouble = None;
        let mut out = anstream::stdout();
        if options.source.json && self.lines != lines {
            writeln!(out, "{}", seen.json(name))?;
        } else if !options.source.json {
            let at = date(seen.snapshot.taken);
            for line in lines.iter().filter(|line| !self.lines.contains(line)) {
                writeln!(out, "{at} {line}")?;
            }
            for gone in self.lines.iter().filter(|line| !about_the_same(&lines, line)) {
                writeln!(out, "{at} not any more: {gone}")?;
            }
        }
        self.lines = lines;
        out.flush()
    }

    fn trouble(&mut self, text: String) -> io::Result<()> {
        if self.trouble.as_ref() != Some(&text) {
            writeln!(anstream::stderr(), "vipctl: {text}")?;
            self.trouble = Some(text);
            // All of it is news when it is back.
            self.lines.clear();
        }
        Ok(())
    }
}

/// Whether there is a line about what this one is about, an instance or a check.
fn about_the_same(lines: &[String], line: &str) -> bool {
    lines.iter().any(|other| subject(other) == subject(line))
}

fn subject(line: &str) -> String {
    match line.strip_prefix("check ") {
        Some(rest) => format!("check {}", rest.split(' ').next().unwrap_or_default()),
        None => line.split(':').next().unwrap_or_default().to_owned(),
    }
}
