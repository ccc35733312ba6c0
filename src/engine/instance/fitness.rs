//! Whether an instance can take part: its interfaces, what the system lets it do, its checks.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::LinkAddress;
use super::super::event::{Action, Change};
use super::super::story::{Fault, StateName, What, Why};
use super::super::timer::Timer;
use super::wire::group;
use super::{Condition, Context, Instance};
use crate::model::{Family, InterfaceName, Path, Transport};
use crate::time::{Mono, Span};
use crate::vrrp::router::Outcome;

/// A change of the link that is not believed yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Blip {
    since: Option<Mono>,
}

impl Blip {
    /// The link is other than what is acted on: whether that has lasted for `delay`.
    fn outlasts(&mut self, now: Mono, delay: Span) -> bool {
        let since = *self.since.get_or_insert(now);
        let outlasts = now.since(since) >= delay;
        if outlasts {
            self.since = None;
        }
        outlasts
    }
}

impl Instance {
    /// Looks again at whether it can take part, and follows: into fault, or back to work.
    pub(in super::super) fn reconsider(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        let known = || {
            self.config.interfaces().all(|name| context.links.is_known(name))
                && self.devices.are_known(context.links)
        };
        if self.is_stopped() || !known() {
            return;
        }
        self.set_priority(context, out);
        self.prepare_devices(context, out);
        self.look_at_paths(context, out);
        let fault = self.believed_fault(context);
        // The checks are those of the whole group already.
        self.has_own_fault =
            fault.as_ref().is_some_and(|fault| !matches!(fault, Fault::TrackFailing(..)));
        let fault = fault.or_else(|| self.group_fault.clone());
        match (&self.condition, fault) {
            (Condition::Running, None) | (Condition::Stopped, _) => {}
            (Condition::Fault(old), Some(new)) if *old == new => {}
            // Which of many checks is still waited for is in the status: one line each would be a
            // page at every start.
            (Condition::Fault(old), Some(new)) if old.is_untried() && new.is_untried() => {
                self.why = Why::Fault(new.clone());
                self.condition = Condition::Fault(new);
            }
            (Condition::Fault(_), Some(new)) => {
                let from = self.state_name();
                self.condition = Condition::Fault(new.clone());
                if from == self.state_name() {
                    self.why = Why::Fault(new.clone());
                    self.report(What::FaultChanged(new), out);
                } else {
                    // On standby, or not any more.
                    self.changed(context, from, Why::Fault(new), out);
                }
            }
            (_, Some(fault)) => {
                let from = self.state_name();
                self.leave_the_election(context, out);
                if self.is_ending() {
                    return self.stopped(context, from, out);
                }
                self.condition = Condition::Fault(fault.clone());
                self.changed(context, from, Why::Fault(fault), out);
            }
            // The kernel is at it; that takes milliseconds.
            (Condition::Starting | Condition::Fault(_), None)
                if self.devices.are_awaited()
                    || context.links.listening.is_awaited(&self.config) => {}
            (Condition::Starting, None) => self.start(context, Why::Started, out),
            (Condition::Fault(_), None) => self.start(context, Why::Recovered, out),
        }
    }

    fn start(&mut self, context: &Context<'_>, why: Why, out: &mut Vec<Action>) {
        if self.moves_addresses() {
            self.remove_leftovers(context, out);
        }
        let from = self.state_name();
        self.condition = Condition::Running;
        let carrier = context.links.carrier_since(&self.config.interface);
        let outcome = self.router.start(context.now.mono, carrier + self.config.hold_down);
        match outcome {
            Outcome::TakeOver(how) => self.take_over(context, from, how, out),
            _ => self.changed(context, from, why, out),
        }
    }

    /// What a killed predecessor has left: a backup must not answer for the addresses. What routes
    /// and rules there are is not known; that one is not there is no failure.
    fn remove_leftovers(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        let mut routing: Vec<_> = self.config.routing().collect();
        routing.reverse();
        out.extend(
            routing.into_iter().map(|routing| Action::Change(Change::RemoveRouting { routing })),
        );
        for address in self.config.moving_addresses() {
            let place = self.devices.place(&self.config, address);
            // Another configuration may have had it there.
            let own = self.config.interface_of(address);
            let places = [place].into_iter().chain((own != place).then_some(own));
            let is_there = |interface: &&InterfaceName| {
                let same =
                    |a: &LinkAddress| a.address == address.address && a.prefix == address.prefix;
                context.links.get(interface).is_some_and(|link| link.addresses.iter().any(same))
            };
            out.extend(places.filter(is_there).map(|interface| {
                let (interface, address) = (interface.clone(), address.clone());
                Action::Change(Change::RemoveAddress { interface, address })
            }));
        }
    }

