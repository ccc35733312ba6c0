//! Ethernet frames made by hand: what no socket of the kernel's IP would send.

use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, bind, send, socket,
};

use crate::lab::Host;

/// The Ethernet address that all of these come from.
pub(crate) const SOURCE: [u8; 6] = [2, 0, 0, 0, 0, 0x66];

/// VRRP's IP protocol number.
const VRRP: u8 = 112;

/// A way onto the segment, through a host's eth0.
pub(crate) struct Raw(OwnedFd);

impl Raw {
    /// Opens it.
    pub(crate) fn open(host: &Host) -> Self {
        host.inside(|| {
            // Protocol 0: it receives nothing (packet(7)).
            let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::empty(), None);
            let socket = socket.expect("a packet socket");
            let all = getifaddrs().expect("the interfaces");
            let of_eth0 = all.filter(|one| one.interface_name == "eth0");
            let addresses: Vec<SockaddrStorage> = of_eth0.filter_map(|one| one.address).collect();
            let link = addresses.iter().find_map(SockaddrStorage::as_link_addr);
            bind(socket.as_raw_fd(), link.expect("its own address")).expect("bound to it");
            Self(socket)
        })
    }

    /// Sends a frame; whether the interface had room for it.
    pub(crate) fn send(&self, frame: &[u8]) -> bool {
        send(self.0.as_raw_fd(), frame, MsgFlags::MSG_DONTWAIT).is_ok()
    }
}

/// An IP packet of VRRP to the group, in a frame.
pub(crate) fn frame(source: IpAddr, time_to_live: u8, message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("a short message");
    let mut frame = match source {
        IpAddr::V4(_) => vec![1, 0, 0x5e, 0, 0, 0x12],
        IpAddr::V6(_) => vec![0x33, 0x33, 0, 0, 0, 0x12],
    };
    frame.extend(SOURCE);
    match source {
        IpAddr::V4(source) => {
            frame.extend([8, 0]);
            let mut header = vec![0x45, 0xc0];
            header.extend((length + 20).to_be_bytes());
            header.extend([0, 0, 0, 0, time_to_live, VRRP, 0, 0]);
            header.extend(source.octets());
            header.extend([224, 0, 0, 18]);
            let sum = checksum(&header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            frame.extend(header);
        }
        IpAddr::V6(source) => {
            frame.extend([0x86, 0xdd, 0x6c, 0, 0, 0]);
            frame.extend(length.to_be_bytes());
            frame.extend([VRRP, time_to_live]);
            frame.extend(source.octets());
            frame.extend(group_v6());
        }
    }
    frame.extend(message);
    frame
}

/// A message of version 3 with the checksum that its family wants.
pub(crate) fn summed(source: IpAddr, message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("a short message").to_be_bytes();
    let pseudo = match source {
        IpAddr::V4(source) => [&source.octets()[..], &[224, 0, 0, 18, 0, VRRP], &length].concat(),
        IpAddr::V6(source) => {
            [&source.octets()[..], &group_v6(), &[0, 0], &length, &[0, 0, 0, VRRP]].concat()
        }
    };
    let mut message = message.to_vec();
    if let Some(place) = message.get_mut(6..8) {
        place.fill(0);
        let sum = checksum(&[&pseudo[..], &message].concat());
        message[6..8].copy_from_slice(&sum.to_be_bytes());
    }
    message
}

fn group_v6() -> [u8; 16] {
    [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12]
}

/// The Internet checksum (RFC 1071).
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| [pair[0], pair.get(1).copied().unwrap_or(0)]);
    let sum: u32 = words.map(|pair| u32::from(u16::from_be_bytes(pair))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).expect("folded twice")
}
