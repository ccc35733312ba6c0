//! Where the answers come from: one snapshot of the daemon for all who ask at the same time.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::super::snapshot;
use crate::api::{STATUS_SOCKET, Snapshot};

/// How the daemon is, or why that is not known.
pub(super) type Seen = Result<Arc<Snapshot>, Arc<str>>;

/// Reads the status socket.
#[derive(Debug)]
pub(super) struct Source {
    runtime_directory: PathBuf,
    last: Mutex<Option<(Instant, Seen)>>,
}

impl Source {
    /// The daemon with this runtime directory, whether it runs or not.
    pub(super) fn new(runtime_directory: PathBuf) -> Self {
        Self { runtime_directory, last: Mutex::new(None) }
    }

    /// A look at the daemon that began no earlier than this call.
    pub(super) async fn look(&self) -> Seen {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some((begun, seen)) = last.as_ref()
            && *begun >= asked
        {
            return seen.clone();
        }
        let begun = Instant::now();
        let socket = self.runtime_directory.join(STATUS_SOCKET);
        let read = spawn_blocking(move || {
            let seen = snapshot::read(&socket).map_err(|trouble| trouble.to_string())?;
            Ok(seen.snapshot)
        });
        let read = read.await.unwrap_or_else(|error| Err(error.to_string()));
        let seen = read.map(Arc::new).map_err(Arc::from);
        *last = Some((begun, seen.clone()));
        seen
    }
}
