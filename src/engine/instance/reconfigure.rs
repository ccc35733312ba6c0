//! A new configuration for a virtual router that runs.

use super::super::event::Action;
use super::super::story::What;
use super::super::timer::Timer;
use super::life::End;
use super::wire::checksum_form;
use super::{Context, Instance};
use crate::model::InstanceConfig;
use crate::vrrp::router::Outcome;

impl Instance {
    /// Takes on another configuration of the same virtual router. Where nothing differs, nothing
    /// happens; an active router stays active, whatever differs.
    pub(in super::super) fn reconfigure(
        &mut self,
        context: &Context<'_>,
        config: &InstanceConfig,
        out: &mut Vec<Action>,
    ) {
        if self.config == *config {
            return;
        }
        let differences = differences(&self.config, config);
        let old = std::mem::replace(&mut self.config, config.clone());
        if (old.version, old.checksum) != (config.version, config.checksum) {
            self.checksum = checksum_form(config);
        }
        let now = context.now.mono;
        self.authenticator.reconfigure(now, &old.authentication, &config.authentication);
        self.service.reconfigure(now, &old, config);
        let advertise = self.router.reconfigure(now, self.settings(context));
        if self.has_addresses() {
            self.service.change(now, config, out);
            let moves_otherwise = !old.moving_addresses().eq(config.moving_addresses());
            if moves_otherwise || old.virtual_mac != config.virtual_mac {
                self.announce(context, false, out);
            }
        }
        self.service.remove_unwanted_devices(out);
        if advertise {
            self.follow(context, Outcome::Advertise, out);
        }
        self.report(What::Reconfigured(differences), out);
    }

    /// Whether the configuration has it no more, and nothing is left to be done for it.
    pub(in super::super) fn is_gone(&self) -> bool {
        self.is_retired() && self.life.has_stopped() && self.deadline().is_none()
    }

    /// Whether nothing is left of it but that it listens for a last refusal of the system.
    pub(in super::super) fn is_past(&self) -> bool {
        let mut due = self.deadlines().into_iter().flatten();
        self.is_retired()
            && self.life.has_stopped()
            && due.all(|(_, timer)| timer == Timer::LastAnswers)
    }

    /// Whether the configuration has it no more.
    pub(in super::super) fn is_retired(&self) -> bool {
        self.life.end() == Some(End::Retires)
    }
}

/// The keys whose values differ, as the configuration calls them.
pub(in super::super) fn differences(old: &InstanceConfig, new: &InstanceConfig) -> Vec<String> {
    let differ = [
        ("name", old.name != new.name),
        ("version", old.version != new.version),
        ("priority", old.priority != new.priority),
        ("advertisement_interval", old.advertisement_interval != new.advertisement_interval),
        ("maximum_interval", old.maximum_interval != new.maximum_interval),
        ("paths", old.further_interfaces != new.further_interfaces),
        ("transport", old.transport != new.transport),
        ("addresses", old.addresses != new.addresses),
        ("extra_addresses", old.extra_addresses != new.extra_addresses),
        ("routes", old.routes != new.routes),
        ("rules", old.rules != new.rules),
        ("preempt", old.preempt != new.preempt),
        ("hold_down", old.hold_down != new.hold_down),
        ("link_down_delay", old.link_down_delay != new.link_down_delay),
        ("link_up_delay", old.link_up_delay != new.link_up_delay),
        ("lease", old.lease != new.lease),
        ("announce_refresh", old.announce_refresh != new.announce_refresh),
        ("checksum", old.checksum != new.checksum),
        ("notify", old.notify != new.notify),
        ("track", old.tracks != new.tracks),
        ("if_all_fail", old.if_all_fail != new.if_all_fail),
        ("authentication", old.authentication != new.authentication),
        ("virtual_mac", old.virtual_mac != new.virtual_mac),
    ];
    differ.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key.to_owned()).collect()
}
