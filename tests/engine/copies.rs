//! Signed advertisements that somebody without the key has copied from one segment to another, and
//! genuine ones that look like copies.

use std::net::IpAddr;

use vipd::engine::story::StateName;
use vipd::engine::{Action, Engine, Input, Link, LinkAddress, Packet};
use vipd::keyring::{KeyRing, Secrets, places};
use vipd::model::{
    Authentication, Config, Family, HmacMode, InstanceConfig, InterfaceName, Node, Scope,
    Transport, VirtualAddress,
};
use vipd::time::{Mono, Now, Span};
use vipd::vrrp::auth::{Proof, Sequence, unsigned};
use vipd::vrrp::packet::{Advertisement, ChecksumForm, multicast_group};

use crate::keyed::{Keyed, SECOND, ZERO, enforce, hmac, id, key};
use crate::node::{self, eth0};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn eth1() -> InterfaceName {
    InterfaceName::try_from("eth1").unwrap()
}

fn virtual_address(text: &str) -> VirtualAddress {
    let prefix = if ip(text).is_ipv6() { 128 } else { 32 };
    let (dev, label, scope) = (None, None, Scope::Global);
    VirtualAddress { address: ip(text), prefix, dev, label, scope }
}

/// A signed instance. All instances here have the same virtual router ID and key.
fn signed(name: &str, interface: InterfaceName, addresses: &[&str]) -> InstanceConfig {
    InstanceConfig {
        name: name.try_into().unwrap(),
        interface,
        addresses: addresses.iter().copied().map(virtual_address).collect(),
        authentication: enforce(),
        ..node::instance(100)
    }
}

fn link(index: u32, addresses: &[(&str, u8)]) -> Link {
    let own = |(text, prefix): &(&str, u8)| LinkAddress {
        address: ip(text),
        prefix: *prefix,
        secondary: false,
    };
    Link { index, addresses: addresses.iter().map(own).collect(), ..node::link() }
}

const FIRST: &[(&str, u8)] = &[("10.0.0.10", 24), ("2001:db8::10", 64), ("fe80::10", 64)];
const SECOND_LINK: &[(&str, u8)] = &[("10.1.0.10", 24), ("2001:db8:1::10", 64), ("fe80::10", 64)];

/// A key ring with the common key, for these instances.
fn ring(instances: &[InstanceConfig]) -> KeyRing {
    let mut ring = KeyRing::default();
    for instance in instances {
        ring.put(places(instance), Secrets::Keys([(id(1), key(1))].into()));
    }
    ring
}

/// A node on two segments.
fn node_of(config: Config, first: &[(&str, u8)], second: &[(&str, u8)]) -> Keyed {
    let mono = Mono(0) + Span::from_secs(1_000);
    let start = Now { mono, wall: ZERO + Span::from_secs(1_000) };
    let (engine, ring) = (Engine::new(config.clone(), start), ring(&config.instances));
    let mut node = Keyed { engine, ring, start, config, mono, zero: ZERO, steps: Vec::new() };
    node.tell(Input::Link { interface: eth0(), link: Some(link(2, first)) });
    node.tell(Input::Link { interface: eth1(), link: Some(link(3, second)) });
    node
}

fn instances(instances: Vec<InstanceConfig>) -> Config {
    Config { instances, ..Config::default() }
}

/// A signed advertisement of another router.
fn says(source: &str, addresses: &[&str], priority: u8, node: &Keyed) -> Packet {
    let destination = multicast_group(Family::of(ip(source)));
    says_to((source, destination), addresses, priority, node)
}

fn says_to(ends: (&str, IpAddr), addresses: &[&str], priority: u8, node: &Keyed) -> Packet {
    let ends = (ip(ends.0), ends.1);
    let addresses = addresses.iter().copied().map(ip).collect();
    let said = Advertisement { addresses, ..node::advertisement(priority) };
    let mut message = said.encode(ends.0, ends.1, ChecksumForm::WithPseudoHeader).unwrap();
    message.extend(unsigned(id(1), Sequence::at(node.now().wall)));
    let signer = [signed("web", eth0(), &["10.0.0.100", "fe80::100"])];
    ring(&signer).complete_message(&eth0(), ends, &mut message).unwrap();
    let (source, destination) = ends;
    let (IpAddr::V4(from), IpAddr::V4(to)) = ends else {
        return Packet::V6 { source, destination, hop_limit: 255, bytes: message };
    };
    let length = u8::try_from(20 + message.len()).unwrap();
    let head = [0x45, 0xc0, 0, length, 0, 0, 0, 0, 255, 112, 0, 0];
    Packet::V4 { bytes: [&head[..], &from.octets(), &to.octets(), &message].concat() }
}

