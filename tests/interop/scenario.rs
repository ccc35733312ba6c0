//! What two routers go through together, whoever wrote them.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::lab::{Addresses, BOUND, Group, Lab, RouterSettings, steadily, within};
use crate::router::Router;

/// The numbers of the two hosts: the preferred one has the higher address.
pub(crate) const NODES: [u8; 2] = [12, 11];

/// The preferred router crashes, comes back and stops; each time exactly one router is active
/// afterwards, and the client is served by it.
pub(crate) fn failover<A: Router, B: Router>(lab: &Lab, version: u8) {
    failover_of::<A, B>(lab, [200, 100].map(|priority| RouterSettings::new(version, priority)));
}

/// The same with these settings.
pub(crate) fn failover_of<A: Router, B: Router>(lab: &Lab, settings: [RouterSettings; 2]) {
    let group = group_for(lab, settings[0]);
    failover_in::<A, B>(lab, &group, settings);
}

/// The same on these hosts.
pub(crate) fn failover_in<A: Router, B: Router>(
    lab: &Lab,
    group: &Group,
    settings: [RouterSettings; 2],
) {
    let (preferred, other) = (&group.nodes[0], &group.nodes[1]);
    let interval = settings[0].interval;
    let vips = settings[0].addresses.all();
    let only_preferred =
        || vips.iter().all(|vip| A::holds(preferred, *vip) && !B::holds(other, *vip));
    let only_other = || vips.iter().all(|vip| B::holds(other, *vip) && !A::holds(preferred, *vip));

    let first = A::start(preferred, settings[0]);
    let second = B::start(other, settings[1]);
    let took = group.taken_over_by(preferred);
    lab.note(format!("first election after {took:?}"));
    within(BOUND, "only the preferred router holds the address", only_preferred);
    group.stays_with(preferred, interval * 3);

    first.kill(preferred);
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
    let took = group.succession(preferred, other, start);
    lab.note(format!("stop: taken over {took:?} after the farewell"));
    group.taken_over_by(other);
    assert!(took < interval * 3, "priority 0 makes the takeover quicker than silence");
    within(BOUND, "only the other router holds the addresses", only_other);
    group.stays_with(other, interval * 3);
    second.stop();
    within(BOUND, "a stop is announced by priority 0", || group.said_goodbye(other, start));
}

/// Hosts with what the settings need.
fn group_for(lab: &Lab, settings: RouterSettings) -> Group {
    let group = match settings.addresses {
        Addresses::Both => Group::dual(lab, &NODES),
        addresses => Group::with(lab, &NODES, addresses.vip()),
    };
    if settings.unicast_to.is_some() { group.unicast() } else { group }
}

/// By unicast, each to the other.
pub(crate) fn to_each_other(settings: [RouterSettings; 2]) -> [RouterSettings; 2] {
    let [preferred, other] = NODES;
    [settings[0].to(other), settings[1].to(preferred)]
}

/// The preferred router doesn't preempt: after a stop it comes back as the backup of the other.
pub(crate) fn no_preemption<A: Router, B: Router>(lab: &Lab) {
    let group = Group::new(lab, &NODES);
    let (preferred, other) = (&group.nodes[0], &group.nodes[1]);
    let settings = RouterSettings::new(3, 200).patient();
    let first = A::start(preferred, settings);
    group.taken_over_by(preferred);
    let _second = B::start(other, RouterSettings::new(3, 100));
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
    reunion_of::<A, B>(lab, priorities.map(|priority| RouterSettings::new(3, priority)));
}

/// The same with these settings.
pub(crate) fn reunion_of<A: Router, B: Router>(lab: &Lab, [settings, lower]: [RouterSettings; 2]) {
    let group = group_for(lab, settings);
    reunion_in::<A, B>(lab, &group, [settings, lower]);
}

/// The same on these hosts.
pub(crate) fn reunion_in<A: Router, B: Router>(
    lab: &Lab,
    group: &Group,
    [settings, lower]: [RouterSettings; 2],
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

/// How often the client may be served by another router within a few seconds at the shortest interval:
/// a machine that does not let a process run for 35 ms makes the backup active for a moment.
const MOMENTS: usize = 20;

/// At the shortest interval there is the preferred router is active, but for moments in which the machine
/// pauses it; the other one takes over when it crashes, and gives back when it returns.
pub(crate) fn shortest_interval<A: Router, B: Router>(lab: &Lab) {
    let shortest = Duration::from_millis(10);
    let settings = [200, 100].map(|priority| RouterSettings::new(3, priority).every(shortest));
    let group = Group::new(lab, &NODES);
    let (preferred, other) = (&group.nodes[0], &group.nodes[1]);
    let first = A::start(preferred, settings[0]);
    let _second = B::start(other, settings[1]);
    group.taken_over_by(preferred);
    within(BOUND, "only the preferred router holds the address", || {
        A::holds(preferred, group.vip) && !B::holds(other, group.vip)
    });
    let start = Instant::now();
    sleep(Duration::from_secs(3));
    let (turns, gap) = (group.client.turns(start), group.client.longest_gap(start));
    lab.note(format!("in 3 s: longest gap of the client {gap:?}, served by {turns:?}"));
    assert!(turns.len() < MOMENTS, "the group flaps: {turns:?}");
    group.taken_over_by(preferred);
    let start = Instant::now();
    first.kill(preferred);
    let took = group.taken_over_by(other);
    let gap = group.client.longest_gap(start);
    lab.note(format!("crash: taken over after {took:?}, longest gap of the client {gap:?}"));
    let _first = A::start(preferred, settings[0]);
    group.taken_over_by(preferred);
    within(BOUND, "only the preferred router holds the address", || {
        A::holds(preferred, group.vip) && !B::holds(other, group.vip)
    });
}

/// The active router advertises more seldom than the other one would: that one learns it, so that it
/// neither takes over between two advertisements, nor as early as by its own interval after a crash.
pub(crate) fn learnt_interval<A: Router, B: Router>(lab: &Lab) {
    let slow = Duration::from_millis(800);
    let group = Group::new(lab, &NODES);
    let (preferred, other) = (&group.nodes[0], &group.nodes[1]);
    let first = A::start(preferred, RouterSettings::new(3, 200).every(slow));
    group.taken_over_by(preferred);
    let quick = Duration::from_millis(100);
    let _second = B::start(other, RouterSettings::new(3, 100).every(quick));
    // It starts with its own interval, and may be active until it hears the first advertisement.
    sleep(quick * 10);
    group.taken_over_by(preferred);
    within(BOUND, "only the preferred router holds the address", || {
        A::holds(preferred, group.vip) && !B::holds(other, group.vip)
    });
    group.stays_with(preferred, slow * 5);
    let start = Instant::now();
    first.kill(preferred);
    group.taken_over_by(other);
    let took = start.elapsed();
    lab.note(format!("crash: taken over after {took:?}"));
    // Three of the learnt intervals after the last advertisement; of its own, that were 0.4 s.
    assert!(took > slow, "taken over already {took:?} after the crash");
}

/// A group of `A` becomes a group of `B`, one node after the other, the backup first; the address
/// is served by exactly one of them after each step.
pub(crate) fn replacement<A: Router, B: Router>(lab: &Lab, version: u8) {
    let group = Group::new(lab, &NODES);
    let (preferred, other) = (&group.nodes[0], &group.nodes[1]);
    let settings = [200, 100].map(|priority| RouterSettings::new(version, priority));
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
