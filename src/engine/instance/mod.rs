//! One instance: a virtual router, its addresses, and what people are told about it.
//!
//! Here is what belongs to being active and what is due when; in `life` where it is in its life and
//! how it gets elsewhere, in `service` what it has put on the system, in `fitness` whether it can
//! take part, in `health` what its checks make of it, in `member` what its sync group does, in `hear`
//! what the others say, in `departure` how it leaves, in `hooks` who is told and waited for, in
//! `reconfigure` how its configuration changes under it, in `refusal` what the system did not do,
//! in `status` what there is to know about it, in `wire` what is sent on which path, in
//! `virtual_mac` the devices that have its Ethernet addresses.

mod departure;
mod fitness;
mod health;
mod hear;
mod hooks;
mod life;
mod member;
mod past;
mod reconfigure;
mod refusal;
mod service;
mod status;
mod succession;
mod virtual_mac;
mod wire;

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Context;
use super::authentication::Authenticator;
use super::conflict::{Conflict, Conflicts};
use super::event::{Action, HookOwner};
use super::held::HeldRouter;
use super::hook::Hooks;
use super::lease::LostAddress;
use super::peers::Peers;
use super::status::Counters;
use super::story::{Event, Fault, Lowered, Peer, StateName, What, Why};
use super::timer::Timer;
use crate::hash::hash_by;
use crate::model::{InstanceConfig, InterfaceName, Path, Routing, VirtualAddress};
use crate::time::{Mono, Now, Span};
use crate::vrrp::packet::ChecksumForm;
use crate::vrrp::router::{Outcome, Router, State, Takeover};
use fitness::Obstacles;
use hear::Presence;
use life::Life;
use past::Past;
pub(super) use reconfigure::differences;
use service::{FarewellBasis, Service};
use wire::{FailedSends, Prepared};

/// One virtual router of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instance {
    config: InstanceConfig,
    router: Router,
    life: Life,
    obstacles: Obstacles,
    service: Service,
    /// Why it takes part with another priority than its own.
    lowered: Option<Lowered>,
    past: Past,
    hooks: Hooks,
    peers: Peers,
    presence: Presence,
    failed_sends: FailedSends,
    prepared: Prepared,
    /// On which of its further interfaces nothing is heard, and why.
    missing_paths: BTreeMap<Path, Fault>,
    checksum: ChecksumForm,
    authenticator: Authenticator,
    conflicts: Conflicts,
    counters: Counters,
    /// What is due next besides the election's timers, as of the last turn that touched it.
    due_besides: Option<(Mono, Timer)>,
}

hash_by!(Instance {
    router,
    life,
    obstacles,
    service,
    lowered,
    hooks,
    failed_sends,
    missing_paths,
    checksum,
    authenticator,
    due_besides,
} without { config, past, peers, presence, prepared, conflicts, counters });

