//! Staying on time on a machine that is short of processor time or memory: the threads on which
//! the virtual addresses depend are scheduled in real time, and no memory is ever swapped out.
//!
//! A real-time thread that never sleeps takes nearly all of its processor. A flood of packets can
//! make ours such a one, and that must not end the agent: so there is no limit of ours on that
//! time (`RLIMIT_RTTIME` kills). The kernel leaves the other threads 5 % of each processor
//! (`sched_rt_runtime_us` in `sched(7)`, or the fair server since Linux 6.12).

use std::fmt;
use std::fs;

use caps::{CapSet, Capability};
use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

use super::socket::schedule_round_robin;

/// A thread that other programs must not hold up.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Thread {
    /// Advertises and elects.
    Protocol,
    /// Renews the leases: if only the protocol were on time, this node would go on advertising
    /// addresses that the kernel has taken off.
    Netlink,
}

impl Thread {
    /// Above every ordinary thread; below the kernel's own, which start at 50 (interrupts).
    fn priority(self) -> i32 {
        match self {
            Self::Protocol => 10,
            Self::Netlink => 9,
        }
    }
}

/// Something that helps to be on time and that the system refused. The agent goes on without.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal {
    RealTime(Errno),
    LockedMemory(Errno),
}

impl Refusal {
    /// In a few words, for the status.
    pub(crate) fn note(self) -> String {
        match self {
            Self::RealTime(error) => format!("not real-time: {}", error.desc()),
            Self::LockedMemory(error) => format!("memory not locked: {}", error.desc()),
        }
    }
}

/// For the log: what it means and what to do.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RealTime(error) => write!(
                f,
                "not scheduled in real time ({}): on an overloaded machine advertisements can be \
                 late, and another node takes over; set LimitRTPRIO={} in the systemd unit, or \
                 grant CAP_SYS_NICE",
                error.desc(),
                Thread::Protocol.priority(),
            ),
            Self::LockedMemory(error) => write!(
                f,
                "the memory is not locked ({}): where the machine swaps, advertisements can be \
                 late, and another node takes over; set LimitMEMLOCK=infinity in the systemd \
                 unit, or grant CAP_IPC_LOCK",
                error.desc(),
            ),
        }
    }
}

/// Has the calling thread scheduled in real time, but neither the threads nor the programs that
/// it starts.
///
/// # Errors
/// That the kernel refuses: it takes `CAP_SYS_NICE` or `RLIMIT_RTPRIO`.
pub(crate) fn schedule(thread: Thread) -> Result<(), Refusal> {
    schedule_round_robin(thread.priority()).map_err(Refusal::RealTime)
}

/// Once all threads are scheduled that should be: what is started from now on, checks' scripts among
/// it, cannot be scheduled in real time on the strength of the unit's `LimitRTPRIO=`. A thread that is
/// already keeps its priority (`sched(7)`).
pub(crate) fn no_more() {
    // Less is always allowed.
    let _ = setrlimit(Resource::RLIMIT_RTPRIO, 0, 0);
}

/// Keeps this process in memory: the whole program at once, also what it has not needed so far,
/// such as a takeover; what it allocates later as it is used. To be called before threads are
/// started, whose stacks are large and hardly used.
///
/// # Errors
/// That it is not allowed without a limit. With one (`RLIMIT_MEMLOCK`), an allocation that goes
/// beyond it would end the agent, which is worse than swapping.
pub(crate) fn lock_memory() -> Result<(), Refusal> {
    if !may_lock_without_limit() {
        return Err(Refusal::LockedMemory(Errno::EPERM));
    }
    // nix has no name for this flag (mlockall(2)).
    let once_used = MlockAllFlags::from_bits_retain(libc::MCL_ONFAULT);
    mlockall(MlockAllFlags::MCL_CURRENT)
        .and_then(|()| mlockall(MlockAllFlags::MCL_FUTURE | once_used))
        .map_err(Refusal::LockedMemory)
}

fn may_lock_without_limit() -> bool {
    let unlimited =
        getrlimit(Resource::RLIMIT_MEMLOCK).is_ok_and(|(soft, _)| soft == RLIM_INFINITY);
    unlimited
        || caps::has_cap(None, CapSet::Effective, Capability::CAP_IPC_LOCK).unwrap_or(false)
            && in_the_initial_user_namespace()
}

/// Only there does `CAP_IPC_LOCK` lift the limit (`user_namespaces(7)`), and only there is every
/// user mapped to itself.
fn in_the_initial_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}
