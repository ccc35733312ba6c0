//! One instance: a virtual router, its addresses, and what people are told about it.
//!
//! Here is what belongs to being active and what is due when; in `fitness` whether it can take
//! part, in `health` what its checks make of it, in `member` what its sync group does, in `hear`
//! what the others say, in `departure` how it leaves, in `hooks` who is told and waited for, in
//! `reconfigure` how its configuration changes under it, in `refusal` what the system did not do,
//! in `status` what there is to know about it, in `wire` what is sent on which path, in
//! `virtual_mac` the devices that have its Ethernet addresses.

mod departure;
mod fitness;
mod health;
mod hear;
mod hooks;
mod member;
mod reconfigure;
mod refusal;
mod status;
mod virtual_mac;
mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use super::Context;
use super::announce::{self, Announcer};
use super::authentication::Authenticator;
use super::conflict::{Conflict, Conflicts};
use super::event::{Action, HookOwner};
use super::held::HeldRouter;
use super::hook::Hooks;
use super::lease::{Holding, Terms};
use super::link::Loss;
use super::peers::Peers;
use super::routing::Routings;
use super::status::{Counters, Transition};
use super::story::{Event, Fault, Lowered, Peer, StateName, What, Why};
use super::timer::Timer;
use crate::model::{
    ChecksumStyle, InstanceConfig, InterfaceName, Path, Routing, Version, VirtualAddress,
};
use crate::time::{Mono, Now, Span, Wall};
use crate::vrrp::packet::ChecksumForm;
use crate::vrrp::router::{Departure, Outcome, Router, State, Takeover};
use departure::HandingOver;
use fitness::Blip;
use hear::Presence;
use hooks::Claim;
pub(super) use reconfigure::differences;
use virtual_mac::Devices;
use wire::{FailedSends, Prepared};

/// One virtual router of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instance {
    config: InstanceConfig,
    router: Router,
    condition: Condition,
    /// Why it takes part with another priority than its own.
    lowered: Option<Lowered>,
    /// Whether something other than its sync group keeps it from taking part.
    has_own_fault: bool,
    /// Another member of its sync group cannot take part.
    group_fault: Option<Fault>,
    /// What the system has refused, and until when that keeps the instance from taking part.
    refused: Option<(Fault, Mono)>,
    blip: Blip,
    since: Wall,
    why: Why,
    holding: Holding,
    routings: Routings,
    devices: Devices,
    announcer: Announcer,
    /// When an address was last announced because another station claimed it.
    defended: Option<Mono>,
    handing_over: Option<HandingOver>,
    hooks: Hooks,
    /// It is active, and takes the addresses once a hook has ended.
    claim: Option<Claim>,
    /// It leaves once a hook has ended.
    departing: Option<Departure>,
    /// It leaves and does not come back.
    ending: Option<Ending>,
    /// Until when it is there to hear that the system has not done the last of what it asked for.
    listens_until: Option<Mono>,
    /// The operator has taken it out of the election.
    standby: bool,
    peers: Peers,
    history: VecDeque<Transition>,
    presence: Presence,
    failed_sends: FailedSends,
    prepared: Prepared,
    /// On which of its further interfaces nothing is heard, and why.
    missing_paths: BTreeMap<Path, Fault>,
    checksum: ChecksumForm,
    authenticator: Authenticator,
    conflicts: Conflicts,
    counters: Counters,
    /// The basis of what was written down of it; `None`: nothing was.
    mark: Option<Mark>,
    /// What is due next besides the election's timers, as of the last turn that touched it.
    due_besides: Option<(Mono, Timer)>,
}

/// The basis of an instance's part of the list of what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    addresses: u64,
    routing: u64,
    devices: u64,
    holds: bool,
    links: u64,
    checksum: ChecksumForm,
}

/// Why an instance does not come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The daemon stops.
    Stops,
    /// The configuration has it no more.
    Retires,
}

/// Whether the protocol runs.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    /// Its interfaces are not known yet.
    Starting,
    /// It takes part.
    Running,
    /// It cannot take part.
    Fault(Fault),
    /// The daemon stops.
    Stopped,
}

