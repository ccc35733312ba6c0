//! The thread's work: follow the kernel's events, tell what is news, carry out requests.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use nix::errno::Errno;
use tokio::sync::{mpsc, oneshot};

use super::events::Events;
use super::placed::Placed;
use super::requests::Requests;
use super::table::Table;
use super::{News, Outcome, Request};
use crate::daemon::settings::Settings;
use crate::engine::{Change, Input};
use crate::model::InterfaceName;

/// How long to wait before the kernel is asked again after it refused to tell.
const PAUSE: Duration = Duration::from_millis(200);

/// How many events are taken in before news are told.
const AT_ONCE: usize = 1024;

/// Follows the kernel's state.
pub(super) struct Watcher {
    events: Events,
    requests: Requests,
    pub(super) table: Table,
    pub(super) placed: Placed,
    pub(super) settings: Settings,
}

impl Watcher {
    /// Subscribes to the events and reads the state; returns it as news.
    pub(super) fn start(
        names: BTreeSet<InterfaceName>,
        settings: Settings,
    ) -> io::Result<(Self, Vec<Input>)> {
        let requests = Requests::open()?;
        let events = Events::subscribe(requests.port_of_renewals())?;
        let (table, placed) = (Table::new(names), Placed::default());
        let mut watcher = Self { events, requests, table, placed, settings };
        watcher.reload()?;
        let state = watcher.table.news();
        Ok((watcher, state))
    }

    /// Works until the protocol loop is gone.
    pub(super) async fn run(
        mut self,
        mut incoming: mpsc::UnboundedReceiver<Request>,
        outgoing: mpsc::Sender<News>,
    ) {
        loop {
            let followed = tokio::select! {
                () = self.events.come() => self.follow(),
                request = incoming.recv() => match request {
                    Some(Request::Change(changes, answer)) => self.change(changes, answer),
                    Some(Request::Watch(names)) => {
                        self.table.watch(names);
                        Ok(())
                    }
                    None => return,
                },
            };
            if followed.is_err() {
                self.resubscribe().await;
            }
            let trouble = followed.err().map(|text| News::Trouble(text.to_owned()));
            let news = self.table.news().into_iter().map(News::Input);
            for item in trouble.into_iter().chain(news) {
                if outgoing.send(item).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Takes in the events that wait. Afterwards the table is what the kernel has told; where
    /// events are lost, the error says why.
    fn follow(&mut self) -> Result<(), &'static str> {
        let Self { events, table, .. } = self;
        events.read(AT_ONCE, |notice| table.apply(notice))
    }

    /// Subscribes anew, which also leaves behind all the events from before, and reads the state.
    async fn resubscribe(&mut self) {
        loop {
            if let Ok(events) = Events::subscribe(self.requests.port_of_renewals()) {
                self.events = events;
                if self.reload().is_ok() {
                    return;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn reload(&mut self) -> io::Result<()> {
        let dump = self.requests.dump()?;
        self.table.reload(dump);
        Ok(())
    }

    /// Has the kernel carry out a request. The events that this leads to are taken in meanwhile:
    /// their buffer has room for some thousands.
    fn change(
        &mut self,
        changes: Vec<Change>,
        answer: oneshot::Sender<Vec<Outcome>>,
    ) -> Result<(), &'static str> {
        let (asked, mut orders) = self.plan(&changes);
        let count = orders.len();
        let mut numbers = Vec::with_capacity(count);
        let mut followed = Ok(());
        while !orders.is_empty() {
            if let Err(unanswered) = self.requests.change_some(&mut orders, &mut numbers) {
                numbers.resize(count, unanswered as i32);
                break;
            }
            followed = followed.and(self.follow());
        }
        let mut numbers = numbers.into_iter();
        let mut next = || numbers.next().unwrap_or(Errno::ECONNABORTED as i32);
        let outcomes = changes.into_iter().zip(asked).map(|(change, asked)| {
            let result = self.outcome(&change, asked, &mut next);
            Outcome { change, result }
        });
        // The protocol loop may have ended meanwhile.
        let _ = answer.send(outcomes.collect());
        followed
    }
}
