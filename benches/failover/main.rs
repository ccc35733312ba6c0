//! How long clients wait, and how long two nodes hold the address: vipd beside Debian's
//! keepalived, in the same run, in network namespaces on this machine.
//!
//! `cargo bench --bench failover` writes the table to standard output; with `-- --write` it
//! replaces the one in docs/failover.md. It needs root, or a kernel that lets an ordinary user
//! make user namespaces.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "running daemons are measured with clocks, files, sockets and threads"
)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a trial that cannot go on fails, and is reported as failed"
)]

mod figures;
mod kernel;
#[path = "../../tests/lab/mod.rs"]
mod lab;
mod page;
mod router;
mod scenario;
mod stage;
mod trials;

use std::process::{Command, ExitCode};

use clap::Parser;

/// Measures failovers of vipd and of keepalived
#[derive(Parser)]
struct Options {
    /// How often each scenario is played with each router
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    trials: u32,
    /// How many trials run at once; more than two disturb the client's timing on small machines
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    at_once: u8,
    /// Only scenarios whose name contains this
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Replace the table in docs/failover.md
    #[arg(long, conflicts_with = "only")]
    write: bool,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let keepalived = match first_line("keepalived", "--version") {
        Ok(line) => line,
        Err(why) => {
            eprintln!("cannot run keepalived: {why}. Install it (Debian: apt install keepalived).");
            return ExitCode::FAILURE;
        }
    };
    lab::in_namespaces(|| {
        let rows = trials::run(&options.only, options.trials, options.at_once);
        let routers = [version_of_vipd(), keepalived];
        let text = page::render(&rows, &routers, options.trials);
        let lifetimes = kernel::table();
        println!("{text}\n{lifetimes}");
        if options.write
            && let Err(why) = page::replace(&text, &lifetimes)
        {
            eprintln!("cannot write the tables: {why}");
            return ExitCode::FAILURE;
        }
        ExitCode::SUCCESS
    })
}

fn version_of_vipd() -> String {
    first_line(env!("CARGO_BIN_EXE_vipd"), "--version").expect("our own program runs")
}

/// The first line of what a program says when asked, on whichever output.
fn first_line(program: &str, question: &str) -> std::io::Result<String> {
    let output = Command::new(program)
        .arg(question)
        .env("PATH", format!("/usr/sbin:/sbin:{}", std::env::var("PATH").unwrap_or_default()))
        .output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    Ok(said.lines().next().unwrap_or_default().trim().to_owned())
}
