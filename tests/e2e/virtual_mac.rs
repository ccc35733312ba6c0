//! Virtual MAC addresses: the clients' entries for the virtual address never change, and no station
//! ever hears of another Ethernet address for it.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::{
    Agent, BOUND, Config, Frame, Group, Host, Lab, Meter, SHORTLY, VIP, steadily, within,
};
use crate::release::release;

const MAC: &str = "00:00:5e:00:01:33";
const MAC6: &str = "00:00:5e:00:02:33";
const DEVICE: &str = "vipd4-51-eth0";
const DEVICE6: &str = "vipd6-51-eth0";

/// The longest gap of a planned move, and the longest that anything else may take longer on a
/// noisy machine.
const PLANNED: Duration = Duration::from_millis(200);
const NOISE: Duration = Duration::from_secs(1);

/// What a backup waits for at an interval of a second, rounded up.
const ACTIVE_DOWN: Duration = Duration::from_millis(3500);

fn config(group: &Group) -> Config {
    group.config().set("virtual_mac", "true")
}

fn mac(group: &Group) -> &'static str {
    if group.vip.is_ipv6() { MAC6 } else { MAC }
}

fn device(group: &Group) -> &'static str {
    if group.vip.is_ipv6() { DEVICE6 } else { DEVICE }
}

/// The Ethernet address that a host has cached for the virtual address.
fn cached(host: &Host, vip: IpAddr) -> Option<String> {
    let text = host.run(&format!("ip -j neigh show to {vip} dev eth0"));
    let entries: Value = serde_json::from_str(&text).expect("the JSON of ip");
    entries[0]["lladdr"].as_str().map(str::to_owned)
}

/// What `ip` says of a device; `None` where it isn't there.
fn link(host: &Host, name: &str) -> Option<Value> {
    let text = host.run("ip -d -j link show");
    let links: Value = serde_json::from_str(&text).expect("the JSON of ip");
    links.as_array()?.iter().find(|link| link["ifname"] == name).cloned()
}

fn is_up(host: &Host, name: &str) -> bool {
    let flags = link(host, name).map(|link| link["flags"].to_string());
    flags.is_some_and(|flags| flags.contains("\"UP\""))
}

fn sysctl(host: &Host, key: &str) -> String {
    host.run(&format!("sysctl -n {key}")).trim().to_owned()
}

fn source(frame: &Frame) -> String {
    let bytes: Vec<String> = frame.bytes[6..12].iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(":")
}

/// The Ethernet addresses that ARP packets and neighbour advertisements gave for the address.
fn said_of(group: &Group, from: Instant) -> Vec<String> {
    let hex =
        |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":");
    let binding = |frame: &Frame| match (group.vip, &frame.bytes[..]) {
        (IpAddr::V4(vip), bytes) if bytes[12..14] == [8, 6] && bytes[28..32] == vip.octets() => {
            Some(hex(&bytes[22..28]))
        }
        // Type 136, the target, and the option with its Ethernet address.
        (IpAddr::V6(vip), bytes)
            if bytes[12..14] == [0x86, 0xdd]
                && bytes.len() >= 86
                && (bytes[20], bytes[54]) == (58, 136)
                && bytes[62..78] == vip.octets() =>
        {
            Some(hex(&bytes[80..86]))
        }
        _ => None,
    };
    let frames = group.tap.frames();
    let mut all: Vec<_> = frames.iter().filter(|f| f.at >= from).filter_map(binding).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Rule: RFC 9568 sections 7.3 and 8.1.2 over IPv4: across a crash, a preemption and handovers the
/// client keeps its entry, which names the virtual MAC address; a backup's device is down.
pub(crate) fn moves(lab: &Lab) {
    all_moves(lab, &Group::new(lab, &[11, 12]));
}

/// Rule: the same over IPv6 (section 8.2.2).
pub(crate) fn moves_ipv6(lab: &Lab) {
    all_moves(lab, &Group::ipv6(lab, &[11, 12]));
}

