//! A hostile wire: what anybody on the segment can send, and what must not come of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use vipd::engine::story::StateName;
use vipd::engine::{Action, Discard, Input, Packet};
use vipd::keyring::KeyRing;
use vipd::model::{
    Authentication, InstanceConfig, Interval, Mac, SecretSource, Transport, Version, Vrid,
};
use vipd::time::Span;
use vipd::vrrp::auth::{Proof, Sequence};
use vipd::vrrp::frame::{ArpForm, gratuitous_arp};
use vipd::vrrp::packet::{Advertisement, Authentication as Field, ChecksumForm};

use crate::keyed::{Keyed, Peer, SECOND, enforce, other_keys, password, plain, ring, with};
use crate::node::{OURS, PEER, VIRTUAL, advertisement, eth0, instance, packet, told};

/// A kind of group, since no group refuses for every reason.
#[derive(Clone, Copy, Debug)]
enum Setup {
    Version3,
    Version2,
    Password,
    Hmac,
    Unicast,
}

impl Setup {
    const ALL: [Self; 5] =
        [Self::Version3, Self::Version2, Self::Password, Self::Hmac, Self::Unicast];

    fn node(self, priority: u8) -> Keyed {
        let (config, ring) = self.config(priority);
        Keyed::new(config, ring)
    }

    fn config(self, priority: u8) -> (InstanceConfig, KeyRing) {
        let v2 = |one| InstanceConfig { version: Version::V2, ..one };
        match self {
            Self::Version3 => (instance(priority), KeyRing::default()),
            Self::Version2 => (v2(instance(priority)), KeyRing::default()),
            Self::Password => {
                let by_password = Authentication::Password(SecretSource::Inline);
                (v2(with(priority, by_password)), password("secret"))
            }
            Self::Hmac => (with(priority, enforce()), ring(&[1])),
            Self::Unicast => {
                let transport = Transport::Unicast { peers: vec![PEER], minimum_ttl: 255 };
                (InstanceConfig { transport, ..instance(priority) }, KeyRing::default())
            }
        }
    }

    /// What another member of the group says.
    fn valid(self, node: &Keyed, priority: u8) -> Vec<u8> {
        let v2 = Advertisement { version: Version::V2, ..advertisement(priority) };
        match self {
            Self::Version3 => plain(priority),
            Self::Version2 => packet(&v2, PEER, ChecksumForm::Message),
            Self::Password => {
                let authentication = Field::SimplePassword(*b"secret\0\0");
                let said = Advertisement { authentication, ..v2 };
                packet(&said, PEER, ChecksumForm::Message)
            }
            Self::Hmac => Peer::new(1).says(priority, node.now().wall),
            Self::Unicast => {
                let mut bytes = packet(&advertisement(priority), PEER, ChecksumForm::Message);
                let IpAddr::V4(ours) = OURS else { panic!("IPv4 only") };
                bytes[16..20].copy_from_slice(&ours.octets());
                bytes
            }
        }
    }

    /// Frames that have to be refused now, each for its reason; obeyed, each would move something.
    fn wrong(self, node: &Keyed, priority: u8) -> Vec<(Discard, Vec<u8>)> {
        let valid = self.valid(node, priority);
        let byte = |at: usize, value: u8| {
            let mut bytes = valid.clone();
            bytes[at] = value;
            bytes
        };
        let longer = |more: &[u8]| {
            let mut bytes = [&valid, more].concat();
            bytes[3] = u8::try_from(bytes.len()).unwrap();
            bytes
        };
        let own = Self::from(OURS, &valid);
        let mut all = vec![
            (Discard::IpHeader, byte(3, valid[3] + 1)),
            (Discard::Fragment, byte(6, 0x20)),
            (Discard::Protocol, byte(9, 17)),
            (Discard::Ttl, byte(8, 254)),
            (Discard::Destination, byte(19, 19)),
            (Discard::Length, longer(&[0])),
            (Discard::Version, byte(20, 0x41)),
            (Discard::MessageType, byte(20, valid[20] + 1)),
            (Discard::VirtualRouter, byte(21, 52)),
            (Discard::VersionMismatch, byte(20, valid[20] ^ 0x10)),
            (Discard::OwnPacket, own),
        ];
        all.extend(self.wrong_in_its_own_way(node, priority, &valid));
        all
    }

