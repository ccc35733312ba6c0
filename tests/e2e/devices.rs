//! What not every kernel has, or lacks: interfaces that are made of others (bonds and VLANs), and a
//! kernel without IPv6. The cases run in User Mode Linux ([`kernel`]).

use crate::lab::{Case, Lab, cases, kernel};

/// What the cases run in the other kernel.
pub(crate) const CASES: &[Case] =
    &cases![inside::bonds, inside::bond_addresses, inside::vlans, inside::kernel_without_ipv6,];

/// Rule: a bond's member that fails, leaves or comes changes no role, and the client is served on;
/// without any member the address goes to the other node, and comes back.
pub(crate) fn bonds(lab: &Lab) {
    kernel::boot(lab, "inside::bonds");
}

/// Rule: where a bond takes its next member's Ethernet address, the virtual address is announced with it
/// at once.
pub(crate) fn bond_addresses(lab: &Lab) {
    kernel::boot(lab, "inside::bond_addresses");
}

/// Rule: two VLANs of one cable are two segments: the same virtual router ID on both is two virtual
/// routers, each with an active node of its own, and what happens to one of them is nothing to the other.
pub(crate) fn vlans(lab: &Lab) {
    kernel::boot(lab, "inside::vlans");
}

/// Rule: a kernel without IPv6 (`ipv6.disable=1`) keeps no daemon from READY=1: the instance that
/// needs IPv6 is in fault, and the other one serves.
pub(crate) fn kernel_without_ipv6(lab: &Lab) {
    kernel::boot_without_ipv6(lab, "inside::kernel_without_ipv6");
}

/// The cases as they run in the other kernel.
mod inside {
    use std::net::Ipv4Addr;
    use std::time::{Duration, Instant};

    use crate::lab::{Agent, BOUND, Group, Host, Lab, VIP, VIP6, VRID, steadily, within};

