//! Which VRRP sockets are open: one for each interface and family on which an instance has a path.
//!
//! Opening one and joining its groups takes the kernel's time, so the outcome is an input. Until
//! then an instance that needs the socket does not start.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::event::Action;
use super::link::Link;
use super::story::Fault;
use super::timer::Timer;
use super::words::SystemError;
use crate::model::{Family, InstanceConfig, InterfaceName, Path, Vrid};
use crate::time::{Mono, Span};
use crate::vrrp::packet::multicast_group;

/// When a socket that could not be opened, or a group that could not be joined, is tried again.
const RETRY: Span = Span::from_secs(2);

/// The place of a socket.
pub(super) type Key = (InterfaceName, Family);

/// The groups that could not be joined.
pub(super) type Missing = Vec<(IpAddr, SystemError)>;

/// What a socket is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Wanted {
    index: u32,
    virtual_router_ids: Vec<Vrid>,
    groups: Vec<IpAddr>,
    /// For IPv6: whether the interface has a usable address.
    has_address: bool,
}

impl Wanted {
    /// Says if a socket for this must be opened again for `other`. An interface on which IPv6 is
    /// turned off, or whose MTU falls below 1,280 bytes, has left its groups for good without a
    /// word to whoever joined them (`addrconf_ifdown` and `ipv6_mc_destroy_dev` in Linux'
    /// `net/ipv6`); its addresses have gone with that. So with the first one that comes the groups
    /// are joined again. An interface with another index has closed the old one's socket already.
    fn is_void_for(&self, other: &Self) -> bool {
        other.has_address && !self.has_address
    }

    fn asks_for_the_same_as(&self, other: &Self) -> bool {
        (&self.virtual_router_ids, &self.groups) == (&other.virtual_router_ids, &other.groups)
    }

    fn listen(&self, (interface, family): &Key) -> Action {
        Action::Listen {
            interface: interface.clone(),
            index: self.index,
            family: *family,
            virtual_router_ids: self.virtual_router_ids.clone(),
            groups: self.groups.clone(),
        }
    }
}

/// A socket that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked {
    wanted: Wanted,
    /// The last attempt was not answered yet.
    awaited: bool,
    /// The result of the last attempt that was.
    outcome: Option<Result<Missing, SystemError>>,
    retry: Option<Mono>,
}

impl Asked {
    fn new(wanted: Wanted) -> Self {
        Self { wanted, awaited: true, outcome: None, retry: None }
    }
}

/// The sockets that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Listening(BTreeMap<Key, Asked>);