    fn wrong_in_its_own_way(
        self,
        node: &Keyed,
        priority: u8,
        valid: &[u8],
    ) -> Vec<(Discard, Vec<u8>)> {
        let v2 = Advertisement { version: Version::V2, ..advertisement(priority) };
        let five = Interval::from_seconds(5).unwrap();
        match self {
            Self::Version3 => vec![
                (Discard::Checksum, spoilt(valid)),
                (Discard::NoAddresses, summed(&[0x31, 51, priority, 0, 0, 100])),
                (Discard::ZeroInterval, summed(&[0x31, 51, priority, 1, 0, 0, 10, 0, 0, 100])),
                (Discard::AuthenticationMismatch, Peer::new(1).says(priority, node.now().wall)),
            ],
            Self::Version2 => vec![
                (Discard::Checksum, spoilt(valid)),
                (Discard::AuthenticationType, v2_summed(priority, 2, 1)),
                (Discard::ZeroInterval, v2_summed(priority, 0, 0)),
                (Discard::IntervalMismatch, {
                    let slow = Advertisement { interval: five, ..v2 };
                    packet(&slow, PEER, ChecksumForm::Message)
                }),
            ],
            Self::Password => vec![
                (Discard::Password, {
                    let authentication = Field::SimplePassword(*b"sesame\0\0");
                    let said = Advertisement { authentication, ..v2.clone() };
                    packet(&said, PEER, ChecksumForm::Message)
                }),
                (Discard::AuthenticationMismatch, packet(&v2, PEER, ChecksumForm::Message)),
            ],
            Self::Hmac => Self::wrongly_signed(node, priority, valid),
            Self::Unicast => vec![
                (Discard::Checksum, spoilt(valid)),
                (Discard::NotAPeer, Self::from([10, 0, 0, 77].into(), valid)),
            ],
        }
    }

    fn wrongly_signed(node: &Keyed, priority: u8, valid: &[u8]) -> Vec<(Discard, Vec<u8>)> {
        let now = node.now().wall;
        let mut malformed = valid.to_vec();
        malformed[20 + 12 + 2] = 1;
        let forged = Peer { ring: other_keys(), ..Peer::new(1) }.says(priority, now);
        vec![
            (Discard::Checksum, spoilt(valid)),
            (Discard::TrailerMissing, plain(priority)),
            (Discard::TrailerMalformed, malformed),
            (Discard::Stale, Peer::new(1).says(priority, now - SECOND.times(6))),
            (Discard::UnknownKey, Peer::new(2).says(priority, now)),
            (Discard::Hmac, forged),
            (Discard::ForeignSource, {
                let said = advertisement(priority);
                Peer::new(1).signs_from([10, 9, 0, 11].into(), &said, Sequence::at(now))
            }),
            (Discard::ForeignAddresses, {
                let addresses = vec![IpAddr::from([10, 0, 0, 101])];
                let said = Advertisement { addresses, ..advertisement(priority) };
                Peer::new(1).signs(&said, Sequence::at(now))
            }),
        ]
    }

    /// The same packet from another source, its checksum not corrected: that rule comes later.
    fn from(source: IpAddr, bytes: &[u8]) -> Vec<u8> {
        let IpAddr::V4(source) = source else { panic!("IPv4 only") };
        let mut bytes = bytes.to_vec();
        bytes[12..16].copy_from_slice(&source.octets());
        bytes
    }
}

fn spoilt(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[26] ^= 1;
    bytes
}

