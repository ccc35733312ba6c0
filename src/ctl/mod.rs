//! `vipctl`, the operator's tool.

mod cli;
mod doctor;
mod exit;
mod handover;
mod init;
mod keygen;
mod snapshot;
mod socket;
mod wire;

use std::io::{self, Write};
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
    /// For people.
    text: String,
}

impl Told {
    fn done(text: String) -> Self {
        Self { exit: Exit::Ok, raw: None, text }
    }

    fn problem(exit: Exit, text: String) -> Self {
        Self { exit, raw: None, text }
    }

    /// Writes it: results to standard output, what went wrong to standard error. An answer as it
    /// came says it all, whichever it is.
    fn write(self) -> Exit {
        // Nobody is left to hear of a closed output.
        let _ = match (self.raw, self.exit) {
            (Some(line), _) => writeln!(io::stdout(), "{line}"),
            (None, Exit::Ok) => writeln!(io::stdout(), "{}", self.text),
            (None, _) => writeln!(io::stderr(), "vipctl: {}", self.text),
        };
        self.exit
    }
}

/// The program `vipctl`.
pub fn main() -> ExitCode {
    let told = match Cli::try_parse().map(|cli| cli.command) {
        Ok(Command::Handover(options)) => handover::main(options),
        Ok(Command::Doctor(options)) => doctor::main(&options),
        Ok(Command::Init(options)) => init::main(&options),
        Ok(Command::Keygen(options)) => keygen::main(&options),
        Err(answer) => {
            // Help and version are answers too. Nobody is left to hear of a closed output.
            let _ = answer.print();
            return if answer.use_stderr() { Exit::Usage } else { Exit::Ok }.into();
        }
    };
    told.write().into()
}
