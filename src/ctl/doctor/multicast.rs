//! What keeps multicast away before it gets to the interface: membership, and bridges of this
//! machine.

use std::net::{IpAddr, Ipv4Addr};

use super::system::System;

/// What is known of an interface's way to the segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Switch {
    /// The interface.
    interface: String,
    /// The groups that this machine has joined there.
    groups: Vec<IpAddr>,
    /// The bridge of this machine that it is or is a port of.
    bridge: Option<Bridge>,
}

/// A bridge of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Bridge {
    name: String,
    snooping: bool,
    querier: bool,
    /// Ports that get no multicast whose receivers are not known.
    without_flood: Vec<String>,
}

impl Switch {
    /// Looks.
    pub(super) fn of(system: &System, interface: &str) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let mut groups = igmp(&read("/proc/net/igmp"), interface);
        groups.extend(igmp6(&read("/proc/net/igmp6"), interface));
        Self { interface: interface.to_owned(), groups, bridge: bridge(system, interface) }
    }

    /// What of it may explain that packets for `group` do not arrive.
    pub(super) fn evidence(&self, group: IpAddr) -> Vec<String> {
        let Self { interface, groups, bridge } = self;
        let joined = if groups.contains(&group) { "has joined" } else { "has NOT joined" };
        let mut lines =
            vec![format!("this machine {joined} {group} on {interface} (/proc/net/igmp)")];
        if let Some(Bridge { name, snooping, querier, without_flood }) = bridge {
            let on = |on: &bool| if *on { "on" } else { "off" };
            lines.push(format!(
                "bridge {name}: IGMP snooping {}, querier {}",
                on(snooping),
                on(querier)
            ));
            if !without_flood.is_empty() {
                let ports = without_flood.join(", ");
                lines.push(format!("bridge {name} floods no unknown multicast to {ports}"));
            }
        }
        lines
    }

    /// What to do about it.
    pub(super) fn mend(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(Bridge { name, snooping, querier, without_flood }) = &self.bridge {
            if *snooping && !querier {
                lines.push(format!("ip link set dev {name} type bridge mcast_querier 1"));
                lines.push(format!(
                    "or, without snooping: ip link set dev {name} type bridge mcast_snooping 0"
                ));
            }
            for port in without_flood {
                lines.push(format!("bridge link set dev {port} mcast_flood on"));
            }
        }
        lines.push(
            "on the switch: an IGMP querier in this VLAN, or IGMP snooping off in it (snooping \
             without a querier forgets who has joined after some minutes)"
                .to_owned(),
        );
        lines
    }
}

/// The IPv4 groups of an interface in `/proc/net/igmp`: an interface's line, then a line for each
/// group, its address as the machine's own byte order has it in memory.
fn igmp(text: &str, interface: &str) -> Vec<IpAddr> {
    let mut inside = false;
    let mut groups = Vec::new();
    for line in text.lines().skip(1) {
        if line.starts_with(|first: char| first.is_ascii_digit()) {
            // `2<tab>eth0      :     1      V3`
            inside = line.split_whitespace().nth(1).map(|name| name.trim_end_matches(':'))
                == Some(interface);
        } else if inside
            && let Some(word) = line.split_whitespace().next()
            && let Ok(bits) = u32::from_str_radix(word, 16)
        {
            groups.push(Ipv4Addr::from(bits.to_ne_bytes()).into());
        }
    }
    groups
}

/// The IPv6 groups of an interface in `/proc/net/igmp6`: a line for each, with its index, the name
/// and 32 digits.
fn igmp6(text: &str, interface: &str) -> Vec<IpAddr> {
    let group = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let of_it = words.next()? == interface;
        let bits = u128::from_str_radix(words.next()?, 16).ok()?;
        of_it.then(|| IpAddr::from(bits.to_be_bytes()))
    };
    text.lines().filter_map(group).collect()
}

fn bridge(system: &System, interface: &str) -> Option<Bridge> {
    let net = "/sys/class/net";
    let own = format!("{net}/{interface}/bridge");
    let name = if system.path(&own).is_dir() {
        interface.to_owned()
    } else {
        let link =
            std::fs::read_link(system.path(&format!("{net}/{interface}/brport/bridge"))).ok()?;
        link.file_name()?.to_string_lossy().into_owned()
    };
    let is = |path: String| system.read(&path).map(|text| text.trim() == "1");
    let flag = |key: &str| is(format!("{net}/{name}/bridge/multicast_{key}")).unwrap_or_default();
    let ports = system.names(&format!("{net}/{name}/brif"));
    let flooded = |port: &String| is(format!("{net}/{name}/brif/{port}/multicast_flood"));
    let (snooping, querier) = (flag("snooping"), flag("querier"));
    let without_flood = ports.into_iter().filter(|port| flooded(port) == Some(false)).collect();
    Some(Bridge { name, snooping, querier, without_flood })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: memberships are read by interface (a Debian 12 machine with a bridge).
    #[test]
    fn memberships() {
        let text = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
                    1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n\
                    2\teth0      :     2      V3\n\t\t\t\t120000E0     1 0:00000000\t\t0\n\
                    \t\t\t\t010000E0     1 0:00000000\t\t0\n";
        let group: IpAddr = [224, 0, 0, 18].into();
        assert!(igmp(text, "eth0").contains(&group));
        assert_eq!(igmp(text, "lo").len(), 1);
        assert!(!igmp(text, "lo").contains(&group));
        let text = "2    eth0            ff020000000000000000000000000012     1 0000000C 0\n2    \
                    eth0            ff020000000000000000000000000001     1 0000000C 0\n";
        assert!(igmp6(text, "eth0").contains(&"ff02::12".parse().unwrap()));
        assert_eq!(igmp6(text, "eth1"), Vec::<IpAddr>::new());
    }

    /// Rule: a snooping bridge without a querier gets its command, and a port without flooding its
    /// own.
    #[test]
    fn bridges() {
        let bridge = Bridge {
            name: "br0".to_owned(),
            snooping: true,
            querier: false,
            without_flood: vec!["eth0".to_owned()],
        };
        let interface = "br0".to_owned();
        let switch = Switch { interface, groups: Vec::new(), bridge: Some(bridge) };
        let said = switch.evidence([224, 0, 0, 18].into()).join("\n");
        assert!(said.contains("has NOT joined 224.0.0.18 on br0"), "{said}");
        assert!(said.contains("bridge br0: IGMP snooping on, querier off"), "{said}");
        let mend = switch.mend();
        assert_eq!(mend[0], "ip link set dev br0 type bridge mcast_querier 1");
        assert_eq!(mend[2], "bridge link set dev eth0 mcast_flood on");
    }
}