fn all_moves(lab: &Lab, group: &Group) {
    let (one, two) = (&group.nodes[0], &group.nodes[1]);
    let name = device(group);
    let start = Instant::now();
    // Long enough for devices to go up and down on a machine where many others do.
    let config = config(group).set("preempt", "never").set("advertisement_interval", "1s");
    let [first, _second] = [one, two].map(|node| Agent::start(node, &config));
    group.taken_over_by(one);
    within(BOUND, "the devices are up at the active node alone", || {
        is_up(one, name) && link(two, name).is_some() && !is_up(two, name)
    });
    let meter = Meter::start(&group.watcher, group.vip);
    within(BOUND, "the first node serves", || meter.steadily_served_by(11, PLANNED));
    assert_eq!(cached(&group.watcher, group.vip).as_deref(), Some(mac(group)));

    let crash = Instant::now();
    first.kill();
    group.taken_over_by(two);
    let gap = meter.longest_gap(crash);
    lab.note(format!("crash: the client had no answer for {gap:?}"));
    assert!(gap < ACTIVE_DOWN + NOISE, "the client had no answer for {gap:?}");
    assert!(is_up(one, name), "nobody was there to take it down");
    group.held_only_by(two);

    let planned = Instant::now();
    let _first = Agent::start(one, &config);
    within(BOUND, "the device of before is down", || !is_up(one, name));
    for (from, to) in [(two, one), (one, two), (two, one)] {
        let output = Agent::vipctl(from, &format!("handover web node{}", to.number()));
        assert!(output.status.success(), "{output:?}");
        within(BOUND, "the other one serves", || meter.steadily_served_by(to.number(), PLANNED));
        group.held_only_by(to);
    }
    let gap = meter.longest_gap(planned);
    lab.note(format!("planned: the client had no answer for {gap:?}"));
    assert!(gap < PLANNED, "the client had no answer for {gap:?}");
    assert_eq!(cached(&group.watcher, group.vip).as_deref(), Some(mac(group)));
    assert_eq!(said_of(group, start), [mac(group)], "where the virtual address was said to be");

    // Each asks anew, and is asked: the answer comes once, and nobody learns another address.
    let asked = Instant::now();
    for host in [&group.watcher, one] {
        host.run("ip neigh flush dev eth0");
    }
    within(BOUND, "the client has an entry again", || {
        cached(&group.watcher, group.vip).as_deref() == Some(mac(group))
    });
    within(BOUND, "the client is served", || meter.steadily_served_by(11, PLANNED));
    assert_eq!(said_of(group, asked), [mac(group)], "where the virtual address was said to be");

    // What the switch learns from.
    let advertisements = || {
        let mut frames = group.tap.frames();
        frames.retain(|frame| {
            frame.at > asked
                && match group.vip {
                    IpAddr::V4(_) => frame.bytes[12..14] == [8, 0] && frame.bytes[23] == 112,
                    IpAddr::V6(_) => frame.bytes[12..14] == [0x86, 0xdd] && frame.bytes[20] == 112,
                }
        });
        frames
    };
    within(BOUND, "it advertises", || !advertisements().is_empty());
    for frame in &advertisements() {
        assert_eq!(source(frame), mac(group));
    }
}

