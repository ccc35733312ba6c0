//! The configuration from its file, as this machine sees it.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;
use serde::Serialize;

use super::program;
use crate::config::{self, Here, Problem};
use crate::model::{Config, InterfaceName, NodeName, Probe, TrackConfig, TrackName};

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
    /// It has a check of a kind that this program was built without.
    Absent {
        /// The file's name as given.
        file: String,
        /// The check.
        track: TrackName,
        /// Its kind, and the Cargo feature that has it.
        kind: &'static str,
    },
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
                let mut lines = problems.iter();
                if let Some(first) = lines.next() {
                    write!(f, "{first}")?;
                }
                lines.try_for_each(|problem| write!(f, "\n{problem}"))
            }
            Self::Absent { file, track, kind } => {
                write!(f, "{file}: check {track}: this vipd was built without the feature '{kind}'")
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
    let file = path.display().to_string();
    let on_this_machine = node.is_none();
    let here = match node {
        Some(name) => Here::Node(name),
        None => Here::Machine { addresses: own_addresses().map_err(LoadError::Addresses)? },
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return Err(LoadError::Unreadable { file, error }),
    };
    let config = config::load(&file, &text, &here).map_err(LoadError::Invalid)?;
    if let Some(TrackConfig { name, probe, .. }) =
        config.tracks.iter().find(|track| is_absent(&track.probe))
    {
        return Err(LoadError::Absent { file, track: name.clone(), kind: probe.kind() });
    }
    let problems =
        if on_this_machine { program::problems(&file, &text, &config) } else { Vec::new() };
    if problems.is_empty() { Ok(config) } else { Err(LoadError::Invalid(problems)) }
}

/// Whether this program was built without what such a check needs.
fn is_absent(probe: &Probe) -> bool {
    let absent =
        [("mysql", cfg!(not(feature = "mysql"))), ("postgres", cfg!(not(feature = "postgres")))];
    absent.contains(&(probe.kind(), true))
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

    /// Rule: a check of a kind that this program was built without is refused, by its name.
    #[test]
    fn a_check_of_an_absent_kind_is_refused() {
        let path = std::env::temp_dir().join(format!("vipd-absent-{}.yaml", std::process::id()));
        let text = "nodes: { db1: 10.0.0.11, db2: 10.0.0.12 }\n\
                    tracks: { pg: { postgres: { dsn: host=/run, role: any } } }\n\
                    instances:\n  db: { interface: eth0, virtual_router_id: 51, \
                    addresses: [10.0.0.100/24], track: [pg] }\n";
        std::fs::write(&path, text).unwrap();
        let result = file(&path, Some("db1".try_into().unwrap()));
        std::fs::remove_file(&path).unwrap();
        let said = result.map_or_else(|error| error.to_string(), |_| String::new());
        let why = "check pg: this vipd was built without the feature 'postgres'";
        let expected = if cfg!(feature = "postgres") { "" } else { why };
        assert_eq!(said.trim_start_matches(&format!("{}: ", path.display())), expected);
    }

    /// Rule: this machine's addresses are known by interface; the loopback one always is.
    #[test]
    fn own_addresses_include_loopback() {
        let loopback = ("lo".try_into().unwrap(), IpAddr::from([127, 0, 0, 1]));
        assert!(own_addresses().unwrap().contains(&loopback));
    }
}