/// A packet with this message, of which the checksum is missing, over the message alone.
fn summed(message: &[u8]) -> Vec<u8> {
    let (head, rest) = message.split_at(6);
    let mut message = [head, &[0, 0], rest].concat();
    let sum: u32 = message.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(two[1])).sum();
    let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    message[6..8].copy_from_slice(&sum.to_be_bytes());
    let mut bytes = plain(1)[..20].to_vec();
    bytes.extend(message);
    bytes[3] = u8::try_from(bytes.len()).unwrap();
    bytes
}

fn v2_summed(priority: u8, authentication: u8, interval: u8) -> Vec<u8> {
    let head = [0x21, 51, priority, 1, authentication, interval, 10, 0, 0, 100];
    summed(&[&head[..], &[0; 8]].concat())
}

/// What was counted against so far, strays included.
fn discards(node: &Keyed) -> BTreeMap<Discard, u64> {
    let status = node.status();
    let mut all = status.instances[0].counters.discards.clone();
    for (discard, count) in status.stray_discards.into_values().flatten() {
        *all.entry(discard).or_default() += count;
    }
    all
}

fn hear(node: &mut Keyed, bytes: Vec<u8>) -> Vec<Action> {
    let (arrived, packet, proof) = (node.mono, Packet::V4 { bytes }, Proof::None);
    node.tell(Input::Received { interface: eth0(), arrived, packet, proof })
}

/// An active router, and when it has advertised in the next 30 s; it gets the wrong frames twice an
/// interval.
fn beat(setup: Setup, number: Option<usize>) -> (Vec<u64>, BTreeSet<Discard>) {
    let mut node = setup.node(100);
    node.pass(SECOND.times(5));
    assert_eq!(node.state(), StateName::Active);
    let (start, mut times) = (node.mono, Vec::new());
    for half in 0..60 {
        let until = node.mono + Span::from_millis(500);
        while node.engine.next_deadline().is_some_and(|due| due.at <= until) {
            node.mono = node.engine.next_deadline().unwrap().at;
            let sends = |action: &Action| matches!(action, Action::Send { .. });
            let sent = node.tell(Input::Deadline).iter().filter(|action| sends(action)).count();
            times.extend((0..sent).map(|_| node.mono.since(start).nanos()));
        }
        node.mono = until;
        let Some(number) = number else { continue };
        // One that would take the address away, and one that would end it.
        let (why, bytes) = setup.wrong(&node, if half % 2 == 0 { 254 } else { 0 }).remove(number);
        let actions = hear(&mut node, bytes);
        let silent = actions.iter().all(|action| matches!(action, Action::Report(_)));
        assert!(silent, "{setup:?} {why}: {actions:?}");
        assert_eq!(node.state(), StateName::Active, "{setup:?} {why}");
        assert_eq!(node.status().instances[0].held.len(), 1, "{setup:?} {why}");
    }
    (times, discards(&node).into_keys().collect())
}

/// Bug of others: in keepalived 2.2.7 and 2.4.3 any frame that names the VRID restarts the active
/// router's advertisement timer even when it is refused, so that two an interval silence it. Here an
/// active router that gets two an interval, of each kind that there is, advertises when it would have
/// advertised anyway.
#[test]
fn refused_frames_never_silence_an_active_router() {
    let mut seen = BTreeSet::new();
    for setup in Setup::ALL {
        let (undisturbed, _) = beat(setup, None);
        assert_eq!(undisturbed.len(), 30, "{setup:?}");
        for number in 0..setup.wrong(&setup.node(100), 254).len() {
            let (disturbed, counted) = beat(setup, Some(number));
            let (why, _) = setup.wrong(&setup.node(100), 254)[number];
            assert_eq!(disturbed, undisturbed, "{setup:?} {why}");
            assert_eq!(counted, [why].into(), "{setup:?}: counted under another reason");
            seen.insert(why);
        }
    }
    // These have tests of their own: what comes twice, or too early, and what owners hear.
    seen.extend([Discard::BeforeStart, Discard::Replay, Discard::AddressOwner]);
    let all: BTreeSet<Discard> = Discard::ALL.iter().copied().collect();
    assert_eq!(seen, all, "a reason that no frame here is refused for");
}

