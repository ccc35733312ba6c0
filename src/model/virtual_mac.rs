//! The virtual router's own Ethernet address, and the device that has it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::address::{Family, Mac};
use super::instance::InstanceConfig;
use super::name::InterfaceName;
use super::numbers::Vrid;

/// What the name of such a device begins with, before the digit of the family.
const PREFIX: &str = "vipd";

/// The longest name that the kernel takes, in bytes (`IFNAMSIZ` less one).
const LONGEST: usize = 15;

/// How many digits of a hash stand for an interface whose name is too long, and their base.
const HASH_DIGITS: usize = 5;
const BASE: u32 = 36;

impl Vrid {
    /// The virtual MAC address: 00-00-5e-00-01-VRID for IPv4, 00-00-5e-00-02-VRID for IPv6 (RFC
    /// 9568 section 7.3).
    pub const fn virtual_mac(self, family: Family) -> Mac {
        let family = match family {
            Family::V4 => 1,
            Family::V6 => 2,
        };
        Mac([0, 0, 0x5e, 0, family, self.get()])
    }
}

/// The device with the virtual MAC address of one virtual router: a macvlan on its interface. It
/// has the same name on every node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VirtualDevice {
    /// The interface that it is on.
    pub interface: InterfaceName,
    /// The family of the virtual router.
    pub family: Family,
    /// The number of the virtual router.
    pub virtual_router_id: Vrid,
}

impl VirtualDevice {
    /// Its Ethernet address.
    pub const fn mac(&self) -> Mac {
        self.virtual_router_id.virtual_mac(self.family)
    }

    /// Its name: `vipd4-51-eth0` for the virtual router 51 of IPv4 on eth0. Where that is more than
    /// 15 bytes, five digits of a hash stand for the interface, after an underscore:
    /// `vipd4-51_dar63` on eth0.100.
    #[expect(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "the kernel's rules for the interface's name hold for it"
    )]
    pub fn name(&self) -> InterfaceName {
        let Self { interface, family, virtual_router_id } = self;
        let start = format!("{PREFIX}{}-{virtual_router_id}", digit(*family));
        let readable = format!("{start}-{interface}");
        let name = if readable.len() <= LONGEST {
            readable
        } else {
            format!("{start}_{}", hash(interface.as_str()))
        };
        InterfaceName::try_from(name.as_str()).expect("at most 15 bytes that a name may have")
    }

    /// What says on the device itself that it is vipd's (`ip link show`, the alias).
    pub fn label(&self) -> String {
        let Self { interface, family, virtual_router_id } = self;
        format!("{PREFIX}: virtual router {virtual_router_id} ({family}) on {interface}")
    }

    /// Whether a device with this alias was made by vipd.
    pub fn is_label(alias: &str) -> bool {
        alias.starts_with(&format!("{PREFIX}: virtual router "))
    }
}

impl fmt::Display for VirtualDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}

impl InterfaceName {
    /// Whether this is a name that [`VirtualDevice::name`] gives: no interface of the configuration
    /// may have it.
    pub fn is_virtual_device(&self) -> bool {
        let mut rest = [Family::V4, Family::V6].into_iter().filter_map(|family| {
            self.as_str().strip_prefix(PREFIX)?.strip_prefix(digit(family))?.strip_prefix('-')
        });
        rest.any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    }
}

impl InstanceConfig {
    /// The devices with its virtual MAC addresses, one of each family on its own interface; none
    /// where it works with those of its interfaces.
    pub fn virtual_devices(&self) -> Vec<VirtualDevice> {
        let Self { interface, virtual_router_id, .. } = self;
        self.families()
            .filter(|_| self.virtual_mac)
            .map(|family| VirtualDevice {
                interface: interface.clone(),
                family,
                virtual_router_id: *virtual_router_id,
            })
            .collect()
    }
}

const fn digit(family: Family) -> char {
    match family {
        Family::V4 => '4',
        Family::V6 => '6',
    }
}

/// A hash of an interface's name (FNV-1a of 32 bits), which must be the same in every version.
fn hash(name: &str) -> String {
    let mut left = name
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let mut digits = String::new();
    for _ in 0..HASH_DIGITS {
        digits.extend(char::from_digit(left % BASE, BASE));
        left /= BASE;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(interface: &str, family: Family, number: u8) -> VirtualDevice {
        let virtual_router_id = Vrid::try_from(number).unwrap();
        VirtualDevice { interface: interface.try_into().unwrap(), family, virtual_router_id }
    }

    fn name(interface: &str, family: Family, number: u8) -> String {
        device(interface, family, number).name().to_string()
    }

    /// Rule: RFC 9568 section 7.3.
    #[test]
    fn the_address_says_family_and_number() {
        let mac = |family| device("eth0", family, 51).mac().to_string();
        assert_eq!(mac(Family::V4), "00:00:5e:00:01:33");
        assert_eq!(mac(Family::V6), "00:00:5e:00:02:33");
    }

    /// Rule: the name tells router and interface where it can, never is longer than the kernel
    /// takes, and is another one for each router and interface. It never changes: another version
    /// must find what this one has left.
    #[test]
    fn the_name_is_readable_where_it_fits() {
        assert_eq!(name("eth0", Family::V4, 51), "vipd4-51-eth0");
        assert_eq!(name("eth0", Family::V6, 51), "vipd6-51-eth0");
        assert_eq!(name("enp3s0", Family::V4, 51), "vipd4-51-enp3s0");
        assert_eq!(name("enp65s0f0np0", Family::V4, 255), "vipd4-255_ce60i");
        let mut names = std::collections::BTreeSet::new();
        for number in [1, 51, 255] {
            for interface in
                ["eth0", "eth1", "eth0.100", "eth1.100", "enp65s0f0np0", "enp65s0f1np1"]
            {
                for family in [Family::V4, Family::V6] {
                    let name = device(interface, family, number).name();
                    assert!(name.as_str().len() <= LONGEST && name.is_virtual_device(), "{name}");
                    assert!(names.insert(name), "{interface} {number}");
                }
            }
        }
    }

    /// Rule: only names of that form are vipd's.
    #[test]
    fn other_names_are_free() {
        for other in ["eth0", "vipd", "vipd0", "vipd4", "vipd4-lan", "vipd5-51-eth0"] {
            assert!(!InterfaceName::try_from(other).unwrap().is_virtual_device(), "{other}");
        }
        assert!(VirtualDevice::is_label(&device("eth0", Family::V4, 51).label()));
        assert!(!VirtualDevice::is_label("uplink"));
    }
}
