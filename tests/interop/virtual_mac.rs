//! The virtual MAC address together with others that use it: whoever is active, the client's entry for
//! the virtual address is the same.

use std::net::IpAddr;
use std::time::Instant;

use serde_json::Value;

use crate::frr::Frr;
use crate::lab::{Addresses, Group, Keepalived, Lab, RouterSettings, VRID};
use crate::router::{Router, Vipd};
use crate::scenario::{NODES, failover_in, reunion_in};

fn settings(addresses: Addresses, version: u8) -> [RouterSettings; 2] {
    [200, 100].map(|priority| {
        let settings = RouterSettings { addresses, ..RouterSettings::new(version, priority) };
        settings.with_virtual_mac()
    })
}

/// The failover of every router, after which the client has only ever known the virtual MAC address.
fn failover<A: Router, B: Router>(lab: &Lab, settings: [RouterSettings; 2]) {
    let group = Group::with(lab, &NODES, settings[0].addresses.vip());
    let start = Instant::now();
    failover_in::<A, B>(lab, &group, settings);
    knows_only_the_virtual_mac(&group, start);
}

fn knows_only_the_virtual_mac(group: &Group, start: Instant) {
    let (family, vip) = match group.vip {
        IpAddr::V4(vip) => (1, vip.octets().to_vec()),
        IpAddr::V6(vip) => (2, vip.octets().to_vec()),
    };
    let mac = [0, 0, 0x5e, 0, family, VRID];
    let text = group.watcher.run(&format!("ip -j neigh show to {} dev eth0", group.vip));
    let entries: Value = serde_json::from_str(&text).expect("the JSON of ip");
    assert_eq!(entries[0]["lladdr"], format!("00:00:5e:00:{family:02x}:{VRID:02x}"), "{text}");
    let frames = group.tap.frames();
    let mut bindings = 0;
    for frame in frames.iter().filter(|frame| frame.at >= start) {
        let bytes = &frame.bytes;
        let said = match &bytes[12..14] {
            // ARP, from this address.
            [8, 6] if bytes[28..32] == vip => &bytes[22..28],
            // A neighbour advertisement for it.
            [0x86, 0xdd]
                if bytes.len() >= 86
                    && (bytes[20], bytes[54]) == (58, 136)
                    && bytes[62..78] == vip =>
            {
                &bytes[80..86]
            }
            _ => continue,
        };
        assert_eq!(said, mac, "{bytes:02x?}");
        bindings += 1;
    }
    assert!(bindings > 0, "nobody said where the address is");
}

/// Rule: vipd behind FRR, version 2.
pub(crate) fn v2_frr_preferred(lab: &Lab) {
    failover::<Frr, Vipd>(lab, settings(Addresses::Ipv4, 2));
}

/// Rule: vipd in front of FRR, IPv4.
pub(crate) fn vipd_before_frr(lab: &Lab) {
    failover::<Vipd, Frr>(lab, settings(Addresses::Ipv4, 3));
}

/// Rule: vipd behind FRR, IPv4.
pub(crate) fn frr_before_vipd(lab: &Lab) {
    failover::<Frr, Vipd>(lab, settings(Addresses::Ipv4, 3));
}

/// Rule: vipd in front of FRR, IPv6.
pub(crate) fn ipv6_vipd_before_frr(lab: &Lab) {
    failover::<Vipd, Frr>(lab, settings(Addresses::Ipv6, 3));
}

/// Rule: vipd behind FRR, IPv6.
pub(crate) fn ipv6_frr_before_vipd(lab: &Lab) {
    failover::<Frr, Vipd>(lab, settings(Addresses::Ipv6, 3));
}

/// Rule: vipd in front of keepalived with `use_vmac`, IPv4.
pub(crate) fn vipd_before_keepalived(lab: &Lab) {
    failover::<Vipd, Keepalived>(lab, settings(Addresses::Ipv4, 3));
}

/// Rule: vipd behind keepalived with `use_vmac`, IPv4.
pub(crate) fn keepalived_before_vipd(lab: &Lab) {
    failover::<Keepalived, Vipd>(lab, settings(Addresses::Ipv4, 3));
}

/// Rule: vipd in front of keepalived with `use_vmac`, IPv6.
pub(crate) fn ipv6_vipd_before_keepalived(lab: &Lab) {
    failover::<Vipd, Keepalived>(lab, settings(Addresses::Ipv6, 3));
}

/// Rule: vipd behind keepalived with `use_vmac`, IPv6.
pub(crate) fn ipv6_keepalived_before_vipd(lab: &Lab) {
    failover::<Keepalived, Vipd>(lab, settings(Addresses::Ipv6, 3));
}

/// Rule: of two active routers the better one, here ours, takes the client back: the switch has learnt
/// the way to the other one, which has the same Ethernet address.
pub(crate) fn reunion_with_frr(lab: &Lab) {
    let settings = settings(Addresses::Ipv4, 3);
    let group = Group::with(lab, &NODES, settings[0].addresses.vip());
    reunion_in::<Vipd, Frr>(lab, &group, settings);
}
