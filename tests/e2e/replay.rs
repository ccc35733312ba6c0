//! Recording a run and replaying it.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::lab::{Agent, Group, Lab, program};

/// Rule: a recorded run, replayed by a fresh engine, gives the same actions to the last one; an
/// edited recording doesn't, and the difference is named.
pub(crate) fn of_a_real_run(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let recording = lab.directory().join("recording.jsonl");
    let mut command = Agent::command(&group.nodes[0], &group.config().yaml());
    let first = Agent::launch(&group.nodes[0], command.arg("--record").arg(&recording));
    let _second = Agent::start(&group.nodes[1], &group.config());
    group.taken_over_by(&group.nodes[0]);
    group.nodes[0].run("ip link set eth0 down");
    group.taken_over_by(&group.nodes[1]);
    group.nodes[0].run("ip link set eth0 up");
    group.taken_over_by(&group.nodes[0]);
    assert!(first.stop().success());

    let replay = |file| {
        let output = Command::new(program("vipd")).arg("replay").arg(file).output();
        let output = output.expect("vipd runs");
        let text =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text.into_owned())
    };
    let text = fs::read_to_string(&recording).expect("the recording");
    lab.note(format!("{} lines recorded", text.lines().count()));
    let (code, said) = replay(&recording);
    assert_eq!(code, Some(0), "{said}");
    let edited = lab.directory().join("edited.jsonl");
    fs::write(&edited, without_exit(&text)).expect("an edited recording");
    let (code, said) = replay(&edited);
    assert_eq!(code, Some(1), "{said}");
}

/// The recording without its last action.
fn without_exit(text: &str) -> String {
    let edited = text.lines().map(|line| {
        let mut step: Value = serde_json::from_str(line).expect("a line of JSON");
        if let Some(actions) = step["actions"].as_array_mut() {
            actions.retain(|action| action != "exit");
        }
        format!("{step}\n")
    });
    edited.collect()
}
