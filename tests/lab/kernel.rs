//! Another kernel: User Mode Linux, a process like any other, for what not every kernel has been built
//! with (bonds, VLANs). A case runs there as the first process, on the file system of the machine.

use std::ffi::CStr;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;
use std::{env, thread};

use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::utsname::uname;

use super::{Case, Lab, in_namespaces};

/// Debian's package `user-mode-linux` installs both.
const KERNEL: &str = "linux.uml";
const MODULES: &str = "/usr/lib/uml/modules";

/// What the cases need of it.
const WANTED: [&str; 5] = ["ipv6", "veth", "bridge", "bonding", "8021q"];

/// Set on the kernel's command line, and so in the environment of its first process.
const INSIDE: &str = "VIPD_KERNEL";

/// The same: whether IPv6 is enabled or disabled.
const IPV6: &str = "VIPD_KERNEL_IPV6";

/// The last line of a case that passed there.
const PASSED: &str = "the case has passed";

/// Far longer than a case and the start of the kernel take.
const LONGEST: Duration = Duration::from_secs(600);

/// Boots the kernel, runs the case of that name there, and fails where it does.
pub(crate) fn boot(lab: &Lab, case: &str) {
    boot_with(lab, case, "enabled");
}

/// The same with what `ipv6.disable=1` does on a kernel's command line.
pub(crate) fn boot_without_ipv6(lab: &Lab, case: &str) {
    boot_with(lab, case, "disabled");
}

fn boot_with(lab: &Lab, case: &str, ipv6: &str) {
    let directory = lab.directory().display();
    let log = lab.directory().join("kernel.log");
    let mut command = Command::new(KERNEL);
    command
        .args(["mem=512M", "quiet", "root=none", "rootfstype=hostfs", "rootflags=/", "rw"])
        .args(["con=null", "con0=null,fd:1"])
        .args([format!("uml_dir={directory}"), format!("init={}", first_process(lab).display())])
        .args([format!("{INSIDE}=yes"), format!("{IPV6}={ipv6}")])
        .args(["VIPD_LAB=0", "PATH=/usr/sbin:/usr/bin"])
        .args(["--", case]);
    let kernel = super::Process::start(&mut command, &log);
    kernel.exit_within(LONGEST);
    let said = fs::read(&log).expect("what the kernel and the case wrote");
    let said = String::from_utf8_lossy(&said);
    let noted = format!("      {case}: ");
    said.lines().filter_map(|line| line.strip_prefix(&noted)).for_each(|what| lab.note(what));
    assert!(said.lines().any(|line| line == PASSED), "{case} failed in {KERNEL}");
}

/// A script that becomes this program. The kernel splits its command line at blanks, and a path of
/// this program or of what it tests may have some.
fn first_process(lab: &Lab) -> PathBuf {
    let path = lab.directory().join("first-process");
    let program = env::current_exe().expect("the path of this program");
    let programs = env::var("VIPD_PROGRAMS").ok();
    let programs = programs.map(|path| format!("export VIPD_PROGRAMS={}\n", quoted(&path)));
    let program = quoted(program.to_str().expect("a path in UTF-8"));
    let text = format!("#!/bin/sh\n{}exec {program} \"$@\"\n", programs.unwrap_or_default());
    fs::write(&path, text).expect("a script");
    fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("its mode");
    path
}

/// One word for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Whether this program is the first process of such a kernel.
pub(crate) fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// The `main` of the program in there: runs the case that [`boot`] asked for, and powers off.
pub(crate) fn run(cases: &[Case]) -> ExitCode {
    mount_system();
    let without_ipv6 = env::var(IPV6).is_ok_and(|said| said == "disabled");
    for name in WANTED {
        load(name, if without_ipv6 && name == "ipv6" { c"disable=1" } else { c"" });
    }
    in_namespaces(|| {
        let name = env::args().nth(1).unwrap_or_default();
        let case = cases.iter().find(|case| case.name == name).expect("a case of that name");
        let lab = Lab::watched(case.name);
        match lab.attempt_and_judge(|| (case.run)(&lab)) {
            Ok(()) => eprintln!("{PASSED}"),
            Err(why) => eprintln!("{why}\n{}", lab.logs()),
        }
        ExitCode::SUCCESS
    });
    // What was written last is still on its way to the console.
    thread::sleep(Duration::from_secs(1));
    match reboot(RebootMode::RB_POWER_OFF) {
        Ok(never) => match never {},
        Err(_) => ExitCode::FAILURE,
    }
}

/// Nothing goes over /tmp: the programs that are tested may be below it. The cases keep their files
/// in /run, which is the lab's own.
fn mount_system() {
    for (kind, place) in [("proc", "/proc"), ("sysfs", "/sys")] {
        mount(Some(kind), place, Some(kind), MsFlags::empty(), None::<&str>)
            .unwrap_or_else(|why| panic!("cannot mount {place}: {why}"));
    }
}

/// Loads a module with its parameters after those that it needs (`modules.dep(5)`).
fn load(name: &str, parameters: &CStr) {
    let release = uname().expect("uname").release().to_string_lossy().into_owned();
    let modules = Path::new(MODULES).join(release);
    let list = fs::read_to_string(modules.join("modules.dep")).expect("the list of modules");
    let (module, needed) = list
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(module, _)| module.ends_with(&format!("/{name}.ko")))
        .unwrap_or_else(|| panic!("{KERNEL} has no module {name}"));
    // The last one is what the others build on.
    let needed = needed.split_whitespace().rev().map(|one| (one, c""));
    for (one, parameters) in needed.chain([(module, parameters)]) {
        let file = File::open(modules.join(one)).expect("a module of the list");
        match finit_module(&file, parameters, ModuleInitFlags::empty()) {
            // Something else needed it, too.
            Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
            Err(why) => panic!("cannot load {one}: {why}"),
        }
    }
}
