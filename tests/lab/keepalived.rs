//! Debian's keepalived on a host, set up as its users do: everything that is not about the group
//! itself is left at its default.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Host, LINK_LOCAL_VIP, Process, VIP, VIP6, VRID};

/// What differs from node to node and from case to case.
#[derive(Clone, Copy)]
pub(crate) struct KeepalivedConfig {
    /// 2 or 3.
    pub(crate) version: u8,
    /// Higher is preferred.
    pub(crate) priority: u8,
    /// The advertisement interval.
    pub(crate) interval: Duration,
    /// Whether it takes over from a live active router of lower priority.
    pub(crate) preempt: bool,
    /// Version 2's password.
    pub(crate) password: Option<&'static str>,
    /// What it moves.
    pub(crate) addresses: Addresses,
    /// Whether it uses the virtual MAC address.
    pub(crate) virtual_mac: bool,
}

/// The addresses of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addresses {
    /// An IPv4 one.
    Ipv4,
    /// An IPv6 one and the link-local one that goes before it.
    Ipv6,
    /// An IPv6 one alone, as many keepalived groups have it.
    Ipv6Alone,
}

impl Addresses {
    /// The one that the client asks.
    pub(crate) fn vip(self) -> IpAddr {
        match self {
            Self::Ipv4 => VIP.into(),
            Self::Ipv6 | Self::Ipv6Alone => VIP6.into(),
        }
    }
}

impl KeepalivedConfig {
    fn text(self) -> String {
        let Self { version, priority, interval, preempt, password, addresses, virtual_mac } = self;
        let list = match addresses {
            Addresses::Ipv4 => format!("{VIP}/24"),
            Addresses::Ipv6 => format!("{LINK_LOCAL_VIP}/128\n{VIP6}/64"),
            Addresses::Ipv6Alone => format!("{VIP6}/64"),
        };
        let interval = interval.as_secs_f64();
        let preempt = if preempt { "" } else { "nopreempt" };
        let virtual_mac = if virtual_mac { "use_vmac" } else { "" };
        let authentication = password.map_or_else(String::new, |password| {
            format!("authentication {{\n auth_type PASS\n auth_pass {password}\n}}")
        });
        format!(
            "vrrp_instance web {{
                state BACKUP
                {preempt}
                {virtual_mac}
                interface eth0
                version {version}
                virtual_router_id {VRID}
                priority {priority}
                advert_int {interval:.2}
                {authentication}
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
    pub(crate) fn start(host: &Host, config: KeepalivedConfig) -> Self {
        let file = |ending| host.directory().join(format!("{}-keepalived.{ending}", host.number()));
        fs::write(file("conf"), config.text()).expect("a configuration");
        let mut command = Command::new("keepalived");
        command.args(["--dont-fork", "--log-console", "--log-detail", "--vrrp"]);
        command.arg("--use-file").arg(file("conf"));
        command.arg("--pid").arg(file("pid"));
        command.arg("--vrrp_pid").arg(file("vrrp.pid"));
        Self { process: host.start(&mut command, "keepalived"), file: file("conf") }
    }

    /// Gives it another configuration while it runs.
    pub(crate) fn reload(&self, config: KeepalivedConfig) {
        fs::write(&self.file, config.text()).expect("a configuration");
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
