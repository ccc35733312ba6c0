//! From one configuration to another, without disturbing what is the same in both.

use super::event::Action;
use super::instance::Instance;
use super::{Context, Engine};
use crate::model::{Config, Family, InstanceConfig, InterfaceName, Vrid};
use crate::time::Now;

/// What makes two entries the same virtual router: everything else about it can change while it
/// runs. An address owner's addresses are not ours to move, so it is another kind.
pub(super) type Identity<'a> = (&'a InterfaceName, Vrid, Family, bool);

pub(super) fn identity(config: &InstanceConfig) -> Identity<'_> {
    let owner = config.priority.is_owner();
    (&config.interface, config.virtual_router_id, config.leading_family(), owner)
}

impl Engine {
    /// Invariant 6, nothing half done: the new configuration is valid as a whole, and is taken as
    /// a whole. Virtual routers that are in both go on, changed in place; those that are not any
    /// more leave as in an orderly stop; new ones start.
    pub(super) fn reload(&mut self, now: Now, config: Config, out: &mut Vec<Action>) {
        if self.stopping {
            return;
        }
        self.config = config;
        self.links.reconfigure(&self.config);
        self.tracks.reload(&self.config.tracks, now, out);
        let context =
            Context { now, config: &self.config, links: &self.links, tracks: &self.tracks };
        let mut before = std::mem::take(&mut self.instances);
        for wanted in &context.config.instances {
            let same =
                |old: &Instance| !old.is_retired() && identity(old.config()) == identity(wanted);
            let mut instance = match before.iter().position(same) {
                Some(place) => before.remove(place),
                None => Instance::late(wanted.clone(), now),
            };
            instance.reconfigure(&context, wanted, out);
            self.instances.push(instance);
        }
        let wanted = |old: &Instance| {
            let mut all = context.config.instances.iter();
            all.any(|wanted| identity(wanted) == identity(old.config()))
        };
        for mut old in before {
            // Asked again, one that is leaving already ends at once: its successor is there.
            if !old.is_retired() || wanted(&old) {
                old.retire(&context, out);
            }
            self.instances.push(old);
        }
        self.reload_groups(now, out);
        self.each(now, out, Instance::wait_anew);
        self.apply_standby(now, out);
        self.update_listening(now, out);
        self.each(now, out, Instance::reconsider);
    }

    /// An address, route or rule that one virtual router lets go of and another one holds stays where
    /// it is.
    pub(super) fn keep_what_moved(&self, out: &mut Vec<Action>) {
        let holders = || self.instances.iter().flat_map(Instance::held);
        out.retain(|action| match action {
            Action::RemoveAddress { interface, address } => {
                !holders().any(|held| held == (interface, address))
            }
            Action::RemoveRouting { routing } => {
                !self.instances.iter().any(|instance| instance.holds_routing(routing))
            }
            _ => true,
        });
    }
}
