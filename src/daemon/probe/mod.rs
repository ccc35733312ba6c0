//! What a check looks at: one file for each kind, with one function `look`.
//!
//! A look is one shot. Whoever drops it (its timeout is the caller's) ends it: its sockets are
//! closed, and no task of it goes on. What a server says is not believed to be short, or to be what
//! was asked for.

mod blocking;
mod connect;
pub(crate) mod dns;
pub(crate) mod http;
#[cfg_attr(not(feature = "mysql"), path = "mysql_absent.rs")]
pub(crate) mod mysql;
mod password;
#[cfg_attr(not(feature = "postgres"), path = "postgres_absent.rs")]
pub(crate) mod postgres;
#[cfg(feature = "postgres")]
mod postgres_stream;
mod read;
pub(crate) mod redis;
mod tls;
mod words;

use crate::model::Probe;

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

#[cfg(test)]
mod servers;
