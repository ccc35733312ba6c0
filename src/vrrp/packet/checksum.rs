//! The checksum of a VRRP message, in the forms that are in the field.

use std::net::IpAddr;

use pnet_packet::ip::IpNextHeaderProtocols::Vrrp;
use pnet_packet::util;

use crate::model::{Family, Version};

/// The place of the checksum field, counted in 16-bit words (RFC 9568 section 5.2).
const CHECKSUM_WORD: usize = 3;

/// A word that no message has, for summing all of them.
const NO_WORD: usize = usize::MAX;

/// What a checksum covers.
///
/// VRRPv3 over IPv4 has both forms: RFC 9568 section 5.2.8 sums the message alone, while
/// keepalived and FRR read RFC 5798 as asking for a pseudo-header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChecksumForm {
    /// The VRRP message alone.
    Message,
    /// The message and a pseudo-header of addresses, length and protocol (RFC 8200 section 8.1;
    /// for IPv4 shaped as in RFC 9293 section 3.1).
    WithPseudoHeader,
}

impl ChecksumForm {
    /// The only form that a version has over a family, or `None` where both are in the field.
    pub(super) const fn prescribed(version: Version, family: Family) -> Option<Self> {
        match (version, family) {
            (Version::V2, _) => Some(Self::Message),
            (Version::V3, Family::V6) => Some(Self::WithPseudoHeader),
            (Version::V3, Family::V4) => None,
        }
    }

    /// The checksum that belongs into `message`, whose checksum field is not looked at. `None`
    /// where the two addresses are of different families: there is no such pseudo-header.
    pub(super) fn compute(self, ends: (IpAddr, IpAddr), message: &[u8]) -> Option<u16> {
        self.sum(ends, message, CHECKSUM_WORD)
    }

    /// Whether the checksum in `message` is right: all of it, summed, comes out as all ones
    /// (RFC 1071 section 1). Comparing with the computed one would refuse the other zero.
    pub(super) fn is_valid(self, ends: (IpAddr, IpAddr), message: &[u8]) -> bool {
        self.sum(ends, message, NO_WORD) == Some(0)
    }

    fn sum(self, ends: (IpAddr, IpAddr), message: &[u8], skipped: usize) -> Option<u16> {
        match (self, ends) {
            (Self::Message, _) => Some(util::checksum(message, skipped)),
            (Self::WithPseudoHeader, (IpAddr::V4(source), IpAddr::V4(destination))) => {
                Some(util::ipv4_checksum(message, skipped, &[], &source, &destination, Vrrp))
            }
            (Self::WithPseudoHeader, (IpAddr::V6(source), IpAddr::V6(destination))) => {
                Some(util::ipv6_checksum(message, skipped, &[], &source, &destination, Vrrp))
            }
            (Self::WithPseudoHeader, _) => None,
        }
    }
}
