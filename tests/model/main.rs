//! Model checking: every state that a small world can come to, with the engine that ships in each
//! node.
//!
//! `tests/explore` runs the bounded worlds, `tests/explore deep` the larger ones. A rule that is
//! broken is told as a story of steps.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail loudly, and tells how long it took"
)]

mod check;
mod daemon;
mod engine;
mod hash;
mod moves;
mod router;
mod rules;
mod setup;
mod world;

#[allow(dead_code, reason = "the simulation has more kinds of packets")]
#[path = "../world/packet.rs"]
mod packet;

use vipd::model::Preempt;
use vipd::time::Span;

use check::explore;
use engine::WholeEngine;
use router::RouterAlone;
use setup::{Act, Plan};

/// Everything that may happen to a router alone.
const ELECTION: &[Act] = &[
    Act::Lose,
    Act::Pause,
    Act::Sleep,
    Act::Kill,
    Act::Die,
    Act::Cut,
    Act::CutOneWay,
    Act::HandOver,
    Act::Stop,
    Act::Reload,
];

/// Everything that may happen to an engine without checks.
const ENGINE: &[Act] = &[
    Act::Lose,
    Act::Pause,
    Act::Sleep,
    Act::Freeze,
    Act::Kill,
    Act::Die,
    Act::Cut,
    Act::CutOneWay,
    Act::HandOver,
    Act::Stop,
    Act::Reload,
];

/// Two nodes, of which the first is preferred.
const PAIR: Plan = Plan {
    name: "two",
    priorities: &[192, 128],
    listed: false,
    other_priority: 64,
    preempt: Preempt::Always,
    hold_down: Span::ZERO,
    check: false,
    faults: 2,
    acts: ELECTION,
};

/// Two nodes of the same priority: addresses decide.
const EQUALS: Plan =
    Plan { name: "two equals", priorities: &[128, 128], preempt: Preempt::Never, ..PAIR };

/// Two nodes with a list of both: the second one does not wait after a farewell of the first.
const LISTED: Plan =
    Plan { name: "two in a list", priorities: &[200, 190], listed: true, acts: ENGINE, ..PAIR };

/// Three nodes.
const TRIO: Plan = Plan { name: "three", priorities: &[192, 128, 64], other_priority: 32, ..PAIR };

/// Nodes that stay out for a while, and whose check may fail.
const CHECKED: Plan = Plan {
    name: "two with checks",
    hold_down: Span::from_secs(2),
    check: true,
    acts: &[Act::Flip, Act::Kill, Act::Pause, Act::Lose, Act::Stop, Act::HandOver],
    faults: 1,
    ..PAIR
};

#[test]
fn two_routers() {
    explore::<RouterAlone>(PAIR);
}

#[test]
fn two_equal_routers() {
    explore::<RouterAlone>(EQUALS);
}

#[test]
fn three_routers() {
    explore::<RouterAlone>(TRIO);
}

#[test]
fn two_engines() {
    explore::<WholeEngine>(Plan { acts: ENGINE, ..PAIR });
}

#[test]
fn two_equal_engines() {
    explore::<WholeEngine>(Plan { acts: ENGINE, ..EQUALS });
}

#[test]
fn three_engines() {
    explore::<WholeEngine>(Plan { acts: ENGINE, faults: 1, ..TRIO });
}

#[test]
fn two_listed_engines() {
    explore::<WholeEngine>(LISTED);
}

#[test]
fn three_listed_engines() {
    let priorities = &[200, 190, 180];
    explore::<WholeEngine>(Plan { name: "three in a list", priorities, faults: 1, ..LISTED });
}

#[test]
fn two_engines_with_checks() {
    explore::<WholeEngine>(CHECKED);
}

/// Too long for each run of the tests: `tests/explore deep`.
#[test]
#[ignore = "takes hours"]
fn deep_two_engines() {
    explore::<WholeEngine>(Plan { acts: ENGINE, faults: 3, ..PAIR });
}

#[test]
#[ignore = "takes hours"]
fn deep_two_engines_with_checks() {
    explore::<WholeEngine>(Plan { faults: 2, ..CHECKED });
}

#[test]
#[ignore = "takes hours"]
fn deep_three_engines() {
    explore::<WholeEngine>(Plan { acts: ENGINE, faults: 2, ..TRIO });
}

#[test]
#[ignore = "takes hours"]
fn deep_three_routers() {
    explore::<RouterAlone>(Plan { faults: 3, ..TRIO });
}
