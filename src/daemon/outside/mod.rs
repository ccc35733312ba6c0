//! What the daemon does outside of itself, beside the protocol loop: programs, connections to
//! servers, and calls that may block for ever.

mod aside;
pub(crate) mod connect;
mod doing;
pub(crate) mod ending;
pub(crate) mod exec;
pub(crate) mod http;
pub(crate) mod read;
pub(crate) mod tls;
pub(crate) mod words;

pub(crate) use aside::Aside;
pub(crate) use doing::Doing;
