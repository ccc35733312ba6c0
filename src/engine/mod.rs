//! This node: all its virtual routers as one value.
//!
//! [`event`] is the whole contract. One instance of the configuration is an
//! `Instance`; it joins the protocol's state machine ([`crate::vrrp`])
//! with what is held (`lease`), what is told to the segment (`announce`) and what people are
//! told (`story`, `status`).

mod address;
mod announce;
mod answers;
mod authentication;
mod change;
pub mod conflict;
mod deadlines;
pub mod event;
mod failure;
mod fault;
mod group;
mod held;
mod hex;
mod hook;
mod index;
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
mod repetition;
mod retry;
mod routing;
mod settle;
mod slots;
mod standby;
pub mod status;
pub mod story;
pub mod timer;
mod track;
mod turn;
mod waiting;
mod watch;
mod words;
mod written;

use std::collections::BTreeMap;

pub use answers::{HandoverAnswer, HandoverRefusal, Standby, StandbyAnswer};
pub use event::{
    Action, Answer, Change, GroupEvent, GroupMember, HookCall, HookEvent, HookName, HookOwner,
    HookTarget, Input, InstanceEvent, Packet, ProbeResult, SystemError,
};
pub use held::{Farewell, HeldAddress, HeldRouter};
pub use link::{Link, LinkAddress, Loss, UnusableAddress};
pub use peers::{Advertised, PeerStatus};
pub use plan::Plan;
pub use status::Status;
pub use story::Event;
pub use words::few;

use address::Received;
use deadlines::{Deadlines, Owner};
use group::{Gates, Group};
use index::Index;
use instance::Instance;
use lease::LostAddress;
use links::Links;
use slots::Slots;
use timer::Timer;
use track::Tracks;
use turn::Turn;
use watch::Watched;
use written::Written;

use crate::hash::hash_by;
use crate::model::{Config, InstanceConfig, InstanceName, InterfaceName, NodeName, TrackName};
use crate::time::{Mono, Now};
use crate::vrrp::frame;
pub use crate::vrrp::packet::Discard;

/// All virtual routers of this node. See [`event`] for the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// Without its instances: each has its own part of it.
    config: Config,
    links: Links,
    tracks: Tracks,
    /// Those of the configuration in its order, then those that it has no more.
    instances: Vec<Instance>,
    /// The same of sync groups.
    groups: Vec<Group>,
    gates: Gates,
    /// From what an input names to the instances that it is for.
    index: Index,
    deadlines: Deadlines,
    slots: Slots,
    stray_discards: BTreeMap<InterfaceName, BTreeMap<Discard, u64>>,
    written: Written,
    watched: Watched,
    /// What the operator has taken out of the election, and what is still on its way out.
    standby: Standby,
    standby_requests: Vec<standby::Request>,
    /// Whether the daemon stops, and whether the engine has said that this is the end.
    stopping: bool,
    ended: bool,
}

// What was done with the configuration is in the parts; the index follows from it.
hash_by!(Engine {
    links,
    tracks,
    instances,
    groups,
    gates,
    deadlines,
    slots,
    written,
    watched,
    standby,
    standby_requests,
    stopping,
    ended,
} without { config, index, stray_discards });

/// When the engine wants to be called, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// The time.
    pub at: Mono,
    /// The reason.
    pub why: Timer,
}

/// What every part of the engine may look at while it handles one input.
struct Context<'a> {
    now: Now,
    config: &'a Config,
    links: &'a Links,
    tracks: &'a Tracks,
    gates: &'a Gates,
}

