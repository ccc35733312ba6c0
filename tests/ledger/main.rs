//! A ledger of writes to PostgreSQL through the virtual address, under random sequences of faults:
//! none that was acknowledged is lost, and none is accepted by two servers at once.
//!
//! Two hosts with a server each, primary and synchronous standby as in docs/recipes/postgresql.md,
//! and vipd with the check `role: primary`. It needs root, because PostgreSQL runs as a user of
//! its own.
//!
//! `VIPD_LEDGER_SEED=N` plays one sequence alone, `VIPD_LEDGER_SEQUENCES=N` so many instead of 50.
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

mod book;
mod fault;
#[path = "../lab/mod.rs"]
mod lab;
mod node;
mod play;
mod server;
mod writer;

fn main() -> std::process::ExitCode {
    lab::run(&lab::cases![play::sequences, book::bites])
}
