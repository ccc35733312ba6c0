//! A network segment in a box: hosts in network namespaces on a bridge, programs on them, a
//! client that asks the virtual address, and a wire tap.
//!
//! Nothing of it outlives the test program: everything lives in its own PID, network and mount
//! namespaces (and user namespace, where an ordinary user runs it).
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each of the programs that include this page uses a part of it"
)]

mod browser;
mod group;
mod harness;
mod holders;
mod keepalived;
pub(crate) mod kernel;
mod lease;
mod meter;
mod owners;
mod process;
mod programs;
mod router;
mod segment;
pub(crate) mod stalls;
mod stamped;
mod tap;
mod tools;
mod traffic;
mod vipd;
mod wait;
mod web;

pub(crate) use browser::Browser;
pub(crate) use group::{A_WHILE, BOUND, Group, SHORTLY, settled};
pub(crate) use harness::{Case, Lab, in_namespaces, run};
pub(crate) use holders::Holders;
pub(crate) use keepalived::Keepalived;
pub(crate) use lease::Leases;
pub(crate) use meter::Meter;
pub(crate) use owners::Owners;
pub(crate) use process::Process;
pub(crate) use programs::program;
pub(crate) use router::{Addresses, RouterSettings};
pub(crate) use segment::{Host, Segment, is_at};
pub(crate) use stalls::{HELD_UP, gaps, longest_stall, running_time, stalled};
pub(crate) use tap::{Frame, Tap};
pub(crate) use tools::{hand_over, release};
pub(crate) use traffic::{Client, Responders};
pub(crate) use vipd::{Agent, Config, LINK_LOCAL_VIP, VIP, VIP6, VRID};
pub(crate) use wait::{is_over, steadily, within};
pub(crate) use web::{Answer, HOST_NAME, Web, ask, connect, ends_within};

/// The list of cases by name: `cases![module::function, ...]`.
macro_rules! cases {
    ($($module:ident :: $case:ident),* $(,)?) => {
        [$($crate::lab::Case {
            name: concat!(stringify!($module), "::", stringify!($case)),
            run: $module::$case,
        }),*]
    };
}
pub(crate) use cases;
