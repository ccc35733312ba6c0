//! The way in and out for programs and people: a thread that serves the status socket and the control
//! socket, and the protocol loop's end of it. Nothing that a client does, and nothing that happens to that thread, touches a virtual
//! address.

mod access;
mod door;
mod places;
mod refusals;
mod serve;
mod socket;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self as std_mpsc, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot, watch};

use super::directory::Directory;
use super::standby::StandbyFile;
use crate::api::{CONTROL_SOCKET, Request, Response, STATUS_SOCKET, Snapshot, Stood};
use crate::engine::{Answer, Standby};
use door::MOST;
use serve::Desk;

/// How long the end of the program waits for the last answers to be written.
const PATIENCE: Duration = Duration::from_secs(1);

/// Something on its way to the protocol loop. Dropping it tells the client that vipd stopped.
#[derive(Debug)]
pub(crate) enum Asked {
    /// How the daemon is.
    Snapshot(oneshot::Sender<Snapshot>),
    /// Something is to be done.
    Request {
        /// What.
        request: Request,
        /// Where the answer goes.
        reply: oneshot::Sender<Response>,
    },
}

/// The protocol loop's end of the control socket, or of none.
#[derive(Debug)]
pub(crate) struct Control {
    /// None where the thread has not started or has ended.
    requests: Option<mpsc::Receiver<Asked>>,
    waiting: Waiting,
    /// The group whose members may ask, as the configuration has it now.
    group: watch::Sender<Option<String>>,
    /// The standby state as of the last answer.
    out: watch::Sender<Standby>,
    /// Disconnected when the thread has ended.
    done: std_mpsc::Receiver<()>,
}

/// The thread has ended by itself, which it never should.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gone;

impl Control {
    /// Listens in this directory, by a thread of its own.
    ///
    /// # Errors
    /// When another daemon listens there, when the socket cannot be made, or when the system has
    /// no thread left.
    pub(crate) fn start(
        directory: &Directory,
        standby: StandbyFile,
        group: Option<String>,
    ) -> io::Result<Self> {
        let status = socket::Listening::start(directory, STATUS_SOCKET)?;
        let control = socket::Listening::start(directory, CONTROL_SOCKET)?;
        let (sender, group) = watch::channel(group);
        let (out, last) = watch::channel(Standby::default());
        Self::spawn(sender, out, move |requests| {
            let standby = Arc::new(Mutex::new(standby));
            serve::run(status, control, group, Desk { requests, standby, last });
        })
    }

    /// One that nobody can ask.
    pub(crate) fn none() -> Self {
        let (waiting, group) = (Waiting::default(), watch::channel(None).0);
        let out = watch::channel(Standby::default()).0;
        Self { requests: None, waiting, group, out, done: std_mpsc::channel().1 }
    }

    /// Starts the thread. Its work ends when the receiver of its requests is dropped.
    fn spawn(
        group: watch::Sender<Option<String>>,
        out: watch::Sender<Standby>,
        work: impl FnOnce(mpsc::Sender<Asked>) + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, requests) = mpsc::channel(MOST);
        let (ending, done) = std_mpsc::channel();
        thread::Builder::new().name("control".to_owned()).spawn(move || {
            // Dropped when the work has ended, also by a panic: that is the sign.
            let _ending: std_mpsc::Sender<()> = ending;
            work(sender);
        })?;
        Ok(Self { requests: Some(requests), waiting: Waiting::default(), group, out, done })
    }

    /// The members of another group may ask from now on.
    pub(crate) fn reconfigure(&self, group: Option<&str>) {
        self.group.send_replace(group.map(str::to_owned));
    }

    /// Waits for a request. Says once that the thread has ended; then there are no more.
    pub(crate) async fn next(&mut self) -> Result<Asked, Gone> {
        let Some(requests) = &mut self.requests else { return std::future::pending().await };
        let asked = requests.recv().await;
        if asked.is_none() {
            self.requests = None;
        }
        asked.ok_or(Gone)
    }

    /// Gives a request its number. Its client waits for the answer with this number.
    pub(crate) fn admit(&mut self, reply: oneshot::Sender<Response>) -> u64 {
        self.waiting.admit(reply)
    }

    /// Passes the engine's answer to whoever waits for it. A client that has gone is no error.
    pub(crate) fn answer(&mut self, request: u64, answer: Answer) {
        if let Answer::Standby(answer) = &answer {
            self.out.send_replace(answer.standby.clone());
        }
        self.waiting.answer(request, answer);
    }

    /// Takes no more requests, removes the socket, tells who still waits that there is no answer,
    /// and waits for the last lines to be written, but not for clients that do not read them. Says
    /// whether the thread has ended.
    pub(crate) fn finish(self) -> bool {
        let Self { requests, waiting, done, .. } = self;
        drop((requests, waiting));
        done.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Disconnected)
    }
}

/// The clients that wait for an answer of the engine, by the numbers of their requests. Dropping
/// it tells them that vipd stopped.
#[derive(Debug, Default)]
struct Waiting {
    last: u64,
    clients: BTreeMap<u64, oneshot::Sender<Response>>,
}

impl Waiting {
    fn admit(&mut self, reply: oneshot::Sender<Response>) -> u64 {
        self.clients.retain(|_, client| !client.is_closed());
        self.last += 1;
        self.clients.insert(self.last, reply);
        self.last
    }

    fn answer(&mut self, request: u64, answer: Answer) {
        let response = match answer {
            Answer::Handover(answer) => Response::Handover(answer),
            Answer::Standby(answer) => Response::Standby(Stood { answer, not_kept: None }),
        };
        if let Some(client) = self.clients.remove(&request) {
            let _ = client.send(response);
        }
    }
}
