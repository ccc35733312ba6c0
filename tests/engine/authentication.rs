//! Authentication: who is heard, in which mode, and what clocks, restarts and other keys do to it.

use vipd::engine::story::StateName;
use vipd::engine::{Action, Discard, HeldRouter, Input};
use vipd::keyring::KeyRing;
use vipd::model::{AntiReplay, Authentication, HmacMode, InstanceConfig, SecretSource, Version};
use vipd::time::{Span, Wall};
use vipd::trace::{Header, Reader, Writer, replay};
use vipd::vrrp::auth::{Sequence, Stamper};
use vipd::vrrp::packet::{Advertisement, ChecksumForm};

use crate::keyed::{
    Keyed, Peer, SECOND, SECRET, ZERO, enforce, hmac, other_keys, password, plain, ring, with,
};
use crate::node::{PEER, advertisement, eth0, instance, link, packet};

/// Rule: two nodes with the same key hear each other in all modes; what a mode signs is signed; and
/// only `enforce` refuses what is not signed.
#[test]
fn modes() {
    use HmacMode::{Enforce, Permissive, ReceiveOnly};
    for (mode, signs, of_the_unsigned) in [
        (ReceiveOnly, false, None),
        (Permissive, true, None),
        (Enforce, true, Some(Discard::TrailerMissing)),
    ] {
        let authentication = Authentication::Hmac(hmac(mode, &[1], 1));
        let mut node = Keyed::new(with(100, authentication), ring(&[1]));
        let sent = node.pass(SECOND.times(5));
        assert_eq!(node.state(), StateName::Active);
        assert!(sent.iter().all(|message| message.len() == 12 + if signs { 28 } else { 0 }));
        // It yields to what it accepts.
        let refused = node.hear(&plain(200));
        assert_eq!(refused, of_the_unsigned, "{mode:?}");
        let yields = of_the_unsigned.is_none();
        assert_eq!(node.state() == StateName::Backup, yields, "{mode:?}");
        let clock = node.now().wall;
        assert_eq!(node.hear(&Peer::new(1).says(201, clock)), None, "{mode:?}");
        assert_eq!(node.state(), StateName::Backup, "{mode:?}");
        let wrong =
            Peer { key: 1, ring: other_keys(), stamper: Stamper::default() }.says(202, clock);
        assert_eq!(node.hear(&wrong), Some(Discard::Hmac), "{mode:?}");
    }
}

/// Rule: what one node signs another one with the key accepts, also in the same moment, and nobody
/// else.
#[test]
fn what_is_sent_is_accepted_by_the_others() {
    let mut active = Keyed::new(with(100, enforce()), ring(&[1]));
    let sent = active.pass(SECOND.times(8));
    assert!(sent.len() > 3);
    let mut backup = Keyed::new(with(50, enforce()), ring(&[1]));
    let mut stranger = Keyed::new(with(50, Authentication::None), KeyRing::default());
    backup.mono = active.mono;
    stranger.mono = active.mono;
    let header = &plain(100)[..20];
    for message in sent.iter().rev().take(3).rev() {
        let mut bytes = [header, message].concat();
        bytes[12..16].copy_from_slice(&[10, 0, 0, 10]);
        bytes[3] = u8::try_from(bytes.len()).unwrap();
        // As if it came from another machine: the source is signed, so it stays.
        backup.tell(Input::Link { interface: eth0(), link: Some(elsewhere()) });
        stranger.tell(Input::Link { interface: eth0(), link: Some(elsewhere()) });
        assert_eq!(backup.hear(&bytes), None);
        assert_eq!(backup.hear(&bytes), Some(Discard::Replay));
        assert_eq!(stranger.hear(&bytes), Some(Discard::AuthenticationMismatch));
    }
}

/// An interface with another address than [`crate::node::OURS`].
fn elsewhere() -> vipd::engine::Link {
    let mut link = link();
    link.addresses[0].address = [10, 0, 0, 12].into();
    link
}

