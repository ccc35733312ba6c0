//! Settings of the kernel that keep an address from working
//! (Linux' `Documentation/networking/ip-sysctl.rst`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::finding::{Finding, Kind, LeftOut, Severity};
use super::member::Member;
use super::system::{Ran, System, setting};
use crate::ctl::wire::in_network;
use crate::model::{Family, Scope};

/// Where settings are kept over a boot.
const KEPT: &str = "/etc/sysctl.d/60-vipd.conf";

/// The settings that count for one interface, as they work together with those for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    rp_filter: u32,
    arp_ignore: u32,
    arp_filter: u32,
    promote_secondaries: u32,
    disable_ipv6: u32,
}

impl Settings {
    /// Reads them.
    pub(super) fn of(interface: &str) -> Self {
        let v4 = |key: &str| {
            let of = |which: &str| setting(&format!("net/ipv4/conf/{which}/{key}")).unwrap_or(0);
            // The kernel takes the larger one of the two.
            of("all").max(of(interface))
        };
        Self {
            rp_filter: v4("rp_filter"),
            arp_ignore: v4("arp_ignore"),
            arp_filter: v4("arp_filter"),
            promote_secondaries: v4("promote_secondaries"),
            disable_ipv6: setting(&format!("net/ipv6/conf/{interface}/disable_ipv6")).unwrap_or(0),
        }
    }
}

/// The interfaces with a default route, from `/proc/net/route`.
pub(super) fn default_routes() -> Vec<String> {
    routes(&std::fs::read_to_string("/proc/net/route").unwrap_or_default())
}

fn routes(text: &str) -> Vec<String> {
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            // Interface, destination, gateway, flags, ..., mask: a default route has neither.
            let is_default = words.get(1) == Some(&"00000000") && words.get(7) == Some(&"00000000");
            words.first().filter(|_| is_default).map(|name| (*name).to_owned())
        })
        .collect()
}

/// What of it hurts this instance on this path. Clients come to the interface that has the addresses.
pub(super) fn judge(member: &Member<'_>, settings: Settings, defaults: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if member.family == Family::V6 {
        findings.extend(ipv6(&member.title(), member.interface(), settings));
    } else if member.is_on_first_interface() {
        findings.extend(reverse_path(member, settings, defaults));
        findings.extend(arp_ignored(member, settings));
        findings.extend(arp_filtered(member, settings));
    }
    findings
}

/// The command and the file for a setting.
fn set(key: &str, value: u32) -> [String; 2] {
    let line = format!("{key}={value}");
    [format!("sysctl -w {line}"), format!("and for the next boot: echo '{line}' >> {KEPT}")]
}

fn ipv6(instance: &str, interface: &str, settings: Settings) -> Option<Finding> {
    let key = format!("net.ipv6.conf.{interface}.disable_ipv6");
    let what = format!("{instance}: IPv6 is off on {interface}");
    (settings.disable_ipv6 != 0).then(|| {
        Finding::new(Severity::Problem, Kind::Ipv6Disabled, what)
            .because(format!("{key} = {}", settings.disable_ipv6))
            .mend_all(set(&key, 0))
    })
}

/// Strict filtering drops what comes in where the answer would not go out.
fn reverse_path(member: &Member<'_>, settings: Settings, defaults: &[String]) -> Option<Finding> {
    let interface = member.interface();
    let elsewhere = defaults.iter().find(|name| *name != interface)?;
    if settings.rp_filter != 1 || defaults.iter().any(|name| name == interface) {
        return None;
    }
    let what = format!(
        "{}: clients from other networks are dropped on {interface}, because the answers to them \
         would leave by {elsewhere}",
        member.title()
    );
    Some(
        Finding::new(Severity::Warning, Kind::ReversePath, what)
            .because(format!(
                "rp_filter is strict (1) on {interface}; the default route goes by {elsewhere}"
            ))
            .mend_all(set(&format!("net.ipv4.conf.{interface}.rp_filter"), 2)),
    )
}

fn arp_ignored(member: &Member<'_>, settings: Settings) -> Vec<Finding> {
    let interface = member.interface();
    member
        .moving_addresses()
        .filter_map(|address| {
            let why = match settings.arp_ignore {
                1 | 2 if address.dev.as_ref().is_some_and(|dev| dev.as_str() != interface) => {
                    "only addresses of the interface that is asked are answered for, and it is on \
                     another one"
                }
                2 if address.prefix == 32 => {
                    "only askers of the address' own network are answered, and a /32 has no others"
                }
                3 if address.scope == Scope::Host => "addresses of scope host are not answered for",
                8 => "no address is answered for",
                _ => return None,
            };
            let what = format!(
                "{}: nobody gets an ARP answer for {} on {interface}",
                member.title(),
                address.address
            );
            let both =
                "the larger one of this and net.ipv4.conf.all.arp_ignore counts: look at both";
            Some(
                Finding::new(Severity::Problem, Kind::ArpSettings, what)
                    .because(format!("arp_ignore is {} there: {why}", settings.arp_ignore))
                    .mend_all(set(&format!("net.ipv4.conf.{interface}.arp_ignore"), 0))
                    .mend(both),
            )
        })
        .collect()
}

