//! Routes, rules and extra addresses on a real kernel.

use std::time::{Duration, Instant};

use crate::lab::{Agent, BOUND, Config, Group, Host, Lab, SHORTLY, VIP, release, within};

/// What moves along in most cases: a route of each kind, and a rule of each family.
const ROUTES: &str = "[{ to: 10.9.0.0/16, via: 10.77.0.1, source: 10.77.0.100 }, \
                       { to: 10.8.0.0/16, via: 10.77.0.1, table: 100, metric: 50, mtu: 1400 }, \
                       { to: 10.7.0.0/16, type: blackhole }, \
                       { to: 2001:db8:9::/48, via: 2001:db8:77::1 }]";
const RULES: &str = "[{ priority: 1000, from: 10.77.0.100, table: 100 }, \
                      { priority: 1001, fwmark: 0x10/0xff, table: 100, family: ipv6 }]";

/// Far longer than a quarter of the lease of a second, after which everything is looked after.
const LOOKED_AFTER: Duration = Duration::from_secs(3);

fn config(group: &Group) -> Config {
    group
        .config()
        .set("extra_addresses", "[2001:db8:77::100/64]")
        .set("routes", ROUTES)
        .set("rules", RULES)
}

/// The routes of ours on a host, of both families, without what the kernel adds.
fn routes(host: &Host) -> Vec<String> {
    lines(host, ["ip -4 route show table all proto 112", "ip -6 route show table all proto 112"])
}

/// The rules of ours on a host.
fn rules(host: &Host) -> Vec<String> {
    let all = lines(host, ["ip -4 rule show", "ip -6 rule show"]);
    all.into_iter().filter(|line| line.contains("proto 112")).collect()
}

fn lines(host: &Host, commands: [&str; 2]) -> Vec<String> {
    let said: String = commands.iter().map(|command| host.run(command)).collect();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut lines: Vec<String> = said.lines().map(words).collect();
    lines.sort();
    lines
}

fn has_all(host: &Host) -> bool {
    routes(host).len() == 4 && rules(host).len() == 2
}

fn has_none(host: &Host) -> bool {
    routes(host).is_empty() && rules(host).is_empty()
}

fn group(lab: &Lab) -> Group {
    let group = Group::new(lab, &[11, 12]);
    group.nodes.iter().for_each(Host::add_ipv6);
    group
}

/// Rule: routes and rules are there as configured while the node is active, on no other node, and go
/// with a handover; the status shows them.
pub(crate) fn move_along(lab: &Lab) {
    let group = group(lab);
    let (one, two) = (&group.nodes[0], &group.nodes[1]);
    let config = config(&group).set("preempt", "never");
    let _agents = [one, two].map(|node| Agent::start(node, &config));
    group.taken_over_by(one);
    within(BOUND, "all is there", || has_all(one));
    let there = routes(one);
    lab.note(there.join("\n"));
    let [table, main, ipv6, blackhole] = &there[..] else { panic!("{there:?}") };
    assert_eq!(main, "10.9.0.0/16 via 10.77.0.1 dev eth0 src 10.77.0.100");
    assert_eq!(table, "10.8.0.0/16 via 10.77.0.1 dev eth0 table 100 metric 50 mtu 1400");
    assert_eq!(blackhole, "blackhole 10.7.0.0/16");
    assert!(ipv6.starts_with("2001:db8:9::/48 via 2001:db8:77::1 dev eth0 metric 1024 expires"));
    assert_eq!(
        rules(one),
        [
            "1000: from 10.77.0.100 lookup 100 proto 112",
            "1001: from all fwmark 0x10/0xff lookup 100 proto 112"
        ]
    );
    assert!(has_none(two));
    let output = Agent::vipctl(one, "status web");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("  * route 10.9.0.0/16 via 10.77.0.1 dev eth0 src 10.77.0.100\n"),
        "{said}"
    );
    assert!(said.contains("  * rule from 10.77.0.100/32 lookup 100 priority 1000\n"), "{said}");
    let output = Agent::vipctl(one, "handover web node12");
    assert!(output.status.success(), "{output:?}");
    within(BOUND, "all has moved", || has_none(one) && has_all(two));
    group.held_only_by(two);
}

