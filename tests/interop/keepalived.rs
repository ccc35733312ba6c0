//! Debian's keepalived.

use crate::lab::{Host, Keepalived, KeepalivedConfig};
use crate::router::{Router, Settings};

impl Router for Keepalived {
    fn start(host: &Host, settings: Settings) -> Self {
        let Settings { version, priority, interval, preempt, password, addresses, virtual_mac } =
            settings;
        let config = KeepalivedConfig {
            version,
            priority,
            interval,
            preempt,
            password,
            addresses,
            virtual_mac,
        };
        Self::start(host, config)
    }

    fn kill(self) {
        Self::kill(self);
    }

    fn stop(self) {
        let status = Self::stop(self);
        assert!(status.success(), "keepalived ended with {status}");
    }
}
