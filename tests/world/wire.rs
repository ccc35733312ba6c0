//! The segments: who hears whom, and what a packet on them looks like.

use std::net::IpAddr;

use vipd::engine::Packet;
use vipd::model::Family;
use vipd::time::Span;

use super::{Happening, World};

impl World {
    /// True if the two hear each other, except for frames that are lost by chance. If they hear
    /// each other on one segment, but on another one in one direction only, they do not count as
    /// connected.
    pub(crate) fn connected(&self, first: usize, second: usize) -> bool {
        let one_way = |(_, from, to): &(usize, usize, usize)| {
            (*from, *to) == (first, second) || (*from, *to) == (second, first)
        };
        let mut segments = 0..self.setup.segments.len();
        segments.any(|segment| self.meet(segment, first, second))
            && !self.one_way.iter().any(one_way)
    }

    /// True if the two hear each other on this segment.
    pub(crate) fn meet(&self, segment: usize, first: usize, second: usize) -> bool {
        self.reaches(segment, first, second) && self.reaches(segment, second, first)
    }

    /// True if frames of `from` arrive at `to`.
    fn reaches(&self, segment: usize, from: usize, to: usize) -> bool {
        let side = |node: usize| self.partitions[segment].map(|side| side >> node & 1);
        let is_up = |node: usize| {
            let port = self.nodes[node].ports[segment];
            port.carrier && port.exists
        };
        !self.one_way.contains(&(segment, from, to))
            && side(from) == side(to)
            && is_up(from)
            && is_up(to)
    }

    /// Puts a packet on a segment: for everybody, or for the node whose address it names.
    pub(super) fn transmit(&mut self, from: usize, segment: usize, packet: &[u8]) {
        let destination = destination(packet);
        for to in 0..self.nodes.len() {
            let mut own = self.setup.links[to][segment].addresses.iter();
            let is_meant = destination.is_multicast() || own.any(|own| own.address == destination);
            if to == from
                || !is_meant
                || !self.reaches(segment, from, to)
                || self.rng.u8(..100) < self.loss
            {
                continue;
            }
            // Different delays reorder frames by themselves.
            let copies = if self.rng.u8(..50) == 0 { 2 } else { 1 };
            for _ in 0..copies {
                let delay = Span::from_nanos(self.rng.u64(..=self.setup.delay.nanos()));
                let packet = packet.to_vec();
                self.schedule(self.now + delay, Happening::Arrive { node: to, segment, packet });
            }
        }
    }
}

/// Returns the family of a packet.
pub(super) fn family(packet: &[u8]) -> Family {
    if packet[0] >> 4 == 4 { Family::V4 } else { Family::V6 }
}

/// Returns the message in a packet.
pub(super) fn message(packet: &[u8]) -> &[u8] {
    &packet[if packet[0] >> 4 == 4 { 20 } else { 40 }..]
}

/// Returns the destination of a packet.
fn destination(packet: &[u8]) -> IpAddr {
    if packet[0] >> 4 == 4 {
        return <[u8; 4]>::try_from(&packet[16..20]).expect("an address").into();
    }
    <[u8; 16]>::try_from(&packet[24..40]).expect("an address").into()
}

/// Builds an IP packet as it is on the wire.
pub(super) fn packet(source: IpAddr, destination: IpAddr, message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("short");
    let mut packet = Vec::new();
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            packet.extend([0x45, 0xc0]);
            packet.extend((20 + length).to_be_bytes());
            packet.extend([0, 0, 0, 0, 255, 112, 0, 0]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            packet.extend([0x6c, 0, 0, 0]);
            packet.extend(length.to_be_bytes());
            packet.extend([112, 255]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
        }
        ends => panic!("no packet goes between {ends:?}"),
    }
    packet.extend(message);
    packet
}

/// Turns the bytes on the wire into a packet as a raw socket hands it over.
pub(super) fn received(bytes: Vec<u8>) -> Packet {
    let Some((header, message)) = bytes.split_at_checked(40).filter(|_| bytes[0] >> 4 == 6) else {
        return Packet::V4 { bytes };
    };
    let address = |at: usize| {
        let octets: [u8; 16] = header[at..at + 16].try_into().expect("an address");
        IpAddr::from(octets)
    };
    let (source, destination) = (address(8), address(24));
    Packet::V6 { source, destination, hop_limit: header[7], bytes: message.to_vec() }
}
