//! What an agent says about itself: whether it is as fast as it should be, and whether it was.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use caps::{CapSet, Capability};
use nix::sys::signal::Signal;

use crate::lab::{Agent, BOUND, Group, Lab, within};

/// For how long the loop is held up.
const FROZEN: Duration = Duration::from_millis(1500);

/// Rule: a loop that was held up says so once it goes on, with the length, in the log and in the
/// status.
pub(crate) fn held_up(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let agent = Agent::start(&group.nodes[0], &group.config());
    group.taken_over_by(&group.nodes[0]);
    let frozen = Instant::now();
    agent.signal(Signal::SIGSTOP);
    sleep(FROZEN);
    agent.signal(Signal::SIGCONT);
    // It may have been stopped a moment after the signal, and runs a moment after the other one.
    let lengths = FROZEN.as_secs_f64() - 0.3..frozen.elapsed().as_secs_f64() + 1.0;
    let told = |log: &str| {
        let lines =
            log.lines().filter_map(|line| line.split_once("protocol loop was held up for "));
        let seconds = lines.filter_map(|(_, rest)| rest.split_once(" s")?.0.parse::<f64>().ok());
        seconds.into_iter().any(|seconds| lengths.contains(&seconds))
    };
    within(BOUND, "the log says for how long", || told(&agent.log()));
    assert!(agent.log().contains("SIGSTOP, an overloaded machine"), "{}", agent.log());
    agent.reports(&["web: active", "; held up ", " lately, "]);
}

/// Rule: where it is allowed, the threads that the addresses depend on are scheduled in real time
/// and no other, the memory is locked, and nothing is said about it.
pub(crate) fn real_time(lab: &Lab) {
    let allowed = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    let needed = [Capability::CAP_SYS_NICE, Capability::CAP_IPC_LOCK];
    if !Lab::started_by_root() || !needed.into_iter().all(allowed) {
        lab.note("not allowed here: what is said then is looked at instead");
        return refused(lab);
    }
    let group = Group::new(lab, &[11]);
    let agent = Agent::start(&group.nodes[0], &group.config());
    agent.reports(&["web: active"]);
    for word in ["real", "lock"] {
        assert!(!agent.status().contains(word), "'{word}' is in {}", agent.status());
        assert!(!agent.log().contains(word), "'{word}' is in {}", agent.log());
    }
    let process = lab.proc().join(agent.id().to_string());
    let mut threads: Vec<_> = fs::read_dir(process.join("task"))
        .expect("the threads")
        .map(|thread| fs::read_to_string(thread.expect("a thread").path().join("stat")))
        .map(|stat| scheduling(&stat.expect("a thread's state")))
        .collect();
    let status = fs::read_to_string(process.join("status")).expect("the process' state");
    // SCHED_OTHER is 0, SCHED_RR is 2.
    let expected = [
        ("checks", 0, 0),
        ("control", 0, 0),
        ("log", 0, 0),
        ("netlink", 9, 2),
        ("sockets", 9, 2),
        ("vipd", 10, 2),
    ];
    threads.sort();
    assert_eq!(threads, expected.map(|(name, priority, policy)| (name.into(), priority, policy)));
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).expect("VmLck");
    lab.note(format!("locked: {}", locked.trim()));
    assert_ne!(locked.trim(), "0 kB");
}

/// The name, the real-time priority and the policy in `/proc/PID/task/TID/stat`
/// (`proc_pid_stat(5)`).
fn scheduling(stat: &str) -> (String, u32, u32) {
    let (name, rest) = stat.rsplit_once(") ").expect("a name in parentheses");
    let (_, name) = name.split_once('(').expect("a name in parentheses");
    // The first one is the third of them all.
    let mut numbers = rest.split_whitespace().skip(40 - 3).map(str::parse);
    let mut number = || numbers.next().and_then(Result::ok).expect("a number");
    (name.to_owned(), number(), number())
}

/// Rule: where real time and locked memory are not allowed, the agent does its work without, says
/// so in its status, and once in the log with what to do.
pub(crate) fn refused(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let agent = Agent::command(&group.nodes[0], &group.config().yaml());
    let mut command = Command::new("prlimit");
    command.args(["--rtprio=0:0", "--memlock=65536:65536", "setpriv"]);
    command.args(["--bounding-set=-sys_nice,-ipc_lock", "--inh-caps=-sys_nice,-ipc_lock"]);
    command.arg(agent.get_program()).args(agent.get_args());
    let agent = Agent::launch(&group.nodes[0], &mut command);
    group.taken_over_by(&group.nodes[0]);
    let notes = [
        "web: active",
        "; not real-time: Operation not permitted",
        "; memory not locked: Operation not permitted",
    ];
    agent.reports(&notes);
    let log = agent.log();
    for remedy in ["LimitRTPRIO=10", "LimitMEMLOCK=infinity"] {
        assert_eq!(log.matches(remedy).count(), 1, "'{remedy}' in {log}");
    }
}
