//! What a newcomer runs first.

use std::fs;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::lab::{BOUND, Lab, Process, program, within};

/// Rule: the demo goes through every step without anything else than `vipd`, ends with a table and
/// 0, and leaves nothing behind.
pub(crate) fn to_the_end(lab: &Lab) {
    let (demo, agents) = start(lab);
    let log = demo.log().to_owned();
    let status = demo.exit_within(Duration::from_secs(60));
    let text = fs::read_to_string(log).expect("what it wrote");
    assert_eq!(status.code(), Some(0), "{status}");
    let table: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("Step  ")).collect();
    for step in ["Both nodes start", "loses its power", "comes back", "agent is stopped"] {
        assert!(table.iter().any(|line| line.contains(step)), "'{step}' is not in {table:?}");
    }
    within(BOUND, "its processes are gone", || agents.iter().all(|pid| is_gone(*pid)));
}

/// Rule: Ctrl-C ends the demo with 130 and leaves nothing behind.
pub(crate) fn interrupted(lab: &Lab) {
    let (demo, agents) = start(lab);
    demo.signal(Signal::SIGINT);
    let status = demo.exit();
    assert_eq!(status.code(), Some(130), "{status}");
    within(BOUND, "its processes are gone", || agents.iter().all(|pid| is_gone(*pid)));
}

/// Rule: killed in a way that leaves it no time to tidy up, the demo leaves nothing behind either.
pub(crate) fn killed(lab: &Lab) {
    let (demo, agents) = start(lab);
    demo.signal(Signal::SIGKILL);
    within(BOUND, "its processes are gone", || agents.iter().all(|pid| is_gone(*pid)));
}

/// Starts the demo and waits until its two agents run.
fn start(lab: &Lab) -> (Process, Vec<u32>) {
    let mut command = Command::new(program("vipd"));
    let demo = Process::start(command.arg("demo"), &lab.directory().join("demo.log"));
    let mut agents = Vec::new();
    within(BOUND, "two agents run", || {
        agents = children(demo.id());
        agents.len() >= 2
    });
    (demo, agents)
}

/// What `/proc` tells about a process (`proc_pid_status(5)`). It is the one of the PID namespace
/// that the tests were started in.
struct Told {
    pid: u32,
    parent: u32,
    /// Its number in its own PID namespace.
    inner: u32,
    is_zombie: bool,
}

impl Told {
    fn about(process: &str) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let words = |key| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
            Some(line.split_whitespace())
        };
        Some(Self {
            pid: words("Pid")?.next()?.parse().ok()?,
            parent: words("PPid")?.next()?.parse().ok()?,
            inner: words("NSpid")?.next_back()?.parse().ok()?,
            is_zombie: words("State")?.next()? == "Z",
        })
    }
}

/// The children of one of our own children, known by its number in our PID namespace.
fn children(of: u32) -> Vec<u32> {
    let names = fs::read_dir("/proc").expect("the processes").flatten();
    let all: Vec<Told> =
        names.filter_map(|entry| Told::about(entry.file_name().to_str()?)).collect();
    let us = Told::about("self").expect("our own process").pid;
    let Some(parent) = all.iter().find(|told| told.parent == us && told.inner == of) else {
        return Vec::new();
    };
    all.iter().filter(|told| told.parent == parent.pid).map(|told| told.pid).collect()
}

fn is_gone(pid: u32) -> bool {
    Told::about(&pid.to_string()).is_none_or(|told| told.is_zombie)
}
