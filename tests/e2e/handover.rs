//! `vipctl handover`: planned moves, refusals, and the control socket itself.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::lab::{A_WHILE, Agent, BOUND, Config, Group, Host, Lab, program, within};

/// What no client may notice of a planned move. It takes some milliseconds; the rest is for a busy
/// machine.
pub(crate) const GAPLESS: Duration = Duration::from_millis(100);

/// Two agents of which the first is active, and none takes the address by itself.
pub(crate) fn two_nodes(lab: &Lab) -> (Group, [Agent; 2]) {
    two_nodes_at(lab, "500ms")
}

/// The same at another advertisement interval: the longer it is, the longer a handover waits for a
/// successor that a busy machine does not run.
fn two_nodes_at(lab: &Lab, interval: &str) -> (Group, [Agent; 2]) {
    let group = Group::new(lab, &[11, 12]);
    let config = config(&group).set("advertisement_interval", interval);
    let agents = [0, 1].map(|place| Agent::start(&group.nodes[place], &config));
    group.taken_over_by(&group.nodes[0]);
    group.held_only_by(&group.nodes[0]);
    (group, agents)
}

/// The active node stays active.
pub(crate) fn config(group: &Group) -> Config {
    group.config().set("preempt", "never").set("advertisement_interval", "500ms")
}

/// Runs `vipctl` on a host; its exit code and all that it wrote.
fn vipctl(host: &Host, arguments: &str) -> (Option<i32>, String) {
    let output = Agent::vipctl(host, arguments);
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text.into_owned())
}

/// Hands `web` over from one host to another, and says how long the client had no answer.
#[track_caller]
fn hand_over(group: &Group, from: &Host, to: &Host, arguments: &str) -> Duration {
    let start = Instant::now();
    let (code, said) = vipctl(from, &format!("handover {arguments}"));
    let expected =
        format!("web: node{} ({}) has the addresses now, after ", to.number(), to.address());
    assert!(said.starts_with(&expected), "{said}");
    assert_eq!(code, Some(0), "{said}");
    group.taken_over_by(to);
    let gap = group.client.longest_gap(start);
    assert!(gap < GAPLESS, "the client had no answer for {gap:?}");
    gap
}

/// Nothing has moved, and the client has noticed nothing since `start`.
#[track_caller]
fn unmoved(group: &Group, active: &Host, start: Instant) {
    group.stays_with(active, Duration::from_millis(300));
    group.held_only_by(active);
    assert_eq!(group.client.turns(start), [active.number()]);
    let gap = group.client.longest_gap(start);
    assert!(gap < GAPLESS, "the client had no answer for {gap:?}");
}

/// Rule: a handover moves the address to the other node, named or not, and back, and the client is
/// served all the time (invariant 5, make before break).
pub(crate) fn there_and_back(lab: &Lab) {
    let (group, _agents) = two_nodes(lab);
    let (one, two) = (&group.nodes[0], &group.nodes[1]);
    let there = hand_over(&group, one, two, "web");
    group.held_only_by(two);
    group.stays_with(two, A_WHILE);
    let back = hand_over(&group, two, one, "web node11");
    group.held_only_by(one);
    group.stays_with(one, A_WHILE);
    lab.note(format!("longest gap of the client: {there:?} there, {back:?} back"));
}

/// Rule: handovers in a row, each asked for as soon as the one before is done, leave no gap and
/// end with the address on one node.
pub(crate) fn many_times(lab: &Lab) {
    let (group, _agents) = two_nodes_at(lab, "1s");
    let gaps: Vec<Duration> = (0..20)
        .map(|turn| {
            let (from, to) = (&group.nodes[turn % 2], &group.nodes[(turn + 1) % 2]);
            hand_over(&group, from, to, &format!("web node{}", to.number()))
        })
        .collect();
    lab.note(format!("longest gaps of the client in 20 handovers: {gaps:?}"));
    group.held_only_by(&group.nodes[0]);
    group.stays_with(&group.nodes[0], A_WHILE);
}

/// Rule: where no other node takes the address, this one keeps it and says so, and the client
/// notices nothing.
pub(crate) fn nobody_there(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let alone = &group.nodes[0];
    let _agent = Agent::start(alone, &config(&group));
    group.taken_over_by(alone);
    for arguments in ["handover web", "handover web node12"] {
        let start = Instant::now();
        let (code, said) = vipctl(alone, arguments);
        lab.note(format!("refused after {:?}", start.elapsed()));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.starts_with("vipctl: web was not handed over: no other node took"), "{said}");
        unmoved(&group, alone, start);
    }
}

