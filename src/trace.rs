//! Recording what happened to an engine, and replaying it.
//!
//! A recording is a text file of JSON lines: a [`Header`], then a [`Step`] for each input, then,
//! where the recorder fell behind, a line that says so. As the engine is a function of its
//! configuration and its inputs, a fresh one answers them with the same actions.

use std::fmt;
use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use crate::engine::{Action, Engine, Input};
use crate::model::Config;
use crate::time::Now;

/// The version of the format.
const FORMAT: u32 = 1;

/// The first line: what the engine was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the format, 1; the field's name also tells what file this is.
    pub vipd_trace: u32,
    /// The version of the program that recorded it.
    pub version: String,
    /// When the engine was made.
    pub now: Now,
    /// From which configuration.
    pub config: Config,
}

impl Header {
    /// The header of a recording that starts `now`, by this version of the program.
    pub fn new(now: Now, config: Config) -> Self {
        Self { vipd_trace: FORMAT, version: env!("CARGO_PKG_VERSION").to_owned(), now, config }
    }
}

/// One input, and the actions with which the engine answered it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// When it was handed in.
    pub at: Now,
    /// What happened.
    pub input: Input,
    /// What the engine wanted done about it.
    pub actions: Vec<Action>,
}

/// The last line of a recording that is not complete.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CutShort {
    cut_short: String,
}

/// Writes a recording.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
}

impl<W: Write> Writer<W> {
    /// Starts a recording with its header.
    ///
    /// # Errors
    /// What writing to `to` fails with.
    pub fn new(to: W, header: &Header) -> io::Result<Self> {
        let mut writer = Self { to };
        writer.line(header)?;
        Ok(writer)
    }

    /// Adds a step.
    ///
    /// # Errors
    /// What writing fails with.
    pub fn step(&mut self, step: &Step) -> io::Result<()> {
        self.line(step)
    }

    /// Ends the recording with a line that says why it is not complete.
    ///
    /// # Errors
    /// What writing fails with.
    pub fn cut_short(mut self, why: &str) -> io::Result<()> {
        self.line(&CutShort { cut_short: why.to_owned() })?;
        self.flush()
    }

    /// Passes on what is buffered.
    ///
    /// # Errors
    /// What flushing fails with.
    pub fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.to, line)?;
        self.to.write_all(b"\n")
    }
}

/// A recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The file.
    #[error("reading failed: {0}")]
    File(#[from] io::Error),
    /// A line of it is not what it should be.
    #[error("line {line}: {what}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
}

/// Reads a recording; as an iterator, its steps.
#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    line: usize,
    header: Header,
    cut_short: Option<String>,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When `from` fails or does not start with the header of a recording.
    pub fn new(mut from: R) -> Result<Self, Unreadable> {
        let mut text = String::new();
        from.read_line(&mut text)?;
        let first = |what: String| Unreadable::Line { line: 1, what };
        let header: Header = serde_json::from_str(&text)
            .map_err(|error| first(format!("not the header of a recording: {error}")))?;
        match header.vipd_trace {
            FORMAT => Ok(Self { from, line: 1, header, cut_short: None }),
            other => Err(first(format!("format {other} is unknown; this program reads {FORMAT}"))),
        }
    }

    /// What the recorded engine was made from.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The number of the line that was read last, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Why the recording ends before the engine did, known once all its steps have been read.
    pub fn cut_short(&self) -> Option<&str> {
        self.cut_short.as_deref()
    }

    /// The next step; `None` at the end, which may be a line that says that it was cut short, or
    /// half a line where the recorder was killed.
    fn read(&mut self) -> Result<Option<Step>, Unreadable> {
        let mut text = String::new();
        if self.cut_short.is_some() || self.from.read_line(&mut text)? == 0 {
            return Ok(None);
        }
        self.line += 1;
        let error = match serde_json::from_str::<Step>(&text) {
            Ok(step) => return Ok(Some(step)),
            Err(error) => error,
        };
        if let Ok(CutShort { cut_short }) = serde_json::from_str(&text) {
            self.cut_short = Some(cut_short);
            return Ok(None);
        }
        if !text.ends_with('\n') {
            self.cut_short = Some("the last line is not complete".to_owned());
            return Ok(None);
        }
        Err(Unreadable::Line { line: self.line, what: format!("not a step: {error}") })
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Step, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// How a replay that found no difference went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The number of steps.
    pub steps: usize,
    /// Why the recording ends before the engine did.
    pub cut_short: Option<String>,
}

/// A replay did not come to the recorded end.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The recording cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The engine answered other than recorded.
    #[error(transparent)]
    Differs(Box<Difference>),
}

/// The first step that this engine answers other than the recorded one.
#[derive(Debug, thiserror::Error)]
pub struct Difference {
    /// The line of the recording, from 1.
    pub line: usize,
    /// The recorded step.
    pub recorded: Step,
    /// What this engine answered.
    pub answered: Vec<Action>,
}

