//! Which VRRP sockets are open: one for each interface and family on which an instance has a path.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::event::Action;
use super::link::Link;
use super::links::Links;
use crate::model::{Family, InstanceConfig, InterfaceName, Path, Vrid};
use crate::time::{Mono, Span};

/// When a socket that could not be opened is tried again.
pub(super) const RETRY: Span = Span::from_secs(2);

type Key = (InterfaceName, Family);

/// What a socket is for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    index: u32,
    virtual_router_ids: Vec<Vrid>,
    groups: Vec<IpAddr>,
    /// For IPv6: whether the interface has a usable address.
    has_address: bool,
}

impl Wanted {
    /// Whether a socket that was opened for this does for `other`. An interface on which IPv6 is turned
    /// off, or whose MTU falls below 1,280 bytes, has left its groups for good without a word to whoever
    /// joined them (`addrconf_ifdown` and `ipv6_mc_destroy_dev` in Linux' `net/ipv6`); its addresses
    /// have gone with that. So with the first one that comes the groups are joined again.
    fn does_for(&self, other: &Self) -> bool {
        let address_came = other.has_address && !self.has_address;
        (self.index, &self.virtual_router_ids, &self.groups)
            == (other.index, &other.virtual_router_ids, &other.groups)
            && !address_came
    }
}

/// The sockets that are asked for.
#[derive(Debug, Default)]
pub(super) struct Listening {
    open: BTreeMap<Key, Wanted>,
    retry: BTreeMap<Key, Mono>,
}

impl Listening {
    /// Asks for what the instances need and is not open, and closes what is not needed.
    pub(super) fn update<'a>(
        &mut self,
        now: Mono,
        links: &Links,
        instances: impl Iterator<Item = &'a InstanceConfig>,
        out: &mut Vec<Action>,
    ) {
        self.retry.retain(|_, at| *at > now);
        let mut wanted: BTreeMap<Key, Wanted> = BTreeMap::new();
        let paths = instances.flat_map(|one| one.paths().map(move |path| (one, path)));
        for (instance, Path { interface, family }) in paths {
            let Some(link) = links.get(&interface) else { continue };
            let wanted = wanted.entry((interface, family)).or_insert_with(|| Wanted {
                index: link.index,
                virtual_router_ids: Vec::new(),
                groups: Vec::new(),
                has_address: has_address(link, family),
            });
            wanted.virtual_router_ids.push(instance.virtual_router_id);
            let group = instance.transport.group(family);
            wanted.groups.extend(group.filter(|group| !wanted.groups.contains(group)));
        }
        for (interface, family) in self.open.keys().filter(|key| !wanted.contains_key(*key)) {
            let (interface, family) = (interface.clone(), *family);
            out.push(Action::StopListening { interface, family });
        }
        for (key, socket) in &wanted {
            let is_open = self.open.get(key).is_some_and(|open| open.does_for(socket));
            if !is_open && !self.retry.contains_key(key) {
                let (interface, family) = key.clone();
                let Wanted { index, virtual_router_ids, groups, .. } = socket.clone();
                out.push(Action::Listen { interface, index, family, virtual_router_ids, groups });
            }
        }
        wanted.retain(|key, _| !self.retry.contains_key(key));
        self.open = wanted;
    }

    /// A socket could not be opened.
    pub(super) fn failed(&mut self, now: Mono, interface: &InterfaceName, family: Family) {
        let key = (interface.clone(), family);
        self.open.remove(&key);
        self.retry.insert(key, now + RETRY);
    }

    /// When to try again.
    pub(super) fn deadline(&self) -> Option<(Mono, &'static str)> {
        self.retry.values().min().map(|at| (*at, "socket"))
    }
}

fn has_address(link: &Link, family: Family) -> bool {
    family == Family::V6 && link.addresses.iter().any(|there| there.address.is_ipv6())
}