impl Instance {
    /// An instance that waits for news of its interfaces.
    pub(super) fn new(config: InstanceConfig, now: Now) -> Self {
        let (checksum, terms) = (checksum_form(&config), terms(&config));
        Self {
            router: Router::new((&config).into()),
            condition: Condition::Starting,
            lowered: None,
            has_own_fault: false,
            group_fault: None,
            refused: None,
            blip: Blip::default(),
            since: now.wall,
            why: Why::Started,
            holding: Holding::new(terms),
            routings: Routings::default(),
            devices: Devices::new(&config),
            announcer: Announcer::default(),
            defended: None,
            handing_over: None,
            hooks: Hooks::new(HookOwner::Instance(config.name.clone())),
            claim: None,
            departing: None,
            ending: None,
            listens_until: None,
            standby: false,
            peers: Peers::default(),
            history: VecDeque::new(),
            presence: Presence::default(),
            failed_sends: FailedSends::default(),
            prepared: Prepared::default(),
            missing_paths: BTreeMap::new(),
            checksum,
            authenticator: Authenticator::new(now.mono),
            conflicts: Conflicts::default(),
            counters: Counters::default(),
            mark: None,
            due_besides: None,
            config,
        }
    }

    /// The same where a reload has brought it.
    pub(super) fn late(config: InstanceConfig, now: Now) -> Self {
        let mut instance = Self::new(config, now);
        instance.hooks.number_from(now.mono);
        instance
    }

    /// The address owner's addresses are the machine's own: they are there without us.
    fn moves_addresses(&self) -> bool {
        !self.is_owner()
    }

    /// An input has to do with it: to be called before anything else in a turn. Returns whether
    /// it is active.
    pub(super) fn touch(&mut self, now: Mono) -> bool {
        self.router.wake(now);
        self.is_active()
    }

    /// To be called when all is decided in a turn.
    pub(super) fn settle(&mut self, context: &Context<'_>) {
        self.plan_verification(context.now.mono);
        let [_election, besides @ ..] = self.deadlines();
        self.due_besides = first(besides);
    }

    /// True if its addresses are the machine's own.
    pub(super) fn is_owner(&self) -> bool {
        self.config.priority.is_owner()
    }

    /// When it advertises next; `None`: it is not active.
    pub(super) fn next_advertisement(&self) -> Option<Mono> {
        self.router.next_advertisement()
    }

    /// It advertises at this earlier time, together with others.
    pub(super) fn advertise_at(&mut self, at: Mono) {
        self.router.advertise_at(at);
    }

    /// The interfaces that it needs or speaks on, and its devices.
    pub(super) fn interfaces(&self) -> impl Iterator<Item = &InterfaceName> {
        let further = &self.config.further_interfaces;
        self.config.interfaces().chain(further).chain(self.devices.names())
    }

    /// The machine was suspended.
    pub(super) fn resume(&mut self, context: &Context<'_>, length: Span, out: &mut Vec<Action>) {
        // The others don't miss us so soon.
        let is_short = length <= self.config.advertisement_interval.span().times(2);
        if !is_short && self.router.resume(context.now.mono) {
            self.counters.overslept += 1;
            self.let_go(out);
            self.call_off(out);
            self.changed(context, StateName::Active, Why::Suspended(length), out);
        }
    }

    /// Carries out what the state machine has decided.
    fn follow(&mut self, context: &Context<'_>, outcome: Outcome, out: &mut Vec<Action>) {
        let priority = self.router.priority().get();
        match outcome {
            Outcome::Nothing => {}
            Outcome::Advertise => self.advertise(context, priority, out),
            Outcome::Reassert => {
                self.advertise(context, priority, out);
                self.announce(context, false, out);
            }
            Outcome::TakeOver(how) => self.take_over(context, StateName::Backup, how, out),
            Outcome::GiveUp(heard) => self.give_up(context, heard, out),
            Outcome::Farewell => self.advertise(context, 0, out),
            Outcome::Succeeded(heard) => self.succeeded(context, heard, out),
            Outcome::Unclaimed => self.unclaimed(context, out),
            Outcome::Distrusted(late) => {
                self.counters.distrusted_pauses += 1;
                self.report(What::Distrusted(late), out);
            }
            Outcome::Overslept(late, heard) => {
                self.counters.overslept += 1;
                self.let_go(out);
                let peer = Peer::new(context.config, heard.source);
                self.changed(context, StateName::Active, Why::Overslept(late, peer), out);
            }
        }
    }

