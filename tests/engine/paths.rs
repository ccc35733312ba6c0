//! Several ways between the nodes of one instance: two address families, two interfaces, unicast.
//! To the others each is a virtual router of its own, here they are one election.

use std::net::IpAddr;

use vipd::engine::story::StateName;
use vipd::engine::{Action, HeldRouter, Input, Link, LinkAddress, Packet};
use vipd::model::{
    Config, Family, InstanceConfig, InterfaceName, Preempt, Scope, Transport, VirtualAddress,
};
use vipd::vrrp::auth::Proof;
use vipd::vrrp::packet::{Advertisement, ChecksumForm, Datagram, Discard, decode, multicast_group};

use super::node::{self, Node, eth0, kinds, now, told};

/// The other router, by family and interface.
const PEERS: [&str; 4] = ["10.0.0.11", "fe80::11", "10.1.0.11", "fe80::21"];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn eth1() -> InterfaceName {
    InterfaceName::try_from("eth1").unwrap()
}

fn link(index: u32, addresses: &[(&str, u8)]) -> Link {
    let own = |(text, prefix): &(&str, u8)| LinkAddress {
        address: ip(text),
        prefix: *prefix,
        secondary: false,
    };
    Link { index, addresses: addresses.iter().map(own).collect(), ..node::link() }
}

fn virtual_address(text: &str) -> VirtualAddress {
    let prefix = if ip(text).is_ipv6() { 128 } else { 32 };
    let (dev, label, scope) = (None, None, Scope::Global);
    VirtualAddress { address: ip(text), prefix, dev, label, scope }
}

fn dual(priority: u8) -> InstanceConfig {
    let addresses = ["10.0.0.100", "fe80::200:5eff:fe00:233", "2001:db8::100"];
    let addresses = addresses.map(virtual_address).into();
    InstanceConfig { addresses, ..node::instance(priority) }
}

fn two_paths(priority: u8) -> InstanceConfig {
    InstanceConfig { further_interfaces: vec![eth1()], ..node::instance(priority) }
}

fn unicast(priority: u8, peers: &[&str]) -> InstanceConfig {
    let peers = peers.iter().map(|peer| ip(peer)).collect();
    let transport = Transport::Unicast { peers, minimum_ttl: 255 };
    InstanceConfig { transport, ..node::instance(priority) }
}

/// A node whose two interfaces have addresses of both families.
fn node_of(instance: InstanceConfig) -> Node {
    let config = Config { instances: vec![instance], ..Config::default() };
    let mut node = Node::unlinked(config);
    let first = link(2, &[("10.0.0.10", 24), ("2001:db8::10", 64), ("fe80::10", 64)]);
    let second = link(3, &[("10.1.0.10", 24), ("fe80::20", 64)]);
    node.tell(Input::Link { interface: eth0(), link: Some(first) });
    node.tell(Input::Link { interface: eth1(), link: Some(second) });
    node
}

fn active(instance: InstanceConfig) -> (Node, Vec<Action>) {
    let mut node = node_of(instance);
    let actions = node.next();
    assert_eq!(node.state(), StateName::Active, "{actions:?}");
    (node, actions)
}

/// An advertisement of the other router to this destination, with this TTL.
fn packet_to(source: &str, destination: IpAddr, priority: u8, ttl: u8) -> Packet {
    let family = Family::of(ip(source));
    let addresses = dual(1).addresses_of(family).map(|a| a.address).collect();
    let advertisement = Advertisement { addresses, ..node::advertisement(priority) };
    let form = ChecksumForm::WithPseudoHeader;
    let message = advertisement.encode(ip(source), destination, form).unwrap();
    let (IpAddr::V4(from), IpAddr::V4(to)) = (ip(source), destination) else {
        return Packet::V6 { source: ip(source), destination, hop_limit: ttl, bytes: message };
    };
    let length = u8::try_from(20 + message.len()).unwrap();
    let head = [0x45, 0xc0, 0, length, 0, 0, 0, 0, ttl, 112, 0, 0];
    let bytes = [&head[..], &from.octets(), &to.octets(), &message].concat();
    Packet::V4 { bytes }
}

