//! Small files that a look reads.

use std::path::Path;

use nix::fcntl::OFlag;
use tokio::fs::OpenOptions;
use tokio::io::AsyncReadExt;

use super::words;

/// The beginning of a file, at most so many bytes of it.
///
/// # Errors
/// What the system says, with the path.
pub(super) async fn beginning(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = async {
        // A FIFO without a writer would keep a thread for ever.
        let flags = OFlag::O_NONBLOCK.bits();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).await?;
        file.take(most).read_to_end(&mut bytes).await
    };
    match read.await {
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!("{}: {}", path.display(), words::system(&error))),
    }
}
