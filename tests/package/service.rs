//! What goes wrong with the service behind the address, while the machine and vipd are well.

use std::time::Duration;

use super::machine::Machine;
use super::pair::{Bound, Pair};

/// Far longer than systemd needs to start a service.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A check needs a second or two to be sure. A refused connection fails at once, so that a client
/// has many of them in that time.
pub(crate) const NOTICED: Bound = Bound {
    gap: Duration::from_secs(15),
    failures: 4000,
    nobody: Duration::from_secs(15),
    ..Bound::FAILOVER
};

/// A unit, and the check that watches it.
#[derive(Clone, Copy)]
pub(crate) struct Service {
    pub(crate) unit: &'static str,
    pub(crate) check: &'static str,
}

impl Service {
    /// `systemctl stop` on the active machine: the other one serves. It is started again.
    pub(crate) fn stopped(self, pair: &mut Pair<'_>) {
        let Self { unit, .. } = self;
        self.fails(
            pair,
            "stopped",
            &format!("systemctl stop {unit}"),
            "connection refused",
            |it| {
                it.does(&format!("systemctl start {unit}"));
            },
        );
    }

    /// All its processes stand still, and their sockets are still open.
    pub(crate) fn hung(self, pair: &mut Pair<'_>) {
        let hang = format!("systemctl kill --signal=STOP {}", self.unit);
        self.fails(pair, "hangs", &hang, "no answer within", |machine| {
            machine.does(&format!("systemctl kill --signal=CONT {}", self.unit));
        });
    }

    /// Something makes it fail on the active machine: the other one serves, and the status names
    /// the check and the reason. Then it is mended.
    pub(crate) fn fails(
        self,
        pair: &mut Pair<'_>,
        what: &str,
        script: &str,
        reason: &str,
        mend: impl FnOnce(&Machine),
    ) {
        let what = format!("{} {what}", self.unit);
        let act = |pair: &mut Pair<'_>, active: usize| {
            pair.machines[active].does(script);
        };
        pair.goes_through(&what, NOTICED, act, |pair, active| {
            let machine = &pair.machines[active];
            machine.reports(&[&format!("check {} ", self.check), reason]);
            pair.lab.note(format!("{what}: {}", machine.status()));
            mend(machine);
        });
    }
}
