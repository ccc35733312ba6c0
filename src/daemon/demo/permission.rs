//! The right to make network namespaces: root's, or that of a user namespace.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use caps::{CapSet, Capability};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_dumpable;
use nix::unistd::{getegid, geteuid};

/// The kernel did not let us make namespaces. Says what failed and what would help.
#[derive(Debug)]
pub(super) struct Refused {
    step: &'static str,
    error: io::Error,
    switches: Switches,
    program: PathBuf,
}

/// Moves this process into a network namespace of its own; without root's rights, into a user
/// namespace first, in which they are granted. Must be called before a second thread exists:
/// the kernel refuses the user namespace otherwise (`unshare(2)`).
pub(super) fn acquire() -> Result<(), Refused> {
    let made = if has_rights() { make(CloneFlags::empty()) } else { become_root() };
    made.map_err(|(step, error)| Refused {
        step,
        error,
        switches: Switches::read(),
        program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("vipd")),
    })
}

type Step = Result<(), (&'static str, io::Error)>;

fn has_rights() -> bool {
    [Capability::CAP_SYS_ADMIN, Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW]
        .into_iter()
        .all(|right| caps::has_cap(None, CapSet::Effective, right).unwrap_or(false))
}

/// The way of `unshare --map-root-user --net` (`user_namespaces(7)`).
fn become_root() -> Step {
    let (user, group) = (geteuid(), getegid());
    // A program with file capabilities does not own its files in /proc otherwise (`proc(5)`).
    set_dumpable(true).map_err(|errno| ("PR_SET_DUMPABLE", errno.into()))?;
    make(CloneFlags::CLONE_NEWUSER)?;
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("0 {user} 1"))?;
    write("/proc/self/gid_map", &format!("0 {group} 1"))
}

fn write(path: &'static str, text: &str) -> Step {
    fs::write(path, text).map_err(|error| (path, error))
}

fn make(with: CloneFlags) -> Step {
    unshare(with | CloneFlags::CLONE_NEWNET).map_err(|errno| {
        let step = if with.is_empty() { "a network namespace" } else { "a user namespace" };
        (step, errno.into())
    })
}

/// What system administrators set to forbid namespaces to ordinary users. `None`: this kernel
/// has no such switch.
#[derive(Debug, Default)]
struct Switches {
    /// `kernel.unprivileged_userns_clone` of Debian's kernels: 0 forbids.
    clone: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns` of Ubuntu's kernels: 1 forbids.
    apparmor: Option<u64>,
    /// `user.max_user_namespaces`: 0 forbids.
    most: Option<u64>,
}

impl Switches {
    fn read() -> Self {
        let [clone, apparmor, most] = [
            "/proc/sys/kernel/unprivileged_userns_clone",
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "/proc/sys/user/max_user_namespaces",
        ]
        .map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
        Self { clone, apparmor, most }
    }

    /// The commands that open what is closed.
    fn remedies(&self) -> Vec<&'static str> {
        let mut remedies = Vec::new();
        if self.clone == Some(0) {
            remedies.push("sudo sysctl kernel.unprivileged_userns_clone=1");
        }
        if self.apparmor.is_some_and(|value| value != 0) {
            remedies.push("sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0");
        }
        if self.most == Some(0) {
            remedies.push("sudo sysctl user.max_user_namespaces=15000");
        }
        remedies
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, error, switches, program } = self;
        writeln!(f, "The demo lives in network namespaces of its own, and the kernel did not")?;
        writeln!(f, "allow them: {step}: {error}.")?;
        writeln!(f, "\nRun it as root:\n    sudo {} demo", program.display())?;
        let remedies = switches.remedies();
        if remedies.is_empty() {
            writeln!(f, "In a container, start the container with --privileged, or run the demo")?;
            return writeln!(f, "outside of it.");
        }
        writeln!(f, "or allow namespaces to ordinary users until the next boot:")?;
        remedies.iter().try_for_each(|remedy| writeln!(f, "    {remedy}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(switches: Switches) -> String {
        let error = io::Error::from_raw_os_error(nix::libc::EPERM);
        let program = PathBuf::from("/usr/bin/vipd");
        Refused { step: "a user namespace", error, switches, program }.to_string()
    }

    /// Rule: who is refused is told the command for the very switch that is closed here.
    #[test]
    fn names_the_switch_that_is_closed() {
        let debian = refusal(Switches { clone: Some(0), ..Switches::default() });
        assert!(debian.contains("sudo sysctl kernel.unprivileged_userns_clone=1"), "{debian}");
        assert!(!debian.contains("apparmor"), "{debian}");
        let ubuntu = refusal(Switches { apparmor: Some(1), ..Switches::default() });
        assert!(ubuntu.contains("apparmor_restrict_unprivileged_userns=0"), "{ubuntu}");
        let none = refusal(Switches { most: Some(0), ..Switches::default() });
        assert!(none.contains("user.max_user_namespaces"), "{none}");
    }

    /// Rule: sudo's command has the whole path (`cargo run` puts nothing into root's PATH), and
    /// where no switch is closed, a container is the likely reason.
    #[test]
    fn says_how_to_run_it_as_root() {
        let open = refusal(Switches { clone: Some(1), apparmor: Some(0), most: Some(15_000) });
        assert!(open.contains("sudo /usr/bin/vipd demo"), "{open}");
        assert!(open.contains("--privileged"), "{open}");
        assert!(!open.contains("sysctl"), "{open}");
    }
}
