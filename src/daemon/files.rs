//! Raises the limit on open files (`RLIMIT_NOFILE`) to what the system allows. The soft limit is
//! 1,024 by default, for the sake of programs that use `select(2)`. A few hundred instances need
//! more: a socket for each interface, family, group and client.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limits with which the daemon was started.
static AT_START: OnceLock<Rlimit> = OnceLock::new();

/// Raises the soft limit to the hard one.
pub(crate) fn allow_all() {
    let limits = getrlimit(Resource::Nofile);
    if AT_START.set(limits).is_ok() {
        // This is always allowed up to the hard limit. If it fails, fewer files can be open, and
        // the failing open says so.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits });
    }
}

/// The limits for the programs that the daemon starts; `None` if it has not changed its own.
pub(crate) fn at_start() -> Option<Rlimit> {
    AT_START.get().copied()
}
