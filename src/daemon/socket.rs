//! The kernel's sockets: VRRP, raw Ethernet frames, and waiting for them. The only `unsafe`, so
//! that also one call stands here that has nothing to do with sockets, the scheduler's.
#![expect(unsafe_code, reason = "these calls have no safe form; each says why it is sound")]

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::task::{Context, Poll, Waker};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, LinkAddr, MsgFlags, MultiHeaders, RecvMsg, SockaddrIn6,
    SockaddrLike, SockaddrStorage, recvmmsg, sendmmsg,
};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::filter;
use super::kernel_time::nanoseconds;
use super::socket_options::{
    discard_waiting, hear_all_groups, set_receiving, set_sending_v4, set_sending_v6,
};
use crate::engine::Packet;
use crate::model::{Family, Vrid};
use crate::time::Wall;

/// The number of VRRP in an IP header (RFC 9568 section 5.1.1.4).
const VRRP: i32 = 112;

/// Less than what a waiting packet takes of the receive buffer, in bytes: the kernel counts its
/// own structures too.
const LEAST_FOOTPRINT: usize = 512;

/// The number of packets that one system call reads.
const AT_ONCE: usize = 16;

/// The number of messages that one system call sends.
const SENT_AT_ONCE: usize = 64;

/// The longest packet that is read whole: 255 IPv6 addresses and an IPv4 header fit. Of a longer
/// one the rest is cut off, and its length does not fit its content.
const LONGEST: usize = 4608;

/// The length of an Ethernet header: two addresses and a type.
const ETHERNET_HEADER: usize = 14;

/// A descriptor whose readiness the loop can wait for.
#[derive(Debug)]
pub(crate) struct Readiness(AsyncFd<OwnedFd>);

impl Readiness {
    /// Watches `file`, within a tokio runtime.
    ///
    /// # Errors
    /// When there are too many descriptors.
    pub(crate) fn of(file: &impl AsFd) -> io::Result<Self> {
        let own = file.as_fd().try_clone_to_owned()?;
        // SAFETY: an `OwnedFd` owns an open descriptor, always the same one, until it is dropped,
        // and only the `AsyncFd` has it.
        Ok(Self(unsafe { AsyncFd::register_with_interest(own, Interest::READABLE) }?))
    }

    /// Whether there may be something to read; if not, `context` is woken when there is. Stays
    /// ready until [`clear`](Self::clear).
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        self.0.poll_read_ready(context).map(drop)
    }

    /// Everything has been read. To be called with nothing awaited since the last read said so:
    /// readiness that the runtime has not noticed yet is not forgotten.
    pub(crate) fn clear(&self) {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(Ok(mut guard)) = self.0.poll_read_ready(&mut context) {
            guard.clear_ready();
        }
    }
}

/// A packet from a VRRP socket.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// When the kernel received it, if it said so.
    pub(crate) at: Option<Wall>,
    pub(crate) packet: Packet,
}

/// A message to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) destination: IpAddr,
    pub(crate) message: &'a [u8],
}

/// Sends VRRP messages on one interface, in one address family, without hearing any.
#[derive(Debug)]
pub(crate) struct Sender {
    socket: Socket,
    index: u32,
}

/// Speaks VRRP on one interface, in one address family.
#[derive(Debug)]
pub(crate) struct VrrpSocket {
    sender: Sender,
    family: Family,
    /// More packets than can wait in its buffer.
    capacity: usize,
}

impl Sender {
    /// Opens the socket on the interface of this index. It sends from addresses of other
    /// interfaces, too.
    ///
    /// # Errors
    /// What the kernel says, for example that there is no such interface.
    pub(crate) fn open(family: Family, index: u32) -> io::Result<Self> {
        let sender = Self::with_filter(family, index, &[])?;
        if family == Family::V6 {
            // Of IPv6 a link-local source must be the interface's own otherwise.
            sender.socket.set_freebind_v6(true)?;
        }
        Ok(sender)
    }

