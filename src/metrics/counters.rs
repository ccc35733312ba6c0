//! What the instances count.

use std::fmt;

use super::families::Families;
use super::samples::{Instances, each, with};
use crate::engine::Discard;
use crate::engine::status::Counters;

pub(super) fn write(families: &mut Families<'_>, instances: &Instances<'_>) -> fmt::Result {
    plain(families, instances)?;
    labelled(families, instances)
}

/// Name, help, and where the number is.
type Counted = (&'static str, &'static str, fn(&Counters) -> u64);

/// The counters that need no further label.
const COUNTED: &[Counted] = &[
    (
        "vipd_instance_advertisements_sent",
        "Advertisements sent, those with priority 0 included.",
        |counters| counters.advertisements_sent,
    ),
    (
        "vipd_instance_advertisements_received",
        "Advertisements accepted, those with priority 0 included.",
        |counters| counters.advertisements_received,
    ),
    (
        "vipd_instance_priority_zero_sent",
        "Advertisements sent with priority 0: the instance stopped being active.",
        |counters| counters.priority_zero_sent,
    ),
    (
        "vipd_instance_priority_zero_received",
        "Advertisements accepted with priority 0: another router stopped being active.",
        |counters| counters.priority_zero_received,
    ),
    ("vipd_instance_became_active", "How often an instance became active.", |counters| {
        counters.became_active
    }),
    (
        "vipd_instance_conflict_signs",
        "Signs of a conflict on the segment, of any kind.",
        |counters| counters.conflicts,
    ),
    (
        "vipd_instance_address_drift",
        "Advertisements accepted although their addresses differ from ours.",
        |counters| counters.address_drift,
    ),
    (
        "vipd_instance_checksum_without_pseudo_header",
        "Accepted VRRPv3/IPv4 advertisements whose checksum leaves out the pseudo-header.",
        |counters| counters.checksum_without_pseudo_header,
    ),
    (
        "vipd_instance_address_conflicts",
        "ARP packets and neighbour advertisements of others for an address that the instance held.",
        |counters| counters.address_conflicts,
    ),
    (
        "vipd_instance_addresses_put_back",
        "Addresses put back after another program had removed them.",
        |counters| counters.put_back,
    ),
    ("vipd_instance_failures", "Actions that the system refused.", |counters| counters.failures),
    (
        "vipd_instance_distrusted_pauses",
        "How often an instance listened again instead of taking over, because it had been late.",
        |counters| counters.distrusted_pauses,
    ),
    (
        "vipd_instance_overslept",
        "How often an instance gave up being active because it had been late for too long.",
        |counters| counters.overslept,
    ),
    (
        "vipd_instance_unclaimed",
        "How often no other router took over when an instance left.",
        |counters| counters.unclaimed,
    ),
    ("vipd_instance_hooks_failed", "Hooks that failed.", |counters| counters.hooks_failed),
    (
        "vipd_instance_hooks_superseded",
        "Hooks left out because a newer change came before they had started.",
        |counters| counters.hooks_superseded,
    ),
];

fn plain(families: &mut Families<'_>, instances: &Instances<'_>) -> fmt::Result {
    COUNTED.iter().try_for_each(|(name, help, count)| {
        families.counter(name, help, each(instances, |instance| count(&instance.counters)))
    })
}

fn labelled(families: &mut Families<'_>, instances: &Instances<'_>) -> fmt::Result {
    families.counter(
        "vipd_instance_transitions",
        "Changes of state, by the new state and the kind of the reason.",
        instances.iter().flat_map(|instance| {
            instance.counters.transitions.iter().flat_map(|(state, causes)| {
                causes.iter().map(|(cause, count)| {
                    let mut labels = with(instance, "state", &state.to_string());
                    labels.push(("cause", cause.clone()));
                    (labels, *count)
                })
            })
        }),
    )?;
    families.counter(
        "vipd_instance_discards",
        "Frames refused, by reason.",
        instances.iter().flat_map(|instance| {
            // All reasons: a counter that is born at 1 has not increased for a scraper.
            Discard::ALL.iter().map(|reason| {
                let count = instance.counters.discards.get(reason).copied().unwrap_or_default();
                (with(instance, "reason", reason.name()), count)
            })
        }),
    )
}
