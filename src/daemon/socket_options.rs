//! The options of VRRP sockets, and membership in multicast groups.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, setsockopt, sockopt};
use socket2::{Domain, InterfaceIndexOrAddress, Socket, Type};

use crate::model::Family;

/// The TTL and hop limit of what we send (RFC 9568 sections 5.1.1.3 and 5.1.2.3).
const TTL: u32 = 255;

/// DSCP CS6, network control (RFC 4594 section 3.1), as it stands in the IP header.
const TRAFFIC_CLASS: u32 = 0xc0;

/// The queueing priority of network control, `TC_PRIO_INTERACTIVE`: the highest one that needs no
/// further capability (`socket(7)`).
const PRIORITY: i32 = 6;

/// The receive buffer in bytes: room for more than a thousand packets while the loop is held up.
const RECEIVE_BUFFER: usize = 512 * 1024;

/// Between its creation and the filter a raw socket gets the packets of all interfaces.
pub(super) fn discard_waiting(socket: &Socket) -> io::Result<()> {
    loop {
        match nix::sys::socket::recv(socket.as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) fn set_sending_v4(socket: &Socket) -> io::Result<()> {
    socket.set_ttl_v4(TTL)?;
    socket.set_multicast_ttl_v4(TTL)?;
    socket.set_multicast_loop_v4(false)?;
    socket.set_tos_v4(TRAFFIC_CLASS)?;
    // After the traffic class, which sets the priority too.
    Ok(setsockopt(socket, sockopt::Priority, &PRIORITY)?)
}

pub(super) fn set_sending_v6(socket: &Socket, index: u32) -> io::Result<()> {
    socket.set_unicast_hops_v6(TTL)?;
    socket.set_multicast_hops_v6(TTL)?;
    socket.set_multicast_loop_v6(false)?;
    socket.set_multicast_if_v6(index)?;
    socket.set_tclass_v6(TRAFFIC_CLASS)?;
    Ok(setsockopt(socket, sockopt::Priority, &PRIORITY)?)
}

pub(super) fn set_receiving(socket: &Socket) -> io::Result<()> {
    if setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        // Only the initial user namespace may go beyond the administrator's limit.
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    }
    setsockopt(socket, sockopt::ReceiveTimestampns, &true)?;
    Ok(())
}

/// Has a socket hear the groups that other sockets have joined, after all other options: the first
/// packet already meets all of them. What was sent to whom and with which TTL stands in the IP
/// header, which a raw IPv4 socket passes along.
pub(super) fn hear_all_groups(socket: &Socket, family: Family) -> io::Result<()> {
    match family {
        Family::V4 => socket.set_multicast_all_v4(true),
        Family::V6 => {
            socket.set_recv_hoplimit_v6(true)?;
            setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            socket.set_multicast_all_v6(true)
        }
    }
}

/// The machine belongs to a multicast group on an interface as long as this is there. It receives
/// nothing.
#[derive(Debug)]
pub(crate) struct Membership(#[expect(dead_code, reason = "open is all that it is")] Socket);

impl Membership {
    /// Joins the group.
    ///
    /// # Errors
    /// What the kernel says, for example that there is no such interface, or no IPv6 on it (`ENODEV`).
    pub(crate) fn join(index: u32, group: IpAddr) -> io::Result<Self> {
        let domain = if group.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::DGRAM, None)?;
        match group {
            IpAddr::V4(group) => {
                socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index))?;
            }
            IpAddr::V6(group) => socket.join_multicast_v6(&group, index)?,
        }
        Ok(Self(socket))
    }
}