impl Engine {
    /// An engine that knows nothing of the system yet. `now` is when the daemon started.
    pub fn new(mut config: Config, now: Now) -> Self {
        let groups = config.sync_groups.iter().map(|g| Group::new(g.clone(), now)).collect();
        let mut links = Links::default();
        links.reconfigure(&config);
        let gates = Gates::of(&config);
        let instances = std::mem::take(&mut config.instances);
        let instances = instances.into_iter().map(|one| Instance::new(one, now)).collect();
        let mut engine = Self {
            tracks: Tracks::new(&config.tracks, now),
            gates,
            config,
            instances,
            groups,
            links,
            index: Index::default(),
            deadlines: Deadlines::default(),
            slots: Slots::default(),
            stray_discards: BTreeMap::new(),
            written: Written::default(),
            watched: Watched::default(),
            standby: Standby::default(),
            standby_requests: Vec::new(),
            stopping: false,
            ended: false,
        };
        engine.renumber();
        engine
    }

    /// Takes in what happened and says what to do about it, in this order.
    ///
    /// An input costs what it touches, however many instances there are. The steps:
    ///
    /// 1. It is handed to the instances, checks and groups that it is for, which the index finds.
    /// 2. The members of a touched sync group make one decision of theirs.
    /// 3. Whoever is on the way out by the operator's wish is looked at.
    /// 4. Each touched group follows its members.
    /// 5. What was touched is settled: removals come first, what is held is written down, the
    ///    list of watched addresses follows, and each says when it is due next.
    ///
    /// The caller owes three things. Times do not go backwards from call to call. The actions are
    /// carried out in their order, and what failed of them comes back as [`Input::Failed`]. It
    /// calls with [`Input::Deadline`] when [`Engine::next_deadline`] has come, after all that had
    /// arrived by then; one that comes early does nothing.
    pub fn handle(&mut self, now: Now, input: Input) -> Vec<Action> {
        let mut turn = Turn::new(now);
        self.take_in(&mut turn, input);
        self.align(&mut turn);
        self.settle_standby(&mut turn);
        self.follow_groups(&mut turn);
        self.settle(&mut turn);
        turn.out
    }

    fn take_in(&mut self, turn: &mut Turn, input: Input) {
        match input {
            Input::Link { interface, link } => self.link_changed(turn, &interface, link),
            Input::Received { interface, arrived, packet, proof } => {
                let (interface, packet) = (&interface, &packet);
                self.received(turn, Received { interface, at: arrived, packet, proof });
            }
            Input::AddressGone { interface, address, loss } => {
                let places = self.index.address(address).to_vec();
                self.each(turn, places, |instance, context, out| {
                    let lost = LostAddress { interface: &interface, address, loss };
                    instance.address_gone(context, &lost, out);
                });
            }
            Input::RoutingRestored { routing } => {
                let places = self.index.routing(&routing).to_vec();
                self.each(turn, places, |instance, _, out| {
                    instance.routing_restored(&routing, out);
                });
            }
            Input::Conflict { interface, frame } => self.conflict(turn, &interface, &frame),
            Input::Handover { request, instance, to } => {
                self.hand_over(turn, request, &instance, to.as_ref());
            }
            Input::Standby { request, instance, force } => {
                self.stand_by(turn, request, instance.as_ref(), force);
            }
            Input::Online { request, instance } => {
                self.go_online(turn, request, instance.as_ref());
            }
            Input::Probed { track, number, result } => {
                self.probed(turn, &track, number, &result);
            }
            Input::Stirred { track } => {
                turn.tracks.extend(self.tracks.stirred(&track));
            }
            Input::Hooked { owner, number, result } => {
                self.hooked(turn, &owner, number, &result);
            }
            Input::Listening { interface, family, missing } => {
                self.links.opened(turn.now.mono, &(interface.clone(), family), missing);
                turn.listening = true;
                let places = self.index.interface(&interface).to_vec();
                self.each(turn, places, Instance::reconsider);
            }
            Input::Failed { action, error } => self.failed(turn, &action, &error),
            Input::Reload { config } => self.reload(turn, *config),
            Input::Resumed { length } => {
                self.tracks.resume(turn.now.mono);
                turn.tracks.extend(self.tracks.places());
                self.each(turn, self.all(), |instance, context, out| {
                    instance.resume(context, length, out);
                });
            }
            Input::Deadline => self.fire(turn),
            Input::Stop => self.stop(turn),
        }
    }

