//! The configuration that comes out of it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use crate::ctl::wire::Heard;
use crate::model::{InstanceName, InterfaceName, Node, VirtualAddress, Vrid};

/// What samples have, and with them half of the world's first configurations.
const CROWDED: [u8; 2] = [1, 51];

/// All that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) nodes: Vec<Node>,
    pub(super) instance: InstanceName,
    pub(super) interface: InterfaceName,
    pub(super) vrid: Vrid,
    pub(super) addresses: Vec<VirtualAddress>,
}

impl Draft {
    /// The file's text.
    pub(super) fn yaml(&self) -> String {
        let Self { nodes, instance, interface, vrid, addresses } = self;
        let width = nodes.iter().map(|node| node.name.as_str().len()).max().unwrap_or(0) + 1;
        let nodes = nodes.iter().fold(String::new(), |mut text, node| {
            let name = format!("{}:", quoted(node.name.as_str()));
            let _ = writeln!(text, "  {name:width$} {}", quoted_address(node.address));
            text
        });
        let addresses: Vec<String> = addresses.iter().map(|one| format!("\"{one}\"")).collect();
        format!(
            "# vipd's configuration: the same file on every node of the group. All keys are \
             explained in\n# vipd.yaml(5). After a change: vipd check, then: systemctl reload \
             vipd\n\nnodes:                      # in order of preference, with their own \
             addresses\n{nodes}\ninstances:\n\x20 {name}:\n\x20   interface: {interface}\n\x20   \
             virtual_router_id: {vrid}   # no other group's on this network\n\x20   addresses: \
             [{addresses}]   # what moves\n\x20   preempt: never          # who has it keeps it; \
             always: the most preferred live node has it\n",
            name = quoted(instance.as_str()),
            interface = quoted(interface.as_str()),
            addresses = addresses.join(", "),
        )
    }
}

/// A name that YAML could take for something else stands in quotes.
fn quoted(name: &str) -> String {
    let plain = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        && !["yes", "no", "on", "off", "true", "false", "null", "y", "n"]
            .contains(&name.to_ascii_lowercase().as_str());
    if plain { name.to_owned() } else { format!("\"{name}\"") }
}

fn quoted_address(address: IpAddr) -> String {
    if address.is_ipv4() { address.to_string() } else { format!("\"{address}\"") }
}

/// The IDs that are in use on a wire.
pub(super) fn used(heard: &[Heard]) -> BTreeSet<Vrid> {
    heard.iter().map(|heard| heard.advertisement.virtual_router_id).collect()
}

/// A free ID, `chance` deciding which. The crowd's favourites are never chosen.
pub(super) fn choose(used: &BTreeSet<Vrid>, chance: u32) -> Option<Vrid> {
    let free: Vec<Vrid> = (1..=u8::MAX)
        .filter(|id| !CROWDED.contains(id))
        .filter_map(|id| Vrid::try_from(id).ok())
        .filter(|id| !used.contains(id))
        .collect();
    let place = usize::try_from(chance).unwrap_or_default().checked_rem(free.len())?;
    free.get(place).copied()
}

/// A line for each virtual router that was heard.
pub(super) fn described(heard: &[Heard]) -> BTreeSet<String> {
    heard
        .iter()
        .map(|Heard { source, advertisement: said, .. }| {
            let addresses: Vec<String> = said.addresses.iter().map(ToString::to_string).collect();
            format!(
                "VRID {:3}  {source}, VRRPv{}, priority {}, every {}: {}",
                said.virtual_router_id,
                said.version,
                said.priority,
                said.interval,
                addresses.join(", ")
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Here};

    fn vrid(id: u8) -> Vrid {
        Vrid::try_from(id).unwrap()
    }

    fn draft(names: [&str; 2], addresses: [&str; 2], virtual_address: (&str, u8)) -> Draft {
        let node = |place: usize| Node {
            name: names[place].try_into().unwrap(),
            address: addresses[place].parse().unwrap(),
            others: Vec::new(),
        };
        let address = VirtualAddress {
            address: virtual_address.0.parse().unwrap(),
            prefix: virtual_address.1,
            dev: None,
            label: None,
            scope: crate::model::Scope::Global,
        };
        Draft {
            nodes: vec![node(0), node(1)],
            instance: "on".try_into().unwrap(),
            interface: "eth0".try_into().unwrap(),
            vrid: vrid(137),
            addresses: vec![address],
        }
    }

    /// Rule: what is written is a valid configuration that says what was asked, also for names that
    /// YAML would take for something else.
    #[test]
    fn what_is_written_is_valid() {
        for draft in [
            draft(["db1", "no"], ["10.0.0.11", "10.0.0.12"], ("10.0.0.100", 24)),
            draft(["1e3", "db.2"], ["10.0.0.11", "10.0.0.12"], ("10.0.0.100", 32)),
            draft(["db1", "db2"], ["2001:db8::11", "2001:db8::12"], ("2001:db8::100", 64)),
        ] {
            let here = Here::Node(draft.nodes[0].name.clone());
            let config = config::load("vipd.yaml", &draft.yaml(), &here).unwrap();
            assert_eq!(config.nodes, draft.nodes);
            let [instance] = &config.instances[..] else { panic!() };
            // Over IPv6 the link-local address of the virtual router comes first.
            assert!(instance.addresses.ends_with(&draft.addresses));
            assert_eq!((&instance.name, instance.virtual_router_id), (&draft.instance, draft.vrid));
        }
    }

    /// Rule: a free ID is one that nobody uses, and never one that others are likely to come with.
    #[test]
    fn a_free_id_is_chosen() {
        let used: BTreeSet<Vrid> = (1..=255).filter(|id| *id != 7 && *id != 51).map(vrid).collect();
        assert_eq!(choose(&used, 12_345), Some(vrid(7)));
        for chance in 0..1_000 {
            let chosen = choose(&BTreeSet::new(), chance).unwrap();
            assert!(!CROWDED.contains(&chosen.get()));
        }
        assert_eq!(choose(&(1..=255).map(vrid).collect(), 3), None);
    }
}
