//! Which programs are tested.

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

/// Their place inside the lab, wherever they were built: a path without blanks, which other users
/// can reach, and over which nothing of the lab is mounted.
const HERE: &str = "/run/programs";

/// `vipd` or `vipctl`: of the directory `VIPD_PROGRAMS`, where `tests/run` has what is shipped, or as
/// they were built beside this test.
pub(crate) fn program(name: &str) -> String {
    assert!(["vipd", "vipctl"].contains(&name), "no program of ours: {name}");
    format!("{HERE}/{name}")
}

/// Their directory, open before anything is mounted over it.
pub(super) fn directory() -> io::Result<File> {
    let built = Path::new(env!("CARGO_BIN_EXE_vipd")).parent();
    let built = built.map(Path::to_owned).unwrap_or_default();
    let path = env::var_os("VIPD_PROGRAMS").map_or(built, PathBuf::from);
    let said = |why: io::Error| io::Error::new(why.kind(), format!("{}: {why}", path.display()));
    File::open(&path).map_err(said)
}

/// Shows them where [`program`] says that they are.
pub(super) fn show(directory: &File) -> io::Result<()> {
    fs::create_dir(HERE)?;
    let from = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    let nothing = None::<&str>;
    mount(Some(&from), HERE, nothing, MsFlags::MS_BIND | MsFlags::MS_REC, nothing)?;
    Ok(())
}