fn hear_on(node: &mut Node, interface: InterfaceName, packet: Packet) -> Vec<Action> {
    let arrived = now(node.millis).mono;
    node.tell(Input::Received { interface, arrived, packet, proof: Proof::None })
}

fn hear(node: &mut Node, interface: InterfaceName, source: &str, priority: u8) -> Vec<Action> {
    let group = multicast_group(Family::of(ip(source)));
    hear_on(node, interface, packet_to(source, group, priority, 255))
}

/// From where to where messages go, and through which interface.
fn sent(actions: &[Action]) -> Vec<(String, IpAddr, IpAddr)> {
    let ends = |action: &Action| match action {
        Action::Send { interface, source, destination, .. } => {
            Some((interface.to_string(), *source, *destination))
        }
        _ => None,
    };
    actions.iter().filter_map(ends).collect()
}

/// Lets time pass until something is sent.
fn next_sent(node: &mut Node) -> Vec<(String, IpAddr, IpAddr)> {
    std::iter::repeat_with(|| sent(&node.next())).find(|sent| !sent.is_empty()).unwrap()
}

fn ends(list: &[(&str, &str, &str)]) -> Vec<(String, IpAddr, IpAddr)> {
    list.iter().map(|(on, from, to)| ((*on).to_owned(), ip(from), ip(to))).collect()
}

fn discards(node: &Node) -> Vec<(Discard, u64)> {
    node.status().instances[0].counters.discards.clone().into_iter().collect()
}

const BOTH_FAMILIES: [(&str, &str, &str); 2] =
    [("eth0", "10.0.0.10", "224.0.0.18"), ("eth0", "fe80::10", "ff02::12")];

/// Rule: dual stack is two standard virtual routers on the wire, each with the addresses of its
/// family, and one takeover: all addresses are installed and announced, and both farewells are
/// written down.
#[test]
fn both_families_move_together() {
    let (_, actions) = active(dual(100));
    assert_eq!(sent(&actions), ends(&BOTH_FAMILIES));
    let count = |kind: &str| kinds(&actions).iter().filter(|other| **other == kind).count();
    // IPv4 is announced in two forms.
    assert_eq!((count("add"), count("announce")), (3, 4));
    for action in &actions {
        if let Action::Send { source, destination, message, .. } = action {
            let datagram = Datagram::from_ipv6(*source, *destination, 255, message);
            let listed = decode(&datagram).unwrap().advertisement.addresses;
            let ours = dual(1);
            let expected: Vec<_> =
                ours.addresses_of(Family::of(*source)).map(|a| a.address).collect();
            assert_eq!(listed, expected);
        }
    }
    let written = actions.iter().find_map(|action| match action {
        Action::WriteDown { routers } => Some(routers.clone()),
        _ => None,
    });
    let [HeldRouter { addresses, farewells, .. }] = &written.unwrap()[..] else { panic!() };
    assert_eq!((addresses.len(), farewells.len()), (3, 2));
}

/// Rule: the others are alive while they are heard on any path, whichever that is.
#[test]
fn alive_if_heard_on_any_path() {
    let cases = [
        (dual(100), [(eth0(), PEERS[0]), (eth0(), PEERS[1])]),
        (two_paths(100), [(eth0(), PEERS[0]), (eth1(), PEERS[2])]),
    ];
    for (instance, paths) in cases {
        for (on, source) in paths {
            let mut node = node_of(instance.clone());
            for _ in 0..20 {
                hear(&mut node, on.clone(), source, 200);
                node.millis += 1_000;
                node.tell(Input::Deadline);
            }
            assert_eq!(node.state(), StateName::Backup, "{source}");
            node.next();
            assert_eq!(node.state(), StateName::Active, "after silence on all paths");
        }
    }
}

