//! This node: all its virtual routers as one value.
//!
//! [`event`] is the whole contract. One instance of the configuration is an
//! `Instance`; it joins the protocol's state machine ([`crate::vrrp`])
//! with what is held (`lease`), what is told to the segment (`announce`) and what people are
//! told (`story`, `status`).

mod announce;
mod authentication;
pub mod conflict;
pub mod event;
mod group;
mod handover;
mod held;
mod hex;
mod hook;
mod instance;
mod lease;
mod link;
mod links;
mod listen;
mod order;
mod peers;
pub mod plan;
mod receive;
mod reload;
mod retry;
mod routing;
mod standby;
pub mod status;
pub mod story;
mod track;
mod words;

use std::collections::BTreeMap;
use std::net::IpAddr;

pub use event::{
    Action, Answer, GroupEvent, GroupMember, HookCall, HookEvent, HookName, HookOwner, HookTarget,
    Input, InstanceEvent, Packet, ProbeResult, SystemError,
};
pub use handover::{HandoverAnswer, HandoverRefusal};
pub use held::{Farewell, HeldAddress, HeldRouter};
pub use link::{Link, LinkAddress, Loss, UnusableAddress};
pub use peers::{Advertised, PeerStatus};
pub use plan::Plan;
pub use standby::{Standby, StandbyAnswer};
pub use status::Status;
pub use story::Event;
use story::What;
pub use words::few;

use group::Group;
use instance::Instance;
use links::Links;
use track::Tracks;

use crate::model::{Config, InstanceConfig, InstanceName, InterfaceName, NodeName};
use crate::time::{Mono, Now};
use crate::vrrp::auth::Proof;
use crate::vrrp::frame;
pub use crate::vrrp::packet::Discard;

/// All virtual routers of this node. See [`event`] for the contract.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    links: Links,
    tracks: Tracks,
    instances: Vec<Instance>,
    groups: Vec<Group>,
    stray_discards: BTreeMap<InterfaceName, BTreeMap<Discard, u64>>,
    /// What was written down last.
    written: Vec<HeldRouter>,
    /// The addresses that are watched for other stations' claims.
    watched: BTreeMap<InterfaceName, Vec<IpAddr>>,
    /// What the operator has taken out of the election, and what is still on its way out.
    standby: Standby,
    pending_standby: Vec<standby::Pending>,
    /// Whether the daemon stops, and whether the engine has said that this is the end.
    stopping: bool,
    ended: bool,
}

/// When the engine wants to be called, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// The time.
    pub at: Mono,
    /// The reason, for the debug log.
    pub why: &'static str,
}

/// What every part of the engine may look at while it handles one input.
struct Context<'a> {
    now: Now,
    config: &'a Config,
    links: &'a Links,
    tracks: &'a Tracks,
}

impl Engine {
    /// An engine that knows nothing of the system yet. `now` is when the daemon started.
    pub fn new(config: Config, now: Now) -> Self {
        let instances = config.instances.iter().map(|i| Instance::new(i.clone(), now)).collect();
        let groups = config.sync_groups.iter().map(|g| Group::new(g.clone(), now)).collect();
        let mut links = Links::default();
        links.reconfigure(&config);
        Self {
            tracks: Tracks::new(&config.tracks, now),
            config,
            instances,
            groups,
            links,
            stray_discards: BTreeMap::new(),
            written: Vec::new(),
            watched: BTreeMap::new(),
            standby: Standby::default(),
            pending_standby: Vec::new(),
            stopping: false,
            ended: false,
        }
    }

