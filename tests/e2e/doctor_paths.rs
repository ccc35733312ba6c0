//! `vipctl doctor` on instances with several paths: both address families, two interfaces, unicast.

use std::net::Ipv4Addr;

use crate::doctor::{Diagnosis, show};
use crate::lab::{
    Agent, BOUND, Config, Group, Host, LINK_LOCAL_VIP, Lab, Segment, VIP, VIP6, within,
};

/// `web` with an address of each family.
fn dual(group: &Group) -> Config {
    let addresses = format!("[{VIP}/24, {VIP6}/64]");
    group.config().set("preempt", "never").set("addresses", addresses)
}

/// Two agents with this configuration, the first of them active.
fn pair(group: &Group, yaml: &str) -> [Agent; 2] {
    let [one, two] = &group.nodes[..] else { panic!("two nodes") };
    let start = |node| Agent::launch(node, &mut Agent::command(node, yaml));
    let first = start(one);
    group.taken_over_by(one);
    let second = start(two);
    second.reports(&["node11", "is active"]);
    [first, second]
}

/// A dual-stack pair.
fn dual_pair(lab: &Lab) -> (Group, [Agent; 2]) {
    let group = Group::dual(lab, &[11, 12]);
    let agents = pair(&group, &dual(&group).yaml());
    within(BOUND, "both families are there", || group.nodes[0].holds(VIP6));
    (group, agents)
}

/// A segment for heartbeats beside that of the addresses; the nodes are listed with both addresses.
fn two_paths(lab: &Lab, group: &Group, config: Config) -> (Segment, [Agent; 2]) {
    let heartbeat = Segment::another(lab, "heartbeat", [10, 78, 0]);
    group.nodes.iter().for_each(|node| heartbeat.connect(node, "eth1"));
    let mut yaml = config.set("paths", "[eth0, eth1]").yaml();
    for node in &group.nodes {
        let own = format!("node{}: {}", node.number(), node.address());
        let both = format!("node{}: [{}, {}]", node.number(), node.address(), second(node));
        yaml = yaml.replace(&format!("{own}\n"), &format!("{both}\n"));
    }
    let agents = pair(group, &yaml);
    (heartbeat, agents)
}

/// A node's address on the second segment.
fn second(node: &Host) -> Ipv4Addr {
    Ipv4Addr::new(10, 78, 0, node.number())
}

/// What doctor says as soon as it finds a firewall that drops something.
#[track_caller]
fn dropping(host: &Host) -> Diagnosis {
    let mut diagnosis = Diagnosis::of(host, "");
    within(BOUND, "doctor finds the firewall", || {
        diagnosis = Diagnosis::of(host, "");
        diagnosis.findings().any(|found| found["kind"] == "firewall")
    });
    diagnosis
}

/// No finding of this kind.
#[track_caller]
fn has_no(diagnosis: &Diagnosis, kind: &str, text: &str) {
    let mut findings = diagnosis.findings();
    let found = findings.find(|one| one["kind"] == kind && one.to_string().contains(text));
    assert!(found.is_none(), "{:#}", found.expect("a finding"));
}

/// Rule: on a healthy pair with both families on two interfaces nothing is found, and nothing of it is
/// left out.
pub(crate) fn healthy(lab: &Lab) {
    let group = Group::dual(lab, &[11, 12]);
    let (_heartbeat, _agents) = two_paths(lab, &group, dual(&group));
    for node in &group.nodes {
        // The kernel gives the second interface its link-local address after a second or two.
        within(BOUND, "advertisements on all paths", || {
            Diagnosis::of(node, "").findings().all(|one| one["kind"] != "path-broken")
        });
        let diagnosis = Diagnosis::of(node, "");
        diagnosis.is_healthy();
        let left = diagnosis.report["left_out"].to_string();
        for part in ["IPv6", "wire", "joined"] {
            assert!(!left.contains(part), "{left}");
        }
        // From whom IPv6 advertisements come is not in the list of nodes, but that it is link-local.
        node.run("nft add table inet lan");
        node.run("nft add chain inet lan in { type filter hook input priority 0; policy drop; }");
        for passes in [
            "ip protocol vrrp",
            "ip6 saddr fe80::/10 ip6 nexthdr vrrp",
            "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }",
        ] {
            node.run(&format!("nft add rule inet lan in {passes} accept"));
        }
        Diagnosis::of(node, "").is_healthy();
    }
}

