//! Hooks: programs that take their time, fail, or never end.

use vipd::engine::{HookCall, HookOwner, HookTarget, Input, ProbeResult};
use vipd::model::{Config, InstanceName, Phase};
use vipd::time::Span;

use super::{Happening, World};

/// A program that has not ended by then is ended by the shell.
pub(crate) const TIMEOUT: Span = Span::from_secs(1);

impl World {
    /// A hook begins: it ends some time later, well or not, or never.
    pub(super) fn hook(&mut self, node: usize, owner: &HookOwner, number: u64, call: &HookCall) {
        assert!(matches!(call.target, HookTarget::Program { .. }));
        let phase = call.event.phase();
        let state = &mut self.nodes[node];
        let gate = phase.is_waited_for();
        let mut others = state.machine.process.hooks.iter();
        let is_beside =
            others.any(|one| one.number != number && one.owner == *owner && one.gate == gate);
        if let (HookOwner::Group(name), Phase::Script) = (owner, phase) {
            state.told.insert(name.to_string(), Some(call.event.state()));
        }
        // An instance that is replaced and its successor have the same name.
        if is_beside && !state.mixed && state.reidentified.is_none() {
            self.broken(node, &format!("{phase} of {owner} begins beside another"));
        }
        let never = self.rng.u8(..12) == 0;
        if never {
            return;
        }
        let at = self.now + Span::from_nanos(self.rng.u64(..TIMEOUT.nanos()));
        let (life, owner) = (self.nodes[node].life, owner.clone());
        self.schedule(at, Happening::HookEnds { node, life, owner, number });
    }

    pub(super) fn hook_ends(&mut self, node: usize, life: u64, owner: HookOwner, number: u64) {
        let state = &mut self.nodes[node];
        if state.life != life || state.engine.is_none() {
            return;
        }
        state.machine.process.hook_ends(&owner, number);
        state.mixed &= !state.machine.process.hooks.is_empty();
        let result = if self.rng.u8(..6) == 0 {
            ProbeResult::Failed("exit code 1".to_owned())
        } else {
            ProbeResult::Passed(String::new())
        };
        self.input(node, Input::Hooked { owner, number, result });
    }

    /// True if a takeover by this instance waits for something that is under way.
    pub(super) fn is_held_back(&self, node: usize, instance: &InstanceName) -> bool {
        let state = &self.nodes[node];
        let mut hooks = state.machine.process.hooks.iter();
        !state.mixed && hooks.any(|one| one.gate && concerns(&state.config, &one.owner, instance))
    }
}

/// True if the owner is the instance, its sync group, or another member of that.
fn concerns(config: &Config, owner: &HookOwner, instance: &InstanceName) -> bool {
    let mut groups = config.sync_groups.iter().filter(|group| group.members.contains(instance));
    match owner {
        HookOwner::Instance(name) => {
            name == instance || groups.any(|group| group.members.contains(name))
        }
        HookOwner::Group(name) => groups.any(|group| group.name == *name),
    }
}
