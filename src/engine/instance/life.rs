//! Where an instance is in its life, and every way from one place to another.
//!
//! | transition | from | to |
//! |---|---|---|
//! | [`Life::start`] | waiting, fault | running |
//! | [`Life::fail`] | all but stopped | fault |
//! | [`Life::pend`] | running | pending |
//! | [`Life::claim`] | pending | running |
//! | [`Life::leave`] | running, leaving | leaving |
//! | [`Life::stay`] | leaving | running |
//! | [`Life::fall_back`] | running, pending, leaving | running |
//! | [`Life::stop`] | all | stopped |
//!
//! The election's own states are the router's ([`State`](crate::vrrp::router::State)), which takes
//! part from `start` to `fail` or `stop`. While a life is pending, the router is active. While it is
//! leaving, the router is active until the hook has ended, and leaving from then on.

use super::super::story::{Fault, Why};
use crate::hash::hash_by;
use crate::model::{NodeName, Phase};
use crate::time::{Mono, Span};
use crate::vrrp::router::{Departure, Takeover};

/// How long a removed instance is kept so that late failures (an address that could not be removed)
/// are not lost.
const LISTENS_FOR: Span = Span::from_secs(1);

/// Where an instance is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Life {
    /// The kernel has not told of its interfaces yet.
    Waiting,
    /// Something keeps it from taking part.
    Fault(Box<Fault>),
    /// It takes part.
    Running,
    /// It has won the election, and its addresses wait for a hook.
    Pending(Pending),
    /// It is to stop being active.
    Leaving(Leaving),
    /// It has left the election and does not come back.
    Stopped {
        /// Why.
        end: End,
        /// Until when a removed instance listens for late failures.
        listens_until: Option<Mono>,
    },
}

/// A won election that waits for a hook.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pending {
    /// Why it has won.
    pub(super) how: Takeover,
    /// Another router answers meanwhile, and goes on until it hears this one.
    pub(super) silent: bool,
    /// Its own hook was started for this, where it has one.
    pub(super) asked: bool,
    /// The sync group is not ready yet: its own hook, or another member's, has not ended.
    pub(super) for_group: bool,
}

/// A departure that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Leaving {
    purpose: Purpose,
    waits_for_hook: bool,
}

/// Why an active instance leaves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// Another router is to have the addresses. The request is answered; `None`: the instance goes
    /// with its sync group, or on standby.
    Handover(Option<Request>),
    /// It does not come back.
    End(End),
}

/// A handover that the operator waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// The number of the request.
    pub(super) number: u64,
    /// The node that is to take the addresses.
    pub(super) to: Option<NodeName>,
    /// When it came.
    pub(super) since: Mono,
}

hash_by!(Request { to } without { number, since });

/// Why an instance does not come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum End {
    /// The daemon stops.
    Stops,
    /// The configuration no longer has it.
    Retires,
}

impl Life {
    /// Nothing keeps it from taking part.
    pub(super) fn start(&mut self) {
        *self = Self::Running;
    }

    /// This keeps it from taking part.
    pub(super) fn fail(&mut self, fault: Fault) {
        if !self.has_stopped() {
            *self = Self::Fault(Box::new(fault));
        }
    }

    /// It has won the election, and a hook comes before the addresses.
    pub(super) fn pend(&mut self, pending: Pending) {
        *self = Self::Pending(pending);
    }

    /// Nothing is waited for any more: returns why the election was won. `None`: it is not pending,
    /// or its sync group is not ready.
    pub(super) fn claim(&mut self) -> Option<Takeover> {
        match self {
            Self::Pending(Pending { how, for_group: false, .. }) => {
                let how = *how;
                *self = Self::Running;
                Some(how)
            }
            _ => None,
        }
    }

    /// It is to stop being active, at once or when a hook has ended.
    pub(super) fn leave(&mut self, purpose: Purpose, waits_for_hook: bool) {
        *self = Self::Leaving(Leaving { purpose, waits_for_hook });
    }