/// Rule: nothing is wrong with the virtual MAC addresses of both families, and nobody's answer for them is
/// a stranger's.
pub(crate) fn virtual_mac(lab: &Lab) {
    let group = Group::dual(lab, &[11, 12]);
    let _agents = pair(&group, &dual(&group).set("virtual_mac", "true").yaml());
    within(BOUND, "both families are there", || group.nodes[0].holds(VIP6));
    for node in &group.nodes {
        Diagnosis::of(node, "").is_healthy();
    }
}

/// Rule: IPv6 that a firewall drops is found while IPv4 passes and nothing has failed, with the rule, the
/// path and the command that mends it.
pub(crate) fn ipv6_dropped(lab: &Lab) {
    let (group, _agents) = dual_pair(lab);
    let two = &group.nodes[1];
    two.run("ip6tables -A INPUT -i eth0 -d ff02::/16 -p vrrp -j DROP");
    let diagnosis = dropping(two);
    show(lab, two);
    let expected = [
        "web on eth0 (IPv6): a firewall of this machine drops the advertisements of node11 (fe80::11) \
         on eth0",
        "vipd got none of them",
        "ip6tables -t filter: -A INPUT",
    ];
    let found = diagnosis.has("firewall", &expected);
    assert_eq!(found["severity"], "warning", "IPv4 passes");
    has_no(&diagnosis, "firewall", "(IPv4)");
    let mend = found["mend"][0].as_str().expect("a command").to_owned();
    assert_eq!(mend, "ip6tables -t filter -I INPUT -i eth0 -p vrrp -j ACCEPT");
    two.run(&mend);
    within(BOUND, "it is mended", || {
        Diagnosis::of(two, "").findings().all(|found| found["kind"] != "firewall")
    });
    Diagnosis::of(two, "").is_healthy();
    assert!(!two.holds(VIP) && !two.holds(VIP6) && !two.holds(LINK_LOCAL_VIP));
}

/// Rule: IPv6 that the active node's firewall keeps from leaving is found there, and the backup says that
/// it hears IPv4 alone.
pub(crate) fn ipv6_output_dropped(lab: &Lab) {
    let (group, _agents) = dual_pair(lab);
    let one = &group.nodes[0];
    one.run("nft add table inet out");
    one.run("nft add chain inet out out { type filter hook output priority 0; }");
    one.run("nft add rule inet out out ip6 daddr ff02::12 drop");
    let diagnosis = Diagnosis::of(one, "");
    let expected = [
        "web on eth0 (IPv6): a firewall of this machine drops its own advertisements on eth0",
        "none was seen to leave for ff02::12",
        "nft chain inet out out, rule with handle",
        "nft insert rule inet out out ip6 nexthdr vrrp accept",
    ];
    diagnosis.has("firewall", &expected);
    has_no(&diagnosis, "firewall", "(IPv4)");
    let diagnosis = Diagnosis::of(&group.nodes[1], "");
    let expected = [
        "web on eth0 (IPv6): nothing of node11 (10.77.0.11) arrives here, only on eth0 (IPv4)",
        "this machine has joined ff02::12 on eth0 (/proc/net/igmp6)",
        "MLD querier",
    ];
    assert_eq!(diagnosis.has("multicast-not-arriving", &expected)["severity"], "warning");
}

/// Rule: what a firewall drops on the second path is found while the first one carries everything.
pub(crate) fn second_path_dropped(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let (_heartbeat, _agents) = two_paths(lab, &group, group.config().set("preempt", "never"));
    let two = &group.nodes[1];
    two.run("nft add table ip lan");
    two.run("nft add chain ip lan input { type filter hook input priority 0; }");
    two.run("nft add rule ip lan input iifname eth1 ip daddr 224.0.0.18 drop");
    let diagnosis = dropping(two);
    let expected = [
        "web on eth1 (IPv4): a firewall of this machine drops the advertisements of node11 (10.78.0.11) \
         on eth1",
        "nft chain ip lan input, rule with handle",
        "nft insert rule ip lan input ip protocol vrrp accept",
    ];
    diagnosis.has("firewall", &expected);
    has_no(&diagnosis, "firewall", "on eth0");
}

