//! Another configuration for an agent that runs: invariant 6, nothing half done.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::lab::{Agent, BOUND, Group, Lab, VIP, within};

/// What no client may notice; the rest of it is for a busy machine.
const GAPLESS: Duration = Duration::from_millis(100);

/// Bugs guarded: an agent with nothing to do must say so, though nothing happens to it; and a
/// reload gives it the first configuration, by which this machine becomes a node of a list.
pub(crate) fn from_nothing(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let agent = Agent::launch(node, &mut Agent::command(node, "instances: {}\n"));
    agent.reports(&["idle: no instances are configured"]);
    agent.reload(node, &group.config());
    group.taken_over_by(node);
    agent.reports(&["web: active (priority 200)"]);
}

/// Rule: a bad file changes nothing, is told with line and reason in the log and the status, and
/// is forgotten once a good one has come.
pub(crate) fn bad_file(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let agent = Agent::start(node, &group.config());
    group.taken_over_by(node);
    let bad = group.config().set("virtual_router_id", "999").set("prioritty", "7");
    agent.reload(node, &bad);
    agent.reports(&[
        "web: active",
        "the configuration was not reloaded: ",
        ".yaml:",
        "(and 1 more)",
    ]);
    let log = agent.log();
    assert!(log.contains("did you mean 'priority'?"), "{log}");
    assert!(log.contains("expected a number from 1 to 255, found 999"), "{log}");
    assert!(node.holds(VIP), "a bad file is no reason to let go");
    let start = Instant::now();
    agent.reload(node, &group.config());
    within(BOUND, "the good file is in effect", || !agent.status().contains("not reloaded"));
    assert!(group.client.longest_gap(start) < GAPLESS, "the client noticed");
}

/// Rule: addresses and instances come and go in place, on interfaces that the file names for the
/// first time too, and the instance that stays misses nothing.
pub(crate) fn in_place(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let agent = Agent::start(node, &group.config());
    group.taken_over_by(node);
    let start = Instant::now();
    let (second, third) = ([10, 77, 0, 101].into(), [10, 77, 0, 102].into());
    agent.reload(node, &group.config().set("addresses", format!("[{VIP}/24, {second}/24]")));
    within(BOUND, "the new address is there", || node.holds(second));
    node.run("ip link add name eth7 type veth peer name far7");
    node.run("ip link set far7 up");
    node.run("ip address add 10.78.0.11/24 dev eth7");
    node.run("ip link set eth7 up");
    let more = group.config().instance("more", 77, third).set("interface", "eth7");
    agent.reload(node, &more);
    within(BOUND, "the address on another interface is there", || node.holds(third));
    assert!(!node.holds(second), "an address that is not in the file any more is gone");
    agent.reports(&["web: active", "more: active"]);
    agent.reload(node, &group.config());
    within(BOUND, "the instance that is not in the file any more has let go", || {
        !node.holds(third) && !agent.status().contains("more:")
    });
    let log = agent.log();
    assert_eq!(log.matches("web: backup -> active").count(), 1, "{log}");
    assert!(!log.contains("web: active ->"), "{log}");
    assert!(group.client.longest_gap(start) < GAPLESS, "the client noticed");
}

/// Rule: two hundred reloads of the same file change no state, are not noticed by the client, and
/// leave no descriptor open.
pub(crate) fn again_and_again(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let agents = [0, 1].map(|place| Agent::start(&group.nodes[place], &group.config()));
    group.taken_over_by(&group.nodes[0]);
    group.held_only_by(&group.nodes[0]);
    let descriptors = || {
        let files = fs::read_dir(lab.proc().join(agents[0].id().to_string()).join("fd"));
        files.expect("the descriptors of the agent").count()
    };
    let (before, start) = (descriptors(), Instant::now());
    for _ in 0..200 {
        for (agent, node) in agents.iter().zip(&group.nodes) {
            agent.reload(node, &group.config());
        }
        sleep(Duration::from_millis(10));
    }
    within(BOUND, "the last ones are done", || descriptors() <= before);
    let told = |agent: &Agent| agent.log().matches(" -> ").count();
    assert_eq!(agents.each_ref().map(told), [2, 1], "{}", agents[0].log());
    let gap = group.client.longest_gap(start);
    lab.note(format!("longest gap of the client in 200 reloads: {gap:?}"));
    assert!(gap < GAPLESS, "the client had no answer for {gap:?}");
}
