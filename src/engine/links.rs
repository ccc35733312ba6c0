//! What the engine knows of the interfaces that the configuration names.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::event::Action;
use super::link::{Link, LinkAddress, UnusableAddress};
use super::listen::{Key, Listening, Missing};
use super::story::{Fault, LinkLocal};
use super::timer::Timer;
use super::words::SystemError;
use crate::hash::hash_by;
use crate::model::{Config, Family, InstanceConfig, InterfaceName, is_link_local};
use crate::time::{Mono, Now, Span};

/// A daemon that starts within this time after the kernel is taken to start with the machine:
/// its switch port may still be learning, so the hold-down counts. Later it is a restart.
const JUST_BOOTED: Span = Span::from_secs(120);

/// The interfaces by name. One that was never reported is unknown, which is not the same as
/// missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Links {
    known: BTreeMap<InterfaceName, Known>,
    /// All addresses that move, of whichever instance: there may be thousands.
    moving: BTreeSet<IpAddr>,
    /// The interfaces of each address of this machine.
    there: BTreeMap<IpAddr, BTreeSet<InterfaceName>>,
    /// The VRRP sockets on them.
    pub(super) listening: Listening,
    /// The number of changes of what messages depend on.
    changes: u64,
    /// The number of times that addresses that move have come or gone, and nothing else.
    moves: u64,
}

hash_by!(Links { known, listening } without { moving, there, changes, moves });

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Known {
    link: Option<Link>,
    /// The addresses on it that stay there.
    own: Vec<LinkAddress>,
    /// Those of them that are not usable (yet).
    unusable: Vec<UnusableAddress>,
    /// Since when it has had carrier, as far as the hold-down cares.
    carrier_since: Mono,
}

/// The news of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It is as it was.
    Nothing,
    /// Addresses that move have come or gone, and nothing else.
    Moving,
    /// Something else.
    Other,
}

impl Links {
    /// The addresses that this configuration moves are nobody's own.
    pub(super) fn reconfigure(&mut self, config: &Config) {
        let of_all = config.instances.iter().flat_map(InstanceConfig::moving_addresses);
        self.moving = of_all.map(|address| address.address).collect();
        for known in self.known.values_mut() {
            known.find_own(&self.moving);
        }
        self.changes += 1;
    }

    /// Takes in the state of an interface.
    pub(super) fn update(&mut self, now: Now, name: InterfaceName, link: Option<Link>) -> News {
        let usable = |link: &Option<Link>| link.as_ref().is_some_and(|l| l.up && l.carrier);
        let since = match self.known.get(&name) {
            Some(known) if usable(&known.link) => known.carrier_since,
            None if usable(&link) && now.mono.since(Mono(0)) > JUST_BOOTED => Mono(0),
            _ => now.mono,
        };
        let (own, unusable) = (Vec::new(), Vec::new());
        let mut known = Known { link, own, unusable, carrier_since: since };
        known.find_own(&self.moving);
        let before = self.known.get(&name);
        let news = before.map_or(News::Other, |before| before.compared_with(&known));
        if news == News::Nothing {
            return news;
        }
        self.place_addresses(&name, &known);
        match news {
            News::Moving => self.moves += 1,
            News::Nothing | News::Other => self.changes += 1,
        }
        self.known.insert(name, known);
        news
    }

    /// Keeps account of where each address is.
    fn place_addresses(&mut self, name: &InterfaceName, known: &Known) {
        let before = self.known.get(name).and_then(|known| known.link.as_ref());
        for gone in before.into_iter().flat_map(|link| &link.addresses) {
            if let Some(places) = self.there.get_mut(&gone.address) {
                places.remove(name);
                if places.is_empty() {
                    self.there.remove(&gone.address);
                }
            }
        }
        for new in known.link.iter().flat_map(|link| &link.addresses) {
            self.there.entry(new.address).or_default().insert(name.clone());
        }
    }

    /// The number of addresses that the configuration moves.
    pub(super) fn moving(&self) -> usize {
        self.moving.len()
    }

    /// The number of changes of what messages depend on.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// The number of all changes: while it is the same, so is all that is known here.
    pub(super) const fn state(&self) -> u64 {
        self.changes + self.moves
    }