/// Invariant 8: whatever is refused changes no timer and no state, and each has its own counter.
#[test]
fn refused_advertisements_change_nothing() {
    let mut node = Keyed::new(with(100, enforce()), ring(&[1]));
    node.pass(SECOND);
    let clock = node.now().wall;
    let mut peer = Peer::new(1);
    let first = peer.says(200, clock);
    assert_eq!(node.hear(&first), None);
    let due = node.engine.next_deadline();
    let mut spliced = peer.says(200, clock);
    let other = peer.says(0, clock);
    let end = spliced.len() - 28;
    spliced.truncate(end);
    spliced.extend(&other[end..]);
    let mut malformed = first.clone();
    malformed[end + 2] = 1;
    let mut of_the_past = Peer::new(1);
    let mut checksum = peer.says(0, clock);
    checksum[26] ^= 1;
    for (bytes, why) in [
        (first.clone(), Discard::Replay),
        (plain(0), Discard::TrailerMissing),
        (malformed, Discard::TrailerMalformed),
        (of_the_past.says(0, clock - SECOND.times(6)), Discard::Stale),
        (of_the_past.says(0, clock + SECOND.times(6)), Discard::Stale),
        (Peer::new(2).says(0, clock), Discard::UnknownKey),
        (spliced, Discard::Hmac),
        (checksum, Discard::Checksum),
    ] {
        assert_eq!(node.hear(&bytes), Some(why));
        assert_eq!((node.engine.next_deadline(), node.state()), (due, StateName::Backup));
    }
    let status = node.status();
    let named: Vec<&str> =
        status.instances[0].conflicts.iter().map(|conflict| conflict.text.as_str()).collect();
    for text in ["not signed", "time stamp", "number is not configured", "signature is wrong"] {
        assert!(named.iter().any(|line| line.contains(text)), "{text}: {named:?}");
    }
}

/// Bug guarded: a mark must not be moved by a packet that is refused for another reason: its
/// checksum is not signed, so anybody can spoil it, and the real one would then be a replay.
#[test]
fn a_spoilt_copy_does_not_spend_the_original() {
    let mut node = Keyed::new(with(100, enforce()), ring(&[1]));
    node.pass(SECOND);
    let real = Peer::new(1).says(200, node.now().wall);
    let mut spoilt = real.clone();
    spoilt[26] ^= 1;
    assert_eq!(node.hear(&spoilt), Some(Discard::Checksum));
    assert_eq!(node.hear(&real), None);
}

/// Rule: what nobody has proved is wrong. A key that is configured and not in the key ring, or was
/// not asked, proves nothing.
#[test]
fn what_is_not_proved_is_refused() {
    let mut node = Keyed::new(with(100, enforce()), KeyRing::default());
    let clock = node.now().wall;
    assert_eq!(node.hear(&Peer::new(1).says(200, clock)), Some(Discard::Hmac));
}

/// Rule: what was recorded before this node was started again is refused, though it is recent.
#[test]
fn recordings_from_before_a_restart_are_refused() {
    let mut peer = Peer::new(1);
    let before = ZERO + SECOND.times(998);
    let recorded: Vec<Vec<u8>> = (0..3).map(|_| peer.says(200, before)).collect();
    // It starts at 1,000 s.
    let mut node = Keyed::new(with(100, enforce()), ring(&[1]));
    for bytes in &recorded {
        assert_eq!(node.hear(bytes), Some(Discard::BeforeStart));
    }
    // Not obeyed, but nothing is claimed before a sender with a slow clock could be understood,
    // however often they come.
    for _ in 0..79 {
        node.pass(Span::from_millis(100));
        for bytes in &recorded {
            node.hear(bytes);
        }
    }
    assert_eq!(node.state(), StateName::Backup);
    node.pass(Span::from_millis(100));
    assert_eq!(node.state(), StateName::Active);
    assert_eq!(node.hear(&recorded[2]), Some(Discard::Stale));
    assert_eq!(node.state(), StateName::Active);
}

/// Rule: nobody claims at the start beside a live active router whose clock is behind by as much as
/// the window allows. Without recordings a start takes no longer than without authentication.
#[test]
fn a_slow_clock_makes_no_second_active_at_the_start() {
    let mut node = Keyed::new(with(100, enforce()), ring(&[1]));
    let mut peer = Peer::new(1);
    for round in 0..20 {
        let clock = node.now().wall - Span::from_millis(4_900);
        let refused = node.hear(&peer.says(200, clock));
        assert_eq!(refused, (round < 5).then_some(Discard::BeforeStart), "{round}");
        node.pass(SECOND);
        assert_eq!(node.state(), StateName::Backup, "{round}");
    }
    let mut alone = Keyed::new(with(100, enforce()), ring(&[1]));
    alone.pass(Span::from_millis(3_700));
    assert_eq!(alone.state(), StateName::Active);
}

