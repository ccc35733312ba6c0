//! Another configuration for an agent that runs: invariant 6, nothing half done.

use std::fs;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::lab::{Agent, BOUND, Group, Host, Lab, VIP, within};

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
    let (second, third) = (Ipv4Addr::new(10, 77, 0, 101), Ipv4Addr::new(10, 77, 0, 102));
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

/// How often the same file is read again.
const AGAIN: u32 = 1_000;

/// How often before the memory is looked at for the first time: caches fill up.
const WARM: u32 = 100;

/// By how much the memory may grow in all that, in KiB: a hundredth of a leak of a file each time.
const GROWTH: u64 = 2_048;

/// Rule: a thousand reloads of the same file change no state, are not noticed by the client, and
/// leave no descriptor open and no memory in use.
pub(crate) fn again_and_again(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let agents = [0, 1].map(|place| Agent::start(&group.nodes[place], &group.config()));
    group.taken_over_by(&group.nodes[0]);
    group.held_only_by(&group.nodes[0]);
    let process = lab.proc().join(agents[0].id().to_string());
    let descriptors =
        || fs::read_dir(process.join("fd")).expect("the descriptors of the agent").count();
    let memory = || resident(&fs::read_to_string(process.join("status")).expect("its state"));
    let (mut before, start) = ((descriptors(), memory()), Instant::now());
    for number in 0..AGAIN {
        for node in &group.nodes {
            let answer = ask(node, "{\"reload\":{}}");
            assert!(answer.contains("\"unchanged\""), "{answer}");
        }
        if number == WARM {
            before.1 = memory();
        }
    }
    within(BOUND, "the last descriptors are closed", || descriptors() <= before.0);
    let told = |agent: &Agent| agent.log().matches(" -> ").count();
    assert_eq!(agents.each_ref().map(told), [2, 1], "{}", agents[0].log());
    let gap = group.client.longest_gap(start);
    let grown = memory().saturating_sub(before.1);
    lab.note(format!(
        "{AGAIN} reloads in {:?}: longest gap of the client {gap:?}, memory {} KiB and {grown} KiB \
         more at the end",
        start.elapsed(),
        before.1,
    ));
    assert!(gap < GAPLESS, "the client had no answer for {gap:?}");
    assert!(grown < GROWTH, "{grown} KiB more");
}

/// The resident memory in KiB (`proc_pid_status(5)`).
fn resident(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// What the daemon answers to a request.
fn ask(host: &Host, request: &str) -> String {
    let socket = host.runtime_directory().join("control.sock");
    let mut stream = UnixStream::connect(socket).expect("a control socket");
    stream.set_read_timeout(Some(BOUND)).expect("a bound");
    writeln!(stream, "{request}").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// Rule: a reload is planned, and a dry run only planned; what is refused is told to who asked, with
/// every mistake, and changes nothing.
pub(crate) fn planned(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let agent = Agent::start(node, &group.config());
    group.taken_over_by(node);
    let second = Ipv4Addr::new(10, 77, 0, 101);
    let more = group.config().set("addresses", format!("[{VIP}/24, {second}/24]"));
    fs::write(node.directory().join("11.yaml"), more.yaml()).expect("a file");
    let answer = ask(node, "{\"reload\":{\"dry_run\":true}}");
    assert!(answer.contains("\"planned\"") && answer.contains("10.77.0.101"), "{answer}");
    assert!(!node.holds(second));
    let answer = ask(node, "{\"reload\":{}}");
    assert!(answer.contains("\"done\"") && answer.contains("10.77.0.101"), "{answer}");
    within(BOUND, "the address is there", || node.holds(second));

    fs::write(node.directory().join("11.yaml"), "instances: 5\nprioriti: 7\n").expect("a file");
    let answer = ask(node, "{\"reload\":{}}");
    assert!(answer.contains("\"refused\"") && answer.contains("prioriti"), "{answer}");
    assert!(answer.contains("expected a mapping of names to instances"), "{answer}");
    agent.reports(&["not reloaded", "(and 1 more)"]);
    assert!(node.holds(VIP) && node.holds(second));
}

/// Rule: an address that moves from one active instance to another in one reload is answered for all
/// the time.
pub(crate) fn moved_address(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let second = Ipv4Addr::new(10, 77, 0, 101);
    let third = [10_u8, 77, 0, 102];
    let both = |first: String, other: String| {
        let config = group.config().set("addresses", first);
        config.instance("more", 77, third).set("addresses", other)
    };
    let before = both(format!("[{VIP}/24, {second}/24]"), "[10.77.0.102/24]".to_owned());
    let agent = Agent::start(node, &before);
    agent.reports(&["web: active", "more: active"]);
    group.taken_over_by(node);
    let start = Instant::now();
    agent.reload(node, &both(format!("[{second}/24]"), format!("[10.77.0.102/24, {VIP}/24]")));
    within(BOUND, "it has moved", || agent.log().contains("more: reconfigured: addresses"));
    sleep(Duration::from_secs(1));
    let gap = group.client.longest_gap(start);
    lab.note(format!("longest gap of the client: {gap:?}"));
    assert!(gap < GAPLESS, "the client had no answer for {gap:?}");
    assert!(node.holds(VIP) && node.holds(second));
    agent.reports(&["web: active", "more: active"]);
}
