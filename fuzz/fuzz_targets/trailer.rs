//! Authentication: any bytes as a signed advertisement, and any change to one that is signed. Nothing
//! panics; what a key signs is proved by that key alone; no bit of it can be changed but those of the
//! checksum; no sequence is new twice; and a password is out of the packet before the engine gets it.

#![no_main]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use vipd::engine::{Input, Packet};
use vipd::keyring::{KeyRing, Place, Secrets};
use vipd::model::{AntiReplay, Family, InterfaceName, Key, KeyId, Password, Vrid, Window};
use vipd::time::{Mono, Wall};
use vipd::vrrp::auth::{Marks, Proof, Remembered, Sequence, Stamper, TRAILER_LENGTH, unsigned};
use vipd::vrrp::packet::{Datagram, multicast_group, split_trailer};
use vipd_fuzz::Food;

fuzz_target!(|bytes: &[u8]| {
    let mut food = Food::new(bytes);
    match food.byte() % 4 {
        0 => sign_and_change(&mut food),
        1 => any_bytes(&mut food),
        2 => nothing_twice(&mut food),
        _ => password(&mut food),
    }
});

fn interface() -> InterfaceName {
    InterfaceName::try_from("eth0").expect("a name")
}

fn source(family: Family, last: u8) -> IpAddr {
    match family {
        Family::V4 => [192, 0, 2, last].into(),
        Family::V6 => [0xfe80, 0, 0, 0, 0, 0, 0, u16::from(last)].into(),
    }
}

fn family(food: &mut Food<'_>) -> Family {
    if food.flag() { Family::V6 } else { Family::V4 }
}

/// How many keys there are, and numbers that each of them has.
const KEYS: u8 = 4;

/// A ring in which one key, under every number, serves all virtual routers of an interface.
fn ring(key: u8) -> &'static KeyRing {
    static RINGS: OnceLock<Vec<KeyRing>> = OnceLock::new();
    let make = |byte: u8| {
        let mut ring = KeyRing::default();
        for number in 1..=255 {
            for family in [Family::V4, Family::V6] {
                let router = Vrid::try_from(number).expect("not zero");
                let key = || Key::parse(&[b'a' + byte; 32]).expect("a key");
                let keys = (0..KEYS).map(|number| (id(number), key())).collect();
                let place: Place = (interface(), family, router);
                ring.put([place], Secrets::Keys(keys));
            }
        }
        ring
    };
    let rings = RINGS.get_or_init(|| (0..KEYS).map(make).collect());
    &rings[usize::from(key % KEYS)]
}

/// One of the numbers that keys have.
fn id(number: u8) -> KeyId {
    KeyId::try_from(1 + number % KEYS).expect("not zero")
}

/// What a ring says of a packet.
fn proof(ring: &KeyRing, source: IpAddr, message: &[u8]) -> Proof {
    let destination = multicast_group(Family::of(source));
    let packet = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let length = u16::try_from(20 + message.len()).expect("a short one").to_be_bytes();
            let mut bytes = vec![0x45, 0xc0, length[0], length[1], 0, 0, 0, 0, 255, 112, 0, 0];
            bytes.extend(source.octets());
            bytes.extend(destination.octets());
            bytes.extend(message);
            Packet::V4 { bytes }
        }
        _ => Packet::V6 { source, destination, hop_limit: 255, bytes: message.to_vec() },
    };
    let mut input =
        Input::Received { interface: interface(), arrived: Mono(0), packet, proof: Proof::None };
    ring.receive(&mut input);
    let Input::Received { proof, .. } = input else { unreachable!("it is the same input") };
    proof
}

/// An advertisement of which all is arbitrary but what its length needs.
fn message(food: &mut Food<'_>, family: Family) -> Vec<u8> {
    let (version, count) = if family == Family::V4 && food.flag() {
        (2, food.byte() % 4)
    } else {
        (3, food.byte() % 4)
    };
    let addresses = usize::from(count) * if family == Family::V4 { 4 } else { 16 };
    let [router, priority, fifth, sixth] = food.array();
    let mut message = vec![version << 4 | 1, router.max(1), priority, count, fifth, sixth, 0, 0];
    message.extend(food.array::<64>().iter().take(addresses));
    if version == 2 {
        message.extend(food.array::<8>());
    }
    message
}

