//! The segments: who hears whom.

use vipd::time::Span;

use super::hearing::uses;
use super::packet::destination;
use super::{Happening, Node, World};

impl World {
    /// True if the two hear each other, except for frames that are lost by chance. If they hear
    /// each other on one segment, but on another one in one direction only, they do not count as
    /// connected. Only segments on which both have a path, and an address to speak from, count.
    pub(crate) fn connected(&self, first: usize, second: usize) -> bool {
        let both = [first, second].map(|node| &self.nodes[node]);
        let speaks = |node: &Node, segment: usize| {
            let interface = &self.setup.segments[segment];
            uses(node.instance(), interface) && node.ports[segment].numbered
        };
        let is_path = |segment: &usize| both.iter().all(|node| speaks(node, *segment));
        let one_way = |(segment, from, to): &(usize, usize, usize)| {
            let ends = (*from, *to) == (first, second) || (*from, *to) == (second, first);
            ends && is_path(segment)
        };
        let mut segments = (0..self.setup.segments.len()).filter(is_path);
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
        let is_up = |node: usize| self.nodes[node].ports[segment].works();
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
                self.deliver(to, segment, packet.to_vec());
            }
        }
        if self.rubbish > 0 && self.rng.u8(..100) < self.rubbish {
            self.send_rubbish(from, segment, packet);
        }
    }

    pub(super) fn deliver(&mut self, node: usize, segment: usize, packet: Vec<u8>) {
        let delay = Span::from_nanos(self.rng.u64(..=self.setup.delay.nanos()));
        self.schedule(
            self.now + delay,
            Happening::Arrive { node, segment, packet, is_rubbish: false },
        );
    }
}
