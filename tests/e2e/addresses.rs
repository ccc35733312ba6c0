//! Other programs' hands on our addresses.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::lab::{Agent, BOUND, Group, Host, Lab, SHORTLY, VIP, within};

/// Rule: an address that another program deletes is put back at once, and said aloud; nobody
/// takes over.
pub(crate) fn deleted(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let [first, _second] = [0, 1].map(|place| Agent::start(&group.nodes[place], &group.config()));
    let node = &group.nodes[0];
    group.taken_over_by(node);
    for _ in 0..3 {
        node.run(&format!("ip address delete {VIP}/24 dev eth0"));
        let took = within(BOUND, "it is put back", || node.holds(VIP));
        lab.note(format!("put back after {took:?}"));
    }
    group.stays_with(node, SHORTLY);
    within(BOUND, "the log names the address", || {
        first.log().contains(&format!("another program took {VIP}/24 off eth0"))
    });
}

/// Rule: a node whose interface has lost all its addresses cannot advertise: another takes over,
/// until the node's own address is back.
pub(crate) fn flushed(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let _agents = [0, 1].map(|place| Agent::start(&group.nodes[place], &group.config()));
    let node = &group.nodes[0];
    group.taken_over_by(node);
    node.run("ip address flush dev eth0");
    group.taken_over_by(&group.nodes[1]);
    group.held_only_by(&group.nodes[1]);
    node.run(&format!("ip address add {}/24 dev eth0", node.address()));
    group.taken_over_by(node);
    group.held_only_by(node);
}

/// Rule: an address that was deleted while the kernel could not tell us (the queue of its
/// messages was full) is put back, too: after an overrun everything is read again.
pub(crate) fn deleted_unheard(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    // Nothing but the reading puts it back, and it stays for as long as the agent stands still.
    let agent = Agent::start(node, &group.config().set("lease", "off"));
    group.taken_over_by(node);
    agent.signal(Signal::SIGSTOP);
    let flood = lab.directory().join("flood");
    // Each change of an interface is a message of some 2 kB in the agent's receive buffer.
    let change = |mtu| format!("link set lo mtu {mtu}\n");
    fs::write(&flood, (20_000..30_000).map(change).collect::<String>()).expect("commands");
    node.run(&format!("ip -batch {}", flood.display()));
    node.run(&format!("ip address delete {VIP}/24 dev eth0"));
    agent.signal(Signal::SIGCONT);
    let took = within(BOUND, "it is put back", || node.holds(VIP));
    lab.note(format!("put back after {took:?}"));
    within(BOUND, "the log says that events were lost", || {
        agent.log().contains("more interface events than could be read")
    });
}

/// Rule: an address without a prefix length is installed as /32, so that it is never chosen as
/// source for other traffic by accident; one with options is installed as written.
pub(crate) fn options(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    node.run("ip link add name eth1 type veth peer name other");
    node.run("ip link set eth1 up");
    node.run("ip link set other up");
    let other = "{ address: 10.78.0.101/25, dev: eth1, label: \"eth1:web\", scope: link }";
    let config = group.config().set("addresses", format!("[{VIP}, {other}]"));
    let agent = Agent::start(node, &config);
    group.taken_over_by(node);
    let bare = installed(node, "eth0", "10.77.0.100");
    assert_eq!(bare["prefixlen"], 32, "{bare}");
    assert_eq!(bare["scope"], "global", "{bare}");
    let full = installed(node, "eth1", "10.78.0.101");
    assert_eq!(full["prefixlen"], 25, "{full}");
    assert_eq!(full["label"], "eth1:web", "{full}");
    assert_eq!(full["scope"], "link", "{full}");
    assert!(agent.stop().success());
    assert_eq!(installed(node, "eth1", "10.78.0.101"), Value::Null, "nothing is left");
}

/// What `ip` says about an address on an interface, null where it isn't there.
fn installed(node: &Host, interface: &str, address: &str) -> Value {
    let text = node.run(&format!("ip -j address show dev {interface}"));
    let links: Value = serde_json::from_str(&text).expect("the JSON of ip");
    let mut infos = links[0]["addr_info"].as_array().expect("addresses").iter();
    infos.find(|info| info["local"] == address).cloned().unwrap_or_default()
}
