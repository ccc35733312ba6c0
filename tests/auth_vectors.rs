//! Authentication against frames that keepalived 2.2.7 (passwords) and 2.4.3 (HMAC) have sent, and
//! the vectors of draft-cassen-vrrp-auth-hmac (`tests/vectors/README.md`).

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its own helpers too"
)]

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;
use vipd::engine::{Discard, Engine, Input, Link, LinkAddress, Packet};
use vipd::keyring::{KeyRing, Secrets, places};
use vipd::model::{
    AntiReplay, Authentication, ChecksumStyle, Config, Family, HmacAuthentication, HmacKey,
    HmacMode, IfAllFail, InstanceConfig, InterfaceName, Interval, Key, KeyId, Mac, Notify,
    Password, Preempt, Priority, Scope, SecretSource, Version, VirtualAddress, Vrid, Window,
};
use vipd::time::{Mono, Now, Span, Wall};
use vipd::vrrp::auth::{Proof, Trailer, unsigned};
use vipd::vrrp::packet::{
    ChecksumForm, Datagram, decode_before_trailer, multicast_group, split_trailer,
};

const TRAILER: usize = 28;

#[derive(Deserialize)]
struct Index {
    sources: Vec<Source>,
    published_hmac_vectors: Vec<Published>,
}

#[derive(Deserialize)]
struct Source {
    name: String,
    frames: Vec<Frame>,
    hmac: Option<Hmac>,
}

#[derive(Deserialize)]
struct Hmac {
    keys: BTreeMap<String, String>,
    active: u8,
    mode: String,
    anti_replay: String,
    window: u16,
}

#[derive(Deserialize)]
struct Frame {
    number: u32,
    time: f64,
    hex: String,
    fields: serde_json::Value,
    #[serde(default)]
    checksum_valid_as: Vec<String>,
}

#[derive(Deserialize)]
struct Published {
    name: String,
    source: IpAddr,
    vrid: u8,
    key_id: u8,
    key: String,
    sequence: String,
    payload: String,
}

/// A captured packet.
struct Captured {
    place: String,
    at: Wall,
    packet: Packet,
    form: ChecksumForm,
}

/// The captures of one daemon.
struct Capture {
    name: String,
    hmac: Hmac,
    packets: Vec<Captured>,
}

