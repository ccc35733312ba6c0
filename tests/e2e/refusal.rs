//! Starts that are refused: the exit code, every reason, and nothing touched.

use std::process::Command;

use crate::lab::{Agent, BOUND, Group, Lab, VIP, within};

/// Starts `command`, waits for its refusal with `code` and returns what it wrote. It neither said
/// that it was ready nor sent anything.
#[track_caller]
fn refused(group: &Group, command: &mut Command, code: i32) -> String {
    let node = &group.nodes[0];
    // The kernel's own changes are over once it has found its link-local address to be unique.
    let mut before = String::new();
    within(BOUND, "the interface is at rest", || {
        before = node.run("ip address");
        node.is_running("eth0") && before.contains("fe80::") && !before.contains("tentative")
    });
    let (status, said, log) = Agent::launch(&group.nodes[0], command).exit();
    assert_eq!(status.code(), Some(code), "{status}: {log}");
    assert!(!said.iter().any(|line| line == "READY=1"), "{said:?}");
    assert_eq!(node.run("ip address"), before, "something was touched");
    assert!(group.tap.advertisements().is_empty(), "something was sent");
    log
}

/// Rule: an invalid configuration is refused with 78 (`EX_CONFIG`) and every mistake in it, each
/// with its line.
pub(crate) fn every_mistake_at_once(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let yaml = group
        .config()
        .set("virtual_router_id", "300")
        .set("adresses", "[10.77.0.101/24]")
        .set("addresses", "[10.77.0.300/24]")
        .set("preempt", "sometimes")
        .yaml();
    let line = |key: &str| {
        let place = yaml.lines().position(|line| line.trim_start().starts_with(key));
        format!(":{}:", place.expect("the key is there") + 1)
    };
    let log = refused(&group, &mut Agent::command(&group.nodes[0], &yaml), 78);
    let mistakes = [("virtual_router_id:", "300"), ("addresses:", "10.77.0.300")];
    let more = [("adresses:", "addresses"), ("preempt:", "sometimes")];
    for (key, word) in mistakes.into_iter().chain(more) {
        let place = line(key);
        let named = log.lines().any(|text| text.contains(&place));
        assert!(named && log.contains(word), "'{key}' at {place} is not in:\n{log}");
    }
}

/// Rule: a configuration that cannot be read is refused with 78, by its name.
pub(crate) fn unreadable(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let agent = Agent::command(&group.nodes[0], "");
    let missing = group.nodes[0].directory().join("missing.yaml");
    let mut command = Command::new(agent.get_program());
    command.arg("run").arg("--config").arg(&missing);
    let log = refused(&group, &mut command, 78);
    assert!(log.contains(&missing.display().to_string()), "{log}");
}

/// Rule: without a capability that it needs, the agent refuses with 77 (`EX_NOPERM`), names it and
/// says how to grant it.
pub(crate) fn missing_capability(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    for name in ["net_raw", "net_admin"] {
        let agent = Agent::command(&group.nodes[0], &group.config().yaml());
        let mut command = Command::new("setpriv");
        command.args([format!("--bounding-set=-{name}"), format!("--inh-caps=-{name}")]);
        command.arg(agent.get_program()).args(agent.get_args());
        let log = refused(&group, &mut command, 77);
        let capability = format!("CAP_{}", name.to_uppercase());
        assert!(log.contains(&format!("{capability} is missing")), "{log}");
        assert!(log.contains("AmbientCapabilities="), "no way to grant it in:\n{log}");
    }
    assert!(!group.nodes[0].holds(VIP));
}
