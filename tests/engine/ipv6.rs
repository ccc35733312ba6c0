//! What is different over IPv6: the source, the announcements, the link-local address.

use std::net::{IpAddr, Ipv6Addr};

use vipd::engine::story::StateName;
use vipd::engine::{
    Action, Farewell, HeldRouter, Input, Link, LinkAddress, Packet, UnusableAddress,
};
use vipd::model::{Config, Family, InstanceConfig, Node as ConfiguredNode, Scope, VirtualAddress};
use vipd::vrrp::auth::Proof;
use vipd::vrrp::frame::unsolicited_neighbour_advertisement;
use vipd::vrrp::packet::{Advertisement, ChecksumForm, Datagram, Discard, decode, multicast_group};

use super::node::{self, Node, eth0, kinds, now, told};

const OWN: &str = "fe80::10";
const PEER: &str = "fe80::11";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn virtual_address(text: &str) -> VirtualAddress {
    let (dev, label, scope) = (None, None, Scope::Global);
    VirtualAddress { address: ip(text), prefix: 128, dev, label, scope }
}

fn instance(priority: u8) -> InstanceConfig {
    let addresses = ["fe80::200:5eff:fe00:233", "2001:db8::100"].map(virtual_address);
    InstanceConfig { addresses: addresses.into(), ..node::instance(priority) }
}

/// An interface with these addresses, the IPv4 one of the other tests among them.
fn link(addresses: &[&str]) -> Link {
    let own = |text: &&str| LinkAddress { address: ip(text), prefix: 64, secondary: false };
    let mut link = node::link();
    link.addresses.extend(addresses.iter().map(own));
    link
}

fn tell_link(node: &mut Node, link: Link) -> Vec<Action> {
    node.tell(Input::Link { interface: eth0(), link: Some(link) })
}

fn started(config: Config, link: Link) -> (Node, Vec<Action>) {
    let mut node = Node::unlinked(config);
    let actions = tell_link(&mut node, link);
    (node, actions)
}

fn node_of(instance: InstanceConfig) -> Node {
    let config = Config { instances: vec![instance], ..Config::default() };
    started(config, link(&["2001:db8::10", OWN])).0
}

fn active() -> (Node, Vec<Action>) {
    let mut node = node_of(instance(100));
    let actions = node.next();
    assert_eq!(node.state(), StateName::Active);
    (node, actions)
}

fn advertisement(priority: u8) -> Advertisement {
    let addresses = instance(priority).addresses.iter().map(|a| a.address).collect();
    Advertisement { addresses, ..node::advertisement(priority) }
}

fn packet(advertisement: &Advertisement, source: &str, hop_limit: u8) -> Packet {
    let (source, destination) = (ip(source), multicast_group(Family::V6));
    let form = ChecksumForm::WithPseudoHeader;
    let bytes = advertisement.encode(source, destination, form).unwrap();
    Packet::V6 { source, destination, hop_limit, bytes }
}

fn hear(node: &mut Node, packet: Packet) -> Vec<Action> {
    let arrived = now(node.millis).mono;
    node.tell(Input::Received { interface: eth0(), arrived, packet, proof: Proof::None })
}

fn discards(node: &Node) -> Vec<(Discard, u64)> {
    node.status().instances[0].counters.discards.clone().into_iter().collect()
}

/// Rule: the advertisement comes from the interface's link-local address, goes to `ff02::12`, and
/// starts with the virtual router's link-local address (RFC 9568 sections 5.1.2 and 5.2.9).
#[test]
fn advertisements_start_with_the_link_local_address() {
    let (_, actions) = active();
    let Action::Send { source, destination, message, .. } = &actions[0] else {
        panic!("{actions:?}")
    };
    assert_eq!((*source, *destination), (ip(OWN), ip("ff02::12")));
    let sent = decode(&Datagram::from_ipv6(*source, *destination, 255, message)).unwrap();
    assert_eq!(sent.advertisement, advertisement(100));
}

/// Rule: a takeover installs and announces each address, and what `vipd release` needs to undo it
/// is written down first, with the farewell.
#[test]
fn a_takeover_installs_and_announces_both() {
    let (_, actions) = active();
    // Nobody is asked: that is for IPv4.
    let expected =
        ["advertise", "write down", "add", "add", "announce", "announce", "report", "watch"];
    assert_eq!(kinds(&actions), expected);
    let Action::WriteDown { routers } = &actions[1] else { panic!("{actions:?}") };
    let [HeldRouter { addresses, farewells, .. }] = &routers[..] else { panic!("{routers:?}") };
    let [Farewell { source, message, .. }] = &farewells[..] else { panic!("{farewells:?}") };
    assert_eq!(addresses.len(), 2);
    assert_eq!((*source, message[2]), (ip(OWN), 0));
}

