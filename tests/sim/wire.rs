//! The segment: who hears whom, and what a packet on it looks like.

use std::net::IpAddr;

use vipd::engine::Packet;
use vipd::time::Span;

use crate::group::{WINDOW, path_address};
use crate::world::{Happening, World};

impl World {
    /// True if the two hear each other, except for frames that are lost by chance. If they hear
    /// each other on one path, but on another path in one direction only, they do not count as
    /// connected.
    pub(crate) fn connected(&self, first: usize, second: usize) -> bool {
        let both = |path| self.reaches(path, first, second) && self.reaches(path, second, first);
        let one_way = |(_, from, to): &(usize, usize, usize)| {
            (*from, *to) == (first, second) || (*from, *to) == (second, first)
        };
        (0..self.paths()).any(both) && !self.one_way.iter().any(one_way)
    }

    fn paths(&self) -> usize {
        if self.group.wire.second_path { 2 } else { 1 }
    }

    /// True if frames of `from` arrive at `to`.
    fn reaches(&self, path: usize, from: usize, to: usize) -> bool {
        if self.one_way.contains(&(path, from, to)) {
            return false;
        }
        if path > 0 {
            let side = |node: usize| self.second_partition.map(|side| side >> node & 1);
            return side(from) == side(to);
        }
        let side = |node: usize| self.partition.map(|side| side >> node & 1);
        let up = |node: usize| self.nodes[node].carrier && self.nodes[node].exists;
        side(from) == side(to) && up(from) && up(to)
    }

    /// True if no node's clock keeps the others from believing it.
    pub(crate) fn clocks_agree(&self) -> bool {
        let clocks = || self.nodes.iter().map(|node| node.wall);
        let apart = clocks().max().unwrap_or(0) - clocks().min().unwrap_or(0);
        !self.group.wire.signed || apart < u64::from(WINDOW - 1) * 1_000_000_000
    }

    /// Puts a packet on the wire of a path: for everybody, or for the node whose address it names.
    pub(crate) fn transmit(&mut self, from: usize, path: usize, packet: &[u8]) {
        let destination = destination(packet);
        for to in 0..self.nodes.len() {
            let is_for = |family| path_address(family, path, to) == destination;
            let is_meant =
                destination.is_multicast() || self.group.wire.families().into_iter().any(is_for);
            if to == from
                || !is_meant
                || !self.reaches(path, from, to)
                || self.rng.u8(..100) < self.loss
            {
                continue;
            }
            // Different delays reorder frames by themselves.
            let copies = if self.rng.u8(..50) == 0 { 2 } else { 1 };
            for _ in 0..copies {
                let delay = Span::from_nanos(self.rng.u64(..=self.group.delay.nanos()));
                let packet = packet.to_vec();
                self.schedule(self.now + delay, Happening::Arrive { node: to, path, packet });
            }
        }
    }
}

/// Returns the message in a packet.
pub(crate) fn message(packet: &[u8]) -> &[u8] {
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
pub(crate) fn packet(source: IpAddr, destination: IpAddr, message: &[u8]) -> Vec<u8> {
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
pub(crate) fn received(bytes: Vec<u8>) -> Packet {
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
