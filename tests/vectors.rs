//! The codec against frames captured from keepalived and FRR (`tests/vectors/README.md`).

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its own helpers too"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Deserialize;
use vipd::model::{Family, Interval, Mac, Version, Vrid};
use vipd::vrrp::frame::{ArpForm, gratuitous_arp, unsolicited_neighbour_advertisement};
use vipd::vrrp::packet::{
    Advertisement, Authentication, ChecksumForm, Datagram, Decoded, Discard, decode,
    multicast_group, virtual_router_id,
};

const ETHERNET_HEADER: usize = 14;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

#[derive(Deserialize)]
struct Index {
    sources: Vec<Source>,
}

#[derive(Deserialize)]
struct Source {
    name: String,
    frames: Vec<Frame>,
}

#[derive(Deserialize)]
struct Frame {
    number: u32,
    hex: String,
    fields: Fields,
    #[serde(default)]
    checksum_valid_as: Vec<String>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Fields {
    Vrrp(Vrrp),
    Arp { sender_mac: String, sender_ip: Ipv4Addr },
    Na { target_mac: String, target_ip: Ipv6Addr, router: u8 },
}

#[derive(Clone, Deserialize)]
struct Vrrp {
    src: IpAddr,
    dst: IpAddr,
    ttl: u8,
    version: u8,
    vrid: u8,
    priority: u8,
    count: usize,
    vips: Vec<IpAddr>,
    interval_s: Option<u8>,
    interval_cs: Option<u16>,
    auth_type: Option<u8>,
    auth_data: Option<String>,
    trailer: Option<serde_json::Value>,
}

impl Vrrp {
    fn version(&self) -> Version {
        match self.version {
            2 => Version::V2,
            3 => Version::V3,
            other => panic!("version {other}"),
        }
    }

    /// The advertisement that the independent decoder saw.
    fn advertisement(&self) -> Advertisement {
        assert_eq!(self.vips.len(), self.count);
        Advertisement {
            version: self.version(),
            virtual_router_id: Vrid::try_from(self.vrid).unwrap(),
            priority: self.priority,
            interval: match (self.interval_s, self.interval_cs) {
                (Some(seconds), None) => Interval::from_seconds(seconds).unwrap(),
                (None, Some(centiseconds)) => Interval::try_from(centiseconds).unwrap(),
                other => panic!("not one interval but {other:?}"),
            },
            addresses: self.vips.clone(),
            authentication: match self.auth_type {
                None | Some(0) => Authentication::None,
                Some(1) => {
                    let data = bytes(self.auth_data.as_ref().unwrap());
                    Authentication::SimplePassword(data.try_into().unwrap())
                }
                Some(other) => panic!("authentication type {other}"),
            },
        }
    }
}

/// A captured VRRP packet: what a raw socket gives of it.
struct Captured {
    /// Which capture and frame, for messages.
    place: String,
    /// From the IP header on.
    packet: Vec<u8>,
    fields: Vrrp,
    checksum_valid_as: Vec<String>,
}

impl Captured {
    fn datagram(&self) -> Datagram<'_> {
        match Family::of(self.fields.src) {
            Family::V4 => Datagram::from_ipv4(&self.packet).unwrap(),
            Family::V6 => {
                let (header, message) = self.packet.split_at(IPV6_HEADER);
                let address = |at: usize| {
                    let octets: [u8; 16] = header[at..at + 16].try_into().unwrap();
                    IpAddr::from(octets)
                };
                Datagram::from_ipv6(address(8), address(24), header[7], message)
            }
        }
    }

    fn checksum_form(&self) -> ChecksumForm {
        match self.checksum_valid_as.as_slice() {
            [form] if form == "message" => ChecksumForm::Message,
            [form] if form == "message+pseudo" => ChecksumForm::WithPseudoHeader,
            other => panic!("{}: checksum valid as {other:?}", self.place),
        }
    }
}

fn index() -> Index {
    serde_json::from_str(include_str!("vectors/index.json")).unwrap()
}

