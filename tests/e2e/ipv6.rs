//! Two nodes and a client over IPv6.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::{
    Agent, BOUND, Group, Holders, Host, LINK_LOCAL_VIP, Lab, Leases, Meter, VIP6, release,
    steadily, within,
};
use crate::tshark::{dissect, each_has};

/// The longest gap of a planned move, and the longest that anything else may take longer on a
/// noisy machine.
const PLANNED: Duration = Duration::from_millis(200);
const NOISE: Duration = Duration::from_secs(1);

/// What a backup waits for at an interval of 200 ms, rounded up.
const ACTIVE_DOWN: Duration = Duration::from_millis(700);

/// What `ip` says about an address on eth0, null where it isn't there.
fn installed(node: &Host, address: &str) -> Value {
    let text = node.run("ip -j address show dev eth0");
    let links: Value = serde_json::from_str(&text).expect("the JSON of ip");
    let mut infos = links[0]["addr_info"].as_array().expect("addresses").iter();
    infos.find(|info| info["local"] == address).cloned().unwrap_or_default()
}

/// Neither the address nor the link-local one that goes with it.
fn has_nothing(node: &Host) -> bool {
    !node.holds(VIP6) && !node.holds(LINK_LOCAL_VIP)
}

/// Rule: handovers over IPv6 leave no gap (invariant 5, make before break), the link-local address
/// moves along, and the routers are known by their names.
pub(crate) fn handed_over(lab: &Lab) {
    let group = Group::ipv6(lab, &[11, 12]);
    let (one, two) = (&group.nodes[0], &group.nodes[1]);
    // The longer the interval, the longer a handover waits for its successor.
    let config = group.config().set("preempt", "never").set("advertisement_interval", "1s");
    let _agents = [one, two].map(|node| Agent::start(node, &config));
    group.taken_over_by(one);
    assert!(one.holds(LINK_LOCAL_VIP) && has_nothing(two));
    let meter = Meter::start(&group.watcher, VIP6);
    let served = |node: &Host| meter.steadily_served_by(node.number(), Duration::from_millis(300));
    within(BOUND, "the first node serves", || served(one));
    let start = Instant::now();
    for (from, to) in [(one, two), (two, one), (one, two)] {
        let output = Agent::vipctl(from, &format!("handover web node{}", to.number()));
        let said = String::from_utf8_lossy(&output.stdout);
        let expected = format!("web: node{} ({}) has the addresses", to.number(), to.link_local());
        assert!(said.starts_with(&expected), "{said}");
        within(BOUND, "the other node serves", || served(to) && has_nothing(from));
        assert!(to.holds(LINK_LOCAL_VIP));
    }
    let gap = meter.longest_gap(start);
    lab.note(format!("longest gap of the client in three handovers: {gap:?}"));
    assert!(gap < PLANNED, "the client had no answer for {gap:?}");
}

/// Rule: the addresses of a node that was killed vanish with their lease, while the other node
/// takes over; what it left is not needed for that.
pub(crate) fn killed(lab: &Lab) {
    let group = Group::ipv6(lab, &[11, 12]);
    let [first, _second] = [0, 1].map(|place| Agent::start(&group.nodes[place], &group.config()));
    group.taken_over_by(&group.nodes[0]);
    let holders = Holders::watch(&group.nodes.iter().collect::<Vec<_>>(), VIP6);
    let meter = Meter::start(&group.watcher, VIP6);
    let leases = Leases::watch(&group.watcher);
    within(BOUND, "the first node serves", || meter.steadily_served_by(11, PLANNED));
    let start = Instant::now();
    first.kill();
    group.taken_over_by(&group.nodes[1]);
    within(BOUND, "the kernel has removed them", || has_nothing(&group.nodes[0]));
    let (gap, together) = (meter.longest_gap(start), holders.together(start));
    lab.note(format!("the client had no answer for {gap:?}; two holders for {together:?}"));
    assert!(gap < ACTIVE_DOWN + NOISE, "the client had no answer for {gap:?}");
    let lease = leases.longest(start);
    assert!(together < lease + NOISE, "two holders for {together:?}, a lease is {lease:?}");
    group.stays_with(&group.nodes[1], Duration::from_millis(300));
}

