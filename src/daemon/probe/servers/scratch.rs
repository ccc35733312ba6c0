//! A directory of a test's own.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::unistd::geteuid;

/// The user of servers that refuse to run as root: `nobody`.
pub(in crate::daemon::probe) const NOBODY: u32 = 65534;

/// A directory that is gone at the end. Where the test is root, its servers' user owns it.
pub(in crate::daemon::probe) struct Scratch(PathBuf);

impl Scratch {
    pub(in crate::daemon::probe) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vipd-probe-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        give_away(&path);
        Self(path)
    }

    pub(in crate::daemon::probe) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file, and says where it is.
    pub(in crate::daemon::probe) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        give_away(&path);
        path
    }

    /// A directory in it.
    pub(in crate::daemon::probe) fn directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir(&path).unwrap();
        give_away(&path);
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn give_away(path: &Path) {
    if geteuid().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}
