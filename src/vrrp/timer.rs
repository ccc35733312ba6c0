//! The timers of one virtual router.

/// A timer of the state machine (RFC 9568 section 6.3), by what happens when it fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// An active router advertises (`Adver_Timer`).
    Advertisement,
    /// A backup takes over after silence (`Active_Down_Timer`).
    ActiveDown,
    /// A backup takes over from a router of lower priority (`preempt: after`).
    PreemptionDelay,
    /// A backup takes over together with its sync group.
    SyncGroup,
    /// A leaving router says its farewell again.
    Farewell,
    /// A leaving router waits for its successor no longer.
    Departure,
}
