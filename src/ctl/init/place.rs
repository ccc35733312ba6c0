//! Where the configuration goes: never over somebody's work, and all of it or nothing.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// The file that the package brings: nothing is lost with it.
const SAMPLE: &str = include_str!("../../../packaging/vipd.yaml");

/// Never over somebody's work.
///
/// # Errors
/// Why the file must stay as it is.
pub(super) fn may_be_replaced(path: &Path) -> Result<(), String> {
    match fs::read(path) {
        Ok(text) if text == SAMPLE.as_bytes() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) => Err(format!(
            "{} is there and is not the untouched sample of the package: nothing was written. \
             --output writes elsewhere, --force replaces it",
            path.display()
        )),
        Err(error) => Err(format!("{} is there and cannot be read: {error}", path.display())),
    }
}

/// All or nothing: a reader never sees half of it.
///
/// # Errors
/// What the system says.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let draft = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&draft)?;
    // Whatever the umask: the service's user reads it.
    let readable = file.set_permissions(Permissions::from_mode(0o644));
    let written = readable.and_then(|()| file.write_all(text.as_bytes()));
    let written = written.and_then(|()| file.sync_all());
    let placed = written.and_then(|()| fs::rename(&draft, path));
    if placed.is_err() {
        let _ = fs::remove_file(&draft);
    }
    placed
}
