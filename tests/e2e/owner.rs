//! The address owner, priority 255: the addresses are the machine's own.

use std::time::{Duration, Instant};

use crate::lab::{Agent, BOUND, Group, Lab, VIP, running_time, within};

/// Rule: an owner takes its clients back at once from a backup that was active during a partition; the
/// address is on it all the time, also after it has said that it leaves.
///
/// Bug guarded: it heard nobody, so that the backup's farewell was not answered, and a client kept the
/// backup's Ethernet address for as long as its ARP entry lived.
pub(crate) fn reunion(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let (owner, backup) = (&group.nodes[0], &group.nodes[1]);
    owner.run(&format!("ip address add {VIP}/24 dev eth0"));
    let first = Agent::start(owner, &group.config().set("priority", "255"));
    let _second = Agent::start(backup, &group.config());
    first.reports(&["web: active"]);
    group.taken_over_by(owner);
    group.held_only_by(owner);
    for _ in 0..3 {
        group.segment.partition(owner);
        within(BOUND, "the backup is active", || backup.holds(VIP));
        group.taken_over_by(backup);
        group.segment.heal(owner);
        group.held_only_by(owner);
        let begin = Instant::now();
        group.taken_over_by(owner);
        let took = running_time(begin, Instant::now());
        lab.note(format!("the client is served {took:?} after the backup has let go"));
        assert!(took < Duration::from_secs(5), "the client was not told for {took:?}");
    }
    lab.owners().overlap(BOUND, "the machine of an address owner keeps its own address");
    let start = Instant::now();
    assert!(first.stop().success());
    within(BOUND, "priority 0 is heard", || group.said_goodbye(owner, start));
    within(BOUND, "the backup takes over", || backup.holds(VIP));
    assert!(owner.holds(VIP), "the machine's own address stays");
}

/// Rule: two owners are a mistake that both name; neither yields (RFC 9568 section 8.3.2).
pub(crate) fn two_of_them(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let agents = group.nodes.iter().map(|node| {
        node.run(&format!("ip address add {VIP}/24 dev eth0"));
        Agent::start(node, &group.config().set("priority", "255"))
    });
    let agents: Vec<Agent> = agents.collect();
    for agent in &agents {
        let says = "its sender says that it owns the addresses (priority 255), as this node does";
        agent.reports(&["web: active", says]);
        within(BOUND, "the log says it", || agent.log().contains(says));
        assert_eq!(agent.log().matches(says).count(), 1, "{}", agent.log());
    }
}
