//! The instances.

use std::collections::BTreeMap;
use std::fmt;

use super::counters;
use super::families::{Families, timestamp};
use super::samples::{Instances, each, labels, with};
use crate::api::Snapshot;
use crate::engine::conflict::Conflict;
use crate::engine::status::{HookStatus, InstanceStatus};
use crate::engine::story::StateName;
use crate::model::InstanceName;

/// One for each name. A reload can leave two of a name for a moment, while the old one leaves
/// another interface; a scraper refuses everything if two samples have the same labels.
pub(super) fn distinct(instances: &[InstanceStatus]) -> Vec<&InstanceStatus> {
    let mut chosen: BTreeMap<&InstanceName, &InstanceStatus> = BTreeMap::new();
    for instance in instances {
        let place = chosen.entry(&instance.name).or_insert(instance);
        if place.state != StateName::Active {
            *place = instance;
        }
    }
    chosen.into_values().collect()
}

pub(super) fn write(
    families: &mut Families<'_>,
    snapshot: &Snapshot,
    instances: &Instances<'_>,
) -> fmt::Result {
    states(families, instances)?;
    priorities(families, instances)?;
    addresses(families, instances)?;
    trouble(families, instances)?;
    counters::write(families, instances)?;
    let since = instances.iter().map(|instance| (labels(instance), timestamp(instance.since)));
    families.seconds(
        "vipd_instance_state_since_timestamp",
        "Since when an instance is in its state, since 1970-01-01 UTC.",
        since,
    )?;
    let held_down = instances.iter().map(|instance| {
        let until = instance.held_down_until.unwrap_or_default();
        (labels(instance), until.since(snapshot.taken))
    });
    families.seconds(
        "vipd_instance_hold_down",
        "For how long an instance does not claim its addresses yet, whatever it hears.",
        held_down,
    )?;
    families.histogram(
        "vipd_instance_takeover_silence",
        "For how long the active router before had not been heard when an instance took over.",
        instances.iter().map(|instance| (labels(instance), &instance.counters.takeovers)),
    )
}

fn states(families: &mut Families<'_>, instances: &Instances<'_>) -> fmt::Result {
    families.gauge(
        "vipd_instance_info",
        "What an instance is on the wire; always 1.",
        instances.iter().map(|instance| {
            let mut labels = labels(instance);
            labels.push(("interface", instance.interface.to_string()));
            labels.push(("virtual_router_id", instance.virtual_router_id.to_string()));
            labels.push(("version", instance.version.to_string()));
            (labels, 1)
        }),
    )?;
    let states = [
        StateName::Active,
        StateName::Backup,
        StateName::Fault,
        StateName::Standby,
        StateName::Stopped,
    ];
    families.gauge(
        "vipd_instance_state",
        "The state of an instance: 1 for the one that it is in, 0 for the others.",
        instances.iter().flat_map(|instance| {
            states.map(|state| {
                let labels = with(instance, "state", &state.to_string());
                (labels, u64::from(instance.state == state))
            })
        }),
    )?;
    families.gauge(
        "vipd_instance_leaving",
        "Whether an instance has told the others that it stops being active, and waits for one.",
        each(instances, |instance| u64::from(instance.leaving)),
    )?;
    families.gauge(
        "vipd_instance_standby",
        "Whether the operator has taken an instance out of the election.",
        each(instances, |instance| u64::from(instance.standby)),
    )
}

fn priorities(families: &mut Families<'_>, instances: &Instances<'_>) -> fmt::Result {
    families.gauge(
        "vipd_instance_priority",
        "The priority that an instance advertises or would advertise.",
        each(instances, |instance| u64::from(instance.priority.get())),
    )?;
    families.gauge(
        "vipd_instance_own_priority",
        "The priority of an instance before its checks lower it.",
        each(instances, |instance| u64::from(instance.own_priority.get())),
    )
}

fn addresses(families: &mut Families<'_>, instances: &Instances<'_>) -> fmt::Result {
    families.gauge(
        "vipd_instance_addresses",
        "How many addresses an instance moves.",
        each(instances, |instance| instance.moving_addresses().count() as u64),
    )?;
    families.gauge(
        "vipd_instance_addresses_held",
        "How many of its addresses an instance holds on this node.",
        each(instances, |instance| instance.held.len() as u64),
    )?;
    families.seconds(
        "vipd_instance_lease_left",
        "How long the kernel keeps the addresses if nobody renews them; absent without a lease.",
        instances
            .iter()
            .filter_map(|instance| instance.lease_left.map(|left| (labels(instance), left))),
    )
}

fn trouble(families: &mut Families<'_>, instances: &Instances<'_>) -> fmt::Result {
    families.gauge(
        "vipd_instance_conflicts",
        "Conflicts on the segment that last, by kind.",
        instances.iter().flat_map(|instance| {
            Conflict::KINDS.iter().map(|kind| {
                let count = instance.conflicts.iter().filter(|c| c.what.kind() == *kind).count();
                (with(instance, "kind", kind), count as u64)
            })
        }),
    )?;
    families.gauge(
        "vipd_instance_hooks_failing",
        "How many hooks of an instance ended badly when they ran last.",
        each(instances, |instance| {
            instance.hooks.iter().filter(|hook| ended_badly(hook)).count() as u64
        }),
    )?;
    families.gauge(
        "vipd_instance_hook_waited_for",
        "Whether an instance waits for a hook before it takes or gives away its addresses.",
        each(instances, |instance| u64::from(instance.waits_for.is_some())),
    )
}

fn ended_badly(hook: &HookStatus) -> bool {
    matches!(hook.last, Some((false, ..)))
}
