//! What the scenarios ask of a VRRP router, whoever wrote it.

use std::net::IpAddr;

use crate::lab::{Addresses, Agent, Config, Host, RouterSettings, VIP, VIP6};

/// A running VRRP router.
pub(crate) trait Router {
    /// Starts one on a host, for the first time or again.
    fn start(host: &Host, settings: RouterSettings) -> Self;

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
    fn start(host: &Host, settings: RouterSettings) -> Self {
        let RouterSettings { version, priority, interval, preempt, password, addresses, .. } =
            settings;
        let RouterSettings { virtual_mac, .. } = settings;
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