    /// One whose socket lets in what is for these virtual routers, once it belongs to the group.
    fn with_filter(family: Family, index: u32, routers: &[Vrid]) -> io::Result<Self> {
        let domain = match family {
            Family::V4 => Domain::IPV4,
            Family::V6 => Domain::IPV6,
        };
        let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(VRRP)))?;
        socket.set_nonblocking(true)?;
        let interface = Some(NonZeroU32::new(index).ok_or(Errno::ENODEV)?);
        match family {
            Family::V4 => socket.bind_device_by_index_v4(interface)?,
            Family::V6 => socket.bind_device_by_index_v6(interface)?,
        }
        socket.attach_filter(&filter::vrrp(family, routers))?;
        discard_waiting(&socket)?;
        match family {
            Family::V4 => set_sending_v4(&socket)?,
            Family::V6 => set_sending_v6(&socket, index)?,
        }
        Ok(Self { socket, index })
    }

    /// Sends messages from one source address. The result says of each what came of it.
    pub(crate) fn send(&self, source: IpAddr, batch: &[Outgoing<'_>]) -> Vec<io::Result<()>> {
        in_parts(batch, |some| self.send_some(source, some))
    }

    fn send_some(&self, source: IpAddr, batch: &[Outgoing<'_>]) -> nix::Result<usize> {
        let slices: Vec<_> = batch.iter().map(|item| [IoSlice::new(item.message)]).collect();
        let addresses: Vec<_> =
            batch.iter().map(|item| Some(self.socket_address(item.destination))).collect();
        let fd = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        let (info4, info6);
        let (space, info) = match source {
            IpAddr::V4(source) => {
                info4 = libc::in_pktinfo {
                    ipi_ifindex: self.index.cast_signed(),
                    ipi_spec_dst: libc::in_addr { s_addr: u32::from(source).to_be() },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                (nix::cmsg_space!(libc::in_pktinfo), [ControlMessage::Ipv4PacketInfo(&info4)])
            }
            IpAddr::V6(source) => {
                info6 = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr { s6_addr: source.octets() },
                    ipi6_ifindex: self.index,
                };
                (nix::cmsg_space!(libc::in6_pktinfo), [ControlMessage::Ipv6PacketInfo(&info6)])
            }
        };
        let mut headers = MultiHeaders::preallocate(batch.len(), Some(space));
        let sent = sendmmsg(fd, &mut headers, slices.iter(), addresses, info, flags)?;
        Ok(sent.count())
    }

    fn socket_address(&self, destination: IpAddr) -> SockaddrStorage {
        SockaddrStorage::from(match destination {
            IpAddr::V4(address) => SocketAddr::V4(SocketAddrV4::new(address, 0)),
            IpAddr::V6(address) => SocketAddr::V6(SocketAddrV6::new(address, 0, 0, self.index)),
        })
    }
}

impl VrrpSocket {
    /// Opens the socket on the interface of this index, for these virtual routers. It hears what is
    /// sent to this machine alone and to every group that the machine belongs to there, by
    /// whichever [`Membership`](super::socket_options::Membership).
    ///
    /// # Errors
    /// What the kernel says, for example that there is no such interface.
    pub(crate) fn open(family: Family, index: u32, routers: &[Vrid]) -> io::Result<Self> {
        let sender = Sender::with_filter(family, index, routers)?;
        let socket = &sender.socket;
        set_receiving(socket)?;
        hear_all_groups(socket, family)?;
        let capacity = socket.recv_buffer_size()? / LEAST_FOOTPRINT;
        Ok(Self { sender, family, capacity })
    }

    /// From now on hears these virtual routers and no others. What has arrived before still comes.
    ///
    /// # Errors
    /// What the kernel says; then it hears the same as before.
    pub(crate) fn hear(&self, routers: &[Vrid]) -> io::Result<()> {
        self.sender.socket.attach_filter(&filter::vrrp(self.family, routers))
    }

    /// What sends through it.
    pub(crate) fn sender(&self) -> &Sender {
        &self.sender
    }

    /// Reads all that waits now, that is, until nothing waits or more has been read than could
    /// have waited at the beginning: a flood does not keep the loop here.
    ///
    /// # Errors
    /// What the kernel says; the packets that were read before are in `arrivals`.
    pub(crate) fn drain(
        &self,
        buffers: &mut Buffers,
        arrivals: &mut Vec<Arrival>,
    ) -> io::Result<()> {
        let end = arrivals.len() + self.capacity;
        while arrivals.len() < end {
            let count = match self.receive(buffers, arrivals) {
                Ok(count) => count,
                Err(Errno::EAGAIN) => 0,
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            if count < AT_ONCE {
                break;
            }
        }
        Ok(())
    }

    fn receive(&self, buffers: &mut Buffers, arrivals: &mut Vec<Arrival>) -> nix::Result<usize> {
        let Buffers { bytes, v4, v6 } = buffers;
        let fd = self.sender.socket.as_raw_fd();
        match self.family {
            Family::V4 => receive(fd, bytes, v4, arrivals, arrival_v4),
            Family::V6 => receive(fd, bytes, v6, arrivals, arrival_v6),
        }
    }
}

/// Reads as many packets as one system call does, and returns their number.
fn receive<S: SockaddrLike + Copy>(
    fd: RawFd,
    bytes: &mut [u8],
    headers: &mut Headers<S>,
    arrivals: &mut Vec<Arrival>,
    arrival: fn(&RecvMsg<'_, '_, S>) -> Arrival,
) -> nix::Result<usize> {
    let mut chunks = bytes.chunks_exact_mut(LONGEST);
    let mut slices: [[IoSliceMut<'_>; 1]; AT_ONCE] =
        std::array::from_fn(|_| [IoSliceMut::new(chunks.next().unwrap_or_default())]);
    let mut fresh = headers.unused.take().unwrap_or_else(headers.make);
    match recvmmsg(fd, &mut fresh, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None) {
        Ok(received) => {
            let before = arrivals.len();
            arrivals.extend(received.map(|message| arrival(&message)));
            Ok(arrivals.len() - before)
        }
        Err(error) => {
            headers.unused = Some(fresh);
            Err(error)
        }
    }
}

impl AsFd for VrrpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.sender.socket.as_fd()
    }
}

/// What packets are read into.
#[derive(Debug)]
pub(crate) struct Buffers {
    bytes: Vec<u8>,
    v4: Headers<()>,
    v6: Headers<SockaddrIn6>,
}

/// The kernel writes lengths into message headers, so those that were used cannot be used again.
#[derive(Debug)]
struct Headers<S> {
    unused: Option<MultiHeaders<S>>,
    make: fn() -> MultiHeaders<S>,
}

impl Buffers {
    /// Room for one system call.
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; LONGEST * AT_ONCE],
            v4: Headers { unused: None, make: headers_v4 },
            v6: Headers { unused: None, make: headers_v6 },
        }
    }
}

