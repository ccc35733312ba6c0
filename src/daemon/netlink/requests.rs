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

/// How long a dump may take.
const DUMP_PATIENCE: Duration = Duration::from_secs(5);

/// How long the changes that go to the kernel at once may take together.
const CHANGE_PATIENCE: Duration = Duration::from_secs(1);

/// How many changes go to the kernel at once: their answers fit into the socket's buffer.
const AT_ONCE: usize = 64;

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

    /// Has the kernel carry out `messages` in this order. The result is its number for what went
    /// wrong with each of them (`errno(3)`), zero for nothing.
    pub(super) async fn change(&self, messages: Vec<Message>) -> Vec<i32> {
        let count = messages.len();
        let mut errors = Vec::with_capacity(count);
        let mut rest = messages.into_iter().peekable();
        let unanswered = loop {
            let batch: Vec<Message> = rest.by_ref().take(AT_ONCE).collect();
            let end = errors.len() + batch.len();
            let Ok(answers) = self.ask(batch) else { break Errno::ECONNABORTED };
            if timeout(CHANGE_PATIENCE, numbers(answers, &mut errors)).await.is_err() {
                break Errno::ETIMEDOUT;
            }
            if errors.len() < end || rest.peek().is_none() {
                break Errno::ECONNABORTED;
            }
        };
        errors.resize(count, unanswered as i32);
        errors
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
