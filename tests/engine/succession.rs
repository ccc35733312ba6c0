//! Who takes over from a router that says that it stops, and when: with `nodes` one of the others need
//! not wait.

use std::net::IpAddr;

use vipd::engine::story::StateName;
use vipd::engine::{Action, Input, Link, LinkAddress, Packet, ProbeResult};
use vipd::model::{
    Config, InstanceConfig, InterfaceName, Node as ConfiguredNode, NodeName, TrackConfig,
};
use vipd::vrrp::auth::Proof;
use vipd::vrrp::packet::ChecksumForm;

use crate::node::{
    Node, OURS, PEER, advertisement, engine_of, eth0, from_peer, instance, kinds, link, now, packet,
};
use crate::tracks::{look, track};

/// A skew time of a router with priority 190 at one second: 66/256 of it.
const SKEW_OF_SECOND: u64 = 258;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The third node of the list.
fn third() -> IpAddr {
    ip("10.0.0.12")
}

/// The interface of the further path, on which the peer has an address of its list, too.
fn eth1() -> InterfaceName {
    InterfaceName::try_from("eth1").unwrap()
}

fn listed(name: &str, addresses: &[IpAddr]) -> ConfiguredNode {
    let (address, others) = addresses.split_first().unwrap();
    let name = NodeName::try_from(name).unwrap();
    ConfiguredNode { name, address: *address, others: others.to_vec() }
}

/// This node with that priority, in a list in this order.
fn node_in(order: &[ConfiguredNode], priority: u8) -> Node {
    engine_of(config(order, instance(priority)))
}

fn config(order: &[ConfiguredNode], instance: InstanceConfig) -> Config {
    let this = order.iter().find(|node| node.address == OURS).unwrap();
    Config {
        this_node: Some(this.name.clone()),
        nodes: order.to_vec(),
        instances: vec![instance],
        ..Config::default()
    }
}

fn peer() -> ConfiguredNode {
    listed("db1", &[PEER, ip("10.1.0.11")])
}

fn ours() -> ConfiguredNode {
    listed("db2", &[OURS])
}

fn other() -> ConfiguredNode {
    listed("db3", &[third()])
}

/// Milliseconds until it takes over, from now on.
fn waits(node: &mut Node) -> u64 {
    let before = node.millis;
    node.next();
    assert_eq!(node.state(), StateName::Active);
    node.millis - before
}

fn from(source: IpAddr, priority: u8) -> Vec<u8> {
    packet(&advertisement(priority), source, ChecksumForm::WithPseudoHeader)
}

/// Rule: after the farewell of a node the first of all others in the list takes over at once; no
/// other node does, so that no two claim.
#[test]
fn the_first_one_does_not_wait() {
    let mut node = node_in(&[peer(), ours(), other()], 190);
    node.hear(from_peer(200));
    node.hear(from_peer(0));
    assert_eq!(waits(&mut node), 0);

    let mut node = node_in(&[other(), peer(), ours()], 180);
    node.hear(from_peer(190));
    node.hear(from_peer(0));
    assert_eq!(waits(&mut node), 297, "db3 is the first one");

    // Not who stands behind the one that goes, but the first that is left.
    let mut node = node_in(&[ours(), peer(), other()], 200);
    node.hear(from(third(), 180));
    node.hear(from(third(), 0));
    assert_eq!(waits(&mut node), 0);
}

/// Bug guarded: a daemon that had stood still, and found a farewell in its socket, followed it at once
/// however old it was, beside a router that had taken over meanwhile. Invariant 2: it distrusts its
/// own pause. Nobody else takes over before this node's skew time is over.
#[test]
fn an_old_farewell_is_not_followed_at_once() {
    let hears = |late: u64| {
        let mut node = node_in(&[peer(), ours(), other()], 190);
        node.hear(from_peer(200));
        let arrived = now(node.millis + 100).mono;
        node.millis += 100 + late;
        let packet = Packet::V4 { bytes: from_peer(0) };
        node.tell(Input::Received { interface: eth0(), arrived, packet, proof: Proof::None });
        waits(&mut node)
    };
    assert_eq!(hears(SKEW_OF_SECOND - 1), 0);
    assert_eq!(hears(SKEW_OF_SECOND), SKEW_OF_SECOND);
    assert_eq!(hears(2_500), SKEW_OF_SECOND);
}

