//! The kernel's settings (`sysctl`) that a device with a virtual MAC address needs, on itself and
//! on the interface below it.
//!
//! Without them the kernel answers for a virtual address on any interface with that interface's own
//! Ethernet address, and drops what comes in at the device because the way back leaves by the
//! interface (Linux' `Documentation/networking/ip-sysctl.rst`). What is right already is not
//! touched. What an interface had before is written down first, so that it is put back, by
//! `vipd release` too; the settings of a device go with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::directory::Directory;
use crate::engine::SystemError;
use crate::model::{Family, InterfaceName, VirtualDevice};

/// Where the kernel has them.
const ROOT: &str = "/proc/sys/net";

/// The name of the list in the runtime directory.
const NAME: &str = "settings.json";

/// The format that this version writes, and the only one that it reads.
const FORMAT: u32 = 1;

/// What is set: these and no others, whatever stands in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Name {
    AcceptDad,
    AcceptRa,
    ArpAnnounce,
    ArpFilter,
    ArpIgnore,
    #[serde(rename = "disable_ipv6")]
    DisableIpv6,
    Forwarding,
    PromoteSecondaries,
    RpFilter,
}

impl Name {
    const fn as_str(self) -> &'static str {
        match self {
            Self::AcceptDad => "accept_dad",
            Self::AcceptRa => "accept_ra",
            Self::ArpAnnounce => "arp_announce",
            Self::ArpFilter => "arp_filter",
            Self::ArpIgnore => "arp_ignore",
            Self::DisableIpv6 => "disable_ipv6",
            Self::Forwarding => "forwarding",
            Self::PromoteSecondaries => "promote_secondaries",
            Self::RpFilter => "rp_filter",
        }
    }
}

/// One setting of one interface: `net/ipv4/conf/eth0/arp_ignore`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Key {
    family: Family,
    interface: InterfaceName,
    name: Name,
}

/// A setting that was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Changed {
    before: u32,
    now: u32,
}

/// The list as it is written.
#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    settings: Vec<(Key, Changed)>,
}

/// What was changed on interfaces, and which devices need it.
#[derive(Debug)]
pub(crate) struct Settings {
    directory: Directory,
    changed: BTreeMap<Key, Changed>,
    users: BTreeMap<InterfaceName, BTreeSet<InterfaceName>>,
}

/// What was put back, or could not be, for people.
#[derive(Debug)]
pub(crate) struct Restored {
    key: Key,
    before: u32,
    result: io::Result<()>,
}

impl Restored {
    pub(crate) fn failed(&self) -> bool {
        self.result.is_err()
    }
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, before, result } = self;
        match result {
            Ok(()) => write!(f, "{key} put back to {before}"),
            Err(error) => write!(
                f,
                "{key} CANNOT be put back to {before}: {error} (by hand: sysctl -w {key}={before})"
            ),
        }
    }
}

/// As `sysctl(8)` takes it: with slashes where a dot stands in the interface's name.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { interface, name, .. } = self;
        let name = name.as_str();
        let between = if interface.as_str().contains('.') { '/' } else { '.' };
        let tree = self.tree();
        write!(f, "net{between}{tree}{between}conf{between}{interface}{between}{name}")
    }
}

impl Key {
    fn new(family: Family, interface: &InterfaceName, name: Name) -> Self {
        Self { family, interface: interface.clone(), name }
    }

    const fn tree(&self) -> &'static str {
        match self.family {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        }
    }

    fn path(&self, interface: &str) -> PathBuf {
        Path::new(ROOT).join(self.tree()).join("conf").join(interface).join(self.name.as_str())
    }

    /// The interface's own value; `None` where the kernel has no such setting, as without IPv6.
    fn own(&self) -> Option<u32> {
        read(&self.path(self.interface.as_str()))
    }

    /// That for all interfaces.
    fn all(&self) -> u32 {
        read(&self.path("all")).unwrap_or(0)
    }

    fn set(&self, value: u32) -> io::Result<()> {
        fs::write(self.path(self.interface.as_str()), value.to_string())
    }
}

