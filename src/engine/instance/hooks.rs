//! The hooks of an instance: those that tell of its changes, and those that it waits for before it
//! takes its addresses or gives them away.

use super::super::event::{
    Action, GroupMember, HookEvent, HookName, HookOwner, InstanceEvent, ProbeResult,
};
use super::super::hook::Ended;
use super::super::story::{Peer, StateName, What};
use super::{Context, Instance};
use crate::model::{InstanceName, Phase};
use crate::time::Mono;
use crate::vrrp::router::{Departure, State, Takeover};

/// It has won the election, and its addresses wait for a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    how: Takeover,
    /// Another router answers meanwhile, and goes on until it hears this one.
    silent: bool,
    /// Its own hook was started for this, where it has one.
    asked: bool,
    /// The sync group is not ready yet: its own hook, or another member's, has not ended.
    for_group: bool,
}

impl Instance {
    /// Whether the addresses wait for a hook.
    pub(super) fn waits_to_claim(&self, context: &Context<'_>) -> bool {
        self.moves_addresses() && (self.has_gate() || context.gates.hold_back(&self.config.name))
    }

    fn has_gate(&self) -> bool {
        self.config.notify.has(Phase::BeforeClaim)
    }

    /// Starts what runs before the addresses are taken. Where nobody answers any more, or not for
    /// long, the election is won at once, so that no other backup starts the same; a live router
    /// that is preempted goes on until it hears this one.
    pub(super) fn begin_to_claim(
        &mut self,
        context: &Context<'_>,
        how: Takeover,
        out: &mut Vec<Action>,
    ) {
        let silent = matches!(how, Takeover::Preempt(_));
        let for_group = context.gates.hold_back(&self.config.name);
        self.hooks.supersede();
        self.claim = Some(Claim { how, silent, asked: false, for_group });
        self.advertise(context, self.router.priority().get(), out);
        self.ask_own_hook(context, out);
    }

    fn ask_own_hook(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        let has_gate = self.has_gate();
        let Some(claim) = self.claim.as_mut().filter(|claim| has_gate && !claim.asked) else {
            return;
        };
        claim.asked = true;
        self.report(What::Claiming(Phase::BeforeClaim), out);
        self.run_hook(context, Phase::BeforeClaim, out);
    }

    /// After a reload: what its addresses or its departure wait for is what the new configuration
    /// says. A hook that runs already is waited for until it has ended, whoever has it now.
    pub(in super::super) fn wait_anew(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        self.hooks.forget_waiting(&self.config.notify);
        let is_in_a_group = !self.is_ending() && context.gates.has(&self.config.name);
        if let Some(claim) = &mut self.claim {
            claim.for_group |= is_in_a_group;
        }
        self.ask_own_hook(context, out);
        self.finish_to_claim(context, out);
        if !self.hooks.is_awaited(Phase::BeforeRelease) {
            self.depart_now(context, out);
        }
    }

    /// Whether its addresses wait for its sync group.
    pub(in super::super) fn waits_for_group(&self) -> bool {
        self.claim.as_ref().is_some_and(|claim| claim.for_group)
    }

    /// Whether its addresses wait for a hook of its own.
    pub(in super::super) fn waits_for_own_hook(&self) -> bool {
        self.claim.is_some() && self.hooks.is_awaited(Phase::BeforeClaim)
    }

    /// Its sync group is ready.
    pub(in super::super) fn claim_with_group(
        &mut self,
        context: &Context<'_>,
        out: &mut Vec<Action>,
    ) {
        if let Some(claim) = &mut self.claim {
            claim.for_group = false;
        }
        self.finish_to_claim(context, out);
    }

    /// Whether it must not be heard yet.
    pub(super) fn is_silent(&self) -> bool {
        self.claim.as_ref().is_some_and(|claim| claim.silent)
    }

    /// Whether its addresses wait for a hook.
    pub(in super::super) fn is_claiming(&self) -> bool {
        self.claim.is_some()
    }

    /// The router that was to be preempted leaves by itself: the others must hear of this one.
    pub(super) fn break_silence(&mut self) {
        if let Some(claim) = &mut self.claim {
            claim.silent = false;
        }
    }

    /// A planned departure waits for a hook, where there is one. Returns whether it does.
    pub(super) fn departs_later(
        &mut self,
        context: &Context<'_>,
        why: Departure,
        out: &mut Vec<Action>,
    ) -> bool {
        if self.is_claiming() {
            return false;
        }
        // One that runs already has been told so.
        if self.hooks.is_awaited(Phase::BeforeRelease) {
            self.departing = Some(why);
            return true;
        }
        if !self.config.notify.has(Phase::BeforeRelease) {
            return false;
        }
        self.departing = Some(why);
        self.report(What::Departing(Phase::BeforeRelease), out);
        self.run_hook(context, Phase::BeforeRelease, out);
        true
    }

    /// What it waits for.
    pub(super) fn waits_for(&self) -> Option<Phase> {
        let before_claim = self.claim.as_ref().map(|_| Phase::BeforeClaim);
        before_claim.or(self.departing.map(|_| Phase::BeforeRelease))
    }