/// When a backup takes over whose active router is silent from now on, in nanoseconds.
fn takeover(setup: Setup, number: Option<usize>) -> u64 {
    let mut node = setup.node(100);
    let valid = setup.valid(&node, 200);
    hear(&mut node, valid);
    let start = node.mono;
    for _ in 0..60 {
        let until = node.mono + Span::from_millis(100);
        while node.engine.next_deadline().is_some_and(|due| due.at <= until) {
            node.mono = node.engine.next_deadline().unwrap().at;
            node.tell(Input::Deadline);
            if node.state() == StateName::Active {
                return node.mono.since(start).nanos();
            }
        }
        node.mono = until;
        let Some(number) = number else { continue };
        // One that would keep it waiting, and one that would hurry it.
        for priority in [254, 0] {
            let (_, bytes) = setup.wrong(&node, priority).remove(number);
            hear(&mut node, bytes);
        }
    }
    panic!("{setup:?} {number:?}: nobody takes over");
}

/// Bug of others: refused frames keep a backup from taking over, or hurry it. Here the active-down
/// timer runs on, to the nanosecond.
#[test]
fn refused_frames_never_move_a_backups_timer() {
    for setup in Setup::ALL {
        let undisturbed = takeover(setup, None);
        for number in 0..setup.wrong(&setup.node(100), 254).len() {
            let (why, _) = setup.wrong(&setup.node(100), 254)[number];
            assert_eq!(takeover(setup, Some(number)), undisturbed, "{setup:?} {why}");
        }
    }
}

/// Rule: what was heard once is refused from then on, twice an interval or more, and does not keep a
/// backup of a router that has died from taking over.
#[test]
fn replays_never_keep_a_backup_waiting() {
    let mut node = Setup::Hmac.node(100);
    node.pass(SECOND);
    let recorded = Peer::new(1).says(200, node.now().wall);
    assert_eq!(node.hear(&recorded), None);
    for _ in 0..40 {
        node.pass(Span::from_millis(100));
        assert!(matches!(node.hear(&recorded), Some(Discard::Replay)));
    }
    assert_eq!(node.state(), StateName::Active);
}

/// Rule: an owner goes on whatever is said (RFC 9568 section 7.1), and refuses who says that it owns the
/// addresses, too (erratum 8298).
#[test]
fn an_owner_is_unmoved() {
    let mut node = Keyed::new(instance(255), KeyRing::default());
    node.pass(SECOND);
    assert_eq!(node.state(), StateName::Active);
    for (priority, refused) in
        [(0, None), (100, None), (254, None), (255, Some(Discard::AddressOwner))]
    {
        assert_eq!(node.hear(&plain(priority)), refused, "{priority}");
        assert_eq!(node.state(), StateName::Active, "{priority}");
    }
    assert_eq!(node.pass(SECOND.times(10)).len(), 10);
}

/// Bug of others: FRR reads the four reserved bits as part of the interval, so that a backup waits for
/// minutes (RFC 9568 section 5.2.6: ignored on reception).
#[test]
fn reserved_bits_are_no_part_of_the_interval() {
    let mut node = Setup::Version3.node(100);
    let head = [0x31, 51, 200, 1, 0xf0, 100, 10, 0, 0, 100];
    assert_eq!(node.hear(&summed(&head)), None);
    let peers = &node.status().instances[0].peers;
    assert_eq!(peers[0].advertised.as_ref().unwrap().interval, Interval::ONE_SECOND);
    node.pass(SECOND.times(4));
    assert_eq!(node.state(), StateName::Active);
}

