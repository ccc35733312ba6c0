//! Reloads the configuration while the daemon runs. The file is read beside the protocol loop and
//! taken as a whole. Things that the configuration in effect needs and this machine lacks are
//! looked for repeatedly.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::thread;

use tokio::sync::oneshot;

use super::load::{self, LoadError, Loaded, Source};
use crate::api::{BadFile, FileStatus, Reloaded, Response};
use crate::config::Problem;
use crate::engine::Plan;
use crate::model::{Config, Node};
use crate::time::{Mono, Span, Wall};

/// The interval at which missing things are looked for.
const LOOK_EVERY: Span = Span::from_secs(2);

/// The shortest time between a look that has found nothing and the next one, whatever happens.
const PAUSE: Span = Span::from_millis(200);

/// The result of reading the file.
pub(crate) type Read = Result<Loaded, BadFile>;

/// A finished read, by its occasion.
pub(crate) enum Reads {
    /// The file, because somebody asked for it.
    Loaded(Read),
    /// The configuration in effect again, to find what it lacks.
    Looked(Read),
}

/// A request to read the file.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// True for a request that only asks what would change.
    dry_run: bool,
    /// The way back for the answer; a signal waits for none.
    reply: Option<oneshot::Sender<Response>>,
}

impl Wanted {
    pub(crate) fn by_signal() -> Self {
        Self { dry_run: false, reply: None }
    }

    pub(crate) fn by_client(dry_run: bool, reply: oneshot::Sender<Response>) -> Self {
        Self { dry_run, reply: Some(reply) }
    }
}

/// The file, and the result of the last attempt to take it.
#[derive(Debug)]
pub(crate) struct Reload {
    path: PathBuf,
    /// The time at which the configuration in effect was read.
    loaded: Wall,
    loading: Option<oneshot::Receiver<Read>>,
    /// The requests that the current read serves.
    wanted: Vec<Wanted>,
    /// The requests that came during the current read: the file may have changed since it began.
    next: Vec<Wanted>,
    refused: Vec<String>,
    awaited: Awaited,
}

/// The things that the configuration in effect needs and this machine lacks.
#[derive(Debug, Default)]
struct Awaited {
    /// The text of the configuration in effect, and this machine's node in it.
    source: Option<Source>,
    node: Option<Node>,
    /// One line for each missing thing.
    lines: Vec<String>,
    /// The lines that are no instance's fault, and so are reported here.
    apart: Vec<String>,
    /// The time of the next look; `None` while nothing is missing.
    due: Option<Mono>,
    /// The end of the last look.
    looked: Mono,
    looking: Option<oneshot::Receiver<Read>>,
}

/// The things that are missing now and were not before, and those that were missing before.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) missing: Vec<String>,
    pub(crate) found: Vec<String>,
}

impl Reload {
    /// Starts without a request. `path` is the file that the daemon started with.
    pub(crate) fn new(path: PathBuf, now: Wall) -> Self {
        Self {
            path,
            loaded: now,
            loading: None,
            wanted: Vec::new(),
            next: Vec::new(),
            refused: Vec::new(),
            awaited: Awaited::default(),
        }
    }

    /// Notes the configuration that is in effect now. From now on, looks for the things that it
    /// lacks.
    pub(crate) fn in_effect(
        &mut self,
        now: Mono,
        config: &Config,
        awaited: &[Problem],
        source: Source,
    ) -> News {
        self.awaited.source = Some(source);
        self.awaited.looking = None;
        self.awaits(now, config, awaited)
    }

    /// Takes the list of the missing things. Returns its differences from the list before.
    pub(crate) fn awaits(&mut self, now: Mono, config: &Config, awaited: &[Problem]) -> News {
        let faults: BTreeSet<&str> = config.awaited.values().map(String::as_str).collect();
        let apart = awaited
            .iter()
            .filter(|problem| !faults.contains(problem.what.as_str()))
            .map(ToString::to_string);
        let old = std::mem::replace(&mut self.awaited.apart, apart.collect());
        self.awaited.node =
            config.nodes.iter().find(|node| Some(&node.name) == config.this_node.as_ref()).cloned();
        self.awaited.lines = awaited.iter().map(ToString::to_string).collect();
        self.awaited.looked = now;
        self.awaited.due = (!awaited.is_empty()).then(|| now + LOOK_EVERY);
        let [old, new] =
            [&old, &self.awaited.apart].map(|lines| lines.iter().collect::<BTreeSet<_>>());
        News {
            missing: new.difference(&old).copied().cloned().collect(),
            found: old.difference(&new).copied().cloned().collect(),
        }
    }