/// Rule: what another program removes, and what the kernel removes with an address or a link, is put
/// back and told; nobody takes over.
pub(crate) fn put_back(lab: &Lab) {
    let group = group(lab);
    let (one, two) = (&group.nodes[0], &group.nodes[1]);
    let config = config(&group).set("link_down_delay", "5s");
    let agents = [one, two].map(|node| Agent::start(node, &config));
    group.taken_over_by(one);
    within(BOUND, "all is there", || has_all(one));
    for removal in [
        "ip route del 10.9.0.0/16",
        "ip route flush table 100",
        "ip route del blackhole 10.7.0.0/16",
        "ip -6 route del 2001:db8:9::/48",
        "ip rule del priority 1000",
        "ip -6 rule del priority 1001",
        "ip address delete 10.77.0.100/24 dev eth0",
    ] {
        one.run(removal);
        let took = within(LOOKED_AFTER, &format!("'{removal}' is undone"), || has_all(one));
        lab.note(format!("'{removal}' was undone after {took:?}"));
    }
    group.stays_with(one, SHORTLY);
    let log = agents[0].log();
    for expected in ["route 10.9.0.0/16 via 10.77.0.1 dev eth0", "rule from 10.77.0.100/32 lookup"]
    {
        let line = format!("another program removed {expected}");
        assert!(log.contains(&line), "{log}");
    }
}

/// Rule: what a killed daemon leaves goes with its lease where the kernel can do that, and all of the
/// rest with `vipd release`; what others have made stays, even if it looks the same.
pub(crate) fn released(lab: &Lab) {
    let group = group(lab);
    let one = &group.nodes[0];
    let config = config(&group);
    one.run("ip route add 10.9.0.0/16 via 10.77.0.1 metric 77");
    one.run("ip -6 route add 2001:db8:9::/48 via 2001:db8:77::2 metric 4000");
    one.run("ip rule add from 10.77.0.100 lookup 100 priority 1000");
    let agent = Agent::start(one, &config);
    group.taken_over_by(one);
    within(BOUND, "all is there", || has_all(one));
    agent.kill();
    within(BOUND, "the addresses' lease has run out", || !one.holds(VIP));
    within(BOUND, "the route from the address has gone with it", || {
        !routes(one).iter().any(|route| route.starts_with("10.9.0.0/16"))
    });
    within(Duration::from_secs(60), "the IPv6 route has run out", || {
        one.run("ip -6 route get 2001:db8:9::1").contains("via 2001:db8:77::2")
    });
    assert_eq!(rules(one).len(), 2, "rules have no lease");
    release(one).expect("a release");
    within(BOUND, "nothing of ours is left", || has_none(one));
    assert!(one.run("ip route show").contains("10.9.0.0/16 via 10.77.0.1 dev eth0 metric 77"));
    assert!(one.run("ip rule show").contains("1000:\tfrom 10.77.0.100 lookup 100"));
}

/// Rule: a daemon that starts sweeps what one before it has left, also what is not configured any more.
pub(crate) fn swept(lab: &Lab) {
    let group = group(lab);
    let one = &group.nodes[0];
    let agent = Agent::start(one, &config(&group).set("lease", "off"));
    group.taken_over_by(one);
    within(BOUND, "all is there", || has_all(one));
    agent.kill();
    assert!(has_all(one) && one.holds(VIP));
    let _agent = Agent::start(one, &group.config());
    assert!(has_none(one), "{:?} {:?}", routes(one), rules(one));
    group.taken_over_by(one);
    assert!(has_none(one));
}

/// Rule: a reload adds and removes routes and rules while the node stays active, and leaves the others
/// where they are.
pub(crate) fn reloaded(lab: &Lab) {
    let group = group(lab);
    let one = &group.nodes[0];
    let agent = Agent::start(one, &group.config());
    group.taken_over_by(one);
    assert!(has_none(one));
    agent.reload(one, &config(&group));
    within(BOUND, "all is there", || has_all(one));
    let other = ROUTES.replace("10.9.0.0/16, via: 10.77.0.1", "10.9.0.0/16, via: 10.77.0.2");
    agent.reload(one, &config(&group).set("routes", other));
    within(BOUND, "the route leads elsewhere", || {
        routes(one).iter().any(|route| route.starts_with("10.9.0.0/16 via 10.77.0.2"))
            && has_all(one)
    });
    agent.reload(one, &group.config());
    within(BOUND, "nothing is there", || has_none(one));
    group.stays_with(one, SHORTLY);
}

