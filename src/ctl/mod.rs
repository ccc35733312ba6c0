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
mod peers;
mod plain;
mod probe;
mod reload;
mod serve;
mod snapshot;
mod socket;
mod standby;
mod status;
mod watch;
mod wire;
mod words;
mod wrong;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
pub use cli::command;
use cli::{Cli, Command};
use exit::Exit;

/// What a command tells at its end.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    exit: Exit,
    /// The daemon's answer as it came, where that is wanted.
    raw: Option<String>,
    /// For people; with nothing in it, nothing is said.
    text: String,
    /// Whether this is what was asked for, and not why that cannot be had.
    is_result: bool,
}

impl Told {
    fn done(text: String) -> Self {
        Self::shown(Exit::Ok, text)
    }

    /// A result that is not all good.
    fn shown(exit: Exit, text: String) -> Self {
        Self { exit, raw: None, text, is_result: true }
    }

    fn problem(exit: Exit, text: String) -> Self {
        Self { exit, raw: None, text, is_result: false }
    }

    /// Writes it: results to standard output, what went wrong to standard error. An answer as it
    /// came says it all, whichever it is.
    fn write(self) -> Exit {
        let text = self.text.trim_end();
        // Nobody is left to hear of a closed output.
        let _ = match self.raw {
            Some(line) => writeln!(anstream::stdout(), "{line}"),
            None if text.is_empty() => Ok(()),
            None if self.is_result => writeln!(anstream::stdout(), "{text}"),
            None => writeln!(anstream::stderr(), "vipctl: {text}"),
        };
        self.exit
    }
}

impl From<socket::Trouble> for Told {
    fn from(trouble: socket::Trouble) -> Self {
        Self::problem(trouble.exit(), trouble.to_string())
    }
}

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
