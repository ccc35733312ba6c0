//! The costs of a process group, by the kernel's account.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Memory in MiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// The resident memory now.
    pub(crate) resident: f64,
    /// The most that there was.
    pub(crate) peak: f64,
}

/// All threads of all processes in a group.
pub(crate) struct Account {
    proc: PathBuf,
    group: u32,
    /// The time of each thread when the account was opened.
    before: BTreeMap<u32, u64>,
    /// The time of each thread now. A thread that has ended keeps its last.
    spent: BTreeMap<u32, u64>,
    opened: Instant,
}

impl Account {
    /// Starts to count. `proc` is the lab's.
    pub(crate) fn open(proc: PathBuf, group: u32) -> Self {
        let (before, spent) = (BTreeMap::new(), BTreeMap::new());
        let mut account = Self { proc, group, before, spent, opened: Instant::now() };
        account.look();
        account.before = account.spent.clone();
        account
    }

    /// Reads the scheduler's account. A thread that ends between two looks is counted up to the
    /// first of them.
    pub(crate) fn look(&mut self) {
        for process in processes(&self.proc, self.group) {
            for task in fs::read_dir(process.join("task")).into_iter().flatten().flatten() {
                // A thread that has just ended has no account any more.
                let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else { continue };
                let nanoseconds = text.split_whitespace().next();
                let nanoseconds: Option<u64> = nanoseconds.and_then(|text| text.parse().ok());
                let thread: Option<u32> = task.file_name().to_string_lossy().parse().ok();
                self.spent.extend(thread.zip(nanoseconds));
            }
        }
    }

    /// The percentage of one core since it was opened.
    pub(crate) fn percent(&self) -> f64 {
        let each = self.spent.iter();
        let each = each.map(|(thread, spent)| {
            spent.saturating_sub(self.before.get(thread).copied().unwrap_or_default())
        });
        let spent = Duration::from_nanos(each.sum());
        spent.as_secs_f64() / self.opened.elapsed().as_secs_f64() * 100.0
    }

    /// The memory of the largest process of the group: keepalived's other one only waits for it.
    pub(crate) fn memory(&self) -> Memory {
        let all = processes(&self.proc, self.group);
        let all = all.iter().filter_map(|process| memory(process));
        all.max_by(|a, b| a.resident.total_cmp(&b.resident)).unwrap_or_default()
    }
}

/// The directories of the processes of a group.
fn processes(proc: &Path, group: u32) -> Vec<PathBuf> {
    let all = fs::read_dir(proc).into_iter().flatten().flatten().map(|entry| entry.path());
    all.filter(|process| group_of(process) == Some(group)).collect()
}

fn group_of(process: &Path) -> Option<u32> {
    let text = fs::read_to_string(process.join("stat")).ok()?;
    // The name, in brackets, may have blanks. After it: the state, the parent, the group.
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_whitespace().nth(2)?.parse().ok()
}

fn memory(process: &Path) -> Option<Memory> {
    let text = fs::read_to_string(process.join("status")).ok()?;
    let resident = mebibytes(&text, "VmRSS:")?;
    Some(Memory { resident, peak: mebibytes(&text, "VmHWM:")? })
}

fn mebibytes(status: &str, key: &str) -> Option<f64> {
    let value = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kibibytes: f64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes / 1024.0)
}