fn hear_on(node: &mut Keyed, interface: InterfaceName, packet: Packet) -> Vec<Action> {
    node.tell(Input::Received { interface, arrived: node.mono, packet, proof: Proof::None })
}

/// Reads the counters of an instance by its name, so that they can be compared.
fn counted(node: &Keyed, name: &str) -> Vec<(&'static str, u64)> {
    let status = node.status();
    let instance = status.instances.iter().find(|one| one.name.as_str() == name).unwrap();
    instance.counters.discards.iter().map(|(why, count)| (why.name(), *count)).collect()
}

fn state(node: &Keyed, name: &str) -> StateName {
    let status = node.status();
    status.instances.iter().find(|one| one.name.as_str() == name).unwrap().state
}

/// Two segments with one group each. The groups have the same key and virtual router ID.
fn two_groups(first: &[&str], second: &[&str]) -> Keyed {
    let both = vec![signed("web", eth0(), first), signed("db", eth1(), second)];
    node_of(instances(both), FIRST, SECOND_LINK)
}

/// Asserts that a copy on the second segment changes nothing there but this counter.
#[track_caller]
fn assert_nothing_but(node: &mut Keyed, copy: Packet, why: &str) {
    let (due, before) = (node.engine.next_deadline(), state(node, "db"));
    let actions = hear_on(node, eth1(), copy);
    assert!(actions.iter().all(|action| matches!(action, Action::Report(_))), "{actions:?}");
    assert_eq!((node.engine.next_deadline(), state(node, "db")), (due, before));
    assert_eq!(counted(node, "db"), [(why, 1)]);
}

/// Bug guarded: two instances on two interfaces have the same virtual router ID and key. Anybody
/// who copied a signed advertisement from one segment to the other took the address down there,
/// without the key. Now a copy only increments a counter, and the original still counts where it
/// belongs.
#[test]
fn a_copy_on_another_segment_takes_no_address_down() {
    for priority in [254, 0] {
        let mut node = two_groups(&["10.0.0.100"], &["10.1.0.100"]);
        node.pass(SECOND.times(5));
        assert_eq!(state(&node, "db"), StateName::Active);
        let original = says("10.0.0.11", &["10.0.0.100"], priority, &node);
        assert_nothing_but(&mut node, original.clone(), "foreign_source");
        hear_on(&mut node, eth0(), original);
        let expected = if priority == 0 { StateName::Active } else { StateName::Backup };
        assert_eq!(state(&node, "web"), expected);
        assert_eq!(counted(&node, "web"), []);
    }
}

/// Bug guarded: the same for a backup and for a node that has just started. A copy must not restart
/// the backup's timer, and the new node must not wait for the sender of a copy.
#[test]
fn a_copy_keeps_no_backup_waiting() {
    let mut node = two_groups(&["10.0.0.100"], &["10.1.0.100"]);
    let valid = says("10.1.0.11", &["10.1.0.100"], 200, &node);
    hear_on(&mut node, eth1(), valid);
    assert_eq!(state(&node, "db"), StateName::Backup);
    node.pass(SECOND);
    let copy = says("10.0.0.11", &["10.0.0.100"], 254, &node);
    assert_nothing_but(&mut node, copy, "foreign_source");

    let mut node = two_groups(&["10.0.0.100"], &["10.1.0.100"]);
    let mut earlier = two_groups(&["10.0.0.100"], &["10.1.0.100"]);
    earlier.mono = Mono(earlier.mono.0 - SECOND.nanos());
    let copy = says("10.0.0.11", &["10.0.0.100"], 254, &earlier);
    assert_nothing_but(&mut node, copy, "foreign_source");
}

