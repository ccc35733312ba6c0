//! `systemd_unit`: a unit of systemd is active.
//!
//! `systemctl` asks, which is on every machine that has units: a library for D-Bus would bring
//! some forty crates into the daemon for one property.

use nix::unistd::{User, geteuid};

use super::look::Desk;
use crate::daemon::exec::{self, Program, Tail};
use crate::engine::ProbeResult;
use crate::model::SystemdUnitProbe;

/// Where systemd's package has it.
const SYSTEMCTL: &str = "/usr/bin/systemctl";

/// Looks once.
pub(crate) async fn look(probe: &SystemdUnitProbe, desk: &Desk) -> ProbeResult {
    let unit = &probe.unit;
    desk.doing.set(format!("asking systemd for {unit}"));
    // As whoever we are: everybody may ask.
    let user = match User::from_uid(geteuid()) {
        Ok(Some(user)) => user.name,
        _ => return ProbeResult::Failed("vipd's own user has no name".to_owned()),
    };
    let arguments = ["show", "--property=ActiveState", "--value", "--", unit];
    let command = [SYSTEMCTL].into_iter().chain(arguments).map(str::to_owned).collect();
    let program = Program {
        command,
        user: Some(user),
        group: None,
        environment: Vec::new(),
        input: Vec::new(),
    };
    let mut tail = Tail::default();
    match exec::run(program, &desk.aside, &mut tail).await {
        Ok(status) if status.success() => verdict(unit, &tail.last_line()),
        Ok(_) => ProbeResult::Failed(format!("systemd does not tell: {}", tail.last_line())),
        Err(why) => ProbeResult::Failed(why),
    }
}

/// What a state means (`systemctl(1)`, `org.freedesktop.systemd1(5)`).
fn verdict(unit: &str, state: &str) -> ProbeResult {
    match state {
        "active" | "reloading" => ProbeResult::Passed(format!("{unit} is {state}")),
        "" => ProbeResult::Failed(format!("systemd says nothing about {unit}")),
        _ => ProbeResult::Failed(format!("{unit} is {state}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a unit that is starting, stopping or has failed is not active; the state is named.
    #[test]
    fn states() {
        let of = |state| verdict("nginx.service", state);
        for good in ["active", "reloading"] {
            assert!(matches!(of(good), ProbeResult::Passed(_)), "{good}");
        }
        for bad in ["inactive", "failed", "activating", "deactivating", "maintenance", ""] {
            assert!(matches!(of(bad), ProbeResult::Failed(_)), "{bad}");
        }
        assert_eq!(of("failed"), ProbeResult::Failed("nginx.service is failed".to_owned()));
    }
}
