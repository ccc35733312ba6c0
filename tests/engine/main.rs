//! The engine as the shell sees it: inputs in, actions out. The election itself is judged by
//! the simulation; here are the rules about order, refusals and what the system refuses.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail loudly"
)]

mod authentication;
mod awaiting;
mod copies;
mod departure;
mod extra;
mod failures;
mod group_hooks;
mod groups;
mod guard;
mod hooks;
mod hostile;
mod intervals;
mod ipv6;
mod keyed;
mod listening;
mod node;
mod owner;
mod paths;
mod reload;
mod repetition;
mod standby;
mod steps;
mod succession;
mod tracks;
mod virtual_mac;

use std::net::IpAddr;

use node::{
    GROUP, Node, OURS, PEER, VIRTUAL, advertisement, eth0, from_peer, instance, kinds, link, now,
    packet, told,
};
use vipd::engine::story::StateName;
use vipd::engine::{Action, Change, Input, Link, LinkAddress, Loss};
use vipd::model::{Config, InstanceConfig, Interval, Version, Vrid};
use vipd::time::Span;
use vipd::vrrp::packet::{Advertisement, ChecksumForm, Discard};

/// Invariant 5: after silence it advertises first, so that other backups hold back at once.
#[test]
fn takeover_after_silence_advertises_first() {
    let mut node = Node::new(instance(100));
    let actions = node.next();
    let expected =
        ["advertise", "probe", "write down", "add", "announce", "announce", "report", "watch"];
    assert_eq!(kinds(&actions), expected);
    assert_eq!(told(&actions), "backup -> active: nobody heard for 3.61 s");
}

/// Invariant 5: preempting, it answers for the addresses before the other one lets go.
#[test]
fn preemption_advertises_last() {
    let mut node = Node::new(instance(100));
    node.hear(from_peer(50));
    node.millis += 3_000;
    node.hear(from_peer(50));
    let actions = node.next();
    let expected = ["write down", "add", "announce", "announce", "advertise", "report", "watch"];
    assert_eq!(kinds(&actions), expected);
    let why = "backup -> active: preempting 10.0.0.11, which has the lower priority 50";
    assert_eq!(told(&actions), why);
}

/// Rule: the better router gets the address at once. It is told that we were active, too: after a
/// partition it can't know whom our clients have in their caches.
#[test]
fn a_higher_priority_is_yielded_to() {
    let mut node = Node::active(100);
    let actions = node.hear(from_peer(200));
    assert_eq!(kinds(&actions), ["remove", "priority 0", "report", "write down", "watch"]);
    assert_eq!(told(&actions), "active -> backup: higher priority 200 from 10.0.0.11");
    assert_eq!(node.state(), StateName::Backup);
}

/// A refused frame changes nothing but a counter. Bug of others (keepalived 2.2.7, 2.4.3): any
/// frame that names the VRID restarts the advertisement timer, so two bad ones an interval
/// silence the active router.
#[test]
fn a_refused_frame_changes_only_a_counter() {
    let ttl = {
        let mut b = from_peer(200);
        b[8] = 64;
        b
    };
    let checksum = {
        let mut b = from_peer(200);
        b[26] ^= 1;
        b
    };
    let long = {
        let mut b = from_peer(200);
        b.push(0);
        b[3] += 1;
        b
    };
    let own = packet(&advertisement(200), OURS, ChecksumForm::WithPseudoHeader);
    let v2 = Advertisement { version: Version::V2, ..advertisement(200) };
    let version = packet(&v2, PEER, ChecksumForm::Message);
    let cases = [
        (ttl, Discard::Ttl),
        (checksum, Discard::Checksum),
        (long, Discard::Length),
        (own, Discard::OwnPacket),
        (version, Discard::VersionMismatch),
    ];
    for (bytes, reason) in cases {
        for mut node in [Node::active(100), Node::new(instance(100))] {
            let state = node.state();
            let due = node.engine.next_deadline();
            node.millis += 10;
            let actions = node.hear(bytes.clone());
            assert!(actions.iter().all(|a| matches!(a, Action::Report(_))), "{actions:?}");
            assert_eq!(node.state(), state, "{reason}");
            assert_eq!(node.engine.next_deadline(), due, "{reason}");
            let discards = node.status().instances[0].counters.discards.clone();
            assert_eq!(discards, [(reason, 1)].into(), "{reason}");
        }
    }
}

/// Invariant 7: a frame that no instance can be found for is counted too.
#[test]
fn a_stray_frame_is_counted() {
    let mut node = Node::active(100);
    let other =
        Advertisement { virtual_router_id: Vrid::try_from(52).unwrap(), ..advertisement(200) };
    assert_eq!(node.hear(packet(&other, PEER, ChecksumForm::Message)), []);
    assert_eq!(node.hear(vec![0; 10]), []);
    let strays = node.status().stray_discards[&eth0()].clone();
    assert_eq!(strays.get(&Discard::VirtualRouter), Some(&1));
    assert_eq!(strays.values().sum::<u64>(), 2);
}

