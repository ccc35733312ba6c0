//! The interfaces of this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use crate::engine::status::InstanceStatus;
use crate::model::InterfaceName;

/// How an interface is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Whether it was taken up.
    pub(super) up: bool,
    /// Whether it has carrier, too.
    pub(super) running: bool,
}

/// The interfaces that an instance speaks on, its own first.
pub(super) fn interfaces(instance: &InstanceStatus) -> impl Iterator<Item = &InterfaceName> {
    std::iter::once(&instance.interface).chain(&instance.further_interfaces)
}

/// All interfaces, by name.
pub(super) fn links() -> BTreeMap<String, Link> {
    let all = getifaddrs().into_iter().flatten();
    all.map(|one| {
        let up = one.flags.contains(InterfaceFlags::IFF_UP);
        let running = up && one.flags.contains(InterfaceFlags::IFF_RUNNING);
        (one.interface_name, Link { up, running })
    })
    .collect()
}

/// The addresses that the kernel does not use: it is still looking whether another station has them, or one
/// has (`IFA_F_TENTATIVE` and `IFA_F_DADFAILED` in `rtnetlink(7)`).
pub(super) fn unusable() -> BTreeSet<(String, IpAddr)> {
    listed(&std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default())
}

/// `/proc/net/if_inet6`: 32 digits, then the interface's number, the prefix length, the scope and the
/// flags as such, and the interface's name.
fn listed(text: &str) -> BTreeSet<(String, IpAddr)> {
    const TENTATIVE: u32 = 0x40;
    const DUPLICATE: u32 = 0x08;
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let address = u128::from_str_radix(words.next()?, 16).ok()?;
            let flags = u32::from_str_radix(words.nth(3)?, 16).ok()?;
            let name = words.next()?.to_owned();
            (flags & (TENTATIVE | DUPLICATE) != 0)
                .then(|| (name, Ipv6Addr::from_bits(address).into()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: addresses that are being looked for, or found to be another station's, are not used (Linux
    /// 6.1: a usable one, a tentative one and a duplicate).
    #[test]
    fn addresses_that_are_not_used() {
        let text = "fe800000000000000000000000000011 02 40 20 80     eth0\n\
                    fe80000000000000000000000000000c 03 40 20 c0     eth1\n\
                    20010db8000000000000000000000001 03 40 00 c8     eth1\n";
        let at = |address: &str| ("eth1".to_owned(), address.parse().unwrap());
        assert_eq!(listed(text), [at("fe80::c"), at("2001:db8::1")].into());
    }
}
