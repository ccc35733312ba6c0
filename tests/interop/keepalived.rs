//! Debian's keepalived.

use crate::lab::{Host, Keepalived, KeepalivedConfig};
use crate::router::{Router, Settings};

impl Router for Keepalived {
    fn start(host: &Host, settings: Settings) -> Self {
        let Settings {
            version,
            priority,
            interval,
            preempt,
            password,
            addresses,
            unicast_to,
            virtual_mac,
        } = settings;
        if virtual_mac {
            // It sets arp_ignore by itself. Without this its questions for other stations tell them the
            // interface's own Ethernet address for the virtual one (keepalived 2.2.7).
            host.run("sysctl -qw net.ipv4.conf.eth0.arp_announce=2");
        }
        let config = KeepalivedConfig {
            version,
            priority,
            interval,
            preempt,
            password,
            addresses,
            unicast_to,
            virtual_mac,
        };
        Self::start(host, config)
    }

    fn kill(self, _host: &Host) {
        Self::kill(self);
    }

    fn stop(self) {
        let status = Self::stop(self);
        assert!(status.success(), "keepalived ended with {status}");
    }
}
