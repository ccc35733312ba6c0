//! What a node holds, as it is written down for `vipd release`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::hex;
use crate::model::{
    InstanceName, InterfaceName, Routing, SecretSource, VirtualAddress, VirtualDevice,
};

/// A virtual router that this node holds, as `vipd release` needs it: without the configuration,
/// which may have changed, and without an engine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeldRouter {
    /// The instance, for people.
    pub instance: InstanceName,
    /// What is on interfaces because of it.
    pub addresses: Vec<HeldAddress>,
    /// The routes and rules that are there because of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routing: Vec<Routing>,
    /// The farewells to the other routers, one for each of its ways to them; empty where
    /// it is not active (any more).
    pub farewells: Vec<Farewell>,
    /// The devices with its virtual MAC addresses: they are there while it is a backup, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<VirtualDevice>,
}

impl HeldRouter {
    /// This instance holds nothing.
    pub(super) const fn nothing(instance: InstanceName) -> Self {
        Self {
            instance,
            addresses: Vec::new(),
            routing: Vec::new(),
            farewells: Vec::new(),
            devices: Vec::new(),
        }
    }

    /// Adds what the other one has besides.
    pub(super) fn include(&mut self, other: Self) {
        // There may be thousands of these: a set, not searches.
        let there: BTreeSet<&HeldAddress> = self.addresses.iter().collect();
        let mut new = other.addresses;
        new.retain(|address| !there.contains(address));
        self.addresses.reserve_exact(new.len());
        self.addresses.append(&mut new);
        include(&mut self.routing, other.routing);
        include(&mut self.farewells, other.farewells);
        include(&mut self.devices, other.devices);
    }

    /// Says if nothing is on the system because of this instance, and it is not active.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
            && self.routing.is_empty()
            && self.farewells.is_empty()
            && self.devices.is_empty()
    }
}

/// With no more room than needed: an engine with thousands of instances keeps one list of each.
fn include<T: PartialEq>(all: &mut Vec<T>, others: Vec<T>) {
    all.reserve_exact(others.len());
    for other in others {
        if !all.contains(&other) {
            all.push(other);
        }
    }
}

/// A virtual address with its interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HeldAddress {
    /// The interface.
    pub interface: InterfaceName,
    /// The address.
    pub address: VirtualAddress,
}

/// An advertisement with priority 0, ready to be sent as [`Action::Send`](super::Action::Send)
/// would.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Farewell {
    /// The interface of the virtual router.
    pub interface: InterfaceName,
    /// The device by which it leaves, as in [`Action::Send`](super::Action::Send).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<InterfaceName>,
    /// The source address.
    pub source: IpAddr,
    /// The destination.
    pub destination: IpAddr,
    /// The VRRP message, with its checksum.
    #[serde(with = "hex")]
    pub message: Vec<u8>,
    /// Where the secret is that the message lacks: it has a place for a password, or a trailer
    /// without a time stamp and a code. `None`: it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretSource>,
}
