//! What is wrong on the segment is answered where that helps, and named.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::forgery::Forgery;
use crate::lab::{Agent, BOUND, Frame, Group, Lab, VIP, VIP6, within};

/// Rule: another station that says to have the virtual address is answered at once by an
/// announcement, and named in one line of the log and in the status.
pub(crate) fn another_station(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let agent = Agent::start(node, &group.config());
    group.taken_over_by(node);
    let stranger = group.segment.host(13);
    within(BOUND, "its link is up", || stranger.is_running("eth0"));
    let notify = "/proc/sys/net/ipv4/conf/eth0/arp_notify";
    stranger.inside(|| fs::write(notify, "1")).expect("a setting of the kernel");
    stranger.run(&format!("ip address add {VIP}/32 dev eth0"));
    let start = Instant::now();
    // With another Ethernet address the kernel announces what it has.
    stranger.run("ip link set dev eth0 address 02:00:00:00:00:99");
    within(BOUND, "the address is announced again", || {
        let frames = group.tap.frames();
        let conflict = frames.iter().position(|frame| frame.at >= start && is_from(frame, 0x99));
        conflict.is_some_and(|place| {
            frames[place..].iter().any(|frame| !is_from(frame, 0x99) && is_gratuitous(frame))
        })
    });
    let says = "another station, 02:00:00:00:00:99, says that it has 10.77.0.100";
    agent.reports(&["web: active", &format!("conflict: {says}")]);
    assert_eq!(agent.log().matches(says).count(), 1, "{}", agent.log());
    assert!(node.holds(VIP), "a conflict is no reason to let go");
}

/// Rule: the same over IPv6, where the stranger sends an unsolicited neighbour advertisement.
pub(crate) fn another_neighbour(lab: &Lab) {
    let group = Group::ipv6(lab, &[11]);
    let node = &group.nodes[0];
    let agent = Agent::start(node, &group.config());
    group.taken_over_by(node);
    let stranger = group.segment.host(13);
    stranger.add_ipv6();
    within(BOUND, "its link is up", || stranger.is_running("eth0"));
    stranger.run("sysctl -qw net.ipv6.conf.eth0.ndisc_notify=1");
    stranger.run(&format!("ip address add {VIP6}/128 dev eth0 nodad"));
    // The kernel uses it a moment later, even without duplicate address detection.
    within(BOUND, "the address is in use", || {
        stranger.run("ip -6 address show dev eth0 tentative").trim().is_empty()
    });
    let start = Instant::now();
    // With another Ethernet address the kernel announces what it has.
    stranger.run("ip link set dev eth0 address 02:00:00:00:00:99");
    within(BOUND, "the address is announced again", || {
        let frames = group.tap.frames();
        let is_theirs = |frame: &Frame| frame.bytes.get(6..12) == Some(&[2, 0, 0, 0, 0, 0x99]);
        let conflict = frames
            .iter()
            .position(|frame| frame.at >= start && is_theirs(frame) && advertises_vip6(frame));
        conflict.is_some_and(|place| {
            frames[place..].iter().any(|frame| !is_theirs(frame) && advertises_vip6(frame))
        })
    });
    let says = format!("another station, 02:00:00:00:00:99, says that it has {VIP6}");
    agent.reports(&["web: active", &format!("conflict: {says}")]);
    assert_eq!(agent.log().matches(&says).count(), 1, "{}", agent.log());
    assert!(node.holds(VIP6), "a conflict is no reason to let go");
}

/// A neighbour advertisement for the virtual IPv6 address.
fn advertises_vip6(frame: &Frame) -> bool {
    frame.bytes.get(12..14) == Some(&[0x86, 0xdd])
        && frame.bytes.get(54) == Some(&136)
        && frame.bytes.get(62..78) == Some(&VIP6.octets())
}

/// A gratuitous ARP for the virtual address.
fn is_gratuitous(frame: &Frame) -> bool {
    let vip = VIP.octets();
    frame.bytes.get(12..14) == Some(&[0x08, 0x06])
        && frame.bytes.get(28..32) == Some(&vip)
        && frame.bytes.get(38..42) == Some(&vip)
}

/// One from the station whose Ethernet address is 02:00:00:00:00:`last`.
fn is_from(frame: &Frame, last: u8) -> bool {
    is_gratuitous(frame) && frame.bytes.get(6..12) == Some(&[2, 0, 0, 0, 0, last])
}

/// Rule: a router that goes on being active with a lower priority is named; it does not make this
/// one yield.
pub(crate) fn two_active(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let agent = Agent::start(node, &group.config());
    group.taken_over_by(node);
    let other = Forgery::valid_with_priority(50);
    for _ in 0..20 {
        other.send(&group.watcher);
        sleep(Duration::from_millis(100));
    }
    let says = format!("{} is active too, with priority 50", group.watcher.address());
    agent.reports(&["web: active", &format!("conflict: {says}")]);
    assert_eq!(agent.log().matches(&says).count(), 1, "{}", agent.log());
    assert!(node.holds(VIP), "a lower priority is no reason to let go");
}
