//! Checks and hooks that fail, and instances that cannot take part or may not.

use super::finding::{Finding, Kind, Severity};
use crate::engine::status::{InstanceStatus, TrackStatus};
use crate::engine::story::{Fault, LinkLocal, StateName, Why};
use crate::engine::{Status, story::TrackFailure};
use crate::model::{Family, Routing};

/// What keeps instances from their best.
pub(super) fn judge(status: &Status) -> Vec<Finding> {
    let tracks = status
        .tracks
        .iter()
        .filter_map(|track| track.failure.as_ref().map(|failure| failing(status, track, failure)));
    let instances = status.instances.iter().flat_map(|instance| {
        let mut findings: Vec<Finding> = hooks(instance);
        findings.extend(standing_by(instance));
        findings.extend(fault(instance));
        findings
    });
    tracks.chain(instances).collect()
}

fn failing(status: &Status, track: &TrackStatus, failure: &TrackFailure) -> Finding {
    let name = &track.name;
    let users: Vec<&str> = status
        .instances
        .iter()
        .filter(|instance| instance.tracks.contains(name))
        .map(|instance| instance.name.as_str())
        .collect();
    let users = users.join(", ");
    let (severity, effect) = match track.cost {
        None => (Severity::Problem, format!("{users} cannot be active here while it fails")),
        Some(cost) => (Severity::Warning, format!("it lowers the priority of {users} by {cost}")),
    };
    let what = format!("check {name} ({}) {failure}", track.kind);
    let mut found = Finding::new(severity, Kind::CheckFails, what).because(effect);
    if let Some(last) = track.last.as_ref().filter(|last| !last.text.is_empty()) {
        found = found.because(format!("its last look said: {}", last.text));
    }
    if let Some(span) = track.held_for {
        found = found
            .because(format!("it changes too often, and counts as failing for another {span}"));
    }
    found.mend(format!("mend what it looks at, then: vipctl probe {name}"))
}

fn hooks(instance: &InstanceStatus) -> Vec<Finding> {
    let failed = instance.hooks.iter().filter_map(|hook| match &hook.last {
        Some((false, text, _)) => Some((hook.name, text)),
        _ => None,
    });
    failed
        .map(|(name, text)| {
            let what = format!("{}: its hook {name} has failed", instance.name);
            Finding::new(Severity::Warning, Kind::HookFails, what)
                .because(format!("it ended with: {text}"))
                .mend(format!("journalctl -u vipd --grep '{}' has what it wrote", instance.name))
                .mend(
                    "run it by hand as the service's user, without its privileges: setpriv \
                     --reuid=vipd --regid=vipd --clear-groups --no-new-privs COMMAND",
                )
        })
        .collect()
}

fn standing_by(instance: &InstanceStatus) -> Option<Finding> {
    if !instance.standby {
        return None;
    }
    let name = &instance.name;
    let what = format!(
        "{name}: is taken out of the election (vipctl standby) and does not come back by itself"
    );
    Some(
        Finding::new(Severity::Warning, Kind::Standby, what)
            .because(instance.reason.clone())
            .mend(format!("when the work is done: vipctl online {name}")),
    )
}

/// What `ip` needs to know of the family.
const fn dash_six(family: Family) -> &'static str {
    match family {
        Family::V4 => "",
        Family::V6 => " -6",
    }
}

fn fault(instance: &InstanceStatus) -> Option<Finding> {
    let Why::Fault(fault) = &instance.why else { return None };
    if instance.state != StateName::Fault {
        return None;
    }
    let interface = &instance.interface;
    let mend = match fault {
        // Told by themselves.
        Fault::TrackFailing(..) | Fault::Standby => return None,
        Fault::Awaiting(_) => {
            "vipd goes on by itself once it is there; vipd check says where the file \
                               names it"
                .to_owned()
        }
        Fault::GroupMember(_, member) => format!("see what is said of {member}"),
        Fault::InterfaceMissing(name) => {
            format!("ip link show; the interface's name stands under interface: or dev: ({name})")
        }
        Fault::InterfaceDown(name) => format!("ip link set {name} up"),
        Fault::NoCarrier(name) => {
            format!("the cable or the switch's port of {name}: ethtool {name}")
        }
        Fault::NoSourceAddress(name) => {
            format!(
                "give {name} an address of its own, of the same family: ip address show dev {name}"
            )
        }
        Fault::NoLinkLocal(name, LinkLocal::Missing) => {
            format!(
                "sysctl -w net.ipv6.conf.{name}.disable_ipv6=0; where that is so already: ip link \
                 set {name} addrgenmode eui64"
            )
        }
        Fault::NoLinkLocal(name, LinkLocal::Tentative(_)) => {
            format!("wait two seconds; if it stays so: ip address show dev {name} tentative")
        }
        Fault::NoLinkLocal(name, LinkLocal::Duplicate(address)) => {
            format!(
                "find who else has {address} (a cloned machine with the same Ethernet address?), \
                 or give {name} another one beside it: ip address add fe80::.../64 dev {name}"
            )
        }
        Fault::NotEthernet(name) => {
            format!("ip link show {name}: only Ethernet can announce addresses")
        }
        Fault::CannotListen(..) => "systemctl cat vipd: it needs CAP_NET_RAW and \
                                    RestrictAddressFamilies with AF_PACKET"
            .to_owned(),
        Fault::CannotJoin(group, name, _) if group.is_ipv4() => {
            format!("ip maddress show {name}; sysctl net.ipv4.igmp_max_memberships: not 0")
        }
        Fault::CannotJoin(_, name, _) => {
            format!("ip link show {name}; sysctl net.ipv6.conf.{name}.disable_ipv6")
        }
        Fault::CannotInstall(address, name, _) => {
            format!(
                "ip address show to {}; ip link show {name}; for IPv6: sysctl \
                 net.ipv6.conf.{name}.disable_ipv6",
                address.address
            )
        }
        Fault::CannotRoute(routing, _) => match routing {
            Routing::Route(route) => format!(
                "see what is there: ip{} route show table {} {}",
                dash_six(route.to.family()),
                route.table,
                route.to
            ),
            Routing::Rule(rule) => {
                format!("see what is there: ip{} rule show", dash_six(rule.family))
            }
        },
        Fault::CannotMakeDevice(name, _) => {
            format!("ip -d link show {name}; or do without: leave out virtual_mac")
        }
        Fault::CannotSend(..) => {
            format!(
                "a firewall on output? nft list ruleset; ip route get 224.0.0.18 oif {interface} \
                 (ff02::12 over IPv6)"
            )
        }
    };
    let what = format!("{}: cannot take part: {fault}", instance.name);
    Some(Finding::new(Severity::Problem, Kind::Fault, what).mend(mend))
}
