//! One virtual router's protocol (RFC 9568, RFC 3768).

mod actives;
pub mod auth;
pub mod frame;

mod outcome;
pub mod packet;
pub mod router;
mod settings;
mod state;
mod timer;
pub mod timing;
