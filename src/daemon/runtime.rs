//! The runtime directory: what is only true while the daemon runs, and what a dead one has left.

use std::path::{Path, PathBuf};

use crate::api::RUNTIME_DIRECTORY;

/// The runtime directory: the one that the command line names, else the one that systemd has made
/// for us (`RuntimeDirectory=` in systemd.exec(5)), else [`RUNTIME_DIRECTORY`].
pub(crate) fn directory(option: Option<&Path>) -> PathBuf {
    let from_systemd = || {
        // Several of them are separated by colons.
        let list = std::env::var("RUNTIME_DIRECTORY").ok()?;
        list.split(':').next().filter(|first| !first.is_empty()).map(PathBuf::from)
    };
    let given = option.map(Path::to_path_buf);
    given.or_else(from_systemd).unwrap_or_else(|| PathBuf::from(RUNTIME_DIRECTORY))
}