/// Bug guarded: a device of one family hears the questions for addresses of the other's, and answered
/// them with its own Ethernet address.
pub(crate) fn both_families(lab: &Lab) {
    let group = Group::ipv6(lab, &[11]);
    let node = &group.nodes[0];
    let both = config(&group).instance("four", 51, VIP).set("virtual_mac", "true");
    let _agent = Agent::start(node, &both);
    group.taken_over_by(node);
    within(BOUND, "the IPv4 address is there", || node.holds(VIP));
    let start = Instant::now();
    // Whatever it is, the kernel has to ask first.
    let socket = group.watcher.inside(|| UdpSocket::bind("0.0.0.0:0")).expect("a socket");
    socket.send_to(b"?", (VIP, 9)).expect("a packet");
    within(BOUND, "the client has an entry", || {
        cached(&group.watcher, VIP.into()).as_deref() == Some(MAC)
    });
    assert_eq!(cached(&group.watcher, group.vip).as_deref(), Some(MAC6));
    let answers = group.tap.frames().into_iter().filter(|frame| {
        let answer = frame.bytes[12..14] == [8, 6] && frame.bytes[20..22] == [0, 2];
        answer && frame.at >= start && frame.bytes[28..32] == VIP.octets()
    });
    let mut macs: Vec<String> = answers.map(|frame| source(&frame)).collect();
    macs.dedup();
    assert_eq!(macs, [MAC], "who answered");
}

/// Bug guarded: two active routers that both send from the virtual MAC address hear each other, so
/// that after a partition one of them alone stays (a macvlan of mode private swallows what comes from
/// its own address).
pub(crate) fn partition(lab: &Lab) {
    healed(lab, &Group::new(lab, &[11, 12]));
}

/// The same over IPv6.
pub(crate) fn partition_ipv6(lab: &Lab) {
    healed(lab, &Group::ipv6(lab, &[11, 12]));
}

fn healed(lab: &Lab, group: &Group) {
    let (preferred, other) = (&group.nodes[0], &group.nodes[1]);
    let _agents = [preferred, other].map(|node| Agent::start(node, &config(group)));
    group.taken_over_by(preferred);
    group.held_only_by(preferred);
    for lost in [preferred, other] {
        group.segment.partition(lost);
        let both = || preferred.holds(group.vip) && other.holds(group.vip);
        within(BOUND, "both are active", both);
        group.segment.heal(lost);
        let took = group.held_only_by(preferred);
        let served = group.taken_over_by(preferred);
        lab.note(format!("one active after {took:?}, client served after {:?}", took + served));
        group.stays_with(preferred, SHORTLY);
        assert!(!is_up(other, device(group)), "a backup's device is up");
    }
    assert_eq!(cached(&group.watcher, group.vip).as_deref(), Some(mac(group)));
}

/// Rule: `vipd release` takes away the device of a node that was killed, after a farewell that leaves by
/// it, and puts the kernel's settings back; released again there is nothing to do.
pub(crate) fn released(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let config = config(&group).set("advertisement_interval", "2s");
    let node = &group.nodes[0];
    let [first, second] = [0, 1].map(|place| Agent::start(&group.nodes[place], &config));
    group.taken_over_by(node);
    assert_eq!(sysctl(node, "net.ipv4.conf.eth0.arp_ignore"), "1");
    assert_eq!(sysctl(node, "net.ipv4.conf.eth0.arp_announce"), "2");
    first.kill();
    let start = Instant::now();
    let answer = release(node);
    assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""), "{answer:?}");
    for said in [
        &format!("web: {VIP}/24 taken off {DEVICE}, device {DEVICE} removed, priority 0 sent"),
        "net.ipv4.conf.eth0.arp_ignore put back to 0",
        "net.ipv4.conf.eth0.arp_announce put back to 0",
    ] {
        assert!(answer.out.contains(said), "{said} in {answer:?}");
    }
    assert!(link(node, DEVICE).is_none());
    assert_eq!(sysctl(node, "net.ipv4.conf.eth0.arp_ignore"), "0");
    within(BOUND, "priority 0 is heard", || group.said_goodbye(node, start));
    let frames = group.tap.frames();
    let farewell = frames
        .iter()
        .find(|frame| frame.at >= start && frame.bytes[23] == 112 && frame.bytes[12..14] == [8, 0]);
    assert_eq!(farewell.map(source).as_deref(), Some(MAC));
    group.taken_over_by(&group.nodes[1]);
    assert_eq!(release(node).out, "nothing to release\n");

    // An orderly end leaves nothing either, of a backup too.
    let first = Agent::start(node, &config.set("priority", "50"));
    within(BOUND, "the backup has its device", || link(node, DEVICE).is_some());
    assert!(first.stop().success());
    assert!(second.stop().success());
    for node in &group.nodes {
        assert!(link(node, DEVICE).is_none());
        assert_eq!(sysctl(node, "net.ipv4.conf.eth0.arp_ignore"), "0");
        assert_eq!(sysctl(node, "net.ipv4.conf.eth0.arp_announce"), "0");
    }
}

