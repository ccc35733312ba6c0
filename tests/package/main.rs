//! The Debian package as its users have it: installed with apt on booted Debian machines, in front
//! of nginx, PostgreSQL and what else docs/recipes is about.
//!
//! It needs root, mmdebstrap and systemd-nspawn; what is missing fails, nothing is skipped. Where
//! `VIPD_DEB` does not name a package, `packaging/build` makes it first.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests of the running daemon need clocks, files, sockets and threads"
)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod client;
mod database;
mod debian;
mod departure;
mod dns;
mod failure;
mod gateway;
mod haproxy;
mod install;
#[path = "../lab/mod.rs"]
mod lab;
mod late;
mod ledger;
mod life;
mod machine;
mod mariadb;
mod page;
mod pair;
mod patroni;
mod postgresql;
mod primary;
mod redis;
mod sandbox;
mod service;
mod web;

fn main() -> std::process::ExitCode {
    debian::provide().unwrap_or_else(|| {
        lab::run(&lab::cases![
            web::everything_that_happens,
            haproxy::follows_the_proxy,
            dns::follows_the_answers,
            gateway::both_addresses_move,
            database::everything_that_happens,
            mariadb::follows_the_writable_one,
            patroni::follows_the_leader,
            postgresql::follows_the_primary,
            redis::hooks_promote,
            sandbox::checks_and_hooks,
            sandbox::virtual_mac,
            install::first_steps,
            install::as_documented,
            install::bad_configuration,
            install::web_side,
            late::own_address,
            late::own_address_never,
            install::other_places,
        ])
    })
}
