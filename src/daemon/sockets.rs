//! The open sockets by interface and family: what arrives as inputs, what goes out as results.
//!
//! Nothing is opened, joined or closed here, which can take the kernel long: the [`Opener`] does
//! that, and hands over what is open. What a socket lets in is replaced in place.

mod settle;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::task::{Context, Poll};

use nix::errno::Errno;

use super::conflicts::ConflictSocket;
use super::netlink::system_error;
use super::opener::{Closing, Opened, Opener, Place, What};
use super::poller::Poller;
use super::socket::{Arrival, Buffers, Frame, FrameSocket, Outgoing, Sender, VrrpSocket};
use crate::engine::{Action, Input, SystemError};
use crate::model::{Family, InterfaceName, Mac, Vrid};
use crate::time::{Mono, Now, Wall};
use crate::vrrp::auth::Proof;
pub(crate) use settle::Settled;

/// The most messages that wait for a socket. Usually opening takes less than a
/// millisecond; an old advertisement is worth nothing.
const WAITING: usize = 16;

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// All sockets of the protocol.
#[derive(Debug)]
pub(crate) struct Sockets {
    open: BTreeMap<Place, Vrrp>,
    /// Those that send through devices with virtual MAC addresses.
    devices: BTreeMap<Place, Device>,
    watched: BTreeMap<Place, Watched>,
    frames: FrameSocket,
    opener: Opener,
    /// All of `open` and `watched` that there are.
    poller: Poller,
    /// Sockets from the opener that are not in place yet.
    handed_over: VecDeque<Opened>,
    buffers: Buffers,
    arrivals: Vec<Arrival>,
}

/// A socket that hears virtual routers.
#[derive(Debug)]
struct Vrrp {
    /// The order whose answer counts, and whether it is still to come.
    number: u64,
    awaited: bool,
    index: u32,
    routers: Vec<Vrid>,
    groups: Vec<IpAddr>,
    socket: Option<VrrpSocket>,
    /// When everything that had arrived was read: what is read next arrived later.
    emptied: Mono,
    /// The last error of reading (`errno(3)`), so that it is told once.
    error: Option<i32>,
}

/// A socket that sends through a device.
#[derive(Debug)]
struct Device {
    number: u64,
    index: u32,
    sender: Option<Sender>,
    /// Messages to send once it is open.
    waiting: Vec<Action>,
}

/// A socket that hears conflicts.
#[derive(Debug)]
struct Watched {
    number: u64,
    index: u32,
    own: Option<Mac>,
    addresses: Vec<IpAddr>,
    socket: Option<ConflictSocket>,
    /// The last error of reading (`errno(3)`), so that it is told once.
    error: Option<i32>,
}

