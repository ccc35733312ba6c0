//! The two programs, behind what the scenarios do to either of them.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::lab::{Addresses, Agent, Config, Host, Keepalived, RouterSettings, hand_over, release};

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ours.
    Vipd,
    /// Debian's.
    Keepalived,
}

impl Kind {
    /// Both, in the order of the table.
    pub(crate) const ALL: [Self; 2] = [Self::Vipd, Self::Keepalived];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Vipd => "vipd",
            Self::Keepalived => "keepalived",
        }
    }
}

/// How a router is set up. Everything else is the program's default, except that neither waits
/// after its start.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    /// The advertisement interval.
    pub(crate) interval: Duration,
    /// Higher is preferred. vipd has it from the order of the nodes, which gives the same numbers.
    pub(crate) priority: u8,
    /// Whether it takes over from a live active router of lower priority.
    pub(crate) preempt: bool,
}

/// A running one.
pub(crate) enum Router {
    /// Ours.
    Vipd(Agent),
    /// Debian's.
    Keepalived(Keepalived),
}

impl Router {
    /// Starts one with VRRPv3 on one of these nodes, in the order of their priorities.
    pub(crate) fn start(kind: Kind, host: &Host, nodes: [&Host; 2], settings: Settings) -> Self {
        match kind {
            Kind::Vipd => Self::Vipd(Agent::start(host, &of_vipd(nodes, settings))),
            Kind::Keepalived => Self::Keepalived(Keepalived::start(host, of_keepalived(settings))),
        }
    }

    /// Kills all of its processes at once.
    pub(crate) fn kill(self) {
        match self {
            Self::Vipd(agent) => agent.kill(),
            Self::Keepalived(keepalived) => keepalived.kill(),
        }
    }

    /// The same, and then what systemd would run because of it.
    pub(crate) fn kill_and_tidy_up(self, host: &Host) -> Result<(), String> {
        self.kill();
        release(host)
    }

    /// Freezes or thaws all of its processes.
    pub(crate) fn signal_all(&self, signal: Signal) {
        match self {
            Self::Vipd(agent) => agent.signal(signal),
            Self::Keepalived(keepalived) => keepalived.signal_all(signal),
        }
    }

    /// Stops it in an orderly way.
    pub(crate) fn stop(self) {
        let status = match self {
            Self::Vipd(agent) => agent.stop(),
            Self::Keepalived(keepalived) => keepalived.stop(),
        };
        assert!(status.success(), "it ended with {status}");
    }

    /// Has the address move to the other node, in the way that the program has for it.
    pub(crate) fn hand_over(&self, host: &Host, settings: Settings) -> Result<(), String> {
        /// Below that of every other node.
        const LOW: u8 = 50;
        match self {
            Self::Vipd(_) => hand_over(host, "web"),
            Self::Keepalived(keepalived) => {
                keepalived.reload(host, of_keepalived(Settings { priority: LOW, ..settings }));
                Ok(())
            }
        }
    }
}

fn of_vipd(nodes: [&Host; 2], settings: Settings) -> Config {
    let Settings { interval, priority: _, preempt } = settings;
    Config::new(&nodes)
        .set("advertisement_interval", format!("{}ms", interval.as_millis()))
        .set("preempt", if preempt { "always" } else { "never" })
}

fn of_keepalived(settings: Settings) -> RouterSettings {
    let Settings { interval, priority, preempt } = settings;
    RouterSettings {
        version: 3,
        priority,
        interval,
        preempt,
        password: None,
        virtual_mac: false,
        addresses: Addresses::Ipv4,
        unicast_to: None,
    }
}
