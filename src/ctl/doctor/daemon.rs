//! The daemon itself: whether it runs, with which configuration, and what it has to do without.

use std::fs;
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::finding::{Finding, Kind, LeftOut, Severity};
use super::system::{Ran, System, content};
use crate::api::Snapshot;
use crate::config::{self, Here, OwnAddress, Problem};
use crate::ctl::socket::Trouble;
use crate::ctl::wire::own_addresses;
use crate::model::Config;
use crate::time::Wall;

/// Where the packaged service has its configuration.
pub(super) const CONFIGURATION: &str = "/etc/vipd/vipd.yaml";

/// The largest size of a configuration, in bytes. A larger file is no configuration of vipd.
const LARGEST: u64 = 64 << 20;

/// A file and what it says, as this machine sees it.
pub(super) enum File {
    Valid(Box<Config>),
    Invalid(Vec<Problem>),
    Unreadable(String),
}

/// Reads a configuration, which the one at the other end of a socket has named.
pub(super) fn read(path: &str) -> File {
    let text = content(Path::new(path), LARGEST)
        .and_then(|text| String::from_utf8(text).map_err(io::Error::other));
    let text = match text {
        Ok(text) => text,
        Err(error) => return File::Unreadable(error.to_string()),
    };
    let own = own_addresses().unwrap_or_default().into_iter();
    let addresses: Vec<OwnAddress> = own.filter_map(|own| own.named()).collect();
    match config::load(path, &text, &Here::machine(addresses)) {
        Ok(config) => File::Valid(Box::new(config)),
        Err(problems) => File::Invalid(problems),
    }
}

/// Why no daemon answers, from systemd, its log and the configuration.
pub(super) fn not_running(trouble: &Trouble, left_out: &mut Vec<LeftOut>) -> Finding {
    let finding =
        Finding::new(Severity::Problem, Kind::NotRunning, "no vipd answers on this machine")
            .because(trouble.to_string());
    let show = [
        "show",
        "vipd.service",
        "--property=LoadState,ActiveState,SubState,Result,UnitFileState,ExecMainStatus,NRestarts",
    ];
    let unit = match System::run("systemctl", &show) {
        Ran::Well(text) => text,
        Ran::Absent => {
            left_out.push(LeftOut {
                what: "vipd.service".to_owned(),
                why: "there is no systemctl".to_owned(),
            });
            return finding.mend("start it: vipd run --config /etc/vipd/vipd.yaml");
        }
        Ran::Failed(why) => {
            left_out.push(LeftOut { what: "vipd.service".to_owned(), why });
            return finding.mend("start it: vipd run --config /etc/vipd/vipd.yaml");
        }
    };
    let log = match System::run(
        "journalctl",
        &["--unit=vipd", "--lines=10", "--output=cat", "--no-pager"],
    ) {
        Ran::Well(text) => text.lines().map(str::to_owned).collect(),
        Ran::Absent => Vec::new(),
        Ran::Failed(why) => {
            left_out.push(LeftOut { what: "the log of vipd.service".to_owned(), why });
            Vec::new()
        }
    };
    of_the_unit(finding, &unit, log, &read(CONFIGURATION))
}

/// What systemd's answer means.
fn of_the_unit(finding: Finding, unit: &str, log: Vec<String>, file: &File) -> Finding {
    let property = |key: &str| {
        let mut lines = unit.lines().filter_map(|line| line.split_once('='));
        lines.find(|(name, _)| *name == key).map_or("", |(_, value)| value)
    };
    let (load, active, enabled) =
        (property("LoadState"), property("ActiveState"), property("UnitFileState"));
    let mut finding = finding.because(format!(
        "vipd.service is {active} ({}), result {}, exit code {}, {}",
        property("SubState"),
        property("Result"),
        property("ExecMainStatus"),
        if enabled.is_empty() { "not installed" } else { enabled }
    ));
    finding = finding.because_all(log.into_iter().map(|line| format!("log: {line}")));
    if let File::Invalid(problems) = file {
        finding = finding.because_all(problems.iter().map(ToString::to_string));
        return finding
            .mend(format!("mend {CONFIGURATION}, then: vipd check && systemctl restart vipd"));
    }
    match (load, active, enabled) {
        ("not-found", ..) => finding.mend("install the package: docs/install.md"),
        ("masked", ..) => finding.mend("systemctl unmask vipd && systemctl enable --now vipd"),
        (_, "failed", _) => finding.mend("journalctl -u vipd; then: systemctl restart vipd"),
        (_, "active" | "reloading", _) => finding.mend(
            "it runs and does not answer: with another --runtime-directory? else: systemctl \
             restart vipd",
        ),
        (_, "activating", _) => finding.mend("it starts again and again: journalctl -u vipd"),
        (_, _, "enabled") => finding.mend("systemctl start vipd"),
        _ => finding.mend("systemctl enable --now vipd"),
    }
}

