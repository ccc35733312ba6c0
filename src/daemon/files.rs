//! The limit on open files (`RLIMIT_NOFILE`), raised to what the system allows. The soft limit is
//! 1,024 by default, for the sake of programs that use `select(2)`; a socket for each interface,
//! family, group and client are more with some hundred instances.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limits with which the daemon was started.
static AT_START: OnceLock<Rlimit> = OnceLock::new();

/// Raises the soft limit to the hard one.
pub(crate) fn allow_all() {
    let limits = getrlimit(Resource::Nofile);
    if AT_START.set(limits).is_ok() {
        // Always allowed up to the hard limit. Without it there are fewer, which opening says.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits });
    }
}

/// The limits for the programs that the daemon starts; `None` where it has not changed them.
pub(crate) fn at_start() -> Option<Rlimit> {
    AT_START.get().copied()
}