/// Bug guarded: the source of a copy can be in a network of the interface nevertheless, over IPv6
/// or if both segments have the same network. Then the addresses give the copy away.
#[test]
fn a_copy_with_a_fitting_source_is_told_by_its_addresses() {
    let mut node = two_groups(&["10.0.0.100"], &["10.1.0.100"]);
    node.pass(SECOND.times(5));
    let copy = says("10.1.0.11", &["10.9.0.100", "10.9.0.101"], 254, &node);
    assert_nothing_but(&mut node, copy, "foreign_addresses");

    // The virtual router's link-local address follows from its ID: both groups have it.
    let common = "fe80::200:5eff:fe00:233";
    let mut node = two_groups(&[common, "2001:db8::100"], &[common, "2001:db8:1::100"]);
    node.pass(SECOND.times(5));
    assert_eq!(state(&node, "db"), StateName::Active);
    let copy = says("fe80::11", &[common, "2001:db8::100"], 254, &node);
    assert_nothing_but(&mut node, copy, "foreign_addresses");
}

/// Bug guarded: a copy on another path of the same instance counted as the router itself, and the
/// original then counted as a replay.
#[test]
fn a_copy_on_another_path_does_not_spend_the_original() {
    let instance = InstanceConfig {
        further_interfaces: vec![eth1()],
        ..signed("db", eth0(), &["10.0.0.100"])
    };
    let mut node = node_of(instances(vec![instance]), FIRST, SECOND_LINK);
    let original = says("10.0.0.11", &["10.0.0.100"], 200, &node);
    assert_nothing_but(&mut node, original.clone(), "foreign_source");
    hear_on(&mut node, eth0(), original);
    assert_eq!(node.status().instances[0].counters.advertisements_received, 1);
    assert_eq!(counted(&node, "db"), [("foreign_source", 1)]);
}

/// Rule: the log line says what to do, and repeats are folded like those of any other conflict.
#[test]
fn a_copy_is_named() {
    let mut node = two_groups(&["10.0.0.100"], &["10.1.0.100"]);
    let mut lines = String::new();
    for _ in 0..20 {
        node.pass(Span::from_millis(100));
        let copy = says("10.0.0.11", &["10.0.0.100"], 254, &node);
        lines += &node::told(&hear_on(&mut node, eth1(), copy));
    }
    let expected = "10.0.0.11 are refused: it is signed, but its source is in no network of this";
    assert_eq!(lines.matches(expected).count(), 1, "{lines}");
}

/// Returns true if a node obeys an advertisement of this source with these addresses. The node has
/// this instance alone, and the addresses `first` on its first interface.
fn obeys(config: &Config, first: &[(&str, u8)], said: (&str, &[&str])) -> bool {
    let mut node = node_of(config.clone(), first, SECOND_LINK);
    let packet = says(said.0, said.1, 200, &node);
    hear_on(&mut node, eth0(), packet);
    node.status().instances[0].counters.advertisements_received == 1
}

/// Rule: legitimate sources are obeyed: several networks on one interface, the network of a virtual
/// address, a primary address without a network, and a source in no network that `nodes` lists
/// (keepalived's `mcast_src_ip`). The same source is refused if nothing speaks for it.
#[test]
fn unusual_sources_are_obeyed() {
    let own: &[&str] = &["10.0.0.100"];
    let plain = instances(vec![signed("web", eth0(), own)]);
    let several: &[(&str, u8)] = &[("10.0.0.10", 24), ("192.0.2.10", 28), ("10.8.0.10", 32)];
    assert!(obeys(&plain, several, ("192.0.2.1", own)));
    assert!(!obeys(&plain, several, ("192.0.2.17", own)));
    assert!(obeys(&plain, &[("192.0.2.10", 32)], ("192.0.2.11", own)));

    let mut wide = plain.clone();
    wide.instances[0].addresses[0].prefix = 24;
    assert!(obeys(&wide, &[("192.0.2.10", 28)], ("10.0.0.11", own)));

    let listed =
        Node { name: "web2".try_into().unwrap(), address: ip("198.51.100.2"), others: Vec::new() };
    assert!(!obeys(&plain, FIRST, ("198.51.100.2", own)));
    let with_node = Config { nodes: vec![listed], ..plain };
    assert!(obeys(&with_node, FIRST, ("198.51.100.2", own)));
}