    /// Asks for the sockets that these instances need, which are those on interface `only` or all.
    pub(super) fn listen<'a>(
        &'a mut self,
        now: Mono,
        only: Option<&InterfaceName>,
        instances: impl Iterator<Item = &'a InstanceConfig>,
        out: &mut Vec<Action>,
    ) {
        let Self { known, listening, .. } = self;
        let known = &*known;
        let link = |name: &InterfaceName| known.get(name)?.link.as_ref();
        listening.update(now, link, only, instances, out);
    }

    /// A socket is open, but for these groups.
    pub(super) fn opened(&mut self, now: Mono, key: &Key, missing: Missing) {
        self.changes += 1;
        self.listening.opened(now, key, missing);
    }

    /// A socket could not be opened.
    pub(super) fn not_opened(&mut self, now: Mono, key: &Key, error: SystemError) {
        self.changes += 1;
        self.listening.failed(now, key, error);
    }

    /// When a socket is tried again.
    pub(super) fn listening_deadline(&self) -> Option<(Mono, Timer)> {
        self.listening.deadline()
    }

    /// Whether this interface was ever reported.
    pub(super) fn is_known(&self, name: &InterfaceName) -> bool {
        self.known.contains_key(name)
    }

    /// The interface, if it exists.
    pub(super) fn get(&self, name: &InterfaceName) -> Option<&Link> {
        self.known.get(name)?.link.as_ref()
    }

    /// Since when it has had carrier; zero where that was long before the daemon's start.
    pub(super) fn carrier_since(&self, name: &InterfaceName) -> Mono {
        self.known.get(name).map_or(Mono(0), |known| known.carrier_since)
    }

    /// What keeps an instance from using this interface.
    pub(super) fn fault(&self, name: &InterfaceName) -> Option<Fault> {
        match self.get(name) {
            None => Some(Fault::InterfaceMissing(name.clone())),
            Some(link) if !link.up => Some(Fault::InterfaceDown(name.clone())),
            Some(link) if !link.carrier => Some(Fault::NoCarrier(name.clone())),
            Some(link) if link.mac.is_none() => Some(Fault::NotEthernet(name.clone())),
            Some(_) => None,
        }
    }

    /// The address that an instance's packets to `other` come from, on that interface: this node's
    /// own one where it is there, else the interface's primary one (IPv4), or the one that it has
    /// had the longest, as the kernel chooses too (IPv6). To the multicast group and to link-local
    /// addresses that is a link-local one over IPv6. Never a virtual address: it would move away
    /// under the peers' eyes.
    pub(super) fn source(
        &self,
        config: &Config,
        instance: &InstanceConfig,
        interface: &InterfaceName,
        other: IpAddr,
    ) -> Option<IpAddr> {
        let known = self.known.get(interface)?;
        let link = known.link.as_ref()?;
        let family = Family::of(other);
        let on_link = other.is_multicast() || is_link_local(other);
        let is_candidate = |a: &&LinkAddress| match family {
            Family::V4 => a.address.is_ipv4(),
            Family::V6 => a.address.is_ipv6() && is_link_local(a.address) == on_link,
        };
        let all = if instance.priority.is_owner() { &link.addresses } else { &known.own };
        let candidates = || all.iter().filter(is_candidate);
        let this_node = config.this_node.as_ref();
        let listed = |a: &&LinkAddress| {
            this_node.is_some() && config.node_at(a.address).is_some_and(|n| Some(n) == this_node)
        };
        let preferred = || match family {
            Family::V4 => candidates().find(|a| !a.secondary).or_else(|| candidates().next()),
            // The kernel puts a new one before the others.
            Family::V6 => candidates().next_back(),
        };
        candidates().find(listed).or_else(preferred).map(|a| a.address)
    }

    /// Whether an address is this node's own where an instance speaks, or on another interface that
    /// the configuration names. A link-local one means something on its link only.
    pub(super) fn has(&self, instance: &InstanceConfig, address: IpAddr) -> bool {
        let Some(places) = self.there.get(&address) else { return false };
        let mut places = places.iter();
        places.any(|name| {
            !is_link_local(address)
                || *name == instance.interface
                || instance.further_interfaces.contains(name)
        })
    }

    /// Tells whether an advertisement with this source can have begun on the segment of an
    /// interface; otherwise it was copied from another one. Link-local sources are the same
    /// everywhere.
    ///
    /// A source in no network of the interface is believed where the configuration lists it as a
    /// node, or where the interface has no network to compare with (a primary address with /32),
    /// but never where it is in the network of another interface.
    pub(super) fn can_come_from(
        &self,
        config: &Config,
        instance: &InstanceConfig,
        interface: &InterfaceName,
        source: IpAddr,
    ) -> bool {
        let is_near = |name: &InterfaceName| {
            // Also while they are elsewhere: the answer must not depend on who has them.
            let mut placed =
                instance.moving_addresses().filter(|a| instance.interface_of(a) == name);
            self.own(name).any(|own| in_network(source, own.address, own.prefix))
                || placed.any(|a| in_network(source, a.address, a.prefix))
        };
        if is_link_local(source) || is_near(interface) {
            return true;
        }
        if self.known.keys().filter(|other| *other != interface).any(is_near) {
            return false;
        }
        let family = Family::of(source);
        let host = if family == Family::V4 { 32 } else { 128 };
        let is_network = |own: &LinkAddress| Family::of(own.address) == family && own.prefix < host;
        config.node_at(source).is_some() || !self.own(interface).any(is_network)
    }

    /// The addresses on an interface that stay there.
    fn own(&self, interface: &InterfaceName) -> impl Iterator<Item = &LinkAddress> {
        self.known.get(interface).into_iter().flat_map(|known| &known.own)
    }

    fn is_virtual(&self, instance: &InstanceConfig, address: IpAddr) -> bool {
        !instance.priority.is_owner() && self.moving.contains(&address)
    }

    /// Why an instance has no [`Links::source`].
    pub(super) fn why_no_source(&self, instance: &InstanceConfig, family: Family) -> Fault {
        let interface = instance.interface.clone();
        if family == Family::V4 {
            return Fault::NoSourceAddress(interface);
        }
        let unusable = self.get(&interface).map(|link| link.unusable.as_slice());
        let own = |a: &&UnusableAddress| {
            is_link_local(a.address) && !self.is_virtual(instance, a.address)
        };
        let own: Vec<_> = unusable.unwrap_or_default().iter().filter(own).collect();
        let state = match (own.iter().find(|a| !a.duplicate), own.first()) {
            (Some(waiting), _) => LinkLocal::Tentative(waiting.address),
            (None, Some(duplicate)) => LinkLocal::Duplicate(duplicate.address),
            (None, None) => LinkLocal::Missing,
        };
        Fault::NoLinkLocal(interface, state)
    }
}

