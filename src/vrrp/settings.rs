//! What the election depends on.

use crate::model::{IfAllFail, InstanceConfig, Interval, Preempt, Priority, Version};

/// What the election depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Which standard's times apply.
    pub version: Version,
    /// Ours.
    pub priority: Priority,
    /// How often we advertise.
    pub interval: Interval,
    /// The longest interval that we learn from an active router.
    pub maximum_interval: Interval,
    /// Whether we take over from a live active router of lower priority.
    pub preempt: Preempt,
    /// What a node does whose own checks fail, here and on the others.
    pub if_all_fail: IfAllFail,
}

impl Settings {
    /// Whether an active router of this priority holds the addresses as a last resort only, while
    /// this one is healthy. It is relieved at once, whatever `preempt` says.
    pub(super) fn relieve(&self, priority: u8) -> bool {
        self.if_all_fail == IfAllFail::Keep
            && priority <= Priority::LAST_RESORT.get()
            && self.priority > Priority::LAST_RESORT
    }
}

impl From<&InstanceConfig> for Settings {
    fn from(config: &InstanceConfig) -> Self {
        Self {
            version: config.version,
            priority: config.priority,
            interval: config.advertisement_interval,
            maximum_interval: config.maximum_interval,
            preempt: config.preempt,
            if_all_fail: config.if_all_fail,
        }
    }
}