    /// What keeps it from taking part, where short interruptions of a link don't count.
    fn believed_fault(&mut self, context: &Context<'_>) -> Option<Fault> {
        let fault = self.find_fault(context);
        let now = context.now.mono;
        let of_the_link =
            |fault: &Fault| matches!(fault, Fault::InterfaceDown(_) | Fault::NoCarrier(_));
        match (&self.condition, fault) {
            (Condition::Running, Some(fault)) if of_the_link(&fault) => {
                self.blip.outlasts(now, self.config.link_down_delay).then_some(fault)
            }
            (Condition::Fault(old), None) if of_the_link(old) => {
                let old = old.clone();
                (!self.blip.outlasts(now, self.config.link_up_delay)).then_some(old)
            }
            (_, fault) => {
                self.blip.since = None;
                fault
            }
        }
    }

    /// When a change of the link has lasted long enough to be believed.
    pub(super) fn blip_deadline(&self) -> Option<(Mono, Timer)> {
        let since = self.blip.since?;
        let delay = match self.state_name() {
            StateName::Fault => self.config.link_up_delay,
            _ => self.config.link_down_delay,
        };
        Some((since + delay, Timer::LinkDelay))
    }

    /// Whether the link is down and that is not believed yet.
    pub(super) fn is_in_a_blip(&self) -> bool {
        self.blip.since.is_some()
    }

    fn find_fault(&self, context: &Context<'_>) -> Option<Fault> {
        if self.standby {
            return Some(Fault::Standby);
        }
        if let Some((fault, _)) = &self.refused {
            return Some(fault.clone());
        }
        // One that leaves may have a namesake that stays.
        let awaited = context.config.awaited.get(&self.config.name);
        if let Some(what) = awaited.filter(|_| !self.is_ending()) {
            return Some(Fault::Awaiting(what.clone()));
        }
        let fault = self.config.interfaces().find_map(|name| context.links.fault(name));
        fault
            .or_else(|| self.no_source(context))
            .or_else(|| context.links.listening.fault(&self.config))
            .or_else(|| self.judge(context).fault)
    }

    /// On its further interfaces a socket may be missing: that is told, and no fault.
    fn look_at_paths(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        let further = self.config.paths().filter(|path| path.interface != self.config.interface);
        let missing: BTreeMap<Path, Fault> = further
            .filter_map(|path| {
                let fault = context.links.listening.path_fault(&self.config, &path)?;
                Some((path, fault))
            })
            .collect();
        if missing == self.missing_paths {
            return;
        }
        let before = std::mem::replace(&mut self.missing_paths, missing.clone());
        for (path, fault) in &missing {
            if before.get(path) != Some(fault) {
                let (interface, family) = (path.interface.clone(), path.family);
                self.report(What::PathMissing(interface, family, fault.clone()), out);
            }
        }
        for path in before.into_keys().filter(|path| !missing.contains_key(path)) {
            if self.config.paths().any(|own| own == path) {
                self.report(What::PathBack(path.interface, path.family), out);
            }
        }
    }

    /// A family that it could not speak in on its own interface. Without an own address there it
    /// would be heard on further interfaces at best, and by half of a group in which each family is
    /// on its own.
    fn no_source(&self, context: &Context<'_>) -> Option<Fault> {
        let (links, config) = (context.links, context.config);
        let is_mute = |family: &Family| {
            let path = Path { interface: self.config.interface.clone(), family: *family };
            let others = match &self.config.transport {
                Transport::Multicast { .. } => vec![group(&self.config, &path)],
                Transport::Unicast { peers, .. } => of_family(peers, *family),
            };
            let source = |other| links.source(config, &self.config, &path.interface, other);
            !others.is_empty() && others.into_iter().all(|other| source(other).is_none())
        };
        let mute = self.config.families().find(is_mute)?;
        Some(links.why_no_source(&self.config, mute))
    }
}

fn of_family(addresses: &[IpAddr], family: Family) -> Vec<IpAddr> {
    addresses.iter().copied().filter(|address| Family::of(*address) == family).collect()
}
