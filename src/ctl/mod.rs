//! `vipctl`, the operator's tool: one file for each command.

mod answer;
mod check;
mod cli;
mod doctor;
mod events;
mod exit;
mod explain;
mod handover;
mod init;
mod keygen;
mod options;
mod peers;
mod plain;
mod probe;
mod reload;
mod serve;
mod snapshot;
mod socket;
mod standby;
mod status;
mod told;
mod watch;
mod wire;
mod words;
mod wrong;

use std::process::ExitCode;

use clap::Parser;
pub use cli::command;
use cli::{Cli, Command};
use exit::Exit;

/// The program `vipctl`.
pub fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(Cli { command }) => command,
        Err(answer) => {
            // Help and version are answers too. Nobody is left to hear of a closed output.
            let _ = answer.print();
            return if answer.use_stderr() { Exit::Usage } else { Exit::Ok }.into();
        }
    };
    let told = match command {
        Command::Status(options) => status::main(&options),
        Command::Watch(options) => watch::main(&options),
        Command::Explain(options) => explain::main(&options),
        Command::Peers(options) => peers::main(&options),
        Command::Events(options) => events::main(&options),
        Command::Handover(options) => handover::main(options),
        Command::Standby(options) => standby::main(options),
        Command::Online(options) => standby::online(options),
        Command::Reload(options) => reload::main(&options),
        Command::Check(options) => check::main(&options),
        Command::Probe(options) => probe::main(options),
        Command::Doctor(options) => doctor::main(&options),
        Command::Init(options) => init::main(&options),
        Command::Keygen(options) => keygen::main(&options),
        Command::Serve(options) => serve::main(&options),
    };
    told.write().into()
}