    /// Takes in what happened and says what to do about it, in this order.
    ///
    /// Times must not go backwards from call to call; a deadline that comes early does nothing.
    pub fn handle(&mut self, now: Now, input: Input) -> Vec<Action> {
        let mut out = Vec::new();
        self.instances.iter_mut().for_each(|instance| instance.wake(now.mono));
        let active_before = self.active_members();
        let may_change_what_is_held = may_change_what_is_held(&input);
        match input {
            Input::Link { interface, link } => self.link_changed(now, &interface, link, &mut out),
            Input::Received { interface, arrived, packet, proof } => {
                self.received(now, &interface, arrived, (&packet, proof), &mut out);
            }
            Input::AddressGone { interface, address, loss } => {
                self.each(now, &mut out, |instance, context, out| {
                    instance.address_gone(context, &interface, (address, loss), out);
                });
            }
            Input::RoutingRestored { routing } => {
                self.each(now, &mut out, |instance, _, out| {
                    instance.routing_restored(&routing, out);
                });
            }
            Input::Claim { interface, frame } => self.claimed(now, &interface, &frame, &mut out),
            Input::Handover { request, instance, to } => {
                self.hand_over(now, request, &instance, to.as_ref(), &mut out);
            }
            Input::Standby { request, instance, force } => {
                self.stand_by(now, request, instance.as_ref(), force, &mut out);
            }
            Input::Online { request, instance } => {
                self.go_online(now, request, instance.as_ref(), &mut out);
            }
            Input::Probed { track, number, result } => {
                if self.tracks.probed(now, &track, number, &result, &mut out) {
                    self.each(now, &mut out, Instance::reconsider);
                }
            }
            Input::Stirred { track } => self.tracks.stirred(&track),
            Input::Hooked { owner, number, result } => {
                self.each(now, &mut out, |one, context, out| {
                    one.hooked(context, &owner, number, &result, out);
                });
                for group in &mut self.groups {
                    group.hooked(now, &owner, number, &result, &mut out);
                }
            }
            Input::Listening { interface, family, missing } => {
                self.links.listening.opened(now.mono, &(interface, family), missing);
                self.each(now, &mut out, Instance::reconsider);
            }
            Input::Failed { action, error } => self.failed(now, &action, &error, &mut out),
            Input::Reload { config } => self.reload(now, *config, &mut out),
            Input::Resumed { length } => {
                self.tracks.resume(now.mono);
                self.each(now, &mut out, |instance, context, out| {
                    instance.resume(context, length, out);
                });
            }
            Input::Deadline => {
                self.update_listening(now, &mut out);
                self.fire(now, &mut out);
                // After the advertisements: they can wait the least.
                if self.tracks.fire(now, &mut out) {
                    self.each(now, &mut out, Instance::reconsider);
                }
                self.groups.iter_mut().for_each(|group| group.fire(now, &mut out));
            }
            Input::Stop => {
                if std::mem::replace(&mut self.stopping, true) {
                    self.groups.iter_mut().for_each(|group| group.give_up(&mut out));
                }
                self.tracks.stop(&mut out);
                self.each(now, &mut out, Instance::stop);
            }
        }
        self.align(now, &active_before, &mut out);
        self.settle_standby(now, &mut out);
        self.follow_groups(now, &mut out);
        self.settle(now, may_change_what_is_held, &mut out);
        out
    }

    /// The next point in time at which [`Input::Deadline`] is due; `None` while nothing is.
    pub fn next_deadline(&self) -> Option<Deadline> {
        let instances = self.instances.iter().filter_map(Instance::deadline);
        let groups = self.groups.iter().filter_map(Group::deadline);
        let others = self.links.listening.deadline().into_iter().chain(self.tracks.deadline());
        let next = instances.chain(groups).chain(others).min_by_key(|(at, _)| *at);
        next.map(|(at, why)| Deadline { at, why })
    }

    /// The instances that there are, those that leave among them.
    pub fn instances(&self) -> impl Iterator<Item = &InstanceConfig> {
        self.instances.iter().map(Instance::config)
    }

    /// The configuration that it works by.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What there is to know about this node now.
    pub fn status(&self, now: Now) -> Status {
        Status {
            node: self.config.this_node.clone(),
            nodes: self.config.nodes.clone(),
            instances: self
                .instances
                .iter()
                .filter(|instance| !instance.is_past())
                .map(|instance| instance.status(&self.config, now))
                .collect(),
            groups: self.groups.iter().map(Group::status).collect(),
            tracks: self.tracks.status(now),
            standby: self.standby.clone(),
            stray_discards: self.stray_discards.clone(),
        }
    }

