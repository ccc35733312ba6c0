//! The options that several commands have.

use std::path::PathBuf;

use clap::Args;

use super::exit;
use crate::api::{CONTROL_SOCKET, RUNTIME_DIRECTORY, STATUS_SOCKET};
use crate::model::{InstanceName, NodeName, TrackName};

/// For what changes something: which daemon, and how its answer is shown.
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
        self.socket.clone().unwrap_or_else(|| self.runtime_directory.join(CONTROL_SOCKET))
    }
}

/// For what only looks: which daemon.
#[derive(Debug, Args)]
#[command(after_help = exit::TEXT)]
pub(super) struct SourceOptions {
    /// The status socket of vipd [default: status.sock in the runtime directory]
    #[arg(long, value_name = "PATH", conflicts_with = "runtime_directory")]
    socket: Option<PathBuf>,
    /// The runtime directory of vipd
    #[arg(long, value_name = "DIR", default_value = RUNTIME_DIRECTORY)]
    runtime_directory: PathBuf,
    /// Write what vipd says as it is: JSON, lengths of time in nanoseconds
    #[arg(long)]
    pub(super) json: bool,
}

impl SourceOptions {
    /// The status socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| self.runtime_directory.join(STATUS_SOCKET))
    }
}

pub(super) fn instance_name(text: &str) -> Result<InstanceName, String> {
    InstanceName::try_from(text).map_err(|error| error.to_string())
}

pub(super) fn node_name(text: &str) -> Result<NodeName, String> {
    NodeName::try_from(text).map_err(|error| error.to_string())
}

pub(super) fn track_name(text: &str) -> Result<TrackName, String> {
    TrackName::try_from(text).map_err(|error| error.to_string())
}
