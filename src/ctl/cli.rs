//! The command line of `vipctl`. Man pages and shell completions are made from it too.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};

use super::doctor::DoctorOptions;
use super::exit;
use super::init::InitOptions;
use super::keygen::KeygenOptions;
use crate::api::{CONTROL_SOCKET, RUNTIME_DIRECTORY};
use crate::model::{InstanceName, NodeName};

/// Looks at and controls a running vipd
#[derive(Debug, Parser)]
#[command(name = "vipctl", version, after_help = exit::TEXT)]
pub(super) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Move an instance's addresses from this node to another one, without a gap
    ///
    /// Asks the vipd of this machine, which must be the active one. The backup with the highest
    /// priority takes the addresses; this node keeps them until that one has them, and for good
    /// where no node takes them.
    Handover(HandoverOptions),
    /// Look for what goes wrong in the field, and say how to mend it
    ///
    /// Asks vipd how it is, listens to the wire, asks who has the addresses (ARP probes, which change
    /// nothing) and looks at the firewall, the kernel's settings and the programs around. As root it
    /// sees everything; what it could not look at, it says. Exit code 1: something was found.
    Doctor(DoctorOptions),
    /// Write a first configuration
    ///
    /// Listens for other groups on the segment, picks a virtual router ID that is free, and asks for
    /// the rest, unless options say it. Writes nothing that `vipd check` would refuse, and never over
    /// a file that somebody has changed.
    Init(InitOptions),
    /// Make a random key for the authentication of advertisements
    Keygen(KeygenOptions),
}

#[derive(Debug, Args)]
pub(super) struct HandoverOptions {
    /// The instance's name in the configuration
    #[arg(value_parser = instance_name)]
    pub(super) instance: InstanceName,
    /// The node that is to take the addresses [default: whichever does]
    #[arg(value_parser = node_name)]
    pub(super) node: Option<NodeName>,
    #[command(flatten)]
    pub(super) connection: ConnectionOptions,
}

#[derive(Debug, Args)]
#[command(after_help = exit::TEXT)]
pub(super) struct ConnectionOptions {
    /// The control socket of vipd [default: control.sock in the runtime directory]
    #[arg(long, value_name = "PATH", conflicts_with = "runtime_directory")]
    socket: Option<PathBuf>,
    /// The runtime directory of vipd
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIRECTORY)]
    runtime_directory: PathBuf,
    /// How long to wait for the answer
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(super) timeout: u64,
    /// Write vipd's answer as it is: one JSON object, lengths of time in nanoseconds
    #[arg(long)]
    pub(super) json: bool,
}

impl ConnectionOptions {
    /// The control socket.
    pub(super) fn socket(&self) -> PathBuf {
        let usual = || self.runtime_directory.join(CONTROL_SOCKET);
        self.socket.clone().unwrap_or_else(usual)
    }
}

fn instance_name(text: &str) -> Result<InstanceName, String> {
    InstanceName::try_from(text).map_err(|error| error.to_string())
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

    fn handover(arguments: &[&str]) -> Result<HandoverOptions, clap::Error> {
        let all = ["vipctl", "handover"].iter().chain(arguments);
        match Cli::try_parse_from(all)?.command {
            Command::Handover(options) => Ok(options),
            other => panic!("{other:?}"),
        }
    }

    /// Rule: clap's own consistency checks hold (they otherwise panic at the first use).
    #[test]
    fn the_definition_is_consistent() {
        command().debug_assert();
    }

    /// Rule: without options the packaged vipd is asked; a socket or a directory names another
    /// one, both at once are a mistake.
    #[test]
    fn the_socket_can_be_named() {
        let socket = |arguments: &[&str]| handover(arguments).unwrap().connection.socket();
        assert_eq!(socket(&["web"]), PathBuf::from("/run/vipd/control.sock"));
        assert_eq!(socket(&["web", "--socket", "/a/b"]), PathBuf::from("/a/b"));
        let in_directory = socket(&["web", "web2", "--runtime-directory", "/a"]);
        assert_eq!(in_directory, PathBuf::from("/a/control.sock"));
        assert!(handover(&["web", "--socket", "/a/b", "--runtime-directory", "/a"]).is_err());
    }

    /// Rule: what cannot be a name is refused before anybody is asked.
    #[test]
    fn impossible_names_are_refused() {
        assert!(handover(&["we b"]).unwrap_err().to_string().contains("we b"));
        assert!(handover(&["web", ""]).is_err());
        assert!(handover(&[]).is_err());
    }

    /// Rule: every exit code is in the help, of the program and of the command, and in the
    /// documentation.
    #[test]
    fn exit_codes_are_documented() {
        let page = include_str!("../../docs/vipctl.md");
        for code in [0, 1, 2, 64, 69, 73, 75, 76, 77] {
            assert!(page.contains(&format!("\n| {code} | ")), "{code} is not in the page");
        }
        for arguments in [["vipctl", "--help", ""], ["vipctl", "handover", "--help"]] {
            let help = Cli::try_parse_from(arguments).unwrap_err().to_string();
            let codes = help.split_once("Exit codes:").expect("their heading").1;
            for code in [0, 1, 2, 64, 69, 73, 75, 76, 77] {
                let listed = codes.contains(&format!("\n{code:>4}  "));
                assert!(listed, "{code} is not in:\n{help}");
            }
        }
    }
}