/// Rule: `auto` answers in the checksum style that the group uses.
#[test]
fn the_checksum_style_is_learnt() {
    let mut node = Node::active(100);
    let expected = |form| advertisement(100).encode(OURS, GROUP, form).unwrap();
    assert_eq!(node.next_sent().1, expected(ChecksumForm::WithPseudoHeader));
    node.hear(packet(&advertisement(50), PEER, ChecksumForm::Message));
    assert_eq!(node.next_sent().1, expected(ChecksumForm::Message));
}

/// Another address list is drift: named once, counted, and processed all the same. Bug of others:
/// keepalived 2.2.7 drops such an advertisement, so a rolling change makes two active routers.
#[test]
fn another_address_list_is_drift_not_a_refusal() {
    let mut node = Node::active(100);
    let extra = IpAddr::from([10, 0, 0, 101]);
    let other = Advertisement { addresses: vec![VIRTUAL, extra], ..advertisement(200) };
    let actions = node.hear(packet(&other, PEER, ChecksumForm::WithPseudoHeader));
    assert_eq!(node.state(), StateName::Backup);
    assert!(told(&actions).contains("only there: 10.0.0.101"), "{}", told(&actions));
    let again = node.hear(packet(&other, PEER, ChecksumForm::WithPseudoHeader));
    assert_eq!(told(&again), "");
    assert_eq!(node.status().instances[0].counters.address_drift, 2);
}

/// Rule: v2 needs the same interval everywhere; a peer with another one is named.
#[test]
fn another_v2_interval_is_refused_and_named() {
    let mut node = Node::new(InstanceConfig { version: Version::V2, ..instance(100) });
    let slow = Advertisement {
        version: Version::V2,
        interval: Interval::from_seconds(5).unwrap(),
        ..advertisement(200)
    };
    let actions = node.hear(packet(&slow, PEER, ChecksumForm::Message));
    assert!(told(&actions).contains("10.0.0.11 are refused"), "{}", told(&actions));
    let discards = node.status().instances[0].counters.discards.clone();
    assert_eq!(discards, [(Discard::IntervalMismatch, 1)].into());
}

/// Rule: what another program takes off is put back at once and announced, but a fight is not
/// fought faster than every 50 ms.
#[test]
fn a_deleted_address_is_put_back() {
    let mut node = Node::active(100);
    let gone = node::gone(VIRTUAL);
    let actions = node.tell(gone.clone());
    assert_eq!(kinds(&actions), ["add", "announce", "announce", "report"]);
    node.millis += 1;
    assert_eq!(node.tell(gone), []);
    let actions = node.next();
    assert_eq!(kinds(&actions)[..1], ["add"]);
    assert_eq!(node.status().instances[0].counters.put_back, 2);
}

/// Rule: the log does not accuse another program where the lease ran out, or the interface was
/// down.
#[test]
fn how_an_address_went_is_told() {
    let reasons = [
        (Loss::Removed, "another program took 10.0.0.100/24 off eth0: put back"),
        (
            Loss::Expired,
            "the lease of 10.0.0.100/24 on eth0 ran out before the kernel had its renewal",
        ),
        (Loss::Down, "10.0.0.100/24 went from eth0 while that was down: put back"),
    ];
    for (loss, text) in reasons {
        let mut node = Node::active(100);
        let gone = Input::AddressGone { interface: eth0(), address: VIRTUAL, loss };
        let actions = node.tell(gone.clone());
        assert!(told(&actions).starts_with(text), "{}", told(&actions));
        // The next one is put back a moment later, and tells the same.
        node.millis += 1;
        assert_eq!(node.tell(gone), []);
        let actions = node.next();
        assert!(told(&actions).starts_with(text), "{}", told(&actions));
    }
}

/// Rule: an address that is not ours to hold is nobody's business.
#[test]
fn a_foreign_address_may_go() {
    let mut node = Node::new(instance(100));
    assert_eq!(node.tell(node::gone(VIRTUAL)), []);
    let other = IpAddr::from([10, 0, 0, 77]);
    assert_eq!(node.tell(node::gone(other)), []);
}