impl Instance {
    /// An instance that waits for news of its interfaces.
    pub(super) fn new(config: InstanceConfig, now: Now) -> Self {
        Self {
            router: Router::new((&config).into()),
            life: Life::Waiting,
            obstacles: Obstacles::default(),
            service: Service::new(&config),
            lowered: None,
            past: Past::new(now),
            hooks: Hooks::new(HookOwner::Instance(config.name.clone())),
            peers: Peers::default(),
            presence: Presence::default(),
            failed_sends: FailedSends::default(),
            prepared: Prepared::default(),
            missing_paths: BTreeMap::new(),
            checksum: wire::checksum_form(&config),
            authenticator: Authenticator::new(now.mono),
            conflicts: Conflicts::default(),
            counters: Counters::default(),
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

    /// True if it is active, and the addresses do not wait for a hook.
    fn is_serving(&self) -> bool {
        self.is_active() && !self.is_pending()
    }

    /// True if it has addresses that another router could take over.
    fn has_addresses(&self) -> bool {
        self.router.holds() && self.moves_addresses() && !self.is_pending()
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
        self.config.interfaces().chain(further).chain(self.service.devices().names())
    }

    /// The machine was suspended.
    pub(super) fn resume(&mut self, context: &Context<'_>, length: Span, out: &mut Vec<Action>) {
        // The others don't miss us so soon.
        let is_short = length <= self.config.advertisement_interval.span().times(2);
        if !is_short && self.router.resume(context.now.mono) {
            self.counters.overslept += 1;
            self.let_go(out);
            self.fall_back(context, Why::Suspended(length), out);
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
                self.fall_back(context, Why::Overslept(late, peer), out);
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
        let why = why_active(context, how);
        self.changed(context, from, why, out);
        if waits {
            self.pend(context, how, out);
        }
    }

    /// Takes the addresses.
    fn claim(&mut self, context: &Context<'_>, how: Takeover, out: &mut Vec<Action>) {
        let priority = self.router.priority().get();
        let others_answer = matches!(how, Takeover::Preempt(_) | Takeover::Stopped(_));
        self.service.raise(out);
        if !others_answer {
            self.advertise(context, priority, out);
        }
        if self.moves_addresses() {
            if matches!(how, Takeover::Silence(..)) {
                self.service.probe(context, &self.config, out);
            }
            self.service.install(context.now.mono, &self.config, out);
        }
        self.announce(context, others_answer, out);
        if others_answer {
            self.advertise(context, priority, out);
        }
    }

    /// Stops answering for the addresses.
    fn let_go(&mut self, out: &mut Vec<Action>) {
        self.service.withdraw(out);
        self.conflicts
            .over(|c| matches!(c, Conflict::DuplicateAddress(..) | Conflict::TwoActive(..)));
    }

    /// Tells the segment who has the addresses, now and a few times more.
    fn announce(&mut self, context: &Context<'_>, all_at_once: bool, out: &mut Vec<Action>) {
        if !self.is_pending() {
            self.service.announce(context, &self.config, all_at_once, out);
        }
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

    /// An address has gone from an interface, and we have not taken it off.
    pub(super) fn address_gone(
        &mut self,
        context: &Context<'_>,
        lost: &LostAddress<'_>,
        out: &mut Vec<Action>,
    ) {
        if self.router.is_held_up() {
            // Whether it is still ours the next packets tell.
            return self.service.lost_in_doubt(context.now.mono, lost);
        }
        let is_put_back = self.service.lost(context, &self.config, lost, out);
        self.counters.put_back += u64::from(is_put_back);
    }

    /// A route or rule had gone, and is back.
    pub(super) fn routing_restored(&mut self, routing: &Routing, out: &mut Vec<Action>) {
        if self.holds_routing(routing) {
            self.counters.put_back += 1;
            self.report(What::RoutingPutBack(routing.clone()), out);
        }
    }

    /// Whether it holds this route or rule.
    pub(super) fn holds_routing(&self, routing: &Routing) -> bool {
        self.service.holds_routing(routing)
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
        let [announcements, addresses, routings, devices] = self.service.deadlines();
        let [link, refusal] = self.obstacle_deadlines();
        [
            self.election_deadline(),
            announcements,
            addresses,
            routings,
            self.conflicts.deadline(),
            link,
            self.hooks.deadline(),
            devices,
            self.life.listens_until().map(|at| (at, Timer::LastAnswers)),
            refusal,
        ]
    }

    /// Does everything that is due.
    pub(super) fn fire(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        let now = context.now.mono;
        self.life.fire(now);
        self.fire_obstacles(context, out);
        if self.service.refresh_devices(now, out) {
            self.reconsider(context, out);
        }
        // The advertisement first: everything else can wait a moment, the other nodes cannot.
        let outcome = self.router.fire(now);
        self.follow(context, outcome, out);
        self.counters.put_back += self.service.refresh(context, &self.config, out);
        for (conflict, count) in self.conflicts.fire(now) {
            self.report(What::Conflict(conflict, count), out);
        }
        self.fire_hooks(context, out);
    }

    /// Advertises, where that is due on time and nothing else is. Returns false otherwise: then
    /// nothing was done.
    pub(super) fn advertises_again(
        &mut self,
        context: &Context<'_>,
        out: &mut Vec<Action>,
    ) -> bool {
        let now = context.now.mono;
        let is_alone = self.due_besides.is_none_or(|(at, _)| at > now);
        let again = is_alone && self.router.keeps_beat(now);
        if again {
            self.follow(context, Outcome::Advertise, out);
        }
        again
    }

    fn see(&mut self, now: Mono, conflict: Conflict, grace: Span, out: &mut Vec<Action>) {
        self.counters.conflicts += 1;
        if let Some(count) = self.conflicts.see(now, conflict.clone(), grace) {
            self.report(What::Conflict(conflict, count), out);
        }
    }

    fn state_name(&self) -> StateName {
        match (&self.life, self.router.state()) {
            (Life::Waiting | Life::Stopped { .. }, _) => StateName::Stopped,
            (Life::Fault(fault), _) if **fault == Fault::Standby => StateName::Standby,
            (Life::Fault(_), _) => StateName::Fault,
            // To its clients a leaving router is active: it answers.
            (_, State::Active(_) | State::Leaving(_)) => StateName::Active,
            (_, State::Initialize | State::Backup(_)) => StateName::Backup,
        }
    }

    fn changed(&mut self, context: &Context<'_>, from: StateName, why: Why, out: &mut Vec<Action>) {
        let to = self.state_name();
        self.past.changed(context.now.wall, from, to, why.clone());
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
        self.service.held()
    }

    /// Whether the end has come for it: it has stopped, and everybody was told.
    pub(super) fn is_over(&self) -> bool {
        self.life.has_stopped() && self.hooks.is_idle()
    }

    /// What `vipd release` must undo if this daemon dies now.
    pub(super) fn held_router(&self, context: &Context<'_>) -> HeldRouter {
        // Without a time stamp: whoever sends it gives it one.
        let farewells = if self.router.holds() { self.farewells(context) } else { Vec::new() };
        self.service.held_router(&self.config, farewells)
    }

    /// True if [`Instance::held_router`] may be another one than when this was asked last.
    pub(super) fn has_changed_what_is_held(&mut self, context: &Context<'_>) -> bool {
        self.service.mark(FarewellBasis {
            holds: self.router.holds(),
            links: context.links.changes(),
            checksum: self.checksum,
        })
    }

    /// The addresses that no other station may have, with their interfaces.
    pub(super) fn watched(&self) -> impl Iterator<Item = (&InterfaceName, IpAddr)> {
        let addresses = self.config.moving_addresses().filter(|_| self.router.holds());
        addresses.map(|a| (self.service.place(&self.config, a), a.address))
    }
}

/// The first of these; of several at the same time the one that stands first.
fn first<const N: usize>(deadlines: [Option<(Mono, Timer)>; N]) -> Option<(Mono, Timer)> {
    deadlines.into_iter().flatten().min_by_key(|(at, _)| *at)
}

fn why_active(context: &Context<'_>, how: Takeover) -> Why {
    let peer = |address| Peer::new(context.config, address);
    match how {
        Takeover::Owner => Why::AddressOwner,
        Takeover::Silence(None, span) => Why::NobodyHeard(span),
        Takeover::Silence(Some(address), span) => Why::Silence(peer(address), span),
        Takeover::Stopped(address) => Why::PeerStopped(peer(address)),
        Takeover::Preempt(heard) => Why::Preempting(peer(heard.source), heard.priority),
    }
}
