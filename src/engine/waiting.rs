//! The instances that a request of the operator waits for. Those of a sync group stand together,
//! as a unit, which is found by any of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::InstanceName;

/// Units, in the order in which they were asked to leave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Waiting {
    units: BTreeMap<usize, Vec<InstanceName>>,
    numbers: BTreeMap<InstanceName, usize>,
}

impl Waiting {
    /// One more is waited for.
    pub(super) fn push(&mut self, unit: Vec<InstanceName>) {
        let number = self.units.last_key_value().map_or(0, |(last, _)| last + 1);
        self.numbers.extend(unit.iter().map(|name| (name.clone(), number)));
        self.units.insert(number, unit);
    }

    /// True if none is waited for.
    pub(super) fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// The numbers of the units of these instances.
    pub(super) fn of<'a>(
        &self,
        names: impl IntoIterator<Item = &'a InstanceName>,
    ) -> BTreeSet<usize> {
        names.into_iter().filter_map(|name| self.numbers.get(name)).copied().collect()
    }

    /// The numbers of all.
    pub(super) fn all(&self) -> BTreeSet<usize> {
        self.units.keys().copied().collect()
    }

    /// The unit of this number.
    pub(super) fn unit(&self, number: usize) -> &[InstanceName] {
        self.units.get(&number).map_or(&[], Vec::as_slice)
    }

    /// The unit of this number is waited for no longer.
    pub(super) fn remove(&mut self, number: usize) -> Vec<InstanceName> {
        let unit = self.units.remove(&number).unwrap_or_default();
        for name in &unit {
            self.numbers.remove(name);
        }
        unit
    }
}
