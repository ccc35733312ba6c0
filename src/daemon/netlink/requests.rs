//! Questions to the kernel and their answers, on a socket of their own: however many events
//! there are, an answer does not queue behind them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_proto::ConnectionHandle;
use netlink_proto::sys::{SocketAddr, protocols::NETLINK_ROUTE};
use nix::errno::Errno;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::message::{self, Message};
use super::table::Change;
use crate::daemon::clock;
use crate::time::Mono;

/// How long a dump may take.
const DUMP_PATIENCE: Duration = Duration::from_secs(5);

/// How long the changes that go to the kernel at once may take together.
const CHANGE_PATIENCE: Duration = Duration::from_secs(1);

/// How much longer for each change of a device: taking one down or away waits until no processor
/// sees it any more.
const DEVICE_PATIENCE: Duration = Duration::from_millis(200);

/// How many changes go to the kernel at once: their answers fit into the socket's buffer.
const AT_ONCE: usize = 64;

/// A change that the kernel is asked for.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) message: Message,
    /// After this it is not asked any more.
    pub(super) not_after: Option<Mono>,
    /// Whether it is about a device and not an address.
    pub(super) is_slow: bool,
}

impl Order {
    /// A change of a device.
    pub(super) fn about_a_device(message: Message) -> Self {
        Self { message, not_after: None, is_slow: true }
    }

    fn is_late(&self, now: Mono) -> bool {
        self.not_after.is_some_and(|not_after| now > not_after)
    }
}

/// The socket for questions.
#[derive(Clone, Debug)]
pub(super) struct Requests {
    connection: ConnectionHandle<RouteNetlinkMessage>,
    reader: Arc<JoinHandle<()>>,
}

impl Requests {
    /// Opens it; within a tokio runtime.
    pub(super) fn open() -> io::Result<Self> {
        let (mut reader, connection, _) = netlink_proto::new_connection(NETLINK_ROUTE)?;
        reader.set_forward_ack(true);
        Ok(Self { connection, reader: Arc::new(tokio::spawn(reader)) })
    }

    /// The kernel's whole state: interfaces, then addresses.
    pub(super) async fn dump(&self) -> io::Result<Vec<Change>> {
        let mut changes = Vec::new();
        for question in message::dumps() {
            let answers = self.ask([question])?;
            timeout(DUMP_PATIENCE, collect(answers, &mut changes)).await??;
        }
        Ok(changes)
    }

    /// Has the kernel carry out `orders` in this order. The result is its number for what went
    /// wrong with each of them (`errno(3)`), zero for nothing, `ETIME` where it was too late.
    pub(super) async fn change(&self, orders: Vec<Order>) -> Vec<i32> {
        let count = orders.len();
        let mut errors = Vec::with_capacity(count);
        let mut rest = orders.into_iter().peekable();
        while rest.peek().is_some() {
            let batch: Vec<Order> = rest.by_ref().take(AT_ONCE).collect();
            if let Err(unanswered) = self.change_some(batch, &mut errors).await {
                errors.resize(count, unanswered as i32);
            }
            if errors.len() == count {
                break;
            }
        }
        errors
    }

    /// Has the kernel carry out what its buffer has room for; fails where it does not answer.
    async fn change_some(&self, batch: Vec<Order>, errors: &mut Vec<i32>) -> Result<(), Errno> {
        // The time is read here and not when the change was asked for: this process may have
        // stood still since, and somebody else may have the address by now.
        let now = clock::now().mono;
        let late: Vec<bool> = batch.iter().map(|order| order.is_late(now)).collect();
        let slow = batch.iter().filter(|order| order.is_slow).count();
        let slow = u32::try_from(slow).unwrap_or(u32::MAX);
        let bound = CHANGE_PATIENCE + DEVICE_PATIENCE.saturating_mul(slow);
        let timely = batch.into_iter().filter(|order| !order.is_late(now));
        let messages: Vec<Message> = timely.map(|order| order.message).collect();
        let mut answers = Vec::with_capacity(messages.len());
        let mut patience = Ok(());
        if !messages.is_empty() {
            let stream = self.ask(messages).map_err(|_| Errno::ECONNABORTED)?;
            patience = timeout(bound, numbers(stream, &mut answers)).await;
        }
        let mut answers = answers.into_iter();
        for late in late {
            let unanswered = match patience {
                Ok(()) => Errno::ECONNABORTED,
                Err(_) => Errno::ETIMEDOUT,
            };
            let answer = if late { Some(Errno::ETIME as i32) } else { answers.next() };
            errors.push(answer.ok_or(unanswered)?);
        }
        Ok(())
    }

    /// Whether the socket is gone, so that another one must be opened.
    pub(super) fn is_broken(&self) -> bool {
        self.reader.is_finished()
    }

    fn ask<Q>(&self, question: Q) -> io::Result<impl Stream<Item = Message> + use<Q>>
    where
        Q: IntoIterator<Item = Message>,
    {
        let kernel = SocketAddr::new(0, 0);
        self.connection.request_batch(question, kernel).map_err(|_| closed())
    }
}

async fn numbers(mut answers: impl Stream<Item = Message> + Unpin, errors: &mut Vec<i32>) {
    while let Some(answer) = answers.next().await {
        errors.extend(message::answer(&answer));
    }
}

async fn collect(
    mut answers: impl Stream<Item = Message> + Unpin,
    changes: &mut Vec<Change>,
) -> io::Result<()> {
    while let Some(answer) = answers.next().await {
        match answer.payload {
            NetlinkPayload::InnerMessage(inner) => changes.extend(message::change(inner)),
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            _ => {}
        }
    }
    Ok(())
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the netlink socket was closed")
}