/// Rule: `vipd release` takes off both addresses and says farewell from the link-local address, so
/// that the other node takes over at once.
pub(crate) fn released(lab: &Lab) {
    let group = Group::ipv6(lab, &[11, 12]);
    let config = group.config().set("advertisement_interval", "2s").set("lease", "20s");
    let [first, _second] = [0, 1].map(|place| Agent::start(&group.nodes[place], &config));
    let node = &group.nodes[0];
    group.taken_over_by(node);
    first.kill();
    assert!(node.holds(VIP6) && node.holds(LINK_LOCAL_VIP), "the lease is longer than this takes");
    let start = Instant::now();
    release(node).expect("a release");
    assert!(has_nothing(node));
    assert!(node.holds(node.link_local()), "its own address stays");
    within(BOUND, "priority 0 is heard", || group.said_goodbye(node, start));
    let took = group.succession(node, &group.nodes[1], start);
    group.taken_over_by(&group.nodes[1]);
    lab.note(format!("taken over {took:?} after the farewell"));
    assert!(took < Duration::from_secs(6), "as late as without a farewell");
}

/// Rule: a reload adds an IPv6 address and takes one off while the node stays active.
pub(crate) fn reloaded(lab: &Lab) {
    let group = Group::ipv6(lab, &[11, 12]);
    let node = &group.nodes[0];
    let agents = [0, 1].map(|place| Agent::start(&group.nodes[place], &group.config()));
    group.taken_over_by(node);
    let start = Instant::now();
    let third = "2001:db8:77::101".parse::<std::net::Ipv6Addr>().expect("an address");
    let more = group.config().set("addresses", format!("[{VIP6}/64, {third}]"));
    agents.iter().zip(&group.nodes).for_each(|(agent, node)| agent.reload(node, &more));
    within(BOUND, "the new address is there", || node.holds(third));
    group.stays_with(node, Duration::from_millis(300));
    agents.iter().zip(&group.nodes).for_each(|(agent, node)| agent.reload(node, &group.config()));
    within(BOUND, "the new address is gone", || !node.holds(third));
    assert!(node.holds(VIP6) && node.holds(LINK_LOCAL_VIP));
    group.stays_with(node, Duration::from_millis(300));
    assert_eq!(group.client.turns(start), [node.number()]);
}

/// Rule: an interface without a link-local address cannot take part, says why, and takes part once
/// the kernel has found the address to be unique; one that another station has is named.
pub(crate) fn without_link_local(lab: &Lab) {
    let group = Group::ipv6(lab, &[11, 12]);
    let node = &group.nodes[0];
    node.run(&format!("ip address del {}/64 dev eth0", node.link_local()));
    let agent = Agent::start(node, &group.config());
    agent.reports(&["fault", "eth0 has no IPv6 link-local address to advertise from"]);
    let other = group.nodes[1].link_local();
    node.run(&format!("ip address add {other}/64 dev eth0"));
    agent.reports(&[&format!("another station has {other}, the address of eth0")]);
    node.run(&format!("ip address del {other}/64 dev eth0"));
    node.run(&format!("ip address add {}/64 dev eth0", node.link_local()));
    let waiting =
        format!("waiting for the kernel to look whether another station has {}", node.link_local());
    within(BOUND, "it waits for the address", || agent.log().contains(&waiting));
    group.taken_over_by(node);
    assert!(!has_nothing(node));
}

