//! The kernel's interfaces and addresses as its messages tell them, and what of it is news.

use std::collections::{BTreeMap, BTreeSet};

use super::interface::{AddressKey, Interface, KernelAddress, LinkState, Made};
use crate::engine::{Input, Link, Loss};
use crate::model::{InterfaceName, Mac};

/// What a message of the kernel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// There is this interface.
    Link(LinkState),
    /// The interface of this index is gone, from this network namespace at least.
    LinkGone(u32),
    /// The interface of this index has this address.
    Address(u32, KernelAddress),
    /// The interface of this index does not have this address any more; whether its lifetime was
    /// over.
    AddressGone(u32, AddressKey, bool),
}

/// What the engine has been told of an interface.
#[derive(Debug, Default)]
struct Told {
    /// Whether it has been told anything.
    anything: bool,
    /// What it was like; `None` where there was none of that name.
    link: Option<Link>,
    /// All addresses at that time, the unusable ones too.
    addresses: BTreeSet<AddressKey>,
    /// Gone since, but not told: the interface is down. Either it is about to vanish, which the
    /// kernel does address by address, or nothing can be put right before it is up again.
    withheld: BTreeMap<AddressKey, Loss>,
}

/// The kernel's state as far as its messages have been read, and how much of it the engine knows.
#[derive(Debug)]
pub(super) struct Table {
    interfaces: BTreeMap<u32, Interface>,
    /// Their indices by their names.
    names: BTreeMap<String, u32>,
    watched: BTreeMap<InterfaceName, Told>,
    /// Addresses that we have asked the kernel to remove and that it has not told of yet.
    removing: BTreeSet<(u32, AddressKey)>,
    /// Addresses whose lifetime was over when they went, of which there is no news yet.
    expired: BTreeSet<(u32, AddressKey)>,
    /// The names of which there may be news. The kernel tells of each renewal of an IPv6 address,
    /// which changes nothing.
    changed: BTreeSet<String>,
}

impl Table {
    /// An empty one; `watched` are the interfaces whose news are wanted.
    pub(super) fn new(watched: BTreeSet<InterfaceName>) -> Self {
        let watched = watched.into_iter().map(|name| (name, Told::default())).collect();
        let (interfaces, names) = (BTreeMap::new(), BTreeMap::new());
        let (removing, expired) = (BTreeSet::new(), BTreeSet::new());
        let changed = BTreeSet::new();
        let mut table = Self { interfaces, names, watched, removing, expired, changed };
        table.all_changed();
        table
    }

    fn all_changed(&mut self) {
        self.changed = self.watched.keys().map(ToString::to_string).collect();
    }

    /// The news of these interfaces are wanted too. Nothing is forgotten: an instance that is not
    /// configured any more may still be leaving.
    pub(super) fn watch(&mut self, names: BTreeSet<InterfaceName>) {
        for name in names {
            self.changed.insert(name.to_string());
            self.watched.entry(name).or_default();
        }
    }

    /// Starts over from a dump, in the order in which the kernel lists things.
    pub(super) fn reload(&mut self, dump: impl IntoIterator<Item = Notice>) {
        self.all_changed();
        self.interfaces.clear();
        self.names.clear();
        for change in dump {
            match change {
                Notice::Link(link) => self.link(link),
                Notice::Address(index, address) => {
                    self.interfaces.entry(index).or_default().addresses.push(address);
                }
                Notice::LinkGone(_) | Notice::AddressGone(..) => {}
            }
        }
        // Of our own removals the message may have been among the lost ones.
        for (index, key) in std::mem::take(&mut self.removing) {
            let there = self.interfaces.get(&index).is_some_and(|interface| interface.has(key));
            if there {
                self.removing.insert((index, key));
            } else {
                self.forget(index, key);
            }
        }
    }

    /// Takes in a message.
    pub(super) fn apply(&mut self, change: Notice) {
        if let Notice::Address(index, address) = &change {
            let known = self.interfaces.get(index);
            if known.is_some_and(|interface| interface.addresses.contains(address)) {
                return;
            }
        }
        match change {
            Notice::Link(link) => self.link(link),
            Notice::LinkGone(index) => {
                if let Some(interface) = self.interfaces.remove(&index) {
                    self.leave_name(index, interface.name);
                }
                self.removing.retain(|(of, _)| *of != index);
            }
            Notice::Address(index, address) => {
                self.mark(index);
                if let Some(interface) = self.interfaces.get_mut(&index) {
                    interface.put(address);
                }
            }
            Notice::AddressGone(index, key, expired) => {
                self.mark(index);
                if expired {
                    self.expired.insert((index, key));
                }
                if let Some(interface) = self.interfaces.get_mut(&index) {
                    interface.addresses.retain(|address| address.key != key);
                }
                if self.removing.remove(&(index, key)) {
                    self.forget(index, key);
                }
            }
        }
    }

    fn link(&mut self, link: LinkState) {
        let index = link.index;
        let name = link.name.unwrap_or_else(|| self.name_of(index).to_owned());
        let before = std::mem::take(&mut self.interfaces.entry(index).or_default().name);
        if before != name {
            self.leave_name(index, before);
            self.names.insert(name.clone(), index);
        }
        self.changed.insert(name.clone());
        let interface = self.interfaces.entry(index).or_default();
        interface.name = name;
        if let Some(mac) = link.mac {
            interface.mac = mac.try_into().ok().map(Mac);
        }
        let Made { kind, below, alias, mac } = &mut interface.made;
        *mac = interface.mac;
        *kind = link.kind.or(kind.take());
        *below = link.below.or(*below);
        *alias = link.alias.or(alias.take());
        if let Some(mtu) = link.mtu {
            interface.mtu = mtu;
        }
        if let Some(forwards) = link.forwards_ipv6 {
            interface.forwards_ipv6 = forwards;
        }
        interface.up = link.up;
        interface.carrier = link.carrier;
    }

