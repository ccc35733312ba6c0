//! Loads the configuration from its file, as this machine sees it.

use std::collections::BTreeSet;
use std::collections::btree_map::Entry;
use std::fmt;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;
use nix::unistd::Group;
use serde::Serialize;
use zeroize::Zeroizing;

use super::secrets::{self, Lacking};
use super::{notify, probe, program};
use crate::config::{self, Findings, Here, OwnAddress, Problem};
use crate::keyring::KeyRing;
use crate::model::{Config, InstanceName, InterfaceName, Node, NodeName, Notify};

/// The reason why there is no configuration.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// The file cannot be read.
    Unreadable {
        /// The file's name as given.
        file: String,
        /// The system's error.
        error: io::Error,
    },
    /// The machine's own addresses cannot be read.
    Addresses(io::Error),
    /// All errors in the text.
    Invalid(Vec<Problem>),
}

/// One line for each error.
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

/// The text of a configuration, as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    path: PathBuf,
    /// The text may contain keys.
    text: Arc<Zeroizing<String>>,
}

/// A valid configuration as this machine sees it.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The configuration. It names the instances that wait for something.
    pub(crate) config: Config,
    /// The secrets of the instances that have all of theirs.
    pub(crate) keys: KeyRing,
    /// The instances that wait for a secret and nothing else.
    pub(crate) lacking: BTreeSet<InstanceName>,
    /// Everything that the configuration needs and this machine lacks.
    pub(crate) awaited: Vec<Problem>,
    /// The text that it was read from.
    pub(crate) source: Source,
}

/// The result of `vipd check`.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The configuration, or the errors in it.
    pub(crate) result: Result<Config, LoadError>,
    /// The things that it needs and this machine lacks, and the warnings.
    pub(crate) findings: Findings,
}

/// Validates a configuration as the node of this name would see it, or as this machine does if
/// there is no name. On this machine, everything that the configuration names has to exist.
pub(crate) fn check(path: &Path, node: Option<NodeName>) -> Checked {
    let on_this_machine = node.is_none();
    let read = Source::read(path).and_then(|source| {
        let here = match node {
            Some(name) => Here::Node(name),
            None => here(None)?,
        };
        Ok((source, here))
    });
    let (source, here) = match read {
        Ok(read) => read,
        Err(error) => return Checked { result: Err(error), findings: Findings::default() },
    };
    let (result, mut findings) = source.config(&here);
    let mut result = result.map_err(LoadError::Invalid);
    if let (Ok(config), true) = (&result, on_this_machine) {
        let (_, lacking) = secrets::read(path, &source.text, config);
        // Only the daemon can read credentials and some of the files: they do not count here.
        let (wrong, lacking) = apart(lacking.into_iter().filter(|one| !one.why.is_hidden()));
        findings.awaited.extend(lacking.into_iter().map(|one| one.problem));
        findings.awaited.extend(source.absent(config));
        sort(&mut findings.awaited);
        if !wrong.is_empty() {
            result = Err(LoadError::Invalid(wrong));
        }
    }
    Checked { result, findings }
}

/// Reads a configuration as this machine sees it, and the secrets that it names. `was` is this
/// machine's node in the configuration in effect.
///
/// # Errors
/// All errors in the text.
pub(crate) fn file(path: &Path, was: Option<Node>) -> Result<Loaded, LoadError> {
    Source::read(path)?.load(was)
}

impl Source {
    fn read(path: &Path) -> Result<Self, LoadError> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(Self { path: path.to_owned(), text: Arc::new(Zeroizing::new(text)) }),
            Err(error) => Err(LoadError::Unreadable { file: path.display().to_string(), error }),
        }
    }

    /// Evaluates this text on this machine as it is now.
    ///
    /// # Errors
    /// All errors in the text.
    pub(crate) fn load(self, was: Option<Node>) -> Result<Loaded, LoadError> {
        let (result, Findings { mut awaited, .. }) = self.config(&here(was)?);
        let mut config = result.map_err(LoadError::Invalid)?;
        let (keys, lacking) = secrets::read(&self.path, &self.text, &config);
        let (wrong, lacking) = apart(lacking.into_iter());
        if !wrong.is_empty() {
            return Err(LoadError::Invalid(wrong));
        }
        let mut names = BTreeSet::new();
        for Lacking { instance, problem, .. } in lacking {
            if let Entry::Vacant(place) = config.awaited.entry(instance.clone()) {
                place.insert(problem.what.clone());
                names.insert(instance);
            }
            awaited.push(problem);
        }
        awaited.extend(self.absent(&config));
        sort(&mut awaited);
        Ok(Loaded { config, keys, lacking: names, awaited, source: self })
    }

    fn config(&self, here: &Here) -> (Result<Config, Vec<Problem>>, Findings) {
        let file = self.path.display().to_string();
        let (result, findings) = config::examine(&file, &self.text, here);
        let result = result.and_then(|config| {
            let mut problems = unusable(&file, &self.text, &config);
            sort(&mut problems);
            if problems.is_empty() { Ok(config) } else { Err(problems) }
        });
        (result, findings)
    }

    /// Lists the programs, users and groups that this machine lacks or that are not fit.
    fn absent(&self, config: &Config) -> Vec<Problem> {
        let file = self.path.display().to_string();
        let mut problems = program::problems(&file, &self.text, config);
        problems.extend(unknown_group(&file, &self.text, config));
        problems
    }
}

fn here(was: Option<Node>) -> Result<Here, LoadError> {
    let addresses = own_addresses().map_err(LoadError::Addresses)?;
    Ok(Here::Machine { addresses, was })
}

