//! The frames that tell a segment where a virtual address now lives.
//!
//! Whole Ethernet frames without their check sequence, for an `AF_PACKET` socket (`packet(7)`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pnet_packet::Packet as _;
use pnet_packet::arp::{
    ArpHardwareTypes, ArpOperation, ArpOperations, ArpPacket, MutableArpPacket,
};
use pnet_packet::ethernet::{EtherType, EtherTypes, EthernetPacket, MutableEthernetPacket};
use pnet_packet::icmpv6::ndp::{
    Icmpv6Codes, MutableNeighborAdvertPacket, MutableNeighborSolicitPacket, NdpOption,
    NdpOptionType, NdpOptionTypes, NeighborAdvertFlags, NeighborAdvertPacket,
};
use pnet_packet::icmpv6::{Icmpv6Packet, Icmpv6Types, checksum};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv6::{Ipv6Packet, MutableIpv6Packet};

use crate::model::Mac;

/// The size of an ARP packet for IPv4 on Ethernet (RFC 826).
const ARP_SIZE: usize = 28;

/// The size of a neighbour solicitation or advertisement with its one option (RFC 4861 sections 4.3, 4.4
/// and 4.6.1).
const NEIGHBOUR_SIZE: u16 = 32;

/// What an Ethernet frame has at least before its check sequence (IEEE 802.3 clause 3.2.8).
const SHORTEST_FRAME: usize = 60;

/// Every node of a segment (RFC 4291 section 2.7.1), and its Ethernet address (RFC 2464 section 7).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: Mac = Mac([0x33, 0x33, 0, 0, 0, 1]);

/// The two forms of a gratuitous ARP: equipment differs in which one it learns from (RFC 5944
/// section 4.6 has both).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArpForm {
    /// Operation 1, the target's hardware address all ones, as keepalived and FRR send it.
    Request,
    /// Operation 2, the target's hardware address the same as the sender's.
    Reply,
}

/// A gratuitous ARP: to everyone, "`address` is at `mac`".
pub fn gratuitous_arp(mac: Mac, address: Ipv4Addr, form: ArpForm) -> Vec<u8> {
    let (operation, target) = match form {
        ArpForm::Request => (ArpOperations::Request, Mac::BROADCAST),
        ArpForm::Reply => (ArpOperations::Reply, mac),
    };
    arp(operation, (mac, address), (target, address))
}

/// An ARP probe: to everyone, "does anybody have `address`?", without saying that we do (RFC 5227
/// section 1.1: the sender's protocol address is zero, so that no cache learns from it).
pub fn arp_probe(mac: Mac, address: Ipv4Addr) -> Vec<u8> {
    let nobody = (mac, Ipv4Addr::UNSPECIFIED);
    arp(ArpOperations::Request, nobody, (Mac([0; 6]), address))
}

/// A broadcast ARP packet (RFC 826).
fn arp(operation: ArpOperation, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
    let mut bytes = [0; ARP_SIZE];
    let mut arp = sized(MutableArpPacket::new(&mut bytes));
    arp.set_hardware_type(ArpHardwareTypes::Ethernet);
    arp.set_protocol_type(EtherTypes::Ipv4);
    arp.set_hw_addr_len(6);
    arp.set_proto_addr_len(4);
    arp.set_operation(operation);
    arp.set_sender_hw_addr(sender.0.0.into());
    arp.set_sender_proto_addr(sender.1);
    arp.set_target_hw_addr(target.0.0.into());
    arp.set_target_proto_addr(target.1);
    ethernet(Mac::BROADCAST, sender.0, EtherTypes::Arp, &bytes)
}