/// Rule: a daemon that starts after a crash finds what the one before has left, also where the list of
/// it is lost, and in the end leaves nothing.
pub(crate) fn used_again(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    for lost in [false, true] {
        let first = Agent::start(node, &config(&group));
        group.taken_over_by(node);
        first.kill();
        assert!(is_up(node, DEVICE));
        if lost {
            for file in ["held.json", "settings.json"] {
                let file = node.runtime_directory().join(file);
                std::fs::remove_file(file).expect("what was written down");
            }
        }
        let second = Agent::start(node, &config(&group));
        group.taken_over_by(node);
        assert_eq!(cached(&group.watcher, group.vip).as_deref(), Some(MAC));
        assert!(second.stop().success());
        assert!(link(node, DEVICE).is_none());
        if !lost {
            assert_eq!(sysctl(node, "net.ipv4.conf.eth0.arp_ignore"), "0");
        }
    }
}

/// Rule: an interface of that name that another program has made is not touched: the instance is in
/// fault and says so, until it is gone.
pub(crate) fn foreign_device(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    node.run(&format!("ip link add name {DEVICE} type bridge"));
    let agent = Agent::start(node, &config(&group));
    agent.reports(&["web: fault", "which vipd has not made: rename it (ip link set"]);
    assert_eq!(link(node, DEVICE).expect("the device")["linkinfo"]["info_kind"], "bridge");
    node.run(&format!("ip link del {DEVICE}"));
    group.taken_over_by(node);
    assert_eq!(cached(&group.watcher, group.vip).as_deref(), Some(MAC));
}

/// Rule: a reload turns it on and off at the active node; the client is answered all the time, and has
/// the right entry afterwards.
pub(crate) fn turned_on_and_off(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let node = &group.nodes[0];
    let agents = [0, 1].map(|place| Agent::start(&group.nodes[place], &group.config()));
    group.taken_over_by(node);
    let meter = Meter::start(&group.watcher, group.vip);
    within(BOUND, "the first node serves", || meter.steadily_served_by(11, PLANNED));
    let own = cached(&group.watcher, group.vip).expect("an entry");
    let is_cached = |mac: &str| cached(&group.watcher, group.vip).as_deref() == Some(mac);
    let start = Instant::now();
    for _ in 0..2 {
        agents
            .iter()
            .zip(&group.nodes)
            .for_each(|(agent, node)| agent.reload(node, &config(&group)));
        within(BOUND, "the client knows the virtual MAC address", || is_cached(MAC));
        within(BOUND, "the other one has a device", || link(&group.nodes[1], DEVICE).is_some());
        steadily(PLANNED, "it stays so", || is_cached(MAC));
        let plain = group.config();
        agents.iter().zip(&group.nodes).for_each(|(agent, node)| agent.reload(node, &plain));
        within(BOUND, "the client knows the node's own address", || is_cached(&own));
        within(BOUND, "the devices are gone", || {
            group.nodes.iter().all(|node| link(node, DEVICE).is_none())
        });
        within(BOUND, "the settings are as before", || {
            sysctl(node, "net.ipv4.conf.eth0.arp_ignore") == "0"
        });
    }
    let gap = meter.longest_gap(start);
    lab.note(format!("turned on and off twice: the client had no answer for {gap:?}"));
    assert!(gap < PLANNED, "the client had no answer for {gap:?}");
    assert_eq!(group.client.turns(start), [11]);
}

