//! Whether and when a preferred node takes the address from a live one.

use std::time::{Duration, Instant};

use crate::lab::{A_WHILE, Agent, Config, Group, Lab};

/// The second node is active, then the preferred one starts with `preempt`: when that was.
fn late_comer(lab: &Lab, preempt: &str) -> (Group, [Agent; 2], Config, Instant) {
    let group = Group::new(lab, &[11, 12]);
    let config = group.config().set("preempt", preempt);
    let other = Agent::start(&group.nodes[1], &config);
    group.taken_over_by(&group.nodes[1]);
    let start = Instant::now();
    let preferred = Agent::start(&group.nodes[0], &config);
    (group, [preferred, other], config, start)
}

/// Rule: `preempt: always` takes over from a lower priority, without a gap for the client: make
/// before break (invariant 5).
pub(crate) fn always(lab: &Lab) {
    let (group, [preferred, _other], _, start) = late_comer(lab, "always");
    let took = group.taken_over_by(&group.nodes[0]);
    let gap = group.client.longest_gap(start);
    lab.note(format!("preempted after {took:?}, longest gap of the client: {gap:?}"));
    assert!(gap < Duration::from_millis(500), "the client had no answer for {gap:?}");
    group.held_only_by(&group.nodes[0]);
    preferred.reports(&["web: active", "preempting node12"]);
}

/// Rule: `preempt: never` leaves a live active node alone, but takes over when it is gone, and
/// then keeps the address from the other, too.
pub(crate) fn never(lab: &Lab) {
    let (group, [preferred, other], config, _) = late_comer(lab, "never");
    group.stays_with(&group.nodes[1], A_WHILE);
    preferred.reports(&["web: backup", "node12 (10.77.0.12) is active"]);
    other.stop();
    group.taken_over_by(&group.nodes[0]);
    let _other = Agent::start(&group.nodes[1], &config);
    group.stays_with(&group.nodes[0], A_WHILE);
}

/// Rule: `preempt: after 2s` takes over only after having heard the lower priority for that long.
pub(crate) fn after_a_delay(lab: &Lab) {
    let (group, _agents, _, start) = late_comer(lab, "after 2s");
    group.taken_over_by(&group.nodes[0]);
    let own = group.source(&group.nodes[0]);
    let all = group.tap.advertisements();
    let first = all.iter().find(|seen| seen.at >= start && seen.source == own);
    let took = first.expect("it advertises").at - start;
    lab.note(format!("preempted {took:?} after its start"));
    assert!(took >= Duration::from_secs(2), "already after {took:?}");
    group.held_only_by(&group.nodes[0]);
}
