//! Frames that have to be refused: a refused frame changes nothing but a counter.

use std::net::IpAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::forgery::Forgery;
use crate::lab::{Agent, BOUND, Group, LINK_LOCAL_VIP, Lab, VIP, VIP6, VRID, within};
use crate::raw::{Raw, frame, summed};

/// Ours, in centiseconds.
const INTERVAL: u16 = 20;

/// What the log says of an active node that obeys another.
const YIELDED: &str = "active -> backup";

/// Rule: an active node neither yields to wrong advertisements of a higher priority nor advertises
/// less because of them: keepalived does, and falls silent.
pub(crate) fn active_is_unmoved(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let agent = Agent::start(node, &group.config());
    group.taken_over_by(node);
    for forgery in Forgery::all_wrong(INTERVAL) {
        let start = Instant::now();
        let sent = || {
            let all = group.tap.advertisements();
            all.iter().filter(|seen| seen.at >= start && seen.source == node.address()).count()
        };
        // Several frames in each of five intervals.
        within(BOUND, &format!("it advertises on against {}", forgery.defect), || {
            forgery.send(&group.watcher);
            sleep(Duration::from_millis(40));
            sent() >= 5
        });
        let log = agent.log();
        assert!(!log.contains(YIELDED), "it yielded to {}:\n{log}", forgery.defect);
        within(BOUND, "it has the address", || node.holds(VIP));
    }
    // The counter-check: the same without a defect is obeyed.
    within(BOUND, "it yields to a valid advertisement of a higher priority", || {
        Forgery::valid(INTERVAL).send(&group.watcher);
        !node.holds(VIP)
    });
    within(BOUND, "it says so", || agent.log().contains(YIELDED));
}

/// Rule: wrong advertisements don't keep a backup waiting: the active-down timer runs on.
pub(crate) fn backup_is_unmoved(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let _agent = Agent::start(node, &group.config());
    let valid = Forgery::valid(INTERVAL);
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        valid.send(&group.watcher);
        assert!(!node.holds(VIP), "it is the backup of a valid active router");
        sleep(Duration::from_millis(50));
    }
    let start = Instant::now();
    within(BOUND, "it takes over although wrong advertisements go on", || {
        for forgery in Forgery::all_wrong(INTERVAL) {
            forgery.send(&group.watcher);
        }
        group.tap.advertisers(VRID, start).contains(&node.address().into())
    });
    lab.note(format!("took over after {:?}", start.elapsed()));
    group.held_only_by(node);
}

/// IPv6 frames that have to be refused, each with what is wrong: hop limit, own address, an interval, a
/// count, an end. Without their fault each would take the address away, or end this node's being active.
fn wrong_over_ipv6(own: IpAddr, other: IpAddr) -> Vec<(&'static str, Vec<u8>)> {
    let addresses = [LINK_LOCAL_VIP.octets(), VIP6.octets()].concat();
    let message = |priority: u8, count: u8, interval: [u8; 2]| {
        let [high, low] = interval;
        [&[0x31, VRID, priority, count, high, low, 0, 0][..], &addresses].concat()
    };
    let valid = message(254, 2, [0, 20]);
    let of = |source, bytes: &[u8]| frame(source, 255, &summed(source, bytes));
    let mut checksum = summed(other, &valid);
    checksum[6] ^= 1;
    vec![
        ("hop limit 254", frame(other, 254, &summed(other, &valid))),
        ("our own source", of(own, &valid)),
        ("our own source and priority 0", of(own, &message(0, 2, [0, 20]))),
        ("no message at all", frame(other, 255, &[])),
        ("one byte", frame(other, 255, &[0x31])),
        ("a wrong checksum", frame(other, 255, &checksum)),
        ("no addresses", of(other, &message(254, 0, [0, 20])[..8])),
        ("more addresses than bytes", of(other, &message(254, 9, [0, 20]))),
        ("interval 0", of(other, &message(254, 2, [0, 0]))),
        ("reserved bits and interval 0", of(other, &message(254, 2, [0xf0, 0]))),
        ("VRRPv2", of(other, &[&[0x21], &valid[1..]].concat())),
        ("another type", of(other, &[&[0x32], &valid[1..]].concat())),
        ("another virtual router", of(other, &[&[0x31, VRID + 1], &valid[2..]].concat())),
        ("trailing bytes", of(other, &[&valid[..], &[0; 4]].concat())),
    ]
}

/// Rule: over IPv6 the kernel lets in packets that carry this node's own address, and empty ones for
/// the group (which stop FRR's router): neither those nor any other wrong one moves or silences an
/// active node, though several come in each interval.
pub(crate) fn over_ipv6(lab: &Lab) {
    let group = Group::ipv6(lab, &[11]);
    let node = &group.nodes[0];
    let agent = Agent::start(node, &group.config());
    group.taken_over_by(node);
    let (own, other) = (group.source(node), group.source(&group.watcher));
    let raw = Raw::open(&group.watcher);
    for (defect, bytes) in wrong_over_ipv6(own, other) {
        let start = Instant::now();
        let sent = || {
            let all = group.tap.advertisements();
            let from_node = |bytes: &[u8]| bytes[6..12] != crate::raw::SOURCE;
            let frames = group.tap.frames();
            let others = frames.iter().filter(|seen| seen.at >= start && !from_node(&seen.bytes));
            let forged: Vec<Instant> = others.map(|seen| seen.at).collect();
            all.iter()
                .filter(|seen| seen.at >= start && seen.source == own && seen.priority > 0)
                .filter(|seen| !forged.contains(&seen.at))
                .count()
        };
        within(BOUND, &format!("it advertises on against {defect}"), || {
            assert!(raw.send(&bytes), "{defect}");
            sleep(Duration::from_millis(40));
            sent() >= 5
        });
        let log = agent.log();
        assert!(!log.contains(YIELDED), "it yielded to {defect}:\n{log}");
        within(BOUND, "it has the address", || node.holds(VIP6));
    }
    let counted = agent.status();
    assert!(counted.contains("web: active"), "{counted}");
    // The counter-check: the same without a defect is obeyed.
    let addresses = [LINK_LOCAL_VIP.octets(), VIP6.octets()].concat();
    let valid = [&[0x31, VRID, 254, 2, 0, 20, 0, 0][..], &addresses].concat();
    within(BOUND, "it yields to a valid advertisement of a higher priority", || {
        raw.send(&frame(other, 255, &summed(other, &valid)));
        !node.holds(VIP6)
    });
}
