//! The configurations and names of a simulated group.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vipd::engine::{Link, LinkAddress};
use vipd::keyring::{KeyRing, Secrets, places};
use vipd::model::{
    AntiReplay, Authentication, ChecksumStyle, Config, Family, HmacAuthentication, HmacKey,
    HmacMode, InstanceConfig, InstanceName, InterfaceName, Interval, Key, KeyId, Mac, Node,
    NodeName, Scope, SecretSource, Transport, Version, VirtualAddress, Vrid, Window,
};

use crate::schedule::Group;
use vipd::time::Span;

/// The keys by their numbers from 1 on, and by how much the clocks may differ, in seconds.
const KEYS: [&[u8]; 2] =
    [b"thirty-two bytes of no secret....", b"another thirty-two of no secret.."];
pub(crate) const WINDOW: u16 = 10;

/// What moves.
pub(crate) fn virtual_address(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(10, 0, 0, 100).into(),
        Family::V6 => virtual_router_id().link_local().into(),
    }
}

fn virtual_router_id() -> Vrid {
    Vrid::try_from(51).expect("valid")
}

/// The virtual router ID that a reload may give a node instead.
pub(crate) fn other_virtual_router_id() -> Vrid {
    Vrid::try_from(52).expect("valid")
}

pub(crate) fn node_address(family: Family, node: usize) -> IpAddr {
    let last = 10 + u8::try_from(node).expect("few nodes");
    match family {
        Family::V4 => Ipv4Addr::new(10, 0, 0, last).into(),
        Family::V6 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last.into()).into(),
    }
}

pub(crate) fn interface() -> InterfaceName {
    interface_of(0)
}

/// That of a path.
pub(crate) fn interface_of(path: usize) -> InterfaceName {
    InterfaceName::try_from(["eth0", "eth1"][path]).expect("valid")
}

/// A node's address on a path. The higher one is not the same node's in every family, and on every
/// path.
fn path_address(family: Family, path: usize, node: usize) -> IpAddr {
    match (path, node_address(family, node)) {
        (0, IpAddr::V6(address)) => Ipv6Addr::from(u128::from(address) ^ 0xff).into(),
        (0, address) => address,
        (_, IpAddr::V4(address)) => Ipv4Addr::from(u32::from(address) ^ 0x0001_00ff).into(),
        (_, IpAddr::V6(address)) => Ipv6Addr::from(u128::from(address) | 0x1_0000).into(),
    }
}

/// All keys that the files of the nodes may name.
pub(crate) fn keys(group: &Group) -> KeyRing {
    let mut ring = KeyRing::default();
    if group.wire.signed {
        let mut instance = config(group, 0).instances.remove(0);
        for virtual_router in [instance.virtual_router_id, other_virtual_router_id()] {
            instance.virtual_router_id = virtual_router;
            let key = |(key, id)| (key_id(id), Key::parse(key).expect("a good key"));
            let keys = KEYS.into_iter().zip(1..).map(key).collect();
            ring.put(places(&instance), Secrets::Keys(keys));
        }
    }
    ring
}

fn key_id(id: u8) -> KeyId {
    KeyId::try_from(id).expect("valid")
}

/// Signed with the last of these keys; advertisements with any of them are accepted.
pub(crate) fn authentication(keys: &[u8]) -> Authentication {
    let key = |id: &u8| HmacKey { id: key_id(*id), source: SecretSource::Inline };
    Authentication::Hmac(HmacAuthentication {
        keys: keys.iter().map(key).collect(),
        send: keys.last().map(|id| key_id(*id)),
        mode: HmacMode::Enforce,
        anti_replay: AntiReplay::Time(Window::try_from(WINDOW).expect("valid")),
    })
}

/// A multicast group that is not VRRP's own.
pub(crate) fn other_multicast_groups() -> Transport {
    let groups = vec![Ipv4Addr::new(239, 7, 7, 51).into(), "ff12::51".parse().expect("valid")];
    Transport::Multicast { groups }
}

