//! The configuration from its file, as this machine sees it.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;
use nix::unistd::Group;
use serde::Serialize;
use zeroize::Zeroizing;

use super::secrets::{self, Unusable};
use super::{notify, probe, program};
use crate::config::{self, Here, Problem};
use crate::keyring::KeyRing;
use crate::model::{
    Config, InstanceConfig, InterfaceName, NodeName, Notify, SyncGroup, TrackConfig,
};

/// Why there is no configuration.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// The file cannot be read.
    Unreadable {
        /// Its name as given.
        file: String,
        /// What the system says.
        error: io::Error,
    },
    /// The machine's own addresses cannot be read.
    Addresses(io::Error),
    /// All that is wrong with it.
    Invalid(Vec<Problem>),
}

/// One line for each thing that is wrong.
impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { file, error } => write!(f, "{file}: cannot be read: {error}"),
            Self::Addresses(error) => {
                write!(f, "the addresses of this machine cannot be read: {error}")
            }
            Self::Invalid(problems) => {
                let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
        }
    }
}

/// Reads a configuration, as the node of this name would see it, or else as this machine does: then
/// the programs that it names must be there and fit to run.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn file(path: &Path, node: Option<NodeName>) -> Result<Config, LoadError> {
    let keys = if node.is_none() { Keys::Looked } else { Keys::Unread };
    read(path, node, keys).map(|(config, _)| config)
}

/// Reads a configuration as this machine sees it, and the secrets that it names.
///
/// # Errors
/// Everything that is wrong with it, and each secret that cannot be had.
pub(crate) fn with_keys(path: &Path) -> Result<(Config, KeyRing), LoadError> {
    read(path, None, Keys::Needed)
}

/// What is done about the secrets that a configuration names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// They are another machine's.
    Unread,
    /// Those that can be had are looked at. Credentials are the daemon's alone, and some files too.
    Looked,
    /// All of them must be there.
    Needed,
}

fn read(path: &Path, node: Option<NodeName>, keys: Keys) -> Result<(Config, KeyRing), LoadError> {
    let file = path.display().to_string();
    let on_this_machine = node.is_none();
    let here = match node {
        Some(name) => Here::Node(name),
        None => Here::Machine { addresses: own_addresses().map_err(LoadError::Addresses)? },
    };
    let text = match std::fs::read_to_string(path) {
        // There may be keys in it.
        Ok(text) => Zeroizing::new(text),
        Err(error) => return Err(LoadError::Unreadable { file, error }),
    };
    let config = config::load(&file, &text, &here).map_err(LoadError::Invalid)?;
    let mut problems = unusable(&file, &text, &config);
    if on_this_machine {
        problems.extend(program::problems(&file, &text, &config));
        problems.extend(unknown_group(&file, &text, &config));
    }
    let mut ring = KeyRing::default();
    match secrets::read(path, &text, &config) {
        _ if keys == Keys::Unread => {}
        Ok(read) => ring = read,
        Err(all) => {
            let counts = |why: &Unusable| {
                let is_hidden = matches!(why, Unusable::NoCredentials(_) | Unusable::Forbidden(_));
                keys == Keys::Needed || !is_hidden
            };
            problems.extend(all.into_iter().filter(|(_, why)| counts(why)).map(|(p, _)| p));
        }
    }
    problems.sort_by_key(|problem| (problem.line, problem.column));
    if problems.is_empty() { Ok((config, ring)) } else { Err(LoadError::Invalid(problems)) }
}

/// The group whose members may control the daemon, where the system has none of that name.
fn unknown_group(file: &str, text: &str, config: &Config) -> Option<Problem> {
    let group = config.control_group.as_deref()?;
    if Group::from_name(group).ok().flatten().is_some() {
        return None;
    }
    let key = "control_group";
    let (line, column) = config::locate(text, &[key]);
    let what = format!("there is no group '{group}' on this machine");
    let hint = Some("make it with groupadd, or name one of getent group".to_owned());
    Some(Problem { file: file.to_owned(), line, column, key: key.to_owned(), what, hint })
}

/// The checks that could never pass and the webhooks that could never be told, and why.
fn unusable(file: &str, text: &str, config: &Config) -> Vec<Problem> {
    let problem = |path: &[&str], what: String| {
        let (line, column) = config::locate(text, path);
        Problem { file: file.to_owned(), line, column, key: path.join("."), what, hint: None }
    };
    let check = |track: &TrackConfig| {
        let what = probe::usable(&track.probe).err()?;
        Some(problem(&["tracks", track.name.as_str(), track.probe.kind()], what))
    };
    let webhook = |place: &str, name: &str, notify: &Notify| {
        let what = notify::usable(notify.webhook.as_ref()?).err()?;
        Some(problem(&[place, name, "notify", "webhook"], what))
    };
    let checks = config.tracks.iter().filter_map(check);
    let of_instance = |one: &InstanceConfig| webhook("instances", one.name.as_str(), &one.notify);
    let of_group = |one: &SyncGroup| webhook("sync_groups", one.name.as_str(), &one.notify);
    let webhooks = config.instances.iter().filter_map(of_instance);
    checks.chain(webhooks).chain(config.sync_groups.iter().filter_map(of_group)).collect()
}