/// Rule: who does not know that it is the best one waits for its skew time: another router was heard,
/// its priority is not that of its place, or the one that goes is not in the list.
#[test]
fn who_is_not_sure_waits() {
    let mut node = node_in(&[peer(), ours()], 190);
    node.hear(from(third(), 100));
    node.hear(from_peer(200));
    node.hear(from_peer(0));
    assert_eq!(waits(&mut node), SKEW_OF_SECOND, "a router that is in no list");

    let mut node = node_in(&[peer(), ours()], 189);
    node.hear(from_peer(200));
    node.hear(from_peer(0));
    assert_eq!(waits(&mut node), 262, "a priority that was given by hand");

    let mut node = node_in(&[peer(), ours()], 190);
    node.hear(from(third(), 200));
    node.hear(from(third(), 0));
    assert_eq!(waits(&mut node), SKEW_OF_SECOND, "a farewell of a stranger");
}

/// Rule: who is not at its best, because of a check, may not be the best one any more: it waits.
#[test]
fn a_lowered_priority_waits() {
    let disk = TrackConfig { cost: Some(30), rise: 1, fall: 1, ..track("disk") };
    let instance = InstanceConfig { tracks: vec![disk.name.clone()], ..instance(190) };
    let config = config(&[peer(), ours(), other()], instance);
    let mut node = engine_of(Config { tracks: vec![disk], ..config });
    node.hear(from_peer(200));
    let (track, number) = std::iter::repeat_with(|| look(&node.next())).flatten().next().unwrap();
    let result = ProbeResult::Failed("full".to_owned());
    node.tell(Input::Probed { track, number, result });
    assert_eq!(node.status().instances[0].priority.get(), 160);
    node.hear(from_peer(200));
    node.hear(from_peer(0));
    let down = node.engine.next_deadline().unwrap();
    assert!(down.at > now(node.millis).mono, "it does not wait: {down:?}");
}

/// Rule: a farewell of one that is not active makes nobody claim, whoever is the first.
#[test]
fn a_third_ones_farewell_says_nothing() {
    let mut node = node_in(&[ours(), peer(), other()], 200);
    let mut never = instance(200);
    never.preempt = vipd::model::Preempt::Never;
    node.tell(Input::Reload { config: Box::new(config(&[ours(), peer(), other()], never)) });
    node.hear(from_peer(190));
    let before = node.engine.next_deadline();
    node.hear(from(third(), 0));
    assert_eq!(node.engine.next_deadline(), before);
}

/// Rule: a departure ends when the first one of the others has taken over, however soon that is; by
/// the advertisement of another one not before half of its skew time. One that was active beside
/// this one may have said so before it heard the farewell.
#[test]
fn a_departure_ends_with_the_first_one() {
    let leaves = |heard: &[(IpAddr, u8)]| {
        let mut node = node_in(&[ours(), peer(), other()], 200);
        node.next();
        for (source, priority) in heard {
            node.hear(from(*source, *priority));
        }
        assert_eq!(kinds(&node.tell(Input::Stop)), ["priority 0", "report"]);
        node.millis += 1;
        node
    };
    let ends = |mut node: Node, source, priority| {
        kinds(&node.hear(from(source, priority))).contains(&"remove")
    };
    assert!(ends(leaves(&[]), PEER, 190));
    assert!(!ends(leaves(&[]), third(), 180));
    assert!(!ends(leaves(&[(PEER, 190)]), PEER, 190));
    assert!(!ends(leaves(&[(ip("10.0.0.99"), 10)]), PEER, 190), "it waits");
}

fn two_paths(order: &[ConfiguredNode], priority: u8) -> Node {
    let further_interfaces = vec![eth1()];
    let instance = InstanceConfig { further_interfaces, ..instance(priority) };
    let mut node = engine_of(config(order, instance));
    let addresses = vec![LinkAddress { address: ip("10.1.0.10"), prefix: 24, secondary: false }];
    let second = Link { index: 3, addresses, ..link() };
    node.tell(Input::Link { interface: eth1(), link: Some(second) });
    node
}

