//! The trailer on the wire, and its code.

use std::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Sequence;
use crate::model::{Key, KeyId};

/// How long a trailer is in bytes.
pub const TRAILER_LENGTH: usize = 28;

/// How long it is up to the code.
const HEAD: usize = 12;

/// How long the code in it is.
const CODE: usize = 16;

/// HMAC-SHA-256, cut to 16 bytes: the only type of trailer that there is.
const HMAC_SHA256: u8 = 1;

/// A trailer that is to be proved yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// The number of the key, zero included.
    pub key: u8,
    /// When it was sent, by the sender's clock.
    pub sequence: Sequence,
    code: [u8; CODE],
}

impl Trailer {
    /// Reads a trailer; `None` where it is of another type or its reserved bytes are not zero.
    pub fn read(bytes: &[u8; TRAILER_LENGTH]) -> Option<Self> {
        let (head, code) = bytes.split_first_chunk::<HEAD>()?;
        let &[kind, key, reserved @ .., _, _, _, _, _, _, _, _] = head;
        let sequence = Sequence::new(u64::from_be_bytes(*head.last_chunk()?));
        let code = *code.first_chunk()?;
        let is_known = kind == HMAC_SHA256 && reserved == [0; 2];
        is_known.then_some(Self { key, sequence, code })
    }

    /// Whether the code is the one of this key for this message from this source. The codes are
    /// compared in constant time.
    pub fn is_right(&self, key: &Key, source: IpAddr, message: &[u8]) -> bool {
        let mac = mac(key, source, message, &head(self.key, self.sequence));
        mac.is_some_and(|mac| mac.verify_truncated_left(&self.code).is_ok())
    }

    /// The trailer that this key makes for this message from this source: its number and sequence are
    /// kept, the code is made. `None` where the message has not even a fixed part.
    #[must_use]
    pub fn signed(self, key: &Key, source: IpAddr, message: &[u8]) -> Option<[u8; TRAILER_LENGTH]> {
        let head = head(self.key, self.sequence);
        let code = mac(key, source, message, &head)?.finalize().into_bytes();
        let mut bytes = [0; TRAILER_LENGTH];
        let all = head.iter().chain(code.iter().take(CODE));
        bytes.iter_mut().zip(all).for_each(|(place, byte)| *place = *byte);
        Some(bytes)
    }
}

/// A trailer that lacks its code: it is made where the keys are.
pub fn unsigned(key: KeyId, sequence: Sequence) -> [u8; TRAILER_LENGTH] {
    let mut bytes = [0; TRAILER_LENGTH];
    let head = head(key.get(), sequence);
    bytes.iter_mut().zip(head).for_each(|(place, byte)| *place = byte);
    bytes
}

fn head(key: u8, sequence: Sequence) -> [u8; HEAD] {
    let mut head = [HMAC_SHA256, key, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    if let Some(place) = head.last_chunk_mut() {
        *place = sequence.get().to_be_bytes();
    }
    head
}

/// All that is protected: family, version, virtual router, source, the message but for its checksum,
/// and the trailer but for the code. Not the destination, so that one serves all unicast peers.
///
/// The version and the virtual router are the message's own: the receiver has found the instance by
/// them.
fn mac(key: &Key, source: IpAddr, message: &[u8], head: &[u8; HEAD]) -> Option<Hmac<Sha256>> {
    let (&[version_and_type, virtual_router_id, priority, count, fifth, sixth, _, _], rest) =
        message.split_first_chunk()?;
    let (family, source) = match source {
        IpAddr::V4(v4) => {
            let mut padded = [0; 16];
            *padded.first_chunk_mut()? = v4.octets();
            (4, padded)
        }
        IpAddr::V6(v6) => (6, v6.octets()),
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(key.bytes()).ok()?;
    mac.update(&[family, version_and_type >> 4, virtual_router_id, 0]);
    mac.update(&source);
    mac.update(&[version_and_type, virtual_router_id, priority, count, fifth, sixth, 0, 0]);
    mac.update(rest);
    mac.update(head);
    mac.update(&[0; CODE]);
    Some(mac)
}
