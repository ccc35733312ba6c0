//! What holds for every packet: generated advertisements and arbitrary bytes.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its own helpers too"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::prelude::*;
use vipd::model::{Family, Interval, Mac, Version, Vrid};
use vipd::vrrp::frame::{binding, unsolicited_neighbour_advertisement};
use vipd::vrrp::packet::{
    Advertisement, Authentication, ChecksumForm, Datagram, Decoded, Discard, decode,
    virtual_router_id,
};

/// A version over a family that it knows.
fn protocol() -> impl Strategy<Value = (Version, Family)> {
    prop_oneof![
        Just((Version::V2, Family::V4)),
        Just((Version::V3, Family::V4)),
        Just((Version::V3, Family::V6)),
    ]
}

fn address(family: Family) -> BoxedStrategy<IpAddr> {
    match family {
        Family::V4 => any::<Ipv4Addr>().prop_map(IpAddr::V4).boxed(),
        Family::V6 => any::<Ipv6Addr>().prop_map(IpAddr::V6).boxed(),
    }
}

fn form() -> impl Strategy<Value = ChecksumForm> {
    prop_oneof![Just(ChecksumForm::Message), Just(ChecksumForm::WithPseudoHeader)]
}

fn interval(version: Version) -> BoxedStrategy<Interval> {
    match version {
        Version::V2 => (1..=255_u8).prop_map(|s| Interval::from_seconds(s).unwrap()).boxed(),
        Version::V3 => (1..=0x0fff_u16).prop_map(|c| Interval::try_from(c).unwrap()).boxed(),
    }
}

fn authentication(version: Version) -> BoxedStrategy<Authentication> {
    match version {
        Version::V2 => prop_oneof![
            Just(Authentication::None),
            any::<[u8; 8]>().prop_map(Authentication::SimplePassword),
        ]
        .boxed(),
        Version::V3 => Just(Authentication::None).boxed(),
    }
}

prop_compose! {
    /// An advertisement that can be sent, and the addresses of its packet.
    fn sendable()((version, family) in protocol())(
        virtual_router_id in (1..=255_u8).prop_map(|id| Vrid::try_from(id).unwrap()),
        priority in any::<u8>(),
        interval in interval(version),
        addresses in prop_oneof![4 => vec(address(family), 1..8), 1 => vec(address(family), 1..=255)],
        authentication in authentication(version),
        source in address(family),
        destination in address(family),
        version in Just(version),
    ) -> (Advertisement, IpAddr, IpAddr) {
        let advertisement = Advertisement {
            version, virtual_router_id, priority, interval, addresses, authentication,
        };
        (advertisement, source, destination)
    }
}

/// A message of the right length and checksum whose every other bit is arbitrary, with the form
/// of the checksum and the packet's addresses.
#[derive(Clone, Debug)]
struct WellFormed {
    version: Version,
    source: IpAddr,
    destination: IpAddr,
    form: ChecksumForm,
    message: Vec<u8>,
}

impl WellFormed {
    fn datagram(&self) -> Datagram<'_> {
        Datagram {
            source: self.source,
            destination: self.destination,
            ttl: 255,
            message: &self.message,
        }
    }

    /// The same message as a sender has to write it: what a receiver ignores is zero.
    fn as_sent(&self) -> Self {
        let mut sent = self.clone();
        match (self.version, self.message[4]) {
            (Version::V2, 0) => {
                let data = sent.message.len() - 8;
                sent.message[data..].fill(0);
            }
            (Version::V2, _) => (),
            (Version::V3, _) => sent.message[4] &= 0x0f,
        }
        sent.with_checksum()
    }

    /// Written here once more, from RFC 1071, to judge the codec's by.
    fn with_checksum(mut self) -> Self {
        self.message[6..8].fill(0);
        let mut summed = self.message.clone();
        if self.form == ChecksumForm::WithPseudoHeader {
            for address in [self.source, self.destination] {
                match address {
                    IpAddr::V4(address) => summed.extend(address.octets()),
                    IpAddr::V6(address) => summed.extend(address.octets()),
                }
            }
            summed.extend(u32::try_from(self.message.len()).unwrap().to_be_bytes());
            summed.extend([0, 0, 0, 112]);
        }
        let mut sum: u32 =
            summed.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        let checksum = !u16::try_from(sum).unwrap();
        self.message[6..8].copy_from_slice(&checksum.to_be_bytes());
        self
    }
}

prop_compose! {
    fn well_formed()((version, family) in protocol(), count in 0..6_usize)(
        source in address(family),
        destination in address(family),
        form in match (version, family) {
            (Version::V2, _) => Just(ChecksumForm::Message).boxed(),
            (Version::V3, Family::V4) => form().boxed(),
            (Version::V3, Family::V6) => Just(ChecksumForm::WithPseudoHeader).boxed(),
        },
        vrid in any::<u8>(),
        priority in any::<u8>(),
        // Small numbers are the interesting ones: authentication types, intervals near zero.
        fifth in prop_oneof![0..4_u8, any::<u8>()],
        sixth in prop_oneof![0..4_u8, any::<u8>()],
        rest in vec(any::<u8>(), {
            let size = if family == Family::V4 { 4 } else { 16 };
            count * size + if version == Version::V2 { 8 } else { 0 }
        }),
        version in Just(version),
        count in Just(count),
    ) -> WellFormed {
        let kind = if version == Version::V2 { 0x21 } else { 0x31 };
        let head = [kind, vrid, priority, u8::try_from(count).unwrap(), fifth, sixth, 0, 0];
        let message = [&head[..], &rest].concat();
        WellFormed { version, source, destination, form, message }.with_checksum()
    }
}

