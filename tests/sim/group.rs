//! The configurations and names of a simulated group.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vipd::engine::{Link, LinkAddress};
use vipd::model::{
    ChecksumStyle, Config, Family, InstanceConfig, InstanceName, InterfaceName, Interval, Mac,
    Node, NodeName, Scope, Version, VirtualAddress, Vrid,
};

use crate::schedule::Group;
use vipd::time::Span;

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

pub(crate) fn node_address(family: Family, node: usize) -> IpAddr {
    let last = 10 + u8::try_from(node).expect("few nodes");
    match family {
        Family::V4 => Ipv4Addr::new(10, 0, 0, last).into(),
        Family::V6 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last.into()).into(),
    }
}

pub(crate) fn interface() -> InterfaceName {
    InterfaceName::try_from("eth0").expect("valid")
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
    let instance = InstanceConfig {
        name: instance_name(),
        interface: interface(),
        virtual_router_id: virtual_router_id(),
        version: group.version,
        priority: group.priorities[node],
        advertisement_interval: group.interval,
        maximum_interval: longest,
        addresses: vec![VirtualAddress {
            address: virtual_address(group.family),
            prefix: 32,
            dev: None,
            label: None,
            scope: Scope::Global,
        }],
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
        authentication: vipd::model::Authentication::None,
        virtual_mac: false,
    };
    let node_of =
        |n| Node { name: node_name(n), address: node_address(group.family, n), others: Vec::new() };
    Config {
        this_node: Some(node_name(node)),
        nodes: (0..group.priorities.len()).map(node_of).collect(),
        tracks: group.tracks.clone(),
        instances: vec![instance],
        sync_groups: Vec::new(),
        control_group: None,
    }
}

/// A node's interface.
pub(crate) fn link(family: Family, node: usize, index: u32, carrier: bool) -> Link {
    let last = u8::try_from(node).expect("few nodes");
    Link {
        index,
        mac: Some(Mac([2, 0, 0, 0, 0, last])),
        up: true,
        carrier,
        mtu: 1500,
        addresses: vec![LinkAddress {
            address: node_address(family, node),
            prefix: 24,
            secondary: false,
        }],
        unusable: Vec::new(),
        forwards_ipv6: false,
    }
}
