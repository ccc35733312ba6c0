//! `systemd_unit`: a unit of systemd is active.
//!
//! `systemctl` asks, which is on every machine that has units: a library for D-Bus would bring
//! some forty crates into the daemon for one property.

use std::path::{Path, PathBuf};

use nix::unistd::{User, geteuid};

use super::desk::Desk;
use crate::daemon::outside::exec::{self, Program, Tail};
use crate::engine::ProbeResult;
use crate::model::SystemdUnitProbe;

/// Where systemd's package has it.
const SYSTEMCTL: &str = "/usr/bin/systemctl";

/// Where systemd keeps for its journal what it runs.
const RUNNING: &str = "/run/systemd/units";

/// A file that comes when systemd starts a program of this unit, and goes at the very moment when
/// the unit is inactive or has failed (`unit_notify` in systemd's `core/unit.c`, since 235), so that
/// watching it tells of both. Units without programs have none: the looks notice.
pub(super) fn mark(unit: &str) -> PathBuf {
    Path::new(RUNNING).join(format!("invocation:{unit}"))
}

/// Looks once.
pub(crate) async fn look(probe: &SystemdUnitProbe, desk: &Desk) -> ProbeResult {
    let unit = &probe.unit;
    desk.doing.set(format!("asking systemd for {unit}"));
    // As whoever we are: everybody may ask.
    let user = match User::from_uid(geteuid()) {
        Ok(Some(user)) => user.name,
        _ => return ProbeResult::Failed("vipd's own user has no name".to_owned()),
    };
    let arguments = ["show", "--property=LoadState,ActiveState", "--", unit];
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
        Ok(status) if status.success() => verdict(unit, &tail.text()),
        Ok(_) => ProbeResult::Failed(format!("systemd does not tell: {}", tail.last_line())),
        Err(why) => ProbeResult::Failed(why),
    }
}

/// What the states mean (`systemctl(1)`, `org.freedesktop.systemd1(5)`): a line for each property.
fn verdict(unit: &str, said: &str) -> ProbeResult {
    let property = |name: &str| said.lines().find_map(|line| line.strip_prefix(name));
    match (property("LoadState="), property("ActiveState=")) {
        (_, Some(state @ ("active" | "reloading"))) => {
            ProbeResult::Passed(format!("{unit} is {state}"))
        }
        (Some("not-found"), _) => ProbeResult::Failed(format!("there is no unit {unit}")),
        (Some("masked"), _) => ProbeResult::Failed(format!("{unit} is masked")),
        (_, Some(state)) => ProbeResult::Failed(format!("{unit} is {state}")),
        (_, None) => ProbeResult::Failed(format!("systemd says nothing about {unit}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a unit that is starting, stopping or has failed is not active; the state is named, and
    /// a name that no unit has is told from a unit that stands still.
    #[test]
    fn states() {
        let of = |load: &str, state: &str| {
            verdict("nginx.service", &format!("LoadState={load}\nActiveState={state}\n"))
        };
        for good in ["active", "reloading"] {
            assert!(matches!(of("loaded", good), ProbeResult::Passed(_)), "{good}");
        }
        for bad in ["inactive", "failed", "activating", "deactivating", "maintenance", ""] {
            let expected = ProbeResult::Failed(format!("nginx.service is {bad}"));
            assert_eq!(of("loaded", bad), expected);
        }
        let missing = ProbeResult::Failed("there is no unit nginx.service".to_owned());
        assert_eq!(of("not-found", "inactive"), missing);
        assert!(matches!(verdict("nginx.service", ""), ProbeResult::Failed(_)));
    }
}