/// Bug of others: one frame with the longest interval, 40.95 s, makes a backup wait for 148 s. The
/// bound is the configured one; and the interval that somebody claims is named.
#[test]
fn the_longest_interval_is_not_learnt() {
    let maximum_interval = Interval::from_seconds(2).unwrap();
    let mut node =
        Keyed::new(InstanceConfig { maximum_interval, ..instance(100) }, KeyRing::default());
    let slow = Advertisement { interval: Interval::LONGEST_V3, ..advertisement(200) };
    let actions = hear(&mut node, packet(&slow, PEER, ChecksumForm::WithPseudoHeader));
    assert!(told(&actions).contains("advertises every 40.95 s"), "{}", told(&actions));
    node.pass(SECOND.times(8));
    assert_eq!(node.state(), StateName::Active);
}

/// Rule: priority 0 counts only from the router that is the active one here: a stranger's, however
/// often it comes, does not make a backup claim.
#[test]
fn a_strangers_farewell_is_no_farewell() {
    let mut node = Setup::Version3.node(100);
    for _ in 0..50 {
        node.hear(&plain(200));
        for stranger in 20..25 {
            let source = IpAddr::from([10, 0, 0, stranger]);
            node.hear(&packet(&advertisement(0), source, ChecksumForm::WithPseudoHeader));
        }
        node.pass(SECOND);
        assert_eq!(node.state(), StateName::Backup);
    }
}

/// Rule: who claims to be active with a lower priority, or to stop, is answered, but no more often than
/// twice an interval for either: a flood must not make this node flood (keepalived answers each one
/// with an advertisement and five announcements).
#[test]
fn answers_are_rationed() {
    for priority in [0, 50] {
        let mut node = Setup::Version3.node(100);
        node.pass(SECOND.times(60));
        let mut sent = 0;
        for number in 0..10_000_u32 {
            node.pass(Span::from_millis(1));
            let [.., high, low] = number.to_be_bytes();
            let source = IpAddr::from([10, 1, high, low]);
            let said = packet(&advertisement(priority), source, ChecksumForm::Message);
            let is_frame = |a: &&Action| matches!(a, Action::Send { .. } | Action::Announce { .. });
            sent += hear(&mut node, said).iter().filter(is_frame).count();
        }
        assert_eq!(node.state(), StateName::Active);
        // Ten intervals; an advertisement and two announcements for each answer.
        assert!((10..=3 * 21).contains(&sent), "{sent} frames in answer to priority {priority}");
    }
}

/// What comes, and the frame of this number.
type Flood<'a> = (&'a str, Box<dyn Fn(u8) -> Vec<u8> + 'a>);

/// Rule: whatever comes, and however much, a line for each is not written. Bug guarded: each valid
/// advertisement with another list of addresses, or from another source, was a line.
#[test]
fn a_flood_is_a_few_lines() {
    let list = |number: u8| Advertisement {
        addresses: vec![VIRTUAL, IpAddr::from([10, 9, 9, number])],
        ..advertisement(200)
    };
    let form = ChecksumForm::Message;
    let floods: [Flood<'_>; 5] = [
        ("lists of addresses", Box::new(|number| packet(&list(number), PEER, form))),
        (
            "active routers",
            Box::new(|number| {
                let source = IpAddr::from([10, 0, 0, 20 + number % 2]);
                packet(&advertisement(201 + number % 2), source, form)
            }),
        ),
        (
            "intervals",
            Box::new(|number| {
                let interval = Interval::try_from(u16::from(number) + 1).unwrap();
                packet(&Advertisement { interval, ..advertisement(200) }, PEER, form)
            }),
        ),
        (
            "refused sources",
            Box::new(|number| {
                let mut bytes = Setup::Version3.valid(&Setup::Version3.node(1), 200);
                bytes[15] = number;
                bytes[20] = 0x21;
                bytes
            }),
        ),
        ("farewells", Box::new(|number| plain(if number % 2 == 0 { 200 } else { 0 }))),
    ];
    for (what, frame) in floods {
        let mut node = Setup::Version3.node(100);
        node.pass(Span::from_millis(500));
        let mut lines = 0;
        for number in 0..10_000_u64 {
            node.mono = node.mono + Span::from_micros(50);
            let number = u8::try_from(number % 251).unwrap();
            let actions = hear(&mut node, frame(number));
            lines += actions.iter().filter(|a| matches!(a, Action::Report(_))).count();
        }
        assert!(lines <= 40, "{lines} lines for half a second of other {what}");
    }
}