    /// The virtual address in the second VLAN, and the numbers of both.
    const OTHER_VIP: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 100);
    const VLANS: [u16; 2] = [10, 20];

    pub(super) fn bonds(lab: &Lab) {
        let group = Group::new(lab, &[11, 12]);
        let node = &group.nodes[0];
        bond(&group, "");
        let first = Agent::start(node, &group.config().set("interface", "bond0"));
        let _second = Agent::start(&group.nodes[1], &group.config());
        group.taken_over_by(node);
        group.held_only_by(node);
        let takeovers = first.log().matches("web: active").count();
        let start = Instant::now();
        let calm = Duration::from_millis(500);
        for _ in 0..2 {
            // Both members in turn: each carries the traffic once.
            for port in ["port11", "second"] {
                group.segment.run(&format!("ip link set {port} down"));
                group.stays_with(node, calm);
                group.segment.run(&format!("ip link set {port} up"));
                group.stays_with(node, calm);
            }
            for member in ["eth0", "eth1"] {
                node.run(&format!("ip link set {member} nomaster"));
                group.stays_with(node, calm);
                node.run(&format!("ip link set {member} down"));
                node.run(&format!("ip link set {member} master bond0"));
                group.stays_with(node, calm);
            }
        }
        let gap = group.client.longest_gap(start);
        lab.note(format!("longest gap of the client while members come and go: {gap:?}"));
        assert!(gap < Duration::from_secs(1), "the client had no answer for {gap:?}");
        assert_eq!(first.log().matches("web: active").count(), takeovers, "{}", first.log());

        for port in ["port11", "second"] {
            group.segment.run(&format!("ip link set {port} down"));
        }
        let took = group.taken_over_by(&group.nodes[1]);
        lab.note(format!("taken over {took:?} after the last member had failed"));
        assert!(!node.holds(VIP), "it has the address without a cable");
        for port in ["port11", "second"] {
            group.segment.run(&format!("ip link set {port} up"));
        }
        group.taken_over_by(node);
        group.held_only_by(node);
    }

    pub(super) fn bond_addresses(lab: &Lab) {
        let group = Group::new(lab, &[11]);
        let node = &group.nodes[0];
        bond(&group, "fail_over_mac active");
        let _agent = Agent::start(node, &group.config().set("interface", "bond0"));
        group.taken_over_by(node);
        let ports = ["port11", "second"];
        for (failed, next) in [("port11", "eth1"), ("second", "eth0")] {
            let mac = mac(node, next);
            let start = Instant::now();
            group.segment.run(&format!("ip link set {failed} down"));
            // Gratuitous ARP from that address for ours.
            let took =
                within(BOUND, "announced with the Ethernet address of the next member", || {
                    group.tap.frames().iter().any(|frame| {
                        frame.at >= start
                            && frame.bytes.get(6..12) == Some(&mac)
                            && frame.bytes.get(12..14) == Some(&[8, 6])
                            && frame.bytes.get(28..32) == Some(&VIP.octets())
                    })
                });
            lab.note(format!("announced {took:?} after a member had failed"));
            group.stays_with(node, Duration::from_millis(500));
            for port in ports {
                group.segment.run(&format!("ip link set {port} up"));
            }
        }
    }

    /// Makes `bond0` of two cables of the first node, with its address.
    fn bond(group: &Group, options: &str) {
        let node = &group.nodes[0];
        let switch = group.segment.switch();
        node.run(&format!("ip link add name eth1 type veth peer name second netns {switch}"));
        group.segment.run("ip link set second master bridge up");
        node.run(&format!(
            "ip link add name bond0 type bond mode active-backup miimon 20 {options}"
        ));
        node.run("ip address flush dev eth0");
        for member in ["eth0", "eth1"] {
            node.run(&format!("ip link set {member} down"));
            node.run(&format!("ip link set {member} master bond0"));
        }
        node.run("ip link set bond0 up");
        node.run(&format!("ip address add {}/24 dev bond0", node.address()));
    }

    /// The Ethernet address that an interface has by itself.
    fn mac(node: &Host, interface: &str) -> Vec<u8> {
        let said = node.run(&format!("ip -details link show dev {interface}"));
        let (_, rest) = said
            .split_once("perm_hwaddr ")
            .unwrap_or_else(|| said.split_once("link/ether ").expect("an Ethernet interface"));
        let text = rest.split_whitespace().next().expect("an address");
        text.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("a byte")).collect()
    }

    pub(super) fn vlans(lab: &Lab) {
        let group = Group::new(lab, &[11, 12]);
        let (one, two) = (&group.nodes[0], &group.nodes[1]);
        trunks(&group);
        // Each node is preferred in one VLAN.
        let config = |priorities: [u8; 2]| {
            let [web, lan] = priorities.map(|priority| priority.to_string());
            let config = group.config().set("interface", "eth0.10").set("priority", web);
            config.instance("lan", VRID, OTHER_VIP).set("interface", "eth0.20").set("priority", lan)
        };
        let first = Agent::start(one, &config([200, 100]));
        let second = Agent::start(two, &config([100, 200]));
        group.taken_over_by(one);
        let apart =
            || one.holds(VIP) && !one.holds(OTHER_VIP) && two.holds(OTHER_VIP) && !two.holds(VIP);
        within(BOUND, "each has the address of its VLAN", apart);
        steadily(Duration::from_secs(2), "the VLANs know nothing of each other", apart);
        first.reports(&["web: active", "lan: backup"]);

        // One VLAN goes, the other stays as it is.
        let changes = second.log().matches("lan: ").count();
        one.run("ip link delete eth0.10");
        group.taken_over_by(two);
        assert!(two.holds(OTHER_VIP), "the other VLAN's address has moved");
        vlan(one, VLANS[0], one.address());
        group.taken_over_by(one);
        within(BOUND, "as before", apart);
        assert_eq!(second.log().matches("lan: ").count(), changes, "{}", second.log());

        // The cable below both.
        group.segment.cable(one, "down");
        within(BOUND, "all is on the other node", || {
            two.holds(VIP) && two.holds(OTHER_VIP) && !one.holds(VIP)
        });
        group.segment.cable(one, "up");
        within(BOUND, "each has the address of its VLAN again", apart);
    }

    /// Both nodes get both VLANs over their one cable; the watcher is in the first one.
    fn trunks(group: &Group) {
        group.segment.run("ip link set bridge type bridge vlan_filtering 1");
        for (node, port) in group.nodes.iter().zip(["port11", "port12"]) {
            group.segment.run(&format!("bridge vlan delete dev {port} vid 1"));
            node.run("ip address flush dev eth0");
            for id in VLANS {
                group.segment.run(&format!("bridge vlan add dev {port} vid {id}"));
            }
            vlan(node, VLANS[0], node.address());
            vlan(node, VLANS[1], Ipv4Addr::new(10, 78, 0, node.number()));
        }
        group.segment.run("bridge vlan delete dev port1 vid 1");
        group.segment.run("bridge vlan add dev port1 vid 10 pvid untagged");
    }

    pub(super) fn kernel_without_ipv6(lab: &Lab) {
        let group = Group::new(lab, &[11]);
        let node = &group.nodes[0];
        let config = group.config().instance("six", VRID, VIP6);
        // `Agent::start` waits for READY=1.
        let agent = Agent::start(node, &config);
        group.taken_over_by(node);
        agent.reports(&["web: active", "six: fault"]);
        lab.note(format!("the status: {}", agent.status()));
        group.stays_with(node, Duration::from_secs(3));
        assert!(agent.stop().success());
        assert!(!node.holds(VIP), "it has left its address behind");
    }

    fn vlan(node: &Host, id: u16, address: Ipv4Addr) {
        node.run(&format!("ip link add link eth0 name eth0.{id} type vlan id {id}"));
        node.run(&format!("ip address add {address}/24 dev eth0.{id}"));
        node.run(&format!("ip link set eth0.{id} up"));
    }
}
