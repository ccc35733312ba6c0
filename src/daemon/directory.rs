//! Access to a directory that another user may be able to write, and to the files in it. The
//! directory is opened once. Everything in it is reached through that descriptor, and no link is
//! followed (architecture.md, invariant 10).
//!
//! Hooks and checks run as the daemon's user. Under systemd that user owns `/run/vipd` and
//! `/var/lib/vipd`. A symbolic link, a hard link, a pipe or a huge file that such a program leaves
//! there must neither lead root to another file nor block it.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::libc::{S_IFMT, S_IFSOCK, S_IWGRP, S_IWOTH};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, fchmodat, fstatat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, User, fchown, getegid, geteuid, unlinkat};

/// The most that is read of a file. vipd never writes a larger one: 4,000 instances take a few
/// megabytes.
const LARGEST: u64 = 64 * 1024 * 1024;

/// An open directory. Copies share the descriptor.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    descriptor: Arc<OwnedFd>,
    owner: Uid,
}

impl Directory {
    /// Creates the directory if it is missing, writable only for its owner, and opens it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn make(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o755).create(path)?;
        Self::open(path)
    }

    /// Opens the directory. The last part of the path must not be a symbolic link.
    ///
    /// # Errors
    /// The system's error; or the path is a symbolic link; or others can write to the directory.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        // This drops a slash at the end, behind which the system would follow a link.
        let path: PathBuf = path.components().collect();
        if path.symlink_metadata()?.is_symlink() {
            return Err(io::Error::other("it is a symbolic link, which vipd does not follow"));
        }
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let descriptor = File::from(open(&path, flags, Mode::empty())?);
        let about = descriptor.metadata()?;
        let by_group = about.mode() & S_IWGRP != 0 && !is_own_group(Gid::from_raw(about.gid()));
        if about.mode() & S_IWOTH != 0 || by_group {
            return Err(io::Error::other(format!(
                "it has the mode {:04o}, so that others can write to it: chmod go-w {}",
                about.mode() & 0o7777,
                path.display()
            )));
        }
        let owner = Uid::from_raw(about.uid());
        Ok(Self { path, descriptor: Arc::new(descriptor.into()), owner })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn owner(&self) -> Uid {
        self.owner
    }

    /// Reads a file. Returns `None` if there is no file of this name.
    ///
    /// # Errors
    /// The system's error, or the reason why vipd cannot have written the file.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let file = match self.open_file(name, OFlag::O_RDONLY) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut content = Vec::new();
        file.take(LARGEST + 1).read_to_end(&mut content)?;
        if content.len() as u64 > LARGEST {
            return Err(io::Error::other("it is far too large to be vipd's"));
        }
        Ok(Some(content))
    }

    /// Opens a regular file that has no other name and belongs to a user who may have written it.
    /// With `O_CREAT`, a missing file is created, for its owner alone.
    ///
    /// # Errors
    /// The system's error, or the requirement that the file does not meet.
    pub(crate) fn open_file(&self, name: &str, flags: OFlag) -> io::Result<File> {
        // Without O_NONBLOCK, opening a pipe would wait for its other end.
        let always = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let opened = openat(&self.descriptor, name, flags | always, mode);
        let file = File::from(opened.map_err(refused)?);
        let owner = only_name(&file)?;
        if self.may_own(owner) { Ok(file) } else { Err(belongs_to(owner)) }
    }

    /// Root accepts only files of the directory's owner. Other users accept their own files and
    /// root's.
    fn may_own(&self, user: Uid) -> bool {
        if geteuid().is_root() { user == self.owner } else { user == geteuid() || user.is_root() }
    }

    /// Replaces whatever has this name by a new file. A reader sees the old file or the new one.
    /// The new file is for the directory's owner alone.
    ///
    /// # Errors
    /// The system's error. Whatever had the name before then still has it.
    pub(crate) fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.put(name, content, |_| Ok(()))
    }

    /// The same as [`replace`](Self::replace), but the file is on the disk when this returns.
    ///
    /// # Errors
    /// As [`replace`](Self::replace).
    pub(crate) fn replace_durably(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.put(name, content, File::sync_all)?;
        Ok(nix::unistd::fsync(&self.descriptor)?)
    }

    fn put(
        &self,
        name: &str,
        content: &[u8],
        settle: impl FnOnce(&File) -> io::Result<()>,
    ) -> io::Result<()> {
        let temporary = format!("{name}.new");
        let mut file = self.create(&temporary)?;
        if geteuid().is_root() && !self.owner.is_root() {
            // A process that later runs as the owner must be able to read it.
            fchown(&file, Some(self.owner), None)?;
        }
        file.write_all(content)?;
        settle(&file)?;
        Ok(renameat(&self.descriptor, temporary.as_str(), &self.descriptor, name)?)
    }

    /// Creates a new file, after removing whatever had this name.
    fn create(&self, name: &str) -> io::Result<File> {
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let made = || openat(&self.descriptor, name, flags, Mode::S_IRUSR | Mode::S_IWUSR);
        let file = match made() {
            Err(Errno::EEXIST) => {
                self.remove(name)?;
                made()
            }
            other => other,
        };
        Ok(file?.into())
    }

    /// Removes a file, a link, a pipe or a socket, if there is one.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.descriptor, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Returns true if anything has this name, even a link that leads nowhere.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.about(name).is_ok_and(|about| about.is_some())
    }

    /// Returns true if the name belongs to a socket, and `None` if nothing has the name.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn is_socket(&self, name: &str) -> io::Result<Option<bool>> {
        Ok(self.about(name)?.map(|about| about.st_mode & S_IFMT == S_IFSOCK))
    }

    fn about(&self, name: &str) -> io::Result<Option<FileStat>> {
        match fstatat(&self.descriptor, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(about) => Ok(Some(about)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Sets the permissions of a socket that this process has just bound here. Between the check
    /// and the change, only the directory's owner could put something else in the socket's place.
    ///
    /// # Errors
    /// The system's error, or that something else has taken the socket's place.
    pub(crate) fn open_socket_to(&self, name: &str, mode: u32) -> io::Result<()> {
        if self.is_socket(name)? != Some(true) {
            return Err(io::Error::other("something else has taken the socket's place"));
        }
        let mode = Mode::from_bits_truncate(mode);
        // AT_SYMLINK_NOFOLLOW is left out: it needs a kernel of 2024 or a /proc.
        Ok(fchmodat(&self.descriptor, name, mode, FchmodatFlags::FollowSymlink)?)
    }
}

/// Creates a file, or empties the one of this name. That one must not be a link and must belong to
/// this process's user.
///
/// # Errors
/// The system's error, or the requirement that the file does not meet. The file is then unchanged.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mode = Mode::from_bits_truncate(0o644);
    let file = open(path, flags | OFlag::O_NOCTTY | OFlag::O_CLOEXEC, mode).map_err(refused)?;
    let file = File::from(file);
    let owner = only_name(&file)?;
    if owner != geteuid() {
        return Err(belongs_to(owner));
    }
    file.set_len(0)?;
    Ok(file)
}

/// Returns the owner of a regular file that has no other name.
fn only_name(file: &File) -> io::Result<Uid> {
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    if about.nlink() > 1 {
        return Err(io::Error::other("it has another name, too (a hard link)"));
    }
    Ok(Uid::from_raw(about.uid()))
}

fn belongs_to(owner: Uid) -> io::Error {
    io::Error::other(format!("it belongs to the user {}", name_of(owner)))
}

/// Translates the system's error for a file opened with `O_NOFOLLOW` and `O_NONBLOCK`.
fn refused(errno: Errno) -> io::Error {
    match errno {
        Errno::ELOOP => io::Error::other("it is a symbolic link, which vipd does not follow"),
        Errno::ENXIO | Errno::EISDIR => io::Error::other("it is no regular file"),
        other => other.into(),
    }
}

/// Returns true if only we can write what this group may write: it is root's group, or that of our
/// own unprivileged user.
fn is_own_group(group: Gid) -> bool {
    group.as_raw() == 0 || (!geteuid().is_root() && group == getegid())
}

/// Returns a user's name, or the number if there is no such user.
pub(crate) fn name_of(user: Uid) -> String {
    User::from_uid(user).ok().flatten().map_or_else(|| user.to_string(), |user| user.name)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use nix::unistd::mkfifo;

    use super::*;
    use crate::daemon::runtime::tests::Scratch;

    const NAME: &str = "held.json";

    /// Creates a file elsewhere that nobody may touch.
    fn victim(scratch: &Scratch) -> PathBuf {
        let victim = scratch.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        victim
    }

    /// Bug guarded: root read and emptied the target of any planted link, and waited forever for a
    /// planted pipe. Now none of these is read or opened for writing, and the error says what it
    /// is.
    #[test]
    fn what_is_planted_is_not_followed() {
        let scratch = Scratch::new("planted");
        let (victim, path) = (victim(&scratch), scratch.path().join("run"));
        let directory = Directory::make(&path).unwrap();
        let place = path.join(NAME);
        let plant: [(&str, &dyn Fn()); 6] = [
            ("it is a symbolic link", &|| symlink(&victim, &place).unwrap()),
            ("it is a symbolic link", &|| symlink("/nowhere", &place).unwrap()),
            ("it has another name", &|| fs::hard_link(&victim, &place).unwrap()),
            ("it is no regular file", &|| mkfifo(&place, Mode::S_IRUSR | Mode::S_IWUSR).unwrap()),
            ("it is no regular file", &|| fs::create_dir(&place).unwrap()),
            ("it is far too large", &|| {
                File::create(&place).unwrap().set_len(1 << 40).unwrap();
            }),
        ];
        for (why, plant) in plant {
            plant();
            let error = directory.read(NAME).unwrap_err().to_string();
            assert!(error.starts_with(why), "{why}: {error}");
            if !why.contains("large") {
                let flags = OFlag::O_RDWR | OFlag::O_CREAT;
                let error = directory.open_file(NAME, flags).unwrap_err().to_string();
                assert!(error.starts_with(why), "{why}: {error}");
            }
            if place.is_dir() {
                assert!(directory.replace(NAME, b"new").is_err());
                fs::remove_dir(&place).unwrap();
            } else {
                // A new list replaces whatever has the name.
                directory.replace(NAME, b"new").unwrap();
                assert_eq!(directory.read(NAME).unwrap().unwrap(), b"new");
                directory.remove(NAME).unwrap();
            }
            assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched", "{why}");
        }
        assert_eq!(directory.read(NAME).unwrap(), None);
    }

    /// Bug guarded: a new list was written through a link that had its temporary name.
    #[test]
    fn the_temporary_name_is_not_followed() {
        let scratch = Scratch::new("temporary");
        let (victim, path) = (victim(&scratch), scratch.path().join("run"));
        let directory = Directory::make(&path).unwrap();
        let place = path.join("held.json.new");
        for plant in [fs::hard_link::<&Path, &Path>, symlink::<&Path, &Path>] {
            plant(&victim, &place).unwrap();
            directory.replace(NAME, b"new").unwrap();
            assert_eq!(fs::read(path.join(NAME)).unwrap(), b"new");
            assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
            assert!(!directory.has("held.json.new"));
        }
    }

    /// Rule: a directory is refused with the reason if it is a symbolic link, also with a slash
    /// behind it, or if others may write to it.
    #[test]
    fn the_directory_itself_is_looked_at() {
        let scratch = Scratch::new("directory");
        let (path, link) = (scratch.path().join("run"), scratch.path().join("link"));
        drop(Directory::make(&path).unwrap());
        symlink(&path, &link).unwrap();
        for way in [link.clone(), link.join("")] {
            let error = Directory::make(&way).unwrap_err().to_string();
            assert!(error.contains("symbolic link"), "{error}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o757)).unwrap();
        let error = Directory::open(&path).unwrap_err().to_string();
        assert!(error.contains("mode 0757") && error.contains("chmod go-w"), "{error}");
    }

    /// Bug guarded: a recording was written through a link, even by root. A file of our own is
    /// emptied.
    #[test]
    fn a_recording_is_no_link() {
        let scratch = Scratch::new("recording");
        let (victim, place) = (victim(&scratch), scratch.path().join("recording"));
        for plant in [fs::hard_link::<&Path, &Path>, symlink::<&Path, &Path>] {
            plant(&victim, &place).unwrap();
            let error = create(&place).unwrap_err().to_string();
            assert!(error.contains("link"), "{error}");
            assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
            fs::remove_file(&place).unwrap();
        }
        for _ in 0..2 {
            create(&place).unwrap().write_all(b"steps").unwrap();
            assert_eq!(fs::read_to_string(&place).unwrap(), "steps");
        }
    }

    /// Rule: permissions are set on the socket that was bound, not on the target of a link in its
    /// place.
    #[test]
    fn permissions_are_not_set_through_a_link() {
        let scratch = Scratch::new("socket-mode");
        let victim = victim(&scratch);
        fs::set_permissions(&victim, Permissions::from_mode(0o600)).unwrap();
        let directory = scratch.open();
        symlink(&victim, scratch.path().join("status.sock")).unwrap();
        assert!(directory.open_socket_to("status.sock", 0o666).is_err());
        assert_eq!(fs::metadata(&victim).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
