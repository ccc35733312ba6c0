//! VRRP packets made by hand, right and wrong, independent of the codec that they test.

use std::net::{Ipv4Addr, SocketAddrV4};

use socket2::{Domain, Protocol, Socket, Type};

use crate::lab::{Host, VIP, VRID};

/// Where advertisements go.
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

/// VRRP's IP protocol number.
const VRRP: u8 = 112;

/// The length of an IPv4 header without options.
const HEADER: usize = 20;

/// A VRRPv3 advertisement with priority 254, and ways to spoil it.
#[derive(Clone, Debug)]
pub(crate) struct Forgery {
    /// What is wrong with it.
    pub(crate) defect: &'static str,
    time_to_live: u8,
    message: Vec<u8>,
    checksum_error: u16,
}

impl Forgery {
    /// An advertisement that is right in every respect, at this interval.
    pub(crate) fn valid(centiseconds: u16) -> Self {
        let [high, low] = centiseconds.to_be_bytes();
        let mut message = vec![0x31, VRID, 254, 1, high, low, 0, 0];
        message.extend(VIP.octets());
        Self { defect: "none", time_to_live: 255, message, checksum_error: 0 }
    }

    /// A right one with another priority, at 200 ms.
    pub(crate) fn valid_with_priority(priority: u8) -> Self {
        let mut other = Self::valid(20);
        other.message[2] = priority;
        other
    }

    /// One that says that its sender stops being active: priority 0.
    pub(crate) fn farewell() -> Self {
        let mut farewell = Self::valid(20);
        farewell.message[2] = 0;
        farewell
    }

    /// One of each kind of wrong advertisement.
    pub(crate) fn all_wrong(centiseconds: u16) -> Vec<Self> {
        let valid = Self::valid(centiseconds);
        let byte = |defect, place: usize, value| {
            let mut forgery = Self { defect, ..valid.clone() };
            forgery.message[place] = value;
            forgery
        };
        let cut = |defect, length: usize| {
            let message = valid.message[..length].to_vec();
            Self { defect, message, ..valid.clone() }
        };
        let mut longer = Self { defect: "trailing bytes", ..valid.clone() };
        longer.message.extend([0; 4]);
        let mut no_interval = Self { defect: "interval 0", ..valid.clone() };
        no_interval.message[4..6].fill(0);
        vec![
            Self { defect: "TTL 254", time_to_live: 254, ..valid.clone() },
            Self { defect: "checksum", checksum_error: 1, ..valid.clone() },
            byte("another version", 0, 0x41),
            byte("VRRPv2 in a VRRPv3 group", 0, 0x21),
            byte("another type", 0, 0x32),
            byte("another virtual router", 1, VRID + 1),
            byte("no addresses", 3, 0),
            byte("more addresses than bytes", 3, 9),
            cut("cut in the addresses", 10),
            cut("cut in the header", 5),
            longer,
            no_interval,
        ]
    }

    /// Sends it from `host`, with the host's own address as source.
    pub(crate) fn send(&self, host: &Host) {
        send_packet(host, &self.packet(host.address()));
    }

    /// The IPv4 packet; the kernel fills in the header's checksum and total length.
    fn packet(&self, source: Ipv4Addr) -> Vec<u8> {
        let mut packet = vec![0; HEADER];
        packet[0] = 0x45;
        packet[1] = 0xc0;
        packet[8] = self.time_to_live;
        packet[9] = VRRP;
        packet[12..16].copy_from_slice(&source.octets());
        packet[16..20].copy_from_slice(&GROUP.octets());
        packet.extend(self.message(source));
        packet
    }

    /// The VRRP message with its checksum.
    pub(crate) fn message(&self, source: Ipv4Addr) -> Vec<u8> {
        let mut message = self.message.clone();
        let length = u16::try_from(self.message.len()).expect("a short message");
        let mut summed = [source.octets(), GROUP.octets()].concat();
        summed.extend([0, VRRP]);
        summed.extend(length.to_be_bytes());
        summed.extend(&self.message);
        let checksum = checksum(&summed) ^ self.checksum_error;
        if let Some(place) = message.get_mut(6..8) {
            place.copy_from_slice(&checksum.to_be_bytes());
        }
        message
    }
}

/// Sends an IPv4 packet to the group, whatever source it names.
pub(crate) fn send_packet(host: &Host, packet: &[u8]) {
    let raw = Protocol::from(i32::from(VRRP));
    let socket = host.inside(|| Socket::new(Domain::IPV4, Type::RAW, Some(raw)));
    let socket = socket.expect("a raw socket");
    socket.set_header_included_v4(true).expect("headers of our own");
    socket.set_multicast_if_v4(&host.address()).expect("the way out");
    socket.send_to(packet, &SocketAddrV4::new(GROUP, 0).into()).expect("a packet sent");
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| [pair[0], pair.get(1).copied().unwrap_or(0)]);
    let sum: u32 = words.map(|pair| u32::from(u16::from_be_bytes(pair))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).expect("folded twice")
}
