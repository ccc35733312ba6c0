//! Who takes part: two nodes, a client, and the address that the nodes share.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::lab::Machine;
use crate::model::Mac;

/// The address that moves. All addresses are of the range for documentation (RFC 5737).
pub(super) const VIRTUAL_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

/// What the client asks there.
pub(super) const SERVICE: SocketAddr = SocketAddr::new(IpAddr::V4(VIRTUAL_ADDRESS), 4_000);

/// The machine that asks.
pub(super) const CLIENT: Machine = Machine {
    name: "client",
    address: Ipv4Addr::new(192, 0, 2, 50),
    mac: Mac([2, 0, 0, 0, 0, 50]),
};

/// The configuration of both nodes.
pub(super) const CONFIGURATION: &str = "\
nodes:                        # in order of preference
  web1: 192.0.2.11
  web2: 192.0.2.12
instances:
  web:
    interface: eth0
    virtual_router_id: 51
    addresses: [192.0.2.100/24]
    preempt: always           # web1 takes it back when it returns
    advertisement_interval: 200ms
";

/// One of the two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// The preferred one.
    Web1,
    /// The other one.
    Web2,
}

impl Node {
    /// Both, in order of preference.
    pub(super) const BOTH: [Self; 2] = [Self::Web1, Self::Web2];

    /// Its name in the configuration.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Web1 => "web1",
            Self::Web2 => "web2",
        }
    }

    /// The node of that name.
    pub(super) fn by_name(name: &[u8]) -> Option<Self> {
        Self::BOTH.into_iter().find(|node| node.name().as_bytes() == name)
    }

    /// What is plugged into the bridge for it.
    pub(super) const fn machine(self) -> Machine {
        let number = match self {
            Self::Web1 => 11,
            Self::Web2 => 12,
        };
        let address = Ipv4Addr::new(192, 0, 2, number);
        Machine { name: self.name(), address, mac: Mac([2, 0, 0, 0, 0, number]) }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Here, OwnAddress, load};
    use crate::model::{InterfaceName, NodeName};

    /// Rule: the configuration that newcomers see is valid on both nodes and describes the
    /// machines that the demo builds.
    #[test]
    fn the_configuration_describes_the_machines() {
        for node in Node::BOTH {
            let address = IpAddr::from(node.machine().address);
            let interface = InterfaceName::try_from(super::super::lab::INTERFACE).unwrap();
            let own = OwnAddress { interface: interface.clone(), address, prefix: 24 };
            let here = Here::machine(vec![own]);
            let config = load("demo", CONFIGURATION, &here).unwrap();
            assert_eq!(config.this_node, Some(NodeName::try_from(node.name()).unwrap()));
            assert_eq!(config.node_at(address), config.this_node.as_ref());
            let [instance] = config.instances.as_slice() else { panic!("{config:?}") };
            assert_eq!(instance.interface, interface);
            assert_eq!(instance.addresses[0].address, IpAddr::from(VIRTUAL_ADDRESS));
        }
    }
}
