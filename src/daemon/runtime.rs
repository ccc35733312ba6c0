//! The runtime directory: what the daemon leaves there for `vipd release`, and the lock that says
//! whether there is a daemon.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::unistd::{Uid, geteuid};

use super::directory::{Directory, name_of};
use super::exit::Exit;
use super::held::HeldFile;
use super::permission;
use crate::api::RUNTIME_DIRECTORY;

/// The name of the file in it that is locked.
const LOCK: &str = "lock";

/// The runtime directory, which belongs to this process alone while this exists.
#[derive(Debug)]
pub(crate) struct RuntimeDirectory {
    directory: Directory,
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
    /// It belongs to another user, who may have planted anything in it.
    Foreign {
        /// The runtime directory.
        path: PathBuf,
        /// The user that owns the directory.
        owner: Uid,
    },
    /// Another vipd has it.
    Busy {
        /// The runtime directory.
        path: PathBuf,
        /// The number of the other process, where it is known.
        process: Option<u32>,
    },
}

impl Refusal {
    /// The exit code that says so.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::System { .. } | Self::Foreign { .. } => Exit::System,
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
            Self::Foreign { path, owner } => write!(
                f,
                "vipd: {path}: the runtime directory belongs to the user {owner}, not to {own}, \
                 and who owns it may have planted anything in it\n  \
                 run vipd as {owner} (systemctl start vipd does), or name another directory with \
                 --runtime-directory DIR; vipd release removes what a dead vipd has left there, \
                 rm -r {path} the rest",
                path = path.display(),
                owner = name_of(*owner),
                own = name_of(geteuid()),
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
    /// Makes the directory if it is missing and takes it for this process, which is a daemon.
    ///
    /// # Errors
    /// That the system refuses it, that it belongs to another user, or that another vipd has it.
    pub(crate) fn take(path: PathBuf) -> Result<Self, Refusal> {
        let directory = match Directory::make(&path) {
            Ok(directory) => directory,
            Err(error) => return Err(Refusal::System { path, tried: "opening", error }),
        };
        let (owner, own) = (directory.owner(), geteuid());
        if owner != own && !owner.is_root() {
            // If a daemon runs there, that is the better reason.
            if let Ok(file) = directory.open_file(LOCK, OFlag::O_RDONLY) {
                lock(file, &path)?;
            }
            return Err(Refusal::Foreign { path, owner });
        }
        Self::lock(directory)
    }

    /// Takes the directory of a daemon that is dead. Root becomes its owner, for good: what stands
    /// in it is read, and what it names is opened, with the rights of who could write it.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub(crate) fn take_over(path: PathBuf) -> Result<Self, Refusal> {
        let directory = match Directory::open(&path) {
            Ok(directory) => directory,
            Err(error) => return Err(Refusal::System { path, tried: "opening", error }),
        };
        let owner = directory.owner();
        if owner != geteuid() && !owner.is_root() {
            if !geteuid().is_root() {
                return Err(Refusal::Foreign { path, owner });
            }
            if let Err(error) = permission::become_user(owner) {
                let tried = "giving up root for the owner of";
                return Err(Refusal::System { path, tried, error });
            }
        }
        Self::lock(directory)
    }

    fn lock(directory: Directory) -> Result<Self, Refusal> {
        let path = directory.path();
        let file = match directory.open_file(LOCK, OFlag::O_RDWR | OFlag::O_CREAT) {
            Ok(file) => file,
            Err(error) => {
                let path = path.join(LOCK);
                return Err(Refusal::System { path, tried: "opening the lock of", error });
            }
        };
        let mut lock = lock(file, path)?;
        sign(&mut lock);
        Ok(Self { directory, _lock: lock })
    }

    /// The directory itself.
    pub(crate) const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The list of what is held.
    pub(crate) fn held(&self) -> HeldFile {
        HeldFile::in_directory(&self.directory)
    }
}

fn lock(file: File, path: &Path) -> Result<Flock<File>, Refusal> {
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(file, errno)| {
        let path = path.to_owned();
        match errno {
            Errno::EWOULDBLOCK => Refusal::Busy { path, process: signed(&file) },
            _ => Refusal::System { path, tried: "locking", error: errno.into() },
        }
    })
}

/// Says whose the lock is. That is for people alone, so it may fail. Who can open the file can lock
/// it, so nobody else may.
fn sign(file: &mut File) {
    let _ = file.set_permissions(Permissions::from_mode(0o600));
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
}

fn signed(file: &File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::fs;

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

        /// The same, open.
        pub(crate) fn open(&self) -> Directory {
            Directory::open(&self.0).unwrap()
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
