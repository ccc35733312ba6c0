//! What this node holds, written down where `vipd release` finds it when the daemon is dead
//! (invariant 4, write down, then touch).
//!
//! The file is replaced as a whole by renaming another one onto it, so whoever reads it sees
//! either the old list or the new one. It is not synced to a disk: the runtime directory is in
//! memory, and what the file describes dies with the machine as the file does.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use nix::net::if_::if_indextoname;
use serde::{Deserialize, Serialize};

use super::directory::Directory;
use crate::engine::HeldRouter;
use crate::model::{InterfaceName, Routing};

/// The format that this version writes, and the only one that it reads.
const FORMAT: u32 = 1;

/// The name of the file in the runtime directory.
const NAME: &str = "held.json";

/// Where the list is kept.
#[derive(Clone, Debug)]
pub(crate) struct HeldFile {
    directory: Directory,
    path: PathBuf,
    configuration: Option<PathBuf>,
}

/// The indices of interfaces by their names.
pub(crate) type Indices = BTreeMap<InterfaceName, u32>;

/// The file as it is written.
#[derive(Serialize)]
struct Written<'a, R> {
    format: u32,
    /// Where secrets stand that farewells lack.
    #[serde(skip_serializing_if = "Option::is_none")]
    configuration: Option<&'a Path>,
    routers: &'a [R],
    /// By which an interface is found that has another name by then.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    indices: &'a Indices,
}

/// As much of a file as tells whether the rest can be read.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// The rest.
#[derive(Default, Deserialize)]
struct Content {
    #[serde(default)]
    configuration: Option<PathBuf>,
    routers: Vec<HeldRouter>,
    #[serde(default)]
    indices: Indices,
}

/// Why the list cannot be read.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// The system does not let us.
    File {
        /// Which file.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
    /// It is not what a vipd of this version writes.
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, error } => write!(
                f,
                "{}: cannot be read: {error}; it says which addresses vipd has put on this system",
                path.display()
            ),
            Self::Content { path, why } => write!(
                f,
                "{path}: {why}. It should say which addresses vipd has put on this system, so look \
                 for them (ip address), take off what does not belong here (ip address del \
                 ADDRESS/PREFIX dev INTERFACE), then delete {path}",
                path = path.display()
            ),
        }
    }
}

impl HeldFile {
    /// The one in this runtime directory, which need not exist.
    pub(crate) fn in_directory(directory: &Directory) -> Self {
        let path = directory.path().join(NAME);
        Self { directory: directory.clone(), path, configuration: None }
    }

