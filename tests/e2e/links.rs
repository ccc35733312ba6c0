//! Links that go down, at either end, and a segment that falls apart.

use std::time::{Duration, Instant};

use crate::lab::{A_WHILE, Agent, BOUND, Group, Lab, SHORTLY, VIP, VRID, within};

/// Rule: a node whose link goes down gives up the address and says why; another takes over; it
/// comes back by itself.
pub(crate) fn down_at_the_active_node(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let [first, _second] = [0, 1].map(|place| Agent::start(&group.nodes[place], &group.config()));
    group.taken_over_by(&group.nodes[0]);
    group.nodes[0].run("ip link set eth0 down");
    group.taken_over_by(&group.nodes[1]);
    group.held_only_by(&group.nodes[1]);
    first.reports(&["web: fault", "link eth0 is down"]);
    group.nodes[0].run("ip link set eth0 up");
    group.taken_over_by(&group.nodes[0]);
    group.held_only_by(&group.nodes[0]);
}

/// Rule: a backup whose link goes down and comes back disturbs nobody.
pub(crate) fn down_at_the_backup(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let [_first, second] = [0, 1].map(|place| Agent::start(&group.nodes[place], &group.config()));
    group.taken_over_by(&group.nodes[0]);
    group.held_only_by(&group.nodes[0]);
    let start = Instant::now();
    group.nodes[1].run("ip link set eth0 down");
    second.reports(&["web: fault"]);
    group.nodes[1].run("ip link set eth0 up");
    second.reports(&["web: backup"]);
    group.stays_with(&group.nodes[0], A_WHILE);
    assert_eq!(group.tap.advertisers(VRID, start), [group.nodes[0].address()]);
    assert_eq!(group.client.turns(start), [11], "the client noticed nothing");
}

/// Rule: carrier counts, not only the administrative state: the cable is pulled at the switch.
pub(crate) fn cable_pulled(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let [first, _second] = [0, 1].map(|place| Agent::start(&group.nodes[place], &group.config()));
    group.taken_over_by(&group.nodes[0]);
    let start = Instant::now();
    group.segment.cable(&group.nodes[0], "down");
    group.taken_over_by(&group.nodes[1]);
    lab.note(format!("longest gap of the client: {:?}", group.client.longest_gap(start)));
    group.held_only_by(&group.nodes[1]);
    first.reports(&["web: fault", "link eth0 has no carrier"]);
    group.segment.cable(&group.nodes[0], "up");
    group.taken_over_by(&group.nodes[0]);
    group.held_only_by(&group.nodes[0]);
}

/// Rule: after a partition that nobody could see (the carrier stays) exactly one node is active,
/// the preferred one, and clients reach it at once: it announces the address again, because the
/// other had announced it, too.
pub(crate) fn partition(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let (preferred, other) = (&group.nodes[0], &group.nodes[1]);
    let _agents = [Agent::start(preferred, &group.config()), Agent::start(other, &group.config())];
    group.taken_over_by(preferred);
    group.held_only_by(preferred);
    // First the client is on the other node's side, then on the preferred one's.
    for lost in [preferred, other] {
        group.segment.partition(lost);
        within(BOUND, "both are active", || preferred.holds(VIP) && other.holds(VIP));
        group.segment.heal(lost);
        let took = group.held_only_by(preferred);
        let served = group.taken_over_by(preferred);
        lab.note(format!("one active after {took:?}, client served after {:?}", took + served));
        group.stays_with(preferred, SHORTLY);
    }
}

/// Rule: after its link came up a node claims nothing for `hold_down`: a switch may still be
/// learning.
pub(crate) fn hold_down(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let agent = Agent::start(node, &group.config().set("hold_down", "2s"));
    group.taken_over_by(node);
    node.run("ip link set eth0 down");
    agent.reports(&["web: fault"]);
    let start = Instant::now();
    node.run("ip link set eth0 up");
    group.taken_over_by(node);
    let took = start.elapsed();
    lab.note(format!("active again {took:?} after the link came up"));
    assert!(took >= Duration::from_secs(2), "claimed already {took:?} after the link came up");
}