/// Every address of this machine and the interface that has it.
fn own_addresses() -> io::Result<Vec<(InterfaceName, IpAddr)>> {
    let address = |storage: SockaddrStorage| -> Option<IpAddr> {
        let v4 = storage.as_sockaddr_in().map(|v4| v4.ip().into());
        v4.or_else(|| storage.as_sockaddr_in6().map(|v6| v6.ip().into()))
    };
    let addresses = getifaddrs()?.filter_map(|entry| {
        let name = InterfaceName::try_from(entry.interface_name.as_str()).ok()?;
        Some((name, entry.address.and_then(address)?))
    });
    Ok(addresses.collect())
}

/// The answer of `vipd check --json`.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict<'a> {
    file: String,
    valid: bool,
    node: Option<&'a NodeName>,
    /// What is wrong with the configuration.
    problems: &'a [Problem],
    /// Why it could not be read at all.
    error: Option<String>,
}

impl<'a> Verdict<'a> {
    /// The verdict on the file of this name.
    pub(crate) fn of(path: &Path, result: &'a Result<Config, LoadError>) -> Self {
        let problems: &[Problem] = match result {
            Err(LoadError::Invalid(problems)) => problems,
            _ => &[],
        };
        Self {
            file: path.display().to_string(),
            valid: result.is_ok(),
            node: result.as_ref().ok().and_then(|config| config.this_node.as_ref()),
            problems,
            error: match result {
                Err(error) if problems.is_empty() => Some(error.to_string()),
                _ => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a file that cannot be read is named with the reason.
    #[test]
    fn a_missing_file_is_named() {
        let path = Path::new("/nonexistent/vipd.yaml");
        let result = file(path, Some("db1".try_into().unwrap()));
        let text = result.as_ref().unwrap_err().to_string();
        assert!(text.starts_with("/nonexistent/vipd.yaml: cannot be read: "), "{text}");
        let verdict = serde_json::to_value(Verdict::of(path, &result)).unwrap();
        assert_eq!(verdict["valid"], false);
        assert_eq!(verdict["error"], text);
    }

    /// Rule: a check that could never pass is refused, each by its name and with the reason: a kind
    /// that this program was built without, and texts that only a kind's client can judge.
    #[test]
    fn checks_that_could_never_pass_are_refused() {
        let path = std::env::temp_dir().join(format!("vipd-unusable-{}.yaml", std::process::id()));
        let text = "nodes: { db1: 10.0.0.11, db2: 10.0.0.12 }\ntracks:\n  \
                    good: { http: { url: 'http://127.0.0.1/' } }\n  \
                    pg: { postgres: { dsn: 'host=/run sslmode=verify-full', role: any } }\n  \
                    my: { mysql: { url: 'mysql://127.0.0.1/?dance=1', role: any } }\n  \
                    web: { http: { url: 'http://[::1/?token=hunter2' } }\n  \
                    name: { dns: { server: 10.0.0.1, name: a.test, expect: ten } }\n\
                    instances:\n  db: { interface: eth0, virtual_router_id: 51, addresses: \
                    [10.0.0.100/24], track: [good, pg, my, web, name] }\n";
        std::fs::write(&path, text).unwrap();
        let result = file(&path, Some("db1".try_into().unwrap()));
        std::fs::remove_file(&path).unwrap();
        let said = result.unwrap_err().to_string();
        let lines: Vec<&str> = said.lines().collect();
        let absent = "this vipd was built without";
        let expected = [
            ("pg", if cfg!(feature = "postgres") { "the dsn cannot be used" } else { absent }),
            ("my", if cfg!(feature = "mysql") { "the url cannot be used" } else { absent }),
            ("web", "the url cannot be used"),
            ("name", "'ten' is no A record"),
        ];
        assert_eq!(lines.len(), expected.len(), "{said}");
        for (number, (line, (track, why))) in lines.iter().zip(expected).enumerate() {
            let start = format!("{}:{}:", path.display(), number + 4);
            let named = line.starts_with(&start) && line.contains(&format!(" tracks.{track}."));
            assert!(named && line.contains(why) && !line.contains("hunter2"), "{line}");
        }
    }

    /// Rule: a webhook that could never be told is refused, with its line and what is wrong with it.
    #[test]
    fn webhooks_that_could_never_be_told_are_refused() {
        for (url, why) in [
            ("http://hooks:99999/vipd", "the url cannot be used: invalid port number"),
            ("http://[::1/?token=hunter2", "the url cannot be used: invalid IPv6 address"),
            ("https://a..b/?token=hunter2", "is no name that a certificate could have"),
        ] {
            let path = std::env::temp_dir().join(format!("vipd-hook-{}.yaml", std::process::id()));
            let text = format!(
                "nodes: {{ db1: 10.0.0.11, db2: 10.0.0.12 }}\ninstances:\n  db:\n    \
                 interface: eth0\n    virtual_router_id: 51\n    addresses: [10.0.0.100/24]\n    \
                 notify:\n      webhook: '{url}'\n"
            );
            std::fs::write(&path, text).unwrap();
            let result = file(&path, Some("db1".try_into().unwrap()));
            std::fs::remove_file(&path).unwrap();
            let said = result.unwrap_err().to_string();
            let start = format!("{}:8:16: instances.db.notify.webhook: ", path.display());
            assert!(said.starts_with(&start) && said.contains(why), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }

    /// Rule: this machine's addresses are known by interface; the loopback one always is.
    #[test]
    fn own_addresses_include_loopback() {
        let loopback = ("lo".try_into().unwrap(), IpAddr::from([127, 0, 0, 1]));
        assert!(own_addresses().unwrap().contains(&loopback));
    }
}
