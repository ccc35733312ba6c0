//! Which VRRP sockets are open: one for each interface and family that an instance needs.

use std::collections::BTreeMap;

use super::event::Action;
use super::links::Links;
use crate::model::{Family, InstanceConfig, InterfaceName, Vrid};
use crate::time::{Mono, Span};

/// When a socket that could not be opened is tried again.
pub(super) const RETRY: Span = Span::from_secs(2);

type Key = (InterfaceName, Family);

/// The sockets that are asked for.
#[derive(Debug, Default)]
pub(super) struct Listening {
    open: BTreeMap<Key, (u32, Vec<Vrid>)>,
    retry: BTreeMap<Key, Mono>,
}

impl Listening {
    /// Asks for what the instances need and is not open, and closes what is not needed.
    pub(super) fn update<'a>(
        &mut self,
        now: Mono,
        links: &Links,
        instances: impl Iterator<Item = &'a InstanceConfig>,
        out: &mut Vec<Action>,
    ) {
        self.retry.retain(|_, at| *at > now);
        let mut wanted: BTreeMap<Key, (u32, Vec<Vrid>)> = BTreeMap::new();
        for instance in instances {
            let Some(link) = links.get(&instance.interface) else { continue };
            let key = (instance.interface.clone(), instance.family());
            let (_, ids) = wanted.entry(key).or_insert_with(|| (link.index, Vec::new()));
            ids.push(instance.virtual_router_id);
        }
        for (interface, family) in self.open.keys().filter(|key| !wanted.contains_key(*key)) {
            let (interface, family) = (interface.clone(), *family);
            out.push(Action::StopListening { interface, family });
        }
        for (key, (index, virtual_router_ids)) in &wanted {
            let same =
                self.open.get(key).is_some_and(|o| (o.0, &o.1) == (*index, virtual_router_ids));
            if !same && !self.retry.contains_key(key) {
                let (interface, family) = key.clone();
                let (index, virtual_router_ids) = (*index, virtual_router_ids.clone());
                out.push(Action::Listen { interface, index, family, virtual_router_ids });
            }
        }
        wanted.retain(|key, _| !self.retry.contains_key(key));
        self.open = wanted;
    }

    /// A socket could not be opened.
    pub(super) fn failed(&mut self, now: Mono, interface: &InterfaceName, family: Family) {
        let key = (interface.clone(), family);
        self.open.remove(&key);
        self.retry.insert(key, now + RETRY);
    }

    /// When to try again.
    pub(super) fn deadline(&self) -> Option<(Mono, &'static str)> {
        self.retry.values().min().map(|at| (*at, "socket"))
    }
}
