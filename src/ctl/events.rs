//! `vipctl events`: what happened, from the daemon's memory of its last log lines.

use std::io::{self, Write as _};
use std::thread::sleep;
use std::time::Duration;

use clap::Args;

use super::exit::Exit;
use super::options::{SourceOptions, instance_name};
use super::snapshot::Seen;
use super::told::Told;
use super::words::{NOTABLE, date, paint};
use crate::api::{EventRecord, Snapshot};
use crate::engine::story::Severity;
use crate::model::InstanceName;
use crate::time::Wall;

/// How often to look for more. The daemon remembers the last 128: so many would have to come in this
/// time for one to be lost.
const DISTANCE: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Only what is about this instance
    #[arg(value_parser = instance_name)]
    instance: Option<InstanceName>,
    /// Go on with what happens from now on, also over a restart of vipd
    #[arg(long, short)]
    follow: bool,
    /// Begin with so many of the last ones [default: all that vipd remembers]
    #[arg(long, short = 'n', value_name = "COUNT")]
    lines: Option<usize>,
    #[command(flatten)]
    source: SourceOptions,
}

/// Shows them, and goes on until it is interrupted or nobody reads any more.
pub(super) fn main(options: &Options) -> Told {
    let mut follower = Follower::default();
    let mut trouble = None;
    loop {
        let written = match Seen::read(&options.source, named(options, &follower)) {
            Ok(seen) => {
                trouble = None;
                show(options, &seen, &mut follower)
            }
            // Only at the beginning; a daemon that is not there any more may come back.
            Err(told) if follower.daemon.is_none() => return told,
            Err(told) if trouble.as_ref() != Some(&told.text) => {
                let written = writeln!(anstream::stderr(), "vipctl: {}", told.text);
                trouble = Some(told.text);
                written
            }
            Err(_) => Ok(()),
        };
        if written.is_err() || !options.follow {
            return Told::shown(Exit::Ok, String::new());
        }
        sleep(DISTANCE);
    }
}

/// The name has to be right at the beginning only: a reload may take the instance away.
fn named<'a>(options: &'a Options, follower: &Follower) -> Option<&'a InstanceName> {
    options.instance.as_ref().filter(|_| follower.daemon.is_none())
}

fn show(options: &Options, seen: &Seen, follower: &mut Follower) -> io::Result<()> {
    let is_first = follower.daemon.is_none();
    let mut news = follower.news(&seen.snapshot);
    news.retain(|news| match (news, &options.instance) {
        (News::Event(place), Some(name)) => {
            let event = seen.snapshot.events.get(*place);
            event.is_some_and(|event| event.instance.as_ref() == Some(name))
        }
        _ => true,
    });
    let skipped = match options.lines {
        Some(lines) if is_first => news.len().saturating_sub(lines),
        _ => 0,
    };
    let raw = seen.raw_events();
    let mut out = anstream::stdout();
    for news in news.into_iter().skip(skipped) {
        let line = match news {
            News::Event(place) if options.source.json => {
                raw.get(place).map(|raw| (*raw).to_owned())
            }
            News::Event(place) => seen.snapshot.events.get(place).map(line),
            News::Lost(count) if options.source.json => Some(format!("{{\"lost\":{count}}}")),
            News::Lost(count) => Some(paint(
                NOTABLE,
                format_args!("-- {count} events were lost here; they are in vipd's log --"),
            )),
            News::Restarted(process) if options.source.json => {
                Some(format!("{{\"restarted\":{process}}}"))
            }
            News::Restarted(process) => {
                Some(paint(NOTABLE, format_args!("-- vipd was started anew, process {process} --")))
            }
        };
        line.map_or(Ok(()), |line| writeln!(out, "{line}"))?;
    }
    out.flush()
}

