//! `vipctl`, the operator's tool.

use std::process::ExitCode;

use clap::Parser;

/// Looks at and controls a running vipd (its commands come with a later version)
#[derive(Debug, Parser)]
#[command(name = "vipctl", version)]
struct Cli {}

/// The program `vipctl`.
pub fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(Cli {}) => ExitCode::SUCCESS,
        Err(answer) => {
            // Nobody is left to hear of a closed output.
            let _ = answer.print();
            // EX_USAGE, as `vipd` has it.
            if answer.use_stderr() { ExitCode::from(64) } else { ExitCode::SUCCESS }
        }
    }
}
