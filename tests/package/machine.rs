//! A booted Debian on a host of the segment.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::debian::{self, ControlGroup};
use super::lab::{Host, Lab, Process, Segment, is_over, within};

/// Far longer than a boot or a shutdown may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a command said, standard error included, and whether it succeeded.
pub(crate) struct Said {
    pub(crate) success: bool,
    pub(crate) text: String,
}

/// A disk with Debian on it, and the network of the machine that boots from it.
pub(crate) struct Machine {
    name: &'static str,
    host: Host,
    disk: PathBuf,
    running: Option<Running>,
}

/// The container, whose first process is systemd.
struct Running {
    container: Process,
    init: u32,
    _group: ControlGroup,
}

impl Machine {
    /// A new one, switched off.
    pub(crate) fn new(lab: &Lab, segment: &Segment, name: &'static str, number: u8) -> Self {
        let directory = lab.directory().join(name);
        for part in ["upper", "work", "root"] {
            fs::create_dir_all(directory.join(part)).expect("a directory for a disk");
        }
        let disk = directory.join("root");
        let options = format!(
            "lowerdir={},upperdir={1}/upper,workdir={1}/work",
            debian::root().display(),
            directory.display()
        );
        let overlay = Some("overlay");
        mount(overlay, &disk, overlay, MsFlags::empty(), Some(options.as_str())).expect("a disk");
        fs::write(disk.join("etc/hostname"), format!("{name}\n")).expect("the machine's name");
        lab.owners().machines();
        Self { name, host: segment.host(number), disk, running: None }
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Its place on the segment.
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// Switches it on and waits until systemd has started everything, or has failed to.
    pub(crate) fn boot(&mut self) {
        let group = ControlGroup::new(&format!("{}-{}", self.host.unique_name(), self.name));
        let mut command = container(&group, &self.host, self.name);
        command.args(["--boot", "--console=pipe", "--directory"]).arg(&self.disk);
        let log = self.host.directory().join(format!("{}-console.log", self.name));
        let container = Process::start(&mut command, &log);
        let mut init = None;
        within(PATIENCE, "the container has a first process", || {
            init = group.init();
            init.is_some()
        });
        let init = init.expect("the loop ended with it");
        self.running = Some(Running { container, init, _group: group });
        within(PATIENCE, &format!("{} has booted", self.name), || {
            let state = self.run("systemctl is-system-running").text;
            ["running", "degraded"].contains(&state.trim())
        });
    }

    /// Pulls the plug: everything ends at once, and nothing is left in the memory of its kernel.
    pub(crate) fn cut_power(&mut self, segment: &Segment) {
        segment.cable(&self.host, "down");
        self.running.take().expect("it runs").container.kill();
        let host = &self.host;
        host.run("ip address flush dev eth0");
        host.run(&format!("ip address add {}/24 dev eth0", host.address()));
        segment.cable(host, "up");
    }

    /// Shuts it down as an operator does.
    pub(crate) fn shut_down(&mut self) {
        self.run("systemctl poweroff");
        self.running.take().expect("it runs").container.exit_within(PATIENCE);
    }

    /// Runs a script there as root.
    pub(crate) fn run(&self, script: &str) -> Said {
        let init = self.running.as_ref().expect("it runs").init;
        let mut enter = Command::new("nsenter");
        enter.arg(format!("--target={init}"));
        enter.args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]);
        enter.arg("sh").args(["-c", &format!("exec 2>&1; cd /root\n{script}")]);
        self.host.deed(script, || said(&mut enter))
    }

    /// Runs a script in its files, in a container in which no systemd runs.
    pub(crate) fn run_switched_off(&self, script: &str) -> Said {
        let group = ControlGroup::new(&format!("{}-{}-off", self.host.unique_name(), self.name));
        let mut command = container(&group, &self.host, self.name);
        command.args(["--pipe", "--directory"]).arg(&self.disk);
        said(command.args(["sh", "-c", &format!("exec 2>&1; cd /root\n{script}")]))
    }

    /// Runs a script that has to succeed, and returns what it said.
    #[track_caller]
    pub(crate) fn does(&self, script: &str) -> String {
        let said = self.run(script);
        assert!(said.success, "{}: '{script}' failed: {}", self.name, said.text);
        said.text
    }

    /// The Status line of `systemctl status vipd`.
    pub(crate) fn status(&self) -> String {
        self.property("StatusText")
    }

    /// A property of vipd.service.
    pub(crate) fn property(&self, name: &str) -> String {
        let text = self.run(&format!("systemctl show --value --property={name} vipd")).text;
        text.trim().to_owned()
    }

    /// Waits until the Status line contains all of this.
    #[track_caller]
    pub(crate) fn reports(&self, expected: &[&str]) {
        let mut status = String::new();
        let what = format!("the status of {} says {expected:?}", self.name);
        let start = Instant::now();
        while !is_over(PATIENCE, start) {
            status = self.status();
            if expected.iter().all(|text| status.contains(text)) {
                return;
            }
            sleep(Duration::from_millis(100));
        }
        panic!("not within {PATIENCE:?}: {what}; it says '{status}'");
    }

    /// What vipd has logged.
    pub(crate) fn journal(&self) -> String {
        self.run("journalctl --unit=vipd --output=short-precise --no-pager").text
    }

    /// Puts a file there, whether it runs or not: it is the same file system.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.disk.join(path.trim_start_matches('/'));
        let directory = path.parent().expect("a file has a directory");
        fs::create_dir_all(directory).expect("the file's directory");
        fs::write(&path, text).expect("a file of the machine");
    }

    /// Copies a file into `/root`, under this name.
    pub(crate) fn bring(&self, file: &Path, name: &str) {
        fs::copy(file, self.disk.join("root").join(name)).expect("a copy");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.running.is_some() {
            let log = self.host.directory().join(format!("{}-vipd.log", self.name));
            let _ = fs::write(log, self.journal());
        }
        self.running = None;
        let _ = umount2(&self.disk, MntFlags::MNT_DETACH);
    }
}

/// A container on this host, without what is inside.
fn container(group: &ControlGroup, host: &Host, name: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "echo $$ > \"$1\"; shift; exec systemd-nspawn \"$@\"", "sh"]);
    command.arg(group.processes()).args(["--quiet", "--register=no", "--keep-unit"]);
    command.arg(format!("--network-namespace-path={}", host.namespace_path().display()));
    command.arg(format!("--machine=vipd-{}-{name}", host.unique_name()));
    command.arg("--capability=all");
    // The settings of its own network (`sysctl(8)`) are its own, as on any machine.
    command.env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network");
    command
}

fn said(command: &mut Command) -> Said {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let settings = [("PATH", path), ("LANG", "C.UTF-8"), ("DEBIAN_FRONTEND", "noninteractive")];
    let output = command.env_clear().envs(settings).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|why| panic!("cannot run {command:?}: {why}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Said { success: output.status.success(), text }
}
