//! Two nodes of vipd and a keepalived, for hours: random faults, reloads and checks, with pauses in
//! which everything must come to rest at the right node and the daemons are measured.
//!
//! `tests/soak HOURS` builds and starts it. The seed that it prints plays the same faults again
//! (`--seed N`), though not at the same moments.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "running daemons are measured with clocks, files, sockets and threads"
)]
#![allow(
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::struct_excessive_bools,
    reason = "a run that cannot go on fails, and tells its figures"
)]

mod configuration;
mod fault;
mod judge;
#[path = "../lab/mod.rs"]
mod lab;
mod machine;
mod measure;
mod play;
mod report;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Plays faults against running daemons for hours, and looks for what grows
#[derive(Parser)]
struct Options {
    /// For how long: 0.02 is about a minute
    hours: f64,
    /// The seed of the faults; another one each time where none is given
    #[arg(long)]
    seed: Option<u64>,
    /// The directory for the measurements and the logs
    #[arg(long, default_value = "target/soak")]
    directory: PathBuf,
}

fn main() -> ExitCode {
    let options = Options::parse();
    judge::tells_a_leak();
    lab::in_namespaces(|| {
        let seed = options.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
        play::run(options.hours, seed, &options.directory)
    })
}
