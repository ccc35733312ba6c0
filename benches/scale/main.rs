//! The cost of many virtual routers: vipd beside Debian's keepalived and beside a floor, in the
//! same run, on two nodes in network namespaces on this machine.
//!
//! `cargo bench --bench scale` prints the tables; with `-- --write` it replaces those in
//! docs/performance.md, and the plot. It needs root, or a kernel that lets an ordinary user make
//! user namespaces.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "running programs are measured with clocks, files, sockets and threads"
)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a trial that cannot go on fails, and is reported as failed"
)]

mod account;
mod addresses;
mod capture;
mod figures;
mod floor;
#[path = "../../tests/lab/mod.rs"]
mod lab;
mod moving;
mod packets;
mod page;
mod plot;
mod program;
mod rhythm;
mod stage;
mod targets;
mod trial;
mod workload;

use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Parser;

use floor::Role;
use page::Run;
use targets::Target;
use workload::{WORKLOADS, Workload};

/// Measures many virtual routers of vipd and of keepalived
#[derive(Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
struct Options {
    /// Only these workloads, separated by commas: 255x100ms, 1000x100ms, 1000x1s, 4000x1s
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<Workload>,
    /// The time that is measured, in seconds (where a minute is asked for: at most a minute)
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(2..))]
    seconds: u64,
    /// Only the move of an instance with 1,000 addresses
    #[arg(long, conflicts_with = "only")]
    addresses: bool,
    /// Replace the tables in docs/performance.md, and the plot
    #[arg(long, conflicts_with_all = ["only", "addresses"])]
    write: bool,
    /// Fail where vipd misses a target
    #[arg(long)]
    judge: bool,
    /// Run as a half of the floor: the bench starts itself so
    #[arg(long, hide = true)]
    floor: Option<Role>,
    /// Added by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let (Some(role), [workload]) = (options.floor, options.only.as_slice()) {
        floor::run(role, workload);
    }
    let keepalived = match first_line("keepalived") {
        Ok(line) => line,
        Err(why) => {
            eprintln!("cannot run keepalived: {why}. Install it (Debian: apt install keepalived).");
            return ExitCode::FAILURE;
        }
    };
    lab::in_namespaces(|| measure(&options, keepalived))
}

fn measure(options: &Options, keepalived: String) -> ExitCode {
    let all = match options {
        Options { addresses: true, .. } => &[],
        Options { only, .. } if !only.is_empty() => only.as_slice(),
        _ => &WORKLOADS,
    };
    let seconds = Duration::from_secs(options.seconds);
    let rows = all.iter().map(|workload| trial::row(*workload, seconds)).collect();
    let vipd = first_line(&lab::program("vipd")).expect("our own program runs");
    let addresses = options.only.is_empty().then(addresses::measure);
    let run = Run { rows, addresses, versions: [vipd, keepalived], seconds: options.seconds };
    let text = page::render(&run);
    println!("{text}");
    if options.write
        && let Err(why) = page::replace(&text, &plot::render(&run.rows))
    {
        eprintln!("cannot write the page: {why}");
        return ExitCode::FAILURE;
    }
    let targets = run.rows.iter().flat_map(targets::of);
    let targets = targets.chain(run.addresses.as_ref().map(targets::of_addresses));
    let missed = targets.filter(Target::is_missed).count();
    if options.judge && missed > 0 {
        eprintln!("{missed} targets were missed");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The first line of what a program says about its version, on whichever output.
fn first_line(program: &str) -> std::io::Result<String> {
    let output = Command::new(program)
        .arg("--version")
        .env("PATH", format!("/usr/sbin:/sbin:{}", std::env::var("PATH").unwrap_or_default()))
        .output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    Ok(said.lines().next().unwrap_or_default().trim().to_owned())
}
