//! The daemon itself, its configuration and its protocol loop.

use std::fmt;

use super::families::{Families, timestamp};
use crate::api::Snapshot;
use crate::model::NodeName;

pub(super) fn write(families: &mut Families<'_>, snapshot: &Snapshot) -> fmt::Result {
    let Snapshot { status, file, protocol_loop, .. } = snapshot;
    let node = status.node.as_ref().map(NodeName::as_str).unwrap_or_default().to_owned();
    families.gauge(
        "vipd_build_info",
        "The version of vipd; always 1.",
        [(vec![("version", snapshot.vipd.clone())], 1)],
    )?;
    families.gauge(
        "vipd_node_info",
        "The name of this node under 'nodes', empty without that list; always 1.",
        [(vec![("node", node)], 1)],
    )?;
    families.seconds(
        "vipd_start_time",
        "When vipd started, since 1970-01-01 UTC.",
        [(vec![], timestamp(snapshot.started))],
    )?;
    families.seconds(
        "vipd_config_loaded_timestamp",
        "When the configuration in effect was read, since 1970-01-01 UTC.",
        [(vec![], timestamp(file.loaded))],
    )?;
    families.gauge(
        "vipd_config_reload_refused",
        "Whether the last attempt to read another configuration was refused.",
        [(vec![], u64::from(!file.refused.is_empty()))],
    )?;
    families.gauge(
        "vipd_node_standby",
        "Whether the operator has taken the whole node out of the election.",
        [(vec![], u64::from(status.standby.node))],
    )?;
    families.gauge(
        "vipd_system_refusals",
        "How many things vipd has to do without because the system refuses them.",
        [(vec![], snapshot.notes.len() as u64)],
    )?;
    families.histogram(
        "vipd_loop_lateness",
        "How late the alarm of the protocol loop rang.",
        [(vec![], &protocol_loop.lateness)],
    )?;
    families.counter(
        "vipd_loop_held_up",
        "How often the protocol loop was late by half an advertisement interval or more.",
        [(vec![], protocol_loop.held_up)],
    )?;
    families.counter(
        "vipd_stray_discards",
        "Frames refused that belong to no instance, by interface and reason.",
        status.stray_discards.iter().flat_map(|(interface, reasons)| {
            reasons.iter().map(|(reason, count)| {
                let labels = vec![
                    ("interface", interface.to_string()),
                    ("reason", reason.name().to_owned()),
                ];
                (labels, *count)
            })
        }),
    )
}
