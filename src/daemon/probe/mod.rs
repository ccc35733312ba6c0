//! What a check looks at: one file for each kind, with one function `look`.
//!
//! A look is one shot. Whoever drops it (its timeout is the caller's) ends it: its sockets are
//! closed, and no task of it goes on. What a server says is not believed to be short, or to be what
//! was asked for.

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

#[cfg(test)]
mod tests;