impl Known {
    /// Tells its own addresses from those that move.
    fn find_own(&mut self, moving: &BTreeSet<IpAddr>) {
        let link = || self.link.iter();
        let own = link().flat_map(|link| &link.addresses);
        self.own = own.filter(|there| !moving.contains(&there.address)).copied().collect();
        let unusable = link().flat_map(|link| &link.unusable);
        self.unusable = unusable.filter(|one| !moving.contains(&one.address)).copied().collect();
    }

    fn compared_with(&self, new: &Self) -> News {
        if self.link == new.link {
            return News::Nothing;
        }
        let (Some(old), Some(link)) = (&self.link, &new.link) else { return News::Other };
        let same = (old.index, old.mac, old.up, old.carrier, old.mtu, old.forwards_ipv6)
            == (link.index, link.mac, link.up, link.carrier, link.mtu, link.forwards_ipv6);
        let same = same && self.unusable == new.unusable && self.own == new.own;
        if same { News::Moving } else { News::Other }
    }
}

/// Whether an address is in a network of an interface, so that no router is on the way.
pub(super) fn is_near(link: &Link, other: IpAddr) -> bool {
    link.addresses.iter().any(|own| in_network(other, own.address, own.prefix))
}

/// Whether an address is in the network of `own` with that prefix.
fn in_network(other: IpAddr, own: IpAddr, prefix: u8) -> bool {
    match (other, own) {
        (IpAddr::V4(other), IpAddr::V4(own)) => {
            let host_bits = 32_u32.saturating_sub(prefix.into());
            (other.to_bits() ^ own.to_bits()).checked_shr(host_bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(other), IpAddr::V6(own)) => {
            let host_bits = 128_u32.saturating_sub(prefix.into());
            (other.to_bits() ^ own.to_bits()).checked_shr(host_bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}