pub(crate) fn unicast(group: &Group) -> Transport {
    // This node is among them, as in a list that all of them share.
    let nodes = 0..group.priorities.len();
    let peers = nodes.flat_map(|node| all_addresses(group, node)).collect();
    Transport::Unicast { peers, minimum_ttl: 255 }
}

fn all_addresses(group: &Group, node: usize) -> Vec<IpAddr> {
    let of_path = |path| {
        let families = group.wire.families().into_iter();
        families.map(move |family| path_address(family, path, node))
    };
    (0..group.wire.paths()).flat_map(of_path).collect()
}

pub(crate) fn instance_name() -> InstanceName {
    InstanceName::try_from("vip").expect("valid")
}

fn node_name(node: usize) -> NodeName {
    NodeName::try_from(format!("node{node}").as_str()).expect("valid")
}

/// The configuration of one node of the group.
pub(crate) fn config(group: &Group, node: usize) -> Config {
    let longest = match group.version {
        Version::V2 => group.interval,
        Version::V3 => Interval::LONGEST_V3,
    };
    let further = group.wire.second_path;
    let address = |family| VirtualAddress {
        address: virtual_address(family),
        prefix: if family == Family::V4 { 32 } else { 128 },
        dev: None,
        label: None,
        scope: Scope::Global,
    };
    let instance = InstanceConfig {
        name: instance_name(),
        interface: interface(),
        further_interfaces: further.then(|| interface_of(1)).into_iter().collect(),
        transport: if group.wire.unicast { unicast(group) } else { Transport::STANDARD },
        virtual_router_id: virtual_router_id(),
        version: group.version,
        priority: group.priorities[node],
        advertisement_interval: group.interval,
        maximum_interval: longest,
        addresses: group.wire.families().into_iter().map(address).collect(),
        extra_addresses: Vec::new(),
        routes: Vec::new(),
        rules: Vec::new(),
        preempt: group.preempt,
        hold_down: group.hold_down,
        link_down_delay: Span::ZERO,
        link_up_delay: Span::ZERO,
        lease: group.lease,
        announce_refresh: Span::from_secs(60),
        checksum: ChecksumStyle::Auto,
        tracks: group.tracks.iter().map(|track| track.name.clone()).collect(),
        if_all_fail: group.if_all_fail,
        notify: group.notify.clone(),
        authentication: if group.wire.signed { authentication(&[1]) } else { Authentication::None },
        virtual_mac: false,
    };
    let node_of = |n| {
        let mut addresses = all_addresses(group, n).into_iter();
        let address = addresses.next().expect("one at least");
        Node { name: node_name(n), address, others: addresses.collect() }
    };
    Config {
        this_node: Some(node_name(node)),
        nodes: (0..group.priorities.len()).map(node_of).collect(),
        tracks: group.tracks.clone(),
        instances: vec![instance],
        sync_groups: Vec::new(),
        control_group: None,
        awaited: std::collections::BTreeMap::new(),
    }
}

/// The interfaces of a node while all is well.
pub(crate) fn links(group: &Group, node: usize) -> Vec<Link> {
    (0..group.wire.paths()).map(|path| link(group, path, node)).collect()
}

/// A node's interface on a path.
pub(crate) fn link(group: &Group, path: usize, node: usize) -> Link {
    let last = u8::try_from(node).expect("few nodes");
    let families = group.wire.families().into_iter();
    let own = |family| LinkAddress {
        address: path_address(family, path, node),
        prefix: 24,
        secondary: false,
    };
    Link {
        index: [2, 77][path],
        mac: Some(Mac([2, 0, 0, 0, u8::try_from(path).expect("two paths"), last])),
        up: true,
        carrier: true,
        mtu: 1500,
        addresses: families.map(own).collect(),
        unusable: Vec::new(),
        forwards_ipv6: false,
    }
}