/// Rule: a higher priority makes the active router let go of all addresses, on whichever path it is
/// heard, and it says so on every path.
#[test]
fn a_better_router_on_any_path_gets_everything() {
    for (place, (on, source)) in [(eth0(), PEERS[0]), (eth0(), PEERS[1])].into_iter().enumerate() {
        let (mut node, _) = active(dual(100));
        let actions = hear(&mut node, on, source, 200);
        assert_eq!(node.state(), StateName::Backup, "{place}");
        let removals = kinds(&actions).iter().filter(|kind| **kind == "remove").count();
        assert_eq!((removals, sent(&actions)), (3, ends(&BOTH_FAMILIES)));
    }
}

/// Rule: priority 0 on one path is no farewell while the same router goes on on another:
/// keepalived's IPv6 instance may be in fault alone. On all paths it is one.
#[test]
fn a_farewell_on_one_path_is_not_the_end() {
    let (on4, on6) = ((eth0(), PEERS[0]), (eth0(), PEERS[1]));
    let mut node = node_of(dual(100));
    for (on, source) in [&on4, &on6] {
        hear(&mut node, on.clone(), source, 200);
    }
    let before = node.engine.next_deadline().unwrap().at;
    hear(&mut node, on6.0.clone(), on6.1, 0);
    assert_eq!(node.engine.next_deadline().unwrap().at, before, "the timer runs on");
    hear(&mut node, on4.0.clone(), on4.1, 0);
    node.next();
    assert!(node.millis < 1_000_000 + 700, "after the skew time, not after {}", node.millis);
    assert_eq!(node.state(), StateName::Active);
}

/// Rule: of two equals one goes on, and both find the same one: the first path decides, though the
/// addresses on the second one say the opposite (RFC 9568 section 6.4.3 compares within a family).
#[test]
fn the_first_path_decides_between_equals() {
    // Higher in IPv6, lower in IPv4.
    let (mut node, _) = active(dual(100));
    for _ in 0..10 {
        hear(&mut node, eth0(), "fe80::99", 100);
        hear(&mut node, eth0(), "10.0.0.9", 100);
        node.millis += 500;
        node.tell(Input::Deadline);
    }
    assert_eq!(node.state(), StateName::Active, "it is the higher one of IPv4");
    // Lower in IPv6, higher in IPv4.
    let (mut node, _) = active(dual(100));
    hear(&mut node, eth0(), "fe80::1", 100);
    hear(&mut node, eth0(), "10.0.0.99", 100);
    assert_eq!(node.state(), StateName::Backup);
    // Where only IPv6 gets through, that decides in the end.
    let (mut node, _) = active(dual(100));
    for _ in 0..10 {
        hear(&mut node, eth0(), "fe80::99", 100);
        node.millis += 500;
        node.tell(Input::Deadline);
    }
    assert_eq!(node.state(), StateName::Backup);
}

/// Rule: each path has its own checks of the list; that of the other family is no drift.
#[test]
fn lists_are_compared_within_a_family() {
    let mut node = node_of(dual(100));
    for source in [PEERS[0], PEERS[1]] {
        hear(&mut node, eth0(), source, 200);
    }
    let status = node.status().instances[0].clone();
    assert_eq!(status.conflicts, []);
    assert!(status.peers.iter().all(|peer| peer.oddities.is_empty()), "{:?}", status.peers);
}

/// Rule: an instance with both families cannot take part where one of them has no address to send
/// from: half of it would be silent.
#[test]
fn both_families_need_a_source() {
    let mut node = node_of(dual(100));
    let only_ipv4 = link(2, &[("10.0.0.10", 24)]);
    let actions = node.tell(Input::Link { interface: eth0(), link: Some(only_ipv4) });
    assert!(told(&actions).contains("no IPv6 link-local address"), "{}", told(&actions));
    assert_eq!(node.state(), StateName::Fault);
}

