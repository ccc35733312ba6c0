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
use super::{
    Done, News, Outcomes, Request, Thing, Wanted, Wish, routing, says_absent, says_no_such_routing,
    system_error,
};
use crate::engine::{Input, SystemError};
use crate::model::{InterfaceName, Routing};

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
    asked: Vec<Asked>,
    errors: Pin<Box<dyn Future<Output = Vec<i32>> + Send>>,
    answer: oneshot::Sender<Outcomes>,
}

/// What one of them asks of the kernel.
#[derive(Clone, Copy)]
enum Asked {
    /// Nothing: there is no such interface.
    Nothing { add: bool },
    /// To add or to remove an address.
    Address { add: bool, index: u32, key: AddressKey },
    /// To add a route or a rule: anew, after removing one that may have been left, or again.
    RoutingThere { again: bool, is_rule: bool },
    /// To remove a route or a rule.
    RoutingGone,
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

    fn begin(&mut self, wishes: &[Wish], answer: oneshot::Sender<Outcomes>) -> Batch {
        // Where this fails, so do the requests, and they say so.
        let _ = self.reopen_requests();
        let mut orders = Vec::new();
        let asked = wishes.iter().map(|wish| self.order(wish, &mut orders)).collect();
        let requests = self.requests.clone();
        let errors = Box::pin(async move { requests.change(orders).await });
        Batch { asked, errors, answer }
    }

    /// Puts into `orders` what the kernel is to be asked for.
    fn order(&mut self, wish: &Wish, orders: &mut Vec<Order>) -> Asked {
        let of = |name: &InterfaceName| self.table.index_of(name);
        match (&wish.thing, wish.wanted) {
            (Thing::Address(interface, address), wanted) => {
                let key = AddressKey { address: address.address, prefix: address.prefix };
                let add = wanted != Wanted::Gone;
                let Some(index) = of(interface) else { return Asked::Nothing { add } };
                let (message, not_after) = match wanted {
                    Wanted::There { lease, not_after, .. } => {
                        (message::add(index, address, lease), Some(not_after))
                    }
                    Wanted::Gone => {
                        self.table.expect_removal(index, key);
                        (message::remove(index, address), None)
                    }
                };
                orders.push(Order { message, not_after });
                Asked::Address { add, index, key }
            }
            (Thing::Routing(routing), wanted) => {
                let add = wanted != Wanted::Gone;
                let index = match routing.dev().map(of) {
                    Some(None) => return Asked::Nothing { add },
                    Some(Some(index)) => Some(index),
                    None => None,
                };
                let remove = Order { message: routing::remove(index, routing), not_after: None };
                let Wanted::There { lease, not_after, again } = wanted else {
                    orders.push(remove);
                    return Asked::RoutingGone;
                };
                if !again {
                    // One of ours that a predecessor has left is not somebody else's.
                    orders.push(remove);
                }
                let message = routing::add(index, routing, lease, again);
                orders.push(Order { message, not_after: Some(not_after) });
                let is_rule = matches!(routing, Routing::Rule(_));
                Asked::RoutingThere { again, is_rule }
            }
        }
    }

    fn finish(&mut self, batch: Option<Batch>, errors: Vec<i32>) {
        let Some(batch) = batch else { return };
        let mut errors = errors.into_iter();
        let outcomes = batch.asked.into_iter().map(|asked| self.outcome(asked, &mut errors));
        let outcomes = outcomes.collect();
        // The protocol loop may have ended meanwhile.
        let _ = batch.answer.send(outcomes);
    }

    /// What the kernel's numbers, of which this takes its own, mean for what it was asked.
    fn outcome(
        &mut self,
        asked: Asked,
        errors: &mut impl Iterator<Item = i32>,
    ) -> Result<Done, SystemError> {
        let mut next = || errors.next().unwrap_or(Errno::ECONNABORTED as i32);
        match asked {
            Asked::Nothing { add: true } => Err(system_error(Errno::ENODEV as i32)),
            Asked::Nothing { add: false } => Ok(Done::AsWanted),
            Asked::Address { add: true, .. } => verdict(next(), |e| e == Errno::EEXIST as i32),
            Asked::Address { add: false, index, key } => {
                let errno = next();
                if errno != 0 {
                    self.table.unexpect_removal(index, key);
                }
                verdict(errno, says_absent)
            }
            Asked::RoutingGone => verdict(next(), says_no_such_routing),
            Asked::RoutingThere { again: true, .. } => match next() {
                0 => Ok(Done::Restored),
                errno => verdict(errno, |e| e == Errno::EEXIST as i32),
            },
            Asked::RoutingThere { again: false, is_rule } => {
                // The removal of one that may have been left.
                next();
                let errno = next();
                // The same rule of somebody else's does the same.
                let is_there = |e| e == Errno::EEXIST as i32;
                let done = verdict(errno, |e| is_rule && is_there(e));
                done.map_err(|error| if is_there(errno) { another_route() } else { error })
            }
        }
    }
}

/// Whether what the kernel says to a change means that it is as wanted.
fn verdict(errno: i32, as_wanted: impl Fn(i32) -> bool) -> Result<Done, SystemError> {
    if errno == 0 || as_wanted(errno) { Ok(Done::AsWanted) } else { Err(system_error(errno)) }
}

/// What `EEXIST` means to a route.
fn another_route() -> SystemError {
    let text = "another route to this destination with this metric is in the table already, and vipd \
                does not replace what it has not made: remove that one, or give this one another metric";
    SystemError { errno: Errno::EEXIST as i32, text: text.to_owned() }
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
