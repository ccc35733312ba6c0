//! Another configuration while the daemon runs: read beside the protocol loop, taken as a whole.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use tokio::sync::oneshot;

use super::load::{self, LoadError};
use crate::model::Config;

/// What came of reading the file.
pub(crate) type Loaded = Result<Config, Refused>;

/// Why the configuration stays as it is: one line for each reason.
#[derive(Debug)]
pub(crate) struct Refused(Vec<String>);

impl Refused {
    /// The lines.
    pub(crate) fn lines(&self) -> &[String] {
        &self.0
    }
}

/// The file, and what became of the last attempt to take it.
#[derive(Debug)]
pub(crate) struct Reload {
    path: PathBuf,
    loading: Option<oneshot::Receiver<Loaded>>,
    /// Asked for once more while the file was being read: it may have changed since.
    again: bool,
    refused: Option<Refused>,
}

impl Reload {
    /// Nothing has been asked for yet; `path` is what the daemon started with.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, loading: None, again: false, refused: None }
    }

    /// Reads the file, on a thread of its own: a slow disk must not delay an advertisement.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn ask(&mut self) -> io::Result<()> {
        if self.loading.is_some() {
            self.again = true;
            return Ok(());
        }
        let path = self.path.clone();
        let (done, loading) = oneshot::channel();
        thread::Builder::new().name("reload".to_owned()).spawn(move || {
            // The protocol loop may have ended meanwhile.
            let _ = done.send(load(&path));
        })?;
        self.loading = Some(loading);
        Ok(())
    }

    /// Waits until a file that was asked for has been read; for ever where none was.
    pub(crate) async fn loaded(&mut self) -> Loaded {
        let Some(loading) = &mut self.loading else { return std::future::pending().await };
        let ended = |_| Err(Refused(vec!["the thread that reads it has ended".to_owned()]));
        loading.await.unwrap_or_else(ended)
    }

    /// Takes note of what came of it, and reads once more if that was asked for meanwhile.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn done(&mut self, refused: Option<Refused>) -> io::Result<()> {
        self.loading = None;
        self.refused = refused;
        if std::mem::take(&mut self.again) { self.ask() } else { Ok(()) }
    }

    /// What stands behind the engine's status, with the semicolon that separates it.
    pub(crate) fn status(&self) -> String {
        let Some(Refused(lines)) = &self.refused else { return String::new() };
        let mut text = "; the configuration was not reloaded".to_owned();
        if let Some(first) = lines.first() {
            let _ = write!(text, ": {first}");
        }
        if lines.len() > 1 {
            let _ = write!(text, " (and {} more)", lines.len() - 1);
        }
        text
    }
}

fn load(path: &Path) -> Loaded {
    load::file(path, None).map_err(|error| match error {
        LoadError::Invalid(problems) => Refused(problems.iter().map(ToString::to_string).collect()),
        other => Refused(vec![other.to_string()]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(lines: &[&str]) -> Refused {
        Refused(lines.iter().map(|line| (*line).to_owned()).collect())
    }

    /// Rule: the status says why the file was not taken, until one is.
    #[test]
    fn the_status_says_why() {
        let mut reload = Reload::new("vipd.yaml".into());
        assert_eq!(reload.status(), "");
        reload.done(Some(refused(&["vipd.yaml:3:1: wrong"]))).unwrap();
        let expected = "; the configuration was not reloaded: vipd.yaml:3:1: wrong";
        assert_eq!(reload.status(), expected);
        reload.done(Some(refused(&["one", "two", "three"]))).unwrap();
        assert!(reload.status().ends_with(": one (and 2 more)"));
        reload.done(None).unwrap();
        assert_eq!(reload.status(), "");
    }

    /// Bug guarded: a file that changes while it is being read must be read again.
    #[test]
    fn a_request_while_reading_is_not_lost() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut reload = Reload::new("/nowhere/vipd.yaml".into());
        reload.ask().unwrap();
        reload.ask().unwrap();
        let first = runtime.block_on(reload.loaded());
        assert!(first.unwrap_err().lines()[0].starts_with("/nowhere/vipd.yaml: cannot be read"));
        reload.done(None).unwrap();
        assert!(runtime.block_on(reload.loaded()).is_err());
        reload.done(None).unwrap();
        assert!(reload.loading.is_none());
    }
}