/// Who says to have which address, in an ARP packet that somebody sent: the sender's hardware and
/// protocol address. `None` where it is not ARP for IPv4 on Ethernet, or is cut short.
pub fn arp_sender(frame: &[u8]) -> Option<(Mac, Ipv4Addr)> {
    let ethernet = EthernetPacket::new(frame).filter(|e| e.get_ethertype() == EtherTypes::Arp)?;
    let arp = ArpPacket::new(ethernet.payload())?;
    let is_plain = arp.get_hardware_type() == ArpHardwareTypes::Ethernet
        && arp.get_protocol_type() == EtherTypes::Ipv4
        && (arp.get_hw_addr_len(), arp.get_proto_addr_len()) == (6, 4);
    let mac = Mac(arp.get_sender_hw_addr().octets());
    is_plain.then(|| (mac, arp.get_sender_proto_addr()))
}

/// Who says to have which address, in an ARP packet or a neighbour advertisement that somebody sent.
/// `None` where it is neither, or is not valid.
pub fn binding(frame: &[u8]) -> Option<(Mac, IpAddr)> {
    let v4 = || arp_sender(frame).map(|(mac, address)| (mac, address.into()));
    let v6 = || neighbour(frame).map(|(mac, address)| (mac, address.into()));
    v4().or_else(v6)
}

/// Who says to have which address, in a neighbour advertisement, solicited or not: its target, and
/// the Ethernet address that is to be used for it. `None` where it is none, or one that a host must
/// not believe (RFC 4861 section 7.1.2).
fn neighbour(frame: &[u8]) -> Option<(Mac, Ipv6Addr)> {
    let ethernet = EthernetPacket::new(frame).filter(|e| e.get_ethertype() == EtherTypes::Ipv6)?;
    let ip = Ipv6Packet::new(ethernet.payload())?;
    let length = usize::from(ip.get_payload_length());
    let message = Icmpv6Packet::new(ip.payload().get(..length)?)?;
    let advertisement = NeighborAdvertPacket::new(message.packet())?;
    let is_valid = (ip.get_version(), ip.get_hop_limit()) == (6, 255)
        && ip.get_next_header() == IpNextHeaderProtocols::Icmpv6
        && message.get_icmpv6_type() == Icmpv6Types::NeighborAdvert
        && message.get_icmpv6_code() == Icmpv6Codes::NoCode
        && message.get_checksum() == checksum(&message, &ip.get_source(), &ip.get_destination());
    if !is_valid {
        return None;
    }
    // An answer to somebody who knows the Ethernet address already may leave it out.
    let named = target_link_layer_address(advertisement.get_options_raw());
    let mac = named.unwrap_or_else(|| Mac(ethernet.get_source().octets()));
    Some((mac, advertisement.get_target_addr()))
}

/// The option Target Link-Layer Address (RFC 4861 section 4.6.1), if it is there.
fn target_link_layer_address(mut options: &[u8]) -> Option<Mac> {
    while let [kind, units, rest @ ..] = options {
        // In units of 8 bytes, the first two bytes included. Zero would never end.
        let length = (usize::from(*units) * 8).checked_sub(2)?;
        let value = rest.get(..length)?;
        if *kind == NdpOptionTypes::TargetLLAddr.0 {
            return value.first_chunk().copied().map(Mac);
        }
        options = rest.get(length..)?;
    }
    None
}

/// An unsolicited neighbour advertisement: to all nodes, "`address` is at `mac`", overriding what
/// they had cached (RFC 4861 section 7.2.6).
///
/// `router` is the Router flag: a receiver takes a cleared one as a sign that this node routes no
/// more, and drops it from its default routers (RFC 4861 section 7.2.5).
pub fn unsolicited_neighbour_advertisement(mac: Mac, address: Ipv6Addr, router: bool) -> Vec<u8> {
    let message = neighbour_advertisement(mac, address, router);
    neighbour_discovery(mac, address, (ALL_NODES_MAC, ALL_NODES), message)
}