/// Rule: every frame is as RFC 9568 section 5 and RFC 4861 section 4.4 want it, in tshark's eyes:
/// advertisements with their checksum, announcements with the router flag of a node that forwards.
pub(crate) fn frames(lab: &Lab) {
    let group = Group::ipv6(lab, &[11, 12]);
    let (router, host) = (&group.nodes[0], &group.nodes[1]);
    router.run("sysctl -qw net.ipv6.conf.eth0.forwarding=1");
    let [first, second] = [0, 1].map(|place| Agent::start(&group.nodes[place], &group.config()));
    group.taken_over_by(router);
    assert!(first.stop().success());
    group.taken_over_by(host);
    assert!(second.stop().success());
    let pcap = group.tap.save();

    let expected = [
        ("eth.dst", "33:33:00:00:00:12"),
        ("ipv6.dst", "ff02::12"),
        ("ipv6.hlim", "255"),
        ("ipv6.tclass.dscp", "48"),
        ("vrrp.version", "3"),
        ("vrrp.type", "1"),
        ("vrrp.virt_rtr_id", "51"),
        ("vrrp.addr_count", "2"),
        ("vrrp.ipv6_addr", "fe80::200:5eff:fe00:233,2001:db8:77::100"),
        ("vrrp.short_adver_int", "20"),
        ("vrrp.checksum.status", "1"),
        ("_ws.expert.message", ""),
    ];
    let fields: Vec<&str> = expected.iter().map(|(field, _)| *field).chain(["ipv6.src"]).collect();
    let advertisements = dissect(&pcap, "vrrp", &fields);
    each_has(&advertisements, &expected);
    for node in [router, host] {
        let own = node.link_local().to_string();
        assert!(advertisements.iter().any(|packet| packet["ipv6.src"] == own), "from {own}");
    }

    let unsolicited = "icmpv6.type == 136 && ipv6.dst == ff02::1";
    let of = |address: &str, router: &str| {
        let filter = format!(
            "{unsolicited} && icmpv6.nd.na.target_address == {address} && icmpv6.nd.na.flag.r == {router}"
        );
        dissect(
            &pcap,
            &filter,
            &[
                "eth.dst",
                "ipv6.src",
                "ipv6.hlim",
                "icmpv6.nd.na.flag.o",
                "icmpv6.nd.na.flag.s",
                "icmpv6.opt.linkaddr",
                "icmpv6.checksum.status",
            ],
        )
    };
    for address in ["fe80::200:5eff:fe00:233", "2001:db8:77::100"] {
        for flag in ["1", "0"] {
            let announcements = of(address, flag);
            assert!(!announcements.is_empty(), "{address} with router flag {flag}");
            let expected = [
                ("eth.dst", "33:33:00:00:00:01"),
                ("ipv6.src", address),
                ("ipv6.hlim", "255"),
                ("icmpv6.nd.na.flag.o", "1"),
                ("icmpv6.nd.na.flag.s", "0"),
                ("icmpv6.checksum.status", "1"),
            ];
            each_has(&announcements, &expected);
        }
    }
}

/// Rule: without a prefix length an address answers, but is no source of other traffic; with one it
/// is as good as the machine's own. Neither is held up by the search for duplicates.
pub(crate) fn no_source(lab: &Lab) {
    let group = Group::ipv6(lab, &[11]);
    let node = &group.nodes[0];
    let other = "2001:db8:77::101";
    let config = group.config().set("addresses", format!("[{VIP6}, {other}/64]"));
    let agent = Agent::start(node, &config);
    group.taken_over_by(node);
    for (address, prefix, deprecated) in [
        ("2001:db8:77::100", 128, true),
        ("fe80::200:5eff:fe00:233", 128, true),
        (other, 64, false),
    ] {
        let found = installed(node, address);
        assert_eq!(found["prefixlen"], prefix, "{found}");
        assert_eq!(found["deprecated"] == true, deprecated, "{found}");
        assert_eq!(found["tentative"], Value::Null, "{found}");
        assert!(found["valid_life_time"].as_u64().is_some_and(|left| left <= 1), "{found}");
    }
    let alone = group.config().set("addresses", format!("[{VIP6}]"));
    agent.reload(node, &alone);
    within(BOUND, "the other address is gone", || installed(node, other) == Value::Null);
    let own = format!("2001:db8:77::{}", node.number());
    for (destination, source) in [("2001:db8:77::1", own.as_str()), ("fe80::1", "fe80::11")] {
        let route = node.run(&format!("ip -6 -j route get {destination} oif eth0"));
        let route: Value = serde_json::from_str(&route).expect("the JSON of ip");
        assert_eq!(route[0]["prefsrc"], source, "{route}");
    }
    // Renewals leave it so.
    let lasts = Duration::from_secs(2);
    steadily(lasts, "it stays deprecated", || {
        installed(node, "2001:db8:77::100")["deprecated"] == true
    });
}

/// Rule: IPv4 and IPv6 addresses move together as two instances with one number in a sync group.
pub(crate) fn both_families(lab: &Lab) {
    let group = Group::ipv6(lab, &[11, 12]);
    let config = group.config().instance("four", 51, crate::lab::VIP).sync_group("");
    let [first, _second] = [0, 1].map(|place| Agent::start(&group.nodes[place], &config));
    let both = |node: &Host| node.holds(VIP6) && node.holds(crate::lab::VIP);
    group.taken_over_by(&group.nodes[0]);
    within(BOUND, "both families are on the first node", || both(&group.nodes[0]));
    assert!(first.stop().success());
    group.taken_over_by(&group.nodes[1]);
    within(BOUND, "both families are on the second node", || both(&group.nodes[1]));
    assert!(has_nothing(&group.nodes[0]));
    sleep(Duration::from_millis(300));
    assert!(both(&group.nodes[1]));
}
