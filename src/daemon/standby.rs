//! What the operator has taken out of the election, kept over restarts and reboots.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::directory::Directory;
use crate::engine::{Input, Standby};

/// Where the package keeps it.
const STATE_DIRECTORY: &str = "/var/lib/vipd";

/// The name of the file in the state directory.
const FILE: &str = "standby.json";

/// The file that keeps it.
#[derive(Clone, Debug)]
pub(crate) struct StandbyFile {
    directory: PathBuf,
}

impl StandbyFile {
    /// In the directory that is named, or that systemd has made, or in the usual one.
    pub(crate) fn new(option: Option<&Path>) -> Self {
        let from_systemd = std::env::var_os("STATE_DIRECTORY");
        // Several stand with ':' between them (systemd.exec(5)).
        let first =
            from_systemd.as_deref().and_then(|list| list.as_bytes().split(|b| *b == b':').next());
        let first = first
            .filter(|first| !first.is_empty())
            .map(|first| Path::new(OsStr::from_bytes(first)));
        Self { directory: option.or(first).unwrap_or(Path::new(STATE_DIRECTORY)).to_owned() }
    }

    /// What was kept.
    ///
    /// # Errors
    /// That it cannot be read or understood, with the path.
    pub(crate) fn read(&self) -> Result<Standby, String> {
        let kept = match Directory::open(&self.directory) {
            Ok(directory) => directory.read(FILE),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        match kept.map_err(|error| self.named(&error))? {
            None => Ok(Standby::default()),
            Some(text) => serde_json::from_slice(&text).map_err(|error| self.named(&error)),
        }
    }

    /// Keeps it: when this returns, it is on the disk.
    ///
    /// # Errors
    /// What the system says, with the path; what was kept before is kept still.
    pub(crate) fn write(&self, standby: &Standby) -> Result<(), String> {
        let written = if standby.is_empty() { self.forget() } else { self.replace(standby) };
        written.map_err(|error| self.named(&error))
    }

    fn forget(&self) -> io::Result<()> {
        match Directory::open(&self.directory) {
            Ok(directory) => directory.remove(FILE),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn replace(&self, standby: &Standby) -> io::Result<()> {
        let mut text = serde_json::to_vec(standby)?;
        text.push(b'\n');
        Directory::make(&self.directory)?.replace_durably(FILE, &text)
    }

    fn named(&self, error: &dyn std::fmt::Display) -> String {
        format!("{}: {error}", self.path().display())
    }

    fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }
}

/// What tells an engine that has just started what is out. Nobody waits for its answers.
pub(crate) fn inputs(standby: Standby) -> Vec<Input> {
    let named = standby.instances.into_iter().map(Some);
    named
        .chain(standby.node.then_some(None))
        .map(|instance| Input::Standby { request: 0, instance, force: true })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::runtime::tests::Scratch;
    use super::*;

    fn web() -> Standby {
        Standby { node: false, instances: ["web".try_into().unwrap()].into() }
    }

    /// Rule: what was kept is found again, and an empty one leaves no file.
    #[test]
    fn what_is_kept_is_found_again() {
        let scratch = Scratch::new("standby");
        let file = StandbyFile::new(Some(&scratch.path().join("lib/vipd")));
        assert_eq!(file.read(), Ok(Standby::default()));
        file.write(&web()).unwrap();
        assert_eq!(file.read(), Ok(web()));
        file.write(&Standby::default()).unwrap();
        assert_eq!(file.read(), Ok(Standby::default()));
        assert!(!file.path().exists());
    }

    /// Rule: a file that is not ours, and a directory that cannot be made, are told by their path.
    #[test]
    fn what_cannot_be_kept_is_told() {
        let scratch = Scratch::new("standby-bad");
        let file = StandbyFile::new(Some(scratch.path()));
        fs::write(file.path(), "{\"node\":1}").unwrap();
        let text = file.read().unwrap_err();
        assert!(text.contains("standby.json: "), "{text}");
        let nowhere = StandbyFile::new(Some(&file.path().join("vipd")));
        let text = nowhere.write(&web()).unwrap_err();
        assert!(text.contains("standby.json/vipd/standby.json: "), "{text}");
    }
}