fn read(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// What a setting must be.
#[derive(Clone, Copy, Debug)]
enum Need {
    /// This, whatever is set for all interfaces.
    Exactly(u32),
    /// At least this: the larger one of it and that for all interfaces counts.
    AtLeast(u32),
    /// Anything but strict (1). Loose (2) is larger, and so prevails over a strict one for all.
    NotStrict,
    /// Off, here and for all interfaces.
    Off,
}

/// The interface below answers for its own addresses only, and asks with no others: otherwise
/// clients would learn its Ethernet address for the virtual ones, from its answers or its
/// questions.
const BELOW: [(Name, Need); 2] =
    [(Name::ArpIgnore, Need::AtLeast(1)), (Name::ArpAnnounce, Need::AtLeast(2))];

/// The largest value of those that the kernel knows (`arp_ignore`).
const LARGEST: u32 = 8;

impl Settings {
    /// Of the daemon with this runtime directory.
    pub(crate) fn in_directory(directory: &Directory) -> Self {
        let (changed, users) = (BTreeMap::new(), BTreeMap::new());
        Self { directory: directory.clone(), changed, users }
    }

    /// Sets what a device needs that has just been made.
    ///
    /// # Errors
    /// What cannot be set, with the command that does.
    pub(crate) fn prepare(&mut self, device: &VirtualDevice) -> Result<(), SystemError> {
        let (name, below) = (device.name(), &device.interface);
        let forwarding = Key::new(device.family, below, Name::Forwarding).own().unwrap_or(0);
        let forwarding = (Name::Forwarding, Need::Exactly(forwarding));
        match device.family {
            Family::V4 => {
                for (key, need) in BELOW {
                    self.change(&Key::new(Family::V4, below, key), need)?;
                }
                self.users.entry(below.clone()).or_default().insert(name.clone());
                let own = [
                    (Name::ArpIgnore, Need::AtLeast(1)),
                    (Name::RpFilter, Need::NotStrict),
                    (Name::ArpFilter, Need::Off),
                    (Name::PromoteSecondaries, Need::AtLeast(1)),
                    forwarding,
                ];
                for (key, need) in own {
                    set(&Key::new(Family::V4, &name, key), need)?;
                }
                // Neither questions nor reports of IPv6 from the virtual MAC of IPv4, and no routes
                // by it.
                set(&Key::new(Family::V6, &name, Name::DisableIpv6), Need::Exactly(1))
            }
            Family::V6 => {
                let own = [
                    (Name::DisableIpv6, Need::Exactly(0)),
                    (Name::AcceptRa, Need::Exactly(0)),
                    (Name::AcceptDad, Need::Exactly(0)),
                    forwarding,
                ];
                // It hears the questions for IPv4 addresses too, and has none.
                set(&Key::new(Family::V4, &name, Name::ArpIgnore), Need::AtLeast(1))?;
                own.into_iter()
                    .try_for_each(|(key, need)| set(&Key::new(Family::V6, &name, key), need))
            }
        }
    }

    /// A device is gone: where it was the last one on its interface, that gets its own settings
    /// back.
    ///
    /// # Errors
    /// What cannot be put back, with the command that does.
    pub(crate) fn forget(&mut self, device: &VirtualDevice) -> Result<(), SystemError> {
        let Some(users) = self.users.get_mut(&device.interface) else { return Ok(()) };
        users.remove(&device.name());
        if !users.is_empty() {
            return Ok(());
        }
        self.users.remove(&device.interface);
        let of_it = |key: &Key| key.interface == device.interface;
        let restored = restore(self.changed.iter().filter(|(key, _)| of_it(key)));
        self.changed.retain(|key, _| !of_it(key));
        self.write().map_err(|error| self.unwritten(&error))?;
        match restored.into_iter().find(Restored::failed) {
            Some(failed) => Err(SystemError { errno: 0, text: failed.to_string() }),
            None => Ok(()),
        }
    }

    /// Changes a setting that outlives the device, and writes down before what it was.
    fn change(&mut self, key: &Key, need: Need) -> Result<(), SystemError> {
        let Some(now) = wanted(key, need)? else { return Ok(()) };
        if let Some(before) = key.own() {
            self.changed.insert(key.clone(), Changed { before, now });
            self.write().map_err(|error| self.unwritten(&error))?;
        }
        let result = put(key, now);
        if result.is_err() {
            self.changed.remove(key);
        }
        result
    }

    fn unwritten(&self, error: &io::Error) -> SystemError {
        let path = self.directory.path().join(NAME);
        let text = format!("{}: cannot be written: {error}", path.display());
        SystemError { errno: error.raw_os_error().unwrap_or(0), text }
    }

    fn write(&self) -> io::Result<()> {
        if self.changed.is_empty() {
            return self.directory.remove(NAME);
        }
        let settings = self.changed.iter().map(|(key, changed)| (key.clone(), *changed));
        let text = serde_json::to_vec(&Written { format: FORMAT, settings: settings.collect() })?;
        self.directory.replace(NAME, &text)
    }
}

/// The value to set; `None` where that it has is right.
fn wanted(key: &Key, need: Need) -> Result<Option<u32>, SystemError> {
    let Some(own) = key.own() else {
        // A kernel may be without IPv6; without IPv4's it is the service's sandbox that hides them.
        return match key.family {
            Family::V6 => Ok(None),
            Family::V4 => Err(SystemError {
                errno: 0,
                text: format!(
                    "{key} cannot be seen: does the unit hide /proc/sys (ProcSubset=pid)?"
                ),
            }),
        };
    };
    let wanted = match need {
        Need::Exactly(value) => Some(value),
        Need::AtLeast(value) if own.max(key.all()) < value => Some(value),
        Need::NotStrict if own.max(key.all()) == 1 => Some(2),
        Need::Off if key.all() != 0 => {
            let all = Key { interface: all_interfaces(key), ..key.clone() };
            let text =
                format!("{all} is {}, so it would answer nobody: sysctl -w {all}=0", key.all());
            return Err(SystemError { errno: 0, text });
        }
        Need::Off => Some(0),
        Need::AtLeast(_) | Need::NotStrict => None,
    };
    Ok(wanted.filter(|value| *value != own))
}

fn all_interfaces(key: &Key) -> InterfaceName {
    InterfaceName::try_from("all").unwrap_or_else(|_| key.interface.clone())
}

fn set(key: &Key, need: Need) -> Result<(), SystemError> {
    wanted(key, need)?.map_or(Ok(()), |value| put(key, value))
}

fn put(key: &Key, value: u32) -> Result<(), SystemError> {
    key.set(value).map_err(|error| {
        let text = format!("{key} cannot be set: {error} (by hand: sysctl -w {key}={value})");
        SystemError { errno: error.raw_os_error().unwrap_or(0), text }
    })
}

/// Puts back what nobody else has changed since.
fn restore<'a>(settings: impl Iterator<Item = (&'a Key, &'a Changed)>) -> Vec<Restored> {
    settings
        .filter(|(key, changed)| key.own() == Some(changed.now))
        .map(|(key, changed)| Restored {
            result: key.set(changed.before),
            key: key.clone(),
            before: changed.before,
        })
        .collect()
}

