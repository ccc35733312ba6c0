//! How a VRRP router is set up, whoever made it.

use std::net::IpAddr;
use std::time::Duration;

use super::{VIP, VIP6};

/// How a router is set up; everything else is the same for all of them.
#[derive(Clone, Copy)]
pub(crate) struct RouterSettings {
    /// 2 or 3.
    pub(crate) version: u8,
    /// Higher is preferred.
    pub(crate) priority: u8,
    /// The advertisement interval.
    pub(crate) interval: Duration,
    /// Whether it takes over from a live active router of lower priority.
    pub(crate) preempt: bool,
    /// Version 2's password.
    pub(crate) password: Option<&'static str>,
    /// What moves.
    pub(crate) addresses: Addresses,
    /// The number of the other host, to which alone advertisements go.
    pub(crate) unicast_to: Option<u8>,
    /// Whether vipd and keepalived use the virtual MAC address; FRR always does.
    pub(crate) virtual_mac: bool,
}

impl RouterSettings {
    /// The shortest sensible interval of a version.
    pub(crate) fn new(version: u8, priority: u8) -> Self {
        let interval = Duration::from_millis(if version == 2 { 1000 } else { 200 });
        let addresses = Addresses::Ipv4;
        let (preempt, password, unicast_to, virtual_mac) = (true, None, None, false);
        Self { version, priority, interval, preempt, password, addresses, unicast_to, virtual_mac }
    }

    /// The same with a password.
    pub(crate) fn with_password(self, password: &'static str) -> Self {
        Self { password: Some(password), ..self }
    }

    /// Version 3 with these addresses.
    pub(crate) fn moving(addresses: Addresses, priority: u8) -> Self {
        Self { addresses, ..Self::new(3, priority) }
    }

    /// The same by unicast to the host with this number.
    pub(crate) fn to(self, peer: u8) -> Self {
        Self { unicast_to: Some(peer), ..self }
    }

    /// The same at another interval.
    pub(crate) fn every(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// The same with the virtual MAC address.
    pub(crate) fn with_virtual_mac(self) -> Self {
        Self { virtual_mac: true, ..self }
    }

    /// The same without preemption.
    pub(crate) fn patient(self) -> Self {
        Self { preempt: false, ..self }
    }
}

/// The addresses of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addresses {
    /// An IPv4 one.
    Ipv4,
    /// An IPv6 one and the link-local one that goes before it.
    Ipv6,
    /// An IPv6 one alone, as many keepalived groups have it.
    Ipv6Alone,
    /// Those of both families: two instances of keepalived, in a sync group.
    Both,
}

impl Addresses {
    /// The one that the client asks.
    pub(crate) fn vip(self) -> IpAddr {
        match self {
            Self::Ipv4 | Self::Both => VIP.into(),
            Self::Ipv6 | Self::Ipv6Alone => VIP6.into(),
        }
    }

    /// Those that must be on one node.
    pub(crate) fn all(self) -> Vec<IpAddr> {
        match self {
            Self::Ipv4 | Self::Ipv6 | Self::Ipv6Alone => vec![self.vip()],
            Self::Both => vec![VIP.into(), VIP6.into()],
        }
    }

    /// Whether there are some of IPv6.
    pub(crate) fn has_ipv6(self) -> bool {
        self != Self::Ipv4
    }
}
