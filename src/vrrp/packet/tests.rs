use super::*;

const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 11));

fn advertisement(version: Version) -> Advertisement {
    Advertisement {
        version,
        virtual_router_id: Vrid::try_from(51).unwrap(),
        priority: 100,
        interval: Interval::ONE_SECOND,
        addresses: vec![IpAddr::from([192, 0, 2, 100]), IpAddr::from([192, 0, 2, 101])],
        authentication: Authentication::None,
    }
}

fn message(version: Version) -> Vec<u8> {
    let group = multicast_group(Family::V4);
    advertisement(version).encode(SOURCE, group, ChecksumForm::WithPseudoHeader).unwrap()
}

fn over_ipv4(message: &[u8]) -> Datagram<'_> {
    let destination = multicast_group(Family::V4);
    Datagram { source: SOURCE, destination, ttl: MULTICAST_TTL, message }
}

/// What becomes of a valid message that someone has edited and then given a right checksum.
fn edited(version: Version, edit: impl FnOnce(&mut Vec<u8>)) -> Result<Decoded, Discard> {
    let mut message = message(version);
    edit(&mut message);
    set_checksum(&mut message);
    decode(&over_ipv4(&message))
}

fn set_checksum(message: &mut Vec<u8>) {
    let ends = (SOURCE, multicast_group(Family::V4));
    let sum = ChecksumForm::Message.compute(ends, message).unwrap();
    message.splice(6..8, sum.to_be_bytes());
}

fn discard_of(version: Version, edit: impl FnOnce(&mut Vec<u8>)) -> Option<Discard> {
    edited(version, edit).err()
}

/// Rule: a message shorter than its fixed part belongs to no virtual router.
#[test]
fn a_message_without_its_fixed_part_is_refused() {
    let message = message(Version::V3);
    for length in 0..8 {
        let datagram = over_ipv4(&message[..length]);
        assert_eq!(virtual_router_id(&datagram), Err(Discard::Length));
        assert_eq!(decode(&datagram), Err(Discard::Length));
    }
}

/// Rule: the length is exactly what the version and the count of addresses need.
#[test]
fn another_length_is_refused() {
    for version in [Version::V2, Version::V3] {
        assert_eq!(discard_of(version, |message| message.push(0)), Some(Discard::Length));
        assert_eq!(discard_of(version, |message| message[3] = 1), Some(Discard::Length));
        assert_eq!(discard_of(version, |message| message[3] = 3), Some(Discard::Length));
        assert_eq!(discard_of(version, |message| message[3] = 255), Some(Discard::Length));
    }
    // Version 2's authentication data are no addresses, though they would fit.
    assert_eq!(discard_of(Version::V2, |message| message[3] = 4), Some(Discard::Length));
    let unauthenticated = |message: &mut Vec<u8>| message.truncate(16);
    assert_eq!(discard_of(Version::V2, unauthenticated), Some(Discard::Length));
}

/// Rule: only versions 2 and 3 exist, and version 2 only over IPv4.
#[test]
fn another_version_is_refused() {
    for version in (0..16).filter(|version| !matches!(version, 2 | 3)) {
        let edit = |message: &mut Vec<u8>| message[0] = version << 4 | 1;
        assert_eq!(discard_of(Version::V3, edit), Some(Discard::Version), "version {version}");
    }
    let message = message(Version::V2);
    let ends = ("fe80::11".parse().unwrap(), multicast_group(Family::V6));
    let datagram = Datagram::from_ipv6(ends.0, ends.1, MULTICAST_TTL, &message);
    assert_eq!(virtual_router_id(&datagram), Err(Discard::Version));
    assert_eq!(decode(&datagram), Err(Discard::Version));
}

/// Rule: only advertisements exist.
#[test]
fn another_type_is_refused() {
    for kind in (0..16).filter(|&kind| kind != 1) {
        let edit = |message: &mut Vec<u8>| message[0] = 0x30 | kind;
        assert_eq!(discard_of(Version::V3, edit), Some(Discard::MessageType), "type {kind}");
    }
}

/// Rule: 0 is no virtual router ID, so nobody has configured it.
#[test]
fn virtual_router_zero_is_refused() {
    let edit = |message: &mut Vec<u8>| message[1] = 0;
    assert_eq!(discard_of(Version::V3, edit), Some(Discard::VirtualRouter));
}

/// Rule: the virtual router is found without looking at what follows the fixed part, so that the
/// message is judged by that router's rules.
#[test]
fn a_virtual_router_is_found_in_a_message_that_is_not_valid() {
    let mut message = message(Version::V3);
    message.push(0);
    message[7] ^= 0xff;
    let found = virtual_router_id(&over_ipv4(&message)).unwrap();
    assert_eq!(found, (Version::V3, Vrid::try_from(51).unwrap()));
}

