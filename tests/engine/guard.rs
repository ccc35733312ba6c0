//! What keeps an address from being on two nodes, and says so where it is.

use std::net::{IpAddr, Ipv4Addr};

use vipd::engine::story::StateName;
use vipd::engine::{Action, Change, Farewell, HeldAddress, HeldRouter, Input, Link};
use vipd::model::{Config, InstanceConfig, InstanceName, Interval, Mac, VirtualAddress};
use vipd::time::Span;
use vipd::vrrp::frame::{ArpForm, gratuitous_arp};
use vipd::vrrp::packet::ChecksumForm;

use crate::node::{
    GROUP, Node, OURS, VIRTUAL, advertisement, engine_of, eth0, from_peer, instance, kinds, link,
    told, virtual_address,
};

const VIRTUAL_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 101));

fn leased(seconds: u64) -> Node {
    let lease = Some(Span::from_secs(seconds));
    let mut node = Node::new(InstanceConfig { lease, ..instance(100) });
    node.next();
    node
}

fn additions(actions: &[Action]) -> Vec<(Option<Span>, u64)> {
    let addition = |action: &Action| match action {
        Action::Change(Change::AddAddress { lease, not_after, .. }) => Some((*lease, not_after.0)),
        _ => None,
    };
    actions.iter().filter_map(addition).collect()
}

/// Invariant 3: an address is renewed four times in the lifetime of its lease, without another
/// announcement, and not any more when it was given up.
#[test]
fn leases_are_renewed() {
    let mut node = leased(2);
    let start = node.millis;
    let mut times = Vec::new();
    while node.millis < start + 10_000 {
        let actions = node.next();
        if kinds(&actions) == ["add"] {
            let late = (node.millis + 2_000) * 1_000_000;
            assert_eq!(additions(&actions), [(Some(Span::from_secs(2)), late)]);
            times.push(node.millis);
        }
    }
    let distances: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(!distances.is_empty() && distances.iter().all(|ms| *ms == 500), "{distances:?}");
    node.hear(from_peer(200));
    for _ in 0..20 {
        node.millis += 500;
        node.hear(from_peer(200));
        assert_eq!(kinds(&node.tell(Input::Deadline)), [""; 0]);
    }
}

/// Rule: `lease: off` installs addresses for ever.
#[test]
fn without_a_lease_nothing_is_renewed() {
    let mut node = Node::new(InstanceConfig { lease: None, ..instance(100) });
    assert_eq!(additions(&node.next())[0].0, None);
    for _ in 0..50 {
        assert_eq!(additions(&node.next()), []);
    }
}

/// Rule: instances with the same lease renew together, however far apart they took over.
#[test]
fn renewals_are_one_exchange() {
    let second = InstanceConfig {
        name: InstanceName::try_from("api").unwrap(),
        virtual_router_id: 52.try_into().unwrap(),
        priority: 10.try_into().unwrap(),
        addresses: vec![vipd::model::VirtualAddress {
            address: [10, 0, 0, 101].into(),
            ..virtual_address()
        }],
        ..instance(100)
    };
    let config =
        vipd::model::Config { instances: vec![instance(100), second], ..Default::default() };
    let mut node = crate::node::engine_of(config);
    while node.status().instances.iter().any(|i| i.state != StateName::Active) {
        node.next();
    }
    let mut renewals = 0;
    for _ in 0..60 {
        let count = additions(&node.next()).len();
        assert!(count == 0 || count == 2, "{count}");
        renewals += count;
    }
    assert!(renewals > 10);
}

/// Rule: an addition that came too late for the kernel is decided anew at once, and is no failure.
#[test]
fn an_addition_that_was_too_late_is_decided_anew() {
    const ETIME: i32 = 62;
    let mut node = Node::new(instance(100));
    let add = node.next().remove(3);
    assert_eq!(node.fail(&add, ETIME), []);
    let actions = node.next();
    // Bug guarded: no other program has taken it off.
    assert_eq!(kinds(&actions), ["add", "announce", "announce"]);
}