/// Never a gap: a node that cannot install the address leaves it to another one, and says why.
#[test]
fn an_address_that_cannot_be_installed_ends_in_fault() {
    let mut node = Node::new(instance(100));
    let mut add = node.next().remove(3);
    for _ in 0..2 {
        let actions = node.fail(&add, 1);
        assert!(told(&actions).contains("cannot put 10.0.0.100/24 on eth0: refused"));
        add = node.next().remove(0);
        assert!(matches!(add, Action::Change(Change::AddAddress { .. })), "{add:?}");
    }
    let actions = node.fail(&add, 1);
    let expected = ["remove", "priority 0", "report", "write down", "watch"];
    assert_eq!(kinds(&actions), expected);
    let fault = "active -> fault: 10.0.0.100/24 cannot be put on eth0: refused";
    assert_eq!(told(&actions), fault);
    let actions = node.next();
    assert_eq!(told(&actions), "fault -> backup: able to take part again");
}

/// Bug guarded: renewals that fail now and then, each made good at once, were counted together: the
/// third one, weeks later, was a fault.
#[test]
fn a_renewal_may_fail_now_and_then() {
    let mut node = Node::active(100);
    for round in 0..5 {
        let renewal = loop {
            let mut actions = node.next();
            if kinds(&actions)[0] == "add" {
                break actions.remove(0);
            }
        };
        node.fail(&renewal, 105);
        let again = node.next();
        assert_eq!(kinds(&again)[0], "add", "round {round}: {again:?}");
        assert_eq!(node.state(), StateName::Active, "round {round}");
    }
}

/// Never two owners: whoever cannot be heard is taken for dead, so it lets go by itself.
#[test]
fn failing_sends_end_in_fault() {
    let mut node = Node::active(100);
    for attempt in 1..=3 {
        let actions = loop {
            let actions = node.next();
            if kinds(&actions)[0] == "advertise" {
                break actions;
            }
        };
        let after = node.fail(&actions[0], 105);
        let state = if attempt < 3 { StateName::Active } else { StateName::Fault };
        assert_eq!(node.state(), state, "after {attempt}: {after:?}");
    }
}

/// Rule: an address that cannot be taken off is tried again, for as long as it takes.
#[test]
fn a_removal_is_tried_until_it_succeeds() {
    let mut node = Node::active(100);
    let remove = node.hear(from_peer(200)).remove(0);
    let mut removals = 0;
    for _ in 0..4 {
        node.fail(&remove, 1);
        node.millis += 1_000;
        node.hear(from_peer(200));
        let actions = node.tell(Input::Deadline);
        removals += actions.iter().filter(|action| **action == remove).count();
    }
    assert_eq!(removals, 4);
}

/// Rule: a fault names its reason, and everything that can go wrong with a link is one.
#[test]
fn a_link_that_cannot_be_used_is_a_fault() {
    let cases = [
        (None, "there is no interface eth0"),
        (Some(Link { up: false, ..link() }), "link eth0 is down"),
        (Some(Link { carrier: false, ..link() }), "link eth0 has no carrier"),
        (Some(Link { mac: None, ..link() }), "eth0 is not an Ethernet interface"),
        (
            Some(Link { addresses: Vec::new(), ..link() }),
            "eth0 has no address of its own to advertise from",
        ),
    ];
    for (state, reason) in cases {
        let mut node = Node::active(100);
        let actions = node.tell(Input::Link { interface: eth0(), link: state.clone() });
        assert!(told(&actions).contains(&format!("active -> fault: {reason}")), "{actions:?}");
        // The addresses that vanished with the interface are removed, too: it may only have another
        // name.
        assert!(kinds(&actions).contains(&"remove"), "{actions:?}");
        let actions = node.tell(Input::Link { interface: eth0(), link: Some(link()) });
        assert_eq!(node.state(), StateName::Backup, "{actions:?}");
    }
}

/// Rule: a re-created interface has another index, and nothing that was on the old one.
#[test]
fn another_index_is_another_interface() {
    let mut node = Node::active(100);
    let actions =
        node.tell(Input::Link { interface: eth0(), link: Some(Link { index: 3, ..link() }) });
    assert!(kinds(&actions).contains(&"listen"), "{actions:?}");
    assert!(kinds(&actions).contains(&"remove"), "the old one may have another name: {actions:?}");
    assert_eq!(node.state(), StateName::Backup);
    assert_eq!(node.status().instances[0].held, []);
}

/// Bug guarded: an interface that got another name kept the addresses that were put on it. Without
/// a lease they stayed there forever, also when they could not be removed at once.
#[test]
fn what_is_on_a_renamed_interface_is_removed() {
    let route = extra::route();
    for lease in [None, Some(Span::from_secs(3))] {
        let mut node =
            Node::new(InstanceConfig { lease, routes: vec![route.clone()], ..instance(100) });
        node.next();
        assert_eq!(node.state(), StateName::Active);
        let actions = node.tell(Input::Link { interface: eth0(), link: None });
        assert_eq!(kinds(&actions)[1..3], ["remove routing", "remove"], "{actions:?}");
        let removal = actions[2].clone();
        assert_eq!(node.written.routers().count(), 0, "{actions:?}");
        node.fail(&removal, 1);
        assert!(node.written.has(&eth0(), VIRTUAL), "{:?}", node.written);
        assert!(node.next().contains(&removal), "it is tried again");
    }
}