/// Rule: conflicts with ever new stations are answered by one announcement in half a second, and
/// lead to a bounded number of lines.
#[test]
fn a_storm_of_conflicts_is_rationed() {
    let mut node = Setup::Version3.node(100);
    node.pass(SECOND.times(60));
    let IpAddr::V4(address) = VIRTUAL else { panic!("IPv4") };
    let (mut announced, mut lines) = (0, 0);
    for number in 0..10_000_u32 {
        let [.., high, low] = number.to_be_bytes();
        let frame = gratuitous_arp(Mac([2, 9, 9, 9, high, low]), address, ArpForm::Reply);
        let mut actions = node.tell(Input::Conflict { interface: eth0(), frame });
        node.mono = node.mono + Span::from_millis(1);
        while node.engine.next_deadline().is_some_and(|due| due.at <= node.mono) {
            actions.extend(node.tell(Input::Deadline));
        }
        announced += actions.iter().filter(|a| matches!(a, Action::Announce { .. })).count();
        lines += actions.iter().filter(|a| matches!(a, Action::Report(_))).count();
    }
    assert_eq!(node.state(), StateName::Active);
    assert!(announced <= 2 * 21, "{announced} announcements in 10 s");
    assert!((1..=40).contains(&lines), "{lines} lines in 10 s");
    assert_eq!(node.status().instances[0].counters.address_conflicts, 10_000);
}

/// Rule: strangers cannot fill the tables: whoever was accepted once stays known, and what is wrong with
/// a router is told although thousands of invented ones are refused.
#[test]
fn strangers_push_nobody_out() {
    let mut node = Setup::Hmac.node(100);
    node.pass(SECOND.times(60));
    let valid = Peer::new(1).says(50, node.now().wall);
    assert_eq!(node.hear(&valid), None);
    for number in 0..1_000_u32 {
        let [.., high, low] = number.to_be_bytes();
        let forged = Setup::from(IpAddr::from([10, 1, high, low]), &plain(200));
        hear(&mut node, forged);
    }
    let peers = node.status().instances[0].peers.clone();
    assert!(peers.len() <= 64, "{}", peers.len());
    assert!(peers.iter().any(|peer| peer.peer.address == PEER), "the real one is forgotten");
    // Another kind of trouble has its own room.
    let (mut lines, mut last) = (String::new(), valid);
    for _ in 0..6 {
        node.pass(SECOND);
        last = Peer::new(1).says(50, node.now().wall);
        lines += &told(&hear(&mut node, last.clone()));
    }
    assert!(lines.contains("is active too"), "{lines}");
    // A recording is still one: its sender is not forgotten.
    assert_eq!(node.hear(&last), Some(Discard::Replay));
}

/// Rule: packets for other virtual routers are one counter, however many numbers they name.
#[test]
fn foreign_virtual_routers_are_a_counter() {
    let mut node = Setup::Version3.node(100);
    for number in (1..=255_u8).filter(|number| *number != 51) {
        let virtual_router_id = Vrid::try_from(number).unwrap();
        let foreign = Advertisement { virtual_router_id, ..advertisement(255) };
        let actions = hear(&mut node, packet(&foreign, PEER, ChecksumForm::Message));
        assert_eq!(actions, []);
    }
    assert_eq!(discards(&node), [(Discard::VirtualRouter, 254)].into());
    assert_eq!(node.status().instances[0].peers, []);
}