/// Invariant 4: what will be held is written down before it is, with the farewell that the dead
/// daemon could not send; and no more once it is gone.
#[test]
fn what_is_held_is_written_down_first() {
    let mut node = Node::new(instance(100));
    let actions = node.next();
    let place = |what| kinds(&actions).iter().position(|kind| *kind == what);
    assert!(place("write down") < place("add"), "{actions:?}");
    let message = advertisement(0).encode(OURS, GROUP, ChecksumForm::WithPseudoHeader).unwrap();
    let farewell = Farewell {
        interface: eth0(),
        through: None,
        source: OURS,
        destination: GROUP,
        message,
        secret: None,
    };
    let router = HeldRouter {
        instance: InstanceName::try_from("web").unwrap(),
        addresses: vec![HeldAddress { interface: eth0(), address: virtual_address() }],
        routing: Vec::new(),
        farewells: vec![farewell],
        devices: Vec::new(),
    };
    assert_eq!(written(&node), [&router]);
    let actions = node.hear(from_peer(200));
    assert!(place_of(&actions, "remove") < place_of(&actions, "write down"), "{actions:?}");
    assert_eq!(written(&node), Vec::<&HeldRouter>::new());
    // Where it cannot be removed, it is still there for `vipd release`.
    node.fail(&actions[0].clone(), 1);
    assert_eq!(written(&node), [&HeldRouter { farewells: Vec::new(), ..router }]);
}

fn written(node: &Node) -> Vec<&HeldRouter> {
    node.written.routers().collect()
}

/// Rule: only the instance of which something has changed is written down: with hundreds of them
/// each takeover would otherwise cost the whole list.
#[test]
fn what_has_not_changed_is_not_written_again() {
    let second = InstanceConfig {
        name: "mail".try_into().unwrap(),
        virtual_router_id: 52.try_into().unwrap(),
        addresses: vec![VirtualAddress { address: OTHER, ..virtual_address() }],
        advertisement_interval: Interval::try_from(200).unwrap(),
        ..instance(100)
    };
    let config = Config { instances: vec![instance(100), second], ..Config::default() };
    let mut node = engine_of(config);
    let mut lists = Vec::new();
    while node.written.routers().count() < 2 {
        lists.extend(node.next().into_iter().filter_map(|action| match action {
            Action::WriteDown { routers } => Some(routers),
            _ => None,
        }));
    }
    let names: Vec<_> = lists.iter().flatten().map(|router| router.instance.as_str()).collect();
    assert_eq!(names, ["web", "mail"]);
    node.hear(from_peer(200));
    assert!(!node.written.has(&eth0(), VIRTUAL) && node.written.has(&eth0(), OTHER));
}

fn place_of(actions: &[Action], what: &str) -> Option<usize> {
    kinds(actions).iter().position(|kind| *kind == what)
}

/// Invariant 2: a lease that ran out while the daemon was frozen is not renewed before the packets
/// that came meanwhile were heard.
#[test]
fn a_frozen_node_does_not_resurrect_its_address() {
    let gone = crate::node::gone(VIRTUAL);
    let mut node = leased(3);
    node.millis += 10_000;
    assert_eq!(node.tell(gone.clone()), []);
    let actions = node.hear(from_peer(50));
    assert_eq!(kinds(&actions), ["remove", "report", "write down", "watch"]);
    assert!(told(&actions).contains("held up for"), "{}", told(&actions));
    assert_eq!(node.state(), StateName::Backup);

    // Nobody has taken over: it is put back.
    let mut node = leased(3);
    node.millis += 10_000;
    node.tell(gone);
    let actions = node.tell(Input::Deadline);
    assert_eq!(kinds(&actions)[..2], ["advertise", "add"], "{actions:?}");
    assert_eq!(node.state(), StateName::Active);
}

/// Invariant 2: after a suspension nothing is known, so the address goes until it is.
#[test]
fn a_suspended_node_lets_go() {
    let mut node = Node::active(100);
    node.millis += 100_000;
    let actions = node.tell(Input::Resumed { length: Span::from_secs(100) });
    assert_eq!(kinds(&actions), ["remove", "report", "write down", "watch"]);
    assert_eq!(node.state(), StateName::Backup);
}

fn conflict(mac: u8) -> Input {
    let frame = gratuitous_arp(Mac([2, 0, 0, 0, 0, mac]), VIRTUAL_V4, ArpForm::Request);
    Input::Conflict { interface: eth0(), frame }
}