/// Rule: a wrong checksum is refused in every version and family.
#[test]
fn a_wrong_checksum_is_refused() {
    for version in [Version::V2, Version::V3] {
        let mut message = message(version);
        message[2] += 1;
        assert_eq!(decode(&over_ipv4(&message)), Err(Discard::Checksum));
    }
}

/// Rule: version 3 over IPv4 is accepted with either checksum, and it is told which.
#[test]
fn both_checksums_of_version_3_over_ipv4_are_accepted() {
    for form in [ChecksumForm::Message, ChecksumForm::WithPseudoHeader] {
        let sent = advertisement(Version::V3);
        let message = sent.encode(SOURCE, multicast_group(Family::V4), form).unwrap();
        let decoded = Decoded { advertisement: sent, checksum: form };
        assert_eq!(decode(&over_ipv4(&message)), Ok(decoded));
    }
}

/// Rule: version 2 has one checksum, the message's. A sum with a pseudo-header is wrong there,
/// as the message's alone is wrong over IPv6.
#[test]
fn one_checksum_is_accepted_where_only_one_exists() {
    let group = multicast_group(Family::V4);
    let mut version_2 = message(Version::V2);
    let sum = ChecksumForm::WithPseudoHeader.compute((SOURCE, group), &version_2).unwrap();
    version_2.splice(6..8, sum.to_be_bytes());
    assert_eq!(decode(&over_ipv4(&version_2)), Err(Discard::Checksum));

    let (source, group) = ("fe80::11".parse().unwrap(), multicast_group(Family::V6));
    let addresses = vec!["fe80::100".parse().unwrap()];
    let sent = Advertisement { addresses, ..advertisement(Version::V3) };
    let mut ipv6 = sent.encode(source, group, ChecksumForm::Message).unwrap();
    let decoded = decode(&Datagram::from_ipv6(source, group, 255, &ipv6)).unwrap();
    assert_eq!(decoded.checksum, ChecksumForm::WithPseudoHeader);
    let sum = ChecksumForm::Message.compute((source, group), &ipv6).unwrap();
    ipv6.splice(6..8, sum.to_be_bytes());
    let datagram = Datagram::from_ipv6(source, group, 255, &ipv6);
    assert_eq!(decode(&datagram), Err(Discard::Checksum));
}

/// Rule: one's complement has two zeros, and a checksum of either verifies (RFC 1071).
#[test]
fn a_checksum_of_all_ones_is_zero() {
    let mut message = message(Version::V2);
    // Put what the checksum would be where nothing else depends on it: its own becomes zero.
    let sum = u16::from_be_bytes([message[6], message[7]]);
    message.splice(16..18, sum.to_be_bytes());
    for zero in [0x0000_u16, 0xffff] {
        message.splice(6..8, zero.to_be_bytes());
        assert!(decode(&over_ipv4(&message)).is_ok(), "a checksum field of {zero:#06x}");
    }
}

/// Rule: version 2 knows no authentication and a simple password; everything else is refused.
#[test]
fn authentication_types() {
    let kind = |kind: u8| {
        edited(Version::V2, |message| {
            message[4] = kind;
            message.splice(16..24, *b"secret\0\0");
        })
        .map(|decoded| decoded.advertisement.authentication)
    };
    assert_eq!(kind(0), Ok(Authentication::None), "the data are ignored (RFC 3768 section 5.3.10)");
    assert_eq!(kind(1), Ok(Authentication::SimplePassword(*b"secret\0\0")));
    for unknown in 2..=255 {
        assert_eq!(kind(unknown), Err(Discard::AuthenticationType), "type {unknown}");
    }
}

/// Rule: a password never reaches a log by way of `Debug`.
#[test]
fn a_password_is_not_shown() {
    let authentication = Authentication::SimplePassword(*b"hunter22");
    let advertisement = Advertisement { authentication, ..advertisement(Version::V2) };
    let shown = format!("{advertisement:?}");
    assert!(shown.contains("SimplePassword(..)"), "{shown}");
    assert!(!shown.contains("hunter") && !shown.contains("104"), "{shown}");
}

/// Rule: an advertisement of no address is refused.
#[test]
fn no_addresses_are_refused() {
    for version in [Version::V2, Version::V3] {
        let edit = |message: &mut Vec<u8>| {
            message[3] = 0;
            message.drain(8..16);
        };
        assert_eq!(discard_of(version, edit), Some(Discard::NoAddresses));
    }
}

