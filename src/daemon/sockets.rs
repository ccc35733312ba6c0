//! The open sockets by interface and family: what arrives as inputs, what goes out as results.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::task::{Context, Poll};

use nix::errno::Errno;

use super::claims::ClaimSocket;
use super::socket::{Arrival, Buffers, FrameSocket, Outgoing, Sender, VrrpSocket};
use crate::engine::Input;
use crate::model::{Family, InterfaceName, Mac, Vrid};
use crate::time::{Mono, Now, Wall};
use crate::vrrp::auth::Proof;

/// All sockets of the protocol.
#[derive(Debug)]
pub(crate) struct Sockets {
    open: BTreeMap<(InterfaceName, Family), Open>,
    /// Those that send through devices with virtual MAC addresses, each with its device's index.
    devices: BTreeMap<(InterfaceName, Family), (u32, Sender)>,
    watched: BTreeMap<(InterfaceName, Family), Watched>,
    frames: FrameSocket,
    buffers: Buffers,
    arrivals: Vec<Arrival>,
}

#[derive(Debug)]
struct Open {
    socket: VrrpSocket,
    /// When everything that had arrived was read: what is read next arrived later.
    emptied: Mono,
    /// The last error of reading (`errno(3)`), so that it is told once.
    error: Option<i32>,
}

#[derive(Debug)]
struct Watched {
    socket: ClaimSocket,
    addresses: Vec<IpAddr>,
    /// The last error of reading (`errno(3)`), so that it is told once.
    error: Option<i32>,
}

