//! The ends of the intervals' ranges, and what is learnt from others (RFC 9568 sections 5.2.7 and 6.1,
//! RFC 3768 sections 5.3.7 and 6.1).

use vipd::engine::story::StateName;
use vipd::engine::{Action, Input};
use vipd::model::{Config, InstanceConfig, Interval, Preempt, Version};
use vipd::time::Span;
use vipd::vrrp::packet::{Advertisement, ChecksumForm};

use crate::node::{GROUP, Node, OURS, PEER, advertisement, instance, now, packet, told};

fn interval(centiseconds: u16) -> Interval {
    Interval::try_from(centiseconds).unwrap()
}

fn config(version: Version, centiseconds: u16) -> InstanceConfig {
    let advertisement_interval = interval(centiseconds);
    let maximum_interval = Interval::LONGEST_V3.max(advertisement_interval);
    InstanceConfig { version, advertisement_interval, maximum_interval, ..instance(100) }
}

fn from_peer(version: Version, priority: u8, centiseconds: u16) -> Vec<u8> {
    let other =
        Advertisement { version, interval: interval(centiseconds), ..advertisement(priority) };
    packet(&other, PEER, ChecksumForm::Message)
}

/// In how many nanoseconds from now something is due.
fn due(node: &Node) -> u64 {
    node.engine.next_deadline().unwrap().at.0 - now(node.millis).mono.0
}

/// When it has sent, from now on, in milliseconds.
fn sent(node: &mut Node, count: usize) -> Vec<u64> {
    let start = node.millis;
    let mut times = Vec::new();
    while times.len() < count {
        let actions = node.next();
        if actions.iter().any(|action| matches!(action, Action::Send { .. })) {
            times.push(node.millis - start);
        }
    }
    times
}

/// Rule: at the shortest and the longest interval of each version a backup waits for three intervals
/// and the skew time, to the nanosecond, and then advertises at that interval. Priority 100.
#[test]
fn each_version_works_at_both_ends() {
    let cases = [
        (Version::V3, 1, 30_000_000 + 10_000_000 * 156 / 256),
        (Version::V3, 4095, 122_850_000_000 + 40_950_000_000 * 156 / 256),
        // Version 2's skew time is a part of a second at any interval.
        (Version::V2, 100, 3_000_000_000 + 609_375_000),
        (Version::V2, 25_500, 765_000_000_000 + 609_375_000),
    ];
    for (version, centiseconds, active_down) in cases {
        let mut node = Node::new(config(version, centiseconds));
        assert_eq!(due(&node), active_down, "{version:?} {centiseconds}");
        node.next();
        assert_eq!(node.state(), StateName::Active);
        let distance = u64::from(centiseconds) * 10;
        let times = sent(&mut node, 3);
        let expected = [distance, 2 * distance, 3 * distance];
        let near = |(at, wanted): (&u64, &u64)| at.abs_diff(*wanted) <= 1;
        assert!(times.iter().zip(&expected).all(near), "{version:?}: {times:?}");
    }
}

/// Rule: what the active router advertises is what a backup of version 3 waits by, whether that is
/// longer or shorter than its own, and the difference is named (RFC 9568 section 7.1).
#[test]
fn the_active_routers_interval_is_learnt() {
    for (own, theirs) in [(1, 4095), (4095, 1), (100, 20)] {
        let mut node = Node::new(config(Version::V3, own));
        let actions = node.hear(from_peer(Version::V3, 200, theirs));
        let theirs = u64::from(theirs) * 10_000_000;
        assert_eq!(due(&node), 3 * theirs + theirs * 156 / 256);
        assert!(told(&actions).contains("not at this node's interval"), "{}", told(&actions));
    }
}

/// Rule: nothing longer than `maximum_interval` is learnt, so that one frame with the longest interval
/// cannot keep a backup waiting for minutes.
#[test]
fn what_is_learnt_is_bounded() {
    let bounded = InstanceConfig { maximum_interval: interval(200), ..config(Version::V3, 100) };
    let mut node = Node::new(bounded);
    node.hear(from_peer(Version::V3, 200, 4095));
    assert_eq!(due(&node), 6_000_000_000 + 2_000_000_000 * 156 / 256);
}

