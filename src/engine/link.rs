//! An interface and its addresses, as the engine is told of them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::Mac;

/// An interface as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Link {
    /// The kernel's number; a re-created interface has another one.
    pub index: u32,
    /// Its Ethernet address; `None` where it has none of six bytes.
    pub mac: Option<Mac>,
    /// Whether it is administratively up (`IFF_UP`).
    pub up: bool,
    /// Whether it has carrier and is operational (`IFF_LOWER_UP` and `IFF_RUNNING`).
    pub carrier: bool,
    /// The largest packet in bytes.
    pub mtu: u32,
    /// Every usable address on it in the kernel's order, ours included; tentative and
    /// duplicate IPv6 ones excluded.
    pub addresses: Vec<LinkAddress>,
    /// The IPv6 addresses on it that are not usable (yet).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unusable: Vec<UnusableAddress>,
    /// Whether the kernel forwards IPv6 packets that arrive there (`net.ipv6.conf.IF.forwarding`):
    /// whether it is a router to its neighbours (RFC 4861 section 4.4).
    #[serde(default, skip_serializing_if = "is_false")]
    pub forwards_ipv6: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// How an address went from an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Somebody removed it.
    #[default]
    Removed,
    /// Its lease ran out: no renewal reached the kernel in time.
    Expired,
    /// The kernel took it off an interface that was down.
    Down,
}

impl Loss {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) const fn is_removal(&self) -> bool {
        matches!(self, Self::Removed)
    }
}

/// An IPv6 address on an interface that nothing can be sent from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UnusableAddress {
    /// The address.
    pub address: IpAddr,
    /// Whether another station was found to have it; otherwise the kernel is still looking for one
    /// (RFC 4862 section 5.4).
    pub duplicate: bool,
}

/// An address on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LinkAddress {
    /// The address.
    pub address: IpAddr,
    /// Its prefix length.
    pub prefix: u8,
    /// Whether the kernel counts it as secondary (`IFA_F_SECONDARY`), that is, never chosen as
    /// source by itself.
    pub secondary: bool,
}
