//! Another configuration while the daemon runs: read beside the protocol loop, taken as a whole.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use tokio::sync::oneshot;

use super::load::{self, LoadError};
use crate::api::{BadFile, FileStatus, Reloaded, Response};
use crate::engine::Plan;
use crate::keyring::KeyRing;
use crate::model::Config;
use crate::time::Wall;

/// What came of reading the file.
pub(crate) type Loaded = Result<(Config, KeyRing), BadFile>;

/// Somebody wants the file read.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Only to know what would change.
    dry_run: bool,
    /// Where the answer goes; a signal waits for none.
    reply: Option<oneshot::Sender<Response>>,
}

impl Wanted {
    /// By a signal.
    pub(crate) fn by_signal() -> Self {
        Self { dry_run: false, reply: None }
    }

    /// By a client.
    pub(crate) fn by_client(dry_run: bool, reply: oneshot::Sender<Response>) -> Self {
        Self { dry_run, reply: Some(reply) }
    }
}

/// The file, and what became of the last attempt to take it.
#[derive(Debug)]
pub(crate) struct Reload {
    path: PathBuf,
    /// When what is in effect was read.
    loaded: Wall,
    loading: Option<oneshot::Receiver<Loaded>>,
    /// Those for whom the file is being read.
    wanted: Vec<Wanted>,
    /// Those who have asked meanwhile: the file may have changed since.
    next: Vec<Wanted>,
    refused: Vec<String>,
}

impl Reload {
    /// Nothing has been asked for yet; `path` is what the daemon started with.
    pub(crate) fn new(path: PathBuf, now: Wall) -> Self {
        Self {
            path,
            loaded: now,
            loading: None,
            wanted: Vec::new(),
            next: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// Reads the file, on a thread of its own: a slow disk must not delay an advertisement.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn ask(&mut self, wanted: Wanted) -> io::Result<()> {
        if self.loading.is_some() {
            self.next.push(wanted);
            return Ok(());
        }
        let path = self.path.clone();
        let (done, loading) = oneshot::channel();
        thread::Builder::new().name("reload".to_owned()).spawn(move || {
            // The protocol loop may have ended meanwhile.
            let _ = done.send(load(&path));
        })?;
        self.loading = Some(loading);
        self.wanted.push(wanted);
        Ok(())
    }

    /// Waits until a file that was asked for has been read; for ever where none was.
    pub(crate) async fn loaded(&mut self) -> Loaded {
        let Some(loading) = &mut self.loading else { return std::future::pending().await };
        let ended = |_| {
            let error = Some("the thread that reads it has ended".to_owned());
            Err(BadFile { problems: Vec::new(), error })
        };
        loading.await.unwrap_or_else(ended)
    }

    /// Whether what was read is to be taken, and not only looked at.
    pub(crate) fn is_in_earnest(&self) -> bool {
        self.wanted.iter().any(|wanted| !wanted.dry_run)
    }

    /// Takes note of what came of it, tells those who wait, and reads once more for those who have
    /// asked meanwhile.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn done(&mut self, now: Wall, outcome: &Result<Plan, BadFile>) -> io::Result<()> {
        self.loading = None;
        if self.is_in_earnest() {
            self.refused = outcome.as_ref().err().map(lines).unwrap_or_default();
            self.loaded = if outcome.is_ok() { now } else { self.loaded };
        }
        for Wanted { dry_run, reply } in self.wanted.drain(..) {
            let reloaded = match outcome {
                Ok(plan) if dry_run => Reloaded::Planned(plan.clone()),
                Ok(plan) => Reloaded::Done(plan.clone()),
                Err(refused) => Reloaded::Refused(refused.clone()),
            };
            // A client that has gone is no error.
            let _ = reply.map(|reply| reply.send(Response::Reload(reloaded)));
        }
        std::mem::take(&mut self.next).into_iter().try_for_each(|wanted| self.ask_too(wanted))
    }

    /// As [`Reload::ask`], where what is being read now is new enough.
    fn ask_too(&mut self, wanted: Wanted) -> io::Result<()> {
        if self.loading.is_some() {
            self.wanted.push(wanted);
            return Ok(());
        }
        self.ask(wanted)
    }