/// The rule that a well-formed message breaks, if any, read from the standards once more.
fn expected_discard(packet: &WellFormed) -> Option<Discard> {
    let (vrid, count, fifth, sixth) =
        (packet.message[1], packet.message[3], packet.message[4], packet.message[5]);
    let (known_authentication, zero_interval) = match packet.version {
        Version::V2 => (fifth < 2, sixth == 0),
        Version::V3 => (true, fifth % 16 == 0 && sixth == 0),
    };
    let broken = [
        (vrid == 0, Discard::VirtualRouter),
        (!known_authentication, Discard::AuthenticationType),
        (count == 0, Discard::NoAddresses),
        (zero_interval, Discard::ZeroInterval),
    ];
    broken.into_iter().find_map(|(broken, discard)| broken.then_some(discard))
}

proptest! {
    /// Rule: what is sent is what is understood, and the virtual router is found beforehand.
    #[test]
    fn decoding_gives_what_was_encoded(
        (advertisement, source, destination) in sendable(),
        form in form(),
    ) {
        let message = advertisement.encode(source, destination, form).unwrap();
        let datagram = Datagram { source, destination, ttl: 255, message: &message };
        let found = virtual_router_id(&datagram);
        prop_assert_eq!(found, Ok((advertisement.version, advertisement.virtual_router_id)));
        let decoded = decode(&datagram).unwrap();
        prop_assert_eq!(&decoded.advertisement, &advertisement);
        // The form itself need not be the same: one pseudo-header of 65,535 sums up to nothing.
        let again = advertisement.encode(source, destination, decoded.checksum).unwrap();
        prop_assert_eq!(again, message);
    }

    /// Rule: a message of the right length and checksum is refused for the rule that it breaks
    /// and for nothing else; an accepted one is written again as it came, but for the bits that
    /// a receiver ignores.
    #[test]
    fn encoding_gives_what_was_decoded(packet in well_formed()) {
        match decode(&packet.datagram()) {
            Err(discard) => prop_assert_eq!(Some(discard), expected_discard(&packet)),
            Ok(Decoded { advertisement, checksum }) => {
                prop_assert_eq!(None, expected_discard(&packet));
                let encoded =
                    advertisement.encode(packet.source, packet.destination, checksum).unwrap();
                prop_assert_eq!(encoded, packet.as_sent().message);
            }
        }
    }

    /// Rule: no bytes make the codec panic, and what it accepts it can write.
    #[test]
    fn arbitrary_bytes_are_refused_or_understood(
        bytes in vec(any::<u8>(), 0..128),
        source in any::<IpAddr>(),
        destination in any::<IpAddr>(),
    ) {
        let whole = Datagram::from_ipv4(&bytes);
        let message = Datagram::from_ipv6(source, destination, 255, &bytes);
        for datagram in whole.into_iter().chain([message]) {
            let found = virtual_router_id(&datagram);
            if let Ok(Decoded { advertisement, checksum }) = decode(&datagram) {
                prop_assert!(found.is_ok());
                let (source, destination) = (datagram.source, datagram.destination);
                prop_assert!(advertisement.encode(source, destination, checksum).is_ok());
            }
        }
    }

    /// Rule: no frame makes the reader of bindings panic, however it is damaged.
    #[test]
    fn damaged_bindings_never_panic(
        bytes in vec(any::<u8>(), 0..128),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        address in any::<Ipv6Addr>(),
    ) {
        let _ = binding(&bytes);
        let mut frame = unsolicited_neighbour_advertisement(Mac::BROADCAST, address, true);
        prop_assert_eq!(binding(&frame), Some((Mac::BROADCAST, address.into())));
        for (place, byte) in damage {
            let place = place.index(frame.len());
            frame[place] = byte;
        }
        let _ = binding(&frame);
    }

    /// Rule: a valid packet with some of its bytes replaced, header included, never makes the
    /// codec panic.
    #[test]
    fn damaged_packets_never_panic(
        packet in well_formed(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let length = u16::try_from(20 + packet.message.len()).unwrap().to_be_bytes();
        let mut bytes = vec![0x45, 0xc0, length[0], length[1], 0, 1, 0, 0, 255, 112, 0, 0];
        bytes.extend([192, 0, 2, 11, 224, 0, 0, 18]);
        bytes.extend(&packet.message);
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(datagram) = Datagram::from_ipv4(&bytes) {
            let _ = (virtual_router_id(&datagram), decode(&datagram));
        }
    }
}
