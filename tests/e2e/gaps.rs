//! What a client that asks each millisecond notices, and how long two nodes hold the address, at
//! an interval of one second.
//!
//! The bounds are for a noisy machine; what was measured is noted.

use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::lab::{Agent, BOUND, Config, Group, Holders, Lab, Leases, Meter, VIP, release, within};

/// What a busy machine may add to any time.
const NOISE: Duration = Duration::from_secs(1);

/// The active-down interval at priority 190 (RFC 9568 section 6.1), rounded up.
const ACTIVE_DOWN: Duration = Duration::from_millis(3300);

/// The skew time at priority 190, rounded up.
const SKEW: Duration = Duration::from_millis(300);

/// An agent that stands still for so long must not lose anything. A pause that the machine has made
/// longer than the second of these shows nothing.
const SHORT: Duration = Duration::from_secs(2);
const TOO_LONG: Duration = Duration::from_millis(2800);

/// The longest gap of a move that is planned.
const PLANNED: Duration = Duration::from_millis(200);

/// Two nodes of which the first is active, and what measures them.
struct Scene {
    group: Group,
    config: Config,
    meter: Meter,
    holders: Holders,
    leases: Leases,
}

impl Scene {
    fn new(lab: &Lab, preempt: &str) -> Self {
        let group = Group::new(lab, &[11, 12]);
        let config = group.config().set("advertisement_interval", "1s").set("preempt", preempt);
        let meter = Meter::start(&group.watcher, VIP);
        let holders = Holders::watch(&group.nodes.iter().collect::<Vec<_>>(), VIP);
        let leases = Leases::watch(&group.watcher);
        Self { group, config, meter, holders, leases }
    }

    /// Starts the agent of the first or the second node.
    fn start(&self, place: usize) -> Agent {
        Agent::start(&self.group.nodes[place], &self.config)
    }

    /// Starts both and waits until the first one serves.
    fn start_both(&self) -> [Agent; 2] {
        let agents = [self.start(0), self.start(1)];
        self.comes_to(0);
        agents
    }

    /// Waits until a node alone has the address and serves the client.
    #[track_caller]
    fn comes_to(&self, place: usize) {
        self.group.taken_over_by(&self.group.nodes[place]);
        self.group.held_only_by(&self.group.nodes[place]);
    }

    /// Notes what was seen since `start` and fails where it was too long.
    #[track_caller]
    fn check(&self, lab: &Lab, start: Instant, gap: Duration, together: Duration) {
        // What is on its way is not lost.
        sleep(Duration::from_millis(200));
        let (seen, both) = (self.meter.longest_gap(start), self.holders.together(start));
        lab.note(format!("longest gap of the client {seen:?}, two holders for {both:?}"));
        assert!(seen <= gap, "the client had no answer for {seen:?}");
        assert!(both <= together, "two nodes held the address for {both:?}");
    }
}

/// Rule: when the active agent dies and nothing else happens, the kernel takes its addresses away
/// about when the backup takes over (invariant 3): never two for long, never none for long.
pub(crate) fn killed(lab: &Lab) {
    let scene = Scene::new(lab, "always");
    let [first, _second] = scene.start_both();
    let start = Instant::now();
    first.kill();
    scene.comes_to(1);
    // Until the kernel ends a lease.
    let two_holders = scene.leases.longest(start);
    scene.check(lab, start, ACTIVE_DOWN + NOISE, two_holders + NOISE);
}

/// Rule: with `vipd release` after it, as systemd runs it, the backup takes over within its skew
/// time, and never are there two (invariant 4).
pub(crate) fn killed_and_released(lab: &Lab) {
    let scene = Scene::new(lab, "always");
    let [first, _second] = scene.start_both();
    let node = &scene.group.nodes[0];
    let start = Instant::now();
    first.kill();
    release(node).expect("a release");
    assert!(!node.holds(VIP), "a released node has no virtual address left");
    assert!(scene.group.said_goodbye(node, start), "a release is announced by priority 0");
    scene.comes_to(1);
    scene.check(lab, start, SKEW + NOISE, NOISE / 2);
}

/// Rule: an agent that stands still for less than the backup's patience loses nothing.
pub(crate) fn frozen_for_2_s(lab: &Lab) {
    let scene = Scene::new(lab, "always");
    let [first, _second] = scene.start_both();
    let mut start = Instant::now();
    freeze(&first, SHORT);
    first.signal(Signal::SIGCONT);
    while start.elapsed() > TOO_LONG {
        lab.note(format!("{:?} is too long: once more", start.elapsed()));
        scene.comes_to(0);
        start = Instant::now();
        freeze(&first, SHORT);
        first.signal(Signal::SIGCONT);
    }
    scene.comes_to(0);
    scene.group.stays_with(&scene.group.nodes[0], ACTIVE_DOWN);
    scene.check(lab, start, ACTIVE_DOWN, NOISE);
}

/// Rule: an agent that stands still for longer loses its addresses to the kernel, and does not
/// fight for them when it goes on (invariants 2 and 3).
pub(crate) fn frozen_for_5_s(lab: &Lab) {
    frozen(lab, Duration::from_secs(5));
}

/// The same when it has been away for long.
pub(crate) fn frozen_for_10_s(lab: &Lab) {
    frozen(lab, Duration::from_secs(10));
}

fn frozen(lab: &Lab, span: Duration) {
    let scene = Scene::new(lab, "never");
    let [first, _second] = scene.start_both();
    let start = Instant::now();
    freeze(&first, span);
    within(BOUND, "its lease has ended", || scene.holders.now() == [12]);
    first.signal(Signal::SIGCONT);
    scene.group.stays_with(&scene.group.nodes[1], ACTIVE_DOWN + NOISE);
    assert_eq!(scene.meter.turns(start), [11, 12], "it moved once");
    // Until the kernel ends a lease.
    let two_holders = scene.leases.longest(start);
    scene.check(lab, start, ACTIVE_DOWN + NOISE, two_holders + NOISE);
}

fn freeze(agent: &Agent, span: Duration) {
    agent.signal(Signal::SIGSTOP);
    sleep(span);
}

/// Rule: an orderly stop leaves no gap: the node goes on answering until it hears the next one
/// (invariant 5).
pub(crate) fn stopped(lab: &Lab) {
    let scene = Scene::new(lab, "always");
    let [first, _second] = scene.start_both();
    let start = Instant::now();
    let status = first.stop();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(!scene.group.nodes[0].holds(VIP), "a stopped node has no virtual address left");
    scene.comes_to(1);
    scene.check(lab, start, PLANNED, NOISE);
}

/// Rule: a preferred node that comes back takes the address without a gap (invariant 5).
pub(crate) fn preempted(lab: &Lab) {
    let scene = Scene::new(lab, "always");
    let _second = scene.start(1);
    scene.comes_to(1);
    let start = Instant::now();
    let _first = scene.start(0);
    scene.comes_to(0);
    // Another client has seen it; this one follows.
    within(BOUND, "it is served", || scene.meter.turns(start).last() == Some(&11));
    assert_eq!(scene.meter.turns(start), [12, 11], "it moved once");
    scene.check(lab, start, PLANNED, NOISE);
}
