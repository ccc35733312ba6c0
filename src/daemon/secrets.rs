//! The secrets from where the configuration says that they are. They are read at the start and with
//! each reload, together with the configuration. An instance takes part only while all of its
//! secrets can be had.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::unistd::geteuid;
use zeroize::Zeroizing;

use crate::config::{self, Problem};
use crate::engine::Farewell;
use crate::keyring::{self, KeyRing, Secrets};
use crate::model::{BadSecret, Config, InstanceName, Key, KeyId, Password, SecretSource};
use crate::vrrp::auth::Trailer;
use crate::vrrp::packet::{Datagram, MULTICAST_TTL, split_trailer};

/// More than any secret has; what is longer is another file.
const LONGEST: usize = 1024;

/// More than any configuration has.
const LONGEST_CONFIGURATION: u64 = 64 * 1024 * 1024;

/// What says where the service manager has put the credentials (`systemd.exec(5)`).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Why a secret cannot be had.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    /// There are no credentials at all.
    #[error(
        "systemd has handed over no credentials; set LoadCredential={0}:PATH in the unit \
         (systemctl edit vipd) and restart it"
    )]
    NoCredentials(String),
    /// The file is there, and not for us.
    #[error("{path} cannot be read: Permission denied", path = .0.display())]
    Forbidden(PathBuf),
    /// The file cannot be read for another reason.
    #[error("{path} cannot be read: {why}", path = .0.display(), why = .1)]
    Unreadable(PathBuf, String),
    /// It is a directory, a pipe or a device.
    #[error("{} is no regular file", .0.display())]
    NoFile(PathBuf),
    /// Others than those who need it can read or replace it.
    #[error("{path} {why}", path = .0.display(), why = .1)]
    Open(PathBuf, String),
    /// Its content.
    #[error("{path}: {bad}", path = .0.display(), bad = .1)]
    Bad(PathBuf, BadSecret),
    /// In the configuration.
    #[error("{0}")]
    BadInline(BadSecret),
    /// The configuration has changed since it was read.
    #[error("it is not in the configuration file any more")]
    Gone,
}

impl Unusable {
    /// True if the text of the configuration is wrong. Every other case is about this machine.
    pub(crate) const fn is_mistake(&self) -> bool {
        matches!(self, Self::BadInline(_))
    }

    /// True if only the daemon can have the secret anyway.
    pub(crate) const fn is_hidden(&self) -> bool {
        matches!(self, Self::NoCredentials(_) | Self::Forbidden(_))
    }
}

/// A secret that cannot be had.
#[derive(Debug)]
pub(crate) struct Lacking {
    /// The instance that needs the secret.
    pub(crate) instance: InstanceName,
    /// The reason, with its place in the text.
    pub(crate) problem: Problem,
    /// The reason.
    pub(crate) why: Unusable,
}

/// All secrets of a configuration that was read from this text, of the virtual routers whose
/// secrets are all there; and each one that cannot be had.
pub(crate) fn read(file: &Path, text: &str, config: &Config) -> (KeyRing, Vec<Lacking>) {
    let (mut ring, mut lacking) = (KeyRing::default(), Vec::new());
    for instance in &config.instances {
        let (mut found, before) = (Vec::new(), lacking.len());
        for (id, source) in instance.authentication.secrets() {
            let path = place_in_file(&instance.name, id, source);
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            match one(file, text, &path, id, source) {
                Ok(secret) => found.push(secret),
                Err(why) => {
                    let (line, column) = config::locate(text, &path);
                    let (file, key) = (file.display().to_string(), path.join("."));
                    let what = why.to_string();
                    let problem = Problem { file, line, column, key, what, hint: None };
                    lacking.push(Lacking { instance: instance.name.clone(), problem, why });
                }
            }
        }
        let is_complete = lacking.len() == before;
        if let Some(secrets) = together(found).filter(|_| is_complete) {
            ring.put(keyring::places(instance), secrets);
        }
    }
    (ring, lacking)
}

