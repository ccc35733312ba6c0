//! Packets that every engine must refuse: damaged, misdirected, forged and recorded ones. A refused
//! packet changes nothing, so whoever judges a world need not know of them.

use vipd::model::{Authentication, HmacMode, Version};
use vipd::time::{Mono, Span};
use vipd::vrrp::auth::TRAILER_LENGTH;
use vipd::vrrp::packet::{ChecksumForm, put_checksum};

use super::packet::{destination, source};
use super::{Happening, World};

/// How many packets are kept to be sent again later.
const RECORDED: usize = 16;
/// By how much two nodes' clocks may differ, at the most, while the world is repaired.
const CLOCKS: Span = Span::from_secs(5);

/// A packet that somebody has recorded.
#[derive(Debug)]
pub(super) struct Recording {
    at: Mono,
    segment: usize,
    packet: Vec<u8>,
}

/// A packet that can be taken apart.
struct Forgery {
    packet: Vec<u8>,
    /// Where its message begins.
    start: usize,
    is_v4: bool,
}

impl Forgery {
    fn of(packet: &[u8]) -> Self {
        let is_v4 = packet[0] >> 4 == 4;
        Self { packet: packet.to_vec(), start: if is_v4 { 20 } else { 40 }, is_v4 }
    }

    fn message(&mut self) -> &mut [u8] {
        &mut self.packet[self.start..]
    }

    fn version(&self) -> Version {
        if self.packet[self.start] >> 4 == 2 { Version::V2 } else { Version::V3 }
    }

    /// Makes the length and the checksum right.
    fn sealed(mut self) -> Vec<u8> {
        if self.is_v4 {
            let length = u16::try_from(self.packet.len()).expect("short");
            self.packet[2..4].copy_from_slice(&length.to_be_bytes());
        }
        let (source, destination) = (source(&self.packet), destination(&self.packet));
        let form = ChecksumForm::WithPseudoHeader;
        // Where there is no checksum for it, the packet is refused for another reason.
        let _ = put_checksum(source, destination, form, self.message());
        self.packet
    }
}

impl World {
    /// Sends a packet that must be refused, made from a good one.
    pub(super) fn send_rubbish(&mut self, from: usize, segment: usize, packet: &[u8]) {
        let to = self.rng.usize(..self.nodes.len());
        if self.setup.signed && self.rng.u8(..4) == 0 {
            self.replay(to);
            return self.record(segment, packet);
        }
        // What comes back to its sender.
        if self.rng.u8(..16) == 0 {
            return self.deliver_rubbish(from, segment, packet.to_vec());
        }
        let forged = match self.rng.u8(..3) {
            0 => self.damaged(packet),
            1 => self.misdirected(packet),
            _ => self.forged(packet, to),
        };
        self.deliver_rubbish(to, segment, forged);
    }

    fn record(&mut self, segment: usize, packet: &[u8]) {
        // While a reload has turned authentication off, a recording may be believed.
        if !is_signed(packet) {
            return;
        }
        let recording = Recording { at: self.now, segment, packet: packet.to_vec() };
        if self.recordings.len() == RECORDED {
            self.recordings.remove(0);
        }
        self.recordings.push(recording);
    }

    fn deliver_rubbish(&mut self, node: usize, segment: usize, packet: Vec<u8>) {
        let late = self.at_random(self.setup.delay);
        self.schedule(
            self.now + late,
            Happening::Arrive { node, segment, packet, is_rubbish: true },
        );
    }

    /// Sends a recorded packet that is too old for the time window, or from before its receiver's
    /// start.
    fn replay(&mut self, to: usize) {
        let Some(Recording { at, segment, packet }) = self.recordings.first() else { return };
        let (at, segment, packet) = (*at, *segment, packet.clone());
        let is_stale = self.now.since(at) > self.setup.window + CLOCKS;
        if is_stale || self.nodes[to].started.since(at) > CLOCKS {
            self.deliver_rubbish(to, segment, packet);
        }
    }

    /// One byte of the message is another one, or the packet is cut short.
    fn damaged(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut forgery = Forgery::of(packet);
        if self.rng.bool() {
            let length = self.rng.usize(1..packet.len());
            forgery.packet.truncate(length);
        } else {
            let place = self.rng.usize(..forgery.message().len());
            forgery.message()[place] ^= self.rng.u8(1..);
        }
        forgery.packet
    }

    /// It comes from too far away, is for others, or is no whole packet of this protocol.
    fn misdirected(&mut self, packet: &[u8]) -> Vec<u8> {
        let Forgery { mut packet, is_v4, .. } = Forgery::of(packet);
        match (self.rng.u8(..4), is_v4) {
            (0, true) => packet[6] |= 0x20,
            (1, true) => packet[9] = 89,
            (2, true) => packet[19] ^= 0x80,
            (2, false) => packet[39] ^= 0x80,
            (_, true) => packet[8] = 254,
            (_, false) => packet[7] = 254,
        }
        packet
    }

    /// It says what no router of this group says, with a right checksum.
    fn forged(&mut self, packet: &[u8], to: usize) -> Vec<u8> {
        let mut forgery = Forgery::of(packet);
        let is_v2 = forgery.version() == Version::V2;
        let is_unicast = !destination(packet).is_multicast();
        match self.rng.u8(..9) {
            0 => forgery.message()[0] ^= 0x10,
            1 => forgery.message()[0] ^= 0x02,
            2 => forgery.message()[1] = 200,
            3 if is_v2 => forgery.message()[5] += 1,
            4 if is_v2 => forgery.message()[4] = self.rng.u8(1..3),
            5 if is_unicast => forgery.packet[if forgery.is_v4 { 15 } else { 23 }] = 200,
            6 => {
                let address = if forgery.is_v4 { 4 } else { 16 };
                let start = forgery.start + 8;
                let end = start + usize::from(forgery.message()[3]) * address;
                forgery.packet.drain(start..end);
                forgery.message()[3] = 0;
            }
            7 if is_signed(packet) => {
                let trailer = forgery.packet.len() - TRAILER_LENGTH;
                if self.refuses_the_unsigned(to) && self.rng.bool() {
                    forgery.packet.truncate(trailer);
                } else {
                    // A code of another type, or something in the reserved bytes.
                    let place = self.rng.choice([0, 2, 3]).expect("three");
                    forgery.packet[trailer + place] ^= self.rng.u8(1..);
                }
            }
            7 => forgery.packet.extend([0; TRAILER_LENGTH]),
            _ if is_v2 => forgery.message()[5] = 0,
            _ => forgery.message()[4..6].fill(0),
        }
        forgery.sealed()
    }

    fn refuses_the_unsigned(&self, node: usize) -> bool {
        let enforces = |one: &Authentication| matches!(one, Authentication::Hmac(hmac) if hmac.mode == HmacMode::Enforce);
        self.nodes[node].config.instances.iter().all(|one| enforces(&one.authentication))
    }
}

/// True if the message ends with a signature.
fn is_signed(packet: &[u8]) -> bool {
    let mut forgery = Forgery::of(packet);
    let length = if forgery.is_v4 { 4 } else { 16 };
    let message = forgery.message();
    message.len() >= 8 + usize::from(message[3]) * length + TRAILER_LENGTH
}
