//! Debian's keepalived.

use std::fs;
use std::process::Command;

use crate::lab::{Host, Process, VIP, VRID};
use crate::router::{Router, Settings};

/// `keepalived` on a host.
pub(crate) struct Keepalived(Process);

impl Router for Keepalived {
    fn start(host: &Host, settings: Settings) -> Self {
        let file = |ending| host.directory().join(format!("{}-keepalived.{ending}", host.number()));
        fs::write(file("conf"), configuration(settings)).expect("a configuration");
        let mut command = Command::new("keepalived");
        command.args(["--dont-fork", "--log-console", "--log-detail", "--vrrp"]);
        command.arg("--use-file").arg(file("conf"));
        command.arg("--pid").arg(file("pid"));
        command.arg("--vrrp_pid").arg(file("vrrp.pid"));
        Self(host.start(&mut command, "keepalived"))
    }

    /// The whole process group has to die: its child stops in an orderly way when it loses its
    /// parent.
    fn kill(self) {
        self.0.kill();
    }

    fn stop(self) {
        let status = self.0.stop();
        assert!(status.success(), "keepalived ended with {status}");
    }
}

fn configuration(settings: Settings) -> String {
    let Settings { version, priority, interval, preempt } = settings;
    let interval = interval.as_secs_f64();
    let preempt = if preempt { "" } else { "nopreempt" };
    format!(
        "vrrp_instance web {{
            state BACKUP
            {preempt}
            interface eth0
            version {version}
            virtual_router_id {VRID}
            priority {priority}
            advert_int {interval:.2}
            virtual_ipaddress {{
                {VIP}/24
            }}
        }}
        "
    )
}
