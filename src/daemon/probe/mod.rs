//! The checks: what a look at each kind of subject says, and what stirs one before its time.
//!
//! One file for each kind, with one async function that looks once; `desk.rs` has what a check keeps
//! from one look to the next. A look may wait for ever: who asks for it bounds it (see `errands`).

mod arp;
mod desk;
mod dns;
mod file;
mod http;
mod interface;
mod look;
#[cfg_attr(not(feature = "mysql"), path = "mysql_absent.rs")]
mod mysql;
mod password;
mod ping;
#[cfg_attr(not(feature = "postgres"), path = "postgres_absent.rs")]
mod postgres;
#[cfg(feature = "postgres")]
mod postgres_stream;
mod process;
mod redis;
mod script;
#[cfg(test)]
mod servers;
mod systemd_unit;
mod tcp;
pub(crate) mod watch;

use std::sync::Arc;

pub(crate) use desk::{Desk, Desks};
pub(crate) use look::look;

use crate::model::{Probe, TrackConfig};

/// All checks as the configuration has them.
pub(crate) type Subjects = Arc<[Arc<TrackConfig>]>;

/// What is wrong with a check that no server has to be asked about: texts that only the client of
/// a kind can judge, and kinds that this program was built without.
///
/// # Errors
/// What is wrong, for people.
pub(crate) fn usable(probe: &Probe) -> Result<(), String> {
    match probe {
        Probe::Http(probe) => http::usable(probe),
        Probe::Dns(probe) => dns::usable(probe),
        Probe::Postgres(probe) => postgres::usable(probe),
        Probe::Mysql(probe) => mysql::usable(probe),
        _ => Ok(()),
    }
}