/// Rule: advertisements go out on each path; a further one that is down, or has no address, is left
/// out and is no fault.
#[test]
fn further_paths_may_be_missing() {
    let (mut node, actions) = active(two_paths(100));
    let both = [("eth0", "10.0.0.10", "224.0.0.18"), ("eth1", "10.1.0.10", "224.0.0.18")];
    assert_eq!(sent(&actions), ends(&both));
    let without =
        [Some(Link { carrier: false, ..link(3, &[("10.1.0.10", 24)]) }), Some(link(3, &[])), None];
    for state in without {
        node.tell(Input::Link { interface: eth1(), link: state });
        assert_eq!(node.state(), StateName::Active);
        assert_eq!(next_sent(&mut node), ends(&both[..1]));
    }
}

/// Rule: one path that does not let advertisements out is told and no reason to give up; all of
/// them are.
#[test]
fn one_mute_path_is_not_the_end() {
    let fail = |failing: &[&str]| {
        let (mut node, mut actions) = active(two_paths(100));
        for _ in 0..20 {
            let sends = actions.iter().filter(|action| {
                matches!(action, Action::Send { interface, .. } if failing.contains(&interface.as_str()))
            });
            for send in sends.cloned().collect::<Vec<_>>() {
                node.fail(&send, 1);
            }
            if node.state() == StateName::Fault {
                break;
            }
            actions = node.next();
        }
        node.state()
    };
    assert_eq!(fail(&["eth1"]), StateName::Active);
    assert_eq!(fail(&["eth0"]), StateName::Active);
    assert_eq!(fail(&["eth0", "eth1"]), StateName::Fault);
}

/// Rule: unicast goes to each peer alone, never to the group and never to this node itself, from
/// the address that the peer can answer to.
#[test]
fn unicast_goes_to_each_peer() {
    let list = ["10.0.0.10", "10.0.0.11", "10.9.9.9"];
    let (_, actions) = active(unicast(100, &list));
    let expected = [("eth0", "10.0.0.10", "10.0.0.11"), ("eth0", "10.0.0.10", "10.9.9.9")];
    assert_eq!(sent(&actions), ends(&expected));

    let over_ipv6 = InstanceConfig {
        addresses: dual(100).addresses.split_off(1),
        ..unicast(100, &["2001:db8::11", "fe80::11"])
    };
    let (_, actions) = active(over_ipv6);
    let expected = [("eth0", "2001:db8::10", "2001:db8::11"), ("eth0", "fe80::10", "fe80::11")];
    assert_eq!(sent(&actions), ends(&expected));
}

/// Rule: with two paths each peer is told on the one in whose network it is; who is behind a
/// router, on the first one.
#[test]
fn unicast_takes_the_path_that_reaches_the_peer() {
    let instance = unicast(100, &["10.0.0.11", "10.1.0.11", "10.9.9.9"]);
    let instance = InstanceConfig { further_interfaces: vec![eth1()], ..instance };
    let (_, actions) = active(instance);
    let expected = [
        ("eth0", "10.0.0.10", "10.0.0.11"),
        ("eth0", "10.0.0.10", "10.9.9.9"),
        ("eth1", "10.1.0.10", "10.1.0.11"),
    ];
    assert_eq!(sent(&actions), ends(&expected));
}

