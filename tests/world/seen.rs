//! What the engines of a world have said, for whoever counts what occurs at all.

use std::collections::BTreeMap;

use vipd::engine::{Discard, Event};

use super::World;

/// Everything that the engines have reported, and the packets that they have refused.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) events: Vec<Event>,
    pub(crate) discards: BTreeMap<Discard, u64>,
}

impl World {
    /// What was seen until now; the counters of the engines that still run included.
    pub(crate) fn take_seen(&mut self) -> Seen {
        for node in 0..self.nodes.len() {
            self.note_discards(node);
        }
        std::mem::take(&mut self.seen)
    }

    /// An engine's counters, before they go with it.
    pub(super) fn note_discards(&mut self, node: usize) {
        let Some(status) = self.status(node) else { return };
        let instances = status.instances.iter().map(|instance| &instance.counters.discards);
        for (discard, count) in instances.chain(status.stray_discards.values()).flatten() {
            *self.seen.discards.entry(*discard).or_default() += count;
        }
    }
}
