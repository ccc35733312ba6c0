//! The ways from an input to the instances that it is for.
//!
//! It follows from the instances and groups alone, and is made again whenever one of them comes,
//! goes or has another configuration.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::group::Group;
use super::instance::Instance;
use crate::model::{Family, InstanceName, InterfaceName, Path, Routing, TrackName, Vrid};

/// The index of instances: their places in the engine's list, the lowest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    /// By interface first: its name is compared once, and not with each router's.
    routers: BTreeMap<InterfaceName, BTreeMap<Family, Routers>>,
    names: BTreeMap<InstanceName, Vec<usize>>,
    /// By the name that an instance's hooks are known by, which outlives a change of its own.
    hook_owners: BTreeMap<InstanceName, Vec<usize>>,
    interfaces: BTreeMap<InterfaceName, Vec<usize>>,
    addresses: BTreeMap<IpAddr, Vec<usize>>,
    routing: BTreeMap<Routing, Vec<usize>>,
    tracks: BTreeMap<TrackName, Vec<usize>>,
    /// The sync groups of each instance, by their places.
    groups: Vec<Vec<usize>>,
    /// The members of each sync group.
    members: Vec<Vec<usize>>,
}

impl Index {
    /// The index of these.
    pub(super) fn new(instances: &[Instance], groups: &[Group]) -> Self {
        let mut index = Self {
            groups: vec![Vec::new(); instances.len()],
            members: vec![Vec::new(); groups.len()],
            ..Self::default()
        };
        let mut routers = BTreeMap::new();
        for (place, instance) in instances.iter().enumerate() {
            index.add(place, instance);
            let config = instance.config();
            for Path { interface, family } in config.paths() {
                let there: &mut Vec<_> = routers.entry((interface, family)).or_default();
                there.push((config.virtual_router_id, place));
            }
        }
        for ((interface, family), there) in routers {
            index.routers.entry(interface).or_default().insert(family, Routers::new(there));
        }
        for (group, members) in groups.iter().zip(&mut index.members) {
            let names = &group.config().members;
            let places = names.iter().filter_map(|name| index.names.get(name)).flatten();
            let is_member = |place: &&usize| instances.get(**place).is_some_and(|i| group.has(i));
            members.extend(places.filter(is_member));
            members.sort_unstable();
        }
        for (group, members) in index.members.iter().enumerate() {
            for member in members {
                index.groups.get_mut(*member).into_iter().for_each(|groups| groups.push(group));
            }
        }
        index
    }

    fn add(&mut self, place: usize, instance: &Instance) {
        let config = instance.config();
        put(&mut self.names, &config.name, place);
        put(&mut self.hook_owners, instance.hook_owner(), place);
        for interface in instance.interfaces() {
            put(&mut self.interfaces, interface, place);
        }
        for address in config.moving_addresses() {
            put(&mut self.addresses, &address.address, place);
        }
        for routing in config.routing() {
            put(&mut self.routing, &routing, place);
        }
        for track in &config.tracks {
            put(&mut self.tracks, track, place);
        }
    }

    /// The instance that an advertisement on this path with this virtual router ID is for.
    pub(super) fn router(
        &self,
        interface: &InterfaceName,
        family: Family,
        virtual_router_id: Vrid,
    ) -> &[usize] {
        let there = self.routers.get(interface).and_then(|there| there.get(&family));
        there.map_or(&[], |there| there.of(virtual_router_id))
    }

    /// Those of this name: one that the configuration has, and others that still leave.
    pub(super) fn name(&self, name: &InstanceName) -> &[usize] {
        found(&self.names, name)
    }

    /// Those whose hooks are known by this name.
    pub(super) fn hook_owner(&self, name: &InstanceName) -> &[usize] {
        found(&self.hook_owners, name)
    }

    /// Those that need an interface or a device, or speak on it.
    pub(super) fn interface(&self, name: &InterfaceName) -> &[usize] {
        found(&self.interfaces, name)
    }

    /// Those whose addresses this is one of.
    pub(super) fn address(&self, address: IpAddr) -> &[usize] {
        found(&self.addresses, &address)
    }

    /// Those that have this route or rule.
    pub(super) fn routing(&self, routing: &Routing) -> &[usize] {
        found(&self.routing, routing)
    }

    /// Those that depend on this check.
    pub(super) fn track(&self, name: &TrackName) -> &[usize] {
        found(&self.tracks, name)
    }

    /// The sync groups of the instance in this place.
    pub(super) fn groups_of(&self, place: usize) -> &[usize] {
        self.groups.get(place).map_or(&[], Vec::as_slice)
    }

    /// The members of the sync group in this place.
    pub(super) fn members_of(&self, group: usize) -> &[usize] {
        self.members.get(group).map_or(&[], Vec::as_slice)
    }
}

/// The instances on one interface and family by virtual router ID, close together in memory: each
/// packet looks for one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Routers {
    /// In the order of their IDs, of the same ID the lowest first.
    places: Vec<usize>,
    /// For each ID where in `places` its instances end.
    ends: Vec<usize>,
}

impl Routers {
    fn new(mut routers: Vec<(Vrid, usize)>) -> Self {
        routers.sort_unstable();
        let end = |id: u8| routers.partition_point(|(vrid, _)| vrid.get() <= id);
        Self {
            ends: (0..=u8::MAX).map(end).collect(),
            places: routers.iter().map(|(_, place)| *place).collect(),
        }
    }

    fn of(&self, virtual_router_id: Vrid) -> &[usize] {
        let id = usize::from(virtual_router_id.get());
        let before = id.checked_sub(1).and_then(|before| self.ends.get(before));
        let (start, end) = (before.copied().unwrap_or(0), self.ends.get(id).copied().unwrap_or(0));
        self.places.get(start..end).unwrap_or_default()
    }
}

fn put<K: Clone + Ord>(places: &mut BTreeMap<K, Vec<usize>>, key: &K, place: usize) {
    let there = places.entry(key.clone()).or_default();
    if there.last() != Some(&place) {
        there.reserve_exact(usize::from(there.is_empty()));
        there.push(place);
    }
}

fn found<'a, K: Ord>(places: &'a BTreeMap<K, Vec<usize>>, key: &K) -> &'a [usize] {
    places.get(key).map_or(&[], Vec::as_slice)
}
