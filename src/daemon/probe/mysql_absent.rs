//! `mysql` in a program that was built without it.

use std::future::{Ready, ready};

use crate::daemon::outside::{Doing, words};
use crate::engine::ProbeResult;
use crate::model::MysqlProbe;

/// Says that it cannot look.
pub(crate) fn look(probe: &MysqlProbe, _: &Doing) -> Ready<ProbeResult> {
    ready(words::answer(usable(probe).map(|()| String::new())))
}

/// Says so before.
///
/// # Errors
/// Always.
pub(crate) fn usable(_: &MysqlProbe) -> Result<(), String> {
    Err("this vipd was built without the feature 'mysql'".to_owned())
}
