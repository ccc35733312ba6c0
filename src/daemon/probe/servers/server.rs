//! A server program that runs for a test.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use super::scratch::{NOBODY, Scratch};
use crate::model::HostPort;

/// A running program; killed at the end.
pub(super) struct Server(Child);

impl Server {
    /// Starts a program, whose output goes to a file of its name in the scratch directory.
    pub(super) fn start(scratch: &Scratch, name: &str, arguments: &[impl AsRef<OsStr>]) -> Self {
        let log = File::create(scratch.path(&format!("{name}.{}.log", free().port()))).unwrap();
        let mut command = command(name, arguments);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self(command.spawn().unwrap())
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), signal).unwrap();
    }

    /// Kills it as a crash would.
    pub(super) fn crash(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program to its end, which must be a good one.
pub(super) fn run(name: &str, arguments: &[impl AsRef<OsStr>]) -> String {
    let output = command(name, arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}: {said} {complaint}", output.status);
    said
}

/// A program that dies with the test's thread, and that is not root.
fn command(name: &str, arguments: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(program("setpriv"));
    command.args(["--pdeathsig", "KILL"]);
    if geteuid().is_root() {
        let user = NOBODY.to_string();
        command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
    }
    command.arg(program(name)).args(arguments).env("LC_ALL", "C").current_dir("/");
    command
}

/// Where a program is: Debian keeps some where an ordinary user doesn't look, and PostgreSQL's
/// where nobody does.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut places: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    places.extend(std::env::split_paths(&path));
    places.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = places.iter().map(|place| place.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed: tests/run installs it"))
}

/// A loopback address that no other test has, with a port that nobody listens on there.
pub(super) fn free() -> SocketAddr {
    static COUNT: AtomicU8 = AtomicU8::new(0);
    let [.., high, low] = std::process::id().to_be_bytes();
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    // The last byte is never 255: that would be a broadcast address.
    let address = Ipv4Addr::new(127, number.max(1), high, low.clamp(1, 254));
    TcpListener::bind((address, 0)).unwrap().local_addr().unwrap()
}

/// The same as the configuration writes it.
pub(super) fn host_port(address: SocketAddr) -> HostPort {
    HostPort { host: address.ip().to_string(), port: address.port() }
}
