//! FRR's vrrpd, with the zebra that it needs.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::unistd::User;

use crate::lab::{Host, Lab, Process, VIP, VRID, within};
use crate::router::{Router, Settings};

/// Where the packages of Debian and Ubuntu put the daemons.
const DAEMONS: &str = "/usr/lib/frr";

/// The interface with the virtual MAC that FRR wants to be given for each virtual router.
const MACVLAN: &str = "vrrp4";

/// `zebra` and `vrrpd` on a host.
pub(crate) struct Frr {
    vrrpd: Process,
    zebra: Process,
}

impl Router for Frr {
    fn start(host: &Host, settings: Settings) -> Self {
        assert!(
            Lab::started_by_root(),
            "FRR's daemons set their groups, which the user namespace of an ordinary user \
             refuses: run this as root, as tests/run does with sudo"
        );
        let directory = directory(host);
        if !directory.exists() {
            prepare(host, &directory);
        }
        let socket = directory.join("zebra.socket");
        let _ = fs::remove_file(&socket);
        let zebra = daemon(host, "zebra", "log stdout debugging\n");
        within(Duration::from_secs(10), "zebra listens", || socket.exists());
        let vrrpd = daemon(host, "vrrpd", &configuration(settings));
        Self { vrrpd, zebra }
    }

    /// The macvlan has the address all the time; vrrpd takes its carrier away (`protodown`)
    /// while it isn't active.
    fn holds(host: &Host) -> bool {
        host.is_running(MACVLAN)
    }

    fn kill(self) {
        self.vrrpd.kill();
        self.zebra.kill();
    }

    fn stop(self) {
        let status = self.vrrpd.stop();
        assert!(status.success(), "vrrpd ended with {status}");
        self.zebra.stop();
    }
}

/// Makes what the administrator of an FRR router has to make.
fn prepare(host: &Host, directory: &Path) {
    let user = User::from_name("frr").expect("the list of users");
    let user = user.expect("the user frr, from Debian's package frr");
    fs::create_dir(directory).expect("a directory for FRR");
    chown(directory, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("FRR's directory");
    host.run(&format!(
        "ip link add name {MACVLAN} link eth0 address 00:00:5e:00:01:{VRID:02x} type macvlan mode bridge"
    ));
    host.run(&format!("ip link set {MACVLAN} addrgenmode none"));
    host.run(&format!("ip address add {VIP}/24 dev {MACVLAN}"));
    host.run(&format!("ip link set {MACVLAN} up"));
}

fn configuration(settings: Settings) -> String {
    let Settings { version, priority, interval, preempt, .. } = settings;
    let interval = interval.as_millis();
    let preempt = if preempt { "" } else { "no " };
    format!(
        "log stdout debugging
        interface eth0
         vrrp {VRID} version {version}
         vrrp {VRID} priority {priority}
         vrrp {VRID} advertisement-interval {interval}
         {preempt}vrrp {VRID} preempt
         vrrp {VRID} ip {VIP}
        "
    )
}

fn daemon(host: &Host, name: &str, configuration: &str) -> Process {
    let directory = directory(host);
    let file = |ending: &str| directory.join(format!("{name}.{ending}"));
    fs::write(file("conf"), configuration).expect("a configuration");
    let mut command = Command::new(Path::new(DAEMONS).join(name));
    command.args(["--user", "frr", "--group", "frr", "--vty_port", "0"]);
    command.arg("--config_file").arg(file("conf"));
    command.arg("--pid_file").arg(file("pid"));
    command.arg("--socket").arg(directory.join("zebra.socket"));
    command.arg("--vty_socket").arg(&directory);
    host.start(&mut command, name)
}

fn directory(host: &Host) -> PathBuf {
    host.directory().join(format!("{}-frr", host.number()))
}
