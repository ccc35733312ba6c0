//! Changes of the system as the kernel is asked for them, and its whole state.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use nix::errno::Errno;

use super::exchange::{self, Exchange};
use super::message::{self, Message};
use super::table::Notice;
use crate::daemon::clock;
use crate::time::Mono;

/// How long a dump may take.
const DUMP_PATIENCE: Duration = Duration::from_secs(5);

/// How long the changes that go to the kernel at once may take together.
const CHANGE_PATIENCE: Duration = Duration::from_secs(1);

/// How much longer for each change of a device: taking one down or away waits until no processor
/// sees it any more.
const DEVICE_PATIENCE: Duration = Duration::from_millis(200);

/// A change that the kernel is asked for.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) message: Message,
    /// After this it is not asked any more.
    pub(super) not_after: Option<Mono>,
    pub(super) kind: Kind,
}

/// The special nature of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    /// It gives an address that is known to be there a new lifetime. The kernel's event about that
    /// is nothing that anybody has to hear.
    Renewal,
    /// It is about a device, and so slow.
    Device,
}

impl Order {
    /// A change of a device.
    pub(super) fn about_a_device(message: Message) -> Self {
        Self { message, not_after: None, kind: Kind::Device }
    }

    /// Another change.
    pub(super) fn plain(message: Message) -> Self {
        Self { message, not_after: None, kind: Kind::Plain }
    }

    fn is_late(&self, now: Mono) -> bool {
        self.not_after.is_some_and(|not_after| now > not_after)
    }
}

/// The sockets for questions.
#[derive(Debug)]
pub(super) struct Requests {
    plain: Exchange,
    renewals: Exchange,
}

impl Requests {
    /// Opens them.
    ///
    /// # Errors
    /// The kernel's error.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self { plain: Exchange::open()?, renewals: Exchange::open()? })
    }

    /// The port in the kernel's events that renewals lead to ([`Exchange::port`]).
    pub(super) const fn port_of_renewals(&self) -> u32 {
        self.renewals.port()
    }

    /// The kernel's whole state: interfaces, then addresses.
    ///
    /// # Errors
    /// When the kernel does not tell it.
    pub(super) fn dump(&mut self) -> io::Result<Vec<Notice>> {
        let mut state = Vec::new();
        for question in message::dumps() {
            self.plain.dump(question, DUMP_PATIENCE, &mut state)?;
        }
        Ok(state)
    }

    /// Has the kernel carry out the next of these orders, as many as it takes at once. Appends its
    /// number for what went wrong with each of them (`errno(3)`), zero for nothing, `ETIME` where
    /// it was too late.
    ///
    /// # Errors
    /// That the kernel has not answered for all of them.
    pub(super) fn change_some(
        &mut self,
        orders: &mut VecDeque<Order>,
        numbers: &mut Vec<i32>,
    ) -> Result<(), Errno> {
        let is_renewal = |order: &Order| order.kind == Kind::Renewal;
        let Some(renew) = orders.front().map(is_renewal) else { return Ok(()) };
        let alike = orders.iter().take(exchange::AT_ONCE);
        let count = alike.take_while(|order| is_renewal(order) == renew).count();
        let some = orders.drain(..count);
        // The time is read here and not when the change was asked for: this process may have
        // stood still since, and somebody else may have the address by now.
        let now = clock::now().mono;
        let mut late = Vec::with_capacity(count);
        let mut messages = Vec::with_capacity(count);
        let mut bound = CHANGE_PATIENCE;
        for order in some {
            late.push(order.is_late(now));
            if order.kind == Kind::Device {
                bound += DEVICE_PATIENCE;
            }
            if !order.is_late(now) {
                messages.push(order.message);
            }
        }
        let socket = if renew { &mut self.renewals } else { &mut self.plain };
        let mut answers = Vec::with_capacity(count);
        let answered = socket.change(messages, bound, &mut answers);
        let mut answers = answers.into_iter();
        for late in late {
            let answer = if late { Some(Errno::ETIME as i32) } else { answers.next() };
            numbers.push(answer.unwrap_or_else(|| answered.err().map_or(0, |error| error as i32)));
        }
        answered
    }
}
