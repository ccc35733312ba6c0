//! What doctor asks of the system: files, settings of the kernel, other programs.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::libc;
use nix::unistd::Uid;

/// Files larger than this are no configuration, in bytes.
const LARGEST: u64 = 1 << 20;

/// How long another program may take: `timeout(1)`, which ends it.
const PATIENCE: &str = "20";

/// The system that doctor looks at.
#[derive(Clone, Debug)]
pub(super) struct System {
    root: PathBuf,
}

/// What became of a program.
pub(super) enum Ran {
    /// It ended well, and wrote this.
    Well(String),
    /// There is no such program.
    Absent,
    /// It failed, and complained.
    Failed(String),
}

impl System {
    /// With the configuration of other programs below `root`.
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Whether this is root.
    pub(super) fn is_root() -> bool {
        Uid::effective().is_root()
    }

    /// Where a file is, given as an absolute path.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file's text; `None`: there is none, or it may not be read.
    pub(super) fn read(&self, path: &str) -> Option<String> {
        let text = content(&self.path(path), LARGEST).ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    }

    /// The names in a directory, sorted; empty where there is none.
    pub(super) fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(directory)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Runs a program and reads what it writes. It gets no input.
    pub(super) fn run(program: &str, arguments: &[&str]) -> Ran {
        let mut command = Command::new("timeout");
        command.arg(PATIENCE).arg(program).args(arguments).stdin(Stdio::null());
        // Administrators' programs are not in an ordinary user's path. What is written is for
        // programs, not for a reader of another language.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C");
        let output = match command.output() {
            Ok(output) => output,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ran::Failed("there is no timeout(1)".to_owned());
            }
            Err(error) => return Ran::Failed(error.to_string()),
        };
        let complaint = String::from_utf8_lossy(&output.stderr);
        let complaint = complaint.trim().lines().next().unwrap_or_default().to_owned();
        match output.status.code() {
            Some(0) => Ran::Well(String::from_utf8_lossy(&output.stdout).into_owned()),
            // timeout(1): the program was not found.
            Some(127) => Ran::Absent,
            _ if complaint.is_empty() => Ran::Failed(output.status.to_string()),
            _ => Ran::Failed(complaint),
        }
    }
}

/// The content of a regular file that is no larger than this. A pipe in its place is not waited
/// for.
///
/// # Errors
/// What the system says, or why it is not read.
pub(super) fn content(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    let mut options = File::options();
    let file = options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(largest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest {
        return Err(io::Error::other("it is too large"));
    }
    Ok(bytes)
}

/// A number among the kernel's settings, of the network namespace that this runs in.
pub(super) fn setting(path: &str) -> Option<u32> {
    fs::read_to_string(Path::new("/proc/sys").join(path)).ok()?.trim().parse().ok()
}
