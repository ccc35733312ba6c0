//! Devices with virtual MAC addresses: that they are as the daemon has made them, and that the
//! interface below does not answer in their place.

use std::collections::BTreeMap;

use super::finding::{Finding, Kind, Severity};
use super::link::Link;
use super::member::Member;
use super::system::setting;
use crate::engine::status::DeviceStatus;
use crate::model::Family;

/// The settings of the interface below, as they work together with those for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Below {
    arp_ignore: u32,
    arp_announce: u32,
}

impl Below {
    /// Reads them.
    pub(super) fn of(interface: &str) -> Self {
        let of =
            |key: &str, which: &str| setting(&format!("net/ipv4/conf/{which}/{key}")).unwrap_or(0);
        // The kernel takes the larger one of the two.
        let value = |key: &str| of(key, "all").max(of(key, interface));
        Self { arp_ignore: value("arp_ignore"), arp_announce: value("arp_announce") }
    }
}

/// What is wrong with the device of this instance on this path.
pub(super) fn judge(
    member: &Member<'_>,
    links: &BTreeMap<String, Link>,
    below: Below,
) -> Vec<Finding> {
    let instance = member.instance;
    let mac = instance.virtual_router_id.virtual_mac(member.family);
    let is_here =
        |device: &&DeviceStatus| device.interface == *member.interface && device.mac == mac;
    let mut findings = Vec::new();
    for device in instance.devices.iter().filter(is_here) {
        let name = device.name.as_str();
        let state = match links.get(name) {
            None => "is not there",
            Some(link) if !link.up => "is down",
            Some(_) => continue,
        };
        if member.is_active() {
            let what = format!(
                "{}: this node is active, and {name}, which has the virtual MAC address {mac}, {state}",
                member.title()
            );
            findings.push(
                Finding::new(Severity::Problem, Kind::VirtualMac, what)
                    .because(format!("ip link show {name}"))
                    .mend("journalctl -u vipd: it says why it cannot make it or take it up")
                    .mend("find the program that removes it; vipd puts it right at once otherwise"),
            );
        }
    }
    let has_devices = instance.devices.iter().any(|device| is_here(&device));
    let has_devices = has_devices && member.family == Family::V4;
    for (key, value, least, why) in [
        ("arp_ignore", below.arp_ignore, 1, "answers for the addresses on its device"),
        ("arp_announce", below.arp_announce, 2, "asks for other stations with these addresses"),
    ] {
        if has_devices && value < least {
            let interface = member.interface();
            let what = format!(
                "{}: {interface} {why}, so clients learn its own MAC address for them instead of the \
                 virtual one",
                member.title()
            );
            findings.push(
                Finding::new(Severity::Problem, Kind::VirtualMac, what)
                    .because(format!(
                        "{key} is {value} there; vipd has set it to {least}, and another program has \
                         changed it"
                    ))
                    .mend(format!("sysctl -w net.ipv4.conf.{interface}.{key}={least}")),
            );
        }
    }
    findings
}