/// Rule: a second path that is broken is found on both nodes, whether the network between them or the
/// interface itself carries nothing, while nothing has failed.
pub(crate) fn second_path_broken(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let (heartbeat, _agents) = two_paths(lab, &group, group.config().set("preempt", "never"));
    let [one, two] = &group.nodes[..] else { panic!("two nodes") };
    Diagnosis::of(two, "").is_healthy();
    heartbeat.partition(two);
    show(lab, two);
    let expected = [
        "web on eth1 (IPv4): nothing of node11 (10.77.0.11) arrives here, only on eth0 (IPv4)",
        "no IPv4 advertisement to 224.0.0.18 came in on eth1",
        "the cables, switches and the VLAN",
    ];
    Diagnosis::of(two, "").has("multicast-not-arriving", &expected);
    let expected = ["web on eth1 (IPv4): node12 (10.78.0.12) does not answer on eth1"];
    Diagnosis::of(one, "").has("node-unreachable", &expected);
    heartbeat.heal(two);
    two.run("ip link set eth1 down");
    let expected =
        ["web on eth1 (IPv4): this path cannot be used", "eth1: it is down", "ip link set eth1 up"];
    Diagnosis::of(two, "").has("path-broken", &expected);
    two.run("ip link set eth1 up");
    two.run("ip address flush dev eth1");
    let expected = ["eth1: it has no IPv4 address of its own to advertise from"];
    Diagnosis::of(two, "").has("path-broken", &expected);
    two.run("ip link del eth1");
    Diagnosis::of(two, "").has("path-broken", &["there is no interface eth1"]);
    group.held_only_by(one);
}

/// Rule: a group that the kernel has left behind the daemon's back is found; it is joined again when
/// there is an address to advertise from again.
pub(crate) fn group_not_joined(lab: &Lab) {
    let group = Group::dual(lab, &[11, 12]);
    let (_heartbeat, _agents) = two_paths(lab, &group, dual(&group));
    let two = &group.nodes[1];
    // Below 1,280 bytes there is no IPv6 on an interface, and its memberships are gone for good.
    two.run("ip link set eth1 mtu 1000");
    two.run("ip link set eth1 mtu 1500");
    // The link-local address that it makes for itself would be usable in a second.
    two.run("ip link set eth1 addrgenmode none");
    two.run("ip -6 address flush dev eth1");
    show(lab, two);
    let expected = [
        "web on eth1 (IPv6): this machine has not joined ff02::12 on eth1",
        "ff02::12 is not listed for eth1 in /proc/net/igmp6",
    ];
    let diagnosis = Diagnosis::of(two, "");
    diagnosis.has("group-not-joined", &expected);
    has_no(&diagnosis, "firewall", "");
    has_no(&diagnosis, "group-not-joined", "IPv4");
    two.run("ip address add fe80::99/64 dev eth1 nodad");
    within(BOUND, "it has joined again", || {
        let diagnosis = Diagnosis::of(two, "");
        diagnosis.findings().all(|one| one["kind"] != "group-not-joined")
    });
}

/// Rule: another multicast group than the standard one is looked at as that is.
pub(crate) fn another_multicast_group(lab: &Lab) {
    let group = Group::dual(lab, &[11, 12]);
    let config = dual(&group).set("multicast_group", "[224.0.0.77, ff02::77]");
    let [one, two] = &group.nodes[..] else { panic!("two nodes") };
    let _first = Agent::start(one, &config);
    within(BOUND, "it is active", || one.holds(VIP6));
    let second = Agent::start(two, &config);
    second.reports(&["node11", "is active"]);
    for node in [one, two] {
        Diagnosis::of(node, "").is_healthy();
    }
    two.run("ip6tables -A INPUT -d ff02::77 -j DROP");
    dropping(two).has("firewall", &["web on eth0 (IPv6)", "-d ff02::77/128 -j DROP"]);
}