/// Rule: a step of all clocks, forwards or backwards, costs nothing: what is signed by the new time is
/// heard at once.
#[test]
fn steps_of_all_clocks_are_survived() {
    for step in [3_600, 2, -2, -3_600_i64] {
        let mut node = Keyed::new(with(100, enforce()), ring(&[1]));
        let mut peer = Peer::new(1);
        for round in 0..20 {
            if round == 10 {
                let span = SECOND.times(step.unsigned_abs());
                node.zero = if step > 0 { node.zero + span } else { node.zero - span };
            }
            node.pass(SECOND);
            let refused = node.hear(&peer.says(200, node.now().wall));
            assert_eq!(refused, None, "{step} s, round {round}");
            assert_eq!(node.state(), StateName::Backup);
        }
    }
}

/// Rule: a clock that is wrong by more than the window makes a stranger of its node, in both
/// directions, and it is heard again as soon as the clock is right; a smaller error changes nothing.
#[test]
fn a_wrong_clock_is_named_and_recovers() {
    for (error, refusal) in [
        (4_000, None),
        (-4_000, None),
        (60_000, Some(Discard::Stale)),
        (-60_000, Some(Discard::Stale)),
        (3_600_000, Some(Discard::Stale)),
        (-3_600_000, Some(Discard::Stale)),
    ] {
        let mut node = Keyed::new(with(100, enforce()), ring(&[1]));
        let mut peer = Peer::new(1);
        node.pass(SECOND);
        assert_eq!(node.hear(&peer.says(200, node.now().wall)), None);
        for _ in 0..3 {
            node.pass(SECOND);
            let span = Span::from_millis(i64::unsigned_abs(error));
            let right = node.now().wall;
            let clock = if error > 0 { right + span } else { right - span };
            assert_eq!(node.hear(&peer.says(200, clock)), refusal, "{error} ms");
        }
        node.pass(SECOND);
        // A clock that has been ahead within the window counts on until the time has come.
        assert_eq!(node.hear(&peer.says(200, node.now().wall)), None, "{error} ms");
    }
}

/// Rule: the own clock's step backwards makes no advertisement of this node a replay to the others.
#[test]
fn sequences_grow_over_steps_of_the_own_clock() {
    let mut node = Keyed::new(with(100, enforce()), ring(&[1]));
    node.pass(SECOND.times(5));
    let sequence =
        |message: &Vec<u8>| Sequence::new(u64::from_be_bytes(message[16..24].try_into().unwrap()));
    let mut last = node.pass(SECOND).last().map(sequence).unwrap();
    node.zero = node.zero - SECOND.times(4);
    for _ in 0..3 {
        let next = node.pass(SECOND).last().map(sequence).unwrap();
        assert!(next.is_after(last));
        last = next;
    }
    node.zero = node.zero - SECOND.times(3_600);
    let next = node.pass(SECOND).last().map(sequence).unwrap();
    let clock = Sequence::at(node.now().wall);
    assert!(!next.is_after(last) && next.is_within(1, clock), "far back it starts anew");
}

/// Rule: in monotonic mode the clocks need not agree, and nothing is accepted twice.
#[test]
fn monotonic() {
    let mut authentication = hmac(HmacMode::Enforce, &[1], 1);
    authentication.anti_replay = AntiReplay::Monotonic;
    let mut node = Keyed::new(with(100, Authentication::Hmac(authentication)), ring(&[1]));
    let peer = Peer::new(1);
    let says = |clock: Wall| peer.signs(&advertisement(200), Sequence::at(clock));
    let long_ago = ZERO - SECOND.times(1_000_000);
    assert_eq!(node.hear(&says(long_ago)), None);
    assert_eq!(node.hear(&says(long_ago)), Some(Discard::Replay));
    assert_eq!(node.hear(&says(long_ago + SECOND)), None);
    assert_eq!(node.hear(&says(long_ago)), Some(Discard::Replay));
}

