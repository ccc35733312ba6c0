//! Several ways between the nodes: both address families, unicast, two interfaces.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::forgery::Forgery;
use crate::lab::{
    Agent, BOUND, Client, Config, Group, Holders, Host, LINK_LOCAL_VIP, Lab, Leases, Segment, VIP,
    VIP6, release, steadily, within,
};

/// The longest gap of a planned move, and what anything else may take longer on a noisy machine.
const PLANNED: Duration = Duration::from_millis(200);
const NOISE: Duration = Duration::from_secs(1);

/// What a backup waits for at an interval of 200 ms, rounded up.
const ACTIVE_DOWN: Duration = Duration::from_millis(700);

/// `web` with an address of each family.
fn dual(group: &Group) -> Config {
    group.config().set("addresses", format!("[{VIP}/24, {VIP6}/64]"))
}

fn has_all(node: &Host) -> bool {
    node.holds(VIP) && node.holds(VIP6) && node.holds(LINK_LOCAL_VIP)
}

fn has_nothing(node: &Host) -> bool {
    !node.holds(VIP) && !node.holds(VIP6) && !node.holds(LINK_LOCAL_VIP)
}

/// Rule: both families move together and without a gap for the clients of either (invariant 5, make
/// before break).
pub(crate) fn dual_handover(lab: &Lab) {
    let group = Group::dual(lab, &[11, 12]);
    let (one, two) = (&group.nodes[0], &group.nodes[1]);
    // The longer the interval, the longer a handover waits for its successor.
    let config = dual(&group).set("preempt", "never").set("advertisement_interval", "1s");
    let _agents = [one, two].map(|node| Agent::start(node, &config));
    group.taken_over_by(one);
    let client = Client::start(&group.watcher, &[one, two], VIP6);
    let served =
        |node: &Host| client.answered_by(Duration::from_millis(200)) == Some(node.number());
    within(BOUND, "the first node serves over IPv6", || served(one));
    let start = Instant::now();
    for (from, to) in [(one, two), (two, one), (one, two)] {
        let output = Agent::vipctl(from, &format!("handover web node{}", to.number()));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.starts_with(&format!("web: node{} (", to.number())), "{said}");
        group.taken_over_by(to);
        within(BOUND, "all of it has moved", || has_all(to) && has_nothing(from) && served(to));
    }
    let gaps = [group.client.longest_gap(start), client.longest_gap(start)];
    lab.note(format!("longest gaps of the clients over IPv4 and IPv6: {gaps:?}"));
    assert!(gaps.iter().all(|gap| *gap < PLANNED), "{gaps:?}");
}

/// Rule: a node that was killed loses the addresses of both families, and the other node takes both.
pub(crate) fn dual_killed(lab: &Lab) {
    let group = Group::dual(lab, &[11, 12]);
    let [first, _second] = [0, 1].map(|place| Agent::start(&group.nodes[place], &dual(&group)));
    let (one, two) = (&group.nodes[0], &group.nodes[1]);
    group.taken_over_by(one);
    within(BOUND, "it has both", || has_all(one));
    let holders = Holders::watch(&group.nodes.iter().collect::<Vec<_>>(), VIP6);
    let leases = Leases::watch(&group.watcher);
    let start = Instant::now();
    first.kill();
    group.taken_over_by(two);
    within(BOUND, "the kernel has removed them", || has_nothing(one) && has_all(two));
    let (gap, together) = (group.client.longest_gap(start), holders.together(start));
    lab.note(format!("no answer over IPv4 for {gap:?}; two holders of the IPv6 one {together:?}"));
    assert!(gap < ACTIVE_DOWN + NOISE, "the client had no answer for {gap:?}");
    let lease = leases.longest(start);
    assert!(together < lease + NOISE, "two holders for {together:?}, a lease is {lease:?}");
}

/// Rule: `vipd release` says farewell in both families: each is a router of its own to others.
pub(crate) fn dual_released(lab: &Lab) {
    let group = Group::dual(lab, &[11, 12]);
    let config = dual(&group).set("advertisement_interval", "2s").set("lease", "20s");
    let [first, _second] = [0, 1].map(|place| Agent::start(&group.nodes[place], &config));
    let node = &group.nodes[0];
    group.taken_over_by(node);
    first.kill();
    let start = Instant::now();
    release(node).expect("a release");
    assert!(has_nothing(node));
    let farewells = || {
        let all = group.tap.advertisements().into_iter();
        let mut families: Vec<bool> = all
            .filter(|seen| seen.at >= start && seen.priority == 0)
            .map(|seen| seen.source.is_ipv6())
            .collect();
        families.sort_unstable();
        families.dedup();
        families
    };
    within(BOUND, "priority 0 in both families", || farewells() == [false, true]);
    let took = group.succession(node, &group.nodes[1], start);
    assert!(took < Duration::from_secs(6), "as late as without a farewell: {took:?}");
}