    /// Notes a change of the interfaces: a look may be worth it.
    pub(crate) fn may_have_come(&mut self) {
        let earliest = self.awaited.looked + PAUSE;
        self.awaited.due = self.awaited.due.map(|due| due.min(earliest));
    }

    /// The time to look for missing things; `None` while nothing is missing or a read is under way.
    pub(crate) fn due(&self) -> Option<Mono> {
        self.awaited.due.filter(|_| self.awaited.looking.is_none() && self.loading.is_none())
    }

    /// Looks for the missing things on a separate thread, if a look is due.
    pub(crate) fn look(&mut self, now: Mono) {
        let Some(source) = self.awaited.source.clone() else { return };
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        let was = self.awaited.node.clone();
        let (done, looking) = oneshot::channel();
        let thread = thread::Builder::new().name("reload".to_owned()).spawn(move || {
            // The protocol loop may have ended meanwhile.
            let _ = done.send(source.load(was).map_err(bad_file));
        });
        // A system without a free thread may have one next time.
        self.awaited.due = Some(now + LOOK_EVERY);
        self.awaited.looking = thread.is_ok().then_some(looking);
    }

    /// Reads the file on a separate thread: a slow disk must not delay an advertisement.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn ask(&mut self, wanted: Wanted) -> io::Result<()> {
        if self.loading.is_some() {
            self.next.push(wanted);
            return Ok(());
        }
        let (path, was) = (self.path.clone(), self.awaited.node.clone());
        let (done, loading) = oneshot::channel();
        thread::Builder::new().name("reload".to_owned()).spawn(move || {
            // The protocol loop may have ended meanwhile.
            let _ = done.send(load::file(&path, was).map_err(bad_file));
        })?;
        self.loading = Some(loading);
        self.wanted.push(wanted);
        Ok(())
    }

    /// Waits until the requested file has been read or a look has ended. Never returns if neither
    /// is under way.
    pub(crate) async fn reads(&mut self) -> Reads {
        let (loading, looking) = (&mut self.loading, &mut self.awaited.looking);
        tokio::select! {
            read = arrives(loading) => Reads::Loaded(read),
            read = arrives(looking) => {
                *looking = None;
                Reads::Looked(read)
            }
        }
    }

    /// Returns true if the file that was read is to take effect: not every request is a dry run.
    pub(crate) fn is_in_earnest(&self) -> bool {
        self.wanted.iter().any(|wanted| !wanted.dry_run)
    }

    /// Notes the result, answers those who wait, and reads again for the requests that came
    /// meanwhile.
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
                Ok(plan) if dry_run => Reloaded::Planned(Box::new(plan.clone())),
                Ok(plan) => Reloaded::Done(Box::new(plan.clone())),
                Err(refused) => Reloaded::Refused(refused.clone()),
            };
            // A client that has gone is no error.
            let _ = reply.map(|reply| reply.send(Response::Reload(reloaded)));
        }
        std::mem::take(&mut self.next).into_iter().try_for_each(|wanted| self.ask_too(wanted))
    }

    /// The same as [`Reload::ask`], but a read that is already under way is recent enough.
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
            awaited: self.awaited.lines.clone(),
        }
    }

    /// The text that follows the engine's status, with the semicolons that separate it.
    pub(crate) fn status(&self) -> String {
        let mut text = String::new();
        for (what, lines) in [
            ("the configuration was not reloaded", &self.refused),
            ("not on this machine", &self.awaited.apart),
        ] {
            let Some(first) = lines.first() else { continue };
            let _ = write!(text, "; {what}: {first}");
            if lines.len() > 1 {
                let _ = write!(text, " (and {} more)", lines.len() - 1);
            }
        }
        text
    }
}

