//! Questions to the kernel and their answers, on a socket that does nothing else: however many
//! events there are, an answer does not queue behind them.
//!
//! The kernel works on a question while it is being sent, so its answers are there as soon as the
//! call returns, and waiting for them costs nothing. Of many changes only the last one asks for an
//! acknowledgement: the kernel takes them in order, and reports those that fail anyway.

use std::io;
use std::time::Duration;

use netlink_packet_core::{NLM_F_ACK, NetlinkPayload};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use super::message::{self, Message};
use super::table::Notice;

/// The most changes that go to the kernel at once: the answers to all of them fit into the socket's
/// buffer.
pub(super) const AT_ONCE: usize = 64;

/// Room for the longest answer: the kernel makes none longer than this.
const ANSWER: usize = 64 * 1024;

/// A socket for questions.
#[derive(Debug)]
pub(super) struct Exchange {
    socket: Socket,
    /// The kernel's number for the socket, which stands in the events that its changes lead to.
    port: u32,
    sequence: u32,
    patience: Option<Duration>,
    question: Vec<u8>,
    answer: Vec<u8>,
}

impl Exchange {
    /// Opens it.
    ///
    /// # Errors
    /// The kernel's error.
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        let port = socket.bind_auto()?.port_number();
        // An answer need not repeat the question.
        socket.set_cap_ack(true)?;
        let (question, answer) = (Vec::new(), Vec::with_capacity(ANSWER));
        Ok(Self { socket, port, sequence: 0, patience: None, question, answer })
    }

    /// The kernel's number for the socket.
    pub(super) const fn port(&self) -> u32 {
        self.port
    }

    /// Has the kernel carry out these in this order, at most [`AT_ONCE`] of them. Appends its
    /// number for what went wrong with each of them (`errno(3)`), zero for nothing.
    ///
    /// # Errors
    /// That the answer did not come, `ETIMEDOUT` where it takes longer than `patience`: what came
    /// of those whose numbers are not there is not known.
    pub(super) fn change(
        &mut self,
        mut changes: Vec<Message>,
        patience: Duration,
        numbers: &mut Vec<i32>,
    ) -> Result<(), Errno> {
        let Some(last) = changes.len().checked_sub(1) else { return Ok(()) };
        for (place, change) in changes.iter_mut().enumerate() {
            change.header.flags &= !NLM_F_ACK;
            if place == last {
                change.header.flags |= NLM_F_ACK;
            }
        }
        let first = self.send(&mut changes, patience)?;
        let mut answers = vec![0; changes.len()];
        loop {
            let Some(answer) = self.receive()?.next() else { continue };
            let Some(number) = message::answer(&answer) else { continue };
            // An answer to a question that was given up comes late.
            let place = answer.header.sequence_number.wrapping_sub(first) as usize;
            let Some(room) = answers.get_mut(place) else { continue };
            *room = number;
            if place == last {
                numbers.append(&mut answers);
                return Ok(());
            }
        }
    }

    /// Asks for something that is there once; the answer.
    ///
    /// # Errors
    /// That none came.
    pub(super) fn get(&mut self, question: Message, patience: Duration) -> io::Result<Message> {
        let sequence = self.send(&mut [question], patience)?;
        loop {
            let mut answers = self.receive()?;
            if let Some(answer) = answers.find(|one| one.header.sequence_number == sequence) {
                return Ok(answer);
            }
        }
    }

    /// Asks for a list.
    ///
    /// # Errors
    /// The kernel's error, or that it did not answer.
    pub(super) fn dump(
        &mut self,
        question: Message,
        patience: Duration,
        list: &mut Vec<Notice>,
    ) -> io::Result<()> {
        let sequence = self.send(&mut [question], patience)?;
        loop {
            for answer in self.receive()? {
                if answer.header.sequence_number != sequence {
                    continue;
                }
                match answer.payload {
                    NetlinkPayload::InnerMessage(inner) => list.extend(message::change(inner)),
                    NetlinkPayload::Done(_) => return Ok(()),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    _ => {}
                }
            }
        }
    }

    /// Sends these with numbers of their own; the first one's.
    fn send(&mut self, messages: &mut [Message], patience: Duration) -> Result<u32, Errno> {
        let first = self.sequence.wrapping_add(1);
        self.question.clear();
        for message in messages {
            self.sequence = self.sequence.wrapping_add(1);
            message.header.sequence_number = self.sequence;
            message.finalize();
            let start = self.question.len();
            self.question.resize(start + message.buffer_len(), 0);
            if let Some(room) = self.question.get_mut(start..) {
                message.serialize(room);
            }
        }
        if self.patience != Some(patience) {
            let micros = i64::try_from(patience.as_micros()).unwrap_or(i64::MAX);
            setsockopt(&self.socket, sockopt::ReceiveTimeout, &TimeVal::microseconds(micros))?;
            self.patience = Some(patience);
        }
        // A socket that is not connected sends to the kernel (netlink(7)).
        self.socket.send(&self.question, 0).map_err(|error| number(&error))?;
        Ok(first)
    }

    fn receive(&mut self) -> Result<impl Iterator<Item = Message>, Errno> {
        loop {
            self.answer.clear();
            match self.socket.recv(&mut self.answer, 0).map_err(|error| number(&error)) {
                Ok(_) => return Ok(message::all(&self.answer)),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Err(Errno::ETIMEDOUT),
                Err(error) => return Err(error),
            }
        }
    }
}

fn number(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
