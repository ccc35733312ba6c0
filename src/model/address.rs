//! Addresses, and those that move.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::name::InterfaceName;

/// IPv4 or IPv6: a virtual router belongs to one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Every station of the segment.
    pub const BROADCAST: Self = Self([0xff; 6]);
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            let colon = if place == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}

/// The scope of an address (`rtnetlink(7)`, `ifa_scope`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Valid everywhere: the default.
    #[default]
    Global,
    /// Valid inside this site.
    Site,
    /// Valid on this link.
    Link,
    /// Valid on this host.
    Host,
}

/// One address that moves, as it is put on an interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VirtualAddress {
    /// The address.
    pub address: IpAddr,
    /// The prefix length: 0 to 32 or 0 to 128. /32 and /128 where the operator wrote none. An IPv6
    /// address with /128 is never chosen as a source by itself (RFC 6724 rule 3: deprecated).
    pub prefix: u8,
    /// The interface that gets it, where that is not the instance's own.
    pub dev: Option<InterfaceName>,
    /// The label (`ip addr ... label`), IPv4 only: the interface's name, ':' and more.
    pub label: Option<String>,
    /// The scope, IPv4 only: that of an IPv6 address is in its bits.
    pub scope: Scope,
}

impl VirtualAddress {
    /// Whether it is an IPv6 link-local address.
    pub const fn is_link_local(&self) -> bool {
        is_link_local(self.address)
    }
}

/// Whether this is an IPv6 link-local address (RFC 4291 section 2.5.6): it is unique on its link
/// only. IPv4's kind (RFC 3927) is an address like others to VRRP.
pub const fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

impl fmt::Display for VirtualAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}