    /// The file, for the status socket.
    pub(crate) fn file(&self) -> FileStatus {
        FileStatus {
            path: self.path.display().to_string(),
            loaded: self.loaded,
            refused: self.refused.clone(),
        }
    }

    /// What stands behind the engine's status, with the semicolon that separates it.
    pub(crate) fn status(&self) -> String {
        let Some(first) = self.refused.first() else { return String::new() };
        let mut text = format!("; the configuration was not reloaded: {first}");
        if self.refused.len() > 1 {
            let _ = write!(text, " (and {} more)", self.refused.len() - 1);
        }
        text
    }
}

/// One line for each thing that is wrong.
pub(crate) fn lines(refused: &BadFile) -> Vec<String> {
    let problems = refused.problems.iter().map(ToString::to_string);
    problems.chain(refused.error.clone()).collect()
}

fn load(path: &Path) -> Loaded {
    load::with_keys(path).map_err(|error| match error {
        LoadError::Invalid(problems) => BadFile { problems, error: None },
        other => BadFile { problems: Vec::new(), error: Some(other.to_string()) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(lines: &[&str]) -> Result<Plan, BadFile> {
        let problem = |line: &&str| crate::config::Problem {
            file: "vipd.yaml".to_owned(),
            line: 3,
            column: 1,
            key: String::new(),
            what: (*line).to_owned(),
            hint: None,
        };
        Err(BadFile { problems: lines.iter().map(problem).collect(), error: None })
    }

    /// A reload that a signal wants; the file does not matter.
    fn asked() -> Reload {
        let mut reload = Reload::new("vipd.yaml".into(), Wall(7));
        reload.ask(Wanted::by_signal()).unwrap();
        reload
    }

    /// Rule: the status says why the file was not taken, until one is.
    #[test]
    fn the_status_says_why() {
        let mut reload = asked();
        assert_eq!(reload.status(), "");
        reload.done(Wall(8), &refused(&["wrong"])).unwrap();
        let expected = "; the configuration was not reloaded: vipd.yaml:3:1: wrong";
        assert_eq!(reload.status(), expected);
        assert_eq!(reload.file().loaded, Wall(7));
        reload.ask(Wanted::by_signal()).unwrap();
        reload.done(Wall(9), &refused(&["one", "two", "three"])).unwrap();
        assert!(reload.status().ends_with(": one (and 2 more)"));
        reload.ask(Wanted::by_signal()).unwrap();
        reload.done(Wall(10), &Ok(Plan::default())).unwrap();
        assert_eq!(reload.status(), "");
        assert_eq!(reload.file().loaded, Wall(10));
    }

    /// Rule: who only wants to know changes nothing, not even the status; each is told what it asked.
    #[test]
    fn a_dry_run_is_no_attempt() {
        let mut reload = Reload::new("vipd.yaml".into(), Wall(7));
        let (reply, mut answer) = oneshot::channel();
        reload.ask(Wanted::by_client(true, reply)).unwrap();
        assert!(!reload.is_in_earnest());
        reload.done(Wall(8), &refused(&["wrong"])).unwrap();
        assert!(matches!(answer.try_recv(), Ok(Response::Reload(Reloaded::Refused(_)))));
        assert_eq!((reload.status().as_str(), reload.file().loaded), ("", Wall(7)));
    }

    /// Bug guarded: a file that changes while it is being read must be read again.
    #[test]
    fn a_request_while_reading_is_not_lost() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut reload = Reload::new("/nowhere/vipd.yaml".into(), Wall(7));
        reload.ask(Wanted::by_signal()).unwrap();
        let (reply, mut answer) = oneshot::channel();
        reload.ask(Wanted::by_client(false, reply)).unwrap();
        reload.ask(Wanted::by_signal()).unwrap();
        let first = runtime.block_on(reload.loaded()).unwrap_err();
        assert!(lines(&first)[0].starts_with("/nowhere/vipd.yaml: cannot be read"));
        reload.done(Wall(8), &Err(first)).unwrap();
        assert!(answer.try_recv().is_err(), "what was read for the first is too old for it");
        let second = runtime.block_on(reload.loaded()).unwrap_err();
        reload.done(Wall(9), &Err(second)).unwrap();
        assert!(matches!(answer.try_recv(), Ok(Response::Reload(Reloaded::Refused(_)))));
        assert!(reload.loading.is_none());
    }
}