    /// The hook before a departure has ended. Returns true if something waited for it.
    pub(super) fn stop_waiting(&mut self) -> bool {
        match self {
            Self::Leaving(leaving) => std::mem::take(&mut leaving.waits_for_hook),
            _ => false,
        }
    }

    /// It has left, or does not leave after all. Returns why it was to.
    pub(super) fn stay(&mut self) -> Option<Purpose> {
        match std::mem::replace(self, Self::Running) {
            Self::Leaving(leaving) => Some(leaving.purpose),
            other => {
                *self = other;
                None
            }
        }
    }

    /// Another router has the better right, and this one is backup: what was pending is lost, and
    /// nothing is left to leave. Returns why it was to leave.
    pub(super) fn fall_back(&mut self) -> Option<Purpose> {
        if let Self::Pending(_) = self {
            *self = Self::Running;
        }
        self.stay()
    }

    /// It has left the election and does not come back.
    pub(super) fn stop(&mut self, end: End, now: Mono) {
        let listens_until = (end == End::Retires).then(|| now + LISTENS_FOR);
        *self = Self::Stopped { end, listens_until };
    }

    /// Time has passed.
    pub(super) fn fire(&mut self, now: Mono) {
        if let Self::Stopped { listens_until, .. } = self {
            listens_until.take_if(|at| *at <= now);
        }
    }

    /// When [`Life::fire`] is due.
    pub(super) fn listens_until(&self) -> Option<Mono> {
        match self {
            Self::Stopped { listens_until, .. } => *listens_until,
            _ => None,
        }
    }

    /// The handover that the operator waits for and is now told about.
    pub(super) fn take_request(&mut self) -> Option<Request> {
        match self {
            Self::Leaving(Leaving { purpose: Purpose::Handover(request), .. }) => request.take(),
            _ => None,
        }
    }

    /// The won election that waits for a hook.
    pub(super) fn pending(&self) -> Option<&Pending> {
        match self {
            Self::Pending(pending) => Some(pending),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub(super) fn pending_mut(&mut self) -> Option<&mut Pending> {
        match self {
            Self::Pending(pending) => Some(pending),
            _ => None,
        }
    }

    /// The program that it waits for.
    pub(super) fn waits_for(&self) -> Option<Phase> {
        match self {
            Self::Pending(_) => Some(Phase::BeforeClaim),
            Self::Leaving(Leaving { waits_for_hook: true, .. }) => Some(Phase::BeforeRelease),
            _ => None,
        }
    }

    /// Why it leaves.
    pub(super) fn purpose(&self) -> Option<&Purpose> {
        match self {
            Self::Leaving(leaving) => Some(&leaving.purpose),
            _ => None,
        }
    }

    /// Why it does not come back; `None`: it goes on.
    pub(super) fn end(&self) -> Option<End> {
        match self {
            Self::Leaving(Leaving { purpose: Purpose::End(end), .. })
            | Self::Stopped { end, .. } => Some(*end),
            _ => None,
        }
    }

    /// True if the router runs.
    pub(super) fn takes_part(&self) -> bool {
        matches!(self, Self::Running | Self::Pending(_) | Self::Leaving(_))
    }

    /// True if it has left for good.
    pub(super) fn has_stopped(&self) -> bool {
        matches!(self, Self::Stopped { .. })
    }
}

impl Purpose {
    /// The same, to the router.
    pub(super) fn departure(&self) -> Departure {
        match self {
            Self::Handover(_) => Departure::Handover,
            Self::End(_) => Departure::Stop,
        }
    }

    /// The same, to people.
    pub(super) fn why(&self) -> Why {
        match self {
            Self::Handover(_) => Why::HandingOver,
            Self::End(end) => end.why(),
        }
    }
}

impl End {
    /// The same, to people.
    pub(super) fn why(self) -> Why {
        match self {
            Self::Stops => Why::Stopping,
            Self::Retires => Why::Retired,
        }
    }
}