    fn name_of(&self, index: u32) -> &str {
        self.interfaces.get(&index).map_or("", |interface| &interface.name)
    }

    /// There may be news of this interface.
    fn mark(&mut self, index: u32) {
        if let Some(interface) = self.interfaces.get(&index)
            && !self.changed.contains(&interface.name)
        {
            self.changed.insert(interface.name.clone());
        }
    }

    /// An interface has this name no more. Another one may have it already.
    fn leave_name(&mut self, index: u32, name: String) {
        if self.names.get(&name) == Some(&index) {
            self.names.remove(&name);
        }
        self.changed.insert(name);
    }

    /// The last news of the interface of this index that the engine was told.
    fn told(&mut self, index: u32) -> Option<&mut Told> {
        let name = self.interfaces.get(&index)?.name.as_str().try_into().ok()?;
        self.watched.get_mut::<InterfaceName>(&name).filter(|told| told.index() == Some(index))
    }

    /// The index of the interface that has this name now.
    pub(super) fn index_of(&self, name: &InterfaceName) -> Option<u32> {
        self.find(name).map(|(index, _)| index)
    }

    /// Returns true if there is an interface of this index.
    pub(super) fn has(&self, index: u32) -> bool {
        self.interfaces.contains_key(&index)
    }

    /// The interface that has this name now, and how it was made.
    pub(super) fn made(&self, name: &InterfaceName) -> Option<(u32, &Made)> {
        self.find(name).map(|(index, interface)| (index, &interface.made))
    }

    fn find(&self, name: &InterfaceName) -> Option<(u32, &Interface)> {
        let index = self.names.get(name.as_str())?;
        self.interfaces.get(index).map(|interface| (*index, interface))
    }

    /// Says if an address is there and we have not asked for its removal.
    pub(super) fn keeps(&self, index: u32, key: AddressKey) -> bool {
        !self.removing.contains(&(index, key))
            && self.interfaces.get(&index).is_some_and(|interface| interface.has(key))
    }

    /// We are about to remove this address: that it goes will be no news.
    pub(super) fn expect_removal(&mut self, index: u32, key: AddressKey) {
        self.mark(index);
        self.removing.insert((index, key));
        if let Some(told) = self.told(index) {
            told.withheld.remove(&key);
        }
    }

    /// It was not removed by us after all.
    pub(super) fn unexpect_removal(&mut self, index: u32, key: AddressKey) {
        self.removing.remove(&(index, key));
    }

    /// Makes the absence of this address old news.
    fn forget(&mut self, index: u32, key: AddressKey) {
        if let Some(told) = self.told(index) {
            told.addresses.remove(&key);
        }
    }

    /// What the engine does not know yet. For each interface first its state, then the
    /// addresses that are gone from it.
    pub(super) fn news(&mut self) -> Vec<Input> {
        let mut news = Vec::new();
        for name in std::mem::take(&mut self.changed) {
            // A string that is no name for a configuration is watched by nobody.
            let Ok(name) = InterfaceName::try_from(name.as_str()) else { continue };
            let Some(mut told) = self.watched.remove(&name) else { continue };
            told.update(&name, self.find(&name), &self.expired, &mut news);
            self.watched.insert(name, told);
        }
        self.expired.clear();
        news
    }
}

impl Told {
    fn index(&self) -> Option<u32> {
        self.link.as_ref().map(|link| link.index)
    }

    fn update(
        &mut self,
        name: &InterfaceName,
        current: Option<(u32, &Interface)>,
        expired: &BTreeSet<(u32, AddressKey)>,
        news: &mut Vec<Input>,
    ) {
        let keys = |interface: &Interface| interface.addresses.iter().map(|a| a.key).collect();
        let addresses: BTreeSet<AddressKey> =
            current.map(|(_, interface)| keys(interface)).unwrap_or_default();
        let same = current.filter(|(index, _)| self.index() == Some(*index));
        if let Some((index, interface)) = same {
            let loss = |key: &AddressKey| match interface.up {
                _ if expired.contains(&(index, *key)) => Loss::Expired,
                true => Loss::Removed,
                false => Loss::Down,
            };
            self.withheld
                .extend(self.addresses.difference(&addresses).map(|key| (*key, loss(key))));
            self.withheld.retain(|key, _| !addresses.contains(key));
        } else {
            // With an interface, its addresses go unmentioned.
            self.withheld.clear();
        }
        self.addresses = addresses;

        let link = current.map(|(index, interface)| interface.describe(index));
        if !self.anything || self.link != link {
            self.anything = true;
            self.link.clone_from(&link);
            news.push(Input::Link { interface: name.clone(), link });
        }
        if current.is_some_and(|(_, interface)| interface.up) {
            let gone = std::mem::take(&mut self.withheld);
            news.extend(gone.into_iter().map(|(key, loss)| Input::AddressGone {
                interface: name.clone(),
                address: key.address,
                loss,
            }));
        }
    }
}

#[cfg(test)]
mod tests;