/// A neighbour solicitation: to whoever may have `target`, "what is your Ethernet address?" (RFC 4861
/// section 7.2.2). The answer comes to `source`.
///
/// `source` must be an address of `mac`, and not unspecified: what comes from there is a sign to a
/// station that is just taking the address that it must not (RFC 4862 section 5.4.3).
pub fn neighbour_solicitation(mac: Mac, source: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    // The solicited-node group (RFC 4291 section 2.7.1) and its Ethernet address.
    let [.., a, b, c] = target.octets();
    let group =
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
    let mut bytes = [0; NEIGHBOUR_SIZE as usize];
    let mut solicitation = sized(MutableNeighborSolicitPacket::new(&mut bytes));
    solicitation.set_icmpv6_type(Icmpv6Types::NeighborSolicit);
    solicitation.set_icmpv6_code(Icmpv6Codes::NoCode);
    solicitation.set_target_addr(target);
    solicitation.set_options(&[link_layer_address(NdpOptionTypes::SourceLLAddr, mac)]);
    let sum = checksum(&sized(Icmpv6Packet::new(&bytes)), &source, &group);
    sized(MutableNeighborSolicitPacket::new(&mut bytes)).set_checksum(sum);
    neighbour_discovery(mac, source, (Mac([0x33, 0x33, 0xff, a, b, c]), group), bytes)
}

fn link_layer_address(option_type: NdpOptionType, mac: Mac) -> NdpOption {
    NdpOption { option_type, length: 1, data: mac.0.to_vec() }
}

/// A message of neighbour discovery in its frame.
fn neighbour_discovery(
    mac: Mac,
    source: Ipv6Addr,
    destination: (Mac, Ipv6Addr),
    message: [u8; NEIGHBOUR_SIZE as usize],
) -> Vec<u8> {
    let mut bytes = [0; MutableIpv6Packet::minimum_packet_size() + NEIGHBOUR_SIZE as usize];
    let mut ip = sized(MutableIpv6Packet::new(&mut bytes));
    ip.set_version(6);
    ip.set_payload_length(NEIGHBOUR_SIZE);
    ip.set_next_header(IpNextHeaderProtocols::Icmpv6);
    ip.set_hop_limit(255);
    ip.set_source(source);
    ip.set_destination(destination.1);
    ip.set_payload(&message);
    ethernet(destination.0, mac, EtherTypes::Ipv6, &bytes)
}

fn neighbour_advertisement(
    mac: Mac,
    address: Ipv6Addr,
    router: bool,
) -> [u8; NEIGHBOUR_SIZE as usize] {
    let router_flag = if router { NeighborAdvertFlags::Router } else { 0 };
    let mut bytes = [0; NEIGHBOUR_SIZE as usize];
    let mut advertisement = sized(MutableNeighborAdvertPacket::new(&mut bytes));
    advertisement.set_icmpv6_type(Icmpv6Types::NeighborAdvert);
    advertisement.set_icmpv6_code(Icmpv6Codes::NoCode);
    advertisement.set_flags(NeighborAdvertFlags::Override | router_flag);
    advertisement.set_target_addr(address);
    advertisement.set_options(&[link_layer_address(NdpOptionTypes::TargetLLAddr, mac)]);
    let sum = checksum(&sized(Icmpv6Packet::new(&bytes)), &address, &ALL_NODES);
    sized(MutableNeighborAdvertPacket::new(&mut bytes)).set_checksum(sum);
    bytes
}

fn ethernet(destination: Mac, source: Mac, kind: EtherType, payload: &[u8]) -> Vec<u8> {
    let size = MutableEthernetPacket::minimum_packet_size() + payload.len();
    let mut bytes = vec![0; size.max(SHORTEST_FRAME)];
    let mut frame = sized(MutableEthernetPacket::new(&mut bytes));
    frame.set_destination(destination.0.into());
    frame.set_source(source.0.into());
    frame.set_ethertype(kind);
    frame.set_payload(payload);
    bytes
}

