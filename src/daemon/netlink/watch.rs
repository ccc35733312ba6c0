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

use super::device;
use super::interface::AddressKey;
use super::message::{self, Message};
use super::placed::Placed;
use super::requests::{Order, Requests};
use super::table::Table;
use super::{
    Done, News, Outcomes, Request, SystemChange, Thing, Wanted, Wish, routing, says_absent,
    says_no_such_routing, system_error,
};
use crate::daemon::settings::Settings;
use crate::engine::{Input, SystemError};
use crate::model::{InterfaceName, Routing};

/// The kernel's buffer for events in bytes: thousands of address changes.
const BUFFER: usize = 4 << 20;

/// How long to wait before the kernel is asked again after it refused to tell.
const PAUSE: Duration = Duration::from_millis(200);

/// How many events are taken in before news are told.
const AT_ONCE: usize = 1024;

/// The metric of the routes that come with an address on a device with a virtual MAC: the last one, so
/// that this node's own traffic goes by the interface below, as without it.
const LAST_METRIC: u32 = 1 << 16;

type Events = Pin<Box<dyn Stream<Item = Message> + Send>>;

/// Follows the kernel's state.
pub(super) struct Watcher {
    events: Events,
    requests: Requests,
    table: Table,
    placed: Placed,
    settings: Settings,
}

/// Changes that the kernel is carrying out.
struct Batch {
    asked: Vec<Asked>,
    errors: Pin<Box<dyn Future<Output = Vec<i32>> + Send>>,
    answer: oneshot::Sender<Outcomes>,
}

/// What one of them asks of the kernel.
enum Asked {
    /// Nothing: there is no such interface.
    Nothing { add: bool },
    /// To add an address.
    AddressThere,
    /// To remove one from the interface of this index, which had this name.
    AddressGone { interface: InterfaceName, index: u32, key: AddressKey },
    /// To add a route or a rule: anew, after removing one that may have been left, or again.
    RoutingThere { again: bool, is_rule: bool },
    /// To remove a route or a rule, the route through the interface of this index.
    RoutingGone { routing: Routing, index: Option<u32> },
    /// What it is about a device, how many orders it came to, and why it came to none.
    Device { change: SystemChange, count: usize, refused: Option<SystemError> },
}

