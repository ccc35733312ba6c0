//! Removing addresses, routes, rules and devices at once: without a thread, without knowing the kernel's state. For a process
//! that does only this and ends.

use std::io::{self, Read};
use std::time::Duration;

use netlink_packet_core::NetlinkPayload;
use nix::errno::Errno;
use nix::libc;
use nix::net::if_::if_nametoindex;
use socket2::{Domain, Protocol, Socket, Type};

use super::device;
use super::interface::Made;
use super::message::{self, Message};
use super::table::Change;
use super::{routing, says_absent, says_no_such_routing, system_error};
use crate::engine::{HeldAddress, SystemError};
use crate::model::{Mac, Routing, VirtualDevice};

/// How long the kernel may take for an answer, in case it gives none.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many requests go to the kernel at once: their answers fit into the socket's buffer.
const AT_ONCE: usize = 64;

/// Room for one answer, which repeats the request where it has failed.
const ANSWER: usize = 4096;

/// Room for all that the kernel says of an interface.
const LINK: usize = 64 * 1024;

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
    let mut question = device::get(device.name().as_str());
    question.finalize();
    let mut bytes = vec![0; question.buffer_len()];
    question.serialize(&mut bytes);
    let mut socket = socket()?;
    socket.send(&bytes)?;
    let mut buffer = vec![0; LINK];
    let length = socket.read(&mut buffer)?;
    let answer = Message::deserialize(buffer.get(..length).unwrap_or_default());
    match answer.map_err(io::Error::other)?.payload {
        NetlinkPayload::Error(error) => match error.raw_code().saturating_abs() {
            absent if says_absent(absent) => Ok(None),
            other => Err(io::Error::from_raw_os_error(other)),
        },
        NetlinkPayload::InnerMessage(inner) => match message::change(inner) {
            Some(Change::Link(link)) => {
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
fn exchange(mut requests: Vec<Message>) -> Vec<i32> {
    let mut numbers = Vec::with_capacity(requests.len());
    let result = socket().and_then(|mut socket| {
        requests.chunks_mut(AT_ONCE).try_for_each(|some| ask(&mut socket, some, &mut numbers))
    });
    if let Err(error) = result {
        let errno = error.raw_os_error().unwrap_or(Errno::EIO as i32);
        numbers.resize(requests.len(), errno);
    }
    numbers
}

fn socket() -> io::Result<Socket> {
    let route = Protocol::from(libc::NETLINK_ROUTE);
    let socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(route))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// One message to the kernel with all the requests, and one from it for each of them.
fn ask(socket: &mut Socket, requests: &mut [Message], numbers: &mut Vec<i32>) -> io::Result<()> {
    let mut bytes = Vec::new();
    for request in requests.iter_mut() {
        request.finalize();
        let start = bytes.len();
        bytes.resize(start + request.buffer_len(), 0);
        if let Some(room) = bytes.get_mut(start..) {
            request.serialize(room);
        }
    }
    // A socket that is not connected sends to the kernel (netlink(7)).
    socket.send(&bytes)?;
    let mut buffer = [0; ANSWER];
    for _ in requests {
        let length = socket.read(&mut buffer)?;
        let answer = Message::deserialize(buffer.get(..length).unwrap_or_default());
        let number = answer.ok().as_ref().and_then(message::answer);
        numbers.push(number.ok_or_else(|| io::Error::from(Errno::EPROTO))?);
    }
    Ok(())
}
