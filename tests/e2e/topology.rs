//! More than one interface, and interfaces that are made of others.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::{
    Agent, BOUND, Config, Frame, Group, Host, Lab, Segment, VIP, VRID, steadily, within,
};

/// The cables between two nodes, and the instances on each.
const CABLES: u8 = 10;
const INSTANCES: u8 = 5;

/// Rule: one daemon holds 50 instances on 10 interfaces: all of them on the preferred node, all of
/// them on the other one after a crash, with no change of state in between, and each advertises in
/// time.
pub(crate) fn many_interfaces(lab: &Lab) {
    let segment = Segment::new(lab);
    let nodes = [11, 12].map(|number| segment.host(number));
    for cable in 1..=CABLES {
        lay_cable(&nodes, cable);
    }
    let config = config(&nodes);
    let first = Agent::start(&nodes[0], &config);
    let second = Agent::start(&nodes[1], &config);
    let all = |node: &Host| addresses().all(|address| node.holds(address));
    let took = within(BOUND, "all are on the first node", || all(&nodes[0]));
    lab.note(format!("all 50 active after {took:?}"));
    within(BOUND, "the other one is backup for all", || counts(&nodes[1], "backup") == 50);
    // The log may lag behind the addresses.
    let told = || first.log().matches("backup -> active").count() == 50;
    within(BOUND, "all takeovers are told", told);
    let changes = || [&first, &second].map(|agent| agent.log().matches(" -> ").count());
    let before = changes();
    steadily(Duration::from_secs(3), "nothing changes", || {
        counts(&nodes[0], "active") == 50 && counts(&nodes[1], "backup") == 50
    });
    assert_eq!(changes(), before, "state changes in\n{}{}", first.log(), second.log());

    let start = Instant::now();
    first.kill();
    within(BOUND, "all are on the second node", || all(&nodes[1]));
    lab.note(format!("all 50 taken over {:?} after a crash", start.elapsed()));
    assert_eq!(counts(&nodes[1], "active"), 50);
}

fn lay_cable([one, two]: &[Host; 2], cable: u8) {
    let other = two.unique_name();
    one.run(&format!("ip link add name e{cable} type veth peer name e{cable} netns {other}"));
    for node in [one, two] {
        node.run(&format!("ip address add 10.78.{cable}.{}/24 dev e{cable}", node.number()));
        node.run(&format!("ip link set e{cable} up"));
    }
}

fn virtual_address(cable: u8, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 78, cable, 100 + number)
}

fn addresses() -> impl Iterator<Item = Ipv4Addr> {
    (1..=CABLES).flat_map(|cable| (0..INSTANCES).map(move |n| virtual_address(cable, n)))
}

/// The nodes are named by their addresses on the segment that they do not use.
fn config(nodes: &[Host; 2]) -> Config {
    let mut config = Config::new(&[&nodes[0], &nodes[1]]).set("interface", "e1");
    config = config.set("addresses", format!("[{}/24]", virtual_address(1, 0)));
    let others = (1..=CABLES).flat_map(|cable| (0..INSTANCES).map(move |n| (cable, n))).skip(1);
    for (cable, number) in others {
        let name = Box::leak(format!("web-{cable}-{number}").into_boxed_str());
        let interface = format!("e{cable}");
        config = config
            .instance(name, VRID + number, virtual_address(cable, number))
            .set("interface", interface);
    }
    config
}

/// How many instances of a node are in this state.
fn counts(node: &Host, state: &str) -> usize {
    let output = Agent::vipctl(node, "status --json");
    let snapshot: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let instances = snapshot["instances"].as_array().expect("instances");
    instances.iter().filter(|instance| instance["state"] == state).count()
}

/// Rule: on a bridge, ports that come and go change no role; where one of them gives the bridge
/// another Ethernet address, the virtual address is announced with it at once, and the client is
/// served on.
pub(crate) fn bridge(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let node = &group.nodes[0];
    node.run("ip link add name br0 type bridge");
    node.run(&format!("ip address del {}/24 dev eth0", node.address()));
    node.run("ip link set eth0 master br0");
    node.run("ip link set br0 up");
    node.run(&format!("ip address add {}/24 dev br0", node.address()));
    let first = Agent::start(node, &group.config().set("interface", "br0"));
    let _second = Agent::start(&group.nodes[1], &group.config());
    group.taken_over_by(node);
    group.held_only_by(node);
    let changes = first.log().matches("web: active").count();
    // Below every address that the kernel makes up: the bridge takes it.
    node.run("ip link add name port type veth peer name guest");
    node.run("ip link set dev port address 00:00:00:00:00:42");
    let start = Instant::now();
    for _ in 0..3 {
        let joined = Instant::now();
        node.run("ip link set port master br0 up");
        node.run("ip link set guest up");
        let announced = |frame: &Frame| {
            frame.at >= joined && frame.bytes.get(6..14) == Some(&[0, 0, 0, 0, 0, 0x42, 8, 6])
        };
        within(BOUND, "announced with the new Ethernet address", || {
            group
                .tap
                .frames()
                .iter()
                .any(|frame| announced(frame) && frame.bytes.get(28..32) == Some(&VIP.octets()))
        });
        group.stays_with(node, Duration::from_millis(500));
        node.run("ip link set port nomaster");
        group.stays_with(node, Duration::from_millis(500));
    }
    let gap = group.client.longest_gap(start);
    lab.note(format!("longest gap of the client: {gap:?}"));
    assert!(gap < Duration::from_secs(1), "the client had no answer for {gap:?}");
    assert_eq!(first.log().matches("web: active").count(), changes, "{}", first.log());
    group.held_only_by(node);
}
