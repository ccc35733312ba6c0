//! The timers of the engine.

use serde::{Deserialize, Serialize};

use crate::vrrp::router;

macro_rules! timers {
    ($($(#[$doc:meta])* $timer:ident = $text:literal,)*) => {
        /// Something that is due at some time.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub enum Timer {
            $($(#[$doc])* #[serde(rename = $text)] $timer,)*
        }

        impl Timer {
            /// The words for it, as it serializes.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$timer => $text,)*
                }
            }
        }
    };
}

timers! {
    /// An active router advertises.
    Advertisement = "advertisement",
    /// A backup takes over after silence.
    ActiveDown = "active-down",
    /// A backup takes over from a router of lower priority.
    PreemptionDelay = "preemption delay",
    /// A backup takes over together with its sync group.
    SyncGroup = "sync group",
    /// A leaving router says its farewell again.
    Farewell = "farewell",
    /// A leaving router waits for its successor no longer.
    Departure = "departure",
    /// The segment is told who has the addresses.
    Announcement = "announcement",
    /// Something that could not be put on the system, or has gone from it, is put there again.
    Install = "install",
    /// A removal that failed is tried again.
    Removal = "removal",
    /// The lifetime of the addresses in the kernel is renewed.
    Renewal = "renewal",
    /// Routes and rules are looked after.
    Routes = "look after the routes",
    /// A suspicion has lasted long enough to be told.
    Conflict = "conflict",
    /// A change of the link has lasted long enough to be believed.
    LinkDelay = "link delay",
    /// A hook is overdue, or is to be started.
    Hook = "hook",
    /// A device with a virtual MAC address is looked at or asked for again.
    Device = "device",
    /// An instance that the configuration has no more listens for a last refusal of the system.
    LastAnswers = "last answers",
    /// The fault that a refusal of the system has led to ends.
    AnotherAttempt = "another attempt",
    /// A socket or a multicast group is tried again.
    Socket = "socket",
    /// A check looks in its turn.
    Check = "check",
    /// A check looks before its turn, because its subject may have changed.
    StirredCheck = "check that was stirred",
    /// A check's answer is overdue.
    CheckAnswer = "answer of a check",
    /// A check that has changed too often is believed again.
    FlappingEnd = "end of a check's flapping",
}

impl From<router::Timer> for Timer {
    fn from(timer: router::Timer) -> Self {
        match timer {
            router::Timer::Advertisement => Self::Advertisement,
            router::Timer::ActiveDown => Self::ActiveDown,
            router::Timer::PreemptionDelay => Self::PreemptionDelay,
            router::Timer::SyncGroup => Self::SyncGroup,
            router::Timer::Farewell => Self::Farewell,
            router::Timer::Departure => Self::Departure,
        }
    }
}