/// Bug guarded: with an interval of zero every backup's active-down interval is zero, and all of
/// them take over at once.
#[test]
fn an_interval_of_zero_is_refused() {
    for version in [Version::V2, Version::V3] {
        let edit = |message: &mut Vec<u8>| message[5] = 0;
        assert_eq!(discard_of(version, edit), Some(Discard::ZeroInterval));
    }
}

/// Bug guarded: read together with the reserved bits, one second becomes ten minutes, and a
/// backup waits that long for a dead active router.
#[test]
fn the_reserved_bits_are_no_part_of_the_interval() {
    let decoded = edited(Version::V3, |message| message[4] |= 0xf0).unwrap();
    assert_eq!(decoded.advertisement.interval, Interval::ONE_SECOND);
    let only_reserved = |message: &mut Vec<u8>| message.splice(4..6, [0xf0, 0]).for_each(drop);
    assert_eq!(discard_of(Version::V3, only_reserved), Some(Discard::ZeroInterval));
}

/// Rule: a message that breaks several rules counts for the first of them. This one breaks all;
/// each repair brings the next rule to light.
#[test]
fn the_first_broken_rule_counts() {
    let mut message = vec![0x12, 0, 100, 0, 9, 0, 0xba];
    let discard = |message: &[u8]| decode(&over_ipv4(message)).err();
    assert_eq!(discard(&message), Some(Discard::Length), "no fixed part");
    message.push(0xad);
    assert_eq!(discard(&message), Some(Discard::Version));
    message[0] = 0x22;
    assert_eq!(discard(&message), Some(Discard::MessageType));
    message[0] = 0x21;
    assert_eq!(discard(&message), Some(Discard::VirtualRouter));
    message[1] = 51;
    assert_eq!(discard(&message), Some(Discard::Length), "no authentication data");
    message.extend([0; 8]);
    assert_eq!(discard(&message), Some(Discard::Checksum));
    set_checksum(&mut message);
    assert_eq!(discard(&message), Some(Discard::AuthenticationType));
    message[4] = 0;
    set_checksum(&mut message);
    assert_eq!(discard(&message), Some(Discard::NoAddresses));
    message[3] = 1;
    message.extend([0; 4]);
    set_checksum(&mut message);
    assert_eq!(discard(&message), Some(Discard::ZeroInterval));
    message[5] = 1;
    set_checksum(&mut message);
    assert_eq!(discard(&message), None);
}

/// Rule: what an advertisement cannot carry is refused by name; nothing is cut to fit.
#[test]
fn what_cannot_be_carried_is_refused() {
    let error = |edit: &dyn Fn(&mut Advertisement), version| {
        let mut advertisement = advertisement(version);
        edit(&mut advertisement);
        let group = multicast_group(Family::V4);
        advertisement.encode(SOURCE, group, ChecksumForm::Message).err()
    };
    let addresses = |count: usize| {
        error(&|advertisement| advertisement.addresses = vec![SOURCE; count], Version::V3)
    };
    assert_eq!(addresses(0), Some(EncodeError::AddressCount(0)));
    assert_eq!(addresses(255), None);
    assert_eq!(addresses(256), Some(EncodeError::AddressCount(256)));

    let interval = |centiseconds: u16, version| {
        let interval = Interval::try_from(centiseconds).unwrap();
        let refused = error(&|advertisement| advertisement.interval = interval, version);
        assert!(refused.is_none_or(|e| e == EncodeError::Interval { version, interval }));
        refused.is_none()
    };
    assert!(interval(4_095, Version::V3) && !interval(4_096, Version::V3));
    assert!(interval(25_500, Version::V2) && !interval(150, Version::V2));

    let mixed = |advertisement: &mut Advertisement| {
        advertisement.addresses.push("fe80::100".parse().unwrap());
    };
    assert_eq!(error(&mixed, Version::V3), Some(EncodeError::MixedFamilies));
    let password = |advertisement: &mut Advertisement| {
        advertisement.authentication = Authentication::SimplePassword([0; 8]);
    };
    assert_eq!(error(&password, Version::V3), Some(EncodeError::PasswordInVersion3));

    let (source, group) = ("fe80::11".parse().unwrap(), multicast_group(Family::V6));
    let version_2 = advertisement(Version::V2).encode(source, group, ChecksumForm::Message);
    assert_eq!(version_2, Err(EncodeError::Version2OverIpv6));
    let version_3 = advertisement(Version::V3).encode(SOURCE, group, ChecksumForm::Message);
    assert_eq!(version_3, Err(EncodeError::MixedFamilies), "the destination counts too");
}