fn index() -> Index {
    serde_json::from_str(include_str!("vectors/index.json")).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn captured(name: &str, frame: &Frame) -> Option<Captured> {
    if frame.fields["kind"] != "vrrp" {
        return None;
    }
    let packet = bytes(&frame.hex)[14..].to_vec();
    let packet = if packet[0] >> 4 == 4 {
        Packet::V4 { bytes: packet }
    } else {
        let address = |at: usize| {
            let octets: [u8; 16] = packet[at..at + 16].try_into().unwrap();
            IpAddr::from(octets)
        };
        let (source, destination) = (address(8), address(24));
        Packet::V6 { source, destination, hop_limit: packet[7], bytes: packet[40..].to_vec() }
    };
    let micros = std::time::Duration::from_secs_f64(frame.time).as_micros();
    let pseudo = frame.checksum_valid_as.iter().any(|form| form.contains("pseudo"));
    Some(Captured {
        place: format!("{name} frame {}", frame.number),
        at: Wall(0) + Span::from_micros(u64::try_from(micros).unwrap()),
        packet,
        form: if pseudo { ChecksumForm::WithPseudoHeader } else { ChecksumForm::Message },
    })
}

/// All captures of keepalived 2.4.3 with HMAC.
fn captures() -> Vec<Capture> {
    let signed = index().sources.into_iter().filter_map(|source| {
        let Source { name, frames, hmac } = source;
        let packets = frames.iter().filter_map(|frame| captured(&name, frame)).collect();
        Some(Capture { hmac: hmac?, packets, name })
    });
    signed.collect()
}

/// Those in which something is signed.
fn signed() -> Vec<Capture> {
    captures().into_iter().filter(|capture| capture.hmac.mode != "receive-only").collect()
}

fn id(number: u8) -> KeyId {
    KeyId::try_from(number).unwrap()
}

impl Hmac {
    fn keys(&self) -> BTreeMap<KeyId, Key> {
        let key = |hex: &String| Key::parse(format!("hex:{hex}").as_bytes()).unwrap();
        self.keys.iter().map(|(number, hex)| (id(number.parse().unwrap()), key(hex))).collect()
    }

    fn config(&self, mode: HmacMode) -> HmacAuthentication {
        let key = |id| HmacKey { id, source: SecretSource::Inline };
        HmacAuthentication {
            mode,
            keys: self.keys().into_keys().map(key).collect(),
            send: Some(id(self.active)),
            anti_replay: match self.anti_replay.as_str() {
                "time" => AntiReplay::Time(Window::try_from(self.window).unwrap()),
                "monotonic" => AntiReplay::Monotonic,
                other => panic!("{other}"),
            },
        }
    }
}

fn eth0() -> InterfaceName {
    InterfaceName::try_from("eth0").unwrap()
}

/// A backup that hears the packets of a capture, with the keys that belong to it.
struct Receiver {
    engine: Engine,
    ring: KeyRing,
    mono: Mono,
    /// What the wall clock was when the other one was zero.
    zero: Wall,
}

impl Receiver {
    /// One that began to listen a second before `at`.
    fn new(like: &Packet, authentication: Authentication, secrets: Secrets, at: Wall) -> Self {
        let datagram = like.datagram().unwrap();
        let family = datagram.family();
        let config = instance(family, datagram.message[0] >> 4, authentication);
        let mut ring = KeyRing::default();
        ring.put(places(&config), secrets);
        let mono = Mono(0) + Span::from_secs(1_000);
        let zero = at - Span::from_secs(1_001);
        let now = Now { mono, wall: zero + Span::from_secs(1_000) };
        let config = Config { instances: vec![config], ..Config::default() };
        let mut one = Self { engine: Engine::new(config, now), ring, mono, zero };
        let own = match family {
            Family::V4 => "192.0.2.50",
            Family::V6 => "fe80::50",
        };
        let own = LinkAddress { address: own.parse().unwrap(), prefix: 24, secondary: false };
        let link = Link {
            index: 2,
            mac: Some(Mac([2, 0, 0, 0, 0, 50])),
            up: true,
            carrier: true,
            mtu: 1500,
            addresses: vec![own],
            unusable: Vec::new(),
            forwards_ipv6: false,
        };
        let _ = one.engine.handle(now, Input::Link { interface: eth0(), link: Some(link) });
        let (interface, missing) = (eth0(), Vec::new());
        let _ = one.engine.handle(now, Input::Listening { interface, family, missing });
        one
    }

    fn of(capture: &Capture, mode: HmacMode) -> Self {
        let first = &capture.packets[0];
        let authentication = Authentication::Hmac(capture.hmac.config(mode));
        Self::new(&first.packet, authentication, Secrets::Keys(capture.hmac.keys()), first.at)
    }

    /// Why a packet that arrives then is refused; `None`: it is accepted.
    fn hears(&mut self, packet: &Packet, at: Wall) -> Option<Discard> {
        let before = self.counters();
        self.mono = self.mono.max(Mono(0) + at.since(self.zero));
        let mut input = Input::Received {
            interface: eth0(),
            arrived: self.mono,
            packet: packet.clone(),
            proof: Proof::None,
        };
        self.ring.receive(&mut input);
        let _ = self.engine.handle(Now { mono: self.mono, wall: at }, input);
        let after = self.counters();
        let more = |discard: &&Discard| after.1.get(*discard) != before.1.get(*discard);
        let counted = Discard::ALL.iter().find(more).copied();
        assert_eq!(counted.is_none(), after.0 == before.0 + 1, "accepted or counted, not both");
        counted
    }

    fn counters(&self) -> (u64, BTreeMap<Discard, u64>) {
        let status = self.engine.status(Now { mono: self.mono, wall: self.zero });
        let counters = &status.instances[0].counters;
        let mut discards = counters.discards.clone();
        for (discard, count) in status.stray_discards.values().flatten() {
            *discards.entry(*discard).or_default() += count;
        }
        (counters.advertisements_received, discards)
    }
}

fn instance(family: Family, version: u8, authentication: Authentication) -> InstanceConfig {
    let address = match family {
        Family::V4 => "192.0.2.100",
        Family::V6 => "fe80::100",
    };
    InstanceConfig {
        further_interfaces: Vec::new(),
        transport: vipd::model::Transport::STANDARD,
        name: "web".try_into().unwrap(),
        interface: eth0(),
        virtual_router_id: Vrid::try_from(51).unwrap(),
        version: if version == 2 { Version::V2 } else { Version::V3 },
        priority: Priority::try_from(50).unwrap(),
        advertisement_interval: Interval::ONE_SECOND,
        maximum_interval: Interval::LONGEST_V3,
        addresses: vec![VirtualAddress {
            address: address.parse().unwrap(),
            prefix: 32,
            dev: None,
            label: None,
            scope: Scope::Global,
        }],
        extra_addresses: Vec::new(),
        routes: Vec::new(),
        rules: Vec::new(),
        preempt: Preempt::Always,
        hold_down: Span::ZERO,
        link_down_delay: Span::ZERO,
        link_up_delay: Span::ZERO,
        lease: None,
        announce_refresh: Span::ZERO,
        checksum: ChecksumStyle::Auto,
        tracks: Vec::new(),
        if_all_fail: IfAllFail::Release,
        notify: Notify::default(),
        authentication,
        virtual_mac: false,
    }
}

fn is_multicast(packet: &Packet) -> bool {
    let datagram = packet.datagram().unwrap();
    datagram.destination == multicast_group(datagram.family())
}

/// The packet with another message.
fn with_message(packet: &Packet, change: impl FnOnce(&mut Vec<u8>)) -> Packet {
    let mut packet = packet.clone();
    match &mut packet {
        Packet::V6 { bytes, .. } => change(bytes),
        Packet::V4 { bytes } => {
            let mut message = bytes.split_off(20);
            change(&mut message);
            bytes.extend(message);
            let length = u16::try_from(bytes.len()).unwrap();
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
        }
    }
    packet
}

fn judged(ring: &KeyRing, packet: &Packet) -> Proof {
    let (packet, arrived) = (packet.clone(), Mono(0));
    let mut input = Input::Received { interface: eth0(), arrived, packet, proof: Proof::None };
    ring.receive(&mut input);
    let Input::Received { proof, .. } = input else { unreachable!() };
    proof
}

/// Rule: each signed packet of keepalived is right, multicast and unicast, and what we send with the
/// same content, key and sequence is the same to the last bit.
#[test]
fn captured_packets_verify_and_are_signed_to_the_same_bytes() {
    let captures = signed();
    let count: usize = captures.iter().map(|capture| capture.packets.len()).sum();
    assert_eq!((captures.len(), count), (11, 43));
    for capture in captures {
        let receiver = Receiver::of(&capture, HmacMode::Enforce);
        for Captured { place, packet, form, .. } in &capture.packets {
            assert_eq!(judged(&receiver.ring, packet), Proof::Right, "{place}");
            let datagram = packet.datagram().unwrap();
            let (_, trailer) = split_trailer(&datagram).unwrap();
            let trailer = Trailer::read(trailer.unwrap()).unwrap();
            assert_eq!(trailer.key, capture.hmac.active, "{place}");
            let said = decode_before_trailer(&datagram).unwrap().advertisement;
            let ends = (datagram.source, datagram.destination);
            let mut message = said.encode(ends.0, ends.1, *form).unwrap();
            message.extend(unsigned(id(trailer.key), trailer.sequence));
            receiver.ring.complete_message(&eth0(), ends, &mut message).unwrap();
            assert_eq!(message, datagram.message, "{place}");
        }
    }
}

/// Rule: the draft's own vectors are right, and made to the same bytes.
#[test]
fn published_vectors_verify() {
    let vectors = index().published_hmac_vectors;
    assert_eq!(vectors.len(), 2);
    for Published { name, source, vrid, key_id, key, sequence, payload } in vectors {
        let payload = bytes(&payload);
        assert_eq!(payload[1], vrid);
        let datagram = Datagram { source, destination: source, ttl: 255, message: &payload };
        let (message, trailer) = split_trailer(&datagram).unwrap();
        let trailer = Trailer::read(trailer.unwrap()).unwrap();
        let key = Key::parse(format!("hex:{key}").as_bytes()).unwrap();
        assert!(trailer.is_right(&key, source, message), "{name}");
        assert_eq!(trailer.key, key_id);
        assert_eq!(format!("{:016x}", trailer.sequence.get()), sequence);
        let made = trailer.signed(&key, source, message).unwrap();
        assert_eq!(made, payload[payload.len() - TRAILER..], "{name}");
    }
}

/// Rule: an engine with the keys accepts each captured packet at its time and once; the same again is
/// a replay, and at another time it is stale, by one second beyond the window in both directions.
#[test]
fn each_captured_packet_is_accepted_once_and_in_its_time() {
    for capture in signed().iter().filter(|capture| is_multicast(&capture.packets[0].packet)) {
        let mut receiver = Receiver::of(capture, HmacMode::Enforce);
        for Captured { place, at, packet, .. } in &capture.packets {
            assert_eq!(receiver.hears(packet, *at), None, "{place}");
            assert_eq!(receiver.hears(packet, *at), Some(Discard::Replay), "{place}");
            let is_timed = capture.hmac.anti_replay == "time";
            for other in [*at + Span::from_secs(6), *at - Span::from_secs(6)] {
                let found = Receiver::of(capture, HmacMode::Enforce).hears(packet, other);
                assert_eq!(found, is_timed.then_some(Discard::Stale), "{place}");
            }
        }
        // An older one than the last is a replay too.
        let first = &capture.packets[0];
        let last = capture.packets.last().unwrap();
        assert_eq!(receiver.hears(&first.packet, last.at), Some(Discard::Replay));
    }
}

/// Rule: stripped, malformed, forged, spliced and unknown ones are refused, each with its own counter,
/// and only a receiver that enforces refuses what is not signed.
#[test]
fn altered_packets_are_refused_by_name() {
    for capture in signed().iter().filter(|capture| is_multicast(&capture.packets[0].packet)) {
        let [first, second, ..] = capture.packets.as_slice() else { panic!("two packets") };
        let packet = &first.packet;
        let refusal =
            |packet: &Packet| Receiver::of(capture, HmacMode::Enforce).hears(packet, first.at);
        let from_end = |back: usize, value: u8| {
            with_message(packet, |message| {
                let place = message.len() - back;
                message[place] ^= value;
            })
        };
        let place = &first.place;
        let stripped = with_message(packet, |message| message.truncate(message.len() - TRAILER));
        // Over IPv6 the checksum covers the trailer: whoever strips it makes another one.
        assert_eq!(refusal(&stripped), Some(Discard::TrailerMissing), "{place}");
        assert_eq!(refusal(&from_end(28, 2)), Some(Discard::TrailerMalformed), "{place}");
        assert_eq!(refusal(&from_end(26, 1)), Some(Discard::TrailerMalformed), "{place}");
        assert_eq!(refusal(&from_end(25, 1)), Some(Discard::TrailerMalformed), "{place}");
        assert_eq!(refusal(&from_end(27, 0x55)), Some(Discard::UnknownKey), "{place}");
        assert_eq!(refusal(&from_end(20, 1)), Some(Discard::Hmac), "{place}: the fraction");
        assert_eq!(refusal(&from_end(1, 1)), Some(Discard::Hmac), "{place}: the code");

        let trailer_of_second = {
            let datagram = second.packet.datagram().unwrap();
            datagram.message[datagram.message.len() - TRAILER..].to_vec()
        };
        let spliced = with_message(packet, |message| {
            message[2] ^= 1;
            message.truncate(message.len() - TRAILER);
            message.extend(trailer_of_second);
        });
        assert_eq!(refusal(&spliced), Some(Discard::Hmac), "{place}: spliced");
    }
}

/// Rule: no single flipped bit of a message that is covered gets through; the checksum is not covered
/// by the code, and is judged by itself. Cut anywhere it is refused.
#[test]
fn no_flipped_bit_and_no_cut_gets_through() {
    for capture in signed() {
        let receiver = Receiver::of(&capture, HmacMode::Enforce);
        let packet = &capture.packets[0].packet;
        let place = &capture.packets[0].place;
        let length = packet.datagram().unwrap().message.len();
        for bit in 0..length * 8 {
            let flipped = with_message(packet, |message| message[bit / 8] ^= 1 << (bit % 8));
            let is_checksum = matches!(bit / 8, 6 | 7);
            let proof = judged(&receiver.ring, &flipped);
            assert_eq!(proof == Proof::Right, is_checksum, "{place} bit {bit}");
            if is_multicast(packet) {
                let mut other = Receiver::of(&capture, HmacMode::Enforce);
                let refusal = other.hears(&flipped, capture.packets[0].at);
                assert!(refusal.is_some(), "{place} bit {bit}");
                assert!(!is_checksum || refusal == Some(Discard::Checksum), "{place} bit {bit}");
            }
        }
        for end in 0..length {
            let cut = with_message(packet, |message| message.truncate(end));
            assert_ne!(judged(&receiver.ring, &cut), Proof::Right, "{place} cut at {end}");
        }
        // Moved to another source address.
        let moved = match packet.clone() {
            Packet::V4 { mut bytes } => {
                bytes[15] ^= 1;
                Packet::V4 { bytes }
            }
            Packet::V6 { destination, hop_limit, bytes, .. } => {
                let source = "fe80::12".parse().unwrap();
                Packet::V6 { source, destination, hop_limit, bytes }
            }
        };
        assert_eq!(judged(&receiver.ring, &moved), Proof::Wrong, "{place}: another source");
    }
}

/// Rule: a keepalived that only receives signs nothing, and who enforces refuses it; the other modes
/// accept it, as they accept one whose trailer was stripped: that is their meaning.
#[test]
fn what_is_not_signed_is_a_matter_of_the_mode() {
    let all = captures();
    let receive_only = all.iter().find(|capture| capture.hmac.mode == "receive-only").unwrap();
    for (mode, refusal) in [
        (HmacMode::Enforce, Some(Discard::TrailerMissing)),
        (HmacMode::Permissive, None),
        (HmacMode::ReceiveOnly, None),
    ] {
        let mut receiver = Receiver::of(receive_only, mode);
        for Captured { place, at, packet, .. } in &receive_only.packets {
            assert_eq!(receiver.hears(packet, *at), refusal, "{place} {mode:?}");
        }
    }
    for capture in signed().iter().filter(|capture| is_multicast(&capture.packets[0].packet)) {
        for mode in [HmacMode::Permissive, HmacMode::ReceiveOnly] {
            let mut receiver = Receiver::of(capture, mode);
            let Captured { at, packet, .. } = &capture.packets[0];
            let wrong = with_message(packet, |message| *message.last_mut().unwrap() ^= 1);
            assert_eq!(receiver.hears(&wrong, *at), Some(Discard::Hmac), "{}", capture.name);
            assert_eq!(receiver.hears(packet, *at), None, "{}", capture.name);
        }
    }
}

/// Rule: keepalived's passwords are right or wrong, our packets with the same password are the same to
/// the last bit, and what the engine gets has no password in it.
#[test]
fn captured_passwords() {
    let mut compared = 0;
    for source in index().sources {
        for frame in &source.frames {
            let Some(captured) = captured(&source.name, frame) else { continue };
            let Some(1) = frame.fields["auth_type"].as_u64() else { continue };
            let Captured { place, at, packet, .. } = captured;
            let datagram = packet.datagram().unwrap();
            let field = bytes(frame.fields["auth_data"].as_str().unwrap());
            let text: Vec<u8> = field.iter().copied().take_while(|byte| *byte != 0).collect();
            let password = || Secrets::Password(Password::parse(&text).unwrap());
            let by_password = || Authentication::Password(SecretSource::Inline);
            let mut receiver = Receiver::new(&packet, by_password(), password(), at);
            assert_eq!(receiver.hears(&packet, at), None, "{place}");

            let mut input = Input::Received {
                interface: eth0(),
                arrived: Mono(0),
                packet: packet.clone(),
                proof: Proof::None,
            };
            receiver.ring.receive(&mut input);
            let Input::Received { packet: Packet::V4 { bytes: blank }, proof, .. } = input else {
                panic!("IPv4")
            };
            assert_eq!((proof, &blank[blank.len() - 8..]), (Proof::Right, &[0; 8][..]));
            let blank = Datagram::from_ipv4(&blank).unwrap();
            let said = decode_before_trailer(&blank).unwrap().advertisement;
            let ends = (datagram.source, datagram.destination);
            let mut message = said.encode(ends.0, ends.1, ChecksumForm::Message).unwrap();
            assert_eq!(message, blank.message, "{place}");
            receiver.ring.complete_message(&eth0(), ends, &mut message).unwrap();
            assert_eq!(message, datagram.message, "{place}");

            let other = Secrets::Password(Password::parse(b"another").unwrap());
            let refusal = Receiver::new(&packet, by_password(), other, at).hears(&packet, at);
            assert_eq!(refusal, Some(Discard::Password), "{place}");
            let none =
                Receiver::new(&packet, Authentication::None, password(), at).hears(&packet, at);
            assert_eq!(none, Some(Discard::AuthenticationMismatch), "{place}");
            compared += 1;
        }
    }
    assert_eq!(compared, 5, "captured packets with a password");
}