/// The source stands in the packet. None of the parts has more than 1,032 bytes: an allocation of
/// more than that has glibc merge all small pieces that are free (`malloc_consolidate`).
fn headers_v4() -> MultiHeaders<()> {
    MultiHeaders::preallocate(AT_ONCE, Some(nix::cmsg_space!(TimeSpec)))
}

fn headers_v6() -> MultiHeaders<SockaddrIn6> {
    let ancillary = nix::cmsg_space!(TimeSpec, libc::in6_pktinfo, libc::c_int);
    MultiHeaders::preallocate(AT_ONCE, Some(ancillary))
}

fn arrival_v4(message: &RecvMsg<'_, '_, ()>) -> Arrival {
    let time = |ancillary| match ancillary {
        ControlMessageOwned::ScmTimestampns(time) => Some(Wall(nanoseconds(time))),
        _ => None,
    };
    let at = message.cmsgs().into_iter().flatten().find_map(time);
    Arrival { at, packet: Packet::V4 { bytes: content(message) } }
}

fn arrival_v6(message: &RecvMsg<'_, '_, SockaddrIn6>) -> Arrival {
    let mut at = None;
    let mut destination = Ipv6Addr::UNSPECIFIED;
    let mut hop_limit = 0;
    for ancillary in message.cmsgs().into_iter().flatten() {
        match ancillary {
            ControlMessageOwned::ScmTimestampns(time) => at = Some(Wall(nanoseconds(time))),
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                destination = Ipv6Addr::from(info.ipi6_addr.s6_addr);
            }
            ControlMessageOwned::Ipv6HopLimit(limit) => {
                hop_limit = u8::try_from(limit).unwrap_or(0);
            }
            _ => {}
        }
    }
    let source = message.address.map_or(Ipv6Addr::UNSPECIFIED, |from| from.ip()).into();
    let destination = destination.into();
    let packet = Packet::V6 { source, destination, hop_limit, bytes: content(message) };
    Arrival { at, packet }
}

fn content<S>(message: &RecvMsg<'_, '_, S>) -> Vec<u8> {
    message.iovs().next().unwrap_or_default().to_vec()
}

