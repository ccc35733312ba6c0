//! The kernel's times as plain numbers.

use nix::sys::time::TimeSpec;

/// A kernel time in nanoseconds; zero where it is before its epoch.
pub(crate) fn nanoseconds(time: TimeSpec) -> u64 {
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    part(time.tv_sec()) * 1_000_000_000 + part(time.tv_nsec())
}
