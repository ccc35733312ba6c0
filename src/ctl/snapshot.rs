//! How a daemon is, from its status socket.

use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::time::Duration;

use super::socket::{LONGEST_ANSWER, Trouble, connect};
use crate::api::{STATUS_SOCKET, Snapshot};

/// How long a daemon may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads one snapshot of the daemon with this runtime directory.
///
/// # Errors
/// Why there is none: nobody listens, or what came is no snapshot of a format that this program
/// knows.
pub(super) fn read(runtime_directory: &Path) -> Result<Snapshot, Trouble> {
    let path = runtime_directory.join(STATUS_SOCKET);
    let text = text(&path).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => Trouble::Late(PATIENCE),
        _ => Trouble::NoDaemon { path: path.clone(), error },
    })?;
    if text.is_empty() {
        return Err(Trouble::Busy(path));
    }
    let unknown = |why: String| Trouble::NotUnderstood { path: path.clone(), why };
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| unknown(error.to_string()))?;
    // Before anything else of it: a newer format may have nothing else in common.
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(format) if format == u64::from(Snapshot::FORMAT) => {}
        other => return Err(unknown(format!("its format is {other:?}, not {}", Snapshot::FORMAT))),
    }
    serde_json::from_value(value).map_err(|error| unknown(error.to_string()))
}

fn text(path: &Path) -> io::Result<String> {
    let stream = connect(path, PATIENCE)?;
    let mut text = String::new();
    stream.take(LONGEST_ANSWER).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;
    use std::thread;

    use super::*;

    /// A daemon that says this to one client.
    fn said(name: &str, text: &'static [u8]) -> Result<Snapshot, Trouble> {
        let directory = PathBuf::from(format!("/tmp/vipctl-{}-{name}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let listener = UnixListener::bind(directory.join(STATUS_SOCKET)).unwrap();
        let daemon = thread::spawn(move || listener.accept().unwrap().0.write_all(text).unwrap());
        let snapshot = read(&directory);
        daemon.join().unwrap();
        fs::remove_dir_all(&directory).unwrap();
        snapshot
    }

    /// Rule: what is no snapshot of our format is never taken for one, and says why.
    #[test]
    fn other_answers_are_not_taken_for_snapshots() {
        let trouble = said("newer", b"{\"format\":2}\n").unwrap_err().to_string();
        assert!(trouble.contains("its format is Some(2), not 1"), "{trouble}");
        let trouble = said("half", b"{\"format\":1").unwrap_err().to_string();
        assert!(trouble.contains("EOF while parsing"), "{trouble}");
        let trouble = said("lacking", b"{\"format\":1}\n").unwrap_err().to_string();
        assert!(trouble.contains("missing field"), "{trouble}");
        assert!(matches!(said("busy", b""), Err(Trouble::Busy(_))));
    }
}
