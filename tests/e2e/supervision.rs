//! What a supervisor such as systemd is told (`sd_notify(3)`).

use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::lab::{Agent, BOUND, Group, Lab, running_time, settled, within};

/// Rule: READY=1 comes when the opening of each socket was tried; STATUS= names each instance with
/// its state, priority, addresses and the reason, as things change.
pub(crate) fn ready_and_status(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let first = Agent::start(&group.nodes[0], &group.config());
    let memberships = group.nodes[0].run("ip maddress show dev eth0");
    assert!(memberships.contains("224.0.0.18"), "ready, but a member only of {memberships}");
    first.reports(&["web: backup (priority 200)"]);
    let active = "web: active (priority 200) with 10.77.0.100/24 on eth0";
    first.reports(&[active, "nobody heard for"]);
    let second = Agent::start(&group.nodes[1], &group.config());
    second.reports(&["web: backup (priority 190)", "node11 (10.77.0.11) is active"]);
}

/// Rule: WATCHDOG=1 comes from the protocol loop, at least twice in the supervisor's interval,
/// and stops when that loop does.
pub(crate) fn watchdog(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let agent = Agent::start(&group.nodes[0], &group.config());
    let signs = |from: Instant| {
        let said = agent.said();
        said.iter().filter(|(at, line)| *at >= from && line == "WATCHDOG=1").count()
    };
    let start = Instant::now();
    within(BOUND, "signs of life", || signs(start) >= 4);
    let took = running_time(start, Instant::now());
    lab.note(format!("four signs of life in {took:?}, with WATCHDOG_USEC=2s"));
    assert!(took < Duration::from_secs(8), "four signs of life took {took:?}");
    agent.signal(Signal::SIGSTOP);
    let frozen = settled();
    sleep(Duration::from_millis(2500));
    assert_eq!(signs(frozen), 0, "a frozen agent gives no sign of life");
    agent.signal(Signal::SIGCONT);
    within(BOUND, "signs of life again", || signs(frozen) > 0);
}

/// Rule: STOPPING=1 is said before the end, and each state change is one line of the log that
/// gives its reason; nothing else is logged meanwhile.
pub(crate) fn stopping(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let agent = Agent::start(&group.nodes[0], &group.config());
    group.taken_over_by(&group.nodes[0]);
    sleep(Duration::from_secs(2));
    agent.signal(Signal::SIGTERM);
    let (status, said, log) = agent.exit();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(said.iter().any(|line| line == "STOPPING=1"), "{said:?}");
    for change in ["backup -> active", "active -> stopped"] {
        assert_eq!(log.matches(change).count(), 1, "'{change}' in {log}");
    }
    assert!(log.lines().count() <= 10, "more than a few lines:\n{log}");
}
