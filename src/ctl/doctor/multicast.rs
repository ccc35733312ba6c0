//! What keeps multicast away before it gets to the interface: membership, and bridges of this
//! machine.

use std::net::{IpAddr, Ipv4Addr};

use super::finding::{Finding, Kind, LeftOut, Severity};
use super::member::Member;
use super::system::System;

/// What is known of an interface's way to the segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Switch {
    /// The interface.
    interface: String,
    /// The groups that this machine has joined there; `None`: they cannot be read.
    groups: Option<Vec<IpAddr>>,
    /// The same of IPv6.
    groups6: Option<Vec<IpAddr>>,
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
        let [groups, groups6] =
            ["/proc/net/igmp", "/proc/net/igmp6"].map(|path| std::fs::read_to_string(path).ok());
        Self {
            interface: interface.to_owned(),
            groups: groups.map(|text| igmp(&text, interface)),
            groups6: groups6.map(|text| igmp6(&text, interface)),
            bridge: bridge(system, interface),
        }
    }

    /// Whether this machine has certainly not joined it there.
    pub(super) fn lacks(&self, group: IpAddr) -> bool {
        self.has_joined(group) == Some(false)
    }

    /// Whether this machine has joined it there; `None`: that cannot be read.
    fn has_joined(&self, group: IpAddr) -> Option<bool> {
        let groups = if group.is_ipv4() { &self.groups } else { &self.groups6 };
        groups.as_ref().map(|groups| groups.contains(&group))
    }

    /// What of it may explain that packets for `group` do not arrive.
    pub(super) fn evidence(&self, group: IpAddr) -> Vec<String> {
        let Self { interface, bridge, .. } = self;
        let mut lines = Vec::new();
        if let Some(joined) = self.has_joined(group) {
            let joined = if joined { "has joined" } else { "has NOT joined" };
            let file = file(group);
            lines.push(format!("this machine {joined} {group} on {interface} ({file})"));
        }
        if let Some(Bridge { name, snooping, querier, without_flood }) = bridge {
            let [snooping, querier] =
                [*snooping, *querier].map(|is_on| if is_on { "on" } else { "off" });
            lines.push(format!(
                "bridge {name}: {} snooping {snooping}, querier {querier}",
                protocol(group),
            ));
            if !without_flood.is_empty() {
                let ports = without_flood.join(", ");
                lines.push(format!("bridge {name} floods no unknown multicast to {ports}"));
            }
        }
        lines
    }

    /// What to do about it.
    pub(super) fn mend(&self, group: IpAddr) -> Vec<String> {
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
        let protocol = protocol(group);
        lines.push(format!(
            "on the switch: an {protocol} querier in this VLAN, or {protocol} snooping off in it \
             (snooping without a querier forgets who has joined after some minutes)"
        ));
        lines
    }
}

/// By which switches learn who has joined a group.
const fn protocol(group: IpAddr) -> &'static str {
    if group.is_ipv4() { "IGMP" } else { "MLD" }
}

/// Where the kernel lists what has been joined.
const fn file(group: IpAddr) -> &'static str {
    if group.is_ipv4() { "/proc/net/igmp" } else { "/proc/net/igmp6" }
}

/// A group that the daemon listens to and this machine has not joined.
pub(super) fn judge(
    member: &Member<'_>,
    switch: &Switch,
    left_out: &mut Vec<LeftOut>,
) -> Option<Finding> {
    let group = member.group().filter(|_| member.takes_part() && member.link().is_some())?;
    let interface = member.interface();
    match switch.has_joined(group) {
        Some(true) => return None,
        Some(false) => {}
        None => {
            let what = format!("whether this machine has joined {group} on {interface}");
            left_out.push(LeftOut { what, why: format!("{} cannot be read", file(group)) });
            return None;
        }
    }
    let severity = if member.has_one_path() { Severity::Problem } else { Severity::Warning };
    let what = format!(
        "{}: this machine has not joined {group} on {interface}, so it does not get what is sent there",
        member.title()
    );
    Some(
        Finding::new(severity, Kind::GroupNotJoined, what)
            .because(format!("{group} is not listed for {interface} in {}", file(group)))
            .mend("journalctl -u vipd: it says what it could not open there")
            .mend("systemctl restart vipd on this node, which joins it again"),
    )
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
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            let of_it = words.next()? == interface;
            let bits = u128::from_str_radix(words.next()?, 16).ok()?;
            of_it.then(|| IpAddr::from(bits.to_be_bytes()))
        })
        .collect()
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
    let ports = system.names(&format!("{net}/{name}/brif"));
    let [snooping, querier] = ["snooping", "querier"]
        .map(|key| is(format!("{net}/{name}/bridge/multicast_{key}")).unwrap_or_default());
    let without_flood = ports
        .into_iter()
        .filter(|port| is(format!("{net}/{name}/brif/{port}/multicast_flood")) == Some(false))
        .collect();
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
        let none = Some(Vec::new());
        let switch =
            Switch { interface, groups: none.clone(), groups6: none, bridge: Some(bridge) };
        let said = switch.evidence([224, 0, 0, 18].into()).join("\n");
        assert!(said.contains("has NOT joined 224.0.0.18 on br0"), "{said}");
        assert!(said.contains("bridge br0: IGMP snooping on, querier off"), "{said}");
        let six = switch.evidence("ff02::12".parse().unwrap()).join("\n");
        assert!(six.contains("ff02::12 on br0 (/proc/net/igmp6)"), "{six}");
        assert!(six.contains("bridge br0: MLD snooping on, querier off"), "{six}");
        let mend = switch.mend([224, 0, 0, 18].into());
        assert_eq!(mend[0], "ip link set dev br0 type bridge mcast_querier 1");
        assert_eq!(mend[2], "bridge link set dev eth0 mcast_flood on");
    }
}