/// Rule: another machine that has the IPv6 address is found by asking, with its Ethernet address, from the
/// active node and from the backup.
pub(crate) fn third_machine_ipv6(lab: &Lab) {
    let (group, _agents) = dual_pair(lab);
    lab.owners().overlap(BOUND, "the third machine has the address from somebody else");
    let third = group.segment.host(13);
    third.add_ipv6();
    third.run("ip link set dev eth0 address 02:00:00:00:00:99");
    third.run(&format!("ip address add {VIP6}/128 dev eth0 nodad"));
    within(BOUND, "its link is up", || third.is_running("eth0"));
    show(lab, &group.nodes[0]);
    for node in &group.nodes {
        let expected = [
            "web on eth0 (IPv6): a machine outside of the group has 2001:db8:77::100, too",
            "02:00:00:00:00:99 answered a neighbour solicitation for 2001:db8:77::100",
        ];
        let diagnosis = Diagnosis::of(node, "");
        assert_eq!(diagnosis.has("address-elsewhere", &expected)["severity"], "problem");
        has_no(&diagnosis, "address-elsewhere", "10.77.0.100");
    }
}

/// Rule: an active node that does not answer for the IPv6 address is found from the backup, although it
/// answers for the IPv4 one.
pub(crate) fn unanswered_ipv6(lab: &Lab) {
    let (group, _agents) = dual_pair(lab);
    let one = &group.nodes[0];
    one.run("nft add table ip6 silence");
    one.run("nft add chain ip6 silence out { type filter hook output priority 0; }");
    // A neighbour advertisement's target stands eight bytes behind its start.
    one.run(
        "nft add rule ip6 silence out icmpv6 type nd-neighbor-advert @th,64,128 \
         0x20010db8007700000000000000000100 drop",
    );
    let expected = ["nobody answers for 2001:db8:77::100", "three neighbour solicitations on eth0"];
    // The announcements of the takeover are answers, too, for ten seconds.
    within(BOUND, "doctor says so", || {
        let diagnosis = Diagnosis::of(&group.nodes[1], "");
        let found = diagnosis.findings().find(|found| found["kind"] == "address-unanswered");
        let text = found.map(ToString::to_string).unwrap_or_default();
        expected.iter().all(|part| text.contains(part))
    });
}

/// Rule: in unicast a firewall that drops what is for one of the peers is found, with that peer's name.
pub(crate) fn unicast_peer_dropped(lab: &Lab) {
    let group = Group::new(lab, &[11, 12, 13]).unicast();
    let config = group.config().set("transport", "unicast");
    let one = &group.nodes[0];
    let _first = Agent::start(one, &config);
    group.taken_over_by(one);
    let _others = [1, 2].map(|place| Agent::start(&group.nodes[place], &config));
    for node in &group.nodes {
        Diagnosis::of(node, "").is_healthy();
    }
    lab.owners().overlap(BOUND, "a firewall keeps the advertisements from one backup");
    one.run("nft add table ip out");
    one.run("nft add chain ip out out { type filter hook output priority 0; }");
    one.run("nft add rule ip out out ip protocol vrrp ip daddr 10.77.0.13 drop");
    within(BOUND, "doctor says so", || {
        let diagnosis = Diagnosis::of(one, "");
        let found = diagnosis.findings().find(|found| found["kind"] == "firewall");
        let text = found.map(ToString::to_string).unwrap_or_default();
        ["none was seen to leave for node13 (10.77.0.13)", "nft chain ip out out, rule with handle"]
            .iter()
            .all(|part| text.contains(part))
    });
}

/// Rule: in unicast over both families what a firewall drops of one of them is found, with the peer's name.
pub(crate) fn unicast_ipv6_dropped(lab: &Lab) {
    let group = Group::dual(lab, &[11, 12]).unicast();
    let mut yaml = dual(&group).set("transport", "unicast").yaml();
    for node in &group.nodes {
        let (number, own) = (node.number(), node.address());
        yaml = yaml.replace(
            &format!("node{number}: {own}\n"),
            &format!("node{number}: [{own}, \"2001:db8:77::{number}\"]\n"),
        );
    }
    let _agents = pair(&group, &yaml);
    let two = &group.nodes[1];
    for node in &group.nodes {
        Diagnosis::of(node, "").is_healthy();
    }
    two.run("ip6tables -A INPUT -s 2001:db8:77::11 -p vrrp -j DROP");
    let diagnosis = dropping(two);
    let expected = [
        "web on eth0 (IPv6): a firewall of this machine drops the advertisements of node11 \
         (2001:db8:77::11) on eth0",
        "ip6tables -t filter: -A INPUT -s 2001:db8:77::11/128",
    ];
    diagnosis.has("firewall", &expected);
    has_no(&diagnosis, "firewall", "(IPv4)");
}