/// Rule: the announcement says that the node is a router where it forwards, and only there: hosts
/// drop a router from their list that says it is none (RFC 4861 section 7.2.5).
#[test]
fn the_router_flag_is_that_of_the_interface() {
    for forwards_ipv6 in [false, true] {
        let mut node = node_of(instance(100));
        let mut link = link(&[OWN]);
        link.forwards_ipv6 = forwards_ipv6;
        let mac = link.mac.unwrap();
        tell_link(&mut node, link);
        let expected: Vec<Vec<u8>> = ["fe80::200:5eff:fe00:233", "2001:db8::100"]
            .map(|text| text.parse::<Ipv6Addr>().unwrap())
            .map(|address| unsolicited_neighbour_advertisement(mac, address, forwards_ipv6))
            .into();
        let frame = |action| match action {
            Action::Announce { frame, .. } => Some(frame),
            _ => None,
        };
        let announced: Vec<Vec<u8>> = node.next().into_iter().filter_map(frame).collect();
        assert_eq!(announced, expected, "forwards: {forwards_ipv6}");
    }
}

/// Rule: RFC 9568 section 7.1 holds for IPv6 too: hop limit, group, own packets, another version's
/// address family.
#[test]
fn the_reception_rules_hold() {
    let good = packet(&advertisement(200), PEER, 255);
    let elsewhere = {
        let Packet::V6 { source, hop_limit, bytes, .. } = good.clone() else { unreachable!() };
        Packet::V6 { source, destination: ip(OWN), hop_limit, bytes }
    };
    let cases = [
        (packet(&advertisement(200), PEER, 254), Discard::Ttl),
        (elsewhere, Discard::Destination),
        (packet(&advertisement(200), OWN, 255), Discard::OwnPacket),
    ];
    for (refused, reason) in cases {
        let (mut node, _) = active();
        hear(&mut node, refused);
        assert_eq!(node.state(), StateName::Active, "{reason}");
        assert_eq!(discards(&node), [(reason, 1)]);
    }
    let (mut node, _) = active();
    let actions = hear(&mut node, good);
    assert_eq!(node.state(), StateName::Backup);
    assert_eq!(
        kinds(&actions),
        ["remove", "remove", "priority 0", "report", "write down", "watch"]
    );
}

/// Rule: between equal priorities the higher link-local address wins (RFC 9568 section 6.4.3).
#[test]
fn equal_priorities_are_told_apart_by_link_local_address() {
    for (peer, state) in [("fe80::f", StateName::Active), ("fe80::11", StateName::Backup)] {
        let (mut node, _) = active();
        hear(&mut node, packet(&advertisement(100), peer, 255));
        assert_eq!(node.state(), state, "{peer}");
    }
}

/// Rule: the source is the oldest link-local address of the interface (the kernel puts the newest
/// first), never a virtual one; a listed one of this node comes before.
#[test]
fn the_source_is_a_link_local_address_of_the_node() {
    let addresses = ["2001:db8::10", "fe80::200:5eff:fe00:233", "fe80::99", OWN];
    let mut node = node_of(instance(100));
    tell_link(&mut node, link(&addresses));
    assert_eq!(node.next_sent().0, ip(OWN));

    let name = "db1".try_into().unwrap();
    let listed = ConfiguredNode { name, address: ip("10.0.0.10"), others: vec![ip("fe80::99")] };
    let config = Config {
        this_node: Some(listed.name.clone()),
        nodes: vec![listed],
        instances: vec![instance(100)],
        ..Config::default()
    };
    let (mut node, _) = started(config, link(&addresses));
    assert_eq!(node.next_sent().0, ip("fe80::99"));
}

/// Rule: peers are named by any of their listed addresses. Where none is listed with its link-local
/// one, a link-local source is no stranger.
#[test]
fn peers_are_named_by_their_link_local_address() {
    let of = |name: &str, address: &str, others: &[&str]| ConfiguredNode {
        name: name.try_into().unwrap(),
        address: ip(address),
        others: others.iter().map(|text| ip(text)).collect(),
    };
    let heard = |nodes: Vec<ConfiguredNode>| {
        let instances = vec![instance(100)];
        let config = Config { nodes, instances, ..Config::default() };
        let (mut node, _) = started(config, link(&[OWN]));
        hear(&mut node, packet(&advertisement(200), PEER, 255));
        let peers = node.status().instances[0].peers.clone();
        (peers[0].peer.to_string(), peers[0].oddities.clone())
    };
    let unnamed = vec![of("db1", "10.0.0.10", &[]), of("db2", "10.0.0.11", &[])];
    assert_eq!(heard(unnamed), (PEER.to_owned(), vec![]));
    let named = vec![of("db1", "10.0.0.10", &[OWN]), of("db2", "10.0.0.11", &[PEER])];
    assert_eq!(heard(named), (format!("db2 ({PEER})"), vec![]));
    let other = vec![of("db1", OWN, &[]), of("db2", "fe80::12", &[])];
    assert_eq!(heard(other).1, ["is not one of the configured nodes"]);
}

