//! The programs under test.

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

/// The place of the programs inside the lab, wherever they were built: a path without blanks that
/// other users can reach. Nothing of the lab is mounted over it.
const HERE: &str = "/run/programs";

/// The path of `vipd` or `vipctl`. The programs come from the directory `VIPD_PROGRAMS`, where
/// `tests/run` has the shipped ones, or else from the build beside this test.
pub(crate) fn program(name: &str) -> String {
    assert!(["vipd", "vipctl"].contains(&name), "no program of ours: {name}");
    format!("{HERE}/{name}")
}

/// Opens the directory of the programs, before anything is mounted over it.
pub(super) fn directory() -> io::Result<File> {
    let built = Path::new(env!("CARGO_BIN_EXE_vipd")).parent();
    let built = built.map(Path::to_owned).unwrap_or_default();
    let path = env::var_os("VIPD_PROGRAMS").map_or(built, PathBuf::from);
    let said = |why: io::Error| io::Error::new(why.kind(), format!("{}: {why}", path.display()));
    File::open(&path).map_err(said)
}

/// Mounts the programs at the place that [`program`] names.
pub(super) fn show(directory: &File) -> io::Result<()> {
    fs::create_dir(HERE)?;
    let from = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    let nothing = None::<&str>;
    mount(Some(&from), HERE, nothing, MsFlags::MS_BIND | MsFlags::MS_REC, nothing)?;
    Ok(())
}
