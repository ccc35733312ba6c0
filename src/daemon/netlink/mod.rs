//! Interfaces, addresses, routes and rules: watching the kernel's and changing ours
//! (`rtnetlink(7)`).
//!
//! All of it happens on a thread of its own, since a request waits for a lock of the kernel's
//! that other programs may hold for long, and the protocol must not.

mod asked;
mod device;
mod events;
mod exchange;
mod interface;
mod lookup;
mod message;
mod news;
mod placed;
mod removal;
mod requests;
mod routing;
mod table;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeSet;
use std::io;
use std::thread;

use nix::errno::Errno;
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::lookup::look_up;
pub(crate) use self::removal::{Removable, Removal, remove_devices_now, remove_now};
use self::watch::Watcher;
use super::realtime::{self, Thread};
use super::settings::Settings;
use crate::engine::{Change, Input, SystemError};
use crate::model::InterfaceName;

/// How many news may wait for the protocol loop; then the kernel's own buffer fills.
const BACKLOG: usize = 256;

/// The outcome of a change.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The change.
    pub(crate) change: Change,
    /// True if it is as wanted, or what the system says.
    pub(crate) result: Result<Done, SystemError>,
}

/// That it is as wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// As was to be expected.
    AsWanted,
    /// It should have been there already, and was not.
    Restored,
}

/// Something that the protocol loop should know.
#[derive(Debug)]
pub(crate) enum News {
    /// For the engine.
    Input(Input),
    /// For people.
    Trouble(String),
}

#[derive(Debug)]
enum Request {
    /// Carry out these changes.
    Change(Vec<Change>, oneshot::Sender<Vec<Outcome>>),
    /// Tell the news of these interfaces too, beginning with what they are like.
    Watch(BTreeSet<InterfaceName>),
}

/// The protocol loop's end of the thread.
#[derive(Debug)]
pub(crate) struct Netlink {
    requests: mpsc::UnboundedSender<Request>,
    news: mpsc::Receiver<News>,
    /// News that have come and are not taken yet.
    first: Option<News>,
}

impl Netlink {
    /// Starts the thread and waits until it has read the kernel's state. Returns what that is: one
    /// input for each interface of these `names`. `settings` are those of the kernel that it
    /// changes for devices.
    ///
    /// # Errors
    /// When the kernel refuses to tell.
    pub(crate) async fn start(
        names: BTreeSet<InterfaceName>,
        settings: Settings,
    ) -> io::Result<(Self, Vec<Input>)> {
        let (requests, incoming) = mpsc::unbounded_channel();
        let (outgoing, news) = mpsc::channel(BACKLOG);
        let (started, first) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("netlink".to_owned()).spawn(move || {
            // Where that is refused, the protocol thread is refused too, which says so.
            let _ = realtime::schedule(Thread::Netlink);
            runtime.block_on(async {
                match Watcher::start(names, settings) {
                    Ok((watcher, state)) => {
                        let _ = started.send(Ok(state));
                        watcher.run(incoming, outgoing).await;
                    }
                    Err(error) => {
                        let _ = started.send(Err(error));
                    }
                }
            });
        })?;
        let state = first.await.unwrap_or_else(|_| Err(thread_ended()))?;
        Ok((Self { requests, news, first: None }, state))
    }

    /// Asks for changes, all at once and in this order. The answer comes even if the kernel's does
    /// not, after about a second without one.
    pub(crate) fn request(&self, changes: Vec<Change>) -> oneshot::Receiver<Vec<Outcome>> {
        let (answer, outcomes) = oneshot::channel();
        // Without the thread `answer` is dropped, which the receiver sees.
        let _ = self.requests.send(Request::Change(changes, answer));
        outcomes
    }

    /// From now on tells the news of these interfaces too, beginning with what they are like.
    pub(crate) fn watch(&self, names: BTreeSet<InterfaceName>) {
        let _ = self.requests.send(Request::Watch(names));
    }

    /// The news that have come, at most so many of them. Of several states of an interface that
    /// differ in nothing but its addresses the last one counts.
    ///
    /// # Errors
    /// When the thread has ended.
    pub(crate) fn take(&mut self, most: usize) -> io::Result<Vec<News>> {
        let mut news: Vec<News> = self.first.take().into_iter().collect();
        while news.len() < most {
            match self.news.try_recv() {
                Ok(one) => news.push(one),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => return Err(thread_ended()),
            }
        }
        news::leave_out_superseded(&mut news);
        Ok(news)
    }

    /// Returns when there is something to take.
    ///
    /// # Errors
    /// When the thread has ended.
    pub(crate) async fn comes(&mut self) -> io::Result<()> {
        if self.first.is_none() {
            self.first = Some(self.news.recv().await.ok_or_else(thread_ended)?);
        }
        Ok(())
    }
}

fn thread_ended() -> io::Error {
    io::Error::other("the thread that talks to the kernel by netlink has ended")
}

/// Whether the kernel's number for a removal that failed means that there was nothing to remove:
/// no such address, no such interface, or no IPv6 on it.
fn says_absent(errno: i32) -> bool {
    matches!(Errno::from_raw(errno), Errno::EADDRNOTAVAIL | Errno::ENODEV | Errno::ENXIO)
}

/// The same for a route (`ESRCH`) or a rule (`ENOENT`); `EAFNOSUPPORT`: there is no IPv6.
fn says_no_such_routing(errno: i32) -> bool {
    matches!(
        Errno::from_raw(errno),
        Errno::ESRCH | Errno::ENOENT | Errno::ENODEV | Errno::EAFNOSUPPORT
    )
}

/// What the system says to an action, from its number.
pub(crate) fn system_error(errno: i32) -> SystemError {
    SystemError { errno, text: Errno::from_raw(errno).desc().to_owned() }
}
