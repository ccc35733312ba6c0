//! The hooks of an instance: those that tell of its changes, and those that it waits for before it
//! takes its addresses or gives them away.

use super::super::event::{
    Action, GroupMember, HookEvent, HookName, HookOwner, InstanceEvent, ProbeResult,
};
use super::super::hook::Ended;
use super::super::story::{Peer, StateName, What};
use super::life::{Life, Pending};
use super::{Context, Instance};
use crate::model::{InstanceName, Phase};
use crate::time::Mono;
use crate::vrrp::router::Takeover;

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
    pub(super) fn pend(&mut self, context: &Context<'_>, how: Takeover, out: &mut Vec<Action>) {
        let silent = matches!(how, Takeover::Preempt(_));
        let for_group = context.gates.hold_back(&self.config.name);
        self.hooks.supersede();
        self.life.pend(Pending { how, silent, asked: false, for_group });
        self.advertise(context, self.router.priority().get(), out);
        self.ask_own_hook(context, out);
    }

    fn ask_own_hook(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        let has_gate = self.has_gate();
        let pending = self.life.pending_mut().filter(|pending| has_gate && !pending.asked);
        let Some(pending) = pending else { return };
        pending.asked = true;
        self.report(What::Pending(Phase::BeforeClaim), out);
        self.run_hook(context, Phase::BeforeClaim, out);
    }

    /// After a reload: what its addresses or its departure wait for is what the new configuration
    /// says. A hook that runs already is waited for until it has ended, whoever has it now.
    pub(in super::super) fn wait_anew(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        self.hooks.forget_waiting(&self.config.notify);
        if let Some(pending) = self.life.pending_mut() {
            pending.for_group |= context.gates.has(&self.config.name);
        }
        self.ask_own_hook(context, out);
        self.claim_pending(context, out);
        if !self.hooks.is_awaited(Phase::BeforeRelease) {
            self.depart_now(context, out);
        }
    }

    /// Whether its addresses wait for its sync group.
    pub(in super::super) fn waits_for_group(&self) -> bool {
        self.life.pending().is_some_and(|pending| pending.for_group)
    }

    /// Whether its addresses wait for a hook of its own.
    pub(in super::super) fn waits_for_own_hook(&self) -> bool {
        self.is_pending() && self.hooks.is_awaited(Phase::BeforeClaim)
    }

    /// Its sync group is ready.
    pub(in super::super) fn claim_with_group(
        &mut self,
        context: &Context<'_>,
        out: &mut Vec<Action>,
    ) {
        if let Some(pending) = self.life.pending_mut() {
            pending.for_group = false;
        }
        self.claim_pending(context, out);
    }

    /// True if it has won the election, and its addresses wait for a hook.
    pub(in super::super) fn is_pending(&self) -> bool {
        self.life.pending().is_some()
    }

    /// The router that was to be preempted leaves by itself: the others must hear of this one.
    pub(super) fn break_silence(&mut self) {
        if let Some(pending) = self.life.pending_mut() {
            pending.silent = false;
        }
    }

    /// Starts what runs before a planned departure. Returns true if that is to be waited for.
    pub(super) fn ask_before_release(
        &mut self,
        context: &Context<'_>,
        out: &mut Vec<Action>,
    ) -> bool {
        // One that runs already has been told so.
        if self.hooks.is_awaited(Phase::BeforeRelease) {
            return true;
        }
        if !self.config.notify.has(Phase::BeforeRelease) {
            return false;
        }
        self.report(What::Departing(Phase::BeforeRelease), out);
        self.run_hook(context, Phase::BeforeRelease, out);
        true
    }

    /// The state has changed: everybody who wants to know is told, in order.
    pub(super) fn tell_hooks(
        &mut self,
        context: &Context<'_>,
        from: StateName,
        out: &mut Vec<Action>,
    ) {
        let to = self.state_name();
        if from == to || self.is_pending() {
            return;
        }
        // It is told when it has the addresses.
        if to == StateName::Active && self.waits_to_claim(context) {
            return;
        }
        if self.life.end().is_some() {
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
            why: self.past.why.to_string(),
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
        let serves = self.life == Life::Running && self.is_active();
        self.hooks.verify_at(now, &self.config.notify, serves)
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
            HookName::Program(Phase::BeforeClaim) => self.claim_pending(context, out),
            HookName::Program(Phase::BeforeRelease) => self.depart_now(context, out),
            _ => {}
        }
    }

    /// However the hook ended: an address that nobody has serves nobody. The end of one for an
    /// earlier claim is not the end of the one for this.
    fn claim_pending(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        if self.waits_for_own_hook() {
            return;
        }
        let Some(how) = self.life.claim() else { return };
        self.claim(context, how, out);
        let event = self.hook_event(context, Phase::Script);
        self.hooks.changed(context.now, &self.config.notify, StateName::Backup, &event, out);
    }

    fn depart_now(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        if self.life.stop_waiting() {
            self.depart(context, out);
        }
    }

    /// The addresses are somebody else's, says `verify`: it does again what a takeover does.
    fn claim_anew(&mut self, context: &Context<'_>, reason: String, out: &mut Vec<Action>) {
        if !self.is_serving() {
            return;
        }
        self.report(What::VerifyFailed(reason), out);
        self.announce(context, false, out);
        self.run_hook(context, Phase::BeforeClaim, out);
        self.run_hook(context, Phase::AfterClaim, out);
    }
}
