//! Whether an instance can take part: its interfaces, what the system lets it do, its checks.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::event::Action;
use super::super::story::{Fault, What, Why};
use super::super::timer::Timer;
use super::life::Life;
use super::wire::group;
use super::{Context, Instance};
use crate::model::{Family, Path, Transport};
use crate::time::{Mono, Span};
use crate::vrrp::router::Outcome;

/// How long an instance stays in fault after the system has refused it something.
const REFUSED: Span = Span::from_secs(10);

/// What keeps an instance from taking part, whatever its life is. Faults are in boxes: they are long,
/// and most instances have none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in super::super) struct Obstacles {
    /// The operator has taken it out of the election.
    pub(in super::super) standby: bool,
    /// The system has refused something that it needs.
    refused: Option<Box<Refused>>,
    /// Another member of its sync group cannot take part.
    pub(super) group: Option<Box<Fault>>,
    /// What is its own business, as it was seen last.
    own: Option<Box<Fault>>,
    /// Since when the link is other than what is acted on.
    blip: Option<Mono>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Refused {
    fault: Fault,
    until: Mono,
}

impl Obstacles {
    /// The fault that follows.
    fn fault(&self) -> Option<Fault> {
        self.own.as_deref().or(self.group.as_deref()).cloned()
    }

    /// True if something of its own keeps the instance, and so its sync group, from taking part.
    /// The checks are those of the whole group already.
    pub(in super::super) fn has_own_fault(&self) -> bool {
        self.own.as_deref().is_some_and(|fault| !matches!(fault, Fault::TrackFailing(..)))
    }

    /// True if the link is down and that is not believed yet.
    pub(super) fn has_blip(&self) -> bool {
        self.blip.is_some()
    }

    /// The link is other than what is acted on. Returns true if that has lasted for `delay`.
    fn outlasts(&mut self, now: Mono, delay: Span) -> bool {
        let since = *self.blip.get_or_insert(now);
        let outlasts = now.since(since) >= delay;
        if outlasts {
            self.blip = None;
        }
        outlasts
    }
}

impl Instance {
    /// Looks again at whether it can take part, and follows: into fault, or back to work.
    pub(in super::super) fn reconsider(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        if self.life.has_stopped() || !self.knows_its_interfaces(context) {
            return;
        }
        self.set_priority(context, out);
        self.prepare_devices(context, out);
        self.look_at_paths(context, out);
        self.obstacles.own = self.believed_fault(context).map(Box::new);
        match (&self.life, self.obstacles.fault()) {
            (Life::Stopped { .. }, _) => {}
            (Life::Fault(old), Some(new)) => {
                if **old != new {
                    let was_untried = old.is_untried();
                    self.fault_changes(context, was_untried, new, out);
                }
            }
            (_, Some(fault)) => self.fall_ill(context, fault, out),
            (Life::Waiting | Life::Fault(_), None) => {
                // Until then the kernel is at it; that takes milliseconds.
                let is_awaited = self.service.devices().are_awaited()
                    || context.links.listening.is_awaited(&self.config);
                if !is_awaited {
                    self.start(context, out);
                }
            }
            (_, None) => {}
        }
    }

    fn knows_its_interfaces(&self, context: &Context<'_>) -> bool {
        self.config.interfaces().all(|name| context.links.is_known(name))
            && self.service.devices().are_known(context.links)
    }

    /// Asks for the devices that are lacking. With one that has come while the instance is active,
    /// its addresses move there: they are on the device before they leave the interface.
    fn prepare_devices(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        let may_ask = self.obstacles.refused.is_none();
        let has_come = self.service.follow_devices(context, &self.config, may_ask, out);
        if has_come && self.has_addresses() {
            self.service.raise(out);
            self.service.place_addresses(context.now.mono, &self.config, out);
            self.announce(context, false, out);
        }
    }

    fn fall_ill(&mut self, context: &Context<'_>, fault: Fault, out: &mut Vec<Action>) {
        let from = self.state_name();
        let end = self.life.end();
        self.leave_the_election(context, out);
        if let Some(end) = end {
            return self.stopped(context, end, from, out);
        }
        self.life.fail(fault.clone());
        self.changed(context, from, Why::Fault(fault), out);
    }