/// One line for each error.
pub(crate) fn lines(refused: &BadFile) -> Vec<String> {
    let problems = refused.problems.iter().map(ToString::to_string);
    problems.chain(refused.error.clone()).collect()
}

async fn arrives(reading: &mut Option<oneshot::Receiver<Read>>) -> Read {
    let Some(reading) = reading else { return std::future::pending().await };
    reading.await.unwrap_or_else(|_| {
        let error = Some("the thread that reads it has ended".to_owned());
        Err(BadFile { problems: Vec::new(), error })
    })
}

fn bad_file(error: LoadError) -> BadFile {
    match error {
        LoadError::Invalid(problems) => BadFile { problems, error: None },
        other => BadFile { problems: Vec::new(), error: Some(other.to_string()) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(lines: &[&str]) -> Result<Plan, BadFile> {
        Err(BadFile {
            problems: lines
                .iter()
                .map(|line| crate::config::Problem {
                    file: "vipd.yaml".to_owned(),
                    line: 3,
                    column: 1,
                    key: String::new(),
                    what: (*line).to_owned(),
                    hint: None,
                })
                .collect(),
            error: None,
        })
    }

    /// The refusal that a reload ends with.
    fn read(runtime: &tokio::runtime::Runtime, reload: &mut Reload) -> BadFile {
        match runtime.block_on(reload.reads()) {
            Reads::Loaded(read) => read.unwrap_err(),
            Reads::Looked(_) => panic!("nobody has looked"),
        }
    }

    /// A reload that a signal asked for. The file does not matter.
    fn asked() -> Reload {
        let mut reload = Reload::new("vipd.yaml".into(), Wall(7));
        reload.ask(Wanted::by_signal()).unwrap();
        reload
    }

    /// Rule: the status says why the file was not taken, until a file is taken.
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

    /// Rule: a dry run changes nothing, not even the status. Each client gets the answer to its own
    /// request.
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
        let first = read(&runtime, &mut reload);
        assert!(lines(&first)[0].starts_with("/nowhere/vipd.yaml: cannot be read"));
        reload.done(Wall(8), &Err(first)).unwrap();
        assert!(answer.try_recv().is_err(), "what was read for the first is too old for it");
        let second = read(&runtime, &mut reload);
        reload.done(Wall(9), &Err(second)).unwrap();
        assert!(matches!(answer.try_recv(), Ok(Response::Reload(Reloaded::Refused(_)))));
        assert!(reload.loading.is_none());
    }

    fn awaited(lines: &[&str]) -> Vec<Problem> {
        refused(lines).unwrap_err().problems
    }

    /// Rule: missing things are looked for at intervals until nothing is missing, and soon after an
    /// interface has changed. Each thing is reported once, and not at all if it already is the
    /// fault of an instance.
    #[test]
    fn what_is_missing_is_looked_for() {
        let mut reload = Reload::new("vipd.yaml".into(), Wall(7));
        let mut config = Config::default();
        config.awaited.insert("web".try_into().unwrap(), "no key".to_owned());
        let second = |seconds| Mono(0) + Span::from_secs(seconds);
        let line = |what: &str| format!("vipd.yaml:3:1: {what}");
        assert_eq!(reload.due(), None);
        let news = reload.awaits(second(1), &config, &awaited(&["no key", "no group"]));
        assert_eq!((news.missing, news.found), (vec![line("no group")], vec![]));
        assert_eq!(reload.status(), format!("; not on this machine: {}", line("no group")));
        assert_eq!(reload.file().awaited, [line("no key"), line("no group")]);
        assert_eq!(reload.due(), Some(second(1) + LOOK_EVERY));
        reload.may_have_come();
        assert_eq!(reload.due(), Some(second(1) + PAUSE));
        let again = reload.awaits(second(5), &config, &awaited(&["no key", "no group"]));
        assert_eq!(again, News::default());
        let news = reload.awaits(second(7), &Config::default(), &[]);
        assert_eq!((news.missing, news.found), (vec![], vec![line("no group")]));
        assert_eq!((reload.due(), reload.status().as_str()), (None, ""));
        reload.may_have_come();
        assert_eq!(reload.due(), None);
    }
}