/// `2026-11-24 14:03:07 UTC web: backup -> active: nobody heard for 3.61 s`
fn line(event: &EventRecord) -> String {
    let name = event.instance.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    let text = match event.severity {
        Severity::Warning => paint(NOTABLE, &event.text),
        Severity::Info | Severity::Debug => event.text.clone(),
    };
    format!("{} {name}{text}", date(event.at))
}

/// The last so many, as lines.
pub(super) fn last(seen: &Seen, name: Option<&InstanceName>, count: usize) -> Vec<String> {
    let events = seen.snapshot.events.iter();
    let lines: Vec<String> = events
        .filter(|event| name.is_none() || event.instance.as_ref() == name)
        .map(line)
        .collect();
    let skipped = lines.len().saturating_sub(count);
    lines.into_iter().skip(skipped).collect()
}

/// What has been seen of which daemon.
#[derive(Debug, Default)]
struct Follower {
    daemon: Option<(u32, Wall)>,
    /// The number of the last event.
    last: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum News {
    /// The one at this place of the snapshot.
    Event(usize),
    /// So many have come and gone.
    Lost(u64),
    /// Another daemon, with this process.
    Restarted(u32),
}

impl Follower {
    /// What is new in a snapshot.
    fn news(&mut self, snapshot: &Snapshot) -> Vec<News> {
        let daemon = (snapshot.process, snapshot.started);
        let mut news = Vec::new();
        let is_first = self.daemon.is_none();
        if self.daemon.is_some_and(|before| before != daemon) {
            news.push(News::Restarted(snapshot.process));
            self.last = 0;
        }
        self.daemon = Some(daemon);
        let oldest = snapshot.events.first().map_or(self.last + 1, |event| event.number);
        let lost = oldest.saturating_sub(self.last + 1);
        // What there was before the first look is nobody's loss.
        if lost > 0 && !is_first {
            news.push(News::Lost(lost));
        }
        for (place, event) in snapshot.events.iter().enumerate() {
            if event.number > self.last {
                self.last = event.number;
                news.push(News::Event(place));
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{FileStatus, LoopStatus};
    use crate::engine::Status;
    use crate::histogram::Histogram;

    fn snapshot(process: u32, numbers: std::ops::RangeInclusive<u64>) -> Snapshot {
        let file = FileStatus {
            path: String::new(),
            loaded: Wall(0),
            refused: Vec::new(),
            awaited: Vec::new(),
        };
        Snapshot {
            format: Snapshot::FORMAT,
            vipd: String::new(),
            taken: Wall(0),
            started: Wall(0),
            process,
            text: String::new(),
            status: Status::default(),
            file,
            protocol_loop: LoopStatus { lateness: Histogram::of_lateness(), held_up: 0 },
            notes: Vec::new(),
            events: numbers
                .map(|number| EventRecord {
                    number,
                    at: Wall(number),
                    severity: Severity::Info,
                    instance: None,
                    text: String::new(),
                })
                .collect(),
        }
    }

    fn places(news: &[News]) -> usize {
        news.iter().filter(|news| matches!(news, News::Event(_))).count()
    }

    /// Rule: each event is told once; those that came and went between two looks are told as lost;
    /// a restart is told, and its events are all new although their numbers are not.
    #[test]
    fn events_are_followed() {
        let mut follower = Follower::default();
        let news = follower.news(&snapshot(1, 5..=9));
        assert_eq!((news.len(), places(&news)), (5, 5), "{news:?}");
        assert_eq!(follower.news(&snapshot(1, 5..=9)), []);
        assert_eq!(follower.news(&snapshot(1, 6..=10)), [News::Event(4)]);
        let news = follower.news(&snapshot(1, 14..=15));
        assert_eq!(news, [News::Lost(3), News::Event(0), News::Event(1)]);
        let news = follower.news(&snapshot(2, 1..=2));
        assert_eq!(news, [News::Restarted(2), News::Event(0), News::Event(1)]);
        let news = follower.news(&snapshot(3, 4..=4));
        assert_eq!(news, [News::Restarted(3), News::Lost(3), News::Event(0)]);
    }
}