/// The secret that a farewell lacks, from where it was when that was written down.
///
/// # Errors
/// Why it cannot be had.
pub(crate) fn of_farewell(
    instance: &InstanceName,
    farewell: &Farewell,
    source: &SecretSource,
    configuration: Option<&Path>,
) -> Result<Secrets, Unusable> {
    let Farewell { source: from, destination, message, .. } = farewell;
    let datagram = Datagram::from_ipv6(*from, *destination, MULTICAST_TTL, message);
    let trailer = split_trailer(&datagram).ok().and_then(|(_, trailer)| trailer);
    let id = trailer.and_then(Trailer::read).and_then(|t| KeyId::try_from(t.key).ok());
    let file = configuration.unwrap_or(Path::new(""));
    let text = match source {
        SecretSource::Inline => text_of(file)?,
        SecretSource::File(_) | SecretSource::Credential(_) => Zeroizing::default(),
    };
    let path = place_in_file(instance, id, source);
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let secret = one(file, &text, &path, id, source)?;
    together(vec![secret]).ok_or(Unusable::Gone)
}

/// A configuration that a list of what is held names, and who could write that list may have named
/// anything: a pipe is not waited for, and of a device without an end little is read.
fn text_of(file: &Path) -> Result<Zeroizing<String>, Unusable> {
    let unreadable = |error: io::Error| Unusable::Unreadable(file.to_owned(), error.to_string());
    let mut options = File::options();
    let opened = options.read(true).custom_flags(libc::O_NONBLOCK).open(file);
    let opened = opened.map_err(unreadable)?;
    if !opened.metadata().map_err(unreadable)?.is_file() {
        return Err(Unusable::NoFile(file.to_owned()));
    }
    let mut text = Zeroizing::default();
    opened.take(LONGEST_CONFIGURATION).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

/// A secret by itself.
enum Secret {
    Password(Password),
    Key(KeyId, Key),
}

/// The secrets of one virtual router.
fn together(found: Vec<Secret>) -> Option<Secrets> {
    let mut keys = BTreeMap::new();
    for secret in found {
        match secret {
            Secret::Password(password) => return Some(Secrets::Password(password)),
            Secret::Key(id, key) => keys.insert(id, key),
        };
    }
    (!keys.is_empty()).then_some(Secrets::Keys(keys))
}

/// Where the configuration names a secret.
fn place_in_file(instance: &InstanceName, id: Option<KeyId>, source: &SecretSource) -> Vec<String> {
    let mut path = ["instances", instance.as_str(), "authentication"].map(str::to_owned).to_vec();
    let suffix = match (id, source) {
        (None, SecretSource::Inline) => "password",
        (None, SecretSource::File(_)) => "password_file",
        (None, SecretSource::Credential(_)) => "password_credential",
        (Some(_), SecretSource::Inline) => "secret",
        (Some(_), SecretSource::File(_)) => "file",
        (Some(_), SecretSource::Credential(_)) => "credential",
    };
    path.extend(id.map(|id| ["keys".to_owned(), id.to_string()]).into_iter().flatten());
    path.push(suffix.to_owned());
    path
}

fn one(
    file: &Path,
    text: &str,
    path: &[&str],
    id: Option<KeyId>,
    source: &SecretSource,
) -> Result<Secret, Unusable> {
    let parse = |bytes: &[u8]| match id {
        None => Password::parse(bytes).map(Secret::Password),
        Some(id) => Key::parse(bytes).map(|key| Secret::Key(id, key)),
    };
    let path_of = match source {
        SecretSource::Inline => {
            let secret = config::secret(text, path).ok_or(Unusable::Gone)?;
            if id.is_some() {
                keep_private(file)?;
            }
            return parse(secret.as_bytes()).map_err(Unusable::BadInline);
        }
        SecretSource::File(path) => path.clone(),
        SecretSource::Credential(name) => match env::var_os(CREDENTIALS) {
            Some(directory) => Path::new(&directory).join(name),
            None => return Err(Unusable::NoCredentials(name.clone())),
        },
    };
    let bytes = content(&path_of)?;
    parse(&bytes).map_err(|bad| Unusable::Bad(path_of, bad))
}

/// The content of a file that nobody else may read or replace.
fn content(path: &Path) -> Result<Zeroizing<Vec<u8>>, Unusable> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => Unusable::Forbidden(path.to_owned()),
        _ => Unusable::Unreadable(path.to_owned(), error.to_string()),
    };
    // A pipe would be waited for.
    let mut options = File::options();
    let file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() {
        return Err(Unusable::NoFile(path.to_owned()));
    }
    if about.uid() != 0 && about.uid() != geteuid().as_raw() {
        let why = format!("belongs to the user number {}: chown root it", about.uid());
        return Err(Unusable::Open(path.to_owned(), why));
    }
    let mode = about.mode() & 0o777;
    if mode & 0o027 != 0 {
        let why = format!("has the mode {mode:04o}: others can read or write it; chmod 640 it");
        return Err(Unusable::Open(path.to_owned(), why));
    }
    // With room for all of it: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST));
    file.take(LONGEST as u64).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// A configuration with a key in it is a secret itself. A password of version 2 is none: everybody
