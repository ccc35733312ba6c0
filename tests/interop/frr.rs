//! FRR's vrrpd, with the zebra that it needs.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::User;

use crate::lab::{
    Addresses, BOUND, Host, LINK_LOCAL_VIP, Lab, Process, RouterSettings, VIP, VIP6, VRID, within,
};
use crate::router::Router;

/// Where the packages of Debian and Ubuntu put the daemons.
const DAEMONS: &str = "/usr/lib/frr";

/// The interface with the virtual MAC that FRR wants to be given for each virtual router.
fn macvlan(vip: IpAddr) -> &'static str {
    if vip.is_ipv6() { "vrrp6" } else { "vrrp4" }
}

/// `zebra` and `vrrpd` on a host.
pub(crate) struct Frr {
    vrrpd: Process,
    zebra: Process,
}

impl Router for Frr {
    fn start(host: &Host, settings: RouterSettings) -> Self {
        assert!(
            Lab::started_by_root(),
            "FRR's daemons set their groups, which the user namespace of an ordinary user \
             refuses: run this as root, as tests/run does with sudo"
        );
        let directory = directory(host);
        if !directory.exists() {
            prepare(&directory);
            settings.addresses.all().into_iter().for_each(|vip| add_macvlan(host, vip));
            if settings.virtual_mac {
                // Otherwise eth0 answers for the virtual address too, and asks with it.
                host.run("sysctl -qw net.ipv4.conf.eth0.arp_ignore=1");
                host.run("sysctl -qw net.ipv4.conf.eth0.arp_announce=2");
            }
        }
        let socket = directory.join("zebra.socket");
        let _ = fs::remove_file(&socket);
        let zebra = daemon(host, "zebra", "log stdout debugging\n");
        within(BOUND, "zebra listens", || socket.exists());
        let vrrpd = daemon(host, "vrrpd", &configuration(settings));
        Self { vrrpd, zebra }
    }

    /// The macvlan has the address all the time; vrrpd takes its carrier away (`protodown`)
    /// while it isn't active.
    fn holds(host: &Host, vip: IpAddr) -> bool {
        host.is_running(macvlan(vip))
    }

    /// The kernel would go on answering on the macvlan, with the same Ethernet address as the other
    /// router's, and the switch would look for that at both: so it is the machine that goes.
    fn kill(self, host: &Host) {
        self.vrrpd.kill();
        self.zebra.kill();
        for macvlan in ["vrrp4", "vrrp6"].into_iter().filter(|name| host.is_running(name)) {
            host.run(&format!("ip link set {macvlan} protodown on"));
        }
    }

    fn stop(self) {
        let status = self.vrrpd.stop();
        assert!(status.success(), "vrrpd ended with {status}");
        self.zebra.stop();
    }
}

/// Makes the directory in which FRR's daemons find each other.
fn prepare(directory: &Path) {
    let user = User::from_name("frr").expect("the list of users");
    let user = user.expect("the user frr, from Debian's package frr");
    fs::create_dir(directory).expect("a directory for FRR");
    chown(directory, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("FRR's directory");
}

/// Makes what the administrator of an FRR router has to make.
fn add_macvlan(host: &Host, vip: IpAddr) {
    let macvlan = macvlan(vip);
    let family = if vip.is_ipv6() { "02" } else { "01" };
    host.run(&format!(
        "ip link add name {macvlan} link eth0 address 00:00:5e:00:{family}:{VRID:02x} type macvlan mode bridge"
    ));
    host.run(&format!("ip link set {macvlan} addrgenmode none"));
    match vip {
        IpAddr::V4(_) => {
            host.run(&format!("ip address add {vip}/24 dev {macvlan}"));
        }
        // Over IPv6 vrrpd advertises from the macvlan's own link-local address. The host's goes there,
        // and eth0 gets another one: without any, the host finds no neighbours.
        IpAddr::V6(_) => {
            let own = host.link_local();
            host.run(&format!("ip address del {own}/64 dev eth0"));
            host.run(&format!("ip address add fe80::1:{}/64 dev eth0 nodad", host.number()));
            for address in [own.into(), vip] {
                host.run(&format!("ip address add {address}/64 dev {macvlan} nodad"));
            }
        }
    }
    host.run(&format!("ip link set {macvlan} up"));
    // vrrpd takes the macvlan's carrier away at once. Without it the kernel would not finish.
    within(BOUND, "the macvlan's addresses can be used", || {
        host.run(&format!("ip -6 address show dev {macvlan} tentative")).is_empty()
            && host.is_running(macvlan)
    });
}

fn configuration(settings: RouterSettings) -> String {
    let RouterSettings { version, priority, interval, preempt, addresses, .. } = settings;
    let list = match addresses {
        Addresses::Ipv4 => format!("vrrp {VRID} ip {VIP}"),
        Addresses::Ipv6 => {
            format!("vrrp {VRID} ipv6 {LINK_LOCAL_VIP}\n vrrp {VRID} ipv6 {VIP6}")
        }
        Addresses::Ipv6Alone => format!("vrrp {VRID} ipv6 {VIP6}"),
        Addresses::Both => {
            format!(
                "vrrp {VRID} ip {VIP}\n vrrp {VRID} ipv6 {LINK_LOCAL_VIP}\n vrrp {VRID} ipv6 {VIP6}"
            )
        }
    };
    let interval = interval.as_millis();
    let preempt = if preempt { "" } else { "no " };
    format!(
        "log stdout debugging
        interface eth0
         vrrp {VRID} version {version}
         vrrp {VRID} priority {priority}
         vrrp {VRID} advertisement-interval {interval}
         {preempt}vrrp {VRID} preempt
         {list}
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
