//! An instance as a member of its sync group: what it is told by the others.

use super::super::event::Action;
use super::super::story::{Fault, StateName, Why};
use super::fitness::Obstacles;
use super::{Context, Instance};
use crate::model::{InstanceName, Priority};
use crate::time::Mono;
use crate::vrrp::router::State;

impl Instance {
    /// Whether it takes part, and is neither active nor leaving.
    pub(in super::super) fn is_backup(&self) -> bool {
        matches!(self.router.state(), State::Backup(_))
    }

    /// Whether it is active and not leaving.
    pub(in super::super) fn is_active(&self) -> bool {
        matches!(self.router.state(), State::Active(_))
    }

    /// Whether it holds its addresses.
    pub(in super::super) fn holds(&self) -> bool {
        self.router.holds()
    }

    /// What it is, to people.
    pub(in super::super) fn state(&self) -> StateName {
        self.state_name()
    }

    /// Why it is that.
    pub(in super::super) fn why(&self) -> &Why {
        &self.past.why
    }

    /// The priority that it advertises or would advertise.
    pub(in super::super) fn priority(&self) -> Priority {
        self.router.priority()
    }

    /// What keeps it from taking part.
    pub(in super::super) fn obstacles(&self) -> &Obstacles {
        &self.obstacles
    }

    /// Another member cannot take part, or can again.
    pub(in super::super) fn set_group_fault(
        &mut self,
        context: &Context<'_>,
        fault: Option<Fault>,
        out: &mut Vec<Action>,
    ) {
        if self.obstacles.group.as_deref() != fault.as_ref() {
            self.obstacles.group = fault.map(Box::new);
            self.reconsider(context, out);
        }
    }

    /// When it would claim its addresses alone; `None`: not as it is now.
    pub(in super::super) fn claim_time(&self) -> Option<Mono> {
        self.is_backup().then(|| self.router.claim_time()).flatten()
    }

    /// It claims its addresses no sooner than this.
    pub(in super::super) fn claim_not_before(&mut self, at: Mono) {
        self.router.claim_not_before(at);
    }

    /// Whether the others being active is reason enough for this one.
    pub(in super::super) fn may_join(&self, context: &Context<'_>) -> bool {
        self.router.may_join(context.now.mono)
    }

    /// The other members are active: it is, too.
    pub(in super::super) fn join(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        let outcome = self.router.join(context.now.mono);
        self.follow(context, outcome, out);
    }

    /// Another member has let go of its addresses, or must not take them.
    pub(in super::super) fn yield_with(
        &mut self,
        context: &Context<'_>,
        first: &InstanceName,
        out: &mut Vec<Action>,
    ) {
        self.router.listen_anew(context.now.mono);
        self.let_go_and_say_so(context, out);
        self.fall_back(context, Why::YieldingWith(first.clone()), out);
    }
}
