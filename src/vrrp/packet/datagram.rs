//! What carries a VRRP message: an IP packet of protocol 112, and the rules for its header.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pnet_packet::ip::IpNextHeaderProtocols::Vrrp;
use pnet_packet::ipv4::{Ipv4Flags, Ipv4Packet};

use super::Discard;
use crate::model::Family;

/// The number of VRRP among the IP protocols (RFC 9568 section 5.1.1.4).
pub const IP_PROTOCOL: u8 = Vrrp.0;

/// The TTL or hop limit of an advertisement sent to the multicast group: a router on the way
/// would have lowered it (RFC 9568 sections 5.1.1.3 and 5.1.2.3).
pub const MULTICAST_TTL: u8 = 255;

/// Where advertisements are sent: 224.0.0.18 or `ff02::12` (RFC 9568 sections 5.1.1.2 and
/// 5.1.2.2).
pub const fn multicast_group(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12)),
    }
}

/// An IP packet of protocol 112, its header checked and stripped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The sender; its family is the datagram's.
    pub source: IpAddr,
    /// Where it was sent to.
    pub destination: IpAddr,
    /// Its TTL (IPv4) or hop limit (IPv6) on arrival.
    pub ttl: u8,
    /// The VRRP message.
    pub message: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Reads a packet as a raw IPv4 socket gives it, from the IP header on (RFC 791 section 3.1).
    ///
    /// The header's checksum is not looked at: the kernel has checked it before any socket gets
    /// the packet. Options are skipped.
    ///
    /// # Errors
    /// [`Discard::IpHeader`], [`Discard::Fragment`] or [`Discard::Protocol`].
    pub fn from_ipv4(bytes: &'a [u8]) -> Result<Self, Discard> {
        let header = Ipv4Packet::new(bytes).ok_or(Discard::IpHeader)?;
        let header_length = usize::from(header.get_header_length()) * 4;
        if header.get_version() != 4
            || header_length < Ipv4Packet::minimum_packet_size()
            || usize::from(header.get_total_length()) != bytes.len()
        {
            return Err(Discard::IpHeader);
        }
        let message = bytes.get(header_length..).ok_or(Discard::IpHeader)?;
        if header.get_flags() & Ipv4Flags::MoreFragments != 0 || header.get_fragment_offset() != 0 {
            return Err(Discard::Fragment);
        }
        if header.get_next_level_protocol() != Vrrp {
            return Err(Discard::Protocol);
        }
        Ok(Self {
            source: header.get_source().into(),
            destination: header.get_destination().into(),
            ttl: header.get_ttl(),
            message,
        })
    }

    /// A packet as a raw IPv6 socket of protocol 112 gives it: the kernel has read the header and
    /// passes the message, the rest coming as ancillary data (RFC 3542 section 4).
    pub const fn from_ipv6(
        source: IpAddr,
        destination: IpAddr,
        hop_limit: u8,
        message: &'a [u8],
    ) -> Self {
        Self { source, destination, ttl: hop_limit, message }
    }

    /// IPv4 or IPv6.
    pub const fn family(&self) -> Family {
        Family::of(self.source)
    }

    /// Checks that no more routers are on the way than `minimum` allows: none for 255, as multicast
    /// requires (RFC 9568 section 7.1).
    ///
    /// # Errors
    /// [`Discard::Ttl`].
    pub fn require_ttl(&self, minimum: u8) -> Result<(), Discard> {
        if self.ttl >= minimum { Ok(()) } else { Err(Discard::Ttl) }
    }

    /// Checks that the packet was sent to this group.
    ///
    /// # Errors
    /// [`Discard::Destination`].
    pub fn require_group(&self, group: IpAddr) -> Result<(), Discard> {
        if self.destination == group { Ok(()) } else { Err(Discard::Destination) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of 24 bytes: a plain header and four bytes of message.
    fn packet() -> Vec<u8> {
        let mut bytes = vec![0x45, 0xc0, 0, 24, 0, 1, 0, 0, 255, 112, 0, 0];
        bytes.extend([192, 0, 2, 11, 224, 0, 0, 18]);
        bytes.extend([1, 2, 3, 4]);
        bytes
    }

    fn discard_of(edit: impl FnOnce(&mut Vec<u8>)) -> Option<Discard> {
        let mut bytes = packet();
        edit(&mut bytes);
        Datagram::from_ipv4(&bytes).err()
    }

    /// Rule: the header's fields are handed on, and the message starts behind it.
    #[test]
    fn a_header_is_read() {
        let bytes = packet();
        let datagram = Datagram::from_ipv4(&bytes).unwrap();
        assert_eq!(datagram.source, IpAddr::from([192, 0, 2, 11]));
        assert_eq!(datagram.destination, multicast_group(Family::V4));
        assert_eq!((datagram.ttl, datagram.family()), (255, Family::V4));
        assert_eq!(datagram.message, [1, 2, 3, 4]);
    }

    /// Rule: options in the header, however odd, are no part of the message.
    #[test]
    fn header_options_are_skipped() {
        let mut bytes = packet();
        bytes[0] = 0x46;
        assert!(Datagram::from_ipv4(&bytes).unwrap().message.is_empty());
    }

    /// Rule: a header that contradicts itself or the packet's size is refused.
    #[test]
    fn a_malformed_header_is_refused() {
        let malformed = Some(Discard::IpHeader);
        assert_eq!(discard_of(|bytes| bytes.truncate(19)), malformed, "shorter than a header");
        assert_eq!(discard_of(|bytes| bytes[0] = 0x65), malformed, "another version");
        assert_eq!(discard_of(|bytes| bytes[0] = 0x44), malformed, "a header of 16 bytes");
        assert_eq!(discard_of(|bytes| bytes[0] = 0x47), malformed, "a header past the end");
        assert_eq!(discard_of(|bytes| bytes.push(0)), malformed, "bytes behind the packet");
        assert_eq!(discard_of(|bytes| bytes[3] = 25), malformed, "a packet cut short");
    }

    /// Rule: a fragment is no whole message, be it the first or a later one.
    #[test]
    fn fragments_are_refused() {
        assert_eq!(discard_of(|bytes| bytes[6] = 0x20), Some(Discard::Fragment));
        assert_eq!(discard_of(|bytes| bytes[7] = 1), Some(Discard::Fragment));
        assert_eq!(discard_of(|bytes| bytes[6] = 0x40), None, "don't fragment");
    }

    /// Rule: only IP protocol 112 is VRRP.
    #[test]
    fn another_protocol_is_refused() {
        assert_eq!(discard_of(|bytes| bytes[9] = 17), Some(Discard::Protocol));
    }

    /// Rule: a multicast advertisement that a router has forwarded, or that went to another
    /// address, is refused, in both families.
    #[test]
    fn multicast_needs_its_ttl_and_its_group() {
        let source = "fe80::11".parse().unwrap();
        let sent = Datagram::from_ipv6(source, multicast_group(Family::V6), 255, &[]);
        let group = multicast_group(Family::V6);
        assert_eq!(sent.require_ttl(MULTICAST_TTL), Ok(()));
        assert_eq!(sent.require_group(group), Ok(()));

        let forwarded = Datagram { ttl: 254, ..sent };
        assert_eq!(forwarded.require_ttl(MULTICAST_TTL), Err(Discard::Ttl));
        assert_eq!(forwarded.require_ttl(254), Ok(()));
        let elsewhere = Datagram { destination: source, ..sent };
        assert_eq!(elsewhere.require_group(group), Err(Discard::Destination));
        let other_family = Datagram { destination: multicast_group(Family::V4), ..sent };
        assert_eq!(other_family.require_group(group), Err(Discard::Destination));
    }
}
