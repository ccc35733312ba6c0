//! Any bytes, as an IPv4 packet with its header and as messages over IPv4 and IPv6: decoding never
//! panics, and what it accepts says the same after being written and read once more.
//!
//! A random checksum is wrong, which would end almost every run at that rule, so each message is
//! tried a second time with the checksum that it should have.

#![no_main]
#![expect(
    clippy::disallowed_methods,
    reason = "libfuzzer-sys' macro, not the target, opens a file"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libfuzzer_sys::fuzz_target;
use vipd::model::Family;
use vipd::vrrp::packet::{Datagram, Decoded, decode, multicast_group, virtual_router_id};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(datagram) = Datagram::from_ipv4(bytes) {
        check(&datagram);
    }
    check_message(Ipv4Addr::new(192, 0, 2, 11).into(), Family::V4, bytes);
    check_message(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x11).into(), Family::V6, bytes);
});

fn check_message(source: IpAddr, family: Family, bytes: &[u8]) {
    let destination = multicast_group(family);
    check(&Datagram { source, destination, ttl: 255, message: bytes });
    let mut message = bytes.to_vec();
    if let Some(field) = message.get_mut(6..8) {
        field.fill(0);
        let sum = checksum(family, source, destination, &message);
        message[6..8].copy_from_slice(&sum.to_be_bytes());
    }
    check(&Datagram { source, destination, ttl: 255, message: &message });
}

fn check(datagram: &Datagram<'_>) {
    let found = virtual_router_id(datagram);
    let Ok(Decoded { advertisement, checksum }) = decode(datagram) else { return };
    assert_eq!(found, Ok((advertisement.version, advertisement.virtual_router_id)));
    let (source, destination) = (datagram.source, datagram.destination);
    let message = advertisement.encode(source, destination, checksum).expect("it was accepted");
    assert_eq!(message.len(), datagram.message.len());
    let again = decode(&Datagram { message: &message, ..*datagram }).expect("it was written here");
    assert_eq!(again, Decoded { advertisement, checksum });
}

/// The message's own sum, and over IPv6 the pseudo-header's with it (RFC 1071, RFC 8200 section
/// 8.1).
fn checksum(family: Family, source: IpAddr, destination: IpAddr, message: &[u8]) -> u16 {
    let mut summed = message.to_vec();
    summed.resize(message.len().next_multiple_of(2), 0);
    if family == Family::V6 {
        for address in [source, destination] {
            if let IpAddr::V6(address) = address {
                summed.extend(address.octets());
            }
        }
        summed.extend((message.len() as u32).to_be_bytes());
        summed.extend([0, 0, 0, 112]);
    }
    let mut sum: u32 =
        summed.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