/// Rule: with the interface the device is gone, and comes back with it; renamed away, the interface
/// takes no device of ours along.
pub(crate) fn interface_replaced(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let (node, other) = (&group.nodes[0], &group.nodes[1]);
    let _agents = [0, 1].map(|place| Agent::start(&group.nodes[place], &config(&group)));
    group.taken_over_by(node);
    node.run("ip link delete eth0");
    group.taken_over_by(other);
    assert!(link(node, DEVICE).is_none());
    group.segment.connect(node, "eth0");
    group.taken_over_by(node);
    group.held_only_by(node);
    let rename = |from: &str, to: &str| {
        node.run(&format!("ip link set {from} down"));
        node.run(&format!("ip link set {from} name {to}"));
    };
    rename("eth0", "away0");
    group.taken_over_by(other);
    within(BOUND, "the device is gone", || link(node, DEVICE).is_none());
    rename("away0", "eth0");
    node.run("ip link set eth0 up");
    group.taken_over_by(node);
    group.held_only_by(node);
    assert_eq!(cached(&group.watcher, group.vip).as_deref(), Some(MAC));
}

/// Rule: a device that another program deletes or takes down is put right, and that is told.
pub(crate) fn tampered_with(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let agent = Agent::start(node, &config(&group));
    group.taken_over_by(node);
    let told = || agent.log().matches(&format!("another program deleted {DEVICE}")).count();
    for (count, command) in [format!("ip link del {DEVICE}"), format!("ip link set {DEVICE} down")]
        .into_iter()
        .enumerate()
    {
        node.run(&command);
        within(BOUND, "it is up again", || is_up(node, DEVICE) && node.holds(VIP));
        within(BOUND, "that is told", || told() == count + 1);
        group.taken_over_by(node);
    }
    assert_eq!(cached(&group.watcher, group.vip).as_deref(), Some(MAC));
    assert!(agent.status().contains("active"), "{}", agent.status());
}

/// Rule: strict reverse path filtering for all interfaces does not keep the device from working, nor is
/// the node's own traffic led by it; what cannot work is a fault with the line to type, and once that
/// is typed it works.
pub(crate) fn settings(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    node.run("sysctl -qw net.ipv4.conf.all.rp_filter=1");
    node.run("sysctl -qw net.ipv4.conf.all.arp_filter=1");
    node.run("sysctl -qw net.ipv4.conf.eth0.forwarding=1");
    let agent = Agent::start(node, &config(&group));
    agent.reports(&["web: fault", "sysctl -w net.ipv4.conf.all.arp_filter=0"]);
    node.run("sysctl -qw net.ipv4.conf.all.arp_filter=0");
    group.taken_over_by(node);
    for (key, value) in [("rp_filter", "2"), ("arp_ignore", "1"), ("forwarding", "1")] {
        assert_eq!(sysctl(node, &format!("net.ipv4.conf.{DEVICE}.{key}")), value, "{key}");
    }
    assert_eq!(sysctl(node, &format!("net.ipv6.conf.{DEVICE}.disable_ipv6")), "1");
    let explained = Agent::vipctl(node, "explain web").stdout;
    let explained = String::from_utf8_lossy(&explained).into_owned();
    let expected = format!("They answer from the virtual MAC address {MAC}, of {DEVICE} on eth0.");
    assert!(explained.contains(&expected), "{explained}");
    // The connected route of the device comes after that of the interface, also where the latter's
    // address was put on again.
    node.run("ip address del 10.77.0.11/24 dev eth0");
    node.run("ip address add 10.77.0.11/24 dev eth0");
    let route = node.run(&format!("ip route get {}", Ipv4Addr::new(10, 77, 0, 1)));
    assert!(route.contains("dev eth0 src 10.77.0.11"), "{route}");
    group.taken_over_by(node);
}