/// Rule: what a killed predecessor has left on the interface is taken off at the start.
#[test]
fn leftovers_are_removed() {
    let config = Config { instances: vec![instance(100)], ..Config::default() };
    let mut node = Node::unlinked(config);
    let mut with_leftover = link();
    with_leftover.addresses.push(LinkAddress { address: VIRTUAL, prefix: 24, secondary: true });
    let input = Input::Link { interface: eth0(), link: Some(with_leftover) };
    assert_eq!(kinds(&node.tell(input)), ["listen", "remove", "report"]);
}

/// Rule: a virtual address is never the source of advertisements, not even where it comes first.
#[test]
fn a_virtual_address_is_never_the_source() {
    let mut node = Node::active(100);
    let mut reordered = link();
    reordered.addresses.insert(0, LinkAddress { address: VIRTUAL, prefix: 24, secondary: false });
    node.tell(Input::Link { interface: eth0(), link: Some(reordered) });
    assert_eq!(node.next_sent().0, OURS);
}

/// Rule: of several addresses in the network the primary one is the source, wherever it stands: the
/// kernel never chooses a secondary one, and the others know a node by its primary address.
#[test]
fn the_primary_address_is_the_source() {
    let mut node = Node::active(100);
    let secondary = "10.0.0.7".parse().unwrap();
    let mut with_secondary = link();
    let first = LinkAddress { address: secondary, prefix: 24, secondary: true };
    with_secondary.addresses.insert(0, first);
    node.tell(Input::Link { interface: eth0(), link: Some(with_secondary) });
    assert_eq!(node.next_sent().0, OURS);
}

/// Hold-down counts from link-up, and from the start only where the machine has just booted.
#[test]
fn hold_down_is_for_boot_and_link_up() {
    let config = InstanceConfig { hold_down: Span::from_secs(30), ..instance(100) };
    let mut node = Node::new(config);
    let wait = |node: &Node| node.engine.next_deadline().unwrap().at.since(now(node.millis).mono);
    assert!(wait(&node) < Span::from_secs(4), "a restart of the daemon is no reason to wait");
    node.tell(Input::Link { interface: eth0(), link: Some(Link { carrier: false, ..link() }) });
    node.tell(Input::Link { interface: eth0(), link: Some(link()) });
    assert_eq!(wait(&node), Span::from_secs(30));
    // Bug guarded: a backup that would not take over must not look like one that does.
    let expected = " at the earliest (hold_down): able to take part again";
    assert!(node.status().to_string().ends_with(expected), "{}", node.status());
    node.millis += 30_000;
    assert!(!node.status().to_string().contains("hold_down"), "{}", node.status());
}

/// Rule: a socket that cannot be opened is a fault with its reason, and tried again.
#[test]
fn a_socket_that_cannot_be_opened_is_a_fault() {
    let config = Config { instances: vec![instance(100)], ..Config::default() };
    let mut node = Node::unlinked(config);
    let listen = node.tell(Input::Link { interface: eth0(), link: Some(link()) }).remove(0);
    let actions = node.fail(&listen, 1);
    assert!(told(&actions).contains("no VRRP socket on eth0: refused"), "{actions:?}");
    assert_eq!(kinds(&node.next()), ["listen", "report"]);
    assert_eq!(node.state(), StateName::Backup);
}

/// Rule: with many instances the status counts them and names those in trouble; with few it tells
/// all of each.
#[test]
fn the_status_of_many_instances_is_a_summary() {
    let of = |number: u8| InstanceConfig {
        name: format!("web{number}").as_str().try_into().unwrap(),
        interface: (if number == 3 { "eth1" } else { "eth0" }).try_into().unwrap(),
        virtual_router_id: number.try_into().unwrap(),
        addresses: vec![vipd::model::VirtualAddress {
            address: [10, 0, 0, 100 + number].into(),
            ..node::virtual_address()
        }],
        ..instance(100)
    };
    let started = |count| {
        let instances = (1..=count).map(of).collect();
        let mut node = node::engine_of(Config { instances, ..Config::default() });
        node.tell(Input::Link { interface: "eth1".try_into().unwrap(), link: None });
        node.status().to_string()
    };
    let few = started(3);
    assert!(few.starts_with("web1: backup (priority 100) on eth0 since "), "{few}");
    assert!(few.contains("; web2: backup") && few.contains("; web3: fault"), "{few}");
    let many = started(6);
    let expected = "6 instances: 5 backup, 1 fault; web3: fault (priority 100) on eth1 since ";
    assert!(many.starts_with(expected), "{many}");
    assert!(many.ends_with(": there is no interface eth1"), "{many}");
}