impl Sockets {
    /// None yet but the one for frames; within a tokio runtime.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            open: BTreeMap::new(),
            devices: BTreeMap::new(),
            watched: BTreeMap::new(),
            frames: FrameSocket::open()?,
            opener: Opener::start()?,
            poller: Poller::new()?,
            handed_over: VecDeque::new(),
            buffers: Buffers::new(),
            arrivals: Vec::new(),
        })
    }

    /// Listens for these virtual routers there. Opens a socket if no socket is open, and joins the
    /// groups; [`Sockets::settle`] reports the result.
    ///
    /// # Errors
    /// The kernel's error. Nothing else is reported then.
    pub(crate) fn listen(
        &mut self,
        interface: &InterfaceName,
        (index, family): (u32, Family),
        (routers, groups): (&[Vrid], &[IpAddr]),
        now: Mono,
    ) -> io::Result<()> {
        let place = (interface.clone(), family);
        if self.open.get(&place).is_some_and(|open| open.index != index) {
            self.close(interface, family);
        }
        if let Some(socket) = self.open.get(&place).and_then(|open| open.socket.as_ref()) {
            socket.hear(routers)?;
        }
        let is_open = self.open.get(&place).is_some_and(|open| open.socket.is_some());
        let (routers, groups) = (routers.to_vec(), groups.to_vec());
        let new = (!is_open).then(|| routers.clone());
        let order = What::Listen { index, routers: new, groups: groups.clone() };
        let number = self.opener.open(place.clone(), order)?;
        let (socket, emptied, error) = match self.open.remove(&place) {
            Some(Vrrp { socket: Some(socket), emptied, error, .. }) => {
                (Some(socket), emptied, error)
            }
            _ => (None, now, None),
        };
        let awaited = true;
        let open = Vrrp { number, awaited, index, routers, groups, socket, emptied, error };
        self.open.insert(place, open);
        Ok(())
    }

    /// Closes the VRRP socket, if there is one, and leaves its groups.
    pub(crate) fn close(&mut self, interface: &InterfaceName, family: Family) {
        let place = (interface.clone(), family);
        if let Some(open) = self.open.remove(&place) {
            if let Some(socket) = open.socket {
                self.poller.remove(&socket);
                self.opener.close(place.clone(), Closing::Vrrp(socket));
            }
            // Without the thread there are no groups.
            let _ = self.opener.open(place, What::Leave);
        }
    }

    /// Says if a socket that should be open was not tried yet.
    pub(crate) fn is_opening(&self) -> bool {
        self.open.values().any(|open| open.awaited)
    }

    /// From now on hears who else says to have one of the `addresses` on the interface of this
    /// index and Ethernet address, instead of the addresses before; with none of them, nobody.
    ///
    /// # Errors
    /// The kernel's error. The addresses before are then still watched.
    pub(crate) fn watch(
        &mut self,
        interface: &InterfaceName,
        index: u32,
        own: Option<Mac>,
        addresses: &[IpAddr],
    ) -> io::Result<()> {
        let mut result = Ok(());
        for family in FAMILIES {
            let place = (interface.clone(), family);
            let mut addresses = addresses.to_vec();
            addresses.retain(|address| Family::of(*address) == family);
            let watching = match self.watched.get_mut(&place) {
                _ if addresses.is_empty() => {
                    self.unwatch(place);
                    Ok(())
                }
                Some(watched) if watched.index == index => watched.replace(own, addresses),
                _ => {
                    self.unwatch(place.clone());
                    self.watch_anew(place, index, own, addresses)
                }
            };
            result = result.and(watching);
        }
        result
    }

    fn watch_anew(
        &mut self,
        place: Place,
        index: u32,
        own: Option<Mac>,
        addresses: Vec<IpAddr>,
    ) -> io::Result<()> {
        let order = What::Watch { index, own, addresses: addresses.clone() };
        let number = self.opener.open(place.clone(), order)?;
        let watched = Watched { number, index, own, addresses, socket: None, error: None };
        self.watched.insert(place, watched);
        Ok(())
    }

    fn unwatch(&mut self, place: Place) {
        let socket = self.watched.remove(&place).and_then(|watched| watched.socket);
        if let Some(socket) = socket {
            self.poller.remove(&socket);
            self.opener.close(place, Closing::Conflicts(socket));
        }
    }

    /// The addresses that are watched there.
    pub(crate) fn watched(&self, interface: &InterfaceName) -> Vec<IpAddr> {
        let there = self.watched.iter().filter(|((name, _), _)| name == interface);
        there.flat_map(|(_, watched)| &watched.addresses).copied().collect()
    }

    /// Hears no more who says to have addresses there.
    pub(crate) fn stop_watching(&mut self, interface: &InterfaceName) {
        for family in FAMILIES {
            self.unwatch((interface.clone(), family));
        }
    }

    /// Reads every VRRP packet that has arrived by `now`, whatever the runtime knows of it
    /// (invariant 1), and then some of the conflicts. Returns what went wrong, for people.
    pub(crate) fn hear(&mut self, now: Now, inputs: &mut Vec<Input>) -> Vec<String> {
        let mut trouble = Vec::new();
        let ready = self.poller.ready().unwrap_or_else(|error| {
            trouble.push(format!("waiting for packets failed: {error}"));
            Vec::new()
        });
        for ((interface, family), open) in &mut self.open {
            let Some(socket) = &open.socket else { continue };
            let emptied = std::mem::replace(&mut open.emptied, now.mono);
            if !ready.contains(&socket.as_fd().as_raw_fd()) {
                continue;
            }
            let result = socket.drain(&mut self.buffers, &mut self.arrivals);
            let error = result.err().map(|error| error.raw_os_error().unwrap_or(0));
            if let Some(errno) = error.filter(|_| error != open.error) {
                let what = Errno::from_raw(errno).desc();
                let text = format!("{interface}: reading {family} VRRP packets failed: {what}");
                trouble.push(text);
            }
            open.error = error;
            inputs.extend(self.arrivals.drain(..).map(|Arrival { at, packet }| {
                let arrived = at.map_or(now.mono, |at| on_our_clock(at, now, emptied));
                let proof = Proof::None;
                Input::Received { interface: interface.clone(), arrived, packet, proof }
            }));
        }
        for ((interface, family), watched) in &mut self.watched {
            let Some(socket) = &watched.socket else { continue };
            if !ready.contains(&socket.as_fd().as_raw_fd()) {
                continue;
            }
            let mut frames = Vec::new();
            let result = socket.read(&mut frames);
            let error = result.err().map(|error| error.raw_os_error().unwrap_or(0));
            if let Some(errno) = error.filter(|_| error != watched.error) {
                let what = Errno::from_raw(errno).desc();
                let text = format!("{interface}: reading {family} conflicts failed: {what}");
                trouble.push(text);
            }
            watched.error = error;
            let frames = frames.into_iter();
            inputs.extend(
                frames.map(|frame| Input::Conflict { interface: interface.clone(), frame }),
            );
        }
        trouble
    }

    /// From now on packets do not wake the loop: they are heard all the same.
    pub(crate) fn let_packets_gather(&mut self) {
        self.poller.shut();
    }

    /// From now on packets wake the loop. Says if some have come meanwhile.
    pub(crate) fn let_packets_wake(&mut self) -> bool {
        self.poller.open()
    }

    /// Ready when something may have arrived, or a socket was opened.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // Without the thread there is nothing to wait for.
        if let Poll::Ready(Some(opened)) = self.opener.opened.poll_recv(context) {
            self.handed_over.push_back(opened);
        }
        // Each of the two has to be asked: that is what has it wake us.
        let packets = self.poller.poll(context);
        if self.handed_over.is_empty() { packets } else { Poll::Ready(()) }
    }

    /// Sends messages from one source through one interface; the results in their order.
    pub(crate) fn send(
        &self,
        interface: &InterfaceName,
        source: IpAddr,
        messages: &[Outgoing<'_>],
    ) -> Vec<io::Result<()>> {
        let open = self.open.get(&(interface.clone(), Family::of(source)));
        match open.and_then(|open| open.socket.as_ref()) {
            Some(socket) => socket.sender().send(source, messages),
            None => messages.iter().map(|_| Err(Errno::ENOTCONN.into())).collect(),
        }
    }

    /// Sends messages from one source, an address of another interface, through the device of this
    /// index; the results in their order.
    pub(crate) fn send_through(
        &self,
        device: &InterfaceName,
        source: IpAddr,
        messages: &[Outgoing<'_>],
    ) -> Vec<io::Result<()>> {
        let device = self.devices.get(&(device.clone(), Family::of(source)));
        match device.and_then(|device| device.sender.as_ref()) {
            Some(sender) => sender.send(source, messages),
            None => messages.iter().map(|_| Err(Errno::ENODEV.into())).collect(),
        }
    }

    /// Has a socket opened that sends through the device of this index, unless there is one.
    ///
    /// # Errors
    /// That nobody opens it.
    pub(crate) fn open_device(
        &mut self,
        device: &InterfaceName,
        index: u32,
        family: Family,
    ) -> io::Result<()> {
        let place = (device.clone(), family);
        if self.devices.get(&place).is_some_and(|device| device.index == index) {
            return Ok(());
        }
        self.close_device(place.clone());
        let number = self.opener.open(place.clone(), What::Send { index })?;
        self.devices.insert(place, Device { number, index, sender: None, waiting: Vec::new() });
        Ok(())
    }

    /// Keeps a message until the socket is open that it is to be sent through. Gives it back where
    /// that is open already, or where too many wait.
    pub(crate) fn keep(
        &mut self,
        device: &InterfaceName,
        family: Family,
        message: Action,
    ) -> Option<Action> {
        match self.devices.get_mut(&(device.clone(), family)) {
            Some(device) if device.sender.is_none() && device.waiting.len() < WAITING => {
                device.waiting.push(message);
                None
            }
            _ => Some(message),
        }
    }

    /// Closes what sends through a device that is gone.
    pub(crate) fn forget_device(&mut self, device: &InterfaceName) {
        for family in FAMILIES {
            self.close_device((device.clone(), family));
        }
    }

    fn close_device(&mut self, place: Place) {
        let sender = self.devices.remove(&place).and_then(|device| device.sender);
        if let Some(sender) = sender {
            self.opener.close(place, Closing::Sender(sender));
        }
    }

    /// Sends Ethernet frames; the results in their order.
    pub(crate) fn announce(&self, frames: &[Frame<'_>]) -> Vec<io::Result<()>> {
        self.frames.send_all(frames)
    }
}

impl Watched {
    /// Another list, on the same interface. While the socket is not open yet, it will be that
    /// one's.
    fn replace(&mut self, own: Option<Mac>, addresses: Vec<IpAddr>) -> io::Result<()> {
        if let Some(socket) = &self.socket {
            socket.hear(own, &addresses)?;
        }
        (self.own, self.addresses) = (own, addresses);
        Ok(())
    }
}

/// Translates the system's error for the engine.
pub(super) fn said(error: &io::Error) -> SystemError {
    match error.raw_os_error() {
        Some(errno) => system_error(errno),
        None => SystemError { errno: 0, text: error.to_string() },
    }
}

/// The kernel's time of arrival on the monotonic clock. If the wall clock has been set meanwhile,
/// the result is off, but never outside the time in which it can have been.
fn on_our_clock(at: Wall, now: Now, emptied: Mono) -> Mono {
    let age = now.wall.since(at);
    Mono(now.mono.0.saturating_sub(age.nanos())).max(emptied)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now { mono: Mono(50_000), wall: Wall(1_000_000) };

    /// Rule: a packet that waited is as old as the kernel says.
    #[test]
    fn the_kernels_time_is_translated() {
        assert_eq!(on_our_clock(Wall(990_000), NOW, Mono(0)), Mono(40_000));
    }

    /// Bug guarded: a wall clock that is set while a packet waits must not make it look older
    /// than the last time the socket was empty, nor newer than now.
    #[test]
    fn a_step_of_the_wall_clock_stays_within_bounds() {
        assert_eq!(on_our_clock(Wall(1), NOW, Mono(45_000)), Mono(45_000));
        assert_eq!(on_our_clock(Wall(2_000_000), NOW, Mono(45_000)), Mono(50_000));
    }
}