/// Whether anything is written down.
pub(crate) fn are_changed(directory: &Directory) -> bool {
    directory.has(NAME)
}

/// Puts back what a daemon that is dead has changed, and says what. The list is gone afterwards,
/// unless something is left of it.
///
/// # Errors
/// That the list cannot be read, understood or removed.
pub(crate) fn restore_all(directory: &Directory) -> Result<Vec<Restored>, String> {
    let path = directory.path().join(NAME);
    let said = |error: &dyn fmt::Display| format!("{}: {error}", path.display());
    let Some(text) = directory.read(NAME).map_err(|error| said(&error))? else {
        return Ok(Vec::new());
    };
    let settings = parse(&text).map_err(|why| said(&why))?;
    let restored = restore(settings.iter().map(|(key, changed)| (key, changed)));
    if !restored.iter().any(Restored::failed) {
        directory.remove(NAME).map_err(|error| said(&error))?;
    }
    Ok(restored)
}

/// A list, if it is one that a vipd may have written: all of it or nothing.
fn parse(text: &[u8]) -> Result<Vec<(Key, Changed)>, String> {
    let Written { format, settings } =
        serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if format != FORMAT {
        return Err(format!(
            "another version of vipd wrote it: its format is {format}, this version reads {FORMAT}"
        ));
    }
    match settings.iter().find(|(key, changed)| !may_be_ours(key, *changed)) {
        Some((key, changed)) => {
            let Changed { before, now } = changed;
            Err(format!("vipd never sets {key} from {before} to {now}: nothing is put back"))
        }
        None => Ok(settings),
    }
}

