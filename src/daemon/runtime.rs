//! The runtime directory: what the daemon leaves there for `vipd release`, and the lock that says
//! whether there is a daemon.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::exit::Exit;
use super::held::HeldFile;
use crate::api::RUNTIME_DIRECTORY;

/// The name of the file in it that is locked.
const LOCK: &str = "lock";

/// The runtime directory, which belongs to this process alone while this exists.
#[derive(Debug)]
pub(crate) struct RuntimeDirectory {
    path: PathBuf,
    /// The kernel lets go of it when this process ends, however that happens. No other program
    /// inherits it: the file is closed on exec.
    _lock: Flock<File>,
}

/// Why this process cannot have it.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The system does not let us.
    System {
        /// Which directory.
        path: PathBuf,
        /// What was tried.
        tried: &'static str,
        /// What it says.
        error: io::Error,
    },
    /// Another vipd has it.
    Busy {
        /// Which directory.
        path: PathBuf,
        /// The number of the other process, where it is known.
        process: Option<u32>,
    },
}

impl Refusal {
    /// The exit code that says so.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::System { .. } => Exit::System,
            Self::Busy { .. } => Exit::Busy,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System { path, tried, error } => write!(
                f,
                "vipd: {}: {tried} the runtime directory failed: {error}\n  \
                 run vipd as root, have systemd make the directory (RuntimeDirectory=vipd), or \
                 name another one with --runtime-directory DIR",
                path.display()
            ),
            Self::Busy { path, process } => {
                write!(f, "vipd: {}: another vipd is running here", path.display())?;
                match process {
                    Some(process) => write!(f, " (process {process})"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// The runtime directory's path: `option`, else the one that systemd has made, else the usual one.
pub(crate) fn path(option: Option<&Path>) -> PathBuf {
    choose(option, std::env::var_os("RUNTIME_DIRECTORY").as_deref())
}

fn choose(option: Option<&Path>, from_systemd: Option<&OsStr>) -> PathBuf {
    // Several stand with ':' between them (systemd.exec(5)).
    let first = from_systemd.and_then(|list| list.as_bytes().split(|byte| *byte == b':').next());
    let first =
        first.filter(|first| !first.is_empty()).map(|first| Path::new(OsStr::from_bytes(first)));
    option.or(first).unwrap_or(Path::new(RUNTIME_DIRECTORY)).to_owned()
}

impl RuntimeDirectory {
    /// Makes the directory if it is missing and takes it for this process.
    ///
    /// # Errors
    /// That the system refuses it, or that another vipd has it.
    pub(crate) fn take(path: PathBuf) -> Result<Self, Refusal> {
        if let Err(error) = DirBuilder::new().recursive(true).mode(0o755).create(&path) {
            return Err(Refusal::System { path, tried: "making", error });
        }
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o644);
        let file = match options.open(path.join(LOCK)) {
            Ok(file) => file,
            Err(error) => {
                return Err(Refusal::System { path, tried: "opening the lock in", error });
            }
        };
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                sign(&mut lock);
                Ok(Self { path, _lock: lock })
            }
            Err((file, Errno::EWOULDBLOCK)) => Err(Refusal::Busy { path, process: signed(&file) }),
            Err((_, errno)) => Err(Refusal::System { path, tried: "locking", error: errno.into() }),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The list of what is held.
    pub(crate) fn held(&self) -> HeldFile {
        HeldFile::in_directory(&self.path)
    }
}

/// Says whose the lock is. That is for people alone, so it may fail.
fn sign(file: &mut File) {
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
}

fn signed(mut file: &File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// A directory that is gone after the test.
    pub(crate) struct Scratch(PathBuf);

    impl Scratch {
        /// A new one for the test of this name.
        pub(crate) fn new(test: &str) -> Self {
            let name = format!("vipd-{test}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        /// Where it is.
        pub(crate) fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Rule: the option counts before systemd's list, whose first entry counts, and that before
    /// the default.
    #[test]
    fn the_nearest_word_counts() {
        let chosen = |option: Option<&str>, systemd: Option<&str>| {
            choose(option.map(Path::new), systemd.map(OsStr::new)).display().to_string()
        };
        assert_eq!(chosen(None, None), "/run/vipd");
        assert_eq!(chosen(None, Some("")), "/run/vipd");
        assert_eq!(chosen(None, Some("/run/one:/run/two")), "/run/one");
        assert_eq!(chosen(Some("here"), Some("/run/one")), "here");
    }

    /// Rule: there is one vipd to a directory; a second one is told which process has it, and the
    /// end of that one frees it.
    #[test]
    fn a_second_one_is_refused() {
        let scratch = Scratch::new("second");
        let path = scratch.path().join("a/b");
        let first = RuntimeDirectory::take(path.clone()).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o700, 0o700, "{mode:o}");
        let refusal = RuntimeDirectory::take(path.clone()).unwrap_err();
        assert_eq!(refusal.exit(), Exit::Busy);
        let text = refusal.to_string();
        assert!(text.contains(&format!("(process {})", std::process::id())), "{text}");
        drop(first);
        RuntimeDirectory::take(path).unwrap();
    }

    /// Bug guarded: a program that the daemon starts must not inherit the lock, or it holds it
    /// when the daemon is dead.
    #[test]
    fn the_lock_is_closed_on_exec() {
        let scratch = Scratch::new("exec");
        let _taken = RuntimeDirectory::take(scratch.path().to_owned()).unwrap();
        let lock = scratch.path().join(LOCK);
        let files = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap());
        let ours = files.filter(|file| fs::read_link(file.path()).is_ok_and(|path| path == lock));
        let numbers: Vec<String> = ours.map(|f| f.file_name().into_string().unwrap()).collect();
        let [number] = numbers.as_slice() else { panic!("{numbers:?}") };
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        let flags = i32::from_str_radix(flags.trim(), 8).unwrap();
        assert_ne!(flags & nix::libc::O_CLOEXEC, 0, "{info}");
    }

    /// Rule: a directory that cannot be made is refused by its name, with what to do.
    #[test]
    fn an_impossible_directory_is_refused() {
        let scratch = Scratch::new("impossible");
        let file = scratch.path().join("file");
        fs::write(&file, "").unwrap();
        let refusal = RuntimeDirectory::take(file.join("vipd")).unwrap_err();
        assert_eq!(refusal.exit(), Exit::System);
        let text = refusal.to_string();
        assert!(text.contains("file/vipd") && text.contains("--runtime-directory"), "{text}");
    }
}
