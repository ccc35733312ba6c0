//! Errands: the looks of the checks, and the hooks. They run on a second runtime with a thread of
//! its own, so that whatever may block, hang or break there never delays an advertisement.
//!
//! ```text
//! Errands (the protocol loop's end) ── orders ──> hub ── looks ── one look (see `probe`)
//!                                   <── news ───────┼─── hooks ── one hook (see `notify`)
//!                                                   └─── what stirs a check (see `probe::watch`)
//! ```
//!
//! What to do and when is the engine's to say, and what follows from an answer. Here an errand has
//! a number, an end, and an answer.

mod bounded;
mod hooks;
mod hub;
mod looks;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self as std_mpsc, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use caps::CapSet;
use nix::sys::prctl;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch as latest};

use hub::Order;

use super::netlink::News;
use super::probe::Subjects;
use crate::api::Probed;
use crate::engine::{HookCall, HookOwner};
use crate::model::{Config, TrackConfig, TrackName};

/// How many orders, and how many answers, may wait: far more than there are checks and instances.
const BACKLOG: usize = 1024;

/// How long the end of the program waits for the programs of the errands to be killed.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the thread waits for what it cannot interrupt.
const LAST_CALLS: Duration = Duration::from_millis(300);

/// The protocol loop's end of the errands' thread.
#[derive(Debug)]
pub(crate) struct Errands {
    configs: BTreeMap<TrackName, Arc<TrackConfig>>,
    subjects: latest::Sender<Subjects>,
    orders: mpsc::Sender<Order>,
    news: mpsc::Receiver<News>,
    /// Disconnected when the thread has ended.
    done: std_mpsc::Receiver<()>,
    /// The thread has ended by itself, which it never should, and people know.
    gone: bool,
}

impl Errands {
    /// Starts the thread. It looks at nothing before it is asked to.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn start(config: &Config) -> io::Result<Self> {
        let (orders, incoming) = mpsc::channel(BACKLOG);
        let (outgoing, news) = mpsc::channel(BACKLOG);
        let (subjects, latest) = latest::channel(subjects(config));
        let (ending, done) = std_mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name("check")
            .build()?;
        thread::Builder::new().name("checks".to_owned()).spawn(move || {
            // Dropped when the work has ended, also by a panic: that is the sign.
            let _ending: std_mpsc::Sender<()> = ending;
            // Before the runtime starts threads of its own, which inherit it.
            confine();
            runtime.block_on(hub::serve(incoming, latest, outgoing));
            // Not for ever: a file system that does not answer holds up who asks it.
            runtime.shutdown_timeout(LAST_CALLS);
        })?;
        let mut errands =
            Self { configs: BTreeMap::new(), subjects, orders, news, done, gone: false };
        errands.reconfigure(config);
        Ok(errands)
    }

    /// Another configuration: what is looked at from now on is what it says. A look that is under
    /// way goes on unless it is cancelled.
    pub(crate) fn reconfigure(&mut self, config: &Config) {
        let subjects = subjects(config);
        self.configs =
            subjects.iter().map(|track| (track.name.clone(), Arc::clone(track))).collect();
        self.subjects.send_replace(subjects);
    }

    /// Starts a look. Its answer is among the news.
    ///
    /// # Errors
    /// Why it could not be started, for people: there will be no answer then.
    pub(crate) fn look(&self, track: &TrackName, number: u64) -> Result<(), String> {
        let Some(config) = self.configs.get(track) else {
            return Err("there is no check of this name".to_owned());
        };
        // The time that it waits for its turn counts.
        let until = Instant::now() + Duration::from_nanos(config.timeout.nanos());
        self.order(Order::Look { config: Arc::clone(config), number, until })
    }

    /// Starts a hook. What comes of it is among the news.
    ///
    /// # Errors
    /// Why it could not be started, for people: there will be no answer then.
    pub(crate) fn hook(
        &self,
        owner: &HookOwner,
        number: u64,
        call: &HookCall,
    ) -> Result<(), String> {
        let until = Instant::now() + Duration::from_nanos(call.timeout.nanos());
        let (owner, call) = (owner.clone(), Box::new(call.clone()));
        self.order(Order::Hook { owner, number, call, until })
    }

    /// Starts a look that somebody wants to see, beside those of the check itself.
    ///
    /// # Errors
    /// Why it could not be started, for people: there will be no answer then.
    pub(crate) fn look_once(
        &self,
        track: &TrackName,
        reply: oneshot::Sender<Probed>,
    ) -> Result<(), String> {
        let Some(config) = self.configs.get(track) else {
            let known: Vec<&str> = self.configs.keys().map(TrackName::as_str).collect();
            return Err(match known.as_slice() {
                [] => format!("there is no check {track}; the configuration has none"),
                known => format!("there is no check {track}; there are: {}", known.join(", ")),
            });
        };
        self.order(Order::LookOnce { config: Arc::clone(config), reply })
    }

    fn order(&self, order: Order) -> Result<(), String> {
        self.orders.try_send(order).map_err(|error| match error {
            TrySendError::Full(_) => "vipd cannot keep up with its checks and hooks".to_owned(),
            TrySendError::Closed(_) => {
                "vipd's checks have broken down; restart vipd to check again".to_owned()
            }
        })
    }

    /// Ends a hook. Where that cannot be told, its own end ends it.
    pub(crate) fn cancel_hook(&self, owner: &HookOwner, number: u64) {
        let _ = self.orders.try_send(Order::CancelHook { owner: owner.clone(), number });
    }

    /// Stops a look. Where that cannot be told, its own end stops it.
    pub(crate) fn cancel(&self, track: &TrackName, number: u64) {
        let _ = self.orders.try_send(Order::Cancel { track: track.clone(), number });
    }

    /// The next news that are there already.
    pub(crate) fn try_next(&mut self) -> Option<News> {
        self.news.try_recv().ok()
    }

    /// Waits for the next news: answers, what may have changed, what people should know.
    pub(crate) async fn next(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            None if !std::mem::replace(&mut self.gone, true) => News::Trouble(
                "the thread of the checks has ended: every check fails until vipd is restarted"
                    .to_owned(),
            ),
            None => std::future::pending().await,
        }
    }

    /// Stops every errand and kills every program of theirs, and waits for that, but not for long.
    /// Says whether all is done.
    pub(crate) fn finish(self) -> bool {
        let Self { subjects, orders, news, done, .. } = self;
        drop((subjects, orders, news));
        done.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Disconnected)
    }
}

fn subjects(config: &Config) -> Subjects {
    config.tracks.iter().cloned().map(Arc::new).collect()
}

/// Has the calling thread's programs start without any capability, and without a way to gain one
/// (`capabilities(7)`): the thread's own ones stay, which ICMP and ARP take. What the system
/// refuses of it is not there to give: only root may change the bounding set, and only root's
/// programs have what is in it.
fn confine() {
    for set in [CapSet::Bounding, CapSet::Ambient, CapSet::Inheritable] {
        let _ = caps::clear(None, set);
    }
    let _ = prctl::set_no_new_privs();
}