    fn fault_changes(
        &mut self,
        context: &Context<'_>,
        was_untried: bool,
        new: Fault,
        out: &mut Vec<Action>,
    ) {
        let from = self.state_name();
        self.life.fail(new.clone());
        if from != self.state_name() {
            // On standby, or not any more.
            return self.changed(context, from, Why::Fault(new), out);
        }
        self.past.why = Why::Fault(new.clone());
        // Which of many checks is still waited for is in the status: one line each would be a
        // page at every start.
        if !(was_untried && new.is_untried()) {
            self.report(What::FaultChanged(new), out);
        }
    }

    fn start(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        if self.moves_addresses() {
            self.service.remove_leftovers(context, &self.config, out);
        }
        let from = self.state_name();
        let why = if self.life == Life::Waiting { Why::Started } else { Why::Recovered };
        self.life.start();
        let carrier = context.links.carrier_since(&self.config.interface);
        let outcome = self.router.start(context.now.mono, carrier + self.config.hold_down);
        match outcome {
            Outcome::TakeOver(how) => self.take_over(context, from, how, out),
            _ => self.changed(context, from, why, out),
        }
    }

    /// Stays out of the election for a while, because the system has refused something.
    pub(super) fn refuse(&mut self, context: &Context<'_>, fault: Fault, out: &mut Vec<Action>) {
        let until = context.now.mono + REFUSED;
        self.obstacles.refused = Some(Box::new(Refused { fault, until }));
        self.reconsider(context, out);
    }

    /// What keeps it from taking part, where short interruptions of a link don't count.
    fn believed_fault(&mut self, context: &Context<'_>) -> Option<Fault> {
        let fault = self.find_fault(context);
        let now = context.now.mono;
        match (&self.life, fault) {
            (Life::Fault(old), None) if old.is_of_the_link() => {
                let old = Fault::clone(old);
                (!self.obstacles.outlasts(now, self.config.link_up_delay)).then_some(old)
            }
            (life, Some(fault)) if life.takes_part() && fault.is_of_the_link() => {
                self.obstacles.outlasts(now, self.config.link_down_delay).then_some(fault)
            }
            (_, fault) => {
                self.obstacles.blip = None;
                fault
            }
        }
    }

    /// Does what is due of the obstacles.
    pub(super) fn fire_obstacles(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        let now = context.now.mono;
        if self.obstacles.refused.take_if(|refused| refused.until <= now).is_some() {
            self.reconsider(context, out);
        }
        if self.blip_ends().is_some_and(|at| at <= now) {
            self.reconsider(context, out);
        }
    }

    /// When [`Instance::fire_obstacles`] is due: for a change of the link, and for what the system
    /// has refused.
    pub(super) fn obstacle_deadlines(&self) -> [Option<(Mono, Timer)>; 2] {
        let refused = self.obstacles.refused.as_ref().filter(|_| !self.life.has_stopped());
        [
            self.blip_ends().map(|at| (at, Timer::LinkDelay)),
            refused.map(|refused| (refused.until, Timer::AnotherAttempt)),
        ]
    }

    /// When a change of the link has lasted long enough to be believed.
    fn blip_ends(&self) -> Option<Mono> {
        let since = self.obstacles.blip?;
        match self.life {
            Life::Stopped { .. } => None,
            Life::Fault(_) => Some(since + self.config.link_up_delay),
            _ => Some(since + self.config.link_down_delay),
        }
    }

    fn find_fault(&self, context: &Context<'_>) -> Option<Fault> {
        if self.obstacles.standby {
            return Some(Fault::Standby);
        }
        if let Some(refused) = &self.obstacles.refused {
            return Some(refused.fault.clone());
        }
        // One that leaves may have a namesake that stays.
        let awaited = context.config.awaited.get(&self.config.name);
        if let Some(what) = awaited.filter(|_| self.life.end().is_none()) {
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
        let mute = self.config.families().find(|family| {
            let path = Path { interface: self.config.interface.clone(), family: *family };
            let others = match &self.config.transport {
                Transport::Multicast { .. } => vec![group(&self.config, &path)],
                Transport::Unicast { peers, .. } => of_family(peers, *family),
            };
            let source = |other| links.source(config, &self.config, &path.interface, other);
            !others.is_empty() && others.into_iter().all(|other| source(other).is_none())
        })?;
        Some(links.why_no_source(&self.config, mute))
    }
}

fn of_family(addresses: &[IpAddr], family: Family) -> Vec<IpAddr> {
    addresses.iter().copied().filter(|address| Family::of(*address) == family).collect()
}
