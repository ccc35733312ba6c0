//! Entering the lab: namespaces of our own before any thread starts, then the cases in parallel.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};
use std::{env, io, thread};

use libtest_mimic::{Arguments, Trial};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{getgid, getuid};

use super::stalls::{self, stalled};
use super::{Owners, programs};

/// A test.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// What it is called.
    pub(crate) name: &'static str,
    /// What it does; it fails by panicking.
    pub(crate) run: fn(&Lab),
}

/// Set for the second start of this program, the one inside the namespaces, to the identity of
/// whoever started it.
const INSIDE: &str = "VIPD_LAB";

/// How many cases run at once where the command line doesn't say. They wait far more than they
/// compute.
const AT_ONCE: usize = 8;

/// Where the cases keep their files: on a file system that only this program sees.
const DIRECTORY: &str = "/run/lab";

/// The network namespace that the test program itself lives in.
pub(super) static HOME: OnceLock<File> = OnceLock::new();

thread_local! {
    /// What the case on this thread panicked with, and where.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The `main` of a test program: starts itself again as the first process of a PID namespace of
/// its own, so that the kernel ends everything with it, and runs `cases` there.
pub(crate) fn run(cases: &[Case]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let listing = arguments.list;
    let go =
        || libtest_mimic::run(&arguments, cases.iter().copied().map(trial).collect()).exit_code();
    if listing { go() } else { in_namespaces(go) }
}

/// Does `work` inside: this program is started a second time for that.
pub(crate) fn in_namespaces(work: impl FnOnce() -> ExitCode) -> ExitCode {
    if env::var_os(INSIDE).is_none() {
        return outside().unwrap_or_else(|why| {
            eprintln!("cannot make namespaces of our own: {why}. Run this as root, or allow user namespaces (sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns=0).");
            ExitCode::FAILURE
        });
    }
    enter().expect("a network and a mount namespace of our own");
    stalls::watch();
    // Shown with the logs of the case, not in the middle of the others.
    panic::set_hook(Box::new(|panic| PANIC.set(Some(panic.to_string()))));
    work()
}

/// Makes the PID (and user) namespace and waits for the program that runs in it.
fn outside() -> io::Result<ExitCode> {
    let (user, group) = (getuid(), getgid());
    if user.is_root() {
        unshare(CloneFlags::CLONE_NEWPID)?;
    } else {
        unshare(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWUSER)?;
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
        fs::write("/proc/self/gid_map", format!("0 {group} 1"))?;
    }
    let status = Command::new("/proc/self/exe")
        .args(env::args_os().skip(1))
        .env(INSIDE, user.to_string())
        .env("PATH", format!("/usr/sbin:/sbin:{}", env::var("PATH").unwrap_or_default()))
        .status()?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, Into::into))
}

/// Makes the network and the mount namespace, with an empty /run for `ip netns` and the daemons.
fn enter() -> io::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?;
    let nothing = None::<&str>;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)?;
    let programs = programs::directory()?;
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))?;
    fs::create_dir(DIRECTORY)?;
    programs::show(&programs)?;
    let home = File::open("/proc/self/ns/net")?;
    HOME.set(home).map_err(|_| io::Error::other("entered twice"))
}

/// Cases that take all processors, or a lock that the kernel has one of for all interfaces of the
/// machine (a thousand addresses), run alone: whatever others measure beside them is their noise.
const ALONE: [&str; 4] = ["floods::", "kernel_lock::", "many::", "starvation::"];

/// A case that takes longer says so: the whole run is as long as these make it.
const LONG: Duration = Duration::from_secs(10);

static TURN: RwLock<()> = RwLock::new(());

fn trial(case: Case) -> Trial {
    Trial::test(case.name, move || {
        let is_alone = ALONE.iter().any(|module| case.name.starts_with(module));
        let _alone = is_alone.then(|| TURN.write().unwrap_or_else(PoisonError::into_inner));
        let _beside = (!is_alone).then(|| TURN.read().unwrap_or_else(PoisonError::into_inner));
        let lab = Lab::watched(case.name);
        let start = Instant::now();
        let outcome = lab.attempt_and_judge(|| (case.run)(&lab));
        if start.elapsed() > LONG {
            lab.note(format!("took {:.0?}, {:.0?} of it stalls", start.elapsed(), stalled(start)));
        }
        outcome.map_err(|why| format!("{why}\n{}", lab.logs()).into())
    })
}