/// Sends whole Ethernet frames, through any interface. Receives nothing.
#[derive(Debug)]
pub(crate) struct FrameSocket(Socket);

impl FrameSocket {
    /// Opens it.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn open() -> io::Result<Self> {
        // Protocol 0: no frame matches (packet(7)).
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// Sends a frame through the interface of this index.
    ///
    /// # Errors
    /// What the kernel says, or that the frame has no Ethernet header.
    pub(crate) fn send(&self, index: u32, bytes: &[u8]) -> io::Result<()> {
        let address = Frame { index, bytes }.address().ok_or(Errno::EMSGSIZE)?;
        self.0.send_to(bytes, &address).map(drop)
    }

    /// Sends frames. The result says of each what came of it.
    pub(crate) fn send_all(&self, frames: &[Frame<'_>]) -> Vec<io::Result<()>> {
        in_parts(frames, |some| self.send_some(some))
    }

    fn send_some(&self, frames: &[Frame<'_>]) -> nix::Result<usize> {
        let slices: Vec<_> = frames.iter().map(|frame| [IoSlice::new(frame.bytes)]).collect();
        let addresses: Vec<Option<LinkAddr>> = frames.iter().map(Frame::link_address).collect();
        // Without an address the kernel would take the socket's own, which it lacks.
        let some = addresses.iter().take_while(|address| address.is_some()).count();
        if some == 0 {
            return Err(Errno::EMSGSIZE);
        }
        let mut headers = MultiHeaders::preallocate(some, None);
        let (fd, flags) = (self.0.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        let none: [ControlMessage<'_>; 0] = [];
        let sent = sendmmsg(fd, &mut headers, slices.iter().take(some), addresses, none, flags)?;
        Ok(sent.count())
    }
}

/// Has all of these sent, some at a time. The result says of each what came of it.
fn in_parts<T>(all: &[T], mut send: impl FnMut(&[T]) -> nix::Result<usize>) -> Vec<io::Result<()>> {
    let mut results = Vec::with_capacity(all.len());
    while let Some(rest) = all.get(results.len()..).filter(|rest| !rest.is_empty()) {
        match send(rest.get(..SENT_AT_ONCE).unwrap_or(rest)) {
            Ok(count) => results.extend((0..count).map(|_| Ok(()))),
            Err(Errno::EINTR) => {}
            // The kernel names the error of the first one that it did not send.
            Err(error) => results.push(Err(error.into())),
        }
    }
    results
}

/// An Ethernet frame to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    /// The interface.
    pub(crate) index: u32,
    /// From the destination's Ethernet address on.
    pub(crate) bytes: &'a [u8],
}

impl Frame<'_> {
    /// The way by which it leaves; `None` where it has no Ethernet header.
    fn address(&self) -> Option<SockAddr> {
        let &[.., high, low] = self.bytes.first_chunk::<ETHERNET_HEADER>()?;
        Some(link_layer_address(self.index, u16::from_be_bytes([high, low])))
    }

    fn link_address(&self) -> Option<LinkAddr> {
        let address = self.address()?;
        // SAFETY: the pointer is to a socket address of the length that stands beside it, which
        // lives until the call is over; the call copies it.
        unsafe { LinkAddr::from_raw(address.as_ptr().cast(), Some(address.len())) }
    }
}

/// The address of an interface for frames of a protocol (`packet(7)`).
#[expect(clippy::cast_possible_truncation, reason = "the family is 17, the length is 20")]
pub(crate) fn link_layer_address(index: u32, protocol: u16) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: `sockaddr_ll` is one of the platform's socket address types.
    let address: &mut libc::sockaddr_ll = unsafe { storage.view_as() };
    address.sll_family = libc::AF_PACKET as libc::sa_family_t;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = index.cast_signed();
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the family says `sockaddr_ll`, whose fields are set above or zero, which is valid
    // for each of them, and the length is that of the type.
    unsafe { SockAddr::new(storage, length) }
}

/// Has the kernel run the calling thread round-robin at this real-time priority
/// (`sched_setscheduler(2)`, `sched(7)`), and neither the threads nor the programs that it starts.
///
/// # Errors
/// What the kernel says, `EPERM` without the permission.
pub(crate) fn schedule_round_robin(priority: i32) -> nix::Result<()> {
    let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: the kernel only reads `parameters`, which lives until the call is over. Zero is the
    // calling thread.
    Errno::result(unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) }).map(drop)
}
