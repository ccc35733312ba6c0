//! The operator's hand, and systemd's: what is run beside an agent.

use std::process::{Command, Output};

use super::{Host, program};

/// `vipd release`, as systemd runs it when the agent has died.
pub(crate) fn release(host: &Host) -> Result<(), String> {
    let mut command = Command::new(program("vipd"));
    command.arg("release").arg("--runtime-directory").arg(host.runtime_directory());
    done(host, "vipd release", &mut command)
}

/// `vipctl handover`: asks the agent of `host` to move an instance to whoever takes it.
pub(crate) fn hand_over(host: &Host, instance: &str) -> Result<(), String> {
    let mut command = Command::new(program("vipctl"));
    command.arg("handover").arg(instance);
    command.arg("--runtime-directory").arg(host.runtime_directory());
    done(host, "vipctl handover", &mut command)
}

/// Runs a command on a host; what it complained of where it failed.
fn done(host: &Host, name: &str, command: &mut Command) -> Result<(), String> {
    let output = host.deed(name, || host.inside(|| command.output()));
    let Output { status, stderr, .. } = output.map_err(|why| format!("{name}: {why}"))?;
    if status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&stderr);
    Err(format!("{name} ended with {status}: {}", complaint.trim()))
}
