//! `--record`: what happens to the engine goes to a file, by a thread that the loop never waits
//! for.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use super::background::Background;
use super::directory;
use crate::trace::{Header, Step, Writer};

/// How many steps may wait for a slow disk: some seconds of the shortest interval.
const BACKLOG: usize = 8192;

/// How long the end of the program waits for the last steps.
const PATIENCE: Duration = Duration::from_secs(2);

/// The protocol loop's end of a recording.
#[derive(Debug)]
pub(crate) struct Recorder {
    thread: Background<Step>,
    behind: Arc<AtomicBool>,
}

impl Recorder {
    /// Starts a recording in a new file, instead of an old one of this name.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn start(path: &Path, header: &Header) -> io::Result<Self> {
        let file = BufWriter::new(directory::create(path)?);
        let mut writer = Writer::new(file, header)?;
        writer.flush()?;
        let behind = Arc::new(AtomicBool::new(false));
        let (flag, name) = (Arc::clone(&behind), path.display().to_string());
        let thread = Background::start("record", BACKLOG, move |steps| {
            if let Err(error) = write_all(writer, &steps, &flag) {
                tracing::warn!("the recording in {name} ends here: {error}");
            }
        })?;
        Ok(Self { thread, behind })
    }

    /// Records a step. Where the thread is too far behind, the recording ends before this step
    /// and says so: one with a hole could not be replayed.
    pub(crate) fn step(&mut self, step: Step) {
        if !self.thread.feed(step) {
            self.behind.store(true, Ordering::Release);
            self.thread.close();
        }
    }

    /// Waits for the last steps, but not for a disk that hangs.
    pub(crate) fn finish(self) {
        self.thread.finish(PATIENCE);
    }
}

fn write_all(
    mut writer: Writer<BufWriter<File>>,
    steps: &Receiver<Box<Step>>,
    behind: &AtomicBool,
) -> io::Result<()> {
    loop {
        let step = match steps.try_recv() {
            Ok(step) => step,
            Err(TryRecvError::Empty) => {
                // A recording is for the time after a crash too.
                writer.flush()?;
                let Ok(step) = steps.recv() else { break };
                step
            }
            Err(TryRecvError::Disconnected) => break,
        };
        writer.step(&step)?;
    }
    if behind.load(Ordering::Acquire) {
        return writer.cut_short("the recorder could not keep up with what happened");
    }
    writer.flush()
}