impl Watcher {
    /// Subscribes to the events and reads the state; returns it as news.
    pub(super) async fn start(
        names: BTreeSet<InterfaceName>,
        settings: Settings,
    ) -> io::Result<(Self, Vec<Input>)> {
        let events = subscribe()?;
        let requests = Requests::open()?;
        let (table, placed) = (Table::new(names), Placed::default());
        let mut watcher = Self { events, requests, table, placed, settings };
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
                        let started = self.begin(changes, answer);
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

    fn begin(&mut self, changes: Vec<SystemChange>, answer: oneshot::Sender<Outcomes>) -> Batch {
        // Where this fails, so do the requests, and they say so.
        let _ = self.reopen_requests();
        let mut orders = Vec::new();
        let mut asked = Vec::new();
        // The table will know of these once the kernel has told.
        let mut removed = BTreeSet::new();
        let mut leaving = BTreeSet::new();
        for change in changes {
            asked.push(match change {
                SystemChange::Wish(wish) => self.order(&wish, &mut leaving, &mut orders),
                SystemChange::AddDevice(device) => {
                    let name = device.name();
                    let there = self.table.made(&name).filter(|_| !removed.remove(&name));
                    let below = self.table.index_of(&device.interface);
                    let lacks_below = || system_error(Errno::ENODEV as i32);
                    let messages = below
                        .ok_or_else(lacks_below)
                        .and_then(|below| device::make(&device, below, there));
                    let (messages, refused) = match messages {
                        Ok(messages) => (messages, None),
                        Err(refused) => (Vec::new(), Some(refused)),
                    };
                    let count = messages.len();
                    orders.extend(messages.into_iter().map(Order::about_a_device));
                    Asked::Device { change: SystemChange::AddDevice(device), count, refused }
                }
                SystemChange::RemoveDevice(device) => {
                    let name = device.name();
                    let there = self.table.made(&name);
                    let ours = there.filter(|(_, made)| device::is_ours(made, &device));
                    let message = ours.map(|(index, _)| device::remove(index));
                    removed.insert(name);
                    let count = usize::from(message.is_some());
                    orders.extend(message.map(Order::about_a_device));
                    let change = SystemChange::RemoveDevice(device);
                    Asked::Device { change, count, refused: None }
                }
                SystemChange::SetDevice(name, up) => {
                    let message = self.table.index_of(&name).map(|index| device::set(index, up));
                    let count = usize::from(message.is_some());
                    let absent = || system_error(Errno::ENODEV as i32);
                    let refused = (up && message.is_none()).then(absent);
                    orders.extend(message.map(Order::about_a_device));
                    Asked::Device { change: SystemChange::SetDevice(name, up), count, refused }
                }
            });
        }
        let requests = self.requests.clone();
        let errors = Box::pin(async move { requests.change(orders).await });
        Batch { asked, errors, answer }
    }

    /// Puts into `orders` what the kernel is to be asked for.
    fn order(
        &mut self,
        wish: &Wish,
        leaving: &mut BTreeSet<(u32, AddressKey)>,
        orders: &mut Vec<Order>,
    ) -> Asked {
        let of = |name: &InterfaceName| self.table.index_of(name);
        match (&wish.thing, wish.wanted) {
            (Thing::Address(interface, address), wanted) => {
                let key = AddressKey { address: address.address, prefix: address.prefix };
                let add = wanted != Wanted::Gone;
                let named = of(interface);
                let index = if add {
                    named
                } else {
                    self.placed.take(&self.table, interface, key).or(named)
                };
                let Some(index) = index else { return Asked::Nothing { add } };
                if add {
                    self.placed.put(interface, key, index);
                }
                let (message, not_after) = match wanted {
                    Wanted::There { lease, not_after, .. } => {
                        // An expectation that is left from before; one of this batch holds.
                        if !leaving.contains(&(index, key)) {
                            self.table.unexpect_removal(index, key);
                        }
                        let metric = interface.is_virtual_device().then_some(LAST_METRIC);
                        (message::add(index, address, lease, metric), Some(not_after))
                    }
                    Wanted::Gone => {
                        self.table.expect_removal(index, key);
                        leaving.insert((index, key));
                        (message::remove(index, address), None)
                    }
                };
                orders.push(Order { message, not_after, is_slow: false });
                if add {
                    return Asked::AddressThere;
                }
                Asked::AddressGone { interface: interface.clone(), index, key }
            }
            (Thing::Routing(routing), wanted) => {
                let add = wanted != Wanted::Gone;
                let named = routing.dev().map(of);
                let placed =
                    if add { None } else { self.placed.take_routing(&self.table, routing) };
                let index = match (placed, named) {
                    (None, Some(None)) => return Asked::Nothing { add },
                    (placed, named) => placed.or(named.flatten()),
                };
                if let Some(index) = index.filter(|_| add) {
                    self.placed.put_routing(routing, index);
                }
                let message = routing::remove(index, routing);
                let remove = Order { message, not_after: None, is_slow: false };
                let Wanted::There { lease, not_after, again } = wanted else {
                    orders.push(remove);
                    return Asked::RoutingGone { routing: routing.clone(), index };
                };
                if !again {
                    // One of ours that a predecessor has left is not somebody else's.
                    orders.push(remove);
                }
                let message = routing::add(index, routing, lease, again);
                orders.push(Order { message, not_after: Some(not_after), is_slow: false });
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
            Asked::Device { change, count, refused } => {
                let errnos: Vec<i32> = (0..count).map(|_| next()).collect();
                let errno = errnos.into_iter().find(|errno| *errno != 0).unwrap_or(0);
                let finished = match refused {
                    Some(refused) => Err(refused),
                    None => self.finish_device(&change, errno),
                };
                finished.map(|()| Done::AsWanted)
            }
            Asked::Nothing { add: true } => Err(system_error(Errno::ENODEV as i32)),
            Asked::Nothing { add: false } => Ok(Done::AsWanted),
            Asked::AddressThere => verdict(next(), |e| e == Errno::EEXIST as i32),
            Asked::AddressGone { interface, index, key } => {
                let outcome = verdict(next(), says_absent);
                // Where there was nothing to remove, the kernel may have done it just before, as it does
                // to the IPv6 addresses of a device that goes down, and tell of it later.
                if outcome.is_err() {
                    self.table.unexpect_removal(index, key);
                    self.placed.put(&interface, key, index);
                }
                outcome
            }
            Asked::RoutingGone { routing, index } => {
                let outcome = verdict(next(), says_no_such_routing);
                if let Some(index) = index.filter(|_| outcome.is_err()) {
                    self.placed.put_routing(&routing, index);
                }
                outcome
            }
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

    /// What the kernel's settings have to do with a device comes once it is there, or gone.
    fn finish_device(&mut self, change: &SystemChange, errno: i32) -> Result<(), SystemError> {
        match change {
            SystemChange::AddDevice(device) if errno == 0 => self.settings.prepare(device),
            SystemChange::AddDevice(device) => Err(device::not_made(device, errno)),
            SystemChange::RemoveDevice(device) if errno == 0 || says_absent(errno) => {
                self.settings.forget(device)
            }
            SystemChange::SetDevice(_, up) if errno == 0 || (!up && says_absent(errno)) => Ok(()),
            SystemChange::SetDevice(..) => Err(device::not_set(errno)),
            SystemChange::RemoveDevice(_) | SystemChange::Wish(_) => Err(system_error(errno)),
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
