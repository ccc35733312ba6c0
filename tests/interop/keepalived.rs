//! Debian's keepalived.

use crate::lab::{Host, Keepalived, RouterSettings};
use crate::router::Router;

impl Router for Keepalived {
    fn start(host: &Host, settings: RouterSettings) -> Self {
        if settings.virtual_mac {
            // It sets arp_ignore by itself. Without this its questions for other stations tell them the
            // interface's own Ethernet address for the virtual one (keepalived 2.2.7).
            host.run("sysctl -qw net.ipv4.conf.eth0.arp_announce=2");
        }
        Self::start(host, settings)
    }

    fn kill(self, _host: &Host) {
        Self::kill(self);
    }

    fn stop(self) {
        let status = Self::stop(self);
        assert!(status.success(), "keepalived ended with {status}");
    }
}