/// Names the first action that differs.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = (self.recorded.actions.iter().zip(&self.answered))
            .take_while(|(recorded, answered)| recorded == answered)
            .count();
        let shown = |actions: &[Action]| match actions.get(place) {
            Some(action) => serde_json::to_string(action).unwrap_or_else(|error| error.to_string()),
            None => "nothing more".to_owned(),
        };
        let input = serde_json::to_string(&self.recorded.input).map_err(|_| fmt::Error)?;
        writeln!(f, "line {}: action {} of the answer differs", self.line, place + 1)?;
        writeln!(f, "  input:    {input}")?;
        writeln!(f, "  recorded: {}", shown(&self.recorded.actions))?;
        write!(f, "  now:      {}", shown(&self.answered))
    }
}

/// Hands the recorded inputs to a fresh engine and compares its answers with the recorded ones.
/// `each` is called with every step before it is compared.
///
/// # Errors
/// When the recording cannot be read, or at the first difference.
pub fn replay<R: BufRead>(
    mut recording: Reader<R>,
    mut each: impl FnMut(&Step),
) -> Result<Replayed, ReplayError> {
    let Header { now, config, .. } = recording.header().clone();
    let mut engine = Engine::new(config, now);
    let mut steps = 0;
    while let Some(recorded) = recording.read()? {
        each(&recorded);
        let answered = engine.handle(recorded.at, recorded.input.clone());
        if answered != recorded.actions {
            let difference = Difference { line: recording.line, recorded, answered };
            return Err(ReplayError::Differs(Box::new(difference)));
        }
        steps += 1;
    }
    Ok(Replayed { steps, cut_short: recording.cut_short })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Packet;
    use crate::time::{Mono, Wall};
    use crate::vrrp::auth::Proof;

    fn at(nanos: u64) -> Now {
        Now { mono: Mono(nanos), wall: Wall(1_700_000_000_000_000_000 + nanos) }
    }

    fn step(nanos: u64, actions: Vec<Action>) -> Step {
        let input = Input::Received {
            interface: "eth0".try_into().unwrap(),
            arrived: Mono(nanos),
            packet: Packet::V4 { bytes: vec![0x45, 0xc0, 0x00] },
            proof: Proof::None,
        };
        Step { at: at(nanos), input, actions }
    }

    fn recording(steps: &[Step]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, &Header::new(at(1), Config::default())).unwrap();
        for step in steps {
            writer.step(step).unwrap();
        }
        bytes
    }

    /// Rule: what is recorded is read back as it was, to the nanosecond.
    #[test]
    fn a_recording_is_read_back_as_it_was_written() {
        let steps = [step(2, vec![]), step(3, vec![Action::Exit])];
        let bytes = recording(&steps);
        let reader = Reader::new(bytes.as_slice()).unwrap();
        assert_eq!(reader.header(), &Header::new(at(1), Config::default()));
        let read: Vec<Step> = reader.map(Result::unwrap).collect();
        assert_eq!(read, steps);
    }

    /// Rule: an engine without instances answers nothing, so a recorded action is a difference,
    /// named by its line and its place.
    #[test]
    fn a_difference_is_named() {
        let bytes = recording(&[step(2, vec![]), step(3, vec![Action::Exit])]);
        let error = replay(Reader::new(bytes.as_slice()).unwrap(), |_| ()).unwrap_err();
        let ReplayError::Differs(difference) = error else { panic!("{error}") };
        assert_eq!(difference.line, 3);
        let text = difference.to_string();
        assert!(text.contains("line 3: action 1"), "{text}");
        assert!(text.contains("recorded: \"exit\"") && text.contains("nothing more"), "{text}");
    }

    /// Rule: a recording whose recorder fell behind or was killed says so instead of passing
    /// for complete.
    #[test]
    fn an_incomplete_recording_says_so() {
        let whole = recording(&[step(2, vec![]), step(3, vec![])]);
        let killed = &whole[..whole.len() - 10];
        let replayed = replay(Reader::new(killed).unwrap(), |_| ()).unwrap();
        assert_eq!(replayed.steps, 1);
        assert!(replayed.cut_short.unwrap().contains("not complete"));

        let mut behind = recording(&[step(2, vec![])]);
        Writer { to: &mut behind }.cut_short("the disk was too slow").unwrap();
        let replayed = replay(Reader::new(behind.as_slice()).unwrap(), |_| ()).unwrap();
        assert_eq!(replayed.cut_short.as_deref(), Some("the disk was too slow"));
    }

    /// Rule: a file that is something else is refused with the place, not replayed as empty.
    #[test]
    fn other_files_are_refused() {
        let error = Reader::new(&b"instances:\n"[..]).unwrap_err().to_string();
        assert!(error.starts_with("line 1: not the header"), "{error}");
        let mut bytes = recording(&[]);
        bytes.extend_from_slice(b"{\"at\":1}\n");
        let error = replay(Reader::new(bytes.as_slice()).unwrap(), |_| ()).unwrap_err();
        assert!(error.to_string().starts_with("line 2: not a step"), "{error}");
    }
}