fn hear_on_second(node: &mut Node, source: IpAddr, priority: u8) {
    let arrived = now(node.millis).mono;
    let packet = Packet::V4 { bytes: from(source, priority) };
    node.tell(Input::Received { interface: eth1(), arrived, packet, proof: Proof::None });
}

/// Rule: where `nodes` says that two addresses are one router, its farewell on one path is one for
/// both; otherwise the other path is waited for.
#[test]
fn a_farewell_is_for_all_paths() {
    let mut node = two_paths(&[peer(), ours()], 190);
    node.hear(from_peer(200));
    hear_on_second(&mut node, ip("10.1.0.11"), 200);
    hear_on_second(&mut node, ip("10.1.0.11"), 0);
    assert_eq!(waits(&mut node), 0);

    let unknown = listed("db1", &[PEER]);
    let mut node = two_paths(&[unknown, ours()], 190);
    node.hear(from_peer(200));
    hear_on_second(&mut node, ip("10.1.0.11"), 200);
    hear_on_second(&mut node, ip("10.1.0.11"), 0);
    assert!(waits(&mut node) > 3_000);
}

/// Rule: who has followed a farewell at once is not taken aback by what the leaving router had sent
/// before it, and what comes later: on another path, or overtaken. Otherwise nobody has the address
/// between the two. Half an interval later that router counts again.
#[test]
fn what_was_sent_before_a_farewell_comes_too_late() {
    let takes_over = || {
        let mut node = two_paths(&[peer(), ours()], 190);
        node.hear(from_peer(200));
        hear_on_second(&mut node, ip("10.1.0.11"), 200);
        node.millis += 1_000;
        hear_on_second(&mut node, ip("10.1.0.11"), 200);
        hear_on_second(&mut node, ip("10.1.0.11"), 0);
        assert_eq!(waits(&mut node), 0);
        node
    };
    let mut node = takes_over();
    node.millis += 30;
    assert!(kinds(&node.hear(from_peer(200))).is_empty());
    hear_on_second(&mut node, ip("10.1.0.11"), 200);
    assert_eq!(node.state(), StateName::Active);
    // Any other router's counts, and so does the farewell.
    node.hear(from(third(), 201));
    assert_eq!(node.state(), StateName::Backup);

    let mut node = takes_over();
    node.millis += 500;
    node.hear(from_peer(200));
    assert_eq!(node.state(), StateName::Backup, "it has come back");
}

/// Rule: a router that goes on after all on one path is heard there.
#[test]
fn a_farewell_is_taken_back_by_an_advertisement() {
    let mut node = two_paths(&[other(), peer(), ours()], 180);
    node.hear(from_peer(190));
    hear_on_second(&mut node, ip("10.1.0.11"), 190);
    hear_on_second(&mut node, ip("10.1.0.11"), 0);
    node.millis += 100;
    node.hear(from_peer(190));
    assert!(waits(&mut node) > 3_000);
}

/// Rule: an active node that cannot use its interface any more says so on its other paths, after
/// the removal.
#[test]
fn a_lost_carrier_is_said_on_the_other_path() {
    let mut node = two_paths(&[ours(), peer()], 200);
    node.next();
    assert_eq!(node.state(), StateName::Active);
    let down = Link { carrier: false, ..link() };
    let actions = node.tell(Input::Link { interface: eth0(), link: Some(down) });
    assert_eq!(node.state(), StateName::Fault);
    let kinds = kinds(&actions);
    let place = |kind| kinds.iter().position(|other| *other == kind).unwrap();
    assert!(place("remove") < place("priority 0"), "{kinds:?}");
    let farewells: Vec<_> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Send { interface, message, .. } if message[2] == 0 => Some(interface.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(farewells, [eth1()]);
}

/// Rule: a path that a reload removes says nothing: the router goes on.
#[test]
fn a_removed_path_says_nothing() {
    let mut node = two_paths(&[ours(), peer()], 200);
    node.next();
    let only = config(&[ours(), peer()], instance(200));
    let actions = node.tell(Input::Reload { config: Box::new(only) });
    assert!(!kinds(&actions).contains(&"priority 0"), "{:?}", kinds(&actions));
    assert_eq!(node.state(), StateName::Active);
}
