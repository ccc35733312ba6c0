//! The floor: a program that only sends the same packets and renews the same addresses, or only
//! receives the packets. No router can cost less on this kernel.

use std::io::{IoSlice, IoSliceMut, Read as _, Write as _};
use std::net::SocketAddrV4;
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, MsgFlags, MultiHeaders, NetlinkAddr, SockaddrIn, bind, recvmmsg, sendmmsg,
};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use crate::packets::{GROUP, VRRP, advertisement, renewals};
use crate::stage;
use crate::workload::{Workload, interface_name};

/// Routers that are due within this time share a slot.
const SLOT: Duration = Duration::from_millis(10);

/// The most packets of one interface in a slot: a default receive buffer holds 256.
const MOST: usize = 100;

/// The pause between two looks at the receiving sockets.
const DRAIN: Duration = Duration::from_millis(5);

/// Renewals in the time of a lease, as vipd has them.
const RENEWALS: u32 = 4;

/// Room for an advertisement with its IP header.
const ROOM: usize = 64;

/// A half of the floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Sends and renews.
    Active,
    /// Receives.
    Backup,
}

/// Plays the role in the network namespace of this process until it is killed.
pub(crate) fn run(role: Role, workload: &Workload) -> ! {
    match role {
        Role::Active => send(*workload),
        Role::Backup => receive(*workload),
    }
}

/// An interface with its packets, in the order of their slots.
struct Sender {
    socket: Socket,
    packets: Vec<Vec<u8>>,
    slots: Vec<Range<usize>>,
}

impl Sender {
    fn new(workload: Workload, interface: usize) -> Self {
        let socket = socket(interface);
        let own = stage::own_address(interface, stage::ACTIVE);
        socket.bind(&SocketAddrV4::new(own, 0).into()).expect("the node's address");
        socket.set_multicast_if_v4(&own).expect("the interface of the group");
        socket.set_multicast_loop_v4(false).expect("no loop");
        socket.set_multicast_ttl_v4(255).expect("a TTL");
        let packets: Vec<Vec<u8>> =
            workload.on(interface).map(|router| advertisement(router, workload)).collect();
        let slots = slots(packets.len(), workload.interval);
        Self { socket, packets, slots }
    }
}

/// The routers of each slot of an interval, spread evenly.
fn slots(routers: usize, interval: Duration) -> Vec<Range<usize>> {
    let count = usize::try_from(interval.as_millis() / SLOT.as_millis()).expect("few slots");
    let slots: Vec<Range<usize>> =
        (0..count).map(|slot| routers * slot / count..routers * (slot + 1) / count).collect();
    assert!(slots.iter().all(|slot| slot.len() <= MOST), "too many routers for one interface");
    slots
}

fn send(workload: Workload) -> ! {
    let renewals = renewals(workload);
    let mut netlink = netlink();
    let senders: Vec<Sender> =
        (0..workload.interfaces).map(|interface| Sender::new(workload, interface)).collect();
    let slices: Vec<Vec<[IoSlice<'_>; 1]>> = senders
        .iter()
        .map(|sender| sender.packets.iter().map(|packet| [IoSlice::new(packet)]).collect())
        .collect();
    let to = vec![Some(SockaddrIn::from(SocketAddrV4::new(GROUP, 0))); MOST];
    let mut headers = MultiHeaders::preallocate(MOST, None);
    let count = senders[0].slots.len();
    let start = Instant::now();
    let (mut next_slot, mut next_renewal) = (start, start);
    for slot in (0..count).cycle() {
        if next_slot >= next_renewal {
            renew(&mut netlink, &renewals);
            next_renewal += workload.lease() / RENEWALS;
        }
        for (sender, slices) in senders.iter().zip(&slices) {
            let slices = &slices[sender.slots[slot].clone()];
            if !slices.is_empty() {
                let (socket, flags) = (sender.socket.as_raw_fd(), MsgFlags::empty());
                sendmmsg(socket, &mut headers, slices, &to, [], flags).expect("packets are sent");
            }
        }
        next_slot += SLOT;
        sleep(next_slot.saturating_duration_since(Instant::now()));
    }
    unreachable!("the slots never end")
}

fn netlink() -> Socket {
    let netlink = Domain::from(AddressFamily::Netlink as i32);
    let socket = Socket::new(netlink, Type::RAW, None).expect("a netlink socket");
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).expect("an address of its own");
    socket.set_nonblocking(true).expect("a socket that does not wait");
    socket
}

/// The kernel answers only where it has refused something.
fn renew(netlink: &mut Socket, renewals: &[Vec<u8>]) {
    for messages in renewals {
        netlink.write_all(messages).expect("renewals are sent");
    }
    let refused = netlink.read(&mut [0; 256]);
    assert!(refused.is_err(), "the kernel has refused an address");
}

fn receive(workload: Workload) -> ! {
    let sockets: Vec<Socket> = (0..workload.interfaces).map(member).collect();
    let mut room = vec![[0; ROOM]; MOST];
    let mut headers: MultiHeaders<SockaddrIn> = MultiHeaders::preallocate(MOST, None);
    loop {
        for socket in &sockets {
            let (socket, flags) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
            let mut received = MOST;
            while received == MOST {
                let mut slices: Vec<_> =
                    room.iter_mut().map(|packet| [IoSliceMut::new(packet)]).collect();
                let packets = recvmmsg(socket, &mut headers, &mut slices, flags, None);
                received = packets.map_or(0, Iterator::count);
            }
        }
        sleep(DRAIN);
    }
}

fn member(interface: usize) -> Socket {
    let socket = socket(interface);
    let index = if_nametoindex(interface_name(interface).as_str()).expect("the interface");
    let index = InterfaceIndexOrAddress::Index(index);
    socket.join_multicast_v4_n(&GROUP, &index).expect("membership in the group");
    socket
}

fn socket(interface: usize) -> Socket {
    let protocol = Some(Protocol::from(VRRP));
    let socket = Socket::new(Domain::IPV4, Type::RAW, protocol).expect("a raw socket");
    let name = interface_name(interface);
    socket.bind_device(Some(name.as_bytes())).expect("an interface of that name");
    socket
}