/// on the segment can read it.
fn keep_private(file: &Path) -> Result<(), Unusable> {
    let about = fs::metadata(file)
        .map_err(|error| Unusable::Unreadable(file.to_owned(), error.to_string()))?;
    if about.mode() & 0o004 == 0 {
        return Ok(());
    }
    let why = "has a key in it and can be read by everybody: chmod 640 it, or put the key into a file \
               of its own";
    Err(Unusable::Open(file.to_owned(), why.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::daemon::runtime::tests::Scratch;

    const HEX: &str = "hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn file(scratch: &Scratch, content: &str, mode: u32) -> PathBuf {
        let path = scratch.path().join("vrrp.key");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn key(source: &SecretSource) -> Result<Secret, Unusable> {
        let id = KeyId::try_from(1).unwrap();
        one(Path::new("/nowhere"), "", &[], Some(id), source)
    }

    /// Rule: a key's file is readable for root and a group at the most, and nothing of it is in
    /// what is said of it.
    #[test]
    fn files_of_keys_are_private() {
        let scratch = Scratch::new("secrets");
        for (mode, valid) in [
            (0o600, true),
            (0o400, true),
            (0o640, true),
            (0o440, true),
            (0o644, false),
            (0o604, false),
            (0o660, false),
            (0o602, false),
        ] {
            let path = file(&scratch, HEX, mode);
            let result = key(&SecretSource::File(path.clone()));
            assert_eq!(result.is_ok(), valid, "{mode:o}");
            if let Err(why) = result {
                let text = why.to_string();
                assert!(text.starts_with(&format!("{} has the mode {mode:04o}", path.display())));
            }
        }
    }

    /// Rule: what is no key is refused with the file and the reason, without what stands there; a
    /// directory, a pipe and a device are no files of keys, and a pipe is not waited for.
    #[test]
    fn other_files_are_refused() {
        let scratch = Scratch::new("secrets-bad");
        let path = file(&scratch, "hunter2\n", 0o600);
        let said = key(&SecretSource::File(path.clone())).err().unwrap().to_string();
        let expected = "a key has 32 to 64 bytes, this one has 7";
        assert_eq!(said, format!("{}: {expected}", path.display()));
        fs::remove_file(&path).unwrap();
        let said = key(&SecretSource::File(path.clone())).err().unwrap().to_string();
        assert!(said.contains("cannot be read: No such file"), "{said}");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
        for other in [path.as_path(), scratch.path(), Path::new("/dev/zero")] {
            let result = key(&SecretSource::File(other.to_owned()));
            assert_eq!(result.err(), Some(Unusable::NoFile(other.to_owned())));
        }
    }
}