    /// The same, which names this configuration in what it writes.
    pub(crate) fn naming(self, configuration: &Path) -> Self {
        Self { configuration: std::path::absolute(configuration).ok(), ..self }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the list. Without anything in it there is no file.
    ///
    /// # Errors
    /// The system's error; then the list is as it was before.
    pub(crate) fn write(&self, routers: &[HeldRouter]) -> io::Result<()> {
        self.replace(routers, &Indices::new())
    }

    /// The same with routers in whatever form serializes like [`HeldRouter`], and with the indices
    /// of the interfaces that they name.
    ///
    /// # Errors
    /// The system's error; then the list is as it was before.
    pub(crate) fn replace<R: Serialize>(&self, routers: &[R], indices: &Indices) -> io::Result<()> {
        if routers.is_empty() {
            return self.directory.remove(NAME);
        }
        let configuration = self.configuration.as_deref();
        let written = Written { format: FORMAT, configuration, routers, indices };
        self.directory.replace(NAME, &serde_json::to_vec(&written)?)
    }

    /// The list, with the names that the interfaces have now; empty where there is no file.
    ///
    /// # Errors
    /// That it cannot be read, or not be understood.
    pub(crate) fn read(&self) -> Result<Vec<HeldRouter>, Unreadable> {
        let Content { mut routers, indices, .. } = self.read_all()?;
        let names = renamed(&indices);
        for router in &mut routers {
            rename(router, &names);
        }
        Ok(routers)
    }

    /// The configuration that the list names; `None` where it names none or cannot be read.
    pub(crate) fn configuration(&self) -> Option<PathBuf> {
        self.read_all().ok()?.configuration
    }

    fn read_all(&self) -> Result<Content, Unreadable> {
        let path = self.path.clone();
        let text = match self.directory.read(NAME) {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(Content::default()),
            Err(error) => return Err(Unreadable::File { path, error }),
        };
        let why = match parse(&text) {
            Ok(routers) => return Ok(routers),
            Err(why) => why,
        };
        Err(Unreadable::Content { path, why })
    }
}

/// The interfaces that have another name now.
fn renamed(indices: &Indices) -> BTreeMap<&InterfaceName, InterfaceName> {
    let now = |index: u32| {
        let name = if_indextoname(index).ok()?.into_string().ok()?;
        InterfaceName::try_from(name.as_str()).ok()
    };
    let all = indices.iter().filter_map(|(before, index)| Some((before, now(*index)?)));
    all.filter(|(before, now)| *before != now).collect()
}

fn rename(router: &mut HeldRouter, names: &BTreeMap<&InterfaceName, InterfaceName>) {
    let of_addresses = router.addresses.iter_mut().map(|held| &mut held.interface);
    let of_farewells = router.farewells.iter_mut().map(|farewell| &mut farewell.interface);
    let of_routes = router.routing.iter_mut().filter_map(|routing| match routing {
        Routing::Route(route) => route.dev.as_mut(),
        Routing::Rule(_) => None,
    });
    for interface in of_addresses.chain(of_farewells).chain(of_routes) {
        if let Some(now) = names.get(&*interface) {
            interface.clone_from(now);
        }
    }
}

fn parse(text: &[u8]) -> Result<Content, String> {
    let damaged = |error: serde_json::Error| format!("the file is damaged: {error}");
    let Format { format } = serde_json::from_slice(text).map_err(damaged)?;
    if format != FORMAT {
        return Err(format!(
            "another version of vipd wrote it: its format is {format}, this version reads {FORMAT}"
        ));
    }
    serde_json::from_slice(text).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::daemon::runtime::tests::Scratch;
    use crate::engine::{Farewell, HeldAddress};
    use crate::model::{Scope, VirtualAddress};

    fn router(last: u8) -> HeldRouter {
        let address = VirtualAddress {
            address: [10, 0, 0, last].into(),
            prefix: 24,
            dev: None,
            label: Some("eth0:web".to_owned()),
            scope: Scope::Global,
        };
        let interface = "eth0".try_into().unwrap();
        let farewell = Farewell {
            interface: "eth0".try_into().unwrap(),
            through: None,
            source: [10, 0, 0, 11].into(),
            destination: [224, 0, 0, 18].into(),
            message: vec![0x31, 51, 0, 1],
            secret: None,
        };
        HeldRouter {
            instance: "web".try_into().unwrap(),
            addresses: vec![HeldAddress { interface, address }],
            routing: Vec::new(),
            farewells: vec![farewell],
            devices: Vec::new(),
        }
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Rule: what is written is read again, each list replaces the one before, and an empty one
    /// leaves no file.
    #[test]
    fn lists_replace_each_other() {
        let directory = Scratch::new("lists");
        let held = HeldFile::in_directory(&directory.open());
        assert_eq!(held.read().unwrap(), []);
        for list in [vec![router(1), router(2)], vec![router(2)], vec![router(1)]] {
            held.write(&list).unwrap();
            assert_eq!(held.read().unwrap(), list);
            assert_eq!(names(directory.path()), [NAME]);
        }
        held.write(&[]).unwrap();
        held.write(&[]).unwrap();
        assert!(names(directory.path()).is_empty());
    }

    /// Rule: a reader never sees a part of a list, whenever it looks.
    #[test]
    fn no_part_of_a_list_is_ever_seen() {
        let directory = Scratch::new("parts");
        let held = HeldFile::in_directory(&directory.open());
        let lists: Vec<Vec<HeldRouter>> =
            [1, 40, 2].map(|count| (1..=count).map(router).collect()).to_vec();
        held.write(&lists[0]).unwrap();
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| {
                for round in 0..300 {
                    held.write(&lists[round % 3]).unwrap();
                }
            });
            while !writing.is_finished() {
                let seen = held.read().unwrap();
                assert!(lists.contains(&seen), "{} routers", seen.len());
            }
        });
    }

    /// Rule: where a list cannot be written, the one before stays.
    #[test]
    fn a_failure_leaves_the_list_as_it_was() {
        let directory = Scratch::new("failure");
        let held = HeldFile::in_directory(&directory.open());
        held.write(&[router(1)]).unwrap();
        fs::create_dir(directory.path().join("held.json.new")).unwrap();
        assert!(held.write(&[router(2)]).is_err());
        assert_eq!(held.read().unwrap(), [router(1)]);
    }

    /// Rule: a list of another format, or none at all, is refused by its name, with what to do.
    #[test]
    fn other_content_is_refused() {
        let directory = Scratch::new("content");
        let held = HeldFile::in_directory(&directory.open());
        held.write(&[router(1)]).unwrap();
        let text = fs::read_to_string(held.path()).unwrap();
        let newer = text.replace(r#"{"format":1,"#, r#"{"format":2,"#);
        assert_ne!(newer, text);
        let cut = &text[..text.len() / 2];
        for (bad, what) in [(newer.as_str(), "another version"), (cut, "damaged"), ("", "damaged")]
        {
            fs::write(held.path(), bad).unwrap();
            let error = held.read().unwrap_err().to_string();
            let path = held.path().display().to_string();
            assert!(error.starts_with(&path) && error.contains(what), "{error}");
            assert!(error.contains("ip address del"), "{error}");
            assert_eq!(fs::read_to_string(held.path()).unwrap(), bad, "it was touched");
        }
    }
}
