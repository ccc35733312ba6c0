//! `mysql` in a program that was built without it. `vipd check` and `vipd run` refuse it before.

use std::future::{Ready, ready};

use super::words;
use crate::engine::ProbeResult;
use crate::model::MysqlProbe;

/// Says that it cannot look.
pub(crate) fn look(_: &MysqlProbe) -> Ready<ProbeResult> {
    ready(words::answer(Err("this vipd was built without the feature 'mysql'".to_owned())))
}