/// A packet over a buffer: `None`, says pnet, if the buffer is smaller than the packet's fixed
/// part.
#[expect(clippy::expect_used, reason = "every buffer here has a constant and sufficient size")]
fn sized<P>(packet: Option<P>) -> P {
    packet.expect("the buffer is as large as the packet")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 9]);

    fn address() -> Ipv6Addr {
        "2001:db8::100".parse().unwrap()
    }

    fn announcement() -> Vec<u8> {
        unsolicited_neighbour_advertisement(MAC, address(), false)
    }

    fn changed(place: usize, byte: u8) -> Vec<u8> {
        let mut frame = announcement();
        frame[place] = byte;
        frame
    }

    /// Another checksum for what was changed.
    fn summed(mut frame: Vec<u8>) -> Vec<u8> {
        let ip = Ipv6Packet::new(&frame[14..]).unwrap();
        let (source, destination) = (ip.get_source(), ip.get_destination());
        let sum = checksum(&Icmpv6Packet::new(ip.payload()).unwrap(), &source, &destination);
        frame[56..58].copy_from_slice(&sum.to_be_bytes());
        frame
    }

    /// Rule: who says to have which address is read from either family's frame.
    #[test]
    fn bindings_of_both_families_are_read() {
        assert_eq!(binding(&announcement()), Some((MAC, address().into())));
        let v4 = Ipv4Addr::new(10, 0, 0, 100);
        assert_eq!(binding(&gratuitous_arp(MAC, v4, ArpForm::Reply)), Some((MAC, v4.into())));
        assert_eq!(binding(&[]), None);
    }

    /// Rule: a solicitation goes to the group of its target (RFC 4291 section 2.7.1), from an address
    /// that the answer can come to, and says where that is.
    #[test]
    fn a_solicitation_goes_to_the_group_of_its_target() {
        let source: Ipv6Addr = "fe80::11".parse().unwrap();
        let target: Ipv6Addr = "2001:db8:77::1:100".parse().unwrap();
        let frame = neighbour_solicitation(MAC, source, target);
        assert_eq!(frame[..6], [0x33, 0x33, 0xff, 1, 1, 0]);
        let ip = Ipv6Packet::new(&frame[14..]).unwrap();
        let group: Ipv6Addr = "ff02::1:ff01:100".parse().unwrap();
        assert_eq!((ip.get_source(), ip.get_destination()), (source, group));
        let message = Icmpv6Packet::new(ip.payload()).unwrap();
        assert_eq!(message.get_checksum(), checksum(&message, &source, &group));
        assert_eq!(frame[54..56], [135, 0]);
        assert_eq!(frame[62..78], target.octets());
        assert_eq!(frame[78..], [1, 1, 2, 0, 0, 0, 0, 9]);
        assert_eq!(binding(&frame), None, "who asks says nothing");
    }

    /// Rule: the option counts, not the frame's source, which may be another one; where there is no
    /// option, the source does (RFC 4861 section 4.4).
    #[test]
    fn the_option_has_the_address() {
        assert_eq!(binding(&changed(11, 0x42)), Some((MAC, address().into())));
        let mut without = announcement();
        without.truncate(14 + 40 + 24);
        without[19] = 24;
        assert_eq!(binding(&summed(without)), Some((MAC, address().into())));
    }

    /// Rule: what a host must not believe is no binding: another hop limit, which comes from
    /// elsewhere, another checksum, type or code, and what is cut off (RFC 4861 section 7.1.2).
    #[test]
    fn what_is_not_valid_is_no_binding() {
        let wrong = [changed(21, 254), changed(20, 17), changed(14, 0x42), changed(57, 0x42)];
        let wrong = wrong.into_iter().chain([54, 55].map(|place| summed(changed(place, 135))));
        for frame in wrong {
            assert_eq!(binding(&frame), None, "{frame:02x?}");
        }
        for length in 0..announcement().len() {
            assert_eq!(binding(&announcement()[..length]), None, "{length} bytes");
        }
    }

    /// Bug guarded: an option of length zero must not be read for ever.
    #[test]
    fn an_option_without_length_ends_the_list() {
        assert_eq!(target_link_layer_address(&[1, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(target_link_layer_address(&[2, 1, 2, 0, 0, 0, 0, 9]), Some(MAC));
        assert_eq!(
            target_link_layer_address(&[14, 1, 0, 0, 0, 0, 0, 0, 2, 1, 2, 0, 0, 0, 0, 9]),
            Some(MAC)
        );
    }
}
