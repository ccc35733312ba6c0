//! The order within one answer.

use super::event::Action;

/// Where several instances let go, all that they take off the system goes to the kernel at once,
/// and what follows from it, such as their farewells, comes after. Where something is put there as
/// well, the order is that of the decisions.
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
        Action::AddAddress { .. }
            | Action::AddRouting { .. }
            | Action::AddDevice { .. }
            | Action::SetDevice { up: true, .. }
    )
}

const fn removes(action: &Action) -> bool {
    matches!(
        action,
        Action::RemoveAddress { .. }
            | Action::RemoveRouting { .. }
            | Action::RemoveDevice { .. }
            | Action::SetDevice { up: false, .. }
    )
}