/// Invariant 7: another station that says to have the address is answered at once, not too often,
/// and named when no takeover explains it.
#[test]
fn a_duplicate_address_is_answered_and_named() {
    let mut node = Node::active(100);
    node.millis += 60_000;
    node.tell(Input::Deadline);
    assert_eq!(kinds(&node.tell(conflict(77))), ["announce", "announce"]);
    assert_eq!(node.tell(conflict(77)), []);
    let mut text = String::new();
    for _ in 0..10 {
        text.push_str(&told(&node.next()));
    }
    let expected = "another station, 02:00:00:00:00:4d, says that it has 10.0.0.100";
    assert!(text.starts_with(expected), "{text}");
    assert_eq!(text.matches("another station").count(), 1, "{text}");
    let status = node.status().to_string();
    assert!(status.contains("; conflict: another station, 02:00:00:00:00:4d"), "{status}");
    assert_eq!(node.status().instances[0].counters.address_conflicts, 2);
}

/// Rule: our own announcements, and those for addresses that we don't hold, are no conflict; nor
/// are those of a router that takes over at the same time.
#[test]
fn a_takeover_is_no_conflict() {
    let mut node = Node::active(100);
    assert_eq!(node.tell(conflict(10)), [], "that is our own MAC address");
    node.tell(conflict(11));
    node.hear(from_peer(50));
    for _ in 0..10 {
        assert!(!told(&node.next()).contains("another station"));
    }
    let mut backup = Node::new(instance(100));
    assert_eq!(backup.tell(conflict(11)), []);
}

/// Invariant 7: a router that goes on being active beside us is named; a short overlap is not.
#[test]
fn two_active_routers_are_named() {
    let mut node = Node::active(100);
    let mut lines = Vec::new();
    for second in 0..6 {
        node.millis += 1_000;
        let text = told(&node.hear(from_peer(50)));
        if !text.is_empty() {
            lines.push((second, text));
        }
        node.tell(Input::Deadline);
    }
    let [(3, line)] = &lines[..] else { panic!("{lines:?}") };
    assert!(line.contains("10.0.0.11 is active too, with priority 50"), "{line}");
}

/// Rule: the watch follows what is held.
#[test]
fn the_watch_follows_what_is_held() {
    let watched = |actions: &[Action]| {
        actions.iter().find_map(|action| match action {
            Action::Watch { interface, addresses } => Some((interface.clone(), addresses.clone())),
            _ => None,
        })
    };
    let mut node = Node::new(instance(100));
    assert_eq!(watched(&node.next()), Some((eth0(), vec![VIRTUAL])));
    assert_eq!(watched(&node.hear(from_peer(200))), Some((eth0(), vec![])));
}

/// Bug guarded: a bridge takes the lowest Ethernet address of its ports, a bond may take that of
/// its new active member, and the neighbours went on sending to the one before until the next
/// refresh.
#[test]
fn another_ethernet_address_is_announced() {
    let mut node = Node::active(100);
    let mac = Mac([2, 0, 0, 0, 0, 5]);
    let changed =
        || Input::Link { interface: eth0(), link: Some(Link { mac: Some(mac), ..link() }) };
    let actions = node.tell(changed());
    assert_eq!(kinds(&actions), ["announce", "announce"]);
    let Action::Announce { frame, .. } = &actions[0] else { panic!("{actions:?}") };
    assert_eq!(*frame, gratuitous_arp(mac, VIRTUAL_V4, ArpForm::Request));
    assert_eq!(node.tell(changed()), [], "told once");
    assert_eq!(node.state(), StateName::Active);
    let mut backup = Node::new(instance(100));
    assert_eq!(backup.tell(changed()), [], "a backup has nothing to announce");
}

/// Rule: short interruptions of the link are ignored for as long as the operator says, in both
/// directions.
#[test]
fn link_delays() {
    let config = InstanceConfig {
        link_down_delay: Span::from_millis(200),
        link_up_delay: Span::from_secs(5),
        ..instance(100)
    };
    let down = || Input::Link { interface: eth0(), link: Some(Link { carrier: false, ..link() }) };
    let up = || Input::Link { interface: eth0(), link: Some(link()) };
    let mut node = Node::new(config);
    node.next();
    node.tell(down());
    node.millis += 199;
    node.tell(up());
    node.millis += 500;
    node.tell(Input::Deadline);
    assert_eq!(node.state(), StateName::Active, "a blip");
    node.tell(down());
    assert_eq!(node.state(), StateName::Active);
    node.millis += 200;
    node.tell(Input::Deadline);
    assert_eq!(node.state(), StateName::Fault);
    node.tell(up());
    node.millis += 4_999;
    node.tell(Input::Deadline);
    assert_eq!(node.state(), StateName::Fault);
    node.millis += 1;
    node.tell(Input::Deadline);
    assert_eq!(node.state(), StateName::Backup);
}
