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
    /// A program, which names itself in its second line.
    Program { path: String, text: String },
}

/// What a page tells the reader to do. A block whose kind has a second word, as in `sh db1`, is for
/// that machine alone, or for the occasion of that name.
pub(crate) struct Page(Vec<(Option<String>, Step)>);

impl Page {
    /// The page of this name under `docs`. Blocks of the kind `sh` are run, or are programs where
    /// they begin with `#!`; those of another kind that begin with a path in a comment are files; all
    /// others are for the eye.
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
            let (kind, only) = kind.split_once(' ').map_or((kind, None), |(k, o)| (k, Some(o)));
            steps.extend(step(kind, body).map(|step| (only.map(str::to_owned), step)));
            rest = behind;
        }
        Self(steps)
    }

    /// Does all that is for every machine or for this one.
    #[track_caller]
    pub(crate) fn follow(&self, machine: &Machine) {
        let is_meant = |only: &str| only == machine.name();
        let steps = self.0.iter().filter(|(only, _)| only.as_deref().is_none_or(is_meant));
        steps.for_each(|(_, step)| step.take(machine));
    }

    /// Does what is for this occasion only.
    #[track_caller]
    pub(crate) fn on_occasion(&self, occasion: &str, machine: &Machine) {
        let steps = self.0.iter().filter(|(only, _)| only.as_deref() == Some(occasion));
        assert_ne!(steps.clone().count(), 0, "the page has a block for '{occasion}'");
        steps.for_each(|(_, step)| step.take(machine));
    }

    /// What it tells the reader to do, in order.
    pub(crate) fn into_steps(self) -> Vec<Step> {
        self.0.into_iter().map(|(_, step)| step).collect()
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
            Self::Program { path, text } => {
                machine.write(path, text);
                machine.does(&format!("chmod 755 {path}"));
            }
        }
    }
}

fn step(kind: &str, body: &str) -> Option<Step> {
    let text = format!("{body}\n");
    let path = |line: usize| {
        let path = text.lines().nth(line)?.strip_prefix("# ")?;
        path.starts_with('/').then(|| path.to_owned())
    };
    if text.starts_with("#!") {
        let path = path(1).expect("a program names its path in its second line");
        return Some(Step::Program { path, text });
    }
    if kind == "sh" {
        return Some(Step::Run(text));
    }
    path(0).map(|path| Step::Write { path, text })
}