    fn each(
        &mut self,
        now: Now,
        out: &mut Vec<Action>,
        mut call: impl FnMut(&mut Instance, &Context<'_>, &mut Vec<Action>),
    ) {
        let context =
            Context { now, config: &self.config, links: &self.links, tracks: &self.tracks };
        for instance in &mut self.instances {
            call(instance, &context, out);
        }
    }

    fn link_changed(
        &mut self,
        now: Now,
        name: &InterfaceName,
        link: Option<Link>,
        out: &mut Vec<Action>,
    ) {
        let index = |link: &Link| link.index;
        let before = self.links.get(name).map(index);
        // Another interface under the same name: the old one and all on it are gone.
        if before.is_some() && before != link.as_ref().map(index) && link.is_some() {
            self.link_changed(now, name, None, out);
        }
        let vanished = before.is_some() && link.is_none();
        let mac = |links: &Links| links.get(name).and_then(|link| link.mac);
        let old = mac(&self.links);
        self.links.update(now, name.clone(), link);
        let readdressed = old.is_some() && old != mac(&self.links);
        self.update_listening(now, out);
        self.each(now, out, |instance, context, out| {
            if vanished {
                instance.interface_vanished(name, out);
            }
            instance.reconsider(context, out);
            if readdressed {
                instance.readdressed(context, name, out);
            }
        });
    }

    fn update_listening(&mut self, now: Now, out: &mut Vec<Action>) {
        let configs = self.instances.iter().map(Instance::config);
        self.links.listen(now, configs, out);
    }

    fn received(
        &mut self,
        now: Now,
        interface: &InterfaceName,
        arrived: Mono,
        (packet, proof): (&Packet, Proof),
        out: &mut Vec<Action>,
    ) {
        let context =
            Context { now, config: &self.config, links: &self.links, tracks: &self.tracks };
        let configs = self.instances.iter().map(Instance::config);
        match receive::address(interface, packet, configs) {
            Ok((place, datagram)) => {
                if let Some(instance) = self.instances.get_mut(place) {
                    instance.received(&context, (interface, arrived), (datagram, proof), out);
                }
            }
            Err(discard) => {
                let reasons = self.stray_discards.entry(interface.clone()).or_default();
                *reasons.entry(discard).or_default() += 1;
            }
        }
    }

    fn claimed(
        &mut self,
        now: Now,
        interface: &InterfaceName,
        frame: &[u8],
        out: &mut Vec<Action>,
    ) {
        let Some(claim) = frame::claim(frame) else { return };
        self.each(now, out, |instance, context, out| {
            instance.claimed(context, interface, claim, out);
        });
    }

    fn hand_over(
        &mut self,
        now: Now,
        request: u64,
        name: &InstanceName,
        to: Option<&NodeName>,
        out: &mut Vec<Action>,
    ) {
        let context =
            Context { now, config: &self.config, links: &self.links, tracks: &self.tracks };
        let instance = self.instances.iter_mut().find(|i| i.config().name == *name);
        let outcome = instance.map_or_else(
            || {
                let known = self.config.instances.iter().map(|i| i.name.clone()).collect();
                Err(HandoverRefusal::NoSuchInstance(known))
            },
            |instance| instance.hand_over(&context, request, to, out),
        );
        match outcome {
            Ok(()) => self.lead_departure(now, name, out),
            Err(refusal) => {
                let answer = Answer::Handover(HandoverAnswer::Refused(refusal));
                out.push(Action::Answer { request, answer });
            }
        }
    }

    /// What follows from all that was decided: what must be written down before it is done, what
    /// is watched, and whether this is the end.
    fn settle(&mut self, now: Now, held: bool, out: &mut Vec<Action>) {
        self.keep_what_moved(out);
        order::removals_first(out);
        self.instances.retain(|instance| !instance.is_gone());
        self.groups.retain(|group| !group.is_gone());
        let context =
            Context { now, config: &self.config, links: &self.links, tracks: &self.tracks };
        if held && out.iter().any(changes_what_is_held) {
            let held: Vec<HeldRouter> =
                self.instances.iter().filter_map(|i| i.held_router(&context)).collect();
            let passing =
                self.instances.iter().filter_map(|i| passing(i.config(), &held, out)).collect();
            write_down(&mut self.written, held, passing, out);
            self.watch(out);
        }
        let is_over =
            self.instances.iter().all(Instance::is_over) && self.groups.iter().all(Group::is_over);
        if self.stopping && !self.ended && is_over {
            self.ended = true;
            out.push(Action::Exit);
        }
    }

    fn watch(&mut self, out: &mut Vec<Action>) {
        let mut wanted: BTreeMap<InterfaceName, Vec<IpAddr>> = BTreeMap::new();
        for (interface, address) in self.instances.iter().flat_map(Instance::watched) {
            wanted.entry(interface.clone()).or_default().push(address);
        }
        for interface in self.watched.keys().filter(|name| !wanted.contains_key(*name)) {
            out.push(Action::Watch { interface: interface.clone(), addresses: Vec::new() });
        }
        for (interface, addresses) in &wanted {
            if self.watched.get(interface) != Some(addresses) {
                let (interface, addresses) = (interface.clone(), addresses.clone());
                out.push(Action::Watch { interface, addresses });
            }
        }
        self.watched = wanted;
    }

    fn failed(&mut self, now: Now, action: &Action, error: &SystemError, out: &mut Vec<Action>) {
        if let Action::Listen { interface, family, .. } = action {
            let key = (interface.clone(), *family);
            self.links.listening.failed(now.mono, &key, error.clone());
        }
        let mut report = |what| out.push(Action::Report(Event::of_node(what)));
        match action {
            Action::WriteDown { .. } => report(What::WriteDownFailed(error.clone())),
            Action::Watch { interface, .. } => {
                report(What::WatchFailed(interface.clone(), error.clone()));
            }
            _ => {}
        }
        self.each(now, out, |instance, context, out| {
            instance.action_failed(context, action, error, out);
        });
    }
}

/// Whether such an input can lead to another list of what is held. These cannot, and may come by the
/// thousand at once, of which each would have the list made.
const fn may_change_what_is_held(input: &Input) -> bool {
    !matches!(
        input,
        Input::AddressGone { .. } | Input::RoutingRestored { .. } | Input::Claim { .. }
    )
}

fn changes_what_is_held(action: &Action) -> bool {
    matches!(
        action,
        Action::AddAddress { .. }
            | Action::RemoveAddress { .. }
            | Action::AddRouting { .. }
            | Action::RemoveRouting { .. }
            | Action::AddDevice { .. }
            | Action::RemoveDevice { .. }
            | Action::Report(_)
    )
}

/// What an instance puts on the system in this answer and takes off again in the same: a reload has given
/// it an address, say, and its new sync group cannot take part. It is not held in the end, and is there
/// for a moment.
fn passing(config: &InstanceConfig, held: &[HeldRouter], out: &[Action]) -> Option<HeldRouter> {
    let is_held = |one: &HeldAddress| held.iter().any(|router| router.addresses.contains(one));
    let added = out.iter().filter_map(|action| match action {
        Action::AddAddress { interface, address, .. }
            if config.moving_addresses().any(|own| own == address) =>
        {
            Some(HeldAddress { interface: interface.clone(), address: address.clone() })
        }
        _ => None,
    });
    let addresses: Vec<HeldAddress> = added.filter(|one| !is_held(one)).collect();
    let instance = config.name.clone();
    let (routing, farewells, devices) = (Vec::new(), Vec::new(), Vec::new());
    let router = HeldRouter { instance, addresses, routing, farewells, devices };
    (!router.addresses.is_empty()).then_some(router)
}

/// Invariant 4, write down, then touch: what is new is written before the first address, route, rule or
/// device is added, what is no more after the last one was removed. What is `passing` comes and goes in this answer.
fn write_down(
    written: &mut Vec<HeldRouter>,
    held: Vec<HeldRouter>,
    passing: Vec<HeldRouter>,
    out: &mut Vec<Action>,
) {
    if *written == held && passing.is_empty() {
        return;
    }
    let is_addition = |action: &Action| {
        matches!(
            action,
            Action::AddAddress { .. } | Action::AddRouting { .. } | Action::AddDevice { .. }
        )
    };
    if let Some(place) = out.iter().position(is_addition) {
        let is_kept = |old: &&HeldRouter| !held.iter().any(|new| new.instance == old.instance);
        let old: Vec<HeldRouter> = written.iter().filter(is_kept).cloned().chain(passing).collect();
        let more = !old.is_empty();
        let routers = held.iter().cloned().chain(old).collect();
        out.insert(place, Action::WriteDown { routers });
        if !more {
            *written = held;
            return;
        }
    }
    out.push(Action::WriteDown { routers: held.clone() });
    *written = held;
}