    /// The next point in time at which [`Input::Deadline`] is due; `None` while nothing is.
    pub fn next_deadline(&self) -> Option<Deadline> {
        self.deadlines.next().map(|(at, why)| Deadline { at, why })
    }

    /// The instances that there are, those that leave among them.
    pub fn instances(&self) -> impl Iterator<Item = &InstanceConfig> {
        self.instances.iter().map(Instance::config)
    }

    /// The configuration that it works by, put together: not for every packet.
    pub fn config(&self) -> Config {
        Config { instances: self.configured().cloned().collect(), ..self.config.clone() }
    }

    /// The configuration without its instances.
    pub const fn common_config(&self) -> &Config {
        &self.config
    }

    /// Tells whether this is the configuration that it works by.
    pub fn works_by(&self, config: &Config) -> bool {
        self.config.is_alike_besides_instances(config) && self.configured().eq(&config.instances)
    }

    /// The instances of the configuration, in its order.
    pub fn configured(&self) -> impl Iterator<Item = &InstanceConfig> {
        let there = self.instances.iter().filter(|instance| !instance.is_retired());
        there.map(Instance::config)
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

    /// The places of all instances.
    fn all(&self) -> std::ops::Range<usize> {
        0..self.instances.len()
    }

    /// The context for the parts, and the instances.
    fn parts(&mut self, now: Now) -> (Context<'_>, &mut [Instance]) {
        let Self { config, links, tracks, gates, instances, .. } = self;
        (Context { now, config, links, tracks, gates }, instances)
    }

    /// Touches the instances in these places, and calls each.
    fn each(
        &mut self,
        turn: &mut Turn,
        places: impl IntoIterator<Item = usize>,
        mut call: impl FnMut(&mut Instance, &Context<'_>, &mut Vec<Action>),
    ) {
        let (context, instances) = self.parts(turn.now);
        for place in places {
            let Some(instance) = instances.get_mut(place) else { continue };
            turn.touched.insert(place, || instance.touch(context.now.mono));
            call(instance, &context, &mut turn.out);
        }
    }

    fn link_changed(&mut self, turn: &mut Turn, name: &InterfaceName, link: Option<Link>) {
        let before = self.links.get(name).map(|link| link.index);
        // Another interface under the same name: the old one and all on it are gone.
        if before.is_some() && link.as_ref().is_some_and(|link| Some(link.index) != before) {
            self.link_changed(turn, name, None);
        }
        let vanished = before.is_some() && link.is_none();
        let mac = |links: &Links| links.get(name).and_then(|link| link.mac);
        let old = mac(&self.links);
        let news = self.links.update(turn.now, name.clone(), link);
        let readdressed = old.is_some() && old != mac(&self.links);
        if news == links::News::Nothing {
            return;
        }
        let mut places = self.index.interface(name).to_vec();
        self.update_listening(turn, Some(name));
        if news == links::News::Moving {
            // Only to an address owner the addresses that move are its own.
            places.retain(|place| self.instances.get(*place).is_some_and(Instance::is_owner));
        }
        self.each(turn, places, |instance, context, out| {
            if vanished {
                instance.interface_vanished(name, out);
            }
            instance.reconsider(context, out);
            if readdressed {
                instance.readdressed(context, name, out);
            }
        });
    }

    /// Asks for the sockets that are needed, on this interface or on all.
    fn update_listening(&mut self, turn: &mut Turn, only: Option<&InterfaceName>) {
        turn.listening = true;
        let configs = self.instances.iter().map(Instance::config);
        match only {
            Some(name) => {
                let places = self.index.interface(name).iter();
                let configs = places.filter_map(|place| self.instances.get(*place));
                let configs = configs.map(Instance::config);
                self.links.listen(turn.now.mono, only, configs, &mut turn.out);
            }
            None => self.links.listen(turn.now.mono, None, configs, &mut turn.out),
        }
    }

    fn conflict(&mut self, turn: &mut Turn, interface: &InterfaceName, frame: &[u8]) {
        let Some(binding) = frame::binding(frame) else { return };
        let (_, address) = binding;
        let places = self.index.address(address).to_vec();
        self.each(turn, places, |instance, context, out| {
            instance.address_conflict(context, interface, binding, out);
        });
    }

    fn probed(&mut self, turn: &mut Turn, name: &TrackName, number: u64, result: &ProbeResult) {
        let Some(place) = self.tracks.place(name) else { return };
        turn.tracks.insert(place);
        if self.tracks.probed(turn.now, place, number, result, &mut turn.out) {
            let places = self.index.track(name).to_vec();
            self.each(turn, places, Instance::reconsider);
        }
    }

    fn hooked(&mut self, turn: &mut Turn, owner: &HookOwner, number: u64, result: &ProbeResult) {
        match owner {
            HookOwner::Instance(name) => {
                let places = self.index.hook_owner(name).to_vec();
                self.each(turn, places, |one, context, out| {
                    one.hooked(context, owner, number, result, out);
                });
            }
            HookOwner::Group(name) => {
                for (place, group) in self.groups.iter_mut().enumerate() {
                    if group.config().name == *name {
                        turn.groups.insert(place);
                        group.hooked(turn.now, owner, number, result, &mut turn.out);
                    }
                }
            }
        }
    }

    fn hand_over(
        &mut self,
        turn: &mut Turn,
        request: u64,
        name: &InstanceName,
        to: Option<&NodeName>,
    ) {
        let mut outcome = Err(HandoverRefusal::NoSuchInstance(Vec::new()));
        let first = self.index.name(name).first().copied();
        self.each(turn, first, |instance, context, out| {
            outcome = instance.hand_over(context, request, to, out);
        });
        match (outcome, first) {
            (Ok(()), Some(first)) => self.lead_departure(turn, first),
            (Ok(()), None) => {}
            (Err(mut refusal), _) => {
                if let HandoverRefusal::NoSuchInstance(known) = &mut refusal {
                    known.extend(self.configured().map(|one| one.name.clone()));
                }
                let answer = Answer::Handover(HandoverAnswer::Refused(refusal));
                turn.out.push(Action::Answer { request, answer });
            }
        }
    }

    /// Does all that is due.
    fn fire(&mut self, turn: &mut Turn) {
        let due = self.deadlines.due(turn.now.mono);
        if due.contains(&Owner::Listening) {
            self.update_listening(turn, None);
        }
        let mut instances = Vec::new();
        let (mut tracks, mut groups) = (Vec::new(), Vec::new());
        for owner in due {
            match owner {
                Owner::Listening => {}
                Owner::Instance(place) => instances.push(place),
                Owner::Track(place) => tracks.push(place),
                Owner::Group(place) => groups.push(place),
            }
        }
        // Each of them has something to say, most of the time just that.
        turn.out.reserve(instances.len() * 2);
        self.fire_instances(turn, instances);
        // After the advertisements: they can wait the least.
        for place in tracks {
            turn.tracks.insert(place);
            if let Some(name) = self.tracks.fire(turn.now, place, &mut turn.out) {
                let places = self.index.track(&name).to_vec();
                self.each(turn, places, Instance::reconsider);
            }
        }
        for place in groups {
            turn.groups.insert(place);
            if let Some(group) = self.groups.get_mut(place) {
                group.fire(turn.now, &mut turn.out);
            }
        }
    }

    fn stop(&mut self, turn: &mut Turn) {
        if std::mem::replace(&mut self.stopping, true) {
            self.groups.iter_mut().for_each(|group| group.give_up(&mut turn.out));
        }
        turn.groups.extend(0..self.groups.len());
        self.tracks.stop(&mut turn.out);
        turn.tracks.extend(self.tracks.places());
        self.each(turn, self.all(), Instance::stop);
    }
}
