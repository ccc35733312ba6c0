//! The resources that a daemon uses, as the kernel tells of them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::machine::Machine;

/// The number of things that are measured.
pub(crate) const COUNT: usize = 16;

/// Something that is measured of a daemon while all is at rest.
pub(crate) struct Measure {
    /// Its name in the table and the file.
    pub(crate) name: &'static str,
    /// By how much it may grow from the second to the last quarter of a daemon's life.
    pub(crate) tolerance: f64,
    /// The same as a part of what it was.
    pub(crate) share: f64,
}

const fn measure(name: &'static str, tolerance: f64, share: f64) -> Measure {
    Measure { name, tolerance, share }
}

/// An arena, in kB: the allocator of the C library reserves one for another thread that allocates at
/// the same time, and uses a few pages of it. There are at most eight for each processor.
const ARENA: f64 = 65_536.0;

/// Everything that is measured, in the order of the values of a [`sample`].
///
/// Memory may differ by some pages, because an allocator keeps all that was once needed. Whatever a
/// daemon reserves counts as locked (`MCL_ONFAULT`), used or not. Nothing that is counted may grow,
/// but for threads and descriptors, of which one may just be in use. The number of log lines depends
/// on the faults that were drawn.
pub(crate) const MEASURES: [Measure; COUNT] = [
    measure("RSS kB", 512.0, 0.0),
    measure("locked kB", 2.1 * ARENA, 0.0),
    measure("anonymous kB", 384.0, 0.0),
    measure("threads", 1.0, 0.0),
    measure("descriptors", 1.0, 0.0),
    measure("sockets", 1.0, 0.0),
    measure("packet sockets", 0.0, 0.0),
    measure("raw sockets", 0.0, 0.0),
    measure("IGMP groups", 0.0, 0.0),
    measure("MLD groups", 0.0, 0.0),
    measure("children", 0.0, 0.0),
    measure("runtime files", 0.0, 0.0),
    measure("runtime bytes", 64.0, 0.05),
    measure("state bytes", 64.0, 0.05),
    measure("lines/h", 300.0, 0.5),
    measure("lines at rest", 1.0, 0.0),
];

/// The log lines before a measurement.
pub(crate) struct Logged {
    /// Lines an hour, since some measurements before.
    pub(crate) rate: f64,
    /// Lines while nothing happened.
    pub(crate) at_rest: f64,
}

/// Measures a daemon that runs; `proc` is where the kernel tells of processes.
pub(crate) fn sample(machine: &Machine, proc: &Path, logged: &Logged) -> [f64; COUNT] {
    let agent = machine.agent.as_ref().expect("a daemon that runs");
    let own = proc.join(agent.id().to_string());
    let status = fs::read_to_string(own.join("status")).expect("the status of a process");
    let of = |name: &str| number_after(&status, name);
    let descriptors = descriptors(&own);
    let sockets = descriptors.iter().filter(|file| file.to_string_lossy().starts_with("socket:"));
    let net = |name: &str| fs::read_to_string(own.join("net").join(name)).unwrap_or_default();
    let lines = |text: &str| text.lines().count().saturating_sub(1) as f64;
    let runtime = sizes(&machine.host.runtime_directory());
    let kept = sizes(&machine.host.state_directory());
    [
        of("VmRSS:"),
        of("VmLck:"),
        of("RssAnon:"),
        of("Threads:"),
        descriptors.len() as f64,
        sockets.count() as f64,
        lines(&net("packet")),
        lines(&net("raw")) + lines(&net("raw6")),
        // A line for each interface, and an indented one for each of its groups.
        net("igmp").lines().filter(|line| line.starts_with('\t')).count() as f64,
        net("igmp6").lines().count() as f64,
        children(proc, agent.id()) as f64,
        runtime.len() as f64,
        runtime.iter().sum::<u64>() as f64,
        kept.iter().sum::<u64>() as f64,
        logged.rate,
        logged.at_rest,
    ]
}

/// The files that a process has open.
fn descriptors(own: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(own.join("fd")).expect("the descriptors of a process").flatten();
    entries.filter_map(|entry| fs::read_link(entry.path()).ok()).collect()
}

fn number_after(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let word = line.and_then(|rest| rest.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// The sizes of the files in a directory.
fn sizes(directory: &Path) -> Vec<u64> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|found| found.len()).collect()
}

/// The number of processes that this one has started and that are still there.
fn children(proc: &Path, parent: u32) -> usize {
    let entries = fs::read_dir(proc).expect("the processes").flatten();
    let all = entries.filter_map(|entry| fs::read_to_string(entry.path().join("status")).ok());
    let line = format!("PPid:\t{parent}");
    all.filter(|status| status.lines().any(|other| other == line)).count()
}
