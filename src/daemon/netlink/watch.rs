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
use super::message::{self, Message};
use super::requests::{Order, Requests};
use super::table::{AddressKey, Table};
use super::{
    AddressChange, News, Outcomes, Request, SystemChange, Wanted, says_absent, system_error,
};
use crate::daemon::settings::Settings;
use crate::engine::{Input, SystemError};
use crate::model::InterfaceName;

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
    settings: Settings,
}

/// Changes that the kernel is carrying out.
struct Batch {
    asked: Vec<Asked>,
    errors: Pin<Box<dyn Future<Output = Vec<i32>> + Send>>,
    answer: oneshot::Sender<Outcomes>,
}

/// A change of a batch.
enum Asked {
    /// Whether it adds an address, and which; `None`: there is no interface for it.
    Address { add: bool, target: Option<(u32, AddressKey)> },
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
        let mut watcher = Self { events, requests, table: Table::new(names), settings };
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
                SystemChange::Address(change) => {
                    self.begin_address(&change, &mut leaving, &mut orders)
                }
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

    fn begin_address(
        &mut self,
        change: &AddressChange,
        leaving: &mut BTreeSet<(u32, AddressKey)>,
        orders: &mut Vec<Order>,
    ) -> Asked {
        let AddressChange { interface, address, wanted } = change;
        let key = AddressKey { address: address.address, prefix: address.prefix };
        let target = self.table.index_of(interface).map(|index| (index, key));
        match (target, *wanted) {
            (Some((index, _)), Wanted::There { lease, not_after }) => {
                // An expectation that is left from before; one of this batch holds.
                if !leaving.contains(&(index, key)) {
                    self.table.unexpect_removal(index, key);
                }
                let metric = interface.is_virtual_device().then_some(LAST_METRIC);
                let message = message::add(index, address, lease, metric);
                orders.push(Order { message, not_after: Some(not_after), is_slow: false });
            }
            (Some((index, _)), Wanted::Gone) => {
                self.table.expect_removal(index, key);
                leaving.insert((index, key));
                let message = message::remove(index, address);
                orders.push(Order { message, not_after: None, is_slow: false });
            }
            (None, _) => {}
        }
        Asked::Address { add: *wanted != Wanted::Gone, target }
    }

    fn finish(&mut self, batch: Option<Batch>, errors: Vec<i32>) {
        let Some(batch) = batch else { return };
        let mut errors = errors.into_iter();
        let mut next = || errors.next().unwrap_or(Errno::ECONNABORTED as i32);
        let mut outcomes = Vec::with_capacity(batch.asked.len());
        for asked in batch.asked {
            outcomes.push(match asked {
                Asked::Address { add, target: None } => verdict(add, Errno::ENODEV as i32),
                Asked::Address { add, target: Some((index, key)) } => {
                    let errno = next();
                    let outcome = verdict(add, errno);
                    // Where there was nothing to remove, the kernel may have done it just before, as
                    // it does to the IPv6 addresses of a device that goes down, and tell of it later.
                    if !add && outcome.is_err() {
                        self.table.unexpect_removal(index, key);
                    }
                    outcome
                }
                Asked::Device { change, count, refused } => {
                    let errnos: Vec<i32> = (0..count).map(|_| next()).collect();
                    let errno = errnos.into_iter().find(|errno| *errno != 0).unwrap_or(0);
                    match refused {
                        Some(refused) => Err(refused),
                        None => self.finish_device(&change, errno),
                    }
                }
            });
        }
        // The protocol loop may have ended meanwhile.
        let _ = batch.answer.send(outcomes);
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
            SystemChange::RemoveDevice(_) | SystemChange::Address(_) => Err(system_error(errno)),
        }
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
