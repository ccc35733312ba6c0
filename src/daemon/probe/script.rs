//! `script`: a program exits with 0.

use super::desk::Desk;
use crate::daemon::outside::ending;
use crate::daemon::outside::exec::Program;
use crate::engine::ProbeResult;
use crate::model::{ScriptProbe, TrackName};

/// Looks once.
pub(crate) async fn look(probe: &ScriptProbe, track: &TrackName, desk: &Desk) -> ProbeResult {
    let ScriptProbe { command, user, group } = probe;
    let program = Program {
        command: command.clone(),
        user: user.clone(),
        group: group.clone(),
        environment: vec![("VIPD_TRACK", track.to_string())],
        input: Vec::new(),
    };
    ending::of(program, &desk.aside, &desk.doing).await
}
