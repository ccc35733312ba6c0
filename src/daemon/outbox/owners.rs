//! Maps an action to its instance, as far as the action itself tells.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::engine::{Action, Change};
use crate::model::{Config, Family, InstanceName, InterfaceName, Path, Routing, VirtualDevice};

/// An instance by its number, the same in each configuration that has one of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner(usize);

/// The instances of the current configuration and of the one before, by the things that belong to
/// them. Instances that the last reload has removed may still be leaving.
#[derive(Debug, Default)]
pub(super) struct Owners {
    now: Owned,
    before: Owned,
}

#[derive(Debug, Default)]
struct Owned {
    names: BTreeMap<InstanceName, Owner>,
    routers: BTreeMap<(InterfaceName, Family, u8), Owner>,
    addresses: BTreeMap<(InterfaceName, IpAddr), Owner>,
    routings: BTreeMap<Routing, Owner>,
    devices: BTreeMap<InterfaceName, Owner>,
}

impl Owners {
    /// Takes another configuration.
    pub(super) fn reconfigure(&mut self, config: &Config) {
        let new = Owned::new(config, &self.now.names);
        self.before = std::mem::replace(&mut self.now, new);
    }

    /// The owner; `None` if several instances share the action, or the owner is not known.
    pub(super) fn of(&self, action: &Action) -> Option<Owner> {
        self.now.of(action).or_else(|| self.before.of(action))
    }
}

impl Owned {
    fn new(config: &Config, before: &BTreeMap<InstanceName, Owner>) -> Self {
        let mut all = Self::default();
        let mut next = before.values().max().map_or(0, |Owner(last)| last + 1);
        for instance in &config.instances {
            let owner = before.get(&instance.name).copied().unwrap_or_else(|| {
                next += 1;
                Owner(next - 1)
            });
            all.names.insert(instance.name.clone(), owner);
            let virtual_router_id = instance.virtual_router_id;
            for Path { interface, family } in instance.paths() {
                if instance.virtual_mac {
                    let device =
                        VirtualDevice { interface: interface.clone(), family, virtual_router_id };
                    all.devices.insert(device.name(), owner);
                    for address in instance.moving_addresses() {
                        all.addresses.insert((device.name(), address.address), owner);
                    }
                }
                all.routers.insert((interface, family, virtual_router_id.get()), owner);
            }
            for address in instance.moving_addresses() {
                let place = (instance.interface_of(address).clone(), address.address);
                all.addresses.insert(place, owner);
            }
            all.routings.extend(instance.routing().map(|routing| (routing, owner)));
        }
        all
    }

    fn of(&self, action: &Action) -> Option<Owner> {
        match action {
            Action::Send { interface, source, message, .. } => {
                // The second byte is the VRID (RFC 9568 section 5.1).
                let router = *message.get(1)?;
                self.routers.get(&(interface.clone(), Family::of(*source), router))
            }
            Action::Change(change) => self.of_change(change),
            _ => None,
        }
        .copied()
    }

    fn of_change(&self, change: &Change) -> Option<&Owner> {
        match change {
            Change::AddAddress { interface, address, .. }
            | Change::RemoveAddress { interface, address } => {
                self.addresses.get(&(interface.clone(), address.address))
            }
            Change::AddRouting { routing, .. } | Change::RemoveRouting { routing } => {
                self.routings.get(routing)
            }
            Change::AddDevice { device } | Change::RemoveDevice { device } => {
                self.devices.get(&device.name())
            }
            Change::SetDevice { device, .. } => self.devices.get(device),
        }
    }
}