    /// Becomes active. After silence it advertises first, so that other backups hold back; where
    /// another router still answers, because it is preempted or leaves, it installs and announces
    /// first, so that the other one lets go only when we answer already (DESIGN.md, invariant 5).
    fn take_over(
        &mut self,
        context: &Context<'_>,
        from: StateName,
        how: Takeover,
        out: &mut Vec<Action>,
    ) {
        self.counters.became_active += 1;
        self.measure_takeover(context.now.mono, how);
        self.presence.became_active(context.now.mono);
        let waits = self.waits_to_claim(context);
        if !waits {
            self.claim(context, how, out);
        }
        let peer = |address| Peer::new(context.config, address);
        let why = match how {
            Takeover::Owner => Why::AddressOwner,
            Takeover::Silence(None, span) => Why::NobodyHeard(span),
            Takeover::Silence(Some(address), span) => Why::Silence(peer(address), span),
            Takeover::Stopped(address) => Why::PeerStopped(peer(address)),
            Takeover::Preempt(heard) => Why::Preempting(peer(heard.source), heard.priority),
        };
        self.changed(context, from, why, out);
        if waits {
            self.begin_to_claim(context, how, out);
        }
    }

    /// Takes the addresses.
    fn claim(&mut self, context: &Context<'_>, how: Takeover, out: &mut Vec<Action>) {
        let priority = self.router.priority().get();
        let others_answer = matches!(how, Takeover::Preempt(_) | Takeover::Stopped(_));
        self.devices.raise(out);
        if !others_answer {
            self.advertise(context, priority, out);
        }
        if matches!(how, Takeover::Silence(..)) {
            self.probe(context, out);
        }
        if self.moves_addresses() {
            let Self { config, devices, holding, routings, .. } = self;
            let now = context.now.mono;
            let addresses = config.moving_addresses().map(|a| (devices.place(config, a), a));
            holding.claim(now, addresses, out);
            routings.claim(now, terms(config), config.routing(), out);
        }
        self.announce(context, others_answer, out);
        if others_answer {
            self.advertise(context, priority, out);
        }
    }

    /// Stops answering for the addresses.
    fn let_go(&mut self, out: &mut Vec<Action>) {
        self.claim = None;
        self.announcer.stop();
        self.routings.release(out);
        // The devices first: when an IPv6 address leaves one that is up, the kernel tells the
        // segment so (MLD), and the switch would look for the virtual MAC here again.
        self.devices.lower(out);
        self.holding.release(out);
        self.conflicts.over(|c| matches!(c, Conflict::ForeignClaim(..) | Conflict::TwoActive(..)));
    }

    /// Tells the segment who has the addresses, now and a few times more.
    fn announce(&mut self, context: &Context<'_>, all_at_once: bool, out: &mut Vec<Action>) {
        if self.claim.is_some() {
            return;
        }
        let (now, refresh) = (context.now.mono, self.config.announce_refresh);
        self.announcer.start(now, self.config.moving_addresses().count(), refresh);
        self.announce_due(context, all_at_once, out);
    }

    /// An interface has another Ethernet address: a bridge takes the lowest one of its ports, a
    /// bond may take that of its new active member. The neighbours still know the one before.
    pub(super) fn readdressed(
        &mut self,
        context: &Context<'_>,
        interface: &InterfaceName,
        out: &mut Vec<Action>,
    ) {
        if self.router.holds() && self.config.interfaces().any(|name| name == interface) {
            self.announce(context, false, out);
        }
    }

    fn announce_due(&mut self, context: &Context<'_>, all_at_once: bool, out: &mut Vec<Action>) {
        let (now, refresh) = (context.now.mono, self.config.announce_refresh);
        let due = self.announcer.fire(now, refresh, announce::limit(all_at_once));
        for address in self.config.moving_addresses().skip(due.start).take(due.len()) {
            self.announce_one(context, address, out);
        }
    }

