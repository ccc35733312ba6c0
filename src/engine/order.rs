//! Orders the actions within one answer.

use super::event::{Action, Change};

/// Puts the removals first. When several instances release, all their removals then go to the
/// kernel at once. Everything that follows from the removals, such as the farewells, comes after.
/// An answer that also adds something keeps the order of the decisions.
pub(super) fn removals_first(out: &mut [Action]) {
    if out.iter().any(adds) {
        return;
    }
    let first = out.iter().position(removes).unwrap_or(out.len());
    if let Some(rest) = out.get_mut(first..) {
        rest.sort_by_key(|action| !removes(action));
    }
}

const fn adds(action: &Action) -> bool {
    matches!(
        action,
        Action::Change(
            Change::AddAddress { .. }
                | Change::AddRouting { .. }
                | Change::AddDevice { .. }
                | Change::SetDevice { up: true, .. }
        )
    )
}

const fn removes(action: &Action) -> bool {
    matches!(
        action,
        Action::Change(
            Change::RemoveAddress { .. }
                | Change::RemoveRouting { .. }
                | Change::RemoveDevice { .. }
                | Change::SetDevice { up: false, .. }
        )
    )
}
