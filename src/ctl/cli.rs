//! The command line of `vipctl`. Man pages and shell completions are made from it too. Each command
//! has its own options beside what it does with them; what they have in common is in `options`.

use clap::{CommandFactory, Parser, Subcommand};

use super::doctor::DoctorOptions;
use super::init::InitOptions;
use super::keygen::KeygenOptions;
use super::serve::ServeOptions;
use super::{check, events, exit, explain, handover, peers, probe, reload, standby, status, watch};

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
    /// Show who has the addresses, and what is wrong
    ///
    /// A line for each instance of this node's vipd, then why it is in its state, then all that
    /// somebody should look at. Everybody may ask.
    Status(status::Options),
    /// Show the same all the time; on a pipe, a line for each change
    Watch(watch::Options),
    /// Explain why an instance is in its state, and what it would do next
    Explain(explain::Options),
    /// Show every router that is heard for our virtual routers, also those that should not be there
    Peers(peers::Options),
    /// Show what happened last: the lines of the log
    Events(events::Options),
    /// Move an instance's addresses from this node to another one, without a gap
    ///
    /// Asks the vipd of this machine, which must be the active one. The backup with the highest
    /// priority takes the addresses; this node keeps them until that one has them, and for good
    /// where no node takes them.
    Handover(handover::Options),
    /// Take an instance, or this node, out of the election until `vipctl online`
    ///
    /// What is active here hands over first, without a gap; where no node takes the addresses over,
    /// nothing changes unless `--force` is given. It stays out over restarts of vipd and of the
    /// machine. An instance goes with all of its sync group.
    Standby(standby::Options),
    /// Put an instance, or this node, back into the election
    Online(standby::OnlineOptions),
    /// Have vipd read its configuration again, or only show what that would change
    ///
    /// A file with a mistake changes nothing, and every mistake is shown with its line.
    Reload(reload::Options),
    /// Say whether a configuration is valid, or everything that is wrong with it, as `vipd check`
    Check(check::Options),
    /// Have vipd look once at what a check is about, and show what it finds
    ///
    /// vipd looks as it always does, with its own user and rights. What it finds this time counts
    /// for nothing.
    Probe(probe::Options),
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
    /// Serve metrics, health and a status page over HTTP, until it is killed
    ///
    /// Reads the status socket of vipd and needs no privilege. Nothing can be changed over HTTP.
    /// /metrics is for Prometheus, /healthz says whether vipd answers, /ready/INSTANCE whether this
    /// node is the active one, /status is the snapshot as JSON, /events tells changes as server-sent
    /// events, and / is a page for people.
    Serve(ServeOptions),
}

/// The whole command line, for man pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::exit::Exit;
    use super::*;

    fn handover(arguments: &[&str]) -> Result<handover::Options, clap::Error> {
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
        let Command::Status(options) = Cli::try_parse_from(["vipctl", "status"]).unwrap().command
        else {
            panic!("another command")
        };
        assert_eq!(options.source.socket(), PathBuf::from("/run/vipd/status.sock"));
    }

    /// Rule: what cannot be a name is refused before anybody is asked.
    #[test]
    fn impossible_names_are_refused() {
        assert!(handover(&["we b"]).unwrap_err().to_string().contains("we b"));
        assert!(handover(&["web", ""]).is_err());
        assert!(handover(&[]).is_err());
    }

    /// Rule: every exit code is in the help, of the program and of each command, and in the
    /// documentation; every command is there, too.
    #[test]
    fn exit_codes_are_documented() {
        let page = include_str!("../../docs/vipctl.md");
        for code in Exit::ALL {
            assert!(page.contains(&format!("\n| {code} | ")), "{code} is not in the page");
        }
        let commands = command();
        let names = commands.get_subcommands().map(clap::Command::get_name);
        for name in names.filter(|name| *name != "help") {
            assert!(page.contains(&format!("`vipctl {name}")), "{name} is not in the page");
            let help = Cli::try_parse_from(["vipctl", name, "--help"]).unwrap_err().to_string();
            let codes = help.split_once("Exit codes:").expect("their heading").1;
            for code in Exit::ALL {
                let listed = codes.contains(&format!("\n{code:>4}  "));
                assert!(listed, "{code} is not in:\n{help}");
            }
        }
    }
}
