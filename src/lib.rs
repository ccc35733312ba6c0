//! vipd keeps a floating IP address on exactly one live node of a small group.
//!
//! ```text
//! frame | link event | failure | command | deadline
//!           |
//!           v
//! Engine::handle(now, Input) -> Vec<Action>      pure: no I/O, no clock, no async,
//!           |                                    no randomness, no logging
//!           v
//! the daemon applies the actions in order; what failed of them returns as Input
//! ```
//!
//! The pure half: [`time`], [`histogram`], [`model`], [`vrrp`], [`engine`], [`keyring`], [`config`],
//! [`trace`], [`api`], [`metrics`]. The shell: `daemon` (async, sockets, clock, logging) and `ctl` (the operator's
//! tool), behind the feature `shell`. Imports run one way: `bin -> daemon | ctl`;
//! `daemon -> engine, keyring, config, trace, api`; `ctl -> api, metrics, config, vrrp`; `metrics -> api`;
//! `api, trace, keyring -> engine`; `engine -> vrrp -> model -> time`; `config -> model`. `engine` and
//! `config` never import each other, and nothing imports `daemon`.

pub mod api;
pub mod config;
#[cfg(feature = "shell")]
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the shell is where clocks, files, sockets and threads belong"
)]
pub mod ctl;
#[cfg(feature = "shell")]
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the shell is where clocks, files, sockets and threads belong"
)]
pub mod daemon;
pub mod engine;
mod hash;
pub mod histogram;
pub mod keyring;
pub mod metrics;
pub mod model;
#[cfg(feature = "shell")]
mod table;
pub mod time;
pub mod trace;
pub mod vrrp;