/// Returns true if [`Settings::prepare`] may have changed this on an interface that stays.
fn may_be_ours(key: &Key, changed: Changed) -> bool {
    let of_all = ["all", "default"].contains(&key.interface.as_str());
    let is_known = key.family == Family::V4 && BELOW.iter().any(|(name, _)| *name == key.name);
    is_known && !of_all && changed.before.max(changed.now) <= LARGEST
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: what is named to people can be typed, also where a dot stands in the interface's name.
    #[test]
    fn keys_are_as_sysctl_takes_them() {
        let key = |name: &str| Key::new(Family::V4, &name.try_into().unwrap(), Name::ArpIgnore);
        assert_eq!(key("eth0").to_string(), "net.ipv4.conf.eth0.arp_ignore");
        assert_eq!(key("eth0.100").to_string(), "net/ipv4/conf/eth0.100/arp_ignore");
        assert_eq!(key("eth0").path("eth0"), Path::new("/proc/sys/net/ipv4/conf/eth0/arp_ignore"));
    }

    /// Rule: a setting that the kernel does not have needs nothing (a kernel without IPv6).
    #[test]
    fn what_is_not_there_needs_nothing() {
        let key = Key::new(Family::V6, &"no-such-device".try_into().unwrap(), Name::AcceptRa);
        assert_eq!(wanted(&key, Need::Exactly(0)).unwrap(), None);
    }

    /// Bug guarded: a list with `../../` in the name of a setting made root write a number into any
    /// file. Anything that vipd never changes makes the whole list invalid: another setting,
    /// another value, a name that is not an interface.
    #[test]
    fn only_what_may_be_ours_is_put_back() {
        let list = |family: &str, interface: &str, name: &str, before: u64| {
            let key =
                format!(r#"{{"family":"{family}","interface":"{interface}","name":"{name}"}}"#);
            format!(r#"{{"format":1,"settings":[[{key},{{"before":{before},"now":1}}]]}}"#)
        };
        let valid = list("V4", "eth0", "arp_ignore", 0);
        assert_eq!(parse(valid.as_bytes()).map(|settings| settings.len()), Ok(1));
        for (family, interface, name, before) in [
            ("V4", "eth0", "../../../../../../etc/vipd/number", 0),
            ("V4", "eth0", "forwarding", 0),
            ("V4", "eth0", "no_such_setting", 0),
            ("V6", "eth0", "arp_ignore", 0),
            ("V4", "eth0", "arp_ignore", 9),
            ("V4", "..", "arp_ignore", 0),
            ("V4", "../../core", "arp_ignore", 0),
            ("V4", "all", "arp_ignore", 0),
            ("V4", "default", "arp_announce", 0),
        ] {
            let text = list(family, interface, name, before);
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    /// Rule: the names of the settings are the kernel's, in the list too.
    #[test]
    fn names_are_the_kernels() {
        for name in [Name::AcceptDad, Name::DisableIpv6, Name::RpFilter, Name::ArpIgnore] {
            let written = serde_json::to_string(&name).unwrap();
            assert_eq!(written, format!("\"{}\"", name.as_str()));
        }
    }
}