/// Rule: a key is replaced without losing an advertisement: the new one is accepted before anybody
/// signs with it, the old one until nobody does. Reloads keep what was heard: nothing becomes new.
#[test]
fn rotation() {
    let mut node = Keyed::new(with(100, enforce()), ring(&[1]));
    let (mut old, mut new) = (Peer::new(1), Peer::new(2));
    let hmac =
        |keys: &[u8], send| with(100, Authentication::Hmac(hmac(HmacMode::Enforce, keys, send)));
    node.pass(SECOND);
    let first = old.says(200, node.now().wall);
    assert_eq!(node.hear(&first), None);

    node.pass(SECOND);
    assert_eq!(node.hear(&new.says(200, node.now().wall)), Some(Discard::UnknownKey));
    node.reload(hmac(&[1, 2], 1), ring(&[1, 2]));
    assert_eq!(node.hear(&first), Some(Discard::Replay), "after a reload");
    node.pass(SECOND);
    assert_eq!(node.hear(&old.says(200, node.now().wall)), None);
    node.pass(SECOND);
    assert_eq!(node.hear(&new.says(200, node.now().wall)), None);
    // Now this one signs with the new one too.
    node.reload(hmac(&[1, 2], 2), ring(&[1, 2]));
    let sent = node.pass(SECOND.times(5));
    assert_eq!(node.state(), StateName::Active);
    assert!(sent.iter().all(|message| message[13] == 2), "the number of the key");
    node.reload(hmac(&[2], 2), ring(&[2]));
    assert_eq!(node.state(), StateName::Active, "a reload disturbs nothing");
    assert_eq!(node.hear(&old.says(200, node.now().wall)), Some(Discard::UnknownKey));
    assert_eq!(node.hear(&new.says(200, node.now().wall)), None);
}

/// Rule: an instance that leaves because the configuration has it no more can still sign its farewell.
#[test]
fn who_is_not_configured_any_more_signs_its_farewell() {
    let mut node = Keyed::new(with(100, enforce()), ring(&[1]));
    node.pass(SECOND.times(5));
    let mut said = Vec::new();
    // Bug guarded: with a second reload while it was leaving the keys were gone.
    for _ in 0..2 {
        node.ring.replace(KeyRing::default(), node.engine.instances());
        let actions = node.tell(Input::Reload { config: Box::default() });
        said.extend(actions.into_iter().filter_map(|action| match action {
            Action::Send { message, .. } => Some(message),
            _ => None,
        }));
    }
    said.extend(node.pass(SECOND));
    let farewells: Vec<_> = said.iter().filter(|message| message[2] == 0).collect();
    assert_eq!(farewells.len(), 2, "it is said again");
    assert!(farewells.iter().all(|farewell| farewell[24..] != [0; 16]), "its code");
    node.pass(SECOND.times(5));
    node.ring.replace(KeyRing::default(), node.engine.instances());
    assert_eq!(format!("{:?}", node.ring), format!("{:?}", KeyRing::default()), "forgotten");
}

fn written(actions: &[Action]) -> Option<&[HeldRouter]> {
    actions.iter().find_map(|action| match action {
        Action::WriteDown { routers } => Some(routers.as_slice()),
        _ => None,
    })
}

/// Rule: what is written down for `vipd release` names where the key is, and holds neither it nor a
/// time stamp that would be old by then; it is written once, and not with each advertisement.
#[test]
fn the_farewell_that_is_written_down_lacks_the_key() {
    let mut node = Keyed::new(with(100, enforce()), ring(&[1]));
    node.pass(SECOND.times(5));
    let all: Vec<&[HeldRouter]> = node.steps.iter().filter_map(|s| written(&s.actions)).collect();
    let [routers] = all.as_slice() else { panic!("{all:?}") };
    let farewell = &routers[0].farewells[0];
    assert_eq!(farewell.secret, Some(SecretSource::Inline));
    assert_eq!(farewell.message.len(), 12 + 28);
    assert_eq!((farewell.message[2], &farewell.message[12..16]), (0, &[1, 1, 0, 0][..]));
    assert_eq!(farewell.message[16..], [0; 24]);
}

