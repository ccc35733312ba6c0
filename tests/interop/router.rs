//! What the scenarios ask of a VRRP router, whoever wrote it.

use std::net::IpAddr;
use std::time::Duration;

use crate::lab::{Addresses, Agent, Config, Host, VIP, VIP6};

/// How a router is set up; everything else is the same for all of them.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
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
    /// What moves.
    pub(crate) addresses: Addresses,
    /// The number of the other host, to which alone advertisements go.
    pub(crate) unicast_to: Option<u8>,
    /// Whether vipd and keepalived use the virtual MAC address; FRR always does.
    pub(crate) virtual_mac: bool,
}

impl Settings {
    /// The shortest sensible interval of a version.
    pub(crate) fn new(version: u8, priority: u8) -> Self {
        let interval = Duration::from_millis(if version == 2 { 1000 } else { 200 });
        let addresses = Addresses::Ipv4;
        let (preempt, password, unicast_to, virtual_mac) = (true, None, None, false);
        Self { version, priority, interval, preempt, password, addresses, unicast_to, virtual_mac }
    }

    /// The same with a password.
    pub(crate) fn with_password(self, password: &'static str) -> Self {
        Self { password: Some(password), ..self }
    }

    /// Version 3 with these addresses.
    pub(crate) fn moving(addresses: Addresses, priority: u8) -> Self {
        Self { addresses, ..Self::new(3, priority) }
    }

    /// The same by unicast to the host with this number.
    pub(crate) fn to(self, peer: u8) -> Self {
        Self { unicast_to: Some(peer), ..self }
    }

    /// The same at another interval.
    pub(crate) fn every(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// The same with the virtual MAC address.
    pub(crate) fn with_virtual_mac(self) -> Self {
        Self { virtual_mac: true, ..self }
    }

    /// The same without preemption.
    pub(crate) fn patient(self) -> Self {
        Self { preempt: false, ..self }
    }
}

/// A running VRRP router.
pub(crate) trait Router {
    /// Starts one on a host, for the first time or again.
    fn start(host: &Host, settings: Settings) -> Self;

    /// Whether the host would answer for the virtual address.
    fn holds(host: &Host, vip: IpAddr) -> bool {
        host.holds(vip)
    }

    /// Ends it as a crash would. What it put on the host stays there.
    fn kill(self, host: &Host);

    /// Stops it in an orderly way.
    fn stop(self);
}

/// Ours.
pub(crate) struct Vipd(Agent);

impl Router for Vipd {
    fn start(host: &Host, settings: Settings) -> Self {
        let Settings { version, priority, interval, preempt, password, addresses, .. } = settings;
        let Settings { virtual_mac, .. } = settings;
        let mut config = Config::with(&[], addresses.vip())
            .set("version", version.to_string())
            .set("priority", priority.to_string())
            .set("advertisement_interval", format!("{}ms", interval.as_millis()))
            .set("preempt", if preempt { "always" } else { "never" })
            .set("virtual_mac", virtual_mac.to_string());
        if let Some(password) = password {
            config = config.set("authentication", format!("{{ password: {password} }}"));
        }
        if let Some(peer) = settings.unicast_to {
            let peer_in = |vip: &IpAddr| host.address_in(*vip, peer).to_string();
            let peers: Vec<String> = addresses.all().iter().map(peer_in).collect();
            let peers = format!("[{}]", peers.join(", "));
            config = config.set("transport", "unicast").set("peers", peers);
            if addresses.vip().is_ipv6() {
                // keepalived leaves the hop limit of IPv6 unicast at the kernel's default.
                config = config.set("minimum_ttl", "64");
            }
        }
        let config = match addresses {
            Addresses::Ipv4 | Addresses::Ipv6 => config,
            Addresses::Ipv6Alone => config.set("link_local", "off"),
            Addresses::Both => config.set("addresses", format!("[{VIP}/24, {VIP6}/64]")),
        };
        Self(Agent::start(host, &config))
    }

    fn kill(self, _host: &Host) {
        self.0.kill();
    }

    fn stop(self) {
        let status = self.0.stop();
        assert!(status.success(), "vipd ended with {status}");
    }
}