/// Bug guarded: one forged frame with the longest interval was remembered as a live router for 164
/// s. As long a backup took the word of the real active router for that of a third one, its
/// farewell too.
#[test]
fn a_router_is_not_remembered_for_longer_than_the_bound() {
    let forged = || {
        let best = Advertisement { interval: interval(4095), ..advertisement(254) };
        packet(&best, [10, 0, 0, 66].into(), ChecksumForm::Message)
    };
    let bounded = InstanceConfig { maximum_interval: interval(200), ..config(Version::V3, 100) };
    let unbounded = config(Version::V3, 100);
    for late in [false, true] {
        // A remembered interval follows another bound, too.
        let start = if late { unbounded.clone() } else { bounded.clone() };
        let mut node = Node::new(start);
        node.hear(from_peer(Version::V3, 200, 100));
        node.hear(forged());
        let instances = vec![bounded.clone()];
        node.tell(Input::Reload { config: Box::new(Config { instances, ..Config::default() }) });
        for _ in 0..9 {
            node.millis += 1_000;
            node.hear(from_peer(Version::V3, 200, 100));
        }
        node.hear(from_peer(Version::V3, 0, 100));
        assert_eq!(due(&node), 1_000_000_000 * 156 / 256, "a skew time after the farewell");
    }
}

/// Bug guarded: one forged interval put off for two minutes what is told of a second active router.
#[test]
fn an_interval_does_not_put_off_a_conflict() {
    let bounded = InstanceConfig { maximum_interval: interval(200), ..config(Version::V3, 100) };
    let mut node = Node::new(bounded);
    node.next();
    let mut all = String::new();
    for _ in 0..8 {
        node.next_sent();
        all += &told(&node.hear(from_peer(Version::V3, 50, 4095)));
    }
    assert!(all.contains("is active too"), "{all}");
}

/// Rule: `preempt: after` counts how long lower priorities were heard, and one advertisement lasts
/// for no time. With a delay below the interval the next one decides: as good a router as this one
/// could be heard by then. A repetition, or the same on another path, is no next one.
#[test]
fn a_preemption_delay_is_longer_than_one_advertisement() {
    for millis in [1, 100, 999] {
        let preempt = Preempt::After(Span::from_millis(millis));
        let mut node = Node::new(InstanceConfig { preempt, ..config(Version::V3, 100) });
        let lower = || from_peer(Version::V3, 50, 100);
        node.hear(lower());
        node.millis += 5;
        node.hear(lower());
        assert!(due(&node) > 3_000_000_000, "{millis}");
        node.millis += 995;
        node.tell(Input::Deadline);
        assert_eq!(node.state(), StateName::Backup, "{millis}");
        node.hear(lower());
        let actions = node.tell(Input::Deadline);
        assert!(told(&actions).contains("preempting 10.0.0.11"), "{}", told(&actions));
    }
}

/// Rule: version 2 learns nothing: another interval is refused, and the timer runs on (RFC 3768 section
/// 7.1).
#[test]
fn version_2_learns_nothing() {
    let mut node = Node::new(config(Version::V2, 100));
    let before = due(&node);
    node.hear(from_peer(Version::V2, 200, 25_500));
    assert_eq!(due(&node), before);
    node.hear(from_peer(Version::V2, 200, 100));
    assert_eq!(due(&node), 3_609_375_000);
}

/// Rule: in a group whose routers sum in both styles, `auto` understands all of them and answers as the
/// last one did.
#[test]
fn a_mixed_group_is_answered_in_the_last_style() {
    let mut node = Node::active(100);
    let forms = [ChecksumForm::Message, ChecksumForm::WithPseudoHeader];
    for form in forms.into_iter().chain(forms) {
        node.millis += 10;
        node.hear(packet(&advertisement(50), PEER, form));
        let expected = advertisement(100).encode(OURS, GROUP, form).unwrap();
        assert_eq!(node.next_sent().1, expected, "{form:?}");
    }
    assert_eq!(node.status().instances[0].counters.discards, [].into());
}
