//! How an instance's advertisements travel: through which interfaces, to whom, in which family.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::address::Family;
use super::name::InterfaceName;

/// How advertisements reach the other nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// To a group that every router of the segment listens to.
    Multicast {
        /// Another one than VRRP's own (RFC 9568 sections 5.1.1.2 and 5.1.2.2), one of a family at
        /// the most.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        groups: Vec<IpAddr>,
    },
    /// To each of the others alone, where a network carries no multicast.
    Unicast {
        /// The others' addresses, in the order of the configuration; nobody else is heard.
        peers: Vec<IpAddr>,
        /// The lowest TTL or hop limit that is accepted: 255 where no router may be on the way (RFC
        /// 5082), which is lower by one for each that is.
        minimum_ttl: u8,
    },
}

impl Transport {
    /// Multicast to VRRP's own groups.
    pub const STANDARD: Self = Self::Multicast { groups: Vec::new() };

    /// The group of that family that is not VRRP's own.
    pub fn group(&self, family: Family) -> Option<IpAddr> {
        match self {
            Self::Multicast { groups } => {
                groups.iter().copied().find(|group| Family::of(*group) == family)
            }
            Self::Unicast { .. } => None,
        }
    }

    /// Whether it is multicast to VRRP's own groups.
    pub fn is_standard(&self) -> bool {
        *self == Self::STANDARD
    }

    /// Whether advertisements go to each peer alone.
    pub const fn is_unicast(&self) -> bool {
        matches!(self, Self::Unicast { .. })
    }
}

impl Default for Transport {
    fn default() -> Self {
        Self::STANDARD
    }
}

/// One way on which an instance's advertisements go out and come in: to the standard each is a
/// virtual router of its own (RFC 9568 section 1.7), to the instance all of them are one election.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// The interface.
    pub interface: InterfaceName,
    /// The address family.
    pub family: Family,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.interface, self.family)
    }
}
