//! Interfaces are known by name: they may be missing, vanish, return as another one, be renamed.

use std::net::Ipv4Addr;

use crate::lab::{Agent, BOUND, Group, Host, Lab, SHORTLY, VIP, VRID, within};

/// Rule: an instance waits in fault for an interface that doesn't exist, the others work
/// meanwhile, and it takes part once the interface appears.
pub(crate) fn late(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let late_vip = Ipv4Addr::new(10, 78, 0, 100);
    let config = group.config().instance("late", VRID, late_vip).set("interface", "eth1");
    let agent = Agent::start(node, &config);
    group.taken_over_by(node);
    agent.reports(&["web: active", "late: fault", "there is no interface eth1"]);
    node.run("ip link add name eth1 type veth peer name other");
    node.run("ip address add 10.78.0.11/24 dev eth1");
    agent.reports(&["late: fault", "link eth1 is down"]);
    node.run("ip link set eth1 up");
    node.run("ip link set other up");
    within(BOUND, "it takes part", || node.holds(late_vip));
    group.stays_with(node, SHORTLY);
}

/// Rule: an interface that is deleted and made again, with another index, is the same to us.
pub(crate) fn replaced(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let [first, _second] = [0, 1].map(|place| Agent::start(&group.nodes[place], &group.config()));
    let node = &group.nodes[0];
    group.taken_over_by(node);
    let index = node.interface_index("eth0");
    node.run("ip link delete eth0");
    group.taken_over_by(&group.nodes[1]);
    first.reports(&["web: fault", "there is no interface eth0"]);
    group.segment.connect(node, "eth0");
    assert_ne!(index, node.interface_index("eth0"), "the new one has another index");
    group.taken_over_by(node);
    group.held_only_by(node);
}

/// Rule: an interface that is renamed away is gone, and takes no address of ours along; renamed
/// back, it is there again.
pub(crate) fn renamed(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let _agents = [0, 1].map(|place| Agent::start(&group.nodes[place], &group.config()));
    let node = &group.nodes[0];
    group.taken_over_by(node);
    rename(node, "eth0", "away0");
    group.taken_over_by(&group.nodes[1]);
    group.held_only_by(&group.nodes[1]);
    assert!(!node.holds(VIP), "no address of ours on the renamed interface");
    rename(node, "away0", "eth0");
    group.taken_over_by(node);
    group.held_only_by(node);
}

/// Older kernels rename an interface only while it is down.
fn rename(node: &Host, from: &str, to: &str) {
    node.run(&format!("ip link set {from} down"));
    node.run(&format!("ip link set {from} name {to}"));
    node.run(&format!("ip link set {to} up"));
}
