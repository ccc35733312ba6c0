//! The shell: everything that touches the system.
//!
//! ```text
//! run ── agent (the loop) ── apply ── outbox (order)
//!          │                   ├───── holdings ── held (what `release` finds when we are dead)
//!          │                   ├───── sockets ── socket (VRRP, frames), conflicts
//!          │                   │         ├────── poller (which of them have something)
//!          │                   │         └────── opener (a thread of its own: opens and closes)
//!          │                   └───── netlink (a thread of its own)
//!          ├── control (the operator's socket: a thread of its own)
//!          ├── errands (the second runtime: what may block or hang)
//!          │      ├──── probe (one look at what a check is about) ── outside
//!          │      └──── notify (one hook) ── outside
//!          └── report, record (threads that may block), systemd
//! ```

mod agent;
mod apply;
mod background;
mod check;
mod cli;
mod clock;
mod condition;
mod conflicts;
mod control;
mod demo;
mod directory;
mod errands;
mod exit;
mod files;
mod filter;
mod held;
mod holdings;
mod kernel_time;
mod load;
mod log;
mod netlink;
mod notify;
mod opener;
mod outbox;
mod outside;
mod pace;
mod permission;
mod poller;
mod probe;
mod program;
mod realtime;
mod record;
mod release;
mod reload;
mod replay;
mod report;
mod run;
mod runtime;
mod secrets;
mod settings;
mod socket;
mod socket_options;
mod sockets;
mod standby;
mod systemd;

use std::process::ExitCode;

use clap::Parser;
pub use cli::command;
use cli::{Cli, Command};
use exit::Exit;

/// The program `vipd`.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => {
            // Help and version are answers too. Nobody is left to hear of a closed output.
            let _ = answer.print();
            return if answer.use_stderr() { Exit::Usage } else { Exit::Ok }.into();
        }
    };
    match cli.command {
        Command::Run(options) => run::main(&options).into(),
        Command::Release(options) => release::main(&options).into(),
        Command::Check(options) => check::main(&options).into(),
        Command::Replay(options) => replay::main(&options.file).into(),
        Command::Demo(options) => demo::main(&options),
        Command::DemoHost(options) => demo::host_main(&options),
    }
}