/// Rule: a backup has nothing to hand over, and names the node to ask.
pub(crate) fn at_the_backup(lab: &Lab) {
    let (group, _agents) = two_nodes(lab);
    let start = Instant::now();
    let (code, said) = vipctl(&group.nodes[1], "handover web");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("this node is backup; node11 (10.77.0.11) has the addresses"), "{said}");
    unmoved(&group, &group.nodes[0], start);
}

/// Rule: a name that is not in the configuration is refused with those that are, and so is the
/// node that has the address already; `--json` shows the same to scripts.
pub(crate) fn unknown_names(lab: &Lab) {
    let (group, _agents) = two_nodes(lab);
    let start = Instant::now();
    let refusals = [
        (
            "handover db",
            "vipctl: db was not handed over: there is no such instance; there are: web",
        ),
        ("handover web node99", "there is no such node; there are: node11, node12"),
        ("handover web node11", "this is that node, and it has the addresses already"),
        ("handover db --json", r#"{"handover":{"refused":{"no_such_instance":["web"]}}}"#),
    ];
    for (arguments, reason) in refusals {
        let (code, said) = vipctl(&group.nodes[0], arguments);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(reason), "{said}");
    }
    unmoved(&group, &group.nodes[0], start);
}

/// Rule: an agent that is stopped during a handover answers before it ends.
pub(crate) fn stopped_meanwhile(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let alone = &group.nodes[0];
    let agent = Agent::start(alone, &config(&group).set("advertisement_interval", "2s"));
    group.taken_over_by(alone);
    let (code, said) = thread::scope(|scope| {
        let asking = scope.spawn(|| vipctl(alone, "handover web"));
        within(BOUND, "the request is there", || agent.log().contains("asks for a handover"));
        agent.signal(Signal::SIGTERM);
        asking.join().expect("an answer")
    });
    lab.note(said.trim());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("web was not handed over"), "{said}");
    assert!(agent.exit().0.success());
}

/// Rule: the control socket is there from the start to the end of the agent, and whoever may not ask
/// is told so; what a crashed agent left is replaced; without one the agent serves all the same.
pub(crate) fn control_socket(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let host = &group.nodes[0];
    let socket = host.runtime_directory().join("control.sock");
    let nobody = |text: &str| {
        let (code, said) = vipctl(host, "handover web");
        assert_eq!(code, Some(69), "{said}");
        assert!(said.contains(&socket.display().to_string()) && said.contains(text), "{said}");
    };
    nobody("systemctl status vipd");
    Agent::start(host, &group.config()).kill();
    let left = fs::symlink_metadata(&socket).expect("what a crash leaves");
    assert!(left.file_type().is_socket());
    nobody("refused");

    let agent = Agent::start(host, &group.config());
    let mode = fs::metadata(&socket).expect("the socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o666, "{mode:o}");
    if Lab::started_by_root() {
        let mut stranger = Command::new("setpriv");
        stranger.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        stranger.arg(program("vipctl")).args(["handover", "web", "--socket"]);
        let output = stranger.arg(&socket).output().expect("setpriv runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(77), "{said}");
        assert!(said.contains("nobody may not control vipd: root may"), "{said}");
    }
    assert!(agent.stop().success());
    assert!(!socket.exists(), "the socket is still there");

    fs::write(&socket, "in the way").expect("a file");
    let agent = Agent::start(host, &group.config());
    group.taken_over_by(host);
    within(BOUND, "a warning", || agent.log().contains("there are no status and control sockets"));
}

/// Rule: a handover is part of a recording, and a fresh engine answers it alike.
pub(crate) fn replay(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let (one, two) = (&group.nodes[0], &group.nodes[1]);
    let recording = lab.directory().join("recording.jsonl");
    let mut command = Agent::command(one, &config(&group).yaml());
    let first = Agent::launch(one, command.arg("--record").arg(&recording));
    group.taken_over_by(one);
    let second = Agent::start(two, &config(&group));
    second.reports(&["node11 (10.77.0.11) is active"]);
    hand_over(&group, one, two, "web");
    assert!(first.stop().success());
    let output = Command::new(program("vipd")).arg("replay").arg(&recording).output();
    let output = output.expect("vipd runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("hand over web") && said.contains("answer '"), "{said}");
}