impl Sockets {
    /// None yet but the one for frames.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            open: BTreeMap::new(),
            devices: BTreeMap::new(),
            watched: BTreeMap::new(),
            frames: FrameSocket::open()?,
            buffers: Buffers::new(),
            arrivals: Vec::new(),
        })
    }

    /// Opens a VRRP socket instead of any other for the same interface and family.
    ///
    /// # Errors
    /// What the kernel says; then there is none.
    pub(crate) fn listen(
        &mut self,
        interface: &InterfaceName,
        (index, family): (u32, Family),
        (routers, groups): (&[Vrid], &[IpAddr]),
        now: Mono,
    ) -> io::Result<()> {
        self.close(interface, family);
        let socket = VrrpSocket::open(family, index, routers, groups)?;
        let open = Open { socket, emptied: now, error: None };
        self.open.insert((interface.clone(), family), open);
        Ok(())
    }

    /// Closes the VRRP socket, if there is one.
    pub(crate) fn close(&mut self, interface: &InterfaceName, family: Family) {
        self.open.remove(&(interface.clone(), family));
    }

    /// From now on hears who else claims one of the `addresses` on the interface of this index
    /// and Ethernet address, instead of the addresses before; with none of them, nobody.
    ///
    /// # Errors
    /// What the kernel says; then nobody is heard.
    pub(crate) fn watch(
        &mut self,
        interface: &InterfaceName,
        index: u32,
        own: Option<Mac>,
        addresses: &[IpAddr],
    ) -> io::Result<()> {
        self.stop_watching(interface);
        let (v4, v6) = by_family(addresses);
        if !v4.is_empty() {
            let socket = ClaimSocket::arp(index, own, &v4)?;
            self.add_watch(interface, Family::V4, socket, addresses);
        }
        if !v6.is_empty() {
            let socket = ClaimSocket::neighbours(index, own, &v6)?;
            self.add_watch(interface, Family::V6, socket, addresses);
        }
        Ok(())
    }

    fn add_watch(
        &mut self,
        interface: &InterfaceName,
        family: Family,
        socket: ClaimSocket,
        addresses: &[IpAddr],
    ) {
        let is_of_it = |address: &IpAddr| Family::of(*address) == family;
        let addresses = addresses.iter().copied().filter(is_of_it).collect();
        let watched = Watched { socket, addresses, error: None };
        self.watched.insert((interface.clone(), family), watched);
    }

    /// The addresses that are watched there.
    pub(crate) fn watched(&self, interface: &InterfaceName) -> Vec<IpAddr> {
        let there = self.watched.iter().filter(|((name, _), _)| name == interface);
        there.flat_map(|(_, watched)| &watched.addresses).copied().collect()
    }

    /// Hears no more who claims addresses there.
    pub(crate) fn stop_watching(&mut self, interface: &InterfaceName) {
        self.watched.retain(|(name, _), _| name != interface);
    }

    /// Reads every VRRP packet that has arrived by `now`, whatever the runtime knows of it
    /// (invariant 1), and then some of the claims. Returns also, for people, what went wrong.
    pub(crate) fn hear(&mut self, now: Now) -> (Vec<Input>, Vec<String>) {
        let (mut inputs, mut trouble) = (Vec::new(), Vec::new());
        for ((interface, family), open) in &mut self.open {
            let result = open.socket.drain(&mut self.buffers, &mut self.arrivals);
            let error = result.err().map(|error| error.raw_os_error().unwrap_or(0));
            if let Some(errno) = error.filter(|_| error != open.error) {
                let what = Errno::from_raw(errno).desc();
                trouble.push(format!("{interface}: reading {family} VRRP packets failed: {what}"));
            }
            open.error = error;
            let emptied = std::mem::replace(&mut open.emptied, now.mono);
            inputs.extend(self.arrivals.drain(..).map(|Arrival { at, packet }| {
                let arrived = at.map_or(now.mono, |at| on_our_clock(at, now, emptied));
                let proof = Proof::None;
                Input::Received { interface: interface.clone(), arrived, packet, proof }
            }));
        }
        for ((interface, family), watched) in &mut self.watched {
            let mut frames = Vec::new();
            let result = watched.socket.read(&mut frames);
            let error = result.err().map(|error| error.raw_os_error().unwrap_or(0));
            if let Some(errno) = error.filter(|_| error != watched.error) {
                let what = Errno::from_raw(errno).desc();
                trouble.push(format!("{interface}: reading {family} claims failed: {what}"));
            }
            watched.error = error;
            let claim = |frame| Input::Claim { interface: interface.clone(), frame };
            inputs.extend(frames.into_iter().map(claim));
        }
        (inputs, trouble)
    }

    /// Ready when something may have arrived.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let vrrp = self.open.values().map(|open| open.socket.readiness());
        let claims = self.watched.values().map(|watched| watched.socket.readiness());
        // Each of them has to be asked: that is what has it wake us.
        let ready =
            vrrp.chain(claims).filter(|readiness| readiness.poll(context).is_ready()).count();
        if ready > 0 { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Sends messages from one source through one interface; the results in their order.
    pub(crate) fn send(
        &self,
        interface: &InterfaceName,
        source: IpAddr,
        messages: &[Outgoing<'_>],
    ) -> Vec<io::Result<()>> {
        match self.open.get(&(interface.clone(), Family::of(source))) {
            Some(open) => open.socket.sender().send(source, messages),
            None => messages.iter().map(|_| Err(Errno::ENOTCONN.into())).collect(),
        }
    }

    /// Sends messages from one source, an address of another interface, through the device of this
    /// index; the results in their order.
    pub(crate) fn send_through(
        &mut self,
        device: &InterfaceName,
        index: Option<u32>,
        source: IpAddr,
        messages: &[Outgoing<'_>],
    ) -> Vec<io::Result<()>> {
        let result = index
            .ok_or(Errno::ENODEV.into())
            .and_then(|index| self.open_device((device.clone(), Family::of(source)), index));
        match result {
            Ok(sender) => sender.send(source, messages),
            Err(error) => {
                let again = || {
                    error.raw_os_error().map_or(error.kind().into(), io::Error::from_raw_os_error)
                };
                messages.iter().map(|_| Err(again())).collect()
            }
        }
    }

    fn open_device(&mut self, place: (InterfaceName, Family), index: u32) -> io::Result<&Sender> {
        let family = place.1;
        let slot = match self.devices.entry(place) {
            Entry::Occupied(slot) if slot.get().0 == index => slot.into_mut(),
            Entry::Occupied(mut slot) => {
                slot.insert((index, Sender::open(family, index)?));
                slot.into_mut()
            }
            Entry::Vacant(slot) => slot.insert((index, Sender::open(family, index)?)),
        };
        Ok(&slot.1)
    }

    /// Closes what sends through a device that is gone.
    pub(crate) fn forget_device(&mut self, device: &InterfaceName) {
        self.devices.retain(|(name, _), _| name != device);
    }

    /// Sends an Ethernet frame through the interface of this index.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn announce(&self, index: u32, frame: &[u8]) -> io::Result<()> {
        self.frames.send(index, frame)
    }
}

fn by_family(addresses: &[IpAddr]) -> (Vec<Ipv4Addr>, Vec<Ipv6Addr>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for address in addresses {
        match address {
            IpAddr::V4(address) => v4.push(*address),
            IpAddr::V6(address) => v6.push(*address),
        }
    }
    (v4, v6)
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