/// Rule: without a usable link-local address the instance waits, and says which of the three it
/// is: none, one that the kernel is still checking, one that another station has.
#[test]
fn what_is_wrong_with_the_link_local_address_is_said() {
    let unusable = |duplicate| {
        let mut link = link(&["2001:db8::10"]);
        let vip = UnusableAddress { address: ip("fe80::200:5eff:fe00:233"), duplicate: true };
        link.unusable = vec![vip, UnusableAddress { address: ip(OWN), duplicate }];
        link
    };
    let cases = [
        (
            link(&["2001:db8::10"]),
            "eth0 has no IPv6 link-local address to advertise from: is IPv6 off",
        ),
        (unusable(false), "waiting for the kernel to look whether another station has fe80::10"),
        (unusable(true), "another station has fe80::10, the address of eth0 to advertise from"),
    ];
    for (state, reason) in cases {
        let config = Config { instances: vec![instance(100)], ..Config::default() };
        let (mut node, actions) = started(config, state.clone());
        assert!(told(&actions).contains(&format!("fault: {reason}")), "{}", told(&actions));
        let actions = tell_link(&mut node, link(&[OWN]));
        assert_eq!(told(&actions), "fault -> backup: able to take part again");
        node.next();
        let actions = tell_link(&mut node, state);
        assert!(told(&actions).contains(&format!("active -> fault: {reason}")), "{actions:?}");
        assert!(kinds(&actions).contains(&"remove"), "{actions:?}");
    }
}

/// Rule: an IPv4 and an IPv6 virtual router with the same number are two, each with its own socket
/// and its own election.
#[test]
fn the_families_have_the_same_number() {
    let four = InstanceConfig { name: "four".try_into().unwrap(), ..node::instance(100) };
    let config = Config { instances: vec![four, instance(100)], ..Config::default() };
    let (mut node, actions) = started(config, link(&[OWN]));
    let listens = actions.iter().filter_map(|action| match action {
        Action::Listen { family, .. } => Some(*family),
        _ => None,
    });
    assert_eq!(listens.collect::<Vec<_>>(), [Family::V4, Family::V6]);
    node.next();
    node.next();
    hear(&mut node, packet(&advertisement(200), PEER, 255));
    let states: Vec<_> = node.status().instances.iter().map(|i| i.state).collect();
    assert_eq!(states, [StateName::Active, StateName::Backup]);
}

/// Rule: a router that does not advertise the link-local address is followed all the same, and the
/// operator is told what to do: other routers drop our advertisements for it.
#[test]
fn a_group_without_link_local_address_is_said() {
    let (mut node, _) = active();
    let mut short = advertisement(200);
    short.addresses.remove(0);
    let actions = hear(&mut node, packet(&short, PEER, 255));
    assert_eq!(node.state(), StateName::Backup);
    let text = told(&actions);
    assert!(text.contains("only here: fe80::200:5eff:fe00:233;"), "{text}");
    assert!(text.contains("link_local: off"), "{text}");
}

/// Rule: a handover to a node by name needs its link-local address: otherwise the right node would
/// look like another one.
#[test]
fn a_handover_by_name_needs_the_link_local_address() {
    let of = |name: &str, address: &str| ConfiguredNode {
        name: name.try_into().unwrap(),
        address: ip(address),
        others: Vec::new(),
    };
    let said = |address: &str| {
        let nodes = vec![of("db1", OWN), of("db2", address)];
        let config = Config { nodes, instances: vec![instance(100)], ..Config::default() };
        let (mut node, _) = started(config, link(&[OWN]));
        node.next();
        let (instance, to) = ("web".try_into().unwrap(), Some("db2".try_into().unwrap()));
        let mut actions = node.tell(Input::Handover { request: 1, instance, to });
        if !actions.iter().any(|action| matches!(action, Action::Answer { .. })) {
            node.millis += 500;
            actions = hear(&mut node, packet(&advertisement(90), PEER, 255));
        }
        let answer = |action| match action {
            Action::Answer { answer, .. } => Some(answer.to_string()),
            _ => None,
        };
        actions.into_iter().find_map(answer).unwrap()
    };
    let refused = said("10.0.0.11");
    assert!(refused.starts_with("over IPv6 db2 is known by its link-local address"), "{refused}");
    let done = said(PEER);
    assert!(done.starts_with("db2 (fe80::11) has the addresses now"), "{done}");
}

/// Bug guarded: an interface whose MTU fell below 1,280 bytes for a moment, or on which IPv6 was
/// turned off and on, had left `ff02::12` for good, and the node heard nobody there any more.
#[test]
fn the_group_is_joined_again_when_ipv6_comes_back() {
    let mut node = node_of(instance(100));
    let listens = |actions: &[Action]| {
        let is_it = |one: &&Action| matches!(one, Action::Listen { family: Family::V6, .. });
        actions.iter().filter(is_it).count()
    };
    let gone = tell_link(&mut node, link(&[]));
    assert_eq!(listens(&gone), 0, "{gone:?}");
    let back = tell_link(&mut node, link(&[OWN]));
    assert_eq!(listens(&back), 1, "{back:?}");
    let one_more = tell_link(&mut node, link(&[OWN, "2001:db8::10"]));
    assert_eq!(listens(&one_more), 0, "{one_more:?}");
}
