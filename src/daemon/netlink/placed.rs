//! The interfaces that addresses and routes were put on: an interface may have another name by the
//! time they are removed.

use std::collections::BTreeMap;

use super::interface::AddressKey;
use super::table::Table;
use crate::model::{InterfaceName, Routing};

/// The index of the interface that each address and route was put on.
#[derive(Debug, Default)]
pub(super) struct Placed {
    addresses: BTreeMap<AddressKey, Vec<(InterfaceName, u32)>>,
    routing: BTreeMap<Routing, u32>,
}

impl Placed {
    /// An address is put on the interface that has this name now.
    pub(super) fn put(&mut self, name: &InterfaceName, key: AddressKey, index: u32) {
        let places = self.addresses.entry(key).or_default();
        match places.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = index,
            None => places.push((name.clone(), index)),
        }
    }

    /// An address is to be taken off the interface that had this name: the index of that one, while
    /// it exists.
    pub(super) fn take(
        &mut self,
        table: &Table,
        name: &InterfaceName,
        key: AddressKey,
    ) -> Option<u32> {
        let places = self.addresses.get_mut(&key)?;
        let place = places.iter().position(|(known, _)| known == name)?;
        let (_, index) = places.swap_remove(place);
        if places.is_empty() {
            self.addresses.remove(&key);
        }
        Some(index).filter(|index| table.has(*index))
    }

    /// A route through an interface is put there.
    pub(super) fn put_routing(&mut self, routing: &Routing, index: u32) {
        if self.routing.get(routing) != Some(&index) {
            self.routing.insert(routing.clone(), index);
        }
    }

    /// A route is to go: the index of its interface, while that exists.
    pub(super) fn take_routing(&mut self, table: &Table, routing: &Routing) -> Option<u32> {
        self.routing.remove(routing).filter(|index| table.has(*index))
    }
}
