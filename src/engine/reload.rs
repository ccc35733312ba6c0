//! From one configuration to another, without disturbing what is the same in both.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Action, Change};
use super::group::Gates;
use super::instance::Instance;
use super::turn::{Touched, Turn};
use super::{Context, Engine};
use crate::model::{Config, Family, InstanceConfig, InstanceName, InterfaceName, Vrid};

/// What makes two entries the same virtual router: everything else about it can change while it
/// runs. An address owner's addresses are not ours to move, so it is another kind.
pub(super) type Identity = (InterfaceName, Vrid, Family, bool);

pub(super) fn identity(config: &InstanceConfig) -> Identity {
    let owner = config.priority.is_owner();
    (config.interface.clone(), config.virtual_router_id, config.leading_family(), owner)
}

impl Engine {
    /// Invariant 6, nothing half done: the new configuration is valid as a whole, and is taken as
    /// a whole. Virtual routers that are in both go on, changed in place; those that are not any
    /// more leave as in an orderly stop; new ones start.
    pub(super) fn reload(&mut self, turn: &mut Turn, config: Config) {
        if self.stopping {
            return;
        }
        turn.reloads = true;
        self.each(turn, self.all(), |_, _, _| ());
        let active = self.instances.iter().filter(|instance| instance.is_active());
        let active: BTreeSet<InstanceName> = active.map(|i| i.config().name.clone()).collect();
        self.config = config;
        self.links.reconfigure(&self.config);
        self.gates = Gates::of(&self.config);
        self.tracks.reload(&self.config.tracks, turn.now, &mut turn.out);
        self.replace_instances(turn);
        self.config.instances = Vec::new();
        self.reload_groups(turn.now, &mut turn.out);
        self.renumber();
        // Each has another place now.
        let names = self.instances.iter().map(|instance| &instance.config().name);
        turn.touched = Touched::all(names.map(|name| active.contains(name)));
        turn.tracks = self.tracks.places().collect();
        turn.groups = (0..self.groups.len()).collect();
        self.each(turn, self.all(), Instance::wait_anew);
        self.apply_standby(turn, self.all());
        self.update_listening(turn, None);
        self.each(turn, self.all(), Instance::reconsider);
    }

    fn replace_instances(&mut self, turn: &mut Turn) {
        let Self { config, links, tracks, gates, instances, .. } = self;
        let context = Context { now: turn.now, config, links, tracks, gates };
        let mut before: Vec<Option<Instance>> =
            std::mem::take(instances).into_iter().map(Some).collect();
        let running: BTreeMap<Identity, usize> = before
            .iter()
            .enumerate()
            .filter_map(|(place, old)| {
                let old = old.as_ref().filter(|old| !old.is_retired())?;
                Some((identity(old.config()), place))
            })
            .collect();
        let mut wanted = BTreeSet::new();
        for config in &context.config.instances {
            let identity = identity(config);
            let same = running.get(&identity).and_then(|place| before.get_mut(*place)?.take());
            let mut instance = same.unwrap_or_else(|| Instance::late(config.clone(), turn.now));
            wanted.insert(identity);
            instance.reconfigure(&context, config, &mut turn.out);
            instances.push(instance);
        }
        for mut old in before.into_iter().flatten() {
            // Asked again, one that is leaving already ends at once: its successor is there.
            if !old.is_retired() || wanted.contains(&identity(old.config())) {
                old.retire(&context, &mut turn.out);
            }
            instances.push(old);
        }
    }

    /// An address, route or rule that one virtual router lets go of and another one holds stays
    /// where it is.
    pub(super) fn keep_what_moved(&self, out: &mut Vec<Action>) {
        let at = |place: &usize| self.instances.get(*place);
        out.retain(|action| match action {
            Action::Change(Change::RemoveAddress { interface, address }) => {
                let mut holders = self.index.address(address.address).iter().filter_map(at);
                !holders.any(|holder| holder.held().any(|held| held == (interface, address)))
            }
            Action::Change(Change::RemoveRouting { routing }) => {
                let mut holders = self.index.routing(routing).iter().filter_map(at);
                !holders.any(|holder| holder.holds_routing(routing))
            }
            _ => true,
        });
    }
}