    /// The state has changed: everybody who wants to know is told, in order.
    pub(super) fn tell_hooks(
        &mut self,
        context: &Context<'_>,
        from: StateName,
        out: &mut Vec<Action>,
    ) {
        let to = self.state_name();
        if from == to || self.is_claiming() {
            return;
        }
        // It is told when it has the addresses.
        if to == StateName::Active && self.waits_to_claim(context) {
            return;
        }
        if self.is_ending() {
            self.hooks.hurry();
        }
        let event = self.hook_event(context, Phase::Script);
        self.hooks.changed(context.now, &self.config.notify, from, &event, out);
    }

    fn run_hook(&mut self, context: &Context<'_>, phase: Phase, out: &mut Vec<Action>) {
        if self.config.notify.has(phase) {
            let event = self.hook_event(context, phase);
            self.hooks.run(context.now, &self.config.notify, event, out);
        }
    }

    /// Another router that was active beside this one has yielded.
    pub(super) fn conflict_won(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        self.run_hook(context, Phase::OnConflictWon, out);
    }

    fn hook_event(&self, context: &Context<'_>, phase: Phase) -> HookEvent {
        let active = self.active_router().map(|address| Peer::new(context.config, address));
        HookEvent::Instance(InstanceEvent {
            phase,
            instance: self.config.name.clone(),
            node: context.config.this_node.clone(),
            interface: self.config.interface.clone(),
            virtual_router_id: self.config.virtual_router_id,
            state: self.state_name(),
            priority: self.router.priority().get(),
            addresses: self.config.moving_addresses().map(ToString::to_string).collect(),
            why: self.why.to_string(),
            active,
            time_ms: context.now.wall.0 / 1_000_000,
        })
    }

    /// What the hooks of its sync group are told of it.
    pub(in super::super) fn as_group_member(&self, context: &Context<'_>) -> GroupMember {
        GroupMember {
            instance: self.config.name.clone(),
            interface: self.config.interface.clone(),
            virtual_router_id: self.config.virtual_router_id,
            state: self.state_name(),
            addresses: self.config.moving_addresses().map(ToString::to_string).collect(),
            active: self.active_router().map(|address| Peer::new(context.config, address)),
        }
    }

    /// The name that its hooks are known by.
    pub(in super::super) fn hook_owner(&self) -> &InstanceName {
        match self.hooks.owner() {
            HookOwner::Instance(name) => name,
            HookOwner::Group(_) => &self.config.name,
        }
    }

    /// What came of a hook.
    pub(in super::super) fn hooked(
        &mut self,
        context: &Context<'_>,
        owner: &HookOwner,
        number: u64,
        result: &ProbeResult,
        out: &mut Vec<Action>,
    ) {
        if let Some(ended) = self.hooks.ended(context.now, owner, number, result, out) {
            self.go_on_after(context, ended, out);
        }
    }

    /// Does what is due of the hooks.
    pub(super) fn fire_hooks(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        for ended in self.hooks.fire(context.now, out) {
            self.go_on_after(context, ended, out);
        }
        let now = context.now.mono;
        if self.plan_verification(now).is_some_and(|at| at <= now) {
            self.hooks.verifies();
            self.run_hook(context, Phase::Verify, out);
        }
    }

    /// When it is asked next if the addresses are still this node's.
    pub(super) fn plan_verification(&mut self, now: Mono) -> Option<Mono> {
        let serves = self.state_name() == StateName::Active && self.waits_for().is_none();
        let serves = serves && self.holds_on();
        self.hooks.verify_at(now, &self.config.notify, serves)
    }

    /// Whether it is active and not leaving.
    fn holds_on(&self) -> bool {
        matches!(self.router.state(), State::Active(_))
    }

    fn go_on_after(&mut self, context: &Context<'_>, ended: Ended, out: &mut Vec<Action>) {
        let Ended { name, failure, again } = ended;
        if let Some(reason) = failure {
            self.counters.hooks_failed += 1;
            if name == HookName::Program(Phase::Verify) {
                return self.claim_anew(context, reason, out);
            }
            self.report(What::HookFailed(name, reason, again), out);
        }
        match name {
            HookName::Program(Phase::BeforeClaim) => self.finish_to_claim(context, out),
            HookName::Program(Phase::BeforeRelease) => self.depart_now(context, out),
            _ => {}
        }
    }

    /// However the hook ended: an address that nobody has serves nobody. The end of one for an
    /// earlier claim is not the end of the one for this.
    fn finish_to_claim(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        if self.waits_for_own_hook() {
            return;
        }
        let Some(claim) = self.claim.take_if(|claim| !claim.for_group) else { return };
        self.claim(context, claim.how, out);
        let event = self.hook_event(context, Phase::Script);
        self.hooks.changed(context.now, &self.config.notify, StateName::Backup, &event, out);
    }

    fn depart_now(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        if let Some(why) = self.departing.take() {
            self.depart(context, why, out);
        }
    }

    /// The addresses are somebody else's, says `verify`: it does again what a takeover does.
    fn claim_anew(&mut self, context: &Context<'_>, reason: String, out: &mut Vec<Action>) {
        if !self.holds_on() || self.is_claiming() {
            return;
        }
        self.report(What::VerifyFailed(reason), out);
        self.announce(context, false, out);
        self.run_hook(context, Phase::BeforeClaim, out);
        self.run_hook(context, Phase::AfterClaim, out);
    }
}
