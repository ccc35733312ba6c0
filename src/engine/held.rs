//! What a node holds, as it is written down for `vipd release`.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize};

use super::hex;
use crate::model::{
    InstanceName, InterfaceName, Routing, SecretSource, VirtualAddress, VirtualDevice,
};

/// A virtual router that this node holds, as `vipd release` needs it: without the configuration,
/// which may have changed, and without an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldRouter {
    /// The instance, for people.
    pub instance: InstanceName,
    /// What is on interfaces because of it.
    pub addresses: Vec<HeldAddress>,
    /// The routes and rules that are there because of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routing: Vec<Routing>,
    /// What says to the other routers that it stops, one for each of its ways to them; empty where it is
    /// not active (any more).
    #[serde(default, alias = "farewell", deserialize_with = "one_or_several")]
    pub farewells: Vec<Farewell>,
    /// The devices with its virtual MAC addresses: they are there while it is a backup, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<VirtualDevice>,
}

/// Earlier versions knew one way only, and wrote what went there, or null.
fn one_or_several<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Farewell>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        One(Box<Farewell>),
        Several(Vec<Farewell>),
    }
    Ok(match Option::deserialize(from)? {
        None => Vec::new(),
        Some(Written::One(farewell)) => vec![*farewell],
        Some(Written::Several(farewells)) => farewells,
    })
}

/// A virtual address with its interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldAddress {
    /// The interface.
    pub interface: InterfaceName,
    /// The address.
    pub address: VirtualAddress,
}

/// An advertisement with priority 0, ready to be sent as [`Action::Send`](super::Action::Send) would.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Where the secret is that the message lacks: it has a place for a password, or a trailer without
    /// a time stamp and a code. `None`: it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretSource>,
}
