//! The hooks of a simulated group, and what they put off.

use fastrand::Rng;
use vipd::model::{Notify, Phase};
use vipd::time::Span;

use crate::schedule::Group;
pub(crate) use crate::world::TIMEOUT;

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