/// Separates the secrets that are wrong in the text itself from those that are missing.
fn apart(lacking: impl Iterator<Item = Lacking>) -> (Vec<Problem>, Vec<Lacking>) {
    let (wrong, lacking): (Vec<_>, Vec<_>) = lacking.partition(|one| one.why.is_mistake());
    (wrong.into_iter().map(|one| one.problem).collect(), lacking)
}

fn sort(problems: &mut [Problem]) {
    problems.sort_by_key(|problem| (problem.line, problem.column));
}

/// Returns a problem if the system lacks the group whose members may control the daemon.
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

/// Lists the checks that could never pass and the webhooks that could never be delivered, each with
/// the reason.
fn unusable(file: &str, text: &str, config: &Config) -> Vec<Problem> {
    let problem = |path: &[&str], what: String| {
        let (line, column) = config::locate(text, path);
        Problem { file: file.to_owned(), line, column, key: path.join("."), what, hint: None }
    };
    let webhook = |place: &str, name: &str, notify: &Notify| {
        let what = notify::usable(notify.webhook.as_ref()?).err()?;
        Some(problem(&[place, name, "notify", "webhook"], what))
    };
    let checks = config.tracks.iter().filter_map(|track| {
        let what = probe::usable(&track.probe).err()?;
        Some(problem(&["tracks", track.name.as_str(), track.probe.kind()], what))
    });
    let instances = config.instances.iter();
    let of_instances =
        instances.filter_map(|one| webhook("instances", one.name.as_str(), &one.notify));
    let groups = config.sync_groups.iter();
    let of_groups = groups.filter_map(|one| webhook("sync_groups", one.name.as_str(), &one.notify));
    checks.chain(of_instances).chain(of_groups).collect()
}

/// Reads every address of this machine, with its interface and the length of its prefix.
fn own_addresses() -> io::Result<Vec<OwnAddress>> {
    let addresses = getifaddrs()?.filter_map(|entry| {
        let interface = InterfaceName::try_from(entry.interface_name.as_str()).ok()?;
        let address = entry.address.and_then(ip)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let ones = entry.netmask.and_then(ip).map(|mask| match mask {
            IpAddr::V4(mask) => mask.to_bits().count_ones(),
            IpAddr::V6(mask) => mask.to_bits().count_ones(),
        });
        let prefix = ones.and_then(|ones| u8::try_from(ones).ok()).unwrap_or(longest);
        Some(OwnAddress { interface, address, prefix })
    });
    Ok(addresses.collect())
}

fn ip(storage: SockaddrStorage) -> Option<IpAddr> {
    let v4 = storage.as_sockaddr_in().map(|v4| v4.ip().into());
    v4.or_else(|| storage.as_sockaddr_in6().map(|v6| v6.ip().into()))
}

/// The answer of `vipd check --json`.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict<'a> {
    file: String,
    /// True if the text is valid. The things in `awaited` do not count: the text is not to blame.
    valid: bool,
    node: Option<&'a NodeName>,
    /// The errors in the text.
    problems: &'a [Problem],
    /// The things that the configuration needs and this machine lacks.
    awaited: &'a [Problem],
    /// The settings that are valid but probably not intended.
    warnings: &'a [Problem],
    /// The reason, if the file could not be read at all.
    error: Option<String>,
}

impl<'a> Verdict<'a> {
    /// The verdict on the file of this name.
    pub(crate) fn of(path: &Path, Checked { result, findings }: &'a Checked) -> Self {
        let problems: &[Problem] = match result {
            Err(LoadError::Invalid(problems)) => problems,
            _ => &[],
        };
        Self {
            file: path.display().to_string(),
            valid: result.is_ok(),
            node: result.as_ref().ok().and_then(|config| config.this_node.as_ref()),
            problems,
            awaited: &findings.awaited,
            warnings: &findings.warnings,
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

    /// Rule: the error for a file that cannot be read contains its name and the reason.
    #[test]
    fn a_missing_file_is_named() {
        let path = Path::new("/nonexistent/vipd.yaml");
        let checked = check(path, Some("db1".try_into().unwrap()));
        let text = checked.result.as_ref().unwrap_err().to_string();
        assert!(text.starts_with("/nonexistent/vipd.yaml: cannot be read: "), "{text}");
        let verdict = serde_json::to_value(Verdict::of(path, &checked)).unwrap();
        assert_eq!(verdict["valid"], false);
        assert_eq!(verdict["error"], text);
    }

    /// Rule: a check that could never pass is refused by its name, with the reason: a kind that
    /// this program was built without, or a text that only the client of its kind can judge.
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
        let result = check(&path, Some("db1".try_into().unwrap())).result;
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

    /// Rule: a webhook that could never be delivered is refused, with its line and the error.
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
            let result = check(&path, Some("db1".try_into().unwrap())).result;
            std::fs::remove_file(&path).unwrap();
            let said = result.unwrap_err().to_string();
            let start = format!("{}:8:16: instances.db.notify.webhook: ", path.display());
            assert!(said.starts_with(&start) && said.contains(why), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }

    /// Rule: this machine's addresses are known by interface, and loopback is always among them.
    #[test]
    fn own_addresses_include_loopback() {
        let (interface, address) = ("lo".try_into().unwrap(), IpAddr::from([127, 0, 0, 1]));
        let loopback = OwnAddress { interface, address, prefix: 8 };
        assert!(own_addresses().unwrap().contains(&loopback));
    }
}
