//! What all machines start from: the package, and a Debian that has never seen it.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, SystemTime};
use std::{env, io};

use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

/// Where the package is, in the environment.
const PACKAGE: &str = "VIPD_DEB";

/// Where the archive with the Debian machine is.
const ARCHIVE: &str = "VIPD_DEBIAN";

/// Where the machine's control groups are.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Makes what is missing, before the namespaces are entered: it needs the network, and files
/// that outlive the test. Then this program is started again with both in its environment; how
/// that has ended. `None`: both are there.
pub(crate) fn provide() -> Option<ExitCode> {
    let listing = env::args().any(|argument| argument == "--list");
    if listing || env::var_os(ARCHIVE).is_some() {
        return None;
    }
    let package = env::var(PACKAGE).unwrap_or_else(|_| output_of("packaging/build"));
    let archive = output_of("tests/package/root");
    let mut again = Command::new("/proc/self/exe");
    again.args(env::args_os().skip(1)).env(PACKAGE, package).env(ARCHIVE, archive);
    let code = again.status().expect("this program starts").code();
    Some(code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, Into::into))
}

fn output_of(script: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    let output = Command::new(&script).stderr(Stdio::inherit()).output();
    let output = output.unwrap_or_else(|why| panic!("cannot run {}: {why}", script.display()));
    assert!(output.status.success(), "{} failed: {}", script.display(), output.status);
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    fs::canonicalize(&path).expect("the path of what was made").display().to_string()
}

/// The package.
pub(crate) fn package() -> PathBuf {
    env::var_os(PACKAGE).expect("the package's path").into()
}

/// The same with a higher version, made in this directory.
pub(crate) fn newer_package(directory: &Path) -> PathBuf {
    let (tree, newer) = (directory.join("newer"), directory.join("vipd_newer.deb"));
    if newer.exists() {
        return newer;
    }
    let script = "set -e; dpkg-deb --raw-extract \"$1\" \"$2\"
        sed -i 's/^Version: .*/&+newer/' \"$2/DEBIAN/control\"
        dpkg-deb --build --root-owner-group -Znone \"$2\" \"$3\"";
    let mut repack = Command::new("sh");
    repack.args(["-c", script, "sh"]).arg(package()).arg(&tree).arg(&newer);
    let output = repack.output().expect("sh runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    newer
}

/// The unpacked Debian, which all machines read and none writes to.
pub(crate) fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let nothing = None::<&str>;
        // The programs see the processes of this namespace, and the control groups in the way that
        // a current Debian has them, whatever the machine below does.
        mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), nothing).expect("a /proc");
        if statfs(CGROUPS).expect("control groups").filesystem_type() != CGROUP2_SUPER_MAGIC {
            mount(Some("cgroup2"), CGROUPS, Some("cgroup2"), MsFlags::empty(), nothing)
                .expect("control groups of version 2");
        }
        let root = PathBuf::from("/run/debian");
        fs::create_dir(&root).expect("a directory for the root");
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).expect("its mode");
        let archive = File::open(env::var_os(ARCHIVE).expect("the archive's path"));
        let mut unpack = Command::new("tar");
        unpack.arg("-x").arg("-C").arg(&root).stdin(archive.expect("the archive"));
        assert!(unpack.status().expect("tar runs").success(), "the archive is not unpacked");
        root
    })
}

/// A control group for one machine, gone with all its processes when dropped.
pub(crate) struct ControlGroup(PathBuf);

impl ControlGroup {
    /// A new one, whose name begins so.
    pub(crate) fn new(name: &str) -> Self {
        let now = SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_nanos();
        let path = Path::new(CGROUPS).join(format!("vipd-test-{name}-{now}"));
        fs::create_dir(&path).expect("a control group");
        Self(path)
    }

    /// The file that takes processes in.
    pub(crate) fn processes(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }

    /// The first process of the machine in it, once there is one: the one that is number 1 in its
    /// own namespace (`proc_pid_status(5)`).
    pub(crate) fn init(&self) -> Option<u32> {
        let is_first = |process: &u32| {
            let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
            numbers.is_some_and(|numbers| numbers.split_whitespace().skip(1).eq(["1"]))
        };
        members(&self.0).into_iter().find(is_first)
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        // The kernel needs a moment to end a machine. One that stays is empty and does no harm.
        for _ in 0..100 {
            if remove(&self.0).is_ok() {
                return;
            }
            sleep(Duration::from_millis(20));
        }
    }
}

/// All processes of a control group and of those below it.
fn members(group: &Path) -> Vec<u32> {
    let own = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let mut all: Vec<u32> = own.lines().filter_map(|line| line.parse().ok()).collect();
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            all.extend(members(&entry.path()));
        }
    }
    all
}

fn remove(group: &Path) -> io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}