/// Rule: another program's route with the same destination and metric is not replaced: the node says
/// which one it is and cannot take part, the other one takes over, and the foreign route stays.
pub(crate) fn of_somebody_else(lab: &Lab) {
    let group = group(lab);
    let (one, two) = (&group.nodes[0], &group.nodes[1]);
    one.run("ip route add 10.9.0.0/16 via 10.77.0.2");
    let agents = [one, two].map(|node| Agent::start(node, &config(&group)));
    group.taken_over_by(two);
    agents[0].reports(&["web: fault", "route 10.9.0.0/16", "another route to this destination"]);
    assert!(one.run("ip route show").contains("10.9.0.0/16 via 10.77.0.2"));
    assert!(has_none(one) && has_all(two));
    // Mended, it takes part again after a while.
    one.run("ip route del 10.9.0.0/16 via 10.77.0.2");
    within(BOUND + BOUND, "all is there", || has_all(one));
}

/// Rule: addresses and routes on another interface, and IPv6 addresses of an IPv4 instance, move,
/// are announced there and put back; that interface without carrier is a fault by its name; a killed
/// daemon's are released.
pub(crate) fn elsewhere(lab: &Lab) {
    let group = group(lab);
    let inner = crate::lab::Segment::another(lab, "inner", [10, 78, 0]);
    for node in &group.nodes {
        inner.connect(node, "eth1");
    }
    let (one, two) = (&group.nodes[0], &group.nodes[1]);
    let config = group
        .config()
        .set(
            "extra_addresses",
            "[2001:db8:77::100/64, { address: 10.78.0.100/24, dev: eth1 }, \
             { address: 2001:db8:78::100/64, dev: eth1 }]",
        )
        .set("routes", "[{ to: 10.9.0.0/16, via: 10.78.0.1, dev: eth1 }]");
    let extra = ["2001:db8:77::100", "10.78.0.100", "2001:db8:78::100"]
        .map(|text| text.parse::<std::net::IpAddr>().expect("an address"));
    let has = |node: &Host, count| {
        extra.iter().filter(|address| node.holds(**address)).count() == count
            && node.holds(VIP) == (count > 0)
            && routes(node).len() == usize::from(count > 0)
    };
    let inner_watcher = inner.host(1);
    let tap = crate::lab::Tap::start(&inner_watcher);
    let [first, second] = [one, two].map(|node| Agent::start(node, &config));
    group.taken_over_by(one);
    within(BOUND, "all is there", || has(one, 3) && has(two, 0));
    within(BOUND, "it is announced on the inner network", || {
        let is_arp = |bytes: &[u8]| bytes[12..14] == [8, 6] && bytes[28..32] == [10, 78, 0, 100];
        tap.frames().iter().any(|frame| is_arp(&frame.bytes))
    });
    let advertised = group.tap.frames();
    let lengths: Vec<usize> = advertised
        .iter()
        .filter(|frame| frame.bytes[12..14] == [8, 0] && frame.bytes[23] == 112)
        .map(|frame| usize::from(frame.bytes[17]))
        .collect();
    assert!(lengths.iter().all(|length| *length == 20 + 8 + 4), "one address: {lengths:?}");
    one.run("ip address delete 10.78.0.100/24 dev eth1");
    within(LOOKED_AFTER, "it is put back", || has(one, 3));

    inner.cable(one, "down");
    group.taken_over_by(two);
    within(BOUND, "all has moved", || has(one, 0) && has(two, 3));
    first.reports(&["web: fault", "link eth1 has no carrier"]);
    inner.cable(one, "up");
    group.taken_over_by(one);
    within(BOUND, "all is back", || has(one, 3) && has(two, 0));

    second.stop();
    first.kill();
    let start = Instant::now();
    release(one).expect("a release");
    assert!(has(one, 0), "released");
    within(BOUND, "priority 0 is heard", || group.said_goodbye(one, start));
}
