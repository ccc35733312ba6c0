//! A packet on a segment.

use std::net::IpAddr;

use vipd::engine::Packet;
use vipd::model::Family;

/// Returns the family of a packet.
pub(crate) fn family(packet: &[u8]) -> Family {
    if packet[0] >> 4 == 4 { Family::V4 } else { Family::V6 }
}

/// Returns the message in a packet.
pub(crate) fn message(packet: &[u8]) -> &[u8] {
    &packet[if packet[0] >> 4 == 4 { 20 } else { 40 }..]
}

/// Returns the source of a packet.
pub(crate) fn source(packet: &[u8]) -> IpAddr {
    if packet[0] >> 4 == 4 {
        return <[u8; 4]>::try_from(&packet[12..16]).expect("an address").into();
    }
    <[u8; 16]>::try_from(&packet[8..24]).expect("an address").into()
}

/// Returns the destination of a packet.
pub(crate) fn destination(packet: &[u8]) -> IpAddr {
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
