//! The instances whose addresses wait for their sync group before they are taken.

use std::collections::BTreeSet;

use crate::model::{Config, InstanceName, Phase};

/// What the members of sync groups have to wait for, by the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in super::super) struct Gates {
    members: BTreeSet<InstanceName>,
    gated: BTreeSet<InstanceName>,
}

impl Gates {
    /// Those of this configuration.
    pub(in super::super) fn of(config: &Config) -> Self {
        let with_hook = config.instances.iter().filter(|one| one.notify.has(Phase::BeforeClaim));
        let with_hook: BTreeSet<&InstanceName> = with_hook.map(|one| &one.name).collect();
        let mut gates = Self::default();
        for group in &config.sync_groups {
            gates.members.extend(group.members.iter().cloned());
            let has_hook = group.notify.has(Phase::BeforeClaim);
            if has_hook || group.members.iter().any(|member| with_hook.contains(member)) {
                gates.gated.extend(group.members.iter().cloned());
            }
        }
        gates
    }

    /// True if this instance is in a sync group.
    pub(in super::super) fn has(&self, name: &InstanceName) -> bool {
        self.members.contains(name)
    }

    /// True if its group or one of its members waits for a hook, and so all of them do: they have
    /// their addresses together.
    pub(in super::super) fn hold_back(&self, name: &InstanceName) -> bool {
        self.gated.contains(name)
    }
}
