//! What there is to know about an instance.

use super::super::peers::Expected;
use super::super::status::{Counters, Due, InstanceStatus, MissingPath};
use super::super::story::Peer;
use super::Instance;
use crate::model::Config;
use crate::time::{Mono, Now, Span, Wall};
use crate::vrrp::router::{State, Takeover};

impl Instance {
    /// What there is to know about it.
    pub(in super::super) fn status(&self, config: &Config, now: Now) -> InstanceStatus {
        InstanceStatus {
            name: self.config.name.clone(),
            interface: self.config.interface.clone(),
            further_interfaces: self.config.further_interfaces.clone(),
            transport: self.config.transport.clone(),
            virtual_router_id: self.config.virtual_router_id,
            version: self.config.version,
            state: self.state_name(),
            leaving: matches!(self.router.state(), State::Leaving(_)),
            standby: self.obstacles.standby,
            since: self.past.since,
            reason: self.past.why.to_string(),
            why: self.past.why.clone(),
            priority: self.router.priority(),
            own_priority: self.config.priority,
            lowered: self.lowered.clone(),
            preempt: self.config.preempt,
            advertisement_interval: self.config.advertisement_interval,
            addresses: self.config.addresses.clone(),
            extra_addresses: self.config.extra_addresses.clone(),
            routes: self.config.routes.clone(),
            rules: self.config.rules.clone(),
            held: self.service.held().map(|(_, address)| address.clone()).collect(),
            held_routing: self.service.held_routing().cloned().collect(),
            devices: self.service.devices().wanted().map(Into::into).collect(),
            lease_left: self.service.lease_left(now.mono),
            active: self.active_router().map(|address| Peer::new(config, address)),
            held_down_until: self.held_down_until(now),
            timers: self.timers(now.mono),
            tracks: self.config.tracks.clone(),
            conflicts: self.conflicts.current(now.mono).collect(),
            missing_paths: self.missing_paths.iter().map(MissingPath::new).collect(),
            hooks: self.hooks.status(),
            waits_for: self.life.waits_for(),
            peers: self.peers.status(now, &self.expected(config)),
            transitions: self.past.last(),
            counters: Counters {
                hooks_superseded: self.hooks.superseded(),
                transitions: self.past.counted(),
                ..self.counters.clone()
            },
        }
    }

    fn timers(&self, now: Mono) -> Vec<Due> {
        let due = self.deadlines().into_iter().flatten();
        let mut timers: Vec<Due> =
            due.map(|(at, what)| Due { what, left: at.since(now) }).collect();
        timers.sort_by_key(|timer| timer.left);
        timers
    }

    fn expected<'a>(&self, config: &'a Config) -> Expected<'a> {
        Expected {
            config,
            interval: self.config.advertisement_interval,
            addresses: self.config.addresses.iter().map(|a| a.address).collect(),
        }
    }

    fn held_down_until(&self, now: Now) -> Option<Wall> {
        match self.router.state() {
            State::Backup(backup) if backup.hold_until > now.mono => {
                Some(now.wall + backup.hold_until.since(now.mono))
            }
            _ => None,
        }
    }

    /// It takes over from another router: how long that one had not been heard.
    pub(super) fn measure_takeover(&mut self, now: Mono, how: Takeover) {
        let silence: Option<Span> = match how {
            Takeover::Silence(Some(_), span) => Some(span),
            Takeover::Stopped(address) => self.peers.age(now, address),
            Takeover::Silence(None, _) | Takeover::Owner | Takeover::Preempt(_) => None,
        };
        if let Some(silence) = silence {
            self.counters.takeovers.observe(silence);
        }
    }
}
