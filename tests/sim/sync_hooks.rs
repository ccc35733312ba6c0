//! The hooks of simulated sync groups: one of the group and one of a member, which take their time,
//! fail, or never end.

use fastrand::Rng;
use vipd::engine::story::StateName;
use vipd::engine::{HookCall, HookOwner, ProbeResult};
use vipd::model::{Notify, Phase};
use vipd::time::Span;

use crate::hooks::{GRACE, TIMEOUT};

/// The sync group.
pub(crate) const GROUP: &str = "gateway";

/// What a group and one of its members have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hooks {
    pub(crate) of_group: Notify,
    pub(crate) of_member: Notify,
}

impl Hooks {
    /// Often none.
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let mut some = |all: &[Phase]| {
            let chosen = all.iter().copied().filter(|_| rng.bool());
            let programs = chosen.map(|phase| (phase, vec![format!("/hooks/{phase}")])).collect();
            Notify { programs, timeout: TIMEOUT, retries: 1, ..Notify::default() }
        };
        let phases = [Phase::Script, Phase::BeforeClaim, Phase::AfterClaim, Phase::OnFault];
        let (of_group, of_member) = (some(&phases), some(&[Phase::BeforeClaim]));
        if rng.bool() { Self::default() } else { Self { of_group, of_member } }
    }

    /// How much later everything comes to rest because of them: a claim that comes to nothing, another
    /// one, and what is told of it, tried twice.
    pub(crate) fn bound(&self) -> Span {
        let has = |notify: &Notify| !notify.programs.is_empty();
        let some = has(&self.of_group) || has(&self.of_member);
        if some { (TIMEOUT + GRACE).times(12) } else { Span::ZERO }
    }
}

/// A hook that has begun.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) owner: HookOwner,
    pub(crate) number: u64,
    gate: bool,
}

/// The hooks of one node.
#[derive(Debug, Default)]
pub(crate) struct Under {
    way: Vec<Begun>,
    /// What the group was told last.
    pub(crate) told: Option<StateName>,
    /// A reload may have given it hooks that were not told of what was before.
    pub(crate) may_not_know: bool,
    /// Some of what runs began under another configuration.
    mixed: bool,
}

impl Under {
    /// One begins. Returns after which time it ends; `None`: never. `Err`: a rule was broken.
    pub(crate) fn begin(
        &mut self,
        rng: &mut Rng,
        owner: HookOwner,
        number: u64,
        call: &HookCall,
    ) -> Result<Option<Span>, String> {
        let phase = call.event.phase();
        let gate = phase.is_waited_for();
        // An instance that is replaced and its successor have the same name.
        let is_beside = |other: &Begun| other.owner == owner && other.gate == gate;
        if !self.mixed && self.way.iter().any(is_beside) {
            return Err(format!("{phase} of {owner} begins beside another"));
        }
        // Another group, which a reload has brought for a while, is told what that one is.
        let of_the_group = matches!(&owner, HookOwner::Group(name) if name.as_str() == GROUP);
        if phase == Phase::Script && of_the_group {
            self.told = Some(call.event.state());
            self.may_not_know = false;
        }
        self.way.push(Begun { owner, number, gate });
        let never = rng.u8(..12) == 0;
        Ok((!never).then(|| Span::from_nanos(rng.u64(..TIMEOUT.nanos()))))
    }

    /// One ends. Returns how; `None`: it was cancelled before.
    pub(crate) fn end(
        &mut self,
        rng: &mut Rng,
        owner: &HookOwner,
        number: u64,
    ) -> Option<ProbeResult> {
        let is_it = |one: &Begun| one.owner == *owner && one.number == number;
        let place = self.way.iter().position(is_it)?;
        self.way.remove(place);
        self.mixed &= !self.way.is_empty();
        let fails = rng.u8(..6) == 0;
        Some(if fails {
            ProbeResult::Failed("exit code 1".to_owned())
        } else {
            ProbeResult::Passed(String::new())
        })
    }

    /// Another configuration is in effect.
    pub(crate) fn reloaded(&mut self) {
        self.may_not_know = true;
        self.mixed = !self.way.is_empty();
    }

    /// True if all addresses of this node wait for something that is under way. After a reload some
    /// may not have to.
    pub(crate) fn holds_back(&self) -> bool {
        !self.mixed && self.is_at_gate()
    }

    /// Whether something that the addresses wait for is under way.
    pub(crate) fn is_at_gate(&self) -> bool {
        self.way.iter().any(|one| one.gate)
    }
}
