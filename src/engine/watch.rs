//! The addresses that are watched for conflicts: those of the instances that hold
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Engine;
use super::event::Action;
use super::turn::Turn;
use crate::model::InterfaceName;

/// The last list that was asked for, by interface.
pub(super) type Watched = BTreeMap<InterfaceName, Vec<IpAddr>>;

impl Engine {
    /// Has the addresses of these instances watched, or not any more, where they are.
    pub(super) fn watch(&mut self, turn: &mut Turn, places: &[usize]) {
        let changed = places.iter().filter_map(|place| self.instances.get(*place));
        let mut interfaces: BTreeSet<InterfaceName> =
            changed.flat_map(|instance| instance.interfaces().cloned()).collect();
        if turn.reloads {
            // There may be instances that had addresses there before.
            interfaces.extend(self.watched.keys().cloned());
        }
        for interface in interfaces {
            let there = self.index.interface(&interface).iter();
            let there = there.filter_map(|place| self.instances.get(*place));
            let addresses: Vec<IpAddr> = there
                .flat_map(super::Instance::watched)
                .filter(|(place, _)| **place == interface)
                .map(|(_, address)| address)
                .collect();
            let before = self.watched.get(&interface).map_or(&[][..], Vec::as_slice);
            if before == addresses {
                continue;
            }
            if addresses.is_empty() {
                self.watched.remove(&interface);
            } else {
                self.watched.insert(interface.clone(), addresses.clone());
            }
            turn.out.push(Action::Watch { interface, addresses });
        }
    }
}
