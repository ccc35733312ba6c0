//! One interface with its addresses, in the order in which the kernel has them.

use std::net::IpAddr;

use crate::engine::{Link, LinkAddress, UnusableAddress};
use crate::model::Mac;

/// An interface without its addresses. What a message leaves out has not changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LinkState {
    pub(super) index: u32,
    pub(super) name: Option<String>,
    pub(super) mac: Option<Vec<u8>>,
    pub(super) mtu: Option<u32>,
    pub(super) up: bool,
    pub(super) carrier: bool,
    /// Whether the kernel forwards IPv6 packets that arrive there.
    pub(super) forwards_ipv6: Option<bool>,
    /// What kind of device it is (`macvlan`), and on which other one.
    pub(super) kind: Option<String>,
    pub(super) below: Option<u32>,
    /// What stands on it for people.
    pub(super) alias: Option<String>,
}

/// What tells two addresses of an interface apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AddressKey {
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
}

/// An address as the kernel describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KernelAddress {
    pub(super) key: AddressKey,
    pub(super) secondary: bool,
    /// The kernel's number of the scope (`rtnetlink(7)`): larger is narrower.
    pub(super) scope: u8,
    /// Neither tentative nor found to be a duplicate.
    pub(super) usable: bool,
    /// Found to be a duplicate.
    pub(super) duplicate: bool,
}

/// An interface as far as the messages have told of it.
#[derive(Debug, Default)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) mac: Option<Mac>,
    pub(super) mtu: u32,
    pub(super) up: bool,
    pub(super) carrier: bool,
    pub(super) forwards_ipv6: bool,
    pub(super) made: Made,
    pub(super) addresses: Vec<KernelAddress>,
}

/// How an interface was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) kind: Option<String>,
    pub(super) below: Option<u32>,
    pub(super) alias: Option<String>,
    pub(super) mac: Option<Mac>,
}

impl Interface {
    /// Whether it has this address.
    pub(super) fn has(&self, key: AddressKey) -> bool {
        self.addresses.iter().any(|address| address.key == key)
    }

    /// Adds or changes an address. The messages do not tell its place, which matters because the
    /// first address is the one that others know us by; so this follows the kernel.
    pub(super) fn put(&mut self, new: KernelAddress) {
        let known = self.addresses.iter_mut().find(|address| address.key == new.key);
        match known {
            Some(known) if known.secondary == new.secondary => *known = new,
            _ => {
                self.addresses.retain(|address| address.key != new.key);
                let place = match new.key.address {
                    IpAddr::V4(_) => place_v4(&self.addresses, &new),
                    IpAddr::V6(_) => place_v6(&self.addresses, &new),
                };
                self.addresses.insert(place, new);
            }
        }
    }

    /// What the engine is told of it.
    pub(super) fn describe(&self, index: u32) -> Link {
        let (usable, unusable): (Vec<_>, Vec<_>) = self.addresses.iter().partition(|a| a.usable);
        let addresses = usable.into_iter().map(|&KernelAddress { key, secondary, .. }| {
            LinkAddress { address: key.address, prefix: key.prefix, secondary }
        });
        Link {
            index,
            mac: self.mac,
            up: self.up,
            carrier: self.carrier,
            mtu: self.mtu,
            addresses: addresses.collect(),
            unusable: unusable
                .into_iter()
                .map(|&KernelAddress { key, duplicate, .. }| UnusableAddress {
                    address: key.address,
                    duplicate,
                })
                .collect(),
            forwards_ipv6: self.forwards_ipv6,
        }
    }
}

/// Where Linux puts a new IPv4 address (`__inet_insert_ifa` in `net/ipv4/devinet.c`): a secondary
/// one last, a primary one after the last primary one whose scope is not wider.
fn place_v4(list: &[KernelAddress], new: &KernelAddress) -> usize {
    let after = list.iter().rposition(|address| {
        address.key.address.is_ipv4()
            && (new.secondary || (!address.secondary && new.scope <= address.scope))
    });
    after.map_or(0, |place| place + 1)
}

/// Where Linux puts a new IPv6 address (`ipv6_link_dev_addr` in `net/ipv6/addrconf.c`): before
/// the first one whose scope is not wider.
fn place_v6(list: &[KernelAddress], new: &KernelAddress) -> usize {
    list.iter()
        .position(|address| address.key.address.is_ipv6() && new.scope <= address.scope)
        .unwrap_or(list.len())
}
