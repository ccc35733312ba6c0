//! What the README shows is true.

use std::fs;
use std::process::Command;

use crate::lab::{Lab, program};

/// Rule: the configuration that a newcomer copies from the README is valid on both machines, and
/// is ten lines long.
pub(crate) fn configuration(lab: &Lab) {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("```yaml\n").expect("a configuration");
    let (yaml, _) = rest.split_once("```").expect("its end");
    assert_eq!(yaml.lines().count(), 10, "{yaml}");
    let file = lab.directory().join("vipd.yaml");
    fs::write(&file, yaml).expect("a configuration file");
    for node in ["web1", "web2"] {
        let mut check = Command::new(program("vipd"));
        let output = check.arg("check").arg("--node").arg(node).arg(&file).output();
        let output = output.expect("vipd runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "as {node}: {said}");
    }
}
