//! The changes of the system, from the engine to the kernel as they are.

use serde::{Deserialize, Serialize};

use crate::model::{InterfaceName, Routing, VirtualAddress, VirtualDevice};
use crate::time::{Mono, Span};

/// One change of the system's addresses, routes, rules or devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Put an address on an interface, or renew its lease. That it is there already is success;
    /// what else it has (label, flags) stays as it is then.
    AddAddress {
        /// The interface.
        interface: InterfaceName,
        /// The address.
        address: VirtualAddress,
        /// The kernel takes it off this long after the last renewal: whole seconds. `None`: never.
        lease: Option<Span>,
        /// Carried out later than this it must fail (`ETIME`) and change nothing: somebody else
        /// may have the address by then.
        not_after: Mono,
    },
    /// Take an address off an interface. That it (or the interface) is not there is success. Where
    /// the interface that it was put on has another name by now, it is taken off there.
    RemoveAddress {
        /// The interface.
        interface: InterfaceName,
        /// The address.
        address: VirtualAddress,
    },
    /// Add a route or a rule, with [`ROUTING_PROTOCOL`](crate::model::ROUTING_PROTOCOL). A route
    /// that somebody else has made to the same destination, in the same table and with the same
    /// metric, makes it fail (`EEXIST`). It comes after the addresses that it may need.
    AddRouting {
        /// The route or rule.
        routing: Routing,
        /// The kernel takes it off this long after it was last asked for, if it can: IPv6 routes
        /// alone. Whole seconds; `None`: never.
        lease: Option<Span>,
        /// As in [`Change::AddAddress`].
        not_after: Mono,
        /// It should be there already: that it is, is success; that it was not returns as
        /// [`Input::RoutingRestored`](super::Input::RoutingRestored).
        again: bool,
    },
    /// Remove a route or a rule that has our protocol number. That it is not there is success. The
    /// interface of a route may have another name by now, as with [`Change::RemoveAddress`].
    RemoveRouting {
        /// The route or rule.
        routing: Routing,
    },
    /// Make this device on its interface, or take the one that is there already and is vipd's.
    /// Afterwards it is down and emits nothing, and the settings of the kernel (`sysctl`) are such
    /// that its addresses are answered for with its Ethernet address and no other; what they were
    /// before is written down by the shell. An [`Input::Link`](super::Input::Link) of its name
    /// tells when it is there.
    AddDevice {
        /// The device.
        device: VirtualDevice,
    },
    /// Take the device away, with what is on it, and where it was the last one on its interface,
    /// put the settings back. That it is not there is success.
    RemoveDevice {
        /// The device.
        device: VirtualDevice,
    },
    /// Set a device administratively up or down.
    SetDevice {
        /// Its name.
        device: InterfaceName,
        /// True if up.
        up: bool,
    },
}