/// Rule: a node of the configuration is not believed on a segment with another network, because a
/// copy looks the same. Nor does an interface without a network let a copy in.
#[test]
fn a_node_of_another_segment_is_not_believed() {
    let both = vec![signed("web", eth0(), &["10.0.0.100"]), signed("db", eth1(), &["10.1.0.100"])];
    let listed =
        Node { name: "web2".try_into().unwrap(), address: ip("10.0.0.11"), others: Vec::new() };
    let config = Config { nodes: vec![listed], ..instances(both) };
    for second in [SECOND_LINK, &[("10.1.0.10", 32)]] {
        let mut node = node_of(config.clone(), FIRST, second);
        let copy = says("10.0.0.11", &["10.1.0.100"], 254, &node);
        assert_nothing_but(&mut node, copy, "foreign_source");
    }
}

/// Rule: a different list of addresses is drift as long as one address is common, or if one side
/// has only link-local addresses (keepalived without `link_local`). An extra address that moves
/// along here counts, too.
#[test]
fn drift_is_no_copy() {
    let obeyed = |ours: &[&str], extra: &[&str], source: &str, theirs: &[&str]| {
        let instance = InstanceConfig {
            extra_addresses: extra.iter().copied().map(virtual_address).collect(),
            ..signed("web", eth0(), ours)
        };
        obeys(&instances(vec![instance]), FIRST, (source, theirs))
    };
    let four: &[&str] = &["10.0.0.100", "10.0.0.101"];
    assert!(obeyed(four, &[], "10.0.0.11", &["10.0.0.101", "10.0.0.102"]));
    assert!(obeyed(&four[..1], &four[1..], "10.0.0.11", &four[1..]));
    assert!(!obeyed(&four[..1], &[], "10.0.0.11", &four[1..]));
    let six: &[&str] = &["fe80::100", "2001:db8::100"];
    assert!(obeyed(six, &[], "fe80::11", &["2001:db8::100"]));
    assert!(obeyed(six, &[], "fe80::11", &["fe80::100"]));
    assert!(obeyed(&six[..1], &[], "fe80::11", six));
    assert!(!obeyed(six, &[], "fe80::11", &["fe80::101"]));
}

/// Rule: the networks of an interface say nothing about unicast peers, which may be behind routers.
/// The addresses do.
#[test]
fn unicast_peers_may_be_far_away() {
    let transport = Transport::Unicast { peers: vec![ip("198.51.100.2")], minimum_ttl: 255 };
    let unicast = InstanceConfig { transport, ..signed("web", eth0(), &["10.0.0.100"]) };
    let mut node = node_of(instances(vec![unicast]), FIRST, SECOND_LINK);
    let ends = ("198.51.100.2", ip("10.0.0.10"));
    let said = says_to(ends, &["10.0.0.100"], 200, &node);
    hear_on(&mut node, eth0(), said);
    assert_eq!(counted(&node, "web"), []);
    node.pass(SECOND);
    let said = says_to(ends, &["10.9.0.100"], 200, &node);
    hear_on(&mut node, eth0(), said);
    assert_eq!(counted(&node, "web"), [("foreign_addresses", 1)]);
}

/// Rule: unsigned advertisements are judged as before: the rules would protect from nobody there.
#[test]
fn the_unsigned_is_judged_as_before() {
    let permissive = Authentication::Hmac(hmac(HmacMode::Permissive, &[1], 1));
    for authentication in [Authentication::None, permissive] {
        let instance = InstanceConfig { authentication, ..signed("web", eth0(), &["10.0.0.100"]) };
        let mut node = node_of(instances(vec![instance]), FIRST, SECOND_LINK);
        let addresses = vec![ip("10.9.0.100")];
        let said = Advertisement { addresses, ..node::advertisement(200) };
        let bytes = node::packet(&said, ip("198.51.100.2"), ChecksumForm::Message);
        hear_on(&mut node, eth0(), Packet::V4 { bytes });
        assert_eq!(counted(&node, "web"), []);
    }
}
