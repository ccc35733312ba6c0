//! `vipctl check`: what `vipd check` says. vipd itself knows what a configuration means here: which
//! checks it was built with, which programs may be started.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use super::exit::{self, Exit};
use super::options::node_name;
use super::told::Told;
use crate::model::NodeName;

/// Where it is looked for besides `$PATH`, in which an ordinary user does not have them.
const DIRECTORIES: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

#[derive(Debug, Args)]
#[command(after_help = exit::TEXT)]
pub(super) struct Options {
    /// The configuration [default: /etc/vipd/vipd.yaml]
    file: Option<PathBuf>,
    /// Check it as this node of its list would see it, not as this machine does
    #[arg(long, value_name = "NAME", value_parser = node_name)]
    node: Option<NodeName>,
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
}

/// Becomes `vipd check`, with its output and exit code. Comes back only where there is none.
pub(super) fn main(options: &Options) -> Told {
    let own = env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent).map(Path::to_owned);
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = beside.into_iter().chain(env::split_paths(&path));
    let directories = directories.chain(DIRECTORIES.map(PathBuf::from));
    let Some(program) = directories.map(|place| place.join("vipd")).find(|vipd| vipd.is_file())
    else {
        let text = format!(
            "there is no vipd beside this program, in $PATH or in {}, and only vipd knows what a \
             configuration means",
            DIRECTORIES.join(", ")
        );
        return Told::problem(Exit::Unavailable, text);
    };
    let mut command = Command::new(&program);
    command.arg("check").args(&options.file);
    if let Some(node) = &options.node {
        command.args(["--node", node.as_str()]);
    }
    if options.json {
        command.arg("--json");
    }
    let error = command.exec();
    Told::problem(Exit::Unavailable, format!("{} cannot be started: {error}", program.display()))
}
