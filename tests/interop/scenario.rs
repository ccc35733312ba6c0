//! What two routers go through together, whoever wrote them.

use std::time::Instant;

use crate::lab::{BOUND, Group, Lab, steadily, within};
use crate::router::{Router, Settings};

/// The numbers of the two hosts: the preferred one has the higher address.
pub(crate) const NODES: [u8; 2] = [12, 11];

/// The preferred router crashes, comes back and stops; each time exactly one router is active
/// afterwards, and the client is served by it.
pub(crate) fn failover<A: Router, B: Router>(lab: &Lab, version: u8) {
    failover_of::<A, B>(lab, [200, 100].map(|priority| Settings::new(version, priority)));
}

/// The same with these settings.
pub(crate) fn failover_of<A: Router, B: Router>(lab: &Lab, settings: [Settings; 2]) {
    let group = Group::with(lab, &NODES, settings[0].addresses.vip());
    failover_in::<A, B>(lab, &group, settings);
}

/// The same on these hosts.
pub(crate) fn failover_in<A: Router, B: Router>(lab: &Lab, group: &Group, settings: [Settings; 2]) {
    let (preferred, other) = (&group.nodes[0], &group.nodes[1]);
    let interval = settings[0].interval;
    let only_preferred = || A::holds(preferred, group.vip) && !B::holds(other, group.vip);

    let first = A::start(preferred, settings[0]);
    let second = B::start(other, settings[1]);
    let took = group.taken_over_by(preferred);
    lab.note(format!("first election after {took:?}"));
    within(BOUND, "only the preferred router holds the address", only_preferred);
    group.stays_with(preferred, interval * 3);

    first.kill();
    let took = group.taken_over_by(other);
    lab.note(format!("crash: taken over after {took:?}"));
    group.stays_with(other, interval * 3);

    let first = A::start(preferred, settings[0]);
    let took = group.taken_over_by(preferred);
    lab.note(format!("back: preempted after {took:?}"));
    within(BOUND, "only the preferred router holds the address", only_preferred);
    group.stays_with(preferred, interval * 3);
    steadily(interval * 3, "never two masters", only_preferred);

    let start = Instant::now();
    first.stop();
    let took = group.taken_over_by(other);
    lab.note(format!("stop: taken over after {took:?}"));
    assert!(group.said_goodbye(preferred, start), "a stop is announced by priority 0");
    assert!(took < interval * 3, "priority 0 makes the takeover quicker than silence");
    group.stays_with(other, interval * 3);
    second.stop();
    within(BOUND, "a stop is announced by priority 0", || group.said_goodbye(other, start));
}

/// The preferred router doesn't preempt: after a stop it comes back as the backup of the other.
pub(crate) fn no_preemption<A: Router, B: Router>(lab: &Lab) {
    let group = Group::new(lab, &NODES);
    let (preferred, other) = (&group.nodes[0], &group.nodes[1]);
    let settings = Settings::new(3, 200).patient();
    let first = A::start(preferred, settings);
    group.taken_over_by(preferred);
    let _second = B::start(other, Settings::new(3, 100));
    group.stays_with(preferred, settings.interval * 5);
    first.stop();
    group.taken_over_by(other);
    let _first = A::start(preferred, settings);
    group.stays_with(other, settings.interval * 10);
    assert!(
        B::holds(other, group.vip) && !A::holds(preferred, group.vip),
        "the other one stays active"
    );
}

/// Cut off from each other, both become active; reunited, the better one alone stays so, and the
/// client is served by it at once.
pub(crate) fn reunion<A: Router, B: Router>(lab: &Lab, priorities: [u8; 2]) {
    reunion_of::<A, B>(lab, priorities.map(|priority| Settings::new(3, priority)));
}

/// The same with these settings.
pub(crate) fn reunion_of<A: Router, B: Router>(lab: &Lab, [settings, lower]: [Settings; 2]) {
    let group = Group::with(lab, &NODES, settings.addresses.vip());
    reunion_in::<A, B>(lab, &group, [settings, lower]);
}

/// The same on these hosts.
pub(crate) fn reunion_in<A: Router, B: Router>(
    lab: &Lab,
    group: &Group,
    [settings, lower]: [Settings; 2],
) {
    let (preferred, other) = (&group.nodes[0], &group.nodes[1]);
    let _first = A::start(preferred, settings);
    let _second = B::start(other, lower);
    group.segment.partition(other);
    within(BOUND, "both are active", || {
        A::holds(preferred, group.vip) && B::holds(other, group.vip)
    });
    group.segment.heal(other);
    let only_preferred = || A::holds(preferred, group.vip) && !B::holds(other, group.vip);
    let took = within(BOUND, "the better one alone holds the address", only_preferred);
    lab.note(format!("one active again after {took:?}"));
    group.taken_over_by(preferred);
    group.stays_with(preferred, settings.interval * 5);
    assert!(only_preferred(), "never two masters");
}

/// A group of `A` becomes a group of `B`, one node after the other, the backup first; the address
/// is served by exactly one of them after each step.
pub(crate) fn replacement<A: Router, B: Router>(lab: &Lab, version: u8) {
    let group = Group::new(lab, &NODES);
    let (preferred, other) = (&group.nodes[0], &group.nodes[1]);
    let settings = [200, 100].map(|priority| Settings::new(version, priority));
    let start = Instant::now();
    let old_first = A::start(preferred, settings[0]);
    let old_second = A::start(other, settings[1]);
    group.taken_over_by(preferred);
    old_second.stop();
    let _new_second = B::start(other, settings[1]);
    group.stays_with(preferred, settings[0].interval * 4);
    old_first.stop();
    group.taken_over_by(other);
    let _new_first = B::start(preferred, settings[0]);
    group.taken_over_by(preferred);
    within(BOUND, "only the preferred router holds the address", || {
        B::holds(preferred, group.vip) && !B::holds(other, group.vip)
    });
    group.stays_with(preferred, settings[0].interval * 3);
    lab.note(format!("longest gap of the client: {:?}", group.client.longest_gap(start)));
}
