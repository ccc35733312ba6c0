//! A tap at a switch that hears who answers for an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use nix::sys::socket::{SockaddrStorage, recvfrom};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::book::Book;
use super::kernel::{self, Ear, Source};

/// Every protocol (`packet(7)`).
const ETH_P_ALL: u16 = 0x0003;

/// The frames of a switch, each as it comes in at a port.
pub(super) struct Wire {
    socket: Socket,
    switch: String,
}

/// Listens at all ports of the namespace that this thread is in.
pub(super) fn watch(book: &Arc<Mutex<Book>>, switch: &str) -> Source {
    let all = Protocol::from(i32::from(ETH_P_ALL.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(all)).expect("a packet socket");
    socket.attach_filter(&answers_that_come_in()).expect("a filter");
    kernel::enlarge(&socket);
    kernel::add(book, Ear::Wire(Wire { socket, switch: switch.to_owned() }))
}

/// ARP and neighbour advertisements, but for what the switch sends (`bpf(4)` on the instructions).
fn answers_that_come_in() -> [SockFilter; 11] {
    const LOAD_HALF_WORD: u16 = 0x28;
    const LOAD_BYTE: u16 = 0x30;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    /// The kind of packet, which is no part of it (`SKF_AD_OFF + SKF_AD_PKTTYPE`), and the one that
    /// goes out.
    const KIND: u32 = 0xffff_f004;
    const OUTGOING: u32 = 4;
    let at = |code, offset| SockFilter::new(code, 0, 0, offset);
    [
        at(LOAD_BYTE, KIND),
        SockFilter::new(JUMP_IF_EQUAL, 8, 0, OUTGOING),
        at(LOAD_HALF_WORD, 12),
        SockFilter::new(JUMP_IF_EQUAL, 5, 0, 0x0806),
        SockFilter::new(JUMP_IF_EQUAL, 0, 5, 0x86dd),
        at(LOAD_BYTE, 20),
        SockFilter::new(JUMP_IF_EQUAL, 0, 3, 58),
        at(LOAD_BYTE, 54),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, 136),
        at(RETURN, u32::MAX),
        at(RETURN, 0),
    ]
}

impl Wire {
    pub(super) const fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(super) fn switch(&self) -> &str {
        &self.switch
    }

    /// Reads all that is there: when it was read, the port, and the address that somebody says to
    /// have.
    pub(super) fn read(&self, mut heard: impl FnMut(Instant, u32, IpAddr)) {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) =
            recvfrom::<SockaddrStorage>(self.socket.as_raw_fd(), &mut buffer)
        {
            let port = from.as_ref().and_then(SockaddrStorage::as_link_addr);
            let port = port.and_then(|link| u32::try_from(link.ifindex()).ok());
            if let (Some(port), Some(address)) = (port, claimed(&buffer[..length])) {
                heard(Instant::now(), port, address);
            }
        }
    }
}

/// The address that the sender of this frame says to have: an ARP packet's sender, or the target
/// of a neighbour advertisement.
fn claimed(frame: &[u8]) -> Option<IpAddr> {
    match frame.get(12..14)? {
        [0x08, 0x06] => {
            let sender: [u8; 4] = frame.get(28..32)?.try_into().ok()?;
            (sender != [0; 4]).then(|| Ipv4Addr::from(sender).into())
        }
        [0x86, 0xdd] if frame.get(20) == Some(&58) && frame.get(54) == Some(&136) => {
            let target: [u8; 16] = frame.get(62..78)?.try_into().ok()?;
            Some(Ipv6Addr::from(target).into())
        }
        _ => None,
    }
}
