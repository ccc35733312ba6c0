//! The daemon's own copy of what it holds, and when it is written down (invariant 4, write down,
//! then touch).
//!
//! The engine's notes change this copy only. The loop has it written once: before changes go to the
//! kernel, and otherwise at the end of a turn. Each router is encoded when it changes, so that a
//! write with a thousand of them copies text and does nothing else.

use std::collections::BTreeMap;
use std::io;

use serde_json::value::{RawValue, to_raw_value};

use super::held::{HeldFile, Indices};
use crate::engine::HeldRouter;
use crate::model::{InstanceName, InterfaceName};

/// The addresses that this node holds.
#[derive(Debug)]
pub(crate) struct Holdings {
    file: HeldFile,
    /// Those that hold something, as they stand in the file.
    routers: BTreeMap<InstanceName, Box<RawValue>>,
    /// The indices of the interfaces, the last that are known.
    indices: Indices,
    /// The news since the last attempt to write.
    noted: Vec<HeldRouter>,
    /// True if the file may differ from `routers`.
    differs: bool,
}

/// The notes that could not be written down.
#[derive(Debug)]
pub(crate) struct NotWritten {
    /// The news.
    pub(crate) routers: Vec<HeldRouter>,
    /// The system's error.
    pub(crate) error: io::Error,
}

impl Holdings {
    /// Nothing yet, to be written to this file.
    pub(crate) fn new(file: HeldFile) -> Self {
        let (routers, indices) = (BTreeMap::new(), Indices::new());
        Self { file, routers, indices, noted: Vec::new(), differs: false }
    }

    /// The interface of this name has this index.
    pub(crate) fn learn(&mut self, interface: &InterfaceName, index: u32) {
        if self.indices.get(interface) != Some(&index) {
            self.indices.insert(interface.clone(), index);
            self.differs |= !self.routers.is_empty();
        }
    }

    /// Remembers what these instances hold from now on.
    pub(crate) fn note(&mut self, routers: Vec<HeldRouter>) {
        self.noted.extend(routers);
    }

    /// Writes down what is new, if anything is.
    ///
    /// # Errors
    /// The part that is not in the file; the next attempt writes it too.
    pub(crate) fn write_down(&mut self) -> Result<(), NotWritten> {
        if self.noted.is_empty() {
            return Ok(());
        }
        let noted = std::mem::take(&mut self.noted);
        match self.write(&noted) {
            Ok(()) => Ok(()),
            Err(error) => Err(NotWritten { routers: noted, error }),
        }
    }

    fn write(&mut self, noted: &[HeldRouter]) -> io::Result<()> {
        for router in noted {
            self.take(router)?;
        }
        if self.differs {
            let all: Vec<&RawValue> = self.routers.values().map(Box::as_ref).collect();
            self.file.replace(&all, &self.indices)?;
            self.differs = false;
        }
        Ok(())
    }

    fn take(&mut self, router: &HeldRouter) -> io::Result<()> {
        if router.is_empty() {
            self.differs |= self.routers.remove(&router.instance).is_some();
            return Ok(());
        }
        let text = to_raw_value(router)?;
        let before = self.routers.get(&router.instance);
        if before.is_none_or(|before| before.get() != text.get()) {
            self.routers.insert(router.instance.clone(), text);
            self.differs = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::daemon::runtime::tests::Scratch;
    use crate::engine::HeldAddress;
    use crate::model::{Scope, VirtualAddress};

    /// This instance with one address for each of these last bytes.
    fn router(instance: &str, last: &[u8]) -> HeldRouter {
        let address = |last: &u8| VirtualAddress {
            address: [10, 0, 0, *last].into(),
            prefix: 24,
            dev: None,
            label: None,
            scope: Scope::Global,
        };
        let held = |last: &u8| HeldAddress {
            interface: "eth0".try_into().unwrap(),
            address: address(last),
        };
        HeldRouter {
            instance: instance.try_into().unwrap(),
            addresses: last.iter().map(held).collect(),
            routing: Vec::new(),
            farewells: Vec::new(),
            devices: Vec::new(),
        }
    }

    /// Rule: a note replaces what was known of its instance and of no other; an empty one ends it,
    /// and with the last one the file.
    #[test]
    fn a_note_replaces_what_it_names() {
        let directory = Scratch::new("notes");
        let file = HeldFile::in_directory(&directory.open());
        let mut holdings = Holdings::new(file.clone());
        holdings.note(vec![router("web", &[1]), router("db", &[2])]);
        holdings.write_down().unwrap();
        assert_eq!(file.read().unwrap(), [router("db", &[2]), router("web", &[1])]);
        holdings.note(vec![router("web", &[1, 3])]);
        holdings.note(vec![router("db", &[])]);
        holdings.write_down().unwrap();
        assert_eq!(file.read().unwrap(), [router("web", &[1, 3])]);
        holdings.note(vec![router("web", &[])]);
        holdings.write_down().unwrap();
        assert!(!file.path().exists());
    }

    /// Bug guarded: a thousand instances that start together must not lead to a thousand files.
    /// Notes write nothing, and a write without news does not touch the file.
    #[test]
    fn notes_are_written_once() {
        let directory = Scratch::new("once");
        let file = HeldFile::in_directory(&directory.open());
        let mut holdings = Holdings::new(file.clone());
        for number in 0..1000 {
            holdings.note(vec![router(&format!("i{number}"), &[1])]);
            assert!(!file.path().exists(), "written after note {number}");
        }
        holdings.write_down().unwrap();
        assert_eq!(file.read().unwrap().len(), 1000);
        fs::remove_file(file.path()).unwrap();
        holdings.write_down().unwrap();
        holdings.note(vec![router("i7", &[1])]);
        holdings.write_down().unwrap();
        assert!(!file.path().exists(), "what is in the file already was written again");
    }

    /// Rule: what could not be written is said, and is in the file with the next write that
    /// succeeds.
    #[test]
    fn a_failed_write_is_told_and_made_up_for() {
        let directory = Scratch::new("not-written");
        let file = HeldFile::in_directory(&directory.open());
        let mut holdings = Holdings::new(file.clone());
        let obstacle = directory.path().join("held.json.new");
        fs::create_dir(&obstacle).unwrap();
        holdings.note(vec![router("web", &[1])]);
        let failure = holdings.write_down().unwrap_err();
        assert_eq!(failure.routers, [router("web", &[1])]);
        fs::remove_dir(&obstacle).unwrap();
        holdings.note(vec![router("db", &[2])]);
        holdings.write_down().unwrap();
        assert_eq!(file.read().unwrap(), [router("db", &[2]), router("web", &[1])]);
    }

    /// Rule: the file names the index of each interface, so that what is on one that is renamed is
    /// found again.
    #[test]
    fn the_indices_stand_in_the_file() {
        let directory = Scratch::new("indices");
        let file = HeldFile::in_directory(&directory.open());
        let mut holdings = Holdings::new(file.clone());
        holdings.learn(&"eth0".try_into().unwrap(), 7);
        holdings.note(vec![router("web", &[1])]);
        holdings.write_down().unwrap();
        let text = fs::read_to_string(file.path()).unwrap();
        assert!(text.ends_with(r#""indices":{"eth0":7}}"#), "{text}");
    }
}
