//! The thread's work: follow the kernel's events, tell what is news, carry out requests.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{FutureExt, Stream, StreamExt};
use netlink_packet_core::NetlinkPayload;
use netlink_proto::sys::AsyncSocket;
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use rtnetlink::MulticastGroup;
use tokio::sync::{mpsc, oneshot};

use super::message::{self, Message};
use super::requests::{Order, Requests};
use super::table::{AddressKey, Table};
use super::{AddressChange, News, Outcomes, Request, Wanted, says_absent, system_error};
use crate::engine::{Input, SystemError};
use crate::model::InterfaceName;

/// The kernel's buffer for events in bytes: thousands of address changes.
const BUFFER: usize = 4 << 20;

/// How long to wait before the kernel is asked again after it refused to tell.
const PAUSE: Duration = Duration::from_millis(200);

/// How many events are taken in before news are told.
const AT_ONCE: usize = 1024;

type Events = Pin<Box<dyn Stream<Item = Message> + Send>>;

/// Follows the kernel's state.
pub(super) struct Watcher {
    events: Events,
    requests: Requests,
    table: Table,
}

/// Changes that the kernel is carrying out.
struct Batch {
    /// For each change whether it adds an address, and which; none where there is no interface.
    asked: Vec<(bool, Option<(u32, AddressKey)>)>,
    errors: Pin<Box<dyn Future<Output = Vec<i32>> + Send>>,
    answer: oneshot::Sender<Outcomes>,
}

impl Watcher {
    /// Subscribes to the events and reads the state; returns it as news.
    pub(super) async fn start(names: BTreeSet<InterfaceName>) -> io::Result<(Self, Vec<Input>)> {
        let events = subscribe()?;
        let requests = Requests::open()?;
        let mut watcher = Self { events, requests, table: Table::new(names) };
        watcher.reload().await?;
        let state = watcher.table.news();
        Ok((watcher, state))
    }

    /// Works until the protocol loop is gone.
    pub(super) async fn run(
        mut self,
        mut incoming: mpsc::UnboundedReceiver<Request>,
        outgoing: mpsc::Sender<News>,
    ) {
        let mut batch = None;
        loop {
            let trouble = tokio::select! {
                event = self.events.next() => self.follow(event).await.err(),
                errors = finished(&mut batch) => {
                    self.finish(batch.take(), errors);
                    None
                }
                request = incoming.recv(), if batch.is_none() => match request {
                    Some(Request::Change(changes, answer)) => {
                        let started = self.begin(&changes, answer);
                        batch = Some(started);
                        None
                    }
                    Some(Request::Watch(names)) => {
                        self.table.watch(names);
                        None
                    }
                    None => return,
                },
            };
            let trouble = trouble.map(|text| News::Trouble(text.to_owned()));
            let news = self.table.news().into_iter().map(News::Input);
            for item in trouble.into_iter().chain(news) {
                if outgoing.send(item).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Takes in an event and those that wait behind it. Afterwards the table is what the kernel
    /// has told; where it had to be read anew, the error says why.
    async fn follow(&mut self, mut event: Option<Message>) -> Result<(), &'static str> {
        for _ in 0..AT_ONCE {
            match event.map(|message| message.payload) {
                None => {
                    self.resubscribe().await;
                    return Err("the kernel's events stopped coming; subscribed again");
                }
                Some(NetlinkPayload::Overrun(_)) => {
                    self.resubscribe().await;
                    return Err("more interface events than could be read; read everything anew");
                }
                Some(NetlinkPayload::InnerMessage(inner)) => {
                    if let Some(change) = message::change(inner) {
                        self.table.apply(change);
                    }
                }
                Some(_) => {}
            }
            match self.events.next().now_or_never() {
                Some(next) => event = next,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Subscribes anew, which also leaves behind all the events from before, and reads the state.
    async fn resubscribe(&mut self) {
        loop {
            if let Ok(events) = subscribe() {
                self.events = events;
                if self.reload().await.is_ok() {
                    return;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn reload(&mut self) -> io::Result<()> {
        self.reopen_requests()?;
        let dump = self.requests.dump().await?;
        self.table.reload(dump);
        Ok(())
    }

    fn reopen_requests(&mut self) -> io::Result<()> {
        if self.requests.is_broken() {
            self.requests = Requests::open()?;
        }
        Ok(())
    }

    fn begin(&mut self, changes: &[AddressChange], answer: oneshot::Sender<Outcomes>) -> Batch {
        // Where this fails, so do the requests, and they say so.
        let _ = self.reopen_requests();
        let mut orders = Vec::new();
        let mut asked = Vec::new();
        for change in changes {
            let address = &change.address;
            let key = AddressKey { address: address.address, prefix: address.prefix };
            let target = self.table.index_of(&change.interface).map(|index| (index, key));
            match (target, change.wanted) {
                (Some((index, _)), Wanted::There { lease, not_after }) => {
                    let message = message::add(index, address, lease);
                    orders.push(Order { message, not_after: Some(not_after) });
                }
                (Some((index, _)), Wanted::Gone) => {
                    self.table.expect_removal(index, key);
                    let message = message::remove(index, address);
                    orders.push(Order { message, not_after: None });
                }
                (None, _) => {}
            }
            asked.push((change.wanted != Wanted::Gone, target));
        }
        let requests = self.requests.clone();
        let errors = Box::pin(async move { requests.change(orders).await });
        Batch { asked, errors, answer }
    }

    fn finish(&mut self, batch: Option<Batch>, errors: Vec<i32>) {
        let Some(batch) = batch else { return };
        let mut errors = errors.into_iter();
        let mut outcome = |(add, target): (bool, Option<(u32, AddressKey)>)| {
            let Some((index, key)) = target else { return verdict(add, Errno::ENODEV as i32) };
            let errno = errors.next().unwrap_or(Errno::ECONNABORTED as i32);
            if !add && errno != 0 {
                self.table.unexpect_removal(index, key);
            }
            verdict(add, errno)
        };
        let outcomes = batch.asked.into_iter().map(&mut outcome).collect();
        // The protocol loop may have ended meanwhile.
        let _ = batch.answer.send(outcomes);
    }
}

/// Whether what the kernel says to a change means that it is as wanted.
fn verdict(add: bool, errno: i32) -> Result<(), SystemError> {
    let as_wanted = if add { errno == Errno::EEXIST as i32 } else { says_absent(errno) };
    if errno == 0 || as_wanted { Ok(()) } else { Err(system_error(errno)) }
}

/// Completes with the batch; never, while there is none.
async fn finished(batch: &mut Option<Batch>) -> Vec<i32> {
    match batch {
        Some(batch) => batch.errors.as_mut().await,
        None => std::future::pending().await,
    }
}

/// Subscribes to what happens to interfaces and addresses.
fn subscribe() -> io::Result<Events> {
    let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
    let (mut reader, _, events) = rtnetlink::new_multicast_connection(&groups)?;
    let socket = reader.socket_mut().socket_ref();
    if setsockopt(socket, sockopt::RcvBufForce, &BUFFER).is_err() {
        // Only the initial user namespace may go beyond the administrator's limit.
        setsockopt(socket, sockopt::RcvBuf, &BUFFER)?;
    }
    tokio::spawn(reader);
    Ok(Box::pin(events.map(|(message, _)| message)))
}
