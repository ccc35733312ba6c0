//! `vipd demo`: two nodes, a client and a bridge on this machine, and what the client notices.
//!
//! Everything happens in network namespaces of this process; each node is a namespace with a
//! real agent (`vipd run`) as a child process. The namespaces end with the processes in them,
//! the agents with the demo, and no file is written: nothing can be left behind.

mod cast;
mod client;
mod host;
mod lab;
mod narrator;
mod permission;
mod record;
mod server;
mod stage;
mod story;
mod worker;

use std::process::ExitCode;

pub(crate) use host::{HostOptions, main as host_main};
use narrator::Narrator;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// `vipd demo`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Options {}

const EXIT_CODES: &str = "\
Needs root, or a kernel that lets ordinary users make user namespaces. Changes nothing on
this machine. VIPD_LOG=debug makes the agents tell more.

Exit codes:
    0  every step went as it should
    1  one did not, or the demo cannot run here
  130  interrupted";

/// Runs the demo. No thread may exist yet in this process.
pub(crate) fn main(_: &Options) -> ExitCode {
    if let Err(refused) = permission::acquire() {
        eprint!("{refused}");
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("the demo cannot start its event loop: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(run())
}

async fn run() -> ExitCode {
    let mut narrator = Narrator::new();
    let told = tokio::select! {
        told = story::tell(&mut narrator) => Some(told),
        () = interrupted() => None,
    };
    // Where even this cannot be written, nobody is there to read it.
    let _ = narrator.clear();
    match told {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err((failure, quotes))) => {
            eprintln!("The demo failed: {failure}.");
            if !quotes.is_empty() {
                eprintln!("What the agents wrote:\n{}", quotes.trim_end());
            }
            ExitCode::FAILURE
        }
        None => {
            eprintln!("Interrupted. Nothing is left behind.");
            ExitCode::from(130)
        }
    }
}

/// Waits for Ctrl-C, `kill`, or the terminal to be closed.
async fn interrupted() {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let mut signals: Vec<Signal> = kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect();
    std::future::poll_fn(|context| {
        let come = signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
        if come { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