/// With `arp_filter`, the interface answers that the route back leaves by.
fn arp_filtered(member: &Member<'_>, settings: Settings) -> Option<Finding> {
    let interface = member.interface();
    let first = member.moving_addresses().next()?;
    let other = member.look.addresses.iter().find(|own| {
        own.interface != interface
            && own.prefix < 32
            && in_network(first.address, own.address, own.prefix)
    });
    let other = other.filter(|_| settings.arp_filter != 0)?;
    let what = format!(
        "{}: ARP for {} may be answered on {} instead of {interface}, or not at all",
        member.title(),
        first.address,
        other.interface
    );
    Some(
        Finding::new(Severity::Warning, Kind::ArpSettings, what)
            .because(format!(
                "arp_filter is on, and {} has {}/{} of the same network",
                other.interface, other.address, other.prefix
            ))
            .mend_all(set(&format!("net.ipv4.conf.{interface}.arp_filter"), 0)),
    )
}

/// An address that the kernel removes together with another one, as `ip -j address` tells.
pub(super) fn secondaries(
    member: &Member<'_>,
    settings: Settings,
    left_out: &mut Vec<LeftOut>,
) -> Option<Finding> {
    if settings.promote_secondaries != 0
        || member.instance.held.is_empty()
        || !member.instance.devices.is_empty()
        || member.family == Family::V6
        || !member.is_on_first_interface()
    {
        return None;
    }
    let text = match System::run("ip", &["-j", "-4", "address", "show", "dev", member.interface()])
    {
        Ran::Well(text) => text,
        Ran::Absent => {
            left_out.push(LeftOut {
                what: "secondary addresses".to_owned(),
                why: "there is no ip(8)".to_owned(),
            });
            return None;
        }
        Ran::Failed(why) => {
            left_out.push(LeftOut { what: "secondary addresses".to_owned(), why });
            return None;
        }
    };
    let own: Vec<IpAddr> = member.own_addresses().map(|own| own.address).collect();
    let lost = secondary(&text).into_iter().find(|(address, _)| own.contains(address));
    let (address, prefix) = lost?;
    let interface = member.interface();
    let virtual_one = member
        .instance
        .held
        .iter()
        .find(|held| held.prefix == prefix && in_network(address, held.address, prefix))?;
    let what = format!(
        "{}: when {virtual_one} leaves {interface}, the kernel takes this node's own \
         {address}/{prefix} off with it",
        member.title()
    );
    Some(
        Finding::new(Severity::Problem, Kind::OwnAddressSecondary, what)
            .because(format!(
                "{address}/{prefix} is secondary to it (it came later), and promote_secondaries \
                 is 0"
            ))
            .mend_all(set("net.ipv4.conf.all.promote_secondaries", 1)),
    )
}

/// The secondary addresses in what `ip -j address` writes.
fn secondary(text: &str) -> BTreeMap<IpAddr, u8> {
    let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let interfaces = value.as_array().into_iter().flatten();
    let addresses = interfaces.filter_map(|one| one.get("addr_info")?.as_array()).flatten();
    let secondary = addresses.filter(|address| address.get("secondary") == Some(&true.into()));
    let parsed = secondary.filter_map(|address| {
        let local = address.get("local")?.as_str()?.parse().ok()?;
        let prefix = address.get("prefixlen")?.as_u64()?;
        Some((local, u8::try_from(prefix).ok()?))
    });
    parsed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a default route is one to anywhere, whatever its gateway (`/proc/net/route` of a
    /// machine with two interfaces).
    #[test]
    fn default_routes_are_found() {
        let text = "Iface\tDestination\tGateway \
                    \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                    eth1\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                    eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        assert_eq!(routes(text), ["eth1"]);
    }

    /// Rule: IPv6 that is off is named with the line to write (a daemon that takes IPv6 addresses is
    /// yet to come).
    #[test]
    fn ipv6_that_is_off() {
        assert_eq!(ipv6("web", "eth0", Settings::default()), None);
        let off = Settings { disable_ipv6: 1, ..Settings::default() };
        let found = ipv6("web", "eth0", off).unwrap();
        assert_eq!(found.mend[0], "sysctl -w net.ipv6.conf.eth0.disable_ipv6=0");
    }

    /// Rule: what iproute2 marks as secondary is that (6.1, an address added after another one of
    /// its network).
    #[test]
    fn secondary_addresses_are_found() {
        let text = r#"[{"ifindex":2,"ifname":"eth0","addr_info":[
            {"family":"inet","local":"10.77.0.100","prefixlen":24,"scope":"global","label":"eth0"},
            {"family":"inet","local":"10.77.0.11","prefixlen":24,"scope":"global","secondary":true,"label":"eth0"}]}]"#;
        assert_eq!(secondary(text), [([10, 77, 0, 11].into(), 24)].into());
        assert!(secondary("").is_empty());
    }
}
