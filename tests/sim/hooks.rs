//! The hooks of a simulated group: programs that take their time, fail, or never end.

use fastrand::Rng;
use vipd::engine::{Action, HookOwner, HookTarget, Input, ProbeResult};
use vipd::model::{Notify, Phase};
use vipd::time::Span;

use crate::group::instance_name;
use crate::schedule::Group;
use crate::world::{Happening, World};

/// A program that has not ended by then is ended by the shell.
pub(crate) const TIMEOUT: Span = Span::from_secs(1);

/// How much longer the engine waits, where the shell is in trouble.
pub(crate) const GRACE: Span = Span::from_secs(1);

/// The hooks of a group: often none.
pub(crate) fn draw(rng: &mut Rng) -> Notify {
    let all = [
        Phase::Script,
        Phase::BeforeClaim,
        Phase::AfterClaim,
        Phase::BeforeRelease,
        Phase::AfterRelease,
        Phase::OnFault,
        Phase::OnConflictWon,
    ];
    if rng.bool() {
        return Notify::default();
    }
    let chosen = all.into_iter().filter(|_| rng.bool());
    let programs = chosen.map(|phase| (phase, vec![format!("/hooks/{phase}")])).collect();
    Notify { programs, timeout: TIMEOUT, retries: rng.u8(..3), ..Notify::default() }
}

impl Group {
    /// How much later a takeover and what it waits for come to rest because of hooks.
    pub(crate) fn hook_bound(&self) -> Span {
        let waited = |phase: &&Phase| phase.is_waited_for() && self.notify.has(**phase);
        let gates = Phase::ALL.iter().filter(waited).count() as u64;
        if self.notify.programs.is_empty() {
            return Span::ZERO;
        }
        // A claim that comes to nothing, another one, and what is told of it, tried three times.
        (TIMEOUT + GRACE).times(gates * 3) + (TIMEOUT + GRACE).times(12)
    }
}

impl World {
    /// Starts a hook: it ends some time later, well or not, or never.
    pub(crate) fn hook(&mut self, node: usize, action: &Action) {
        let Action::Hook { number, call, .. } = action else { return };
        assert!(matches!(call.target, HookTarget::Program { .. }));
        let gate = call.event.phase().is_waited_for();
        let others = &self.nodes[node].hooks;
        // One that has another virtual router ID now is told of beside the one that goes.
        let is_new = self.nodes[node].reidentified.is_some();
        if !is_new && others.iter().any(|(_, other)| *other == gate) {
            self.violation =
                Some(format!("node{node} starts {} beside another", call.event.phase()));
        }
        self.nodes[node].hooks.push((*number, gate));
        let never = self.rng.u8(..12) == 0;
        if never {
            return;
        }
        let at = self.now + Span::from_nanos(self.rng.u64(..TIMEOUT.nanos()));
        let (life, number) = (self.nodes[node].life, *number);
        self.schedule(at, Happening::HookEnds { node, life, number });
    }

    pub(crate) fn hook_ends(&mut self, node: usize, life: u64, number: u64) {
        let state = &mut self.nodes[node];
        if state.life != life || state.engine.is_none() {
            return;
        }
        state.hooks.retain(|(other, _)| *other != number);
        let result = if self.rng.u8(..6) == 0 {
            ProbeResult::Failed("exit code 1".to_owned())
        } else {
            ProbeResult::Passed(String::new())
        };
        let owner = HookOwner::Instance(instance_name());
        self.input(node, Input::Hooked { owner, number, result });
    }

    pub(crate) fn cancel_hook(&mut self, node: usize, number: u64) {
        self.nodes[node].hooks.retain(|(other, _)| *other != number);
    }
}
