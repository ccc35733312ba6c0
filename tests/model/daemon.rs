//! A daemon as the world around it sees it: what it is told, and what it does to the system.

use std::fmt::Debug;
use std::hash::Hash;

use vipd::time::{Mono, Span};

use crate::setup::Setup;

/// What runs on a node.
pub(crate) trait Daemon: Clone + Debug + Eq + Hash + Send + Sync + 'static {
    type Frame: Frame;

    /// The daemon of a node starts; what it does first.
    fn start(setup: &Setup, node: usize, now: Mono) -> (Self, Vec<Deed<Self::Frame>>);

    fn tell(&mut self, setup: &Setup, now: Mono, news: News<Self::Frame>)
    -> Vec<Deed<Self::Frame>>;

    /// When [`News::Due`] is due.
    fn deadline(&self) -> Option<Mono>;

    /// True if it is active by its own account, whatever its kernel has.
    fn is_active(&self, now: Mono) -> bool;

    /// True if it has said that it stops being active, and goes on answering.
    fn is_leaving(&self, now: Mono) -> bool;
}

/// What goes over the wires.
pub(crate) trait Frame: Clone + Debug + Eq + Hash + Send + Sync + 'static {
    /// True if it says that its sender stops being active.
    fn is_farewell(&self) -> bool;

    /// The same with an error in it, if it is more than a word between two models.
    fn corrupted(&self) -> Option<Self>;

    /// For people.
    fn words(&self) -> String;
}

/// What a daemon is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum News<F> {
    /// A frame, and when it arrived.
    Heard(F, Mono),
    /// Its deadline has come.
    Due,
    HandOver,
    Stop,
    /// Another file, or its own again.
    Reload {
        reloaded: bool,
    },
    /// The check has looked.
    Probed {
        number: u64,
        well: bool,
    },
    /// The machine has slept for so long, and its kernel says so.
    Slept(Span),
    /// The kernel has removed the address at the end of its lifetime.
    Expired,
    /// The address was not added, because that would have been too late.
    TooLate {
        lease: Option<Span>,
        not_after: Mono,
    },
}

/// What a daemon does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Deed<F> {
    Send(F),
    /// Writes down what it holds; `None`: nothing.
    WriteDown(Option<Note<F>>),
    Add {
        lease: Option<Span>,
        not_after: Mono,
    },
    Remove,
    /// Looks at what its check is about.
    Look {
        number: u64,
    },
    End,
    /// Tells people.
    Tell(String),
}

impl<F> Deed<F> {
    /// True if it matters whether the daemon dies before or after this.
    pub(crate) fn changes_the_world(&self) -> bool {
        !matches!(self, Self::Look { .. } | Self::Tell(_))
    }
}

/// What `vipd release` finds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Note<F> {
    /// True if the address is on the list.
    pub(crate) address: bool,
    pub(crate) farewells: Vec<F>,
}
