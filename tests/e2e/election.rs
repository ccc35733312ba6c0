//! Who becomes active.

use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::lab::{A_WHILE, Agent, BOUND, Config, Group, Lab, SHORTLY, VIP, VRID, within};

/// Rule: nodes that start one shortly after the other elect the preferred one, and no other is
/// ever active.
pub(crate) fn first_start(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let config = group.config().set("advertisement_interval", "1s");
    let start = Instant::now();
    let _first = Agent::start(&group.nodes[0], &config);
    // Longer than a busy machine holds up a process, shorter than an active-down interval.
    sleep(Duration::from_millis(500));
    let _second = Agent::start(&group.nodes[1], &config);
    let took = group.taken_over_by(&group.nodes[0]);
    lab.note(format!("elected after {took:?}"));
    group.stays_with(&group.nodes[0], A_WHILE);
    assert_eq!(group.tap.advertisers(VRID, start), [group.nodes[0].address()]);
    group.held_only_by(&group.nodes[0]);
}

/// Rule: the start is always backup; a node on its own becomes active when nobody was heard for
/// its active-down interval (RFC 9568 section 6.4.2), not before.
pub(crate) fn alone(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let config = group.config().set("advertisement_interval", "500ms");
    let start = Instant::now();
    let agent = Agent::start(&group.nodes[0], &config);
    group.taken_over_by(&group.nodes[0]);
    let first = group.tap.advertisements()[0].at - start;
    assert!(first.as_millis() >= 1500, "advertised {first:?} after the start");
    agent.reports(&["web: active", "nobody heard for"]);
}

/// Rule: of two active routers with equal priorities the one with the higher address stays
/// (RFC 9568 section 6.4.3).
pub(crate) fn equal_priorities(lab: &Lab) {
    let group = Group::new(lab, &[12, 11]);
    let (higher, lower) = (&group.nodes[0], &group.nodes[1]);
    let config = Config::new(&[]).set("priority", "150");
    group.segment.partition(lower);
    let _agents = [Agent::start(lower, &config), Agent::start(higher, &config)];
    within(BOUND, "both are active", || higher.holds(VIP) && lower.holds(VIP));
    group.segment.heal(lower);
    let took = group.held_only_by(higher);
    lab.note(format!("one active after {took:?}"));
    group.taken_over_by(higher);
    group.stays_with(higher, A_WHILE);
}

/// Rule: the addresses go down the list of nodes as one after the other dies, and back up.
pub(crate) fn three_nodes(lab: &Lab) {
    let group = Group::new(lab, &[11, 12, 13]);
    let config = group.config();
    let agents = [0, 1, 2].map(|place| Agent::start(&group.nodes[place], &config));
    let [first, second, _third] = agents;
    group.taken_over_by(&group.nodes[0]);
    group.held_only_by(&group.nodes[0]);
    first.kill();
    group.taken_over_by(&group.nodes[1]);
    group.stays_with(&group.nodes[1], SHORTLY);
    second.kill();
    group.taken_over_by(&group.nodes[2]);
    group.stays_with(&group.nodes[2], SHORTLY);
    let _first = Agent::start(&group.nodes[0], &config);
    group.taken_over_by(&group.nodes[0]);
    let _second = Agent::start(&group.nodes[1], &config);
    group.held_only_by(&group.nodes[0]);
    group.stays_with(&group.nodes[0], SHORTLY);
}

/// Rule: two instances on one interface are two elections: each node is active for the address
/// that it is preferred for, and takes over the other one's.
pub(crate) fn load_sharing(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let other_vip = Ipv4Addr::new(10, 77, 0, 101);
    let config = |here: &str, there: &str| {
        let web = group.config().set("priority", here);
        web.instance("mail", VRID + 1, other_vip).set("priority", there)
    };
    let (one, two) = (&group.nodes[0], &group.nodes[1]);
    let _first = Agent::start(one, &config("200", "100"));
    let second = Agent::start(two, &config("100", "200"));
    within(BOUND, "one address on each node", || {
        [one.holds(VIP), one.holds(other_vip)] == [true, false]
            && [two.holds(VIP), two.holds(other_vip)] == [false, true]
    });
    group.stays_with(one, SHORTLY);
    second.stop();
    within(BOUND, "both addresses on one node", || one.holds(VIP) && one.holds(other_vip));
    assert!(!two.holds(other_vip), "a stopped node has no virtual address left");
}