/// Rule: with `transport: unicast` the nodes find each other by the list of nodes, nothing is ever sent
/// to the multicast group, and a planned move has no gap.
pub(crate) fn unicast(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]).unicast();
    let (one, two) = (&group.nodes[0], &group.nodes[1]);
    let config = group.config().set("transport", "unicast");
    let _first = Agent::start(one, &config);
    let second = Agent::start(two, &config);
    group.taken_over_by(one);
    group.held_only_by(one);
    let start = Instant::now();
    let output = Agent::vipctl(one, "handover web node12");
    assert!(output.status.success(), "{output:?}");
    group.taken_over_by(two);
    group.held_only_by(two);
    let gap = group.client.longest_gap(start);
    lab.note(format!("longest gap in a planned move: {gap:?}"));
    assert!(gap < PLANNED, "the client had no answer for {gap:?}");
    second.kill();
    group.taken_over_by(one);
    let frames = group.tap.frames();
    let is_multicast = |bytes: &[u8]| bytes.starts_with(&[0x01, 0x00, 0x5e, 0, 0, 18]);
    assert!(!frames.iter().any(|frame| is_multicast(&frame.bytes)), "multicast was sent");
}

/// Sends a forged message to one node alone.
fn send_to(from: &Host, to: Ipv4Addr, forgery: &Forgery) {
    let raw = Protocol::from(112);
    let socket = from.inside(|| Socket::new(Domain::IPV4, Type::RAW, Some(raw)));
    let socket = socket.expect("a raw socket");
    socket.set_ttl_v4(255).expect("a TTL");
    let to = SocketAddrV4::new(to, 0).into();
    socket.send_to(&forgery.message(from.address()), &to).expect("a forged packet");
}

/// Rule: in unicast a stranger's advertisement is refused, by the group as alone, and counted; the
/// addresses stay.
pub(crate) fn unicast_strangers(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]).unicast();
    let one = &group.nodes[0];
    let config = group.config().set("transport", "unicast");
    let _agents = [0, 1].map(|place| Agent::start(&group.nodes[place], &config));
    group.taken_over_by(one);
    let forger = group.segment.host(66);
    let start = Instant::now();
    for _ in 0..20 {
        send_to(&forger, one.address(), &Forgery::valid_with_priority(250));
        Forgery::valid_with_priority(250).send(&forger);
        std::thread::sleep(Duration::from_millis(50));
    }
    group.stays_with(one, Duration::from_millis(300));
    assert_eq!(group.client.turns(start), [one.number()]);
    let status = Agent::vipctl(one, "status web --json");
    let text = String::from_utf8_lossy(&status.stdout);
    for reason in ["\"not_a_peer\":", "\"destination\":"] {
        assert!(text.contains(reason), "{reason} is not in {text}");
    }
}

/// Rule: with two paths the loss of one is no failover: the others are alive while they are heard on
/// any. The loss of both is.
pub(crate) fn two_paths(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let (one, two) = (&group.nodes[0], &group.nodes[1]);
    let heartbeat = Segment::another(lab, "heartbeat", [10, 78, 0]);
    heartbeat.connect(one, "eth1");
    heartbeat.connect(two, "eth1");
    let config = group.config().set("paths", "[eth0, eth1]");
    let _agents = [one, two].map(|node| Agent::start(node, &config));
    group.taken_over_by(one);
    group.held_only_by(one);
    // Without the first path the two hear each other on the second one only.
    group.segment.partition(two);
    steadily(ACTIVE_DOWN * 2, "no takeover", || !two.holds(VIP));
    // Nor the other way round.
    group.segment.heal(two);
    heartbeat.partition(two);
    steadily(ACTIVE_DOWN * 2, "no takeover", || !two.holds(VIP));
    // A path that is down is no fault.
    two.run("ip link set eth1 down");
    one.run("ip link set eth1 down");
    group.stays_with(one, ACTIVE_DOWN);
    group.segment.partition(two);
    within(BOUND, "it hears nobody on any path", || two.holds(VIP));
    group.segment.heal(two);
    group.held_only_by(one);
}

/// Rule: a node whose interface loses its carrier says so on its other path. Where `nodes` says that
/// both addresses are its own, the next node takes over at once and not after silence.
pub(crate) fn carrier_lost(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let nodes: Vec<&Host> = group.nodes.iter().collect();
    let (one, two) = (nodes[0], nodes[1]);
    let network = [10, 78, 0];
    let heartbeat = Segment::another(lab, "heartbeat", network);
    heartbeat.connect(one, "eth1");
    heartbeat.connect(two, "eth1");
    let config = group.config().also_in(&nodes, network).set("paths", "[eth0, eth1]");
    let config = config.set("advertisement_interval", "1s");
    let _agents = [one, two].map(|node| Agent::start(node, &config));
    group.taken_over_by(one);
    let start = Instant::now();
    one.run("ip link set eth0 down");
    group.taken_over_by(two);
    let gap = group.client.longest_gap(start);
    lab.note(format!("no answer for {gap:?}"));
    let silence = Duration::from_secs(3);
    assert!(gap < silence, "the client had no answer for {gap:?}");
}

/// Rule: two interfaces on one segment don't make a router out of this node's own packets.
pub(crate) fn two_paths_on_one_segment(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    node.run("ip link add name second link eth0 type macvlan mode bridge");
    node.run("ip address add 10.77.0.61/24 dev second");
    node.run("ip link set second up");
    let agent = Agent::start(node, &group.config().set("paths", "[eth0, second]"));
    group.taken_over_by(node);
    steadily(ACTIVE_DOWN * 2, "it stays active", || node.holds(VIP));
    let log = agent.log();
    assert!(!log.contains("another active"), "{log}");
}