fn sign_and_change(food: &mut Food<'_>) {
    let family = family(food);
    let id = id(food.byte());
    let (ours, theirs) = (food.byte() % KEYS, food.byte() % KEYS);
    let (key, sender) = (ring(ours), source(family, 11));
    let sequence = Sequence::new(u64::from_be_bytes(food.array()));
    let mut signed = message(food, family);
    let end = signed.len();
    signed.extend(unsigned(id, sequence));
    let ends = (sender, multicast_group(family));
    key.complete_message(&interface(), ends, &mut signed).expect("it has a key and a place for it");
    assert_eq!(proof(key, sender, &signed), Proof::Right);
    let other = proof(ring(theirs), sender, &signed);
    assert_eq!(other == Proof::Right, ours == theirs, "another key");
    assert_ne!(proof(key, source(family, 12), &signed), Proof::Right, "another sender");

    let bit = usize::from(food.number()) % (signed.len() * 8);
    let mut changed = signed.clone();
    changed[bit / 8] ^= 1 << (bit % 8);
    let is_checksum = (6..8).contains(&(bit / 8));
    assert_eq!(proof(key, sender, &changed) == Proof::Right, is_checksum, "bit {bit}");

    // Another advertisement with this one's trailer.
    let mut spliced = message(food, family);
    let differs = |from: usize, to: usize| spliced.get(from..to) != signed[..end].get(from..to);
    let is_another = differs(0, 6) || spliced.get(8..) != signed[..end].get(8..);
    spliced.extend(&signed[end..]);
    let spliced_is_right = proof(key, sender, &spliced) == Proof::Right;
    assert!(!(spliced_is_right && is_another), "spliced");
    let stripped = &signed[..signed.len() - TRAILER_LENGTH];
    assert_eq!(proof(key, sender, stripped), Proof::None, "stripped");
}

fn any_bytes(food: &mut Food<'_>) {
    let family = family(food);
    let ring = ring(food.byte());
    let bytes = food.bytes();
    assert_ne!(proof(ring, source(family, 11), bytes), Proof::Right, "a guessed code");
    let destination = multicast_group(family);
    let datagram = Datagram { source: source(family, 11), destination, ttl: 255, message: bytes };
    if let Ok((inner, Some(_))) = split_trailer(&datagram) {
        assert_eq!(inner.len() + TRAILER_LENGTH, bytes.len());
    }
}

/// The marks against the simplest model: all that was ever accepted of whom. Only for senders that are
/// few enough to be remembered, and in monotonic mode, in which nothing is forgotten.
fn nothing_twice(food: &mut Food<'_>) {
    let mut marks = Marks::default();
    let mut latest: BTreeMap<IpAddr, Sequence> = BTreeMap::new();
    let mut stamper = Stamper::default();
    let time = AntiReplay::Time(Window::DEFAULT);
    while !food.is_empty() {
        let sender = source(Family::V4, food.byte() % 8);
        let wall = Wall(u64::from(food.number()) << 26);
        let sequence = if food.flag() {
            let before = stamper;
            let next = stamper.next(wall, time);
            let clock = Sequence::at(wall);
            let mut again = before;
            assert_eq!(again.next(wall, time), next, "the same stamp from the same past");
            assert!(next.is_within(Window::DEFAULT.seconds() + 1, clock) || next.is_after(clock));
            next
        } else {
            Sequence::new(u64::from_be_bytes(food.array()))
        };
        let found = marks.look(wall, AntiReplay::Monotonic, sender, sequence);
        let expected = match latest.get(&sender) {
            None => Remembered::Nothing,
            Some(mark) if sequence.is_after(*mark) => Remembered::Earlier,
            Some(_) => Remembered::Already,
        };
        assert_eq!(found, expected);
        let in_time = marks.look(wall, time, sender, sequence);
        assert!(
            in_time == found || in_time == Remembered::Nothing,
            "only what is old is forgotten"
        );
        if found != Remembered::Already {
            marks.set(sender, sequence);
            latest.insert(sender, sequence);
            let again = marks.look(wall, AntiReplay::Monotonic, sender, sequence);
            assert_eq!(again, Remembered::Already);
        }
    }
}

fn password(food: &mut Food<'_>) {
    let mut ring = KeyRing::default();
    let router = Vrid::try_from(51).expect("not zero");
    let password = Password::parse(b"secret").expect("a password");
    ring.put([(interface(), Family::V4, router)], Secrets::Password(password));
    let mut bytes = food.bytes().to_vec();
    if food.flag() {
        bytes.extend(b"secret\0\0");
    }
    let length = u16::try_from(20 + bytes.len()).expect("a short one").to_be_bytes();
    let mut packet = vec![0x45, 0xc0, length[0], length[1], 0, 0, 0, 0, 255, 112, 0, 0];
    packet.extend([192, 0, 2, 11, 224, 0, 0, 18]);
    packet.extend(&bytes);
    let mut input = Input::Received {
        interface: interface(),
        arrived: Mono(0),
        packet: Packet::V4 { bytes: packet },
        proof: Proof::None,
    };
    ring.receive(&mut input);
    let Input::Received { packet: Packet::V4 { bytes: after }, proof, .. } = input else {
        unreachable!("it is the same input")
    };
    assert_eq!(after.len(), 20 + bytes.len());
    let is_version_2 = bytes.first() == Some(&0x21);
    let fits = bytes.len() == 16 + usize::from(bytes.get(3).copied().unwrap_or(0)) * 4;
    if proof == Proof::Right {
        assert!(bytes.ends_with(b"secret\0\0") && bytes.get(1) == Some(&51));
    }
    if is_version_2 && fits && bytes.get(4) == Some(&1) {
        assert!(after.ends_with(&[0; 8]), "the password is in the packet that is recorded");
    }
}