impl Listening {
    /// Asks for what the instances need and is not open, and closes what is not needed.
    pub(super) fn update<'a>(
        &mut self,
        now: Mono,
        link: impl Fn(&InterfaceName) -> Option<&'a Link>,
        only: Option<&InterfaceName>,
        instances: impl Iterator<Item = &'a InstanceConfig>,
        out: &mut Vec<Action>,
    ) {
        let concerns = |interface: &InterfaceName| only.is_none_or(|only| only == interface);
        let mut wanted = wanted(link, instances);
        wanted.retain(|(interface, _), _| concerns(interface));
        let stop = |(interface, family): &Key| Action::StopListening {
            interface: interface.clone(),
            family: *family,
        };
        self.0.retain(|key, _| {
            let is_kept = !concerns(&key.0) || wanted.contains_key(key);
            if !is_kept {
                out.push(stop(key));
            }
            is_kept
        });
        for (key, wanted) in wanted {
            let Some(asked) = self.0.get_mut(&key) else {
                out.push(wanted.listen(&key));
                self.0.insert(key, Asked::new(wanted));
                continue;
            };
            let is_due = asked.retry.is_some_and(|at| at <= now);
            if asked.wanted.is_void_for(&wanted) {
                out.extend([stop(&key), wanted.listen(&key)]);
                *asked = Asked::new(wanted);
            } else if is_due || !asked.wanted.asks_for_the_same_as(&wanted) {
                out.push(wanted.listen(&key));
                // The known result stays true until the answer.
                (asked.wanted, asked.awaited, asked.retry) = (wanted, true, None);
            } else {
                asked.wanted = wanted;
            }
        }
    }

    /// A socket is open, but for these groups.
    pub(super) fn opened(&mut self, now: Mono, key: &Key, missing: Missing) {
        let retry = (!missing.is_empty()).then(|| now + RETRY);
        self.answered(key, Ok(missing), retry);
    }

    /// A socket could not be opened.
    pub(super) fn failed(&mut self, now: Mono, key: &Key, error: SystemError) {
        self.answered(key, Err(error), Some(now + RETRY));
    }

    fn answered(&mut self, key: &Key, outcome: Result<Missing, SystemError>, retry: Option<Mono>) {
        if let Some(asked) = self.0.get_mut(key) {
            (asked.awaited, asked.outcome, asked.retry) = (false, Some(outcome), retry);
        }
    }

    /// Says if an answer about an instance's own interface is still to come.
    pub(super) fn is_awaited(&self, instance: &InstanceConfig) -> bool {
        own_paths(instance).any(|path| self.asked(&path).is_some_and(|asked| asked.awaited))
    }

    /// Says if an instance can send on this path.
    pub(super) fn is_open(&self, path: &Path) -> bool {
        let outcome = self.asked(path).and_then(|asked| asked.outcome.as_ref());
        outcome.is_some_and(Result::is_ok)
    }

    /// The fault that keeps an instance from hearing others on its own interface.
    pub(super) fn fault(&self, instance: &InstanceConfig) -> Option<Fault> {
        own_paths(instance).find_map(|path| self.path_fault(instance, &path))
    }

    /// The fault that keeps an instance from hearing others on this path.
    pub(super) fn path_fault(&self, instance: &InstanceConfig, path: &Path) -> Option<Fault> {
        let interface = || path.interface.clone();
        let missing = match self.asked(path)?.outcome.as_ref()? {
            Ok(missing) => missing,
            Err(error) => return Some(Fault::CannotListen(interface(), error.clone())),
        };
        if instance.transport.is_unicast() {
            return None;
        }
        let group = instance.transport.group(path.family);
        let group = group.unwrap_or_else(|| multicast_group(path.family));
        let (_, error) = missing.iter().find(|(missing, _)| *missing == group)?;
        Some(Fault::CannotJoin(group, interface(), error.clone()))
    }

    /// When to try again.
    pub(super) fn deadline(&self) -> Option<(Mono, Timer)> {
        let retries = self.0.values().filter_map(|asked| asked.retry);
        retries.min().map(|at| (at, Timer::Socket))
    }

    fn asked(&self, path: &Path) -> Option<&Asked> {
        self.0.get(&(path.interface.clone(), path.family))
    }
}

fn own_paths(instance: &InstanceConfig) -> impl Iterator<Item = Path> + use<'_> {
    instance.paths().filter(|path| path.interface == instance.interface)
}

fn wanted<'a>(
    link: impl Fn(&InterfaceName) -> Option<&'a Link>,
    instances: impl Iterator<Item = &'a InstanceConfig>,
) -> BTreeMap<Key, Wanted> {
    let mut all: BTreeMap<Key, Wanted> = BTreeMap::new();
    let paths = instances.flat_map(|one| one.paths().map(move |path| (one, path)));
    for (instance, Path { interface, family }) in paths {
        let Some(link) = link(&interface) else { continue };
        let wanted = all.entry((interface, family)).or_insert_with(|| Wanted {
            index: link.index,
            virtual_router_ids: Vec::new(),
            groups: Vec::new(),
            has_address: has_address(link, family),
        });
        wanted.virtual_router_ids.push(instance.virtual_router_id);
        let group = instance.transport.group(family);
        wanted.groups.extend(group.filter(|group| !wanted.groups.contains(group)));
    }
    all
}

fn has_address(link: &Link, family: Family) -> bool {
    family == Family::V6 && link.addresses.iter().any(|there| there.address.is_ipv6())
}