    /// Asks whether anybody still answers for the addresses, and does not wait for an answer.
    fn probe(&self, context: &Context<'_>, out: &mut Vec<Action>) {
        if self.moves_addresses() {
            for address in self.config.moving_addresses() {
                let place = self.devices.place(&self.config, address);
                announce::probe(context.links, place, address, out);
            }
        }
    }

    /// An address has gone from an interface, and we have not taken it off.
    pub(super) fn address_gone(
        &mut self,
        context: &Context<'_>,
        interface: &InterfaceName,
        (address, loss): (IpAddr, Loss),
        out: &mut Vec<Action>,
    ) {
        let now = context.now.mono;
        if self.router.is_held_up() {
            // Whether it is still ours the next packets tell.
            return self.holding.gone_late(now, interface, (address, loss));
        }
        if let Some(address) = self.holding.gone(now, interface, (address, loss), out) {
            self.tell_put_back(context, (address, loss), out);
            // Routes from that address have gone with it.
            self.routings.look(now);
        }
    }

    /// A route or rule had gone, and is back.
    pub(super) fn routing_restored(&mut self, routing: &Routing, out: &mut Vec<Action>) {
        if self.routings.holds(routing) {
            self.counters.put_back += 1;
            self.report(What::RoutingPutBack(routing.clone()), out);
        }
    }

    /// Whether it holds this route or rule.
    pub(super) fn holds_routing(&self, routing: &Routing) -> bool {
        self.routings.holds(routing)
    }

    fn tell_put_back(
        &mut self,
        context: &Context<'_>,
        (address, loss): (VirtualAddress, Loss),
        out: &mut Vec<Action>,
    ) {
        let interface = self.devices.place(&self.config, &address).clone();
        self.announce_one(context, &address, out);
        self.counters.put_back += 1;
        self.report(What::PutBack(address, interface, loss), out);
    }

    /// When [`Instance::fire`] is due, and what for.
    pub(super) fn deadline(&self) -> Option<(Mono, Timer)> {
        first(self.deadlines())
    }

    /// The same where only the election's timers have changed since [`Instance::settle`].
    pub(super) fn settled_deadline(&self) -> Option<(Mono, Timer)> {
        first([self.election_deadline(), self.due_besides])
    }

    fn election_deadline(&self) -> Option<(Mono, Timer)> {
        self.router.deadline().map(|(at, timer)| (at, timer.into()))
    }

    /// All that is due at some time, the election's timers first.
    fn deadlines(&self) -> [Option<(Mono, Timer)>; 10] {
        let refused = self.refused.as_ref().map(|(_, at)| (*at, Timer::AnotherAttempt));
        [
            self.election_deadline(),
            self.announcer.deadline(),
            self.holding.deadline(),
            self.routings.deadline(),
            self.conflicts.deadline(),
            self.blip_deadline(),
            self.hooks.deadline(),
            self.devices.deadline(),
            self.listens_until.map(|at| (at, Timer::LastAnswers)),
            refused.filter(|_| self.condition != Condition::Stopped),
        ]
    }

    /// Does everything that is due.
    pub(super) fn fire(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        let now = context.now.mono;
        self.listens_until = self.listens_until.filter(|at| *at > now);
        if self.refused.as_ref().is_some_and(|(_, at)| *at <= now) {
            self.refused = None;
            self.reconsider(context, out);
        }
        if self.blip_deadline().is_some_and(|(at, _)| at <= now) {
            self.reconsider(context, out);
        }
        if self.devices.fire(now, out) {
            self.reconsider(context, out);
        }
        // The advertisement first: everything else can wait a moment, the other nodes cannot.
        let outcome = self.router.fire(now);
        self.follow(context, outcome, out);
        for (address, loss) in self.holding.fire(now, out) {
            match loss {
                Some(loss) => self.tell_put_back(context, (address, loss), out),
                None => self.announce_one(context, &address, out),
            }
        }
        self.routings.fire(now, terms(&self.config), out);
        self.announce_due(context, false, out);
        for (conflict, count) in self.conflicts.fire(now) {
            self.report(What::Conflict(conflict, count), out);
        }
        self.fire_hooks(context, out);
    }

