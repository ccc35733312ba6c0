//! A page of the documentation, done as it is written.

use std::fs;
use std::path::Path;

use super::lab::VIP;
use super::machine::Machine;

/// The network of the documentation (RFC 5737), and the one that the lab has.
const NETWORKS: [&str; 2] = ["192.0.2.", "10.77.0."];

/// A block of the page that is meant for the machines.
pub(crate) enum Step {
    /// Commands.
    Run(String),
    /// A file, which names itself in its first line.
    Write { path: String, text: String },
}

/// What a page tells the reader to do on each machine.
pub(crate) struct Page(Vec<Step>);

impl Page {
    /// The page of this name under `docs`. Blocks of the kind `sh` are run; those of another kind
    /// that begin with a path in a comment are files; all others are for the eye.
    pub(crate) fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
        let text = fs::read_to_string(path).expect("a page of the documentation");
        let text = text.replace(NETWORKS[0], NETWORKS[1]);
        assert!(text.contains(&VIP.to_string()), "{name} has the lab's virtual address");
        let mut steps = Vec::new();
        let mut rest = text.as_str();
        while let Some((_, block)) = rest.split_once("\n```") {
            let (block, behind) = block.split_once("\n```").expect("the end of a block");
            let (kind, body) = block.split_once('\n').expect("a block has lines");
            steps.extend(step(kind, body));
            rest = behind;
        }
        Self(steps)
    }

    /// Does all of it.
    #[track_caller]
    pub(crate) fn follow(&self, machine: &Machine) {
        self.0.iter().for_each(|step| step.take(machine));
    }

    /// What it tells the reader to do, in order.
    pub(crate) fn into_steps(self) -> Vec<Step> {
        self.0
    }
}

impl Step {
    /// Does it.
    #[track_caller]
    pub(crate) fn take(&self, machine: &Machine) {
        match self {
            Self::Run(script) => {
                machine.does(&format!("set -e\n{script}"));
            }
            Self::Write { path, text } => machine.write(path, text),
        }
    }
}

fn step(kind: &str, body: &str) -> Option<Step> {
    let body = format!("{body}\n");
    if kind == "sh" {
        return Some(Step::Run(body));
    }
    let path = body.lines().next()?.strip_prefix("# ")?.to_owned();
    path.starts_with('/').then_some(Step::Write { path, text: body })
}