/// Rule: in unicast only the peers are heard, only what they sent to this node, and only from as
/// near as configured; what is refused changes nothing but a counter.
#[test]
fn unicast_hears_its_peers_alone() {
    let ours = ip("10.0.0.10");
    let cases = [
        (packet_to("10.0.0.66", ours, 200, 255), Discard::NotAPeer),
        (packet_to(PEERS[0], multicast_group(Family::V4), 200, 255), Discard::Destination),
        (packet_to(PEERS[0], ours, 200, 254), Discard::Ttl),
        (packet_to("10.0.0.10", ours, 200, 255), Discard::OwnPacket),
    ];
    for (packet, reason) in cases {
        let (mut node, _) = active(unicast(100, &["10.0.0.10", PEERS[0]]));
        let before = node.engine.next_deadline();
        let actions = hear_on(&mut node, eth0(), packet);
        // A peer that is too far away is a mistake of the configuration, and said.
        assert_eq!(kinds(&actions).is_empty(), reason != Discard::Ttl, "{actions:?}");
        assert_eq!((node.state(), node.engine.next_deadline()), (StateName::Active, before));
        assert_eq!(discards(&node), [(reason, 1)]);
    }
    let (mut node, _) = active(unicast(100, &[PEERS[0]]));
    hear_on(&mut node, eth0(), packet_to(PEERS[0], ours, 200, 255));
    assert_eq!(node.state(), StateName::Backup);
}

/// Rule: where routers are on the way the configured TTL is the bound.
#[test]
fn the_ttl_bound_is_configured() {
    let peers = vec![ip("10.9.9.9")];
    let transport = Transport::Unicast { peers, minimum_ttl: 253 };
    for (ttl, state) in [(253, StateName::Backup), (252, StateName::Active)] {
        let instance = InstanceConfig { transport: transport.clone(), ..node::instance(100) };
        let (mut node, _) = active(instance);
        hear_on(&mut node, eth0(), packet_to("10.9.9.9", ip("10.0.0.10"), 200, ttl));
        assert_eq!(node.state(), state, "TTL {ttl}");
    }
}

/// Rule: multicast is not heard by whom unicast is meant for, and the other way round.
#[test]
fn multicast_does_not_hear_unicast() {
    let (mut node, _) = active(node::instance(100));
    hear_on(&mut node, eth0(), packet_to(PEERS[0], ip("10.0.0.10"), 200, 255));
    assert_eq!(discards(&node), [(Discard::Destination, 1)]);
}

/// Rule: another multicast group is sent to, joined and required.
#[test]
fn another_group_takes_the_place_of_the_standard_one() {
    let group = ip("224.0.0.50");
    let transport = Transport::Multicast { groups: vec![group] };
    let instance = InstanceConfig { transport, ..node::instance(100) };
    let config = Config { instances: vec![instance], ..Config::default() };
    let mut node = Node::unlinked(config);
    let link = link(2, &[("10.0.0.10", 24)]);
    let actions = node.tell(Input::Link { interface: eth0(), link: Some(link) });
    let Action::Listen { groups, .. } = &actions[0] else { panic!("{actions:?}") };
    assert_eq!(groups, &[group]);
    assert_eq!(sent(&node.next()), ends(&[("eth0", "10.0.0.10", "224.0.0.50")]));
    hear(&mut node, eth0(), PEERS[0], 200);
    assert_eq!(discards(&node), [(Discard::Destination, 1)]);
    hear_on(&mut node, eth0(), packet_to(PEERS[0], group, 200, 255));
    assert_eq!(node.state(), StateName::Backup);
}

/// Rule: an instance gets another family, another path or another transport while it is active, and
/// stays active (invariant 6, nothing half done).
#[test]
fn a_reload_changes_the_paths_of_an_active_instance() {
    let (mut node, _) = active(node::instance(100));
    let changes = [dual(100), two_paths(100), unicast(100, &[PEERS[0]]), node::instance(100)];
    for wanted in changes {
        let wanted = InstanceConfig { preempt: Preempt::Never, ..wanted };
        let config = Config { instances: vec![wanted.clone()], ..Config::default() };
        node.tell(Input::Reload { config: Box::new(config) });
        assert_eq!(node.state(), StateName::Active, "{wanted:?}");
        let status = node.status().instances[0].clone();
        assert_eq!(status.held.len(), wanted.addresses.len());
    }
}
