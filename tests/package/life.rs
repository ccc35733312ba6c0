//! Everything that happens to a pair in its life.

use super::pair::Pair;
use super::{departure, failure};

/// Failures and planned moves, an upgrade of the active machine, and the end.
pub(crate) fn passes(mut pair: Pair<'_>) {
    failure::killed(&mut pair);
    departure::stopped(&mut pair);
    failure::cut_off(&mut pair);
    failure::frozen(&mut pair);
    failure::without_power(&mut pair);
    departure::shut_down(&mut pair);
    departure::upgraded(&mut pair);
    departure::removed(&mut pair);
    departure::purged(&pair);
}