    fn see(&mut self, now: Mono, conflict: Conflict, grace: Span, out: &mut Vec<Action>) {
        self.counters.conflicts += 1;
        if let Some(count) = self.conflicts.see(now, conflict.clone(), grace) {
            self.report(What::Conflict(conflict, count), out);
        }
    }

    fn state_name(&self) -> StateName {
        match (&self.condition, self.router.state()) {
            (Condition::Starting | Condition::Stopped, _) => StateName::Stopped,
            (Condition::Fault(Fault::Standby), _) => StateName::Standby,
            (Condition::Fault(_), _) => StateName::Fault,
            // To its clients a leaving router is active: it answers.
            (Condition::Running, State::Active(_) | State::Leaving(_)) => StateName::Active,
            (Condition::Running, State::Initialize | State::Backup(_)) => StateName::Backup,
        }
    }

    fn changed(&mut self, context: &Context<'_>, from: StateName, why: Why, out: &mut Vec<Action>) {
        self.since = context.now.wall;
        self.why = why.clone();
        let to = self.state_name();
        self.remember_transition(context.now.wall, from, to, &why);
        self.report(What::Changed { from, to, why }, out);
        self.tell_hooks(context, from, out);
    }

    fn report(&self, what: What, out: &mut Vec<Action>) {
        out.push(Action::Report(Event::of_instance(self.config.name.clone(), what)));
    }

    /// Its configuration.
    pub(super) fn config(&self) -> &InstanceConfig {
        &self.config
    }

    /// What it holds, with the interfaces.
    pub(super) fn held(&self) -> impl Iterator<Item = (&InterfaceName, &VirtualAddress)> {
        self.holding.held()
    }

    /// Whether it has stopped.
    pub(super) fn is_stopped(&self) -> bool {
        self.condition == Condition::Stopped
    }

    /// Whether the end has come for it: it has stopped, and everybody was told.
    pub(super) fn is_over(&self) -> bool {
        self.is_stopped() && self.hooks.is_idle()
    }

    /// What `vipd release` must undo if this daemon dies now.
    pub(super) fn held_router(&self, context: &Context<'_>) -> HeldRouter {
        // Without a time stamp: whoever sends it gives it one.
        let farewells = if self.router.holds() { self.farewells(context) } else { Vec::new() };
        HeldRouter {
            instance: self.config.name.clone(),
            addresses: self.holding.on_the_system(),
            routing: self.routings.on_the_system(),
            farewells,
            devices: self.devices.on_the_system(),
        }
    }

    /// True if [`Instance::held_router`] may be another one than when this was asked last.
    pub(super) fn has_changed_what_is_held(&mut self, context: &Context<'_>) -> bool {
        let mark = Mark {
            addresses: self.holding.changes(),
            routing: self.routings.changes(),
            devices: self.devices.changes(),
            holds: self.router.holds(),
            links: context.links.changes(),
            checksum: self.checksum,
        };
        self.mark.replace(mark) != Some(mark)
    }

    /// The addresses that nobody else may claim, with their interfaces.
    pub(super) fn watched(&self) -> impl Iterator<Item = (&InterfaceName, IpAddr)> {
        let addresses = self.config.moving_addresses().filter(|_| self.router.holds());
        addresses.map(|a| (self.devices.place(&self.config, a), a.address))
    }
}

/// The first of these; of several at the same time the one that stands first.
fn first<const N: usize>(deadlines: [Option<(Mono, Timer)>; N]) -> Option<(Mono, Timer)> {
    deadlines.into_iter().flatten().min_by_key(|(at, _)| *at)
}

/// How it sums its advertisements while it has not heard how the others do.
fn checksum_form(config: &InstanceConfig) -> ChecksumForm {
    match (config.version, config.checksum) {
        (Version::V2, _) | (Version::V3, ChecksumStyle::Rfc9568) => ChecksumForm::Message,
        (Version::V3, _) => ChecksumForm::WithPseudoHeader,
    }
}

fn terms(config: &InstanceConfig) -> Terms {
    // The others take over three intervals after the last advertisement at the earliest, and that
    // is at most one old whenever something is decided.
    let patience = config.advertisement_interval.span().times(2);
    Terms { lease: config.lease, patience }
}
