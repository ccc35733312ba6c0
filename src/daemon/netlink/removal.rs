//! Removing addresses, routes, rules and devices at once: without a thread, without knowing the
//! kernel's state. For a process that does only this and ends.

use std::io;
use std::time::Duration;

use netlink_packet_core::NetlinkPayload;
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;

use super::device;
use super::exchange::{self, Exchange};
use super::interface::Made;
use super::message::{self, Message};
use super::table::Notice;
use super::{routing, says_absent, says_no_such_routing, system_error};
use crate::engine::{HeldAddress, SystemError};
use crate::model::{Mac, Routing, VirtualDevice};

/// How long the kernel may take for an answer, in case it gives none.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came of a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// It was there and is gone.
    Done,
    /// It was not there, or the interface was not; or a device is not vipd's.
    Absent,
    /// It may still be there.
    Failed(SystemError),
}

impl Removal {
    /// Why it may still be there.
    pub(crate) const fn error(&self) -> Option<&SystemError> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Done | Self::Absent => None,
        }
    }

    fn of(errno: i32, says_absent: fn(i32) -> bool) -> Self {
        match errno {
            0 => Self::Done,
            absent if says_absent(absent) => Self::Absent,
            other => Self::Failed(system_error(other)),
        }
    }
}

/// Something to remove.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Removable<'a> {
    Address(&'a HeldAddress),
    Routing(&'a Routing),
}

impl Removable<'_> {
    /// The message that removes it; an error where an interface that it needs does not exist.
    fn request(self) -> Result<Message, Errno> {
        match self {
            Self::Address(held) => {
                let index = if_nametoindex(held.interface.as_str())?;
                Ok(message::remove(index, &held.address))
            }
            Self::Routing(routing) => {
                let index = routing.dev().map(|dev| if_nametoindex(dev.as_str())).transpose()?;
                Ok(routing::remove(index, routing))
            }
        }
    }

    fn says_absent(self) -> fn(i32) -> bool {
        match self {
            Self::Address(_) => says_absent,
            Self::Routing(_) => says_no_such_routing,
        }
    }
}

/// Removes these in this order; the results are in their order.
pub(crate) fn remove_now(things: &[Removable<'_>]) -> Vec<Removal> {
    // Where a name belongs to no interface, there is nothing to ask.
    let (requests, missing): (Vec<Message>, Vec<Option<Errno>>) = {
        let asked: Vec<Result<Message, Errno>> = things.iter().map(|one| one.request()).collect();
        let missing = asked.iter().map(|one| one.as_ref().err().copied()).collect();
        (asked.into_iter().flatten().collect(), missing)
    };
    let mut answers = exchange(requests).into_iter();
    let lost = Errno::ECONNABORTED as i32;
    let mut errno = |missing: Option<Errno>| match missing {
        None => answers.next().unwrap_or(lost),
        Some(errno) => errno as i32,
    };
    let removal = |(thing, missing): (&Removable<'_>, Option<Errno>)| {
        Removal::of(errno(missing), thing.says_absent())
    };
    things.iter().zip(missing).map(removal).collect()
}

/// Removes these devices where they are vipd's; the results are in their order.
pub(crate) fn remove_devices_now(devices: &[&VirtualDevice]) -> Vec<Removal> {
    let remove = |device: &&VirtualDevice| -> io::Result<i32> {
        let absent = Errno::ENODEV as i32;
        let Some((index, made)) = look_up_now(device)? else { return Ok(absent) };
        if !device::is_ours(&made, device) {
            return Ok(absent);
        }
        Ok(exchange(vec![device::remove(index)]).first().copied().unwrap_or(absent))
    };
    let failed = |error: io::Error| error.raw_os_error().unwrap_or(Errno::EIO as i32);
    devices
        .iter()
        .map(|device| Removal::of(remove(device).unwrap_or_else(failed), says_absent))
        .collect()
}

/// What has the name of this device, and how it was made.
fn look_up_now(device: &VirtualDevice) -> io::Result<Option<(u32, Made)>> {
    let question = device::get(device.name().as_str());
    match Exchange::open()?.get(question, PATIENCE)?.payload {
        NetlinkPayload::Error(error) => match error.raw_code().saturating_abs() {
            absent if says_absent(absent) => Ok(None),
            other => Err(io::Error::from_raw_os_error(other)),
        },
        NetlinkPayload::InnerMessage(inner) => match message::change(inner) {
            Some(Notice::Link(link)) => {
                let mac = link.mac.and_then(|bytes| bytes.try_into().ok()).map(Mac);
                let made = Made { kind: link.kind, below: link.below, alias: link.alias, mac };
                Ok(Some((link.index, made)))
            }
            _ => Err(Errno::EPROTO.into()),
        },
        _ => Err(Errno::EPROTO.into()),
    }
}

/// Sends the requests; the kernel's numbers are in their order (`errno(3)`), zero for success.
fn exchange(requests: Vec<Message>) -> Vec<i32> {
    let count = requests.len();
    let mut numbers = Vec::with_capacity(count);
    if let Err(error) = exchange_all(requests, &mut numbers) {
        numbers.resize(count, error.raw_os_error().unwrap_or(Errno::EIO as i32));
    }
    numbers
}

fn exchange_all(requests: Vec<Message>, numbers: &mut Vec<i32>) -> io::Result<()> {
    let mut socket = Exchange::open()?;
    let mut requests = requests.into_iter();
    loop {
        let some: Vec<Message> = requests.by_ref().take(exchange::AT_ONCE).collect();
        if some.is_empty() {
            return Ok(());
        }
        socket.change(some, PATIENCE, numbers)?;
    }
}
