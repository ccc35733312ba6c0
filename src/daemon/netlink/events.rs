//! The kernel's news of interfaces and addresses.

use std::future::poll_fn;
use std::io;

use netlink_packet_core::NetlinkPayload;
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::SockRef;

use super::message;
use super::table::Notice;
use crate::daemon::filter;
use crate::daemon::socket::Readiness;

/// The kernel's buffer for events in bytes: thousands of address changes.
const BUFFER: usize = 4 << 20;

/// Room for the longest event.
const EVENT: usize = 64 * 1024;

/// The subscriptions: links, IPv4 addresses, IPv6 addresses.
const GROUPS: [libc::c_uint; 3] =
    [libc::RTNLGRP_LINK, libc::RTNLGRP_IPV4_IFADDR, libc::RTNLGRP_IPV6_IFADDR];

/// The subscription.
#[derive(Debug)]
pub(super) struct Events {
    socket: Socket,
    readiness: Readiness,
    buffer: Vec<u8>,
}

impl Events {
    /// Subscribes to what happens to interfaces and addresses; within a tokio runtime. That an
    /// address is there which the socket of this port has asked for is left out: the kernel tells
    /// of each renewal. It does so without the port for IPv6; those events come all the same.
    ///
    /// # Errors
    /// The kernel's error.
    pub(super) fn subscribe(port_of_renewals: u32) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_non_blocking(true)?;
        if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).is_err() {
            // Only the initial user namespace may go beyond the administrator's limit.
            setsockopt(&socket, sockopt::RcvBuf, &BUFFER)?;
        }
        SockRef::from(&socket).attach_filter(&filter::without_renewals(port_of_renewals))?;
        socket.bind_auto()?;
        for group in GROUPS {
            socket.add_membership(group)?;
        }
        let readiness = Readiness::of(&socket)?;
        Ok(Self { socket, readiness, buffer: Vec::with_capacity(EVENT) })
    }

    /// Returns when there may be events.
    pub(super) async fn come(&self) {
        poll_fn(|context| self.readiness.poll(context)).await;
    }

    /// Hands over the events that wait, at most so many.
    ///
    /// # Errors
    /// The reason for the loss of some, in words.
    pub(super) fn read(
        &mut self,
        most: usize,
        mut take: impl FnMut(Notice),
    ) -> Result<(), &'static str> {
        for _ in 0..most {
            self.buffer.clear();
            let error = match self.socket.recv(&mut self.buffer, 0) {
                Ok(_) => {
                    for event in message::all(&self.buffer) {
                        if let NetlinkPayload::InnerMessage(inner) = event.payload {
                            message::change(inner).into_iter().for_each(&mut take);
                        }
                    }
                    continue;
                }
                Err(error) => error.raw_os_error().map_or(Errno::EIO, Errno::from_raw),
            };
            match error {
                Errno::EINTR => {}
                Errno::EAGAIN => {
                    self.readiness.clear();
                    break;
                }
                Errno::ENOBUFS => {
                    return Err("more interface events than could be read; read everything anew");
                }
                _ => return Err("the kernel's events stopped coming; subscribed again"),
            }
        }
        Ok(())
    }
}
