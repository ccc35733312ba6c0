//! The command line of `vipd`. Man pages and shell completions are made from it too.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};

use super::demo;
use crate::model::NodeName;

/// Where the package puts the configuration.
const CONFIG: &str = "/etc/vipd/vipd.yaml";

const EXIT_CODES: &str = "\
Exit codes:
   0  done
   1  replay: an answer differs from the recorded one
  64  the command line is wrong
  65  replay: the recording cannot be read
      release: what the agent wrote down cannot be understood; nothing was touched
  69  check: the file is right, but something that it needs is not on this machine (yet)
  71  the system refused something without which there is no start
      release: something could not be removed, and is still written down
  75  another vipd runs with this runtime directory; nothing was touched
  77  CAP_NET_ADMIN or CAP_NET_RAW is missing
  78  the configuration cannot be read or is invalid; nothing was touched";

/// Keeps a floating IP address on exactly one live node (VRRP v2 and v3)
#[derive(Debug, Parser)]
#[command(name = "vipd", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the agent in the foreground until SIGTERM or SIGINT
    Run(RunOptions),
    /// Remove what a dead agent has left on this system, and tell the other nodes
    ///
    /// The agent writes down what it puts on the system before it does so. This removes exactly
    /// that and sends the advertisements with priority 0 that the agent could not, so that another
    /// node takes over at once. It needs no configuration, and where nothing is left it does
    /// nothing. For systemd (`ExecStopPost=`) or by hand.
    Release(ReleaseOptions),
    /// Say whether a configuration is valid, or everything that is wrong with it
    Check(CheckOptions),
    /// Hand a recording's inputs to a fresh engine and compare its answers
    Replay(ReplayOptions),
    /// Show a failover on this machine: two nodes and a client in network namespaces
    Demo(demo::Options),
    /// A process inside the demo's namespaces
    #[command(hide = true)]
    DemoHost(demo::HostOptions),
}

#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    pub(crate) config: PathBuf,
    /// Write every input and the engine's answers to FILE as JSON lines, for `vipd replay`
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) runtime: RuntimeOption,
    /// Where what is on standby is kept over restarts and reboots [default: what systemd says in
    /// `$STATE_DIRECTORY`, else /var/lib/vipd]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_directory: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ReleaseOptions {
    #[command(flatten)]
    pub(crate) runtime: RuntimeOption,
}

#[derive(Debug, Args)]
pub(crate) struct RuntimeOption {
    /// Where the agent's lock is and what it has written down [default: what systemd says in
    /// `$RUNTIME_DIRECTORY`, else /run/vipd]
    #[arg(long = "runtime-directory", value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckOptions {
    /// The configuration
    #[arg(value_name = "FILE", default_value = CONFIG)]
    pub(crate) file: PathBuf,
    /// Check it as this node of its list would see it, not as this machine does
    #[arg(long, value_name = "NAME", value_parser = node_name)]
    pub(crate) node: Option<NodeName>,
    /// Answer with one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayOptions {
    /// What `vipd run --record` wrote
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

fn node_name(text: &str) -> Result<NodeName, String> {
    NodeName::try_from(text).map_err(|error| error.to_string())
}

/// The whole command line, for man pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: clap's own consistency checks hold (they otherwise panic at the first use).
    #[test]
    fn the_definition_is_consistent() {
        command().debug_assert();
    }

    /// Rule: without options the agent reads the packaged file.
    #[test]
    fn the_default_configuration_is_the_packaged_one() {
        let cli = Cli::try_parse_from(["vipd", "run"]).unwrap();
        let Command::Run(options) = cli.command else { panic!("{cli:?}") };
        assert_eq!(options.config, PathBuf::from("/etc/vipd/vipd.yaml"));
        assert_eq!(options.record, None);
        assert_eq!(options.runtime.directory, None);
    }
}
