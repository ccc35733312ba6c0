//! Debian's keepalived.

use crate::lab::{Host, Keepalived, KeepalivedConfig};
use crate::router::{Router, Settings};

impl Router for Keepalived {
    fn start(host: &Host, settings: Settings) -> Self {
        let Settings { version, priority, interval, preempt, addresses } = settings;
        Self::start(host, KeepalivedConfig { version, priority, interval, preempt, addresses })
    }

    fn kill(self) {
        Self::kill(self);
    }

    fn stop(self) {
        let status = Self::stop(self);
        assert!(status.success(), "keepalived ended with {status}");
    }
}