/// One case's corner of the lab.
pub(crate) struct Lab {
    name: &'static str,
    number: u32,
    directory: PathBuf,
    owners: Owners,
}

impl Lab {
    /// A new one, for something that is measured.
    pub(crate) fn new(name: &'static str) -> Self {
        Self::with(name, Owners::off())
    }

    /// One for a case, in which the owners of the virtual addresses are watched.
    pub(crate) fn watched(name: &'static str) -> Self {
        Self::with(name, Owners::watch())
    }

    fn with(name: &'static str, owners: Owners) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = Path::new(DIRECTORY).join(number.to_string());
        fs::create_dir(&directory).expect("a directory for the case");
        Self { name, number, directory, owners }
    }

    /// The watch over the owners of the virtual addresses, for a case to declare what it does on
    /// purpose.
    pub(crate) const fn owners(&self) -> &Owners {
        &self.owners
    }

    /// Does `work`, and says why where it panics, or where an address had two owners or none for a
    /// reason that nobody knows.
    pub(crate) fn attempt_and_judge(&self, work: impl FnOnce()) -> Result<(), String> {
        self.attempt(work)?;
        self.owners.judge().map_err(|why| format!("{}: {why}", self.name))
    }

    /// Does `work`, and says why where it panics.
    pub(crate) fn attempt<T>(&self, work: impl FnOnce() -> T) -> Result<T, String> {
        let outcome = catch_unwind(AssertUnwindSafe(work));
        outcome.map_err(|_| format!("{}: {}", self.name, PANIC.take().unwrap_or_default()))
    }

    /// Does `work` several times at once, each time in a corner of its own, and fails with
    /// everything that failed.
    pub(crate) fn in_parallel(&self, times: usize, work: impl Fn(&Lab, usize) + Sync) {
        let part = |place| {
            let lab = Self::with(self.name, self.owners.another());
            let outcome = lab.attempt_and_judge(|| work(&lab, place));
            outcome.map_err(|why| format!("{why}\n{}", lab.logs()))
        };
        let failed: Vec<String> = thread::scope(|scope| {
            let part = &part;
            let all: Vec<_> = (0..times).map(|place| scope.spawn(move || part(place))).collect();
            all.into_iter().filter_map(|one| one.join().expect("it was caught").err()).collect()
        });
        assert!(failed.is_empty(), "{} of {times} failed:\n{}", failed.len(), failed.join("\n"));
    }

    /// Whether root started the tests, rather than an ordinary user who is root only in here.
    pub(crate) fn started_by_root() -> bool {
        env::var(INSIDE).is_ok_and(|user| user == "0")
    }

    /// Unique among the cases: names of namespaces begin with it.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Where this case keeps its files. What ends in `.log` is shown when the case fails.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the kernel tells of this lab's processes (`proc(5)`): it has a process namespace of
    /// its own, but the /proc of the machine.
    pub(crate) fn proc(&self) -> PathBuf {
        let proc = self.directory.join("proc");
        if fs::create_dir(&proc).is_ok() {
            let nothing = None::<&str>;
            mount(Some("proc"), &proc, Some("proc"), MsFlags::empty(), nothing)
                .expect("a /proc of our own");
        }
        proc
    }

    /// Says what was measured, in the test's output.
    pub(crate) fn note(&self, what: impl std::fmt::Display) {
        eprintln!("      {}: {what}", self.name);
    }

    /// Every log of this case, one after the other.
    pub(crate) fn logs(&self) -> String {
        let mut files: Vec<PathBuf> = fs::read_dir(&self.directory)
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "log"));
        files.sort();
        files.iter().fold(String::new(), |mut all, file| {
            let text = fs::read(file).unwrap_or_default();
            let name = file.file_name().unwrap_or_default().display();
            let _ = write!(all, "--- {name}\n{}", String::from_utf8_lossy(&text));
            all
        })
    }
}
