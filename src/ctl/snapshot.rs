//! How a daemon is, from its status socket.

use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::exit::Exit;
use super::options::SourceOptions;
use super::plain::without_control_characters;
use super::socket::{LONGEST_ANSWER, Trouble, connect};
use super::told::Told;
use super::words;
use crate::api::Snapshot;
use crate::engine::status::InstanceStatus;
use crate::model::InstanceName;

/// How long a daemon may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(5);

/// A snapshot, as it came and as it is understood.
#[derive(Debug)]
pub(super) struct Seen {
    /// One JSON object, without an end of line.
    pub(super) line: String,
    pub(super) snapshot: Snapshot,
}

/// The parts of a snapshot that are shown by themselves, as they came.
#[derive(Debug, Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    instances: Vec<&'a RawValue>,
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

/// Reads one snapshot.
///
/// # Errors
/// Why there is none: nobody listens, or what came is no snapshot of a format that this program
/// knows.
pub(super) fn read(path: &Path) -> Result<Seen, Trouble> {
    let mut line = text(path).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => Trouble::Late(PATIENCE),
        _ => Trouble::NoDaemon { path: path.to_owned(), error },
    })?;
    if line.is_empty() {
        return Err(Trouble::Busy(path.to_owned()));
    }
    let snapshot =
        understood(&line).map_err(|why| Trouble::NotUnderstood { path: path.to_owned(), why })?;
    line.truncate(line.trim_end().len());
    Ok(Seen { line, snapshot })
}

fn understood(line: &str) -> Result<Snapshot, String> {
    #[derive(Deserialize)]
    struct Format {
        format: u64,
    }
    // Before anything else of it: a newer format may have nothing else in common.
    let Format { format } = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if format != u64::from(Snapshot::FORMAT) {
        return Err(format!("its format is {format}, and this vipctl knows {}", Snapshot::FORMAT));
    }
    serde_json::from_str(line).map_err(|error| error.to_string())
}

fn text(path: &Path) -> io::Result<String> {
    let stream = connect(path, PATIENCE)?;
    let mut text = String::new();
    stream.take(LONGEST_ANSWER).read_to_string(&mut text)?;
    Ok(without_control_characters(&text))
}

impl Seen {
    /// Reads the snapshot that is wanted, with the instance that is named.
    ///
    /// # Errors
    /// Why there is none, or that there is no such instance, for the operator.
    pub(super) fn read(source: &SourceOptions, name: Option<&InstanceName>) -> Result<Self, Told> {
        let seen = read(&source.socket()).map_err(Told::from)?;
        match name.map(|name| seen.instance(name)) {
            Some(Err(told)) => Err(told),
            _ => Ok(seen),
        }
    }

    /// The instances, or the one that is named.
    pub(super) fn instances(
        &self,
        name: Option<&InstanceName>,
    ) -> impl Iterator<Item = &InstanceStatus> {
        let name = name.cloned();
        let all = &self.snapshot.status.instances;
        all.iter().filter(move |instance| name.as_ref().is_none_or(|name| instance.name == *name))
    }

    /// The instance of this name.
    ///
    /// # Errors
    /// That there is none, with those that there are.
    pub(super) fn instance(&self, name: &InstanceName) -> Result<&InstanceStatus, Told> {
        let all = &self.snapshot.status.instances;
        all.iter().find(|instance| instance.name == *name).ok_or_else(|| {
            let known = match words::list(all.iter().map(|instance| &instance.name)) {
                none if none.is_empty() => "none at all".to_owned(),
                names => names,
            };
            Told::problem(Exit::Refused, format!("there is no instance {name}; there are: {known}"))
        })
    }

    /// The snapshot, or the object of the instance that is named, as it came.
    pub(super) fn json(&self, name: Option<&InstanceName>) -> String {
        let place = name.and_then(|name| {
            self.snapshot.status.instances.iter().position(|instance| instance.name == *name)
        });
        let part = place.and_then(|place| self.raw()?.instances.get(place).copied());
        part.map_or_else(|| self.line.clone(), |part| part.get().to_owned())
    }

    /// The events, as they came, in their order.
    pub(super) fn raw_events(&self) -> Vec<&str> {
        let events = self.raw().map(|raw| raw.events).unwrap_or_default();
        events.into_iter().map(RawValue::get).collect()
    }

    /// It was understood before, so this is only `None` where a part has changed its shape.
    fn raw(&self) -> Option<Raw<'_>> {
        serde_json::from_str(&self.line).ok()
    }
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
    fn said(name: &str, text: &'static [u8]) -> Result<Seen, Trouble> {
        let path = PathBuf::from(format!("/tmp/vipctl-{}-{name}.sock", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let daemon = thread::spawn(move || listener.accept().unwrap().0.write_all(text).unwrap());
        let seen = read(&path);
        daemon.join().unwrap();
        fs::remove_file(&path).unwrap();
        seen
    }

    /// Rule: what is no snapshot of our format is never taken for one, and says why.
    #[test]
    fn other_answers_are_not_taken_for_snapshots() {
        let trouble = said("newer", b"{\"format\":2}\n").unwrap_err().to_string();
        assert!(trouble.contains("its format is 2, and this vipctl knows 1"), "{trouble}");
        let trouble = said("half", b"{\"format\":1").unwrap_err().to_string();
        assert!(trouble.contains("EOF while parsing"), "{trouble}");
        let trouble = said("lacking", b"{\"format\":1}\n").unwrap_err().to_string();
        assert!(trouble.contains("missing field"), "{trouble}");
        assert!(matches!(said("busy", b""), Err(Trouble::Busy(_))));
    }
}