/// The captured VRRP packets with or without an HMAC trailer.
fn captured(with_trailer: bool) -> Vec<Captured> {
    let mut found = Vec::new();
    for source in index().sources {
        for frame in source.frames {
            let Fields::Vrrp(fields) = frame.fields else { continue };
            if fields.trailer.is_some() == with_trailer {
                found.push(Captured {
                    place: format!("{} frame {}", source.name, frame.number),
                    packet: bytes(&frame.hex)[ETHERNET_HEADER..].to_vec(),
                    fields,
                    checksum_valid_as: frame.checksum_valid_as,
                });
            }
        }
    }
    found
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn mac(text: &str) -> Mac {
    Mac(bytes(&text.replace(':', "")).try_into().unwrap())
}

/// Rule: what keepalived and FRR send is understood in every field, both versions, both
/// families, both checksums, and written the same to the last bit.
#[test]
fn captured_packets_decode_to_their_fields_and_encode_to_their_bytes() {
    let captured = captured(false);
    assert_eq!(captured.len(), 85, "packets without a trailer");
    for captured in captured {
        let Captured { place, fields, .. } = &captured;
        let datagram = captured.datagram();
        let (source, destination) = (fields.src, fields.dst);
        let header = (datagram.source, datagram.destination, datagram.ttl);
        assert_eq!(header, (source, destination, fields.ttl), "{place}");

        let advertisement = fields.advertisement();
        let checksum = captured.checksum_form();
        let encoded = advertisement.encode(source, destination, checksum).unwrap();
        assert_eq!(encoded, datagram.message, "{place}");
        let vrid = advertisement.virtual_router_id;
        assert_eq!(decode(&datagram), Ok(Decoded { advertisement, checksum }), "{place}");
        assert_eq!(virtual_router_id(&datagram), Ok((fields.version(), vrid)), "{place}");
    }
}

/// Rule: what real daemons send to the group has TTL 255. Unicast need not: keepalived leaves the hop
/// limit of IPv6 at the system's default, which is what `minimum_ttl` is for.
#[test]
fn captured_multicast_starts_on_the_segment() {
    for captured in captured(false) {
        let datagram = captured.datagram();
        let group = datagram.require_group(multicast_group(datagram.family()));
        assert_eq!(group.is_ok(), datagram.destination.is_multicast(), "{}", captured.place);
        let lowest = if group.is_ok() { 255 } else { 64 };
        assert_eq!(datagram.require_ttl(lowest), Ok(()), "{}", captured.place);
    }
}

/// Rule: without a configured key, a signed advertisement is not of the right length. Its virtual
/// router is found all the same, so that the discard is counted there.
#[test]
fn signed_packets_are_refused_for_their_length() {
    let captured = captured(true);
    assert_eq!(captured.len(), 43, "packets with a trailer");
    for captured in captured {
        let datagram = captured.datagram();
        assert_eq!(decode(&datagram), Err(Discard::Length), "{}", captured.place);
        let vrid = Vrid::try_from(captured.fields.vrid).unwrap();
        let found = virtual_router_id(&datagram);
        assert_eq!(found, Ok((captured.fields.version(), vrid)), "{}", captured.place);
    }
}

/// Rule: a message cut anywhere, or longer by anything, is refused for its length; a packet cut
/// anywhere is refused for its header.
#[test]
fn no_captured_packet_is_accepted_in_another_length() {
    for captured in captured(false) {
        let whole = captured.datagram();
        for length in 0..whole.message.len() {
            let message = &whole.message[..length];
            let discard = decode(&Datagram { message, ..whole });
            assert_eq!(discard, Err(Discard::Length), "{} cut to {length}", captured.place);
        }
        for added in 1..=64 {
            let message = &[whole.message, &vec![0; added]].concat();
            let discard = decode(&Datagram { message, ..whole });
            assert_eq!(discard, Err(Discard::Length), "{} and {added} bytes", captured.place);
        }
        for length in 0..captured.packet.len() {
            let discard = Datagram::from_ipv4(&captured.packet[..length]);
            assert_eq!(discard, Err(Discard::IpHeader), "{} cut to {length}", captured.place);
        }
    }
}

/// Rule: no single flipped bit in a message gets through. It moves the one's complement sum by a
/// power of two, so the form of checksum that was right is wrong; that the other form of v3 over
/// IPv4 is then right by accident takes a pseudo-header whose sum is that power of two, and no
/// captured one has it.
#[test]
fn no_flipped_bit_in_a_message_is_accepted() {
    for captured in captured(false) {
        let whole = captured.datagram();
        for bit in 0..whole.message.len() * 8 {
            let mut message = whole.message.to_vec();
            message[bit / 8] ^= 1 << (bit % 8);
            let decoded = decode(&Datagram { message: &message, ..whole });
            assert!(decoded.is_err(), "{} with bit {bit} flipped: {decoded:?}", captured.place);
        }
    }
}

/// Rule: a flipped bit in an IPv4 header either makes it contradict itself or its message's
/// checksum, and then the packet is refused, or it changes nothing of what the packet says.
#[test]
fn no_flipped_bit_in_a_header_changes_what_is_said() {
    let over_ipv4 = |captured: &Captured| captured.fields.src.is_ipv4();
    for captured in captured(false).into_iter().filter(over_ipv4) {
        let said = decode(&captured.datagram()).unwrap();
        for bit in 0..IPV4_HEADER * 8 {
            let mut packet = captured.packet.clone();
            packet[bit / 8] ^= 1 << (bit % 8);
            let decoded = Datagram::from_ipv4(&packet).and_then(|datagram| decode(&datagram));
            let refused = match bit / 8 {
                // The version, the two lengths, the fragment's offset and the protocol.
                0 | 2 | 3 | 7 | 9 => true,
                // The highest bits, "reserved" and "don't fragment", do not make it a fragment.
                6 => bit % 8 < 6,
                // The addresses.
                12.. => said.checksum == ChecksumForm::WithPseudoHeader,
                _ => false,
            };
            let expected = (!refused).then_some(&said);
            let place = &captured.place;
            assert_eq!(decoded.as_ref().ok(), expected, "{place} with bit {bit} flipped");
        }
    }
}

/// Rule: our gratuitous ARP is keepalived's and FRR's, with padding up to the shortest frame, and
/// the reply form differs from it in the operation and the target's hardware address alone.
#[test]
fn gratuitous_arp_is_what_keepalived_and_frr_send() {
    let mut compared = 0;
    for source in index().sources {
        for frame in source.frames {
            let Fields::Arp { sender_mac, sender_ip } = frame.fields else { continue };
            let captured = bytes(&frame.hex);
            let padding = [0; 18];
            let request = gratuitous_arp(mac(&sender_mac), sender_ip, ArpForm::Request);
            assert_eq!(request.len(), 60);
            assert_eq!(request, [&captured[..], &padding].concat(), "{}", source.name);

            let reply = gratuitous_arp(mac(&sender_mac), sender_ip, ArpForm::Reply);
            let mut expected = request;
            expected[21] = 2;
            expected[32..38].copy_from_slice(&mac(&sender_mac).0);
            assert_eq!(reply, expected, "{}", source.name);
            compared += 1;
        }
    }
    assert_eq!(compared, 8, "captured gratuitous ARP frames");
}

/// Rule: our neighbour advertisement is keepalived's and FRR's, given the same Router flag.
#[test]
fn neighbour_advertisement_is_what_keepalived_and_frr_send() {
    let mut compared = [0, 0];
    for source in index().sources {
        for frame in source.frames {
            let Fields::Na { target_mac, target_ip, router } = frame.fields else { continue };
            let ours =
                unsolicited_neighbour_advertisement(mac(&target_mac), target_ip, router == 1);
            assert_eq!(ours, bytes(&frame.hex), "{}", source.name);
            compared[usize::from(router)] += 1;
        }
    }
    assert_eq!(compared, [8, 4], "captured neighbour advertisements without and with Router flag");
}