/// The daemon's configuration, as it is and as it is in the file.
pub(super) fn configuration(
    snapshot: &Snapshot,
    left_out: &mut Vec<LeftOut>,
) -> (Vec<Finding>, Option<Config>) {
    let path = &snapshot.file.path;
    let file = read(path);
    let mut findings = Vec::new();
    let config = match &file {
        File::Valid(config) => Some((**config).clone()),
        File::Invalid(_) => {
            let why = format!("{path} is not valid on this machine now");
            left_out.push(LeftOut { what: "the other nodes of the list".to_owned(), why });
            None
        }
        File::Unreadable(why) => {
            left_out.push(LeftOut { what: format!("the configuration {path}"), why: why.clone() });
            None
        }
    };
    let invalid: &[Problem] = if let File::Invalid(problems) = &file { problems } else { &[] };
    if !snapshot.file.refused.is_empty() {
        findings.push(
            Finding::new(
                Severity::Problem,
                Kind::ConfigurationRefused,
                format!(
                    "the last reload of {path} was refused; the configuration of before is in \
                     effect"
                ),
            )
            .because_all(snapshot.file.refused.clone())
            .mend("mend these lines, then: vipd check && vipctl reload"),
        );
    } else if let Some(written) = written(path).filter(|written| *written > snapshot.file.loaded) {
        let ago = written.since(snapshot.file.loaded);
        let finding = Finding::new(
            Severity::Warning,
            Kind::ConfigurationNotLoaded,
            format!("{path} was changed after vipd has read it: what it says is not in effect"),
        )
        .because(format!("it was written {ago} later"))
        .because_all(invalid.iter().map(ToString::to_string));
        findings.push(
            finding.mend("vipctl reload --dry-run shows what would change; vipctl reload does it"),
        );
    }
    (findings, config)
}

fn written(path: &str) -> Option<Wall> {
    let modified = fs::metadata(Path::new(path)).ok()?.modified().ok()?;
    let nanos = modified.duration_since(UNIX_EPOCH).ok()?.as_nanos();
    u64::try_from(nanos).ok().map(Wall)
}

/// What the daemon has to do without, and whether it keeps time.
pub(super) fn condition(snapshot: &Snapshot) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    if !snapshot.notes.is_empty() {
        findings.push(
            Finding::new(
                Severity::Warning,
                Kind::Refused,
                "the system refuses vipd what keeps it punctual on a busy machine",
            )
            .because_all(snapshot.notes.clone())
            .mend(
                "in the unit (systemctl edit vipd): LimitRTPRIO=10 and LimitMEMLOCK=infinity, as \
                 the packaged one has",
            )
            .mend("in a container: allow CAP_SYS_NICE and memory locking for it"),
        );
    }
    let held_up = snapshot.protocol_loop.held_up;
    if held_up > 0 {
        findings.push(
            Finding::new(
                Severity::Note,
                Kind::HeldUp,
                format!(
                    "the protocol loop was held up {held_up} times for half an advertisement \
                     interval or more"
                ),
            )
            .because(format!("since its start, {} ago", snapshot.since(snapshot.started)))
            .mend(
                "if it goes on: a longer advertisement_interval, or less load (cat \
                 /proc/pressure/cpu; steal in vmstat 1)",
            ),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(unit: &str) -> Finding {
        let start = Finding::new(Severity::Problem, Kind::NotRunning, "");
        let file = File::Unreadable(String::new());
        of_the_unit(start, unit, vec!["exit".to_owned()], &file)
    }

    /// Rule: each state of the unit has its way out (properties as systemd 252 writes them).
    #[test]
    fn states_of_the_unit() {
        let failed = "Result=exit-code\nNRestarts=0\nExecMainStatus=78\nLoadState=loaded\n\
                      ActiveState=failed\nSubState=failed\nUnitFileState=enabled\n";
        let found = of(failed);
        assert_eq!(
            found.evidence[0],
            "vipd.service is failed (failed), result exit-code, exit code 78, enabled"
        );
        assert_eq!(found.evidence[1], "log: exit");
        assert!(found.mend[0].contains("systemctl restart vipd"));
        let way = |unit: &str| of(unit).mend[0].clone();
        let inactive = "LoadState=loaded\nActiveState=inactive\nUnitFileState=";
        assert_eq!(way(&format!("{inactive}disabled")), "systemctl enable --now vipd");
        assert_eq!(way(&format!("{inactive}enabled")), "systemctl start vipd");
        assert!(way("LoadState=masked\nActiveState=inactive").starts_with("systemctl unmask vipd"));
        assert!(way("LoadState=not-found\nActiveState=inactive").starts_with("install"));
    }

    /// Rule: a configuration that is wrong is named with its lines, as the way to mend it.
    #[test]
    fn a_wrong_configuration_is_the_reason() {
        let Err(problems) = config::load("vipd.yaml", "instances: 7\n", &Here::machine(Vec::new()))
        else {
            panic!()
        };
        let start = Finding::new(Severity::Problem, Kind::NotRunning, "");
        let found = of_the_unit(
            start,
            "LoadState=loaded\nActiveState=failed",
            Vec::new(),
            &File::Invalid(problems),
        );
        assert!(found.evidence[1].starts_with("vipd.yaml:1:"), "{:?}", found.evidence);
        assert!(found.mend[0].contains("vipd check"));
    }
}