/// Rule: a password is required, compared and sent, by version 2 alone, and the engine never has it.
#[test]
fn passwords() {
    let by_password = Authentication::Password(SecretSource::Inline);
    let config = || InstanceConfig { version: Version::V2, ..with(100, by_password.clone()) };
    let mut node = Keyed::new(config(), password("secret"));
    let says = |priority, field: Option<&[u8; 8]>| {
        let authentication = field.map_or(vipd::vrrp::packet::Authentication::None, |field| {
            vipd::vrrp::packet::Authentication::SimplePassword(*field)
        });
        let said =
            Advertisement { version: Version::V2, authentication, ..advertisement(priority) };
        packet(&said, PEER, ChecksumForm::Message)
    };
    assert_eq!(node.hear(&says(200, Some(b"secret\0\0"))), None);
    assert_eq!(node.hear(&says(200, Some(b"secret\0\x01"))), Some(Discard::Password));
    assert_eq!(node.hear(&says(200, Some(&[0; 8]))), Some(Discard::Password));
    assert_eq!(node.hear(&says(200, None)), Some(Discard::AuthenticationMismatch));
    let sent = node.pass(SECOND.times(6));
    assert!(sent.iter().all(|message| message[12..] == *b"secret\0\0"), "{sent:?}");
    let text = serde_json::to_string(&node.steps).unwrap();
    assert!(!text.contains("736563726574"), "'secret' in hexadecimal digits");

    let mut unproved = Keyed::new(config(), KeyRing::default());
    assert_eq!(unproved.hear(&says(200, Some(b"secret\0\0"))), Some(Discard::Password));
    let v2 = InstanceConfig { version: Version::V2, ..instance(100) };
    let mut without = Keyed::new(v2, KeyRing::default());
    let refused = without.hear(&says(200, Some(b"secret\0\0")));
    assert_eq!(refused, Some(Discard::AuthenticationMismatch));
    let text = serde_json::to_string(&without.steps).unwrap();
    assert!(!text.contains("736563726574"), "another group's password is none of our business");
}

/// Rule: a recording of an authenticated node replays without its keys, and has none in it.
#[test]
fn a_recording_replays_without_the_keys() {
    let mut node = Keyed::new(with(100, enforce()), ring(&[1]));
    let mut peer = Peer::new(1);
    for priority in [200, 200, 0, 50] {
        node.pass(SECOND);
        let bytes = peer.says(priority, node.now().wall);
        node.hear(&bytes);
        node.hear(&bytes);
        node.hear(&Peer { ring: other_keys(), ..Peer::new(1) }.says(0, node.now().wall));
    }
    node.pass(SECOND.times(10));
    assert_eq!(node.state(), StateName::Active);
    let mut recording = Vec::new();
    let header = Header::new(node.start, node.config.clone());
    let mut writer = Writer::new(&mut recording, &header).unwrap();
    node.steps.iter().for_each(|step| writer.step(step).unwrap());
    let replayed = replay(Reader::new(recording.as_slice()).unwrap(), |_| ()).unwrap();
    assert_eq!(replayed.steps, node.steps.len());
    let text = String::from_utf8(recording).unwrap();
    assert!(!text.contains(&SECRET[4..]) && text.contains("\"proof\":\"wrong\""));
    let shown = format!("{:?} {:?} {:?}", node.engine, node.ring, node.status());
    assert!(
        !shown.contains(&SECRET[4..]) && !shown.contains("0, 17, 34, 51"),
        "Debug shows the key"
    );
}

/// Rule: who turns authentication on with a reload hears only what is sent from then on.
#[test]
fn turned_on_by_a_reload() {
    let mut node = Keyed::new(instance(100), KeyRing::default());
    node.pass(SECOND.times(2));
    let mut peer = Peer::new(1);
    let recorded = peer.says(200, node.now().wall);
    node.pass(SECOND);
    node.reload(with(100, enforce()), ring(&[1]));
    assert_eq!(node.hear(&recorded), Some(Discard::BeforeStart));
    assert_eq!(node.hear(&peer.says(200, node.now().wall)), None);
}
