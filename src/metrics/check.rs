//! The checks.

use std::fmt;

use super::families::{Families, Labels, timestamp};
use crate::engine::status::TrackStatus;
use crate::engine::story::TrackFailure;

pub(super) fn write(families: &mut Families<'_>, checks: &[TrackStatus]) -> fmt::Result {
    let gauge = |value: fn(&TrackStatus) -> u64| {
        checks.iter().map(move |check| (labels(check), value(check)))
    };
    families.gauge(
        "vipd_check_info",
        "The kind of a check; always 1.",
        checks.iter().map(|check| {
            let kind = ("kind", check.kind.clone());
            ([labels(check), vec![kind]].concat(), 1)
        }),
    )?;
    families.gauge(
        "vipd_check_passing",
        "Whether a check passes, as counts for the election.",
        gauge(|check| u64::from(check.failure.is_none())),
    )?;
    families.gauge(
        "vipd_check_flapping",
        "Whether a check counts as failing because it has changed too often.",
        gauge(|check| u64::from(matches!(check.failure, Some(TrackFailure::Flapping { .. })))),
    )?;
    families.gauge(
        "vipd_check_last_look_passed",
        "Whether the last look of a check found all as it should be; absent before the first.",
        checks.iter().filter_map(|check| {
            check.last.as_ref().map(|look| (labels(check), u64::from(look.passed)))
        }),
    )?;
    families.gauge(
        "vipd_check_looks_in_a_row",
        "How many looks of a check in a row have ended like the last one.",
        gauge(|check| u64::from(check.in_a_row)),
    )?;
    families.seconds(
        "vipd_check_since_timestamp",
        "Since when a check passes or fails, since 1970-01-01 UTC.",
        checks.iter().map(|check| (labels(check), timestamp(check.since))),
    )
}

fn labels(check: &TrackStatus) -> Labels {
    vec![("check", check.name.to_string())]
}
