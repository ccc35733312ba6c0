//! Maps an action to its instance, as far as the action itself tells.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::engine::Action;
use crate::model::{Config, Family, InstanceName, InterfaceName, Routing, VirtualDevice};

/// The instances of the current configuration and of the one before, by the things that belong to
/// them. Instances that the last reload has removed may still be leaving.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    now: Owned,
    before: Owned,
}

#[derive(Debug, Default)]
struct Owned {
    routers: BTreeMap<(InterfaceName, Family, u8), InstanceName>,
    addresses: BTreeMap<(InterfaceName, IpAddr), InstanceName>,
    routings: BTreeMap<Routing, InstanceName>,
    devices: BTreeMap<InterfaceName, InstanceName>,
}

impl Owners {
    /// Takes another configuration.
    pub(crate) fn reconfigure(&mut self, config: &Config) {
        self.before = std::mem::replace(&mut self.now, Owned::new(config));
    }

    /// The owner; `None` if several instances share the action, or the owner is not known.
    pub(crate) fn of(&self, action: &Action) -> Option<&InstanceName> {
        self.now.of(action).or_else(|| self.before.of(action))
    }
}

impl Owned {
    fn new(config: &Config) -> Self {
        let mut all = Self::default();
        for instance in &config.instances {
            let name = &instance.name;
            let virtual_router_id = instance.virtual_router_id;
            for path in instance.paths() {
                let device = VirtualDevice {
                    interface: path.interface.clone(),
                    family: path.family,
                    virtual_router_id,
                };
                let key = (path.interface, path.family, virtual_router_id.get());
                all.routers.insert(key, name.clone());
                all.devices.insert(device.name(), name.clone());
                for address in instance.moving_addresses() {
                    all.addresses.insert((device.name(), address.address), name.clone());
                }
            }
            for address in instance.moving_addresses() {
                let place = (instance.interface_of(address).clone(), address.address);
                all.addresses.insert(place, name.clone());
            }
            all.routings.extend(instance.routing().map(|routing| (routing, name.clone())));
        }
        all
    }

    fn of(&self, action: &Action) -> Option<&InstanceName> {
        match action {
            Action::Send { interface, source, message, .. } => {
                // The second byte is the VRID (RFC 9568 section 5.1).
                let router = *message.get(1)?;
                self.routers.get(&(interface.clone(), Family::of(*source), router))
            }
            Action::AddAddress { interface, address, .. }
            | Action::RemoveAddress { interface, address } => {
                self.addresses.get(&(interface.clone(), address.address))
            }
            Action::AddRouting { routing, .. } | Action::RemoveRouting { routing } => {
                self.routings.get(routing)
            }
            Action::AddDevice { device } | Action::RemoveDevice { device } => {
                self.devices.get(&device.name())
            }
            Action::SetDevice { device, .. } => self.devices.get(device),
            _ => None,
        }
    }
}
