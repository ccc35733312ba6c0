//! Small files that a look reads.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

use super::{Aside, words};

/// The beginning of a file, at most so many bytes of it.
///
/// # Errors
/// What the system says, with the path.
pub(crate) async fn beginning(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let name = path.display().to_string();
    let path = path.to_path_buf();
    let read = move || {
        let mut bytes = Vec::new();
        // A FIFO without a writer would be waited for.
        let file =
            OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let read = Aside::shared(&name).run(read).await;
    read.map_err(|error| format!("{name}: {}", words::system(&error)))
}
