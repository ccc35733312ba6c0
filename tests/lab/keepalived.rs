//! Debian's keepalived on a host, set up as its users do: everything that is not about the group
//! itself is left at its default.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use nix::sys::signal::Signal;

use super::{Addresses, Host, LINK_LOCAL_VIP, Process, RouterSettings, VIP, VIP6, VRID};

impl RouterSettings {
    fn text(self, host: &Host) -> String {
        let one = |name: &str, addresses| self.instance(name, addresses, host);
        match self.addresses {
            Addresses::Both => format!(
                "vrrp_sync_group both {{\n group {{\n four\n six\n }}\n}}\n{}{}",
                one("four", Addresses::Ipv4),
                one("six", Addresses::Ipv6)
            ),
            addresses => one("web", addresses),
        }
    }

    fn instance(self, name: &str, addresses: Addresses, host: &Host) -> String {
        let Self { version, priority, interval, preempt, password, unicast_to, .. } = self;
        let virtual_mac = self.virtual_mac;
        let list = match addresses {
            Addresses::Ipv4 | Addresses::Both => format!("{VIP}/24"),
            Addresses::Ipv6 => format!("{LINK_LOCAL_VIP}/128\n{VIP6}/64"),
            Addresses::Ipv6Alone => format!("{VIP6}/64"),
        };
        let interval = interval.as_secs_f64();
        let preempt = if preempt { "" } else { "nopreempt" };
        let virtual_mac = if virtual_mac { "use_vmac" } else { "" };
        let authentication = password.map_or_else(String::new, |password| {
            format!("authentication {{\n auth_type PASS\n auth_pass {password}\n}}")
        });
        let unicast = unicast_to.map_or_else(String::new, |peer| {
            let own = host.address_in(addresses.vip(), host.number());
            let peer = host.address_in(addresses.vip(), peer);
            format!("unicast_src_ip {own}\nunicast_peer {{\n {peer}\n}}")
        });
        format!(
            "vrrp_instance {name} {{
                state BACKUP
                {preempt}
                {virtual_mac}
                interface eth0
                version {version}
                virtual_router_id {VRID}
                priority {priority}
                advert_int {interval:.2}
                {authentication}
                {unicast}
                virtual_ipaddress {{
                    {list}
                }}
            }}
            "
        )
    }
}

/// `keepalived`: the process that was started, and its child that does the work.
pub(crate) struct Keepalived {
    process: Process,
    file: PathBuf,
}

impl Keepalived {
    /// Starts one, for the first time or again.
    pub(crate) fn start(host: &Host, config: RouterSettings) -> Self {
        let file = |ending| host.directory().join(format!("{}-keepalived.{ending}", host.number()));
        fs::write(file("conf"), config.text(host)).expect("a configuration");
        let mut command = Command::new("keepalived");
        command.args(["--dont-fork", "--log-console", "--no-syslog", "--log-detail", "--vrrp"]);
        command.arg("--use-file").arg(file("conf"));
        command.arg("--pid").arg(file("pid"));
        command.arg("--vrrp_pid").arg(file("vrrp.pid"));
        Self { process: host.start(&mut command, "keepalived"), file: file("conf") }
    }

    /// Gives it another configuration while it runs.
    pub(crate) fn reload(&self, host: &Host, config: RouterSettings) {
        fs::write(&self.file, config.text(host)).expect("a configuration");
        self.process.signal(Signal::SIGHUP);
    }

    /// Freezes or thaws all of its processes (`SIGSTOP`, `SIGCONT`).
    pub(crate) fn signal_all(&self, signal: Signal) {
        self.process.signal_group(signal);
    }

    /// Kills it as a crash would. The whole process group has to die: its child stops in an
    /// orderly way when it loses its parent.
    pub(crate) fn kill(self) {
        self.process.kill();
    }

    /// Stops it in an orderly way.
    pub(crate) fn stop(self) -> ExitStatus {
        self.process.stop()
    }
}
