//! Telling people: from the protocol loop, which must not wait, to the journal or a terminal.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::background::Background;
use super::clock;
use crate::api::EventRecord;
use crate::engine::Event;
use crate::engine::story::Severity;
use crate::model::InstanceName;

/// How many lines may wait for a slow journal.
const BACKLOG: usize = 4096;

/// How many of the last lines the status socket shows.
const REMEMBERED: usize = 128;

/// How long the end of the program waits for the last lines.
const PATIENCE: Duration = Duration::from_secs(1);

/// The protocol loop's end of the log.
#[derive(Debug)]
pub(crate) struct Teller {
    thread: Background<Told>,
    /// Lines that the thread was too far behind for, not yet told.
    dropped: u64,
    recent: VecDeque<EventRecord>,
    /// The number of the last one.
    number: u64,
}

#[derive(Debug)]
enum Told {
    Event(Event),
    Notice(Severity, String),
    Dropped(u64),
}

impl Teller {
    /// Starts the thread that logs.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn start() -> io::Result<Self> {
        Ok(Self {
            thread: Background::start("log", BACKLOG, tell_all)?,
            dropped: 0,
            recent: VecDeque::new(),
            number: 0,
        })
    }

    /// Tells what the engine reports.
    pub(crate) fn event(&mut self, event: Event) {
        self.remember(event.severity(), event.instance.clone(), event.to_string());
        self.tell(Told::Event(event));
    }

    /// Tells something of the daemon itself.
    pub(crate) fn notice(&mut self, severity: Severity, text: impl Into<String>) {
        let text = text.into();
        self.remember(severity, None, text.clone());
        self.tell(Told::Notice(severity, text));
    }

    /// What was told last, for the status socket.
    pub(crate) fn recent(&self) -> Vec<EventRecord> {
        self.recent.iter().cloned().collect()
    }

    fn remember(&mut self, severity: Severity, instance: Option<InstanceName>, text: String) {
        if severity == Severity::Debug {
            return;
        }
        if self.recent.len() >= REMEMBERED {
            self.recent.pop_front();
        }
        self.number += 1;
        let (number, at) = (self.number, clock::now().wall);
        self.recent.push_back(EventRecord { number, at, severity, instance, text });
    }

    fn tell(&mut self, told: Told) {
        if self.dropped > 0 && self.thread.feed(Told::Dropped(self.dropped)) {
            self.dropped = 0;
        }
        if !self.thread.feed(told) {
            self.dropped += 1;
        }
    }

    /// Waits for the last lines, but not for a journal that hangs.
    pub(crate) fn finish(self) {
        self.thread.finish(PATIENCE);
    }
}

fn tell_all(lines: Receiver<Box<Told>>) {
    for told in lines {
        match *told {
            Told::Event(event) => {
                let instance = event.instance.as_ref().map(InstanceName::as_str);
                // In the text too: journalctl does not show fields.
                write(event.severity(), instance, &event.line());
            }
            Told::Notice(severity, text) => write(severity, None, &text),
            Told::Dropped(count) => {
                let text = format!("{count} log lines were lost: the log could not keep up");
                write(Severity::Warning, None, &text);
            }
        }
    }
}

fn write(severity: Severity, instance: Option<&str>, text: &str) {
    match severity {
        Severity::Debug => tracing::debug!(INSTANCE = instance, "{text}"),
        Severity::Info => tracing::info!(INSTANCE = instance, "{text}"),
        Severity::Warning => tracing::warn!(INSTANCE = instance, "{text}"),
    }
}
