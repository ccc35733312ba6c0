//! What an instance serves while it has its addresses: they, its routes and rules, the devices that
//! carry them, and what the segment is told of them.
//!
//! The instance decides when ([`super`]); what was put on the system, what is due of it and what the
//! system still owes is known here alone.

use super::super::announce::{self, Announcer};
use super::super::event::{Action, Change, SystemError};
use super::super::held::{Farewell, HeldRouter};
use super::super::lease::{Holding, LostAddress, Terms};
use super::super::retry::InstallFailure;
use super::super::routing::Routings;
use super::super::story::{Event, Fault, What};
use super::super::timer::Timer;
use super::Context;
use super::virtual_mac::{Devices, NotRaised};
use crate::hash::hash_by;
use crate::model::{InstanceConfig, InterfaceName, Routing, VirtualAddress};
use crate::time::{Mono, Span};
use crate::vrrp::packet::ChecksumForm;

/// An address is announced in a conflict at most this often.
const DEFENCE_DISTANCE: Span = Span::from_millis(500);

/// All that an instance has put on the system, and tells the segment of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    addresses: Holding,
    routings: Routings,
    devices: Devices,
    announcer: Announcer,
    /// When an address was last announced because of a conflict.
    defended: Option<Mono>,
    /// The basis of what was written down of it; `None`: nothing was.
    mark: Option<Mark>,
}

hash_by!(Service { addresses, routings, devices, announcer, defended } without { mark });

/// The basis of an instance's part of the list of what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    addresses: u64,
    routing: u64,
    devices: u64,
    farewell: FarewellBasis,
}

/// All that the farewells of an instance depend on besides the configuration, which counts as a
/// change of the links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FarewellBasis {
    pub(super) holds: bool,
    pub(super) links: u64,
    pub(super) checksum: ChecksumForm,
}

/// What follows from a change that the system has refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nothing: the change is no longer wanted, or was none of this instance's.
    Nothing,
    /// It is tried again, and people know.
    Known,
    /// It is tried again, and people are told.
    Told(What),
    /// The instance cannot take part.
    Hopeless(Fault),
}

impl Service {
    /// Nothing is served yet.
    pub(super) fn new(config: &InstanceConfig) -> Self {
        Self {
            addresses: Holding::new(terms(config)),
            routings: Routings::default(),
            devices: Devices::new(config),
            announcer: Announcer::default(),
            defended: None,
            mark: None,
        }
    }

    /// Takes on another configuration. What is on the system stays, until [`Service::change`].
    pub(super) fn reconfigure(&mut self, now: Mono, old: &InstanceConfig, new: &InstanceConfig) {
        self.devices.reconfigure(new);
        self.addresses.set_terms(now, terms(new));
        if old.announce_refresh != new.announce_refresh {
            self.announcer.refresh_after(now, new.announce_refresh);
        }
    }

    /// The devices.
    pub(super) fn devices(&self) -> &Devices {
        &self.devices
    }

    /// Takes the devices up.
    pub(super) fn raise(&mut self, out: &mut Vec<Action>) {
        self.devices.raise(out);
    }

    /// Puts the addresses, and then the routes and rules, on the system.
    pub(super) fn install(&mut self, now: Mono, config: &InstanceConfig, out: &mut Vec<Action>) {
        let Self { addresses, devices, .. } = self;
        let places = config.moving_addresses().map(|a| (devices.place(config, a), a));
        addresses.claim(now, places, out);
        self.routings.claim(now, terms(config), config.routing(), out);
    }

    /// Has on the system what this configuration wants there, and nothing else.
    pub(super) fn change(&mut self, now: Mono, config: &InstanceConfig, out: &mut Vec<Action>) {
        self.place_addresses(now, config, out);
        self.routings.change(now, terms(config), config.routing(), out);
    }

    /// Has the addresses that it holds where they belong now, and nowhere else.
    pub(super) fn place_addresses(
        &mut self,
        now: Mono,
        config: &InstanceConfig,
        out: &mut Vec<Action>,
    ) {
        let Self { addresses, devices, .. } = self;
        let places = config.moving_addresses().map(|a| (devices.place(config, a), a));
        addresses.change(now, places, out);
    }

    /// Takes everything off the system, and is silent.
    pub(super) fn withdraw(&mut self, out: &mut Vec<Action>) {
        self.announcer.stop();
        self.routings.release(out);
        // The devices first: when an IPv6 address leaves one that is up, the kernel tells the
        // segment so (MLD), and the switch would look for the virtual MAC here again.
        self.devices.lower(out);
        self.addresses.release(out);
    }

    /// Removes the devices that the configuration no longer has.
    pub(super) fn remove_unwanted_devices(&mut self, out: &mut Vec<Action>) {
        self.devices.remove_unwanted(out);
    }

    /// Removes all devices.
    pub(super) fn remove_devices(&mut self, out: &mut Vec<Action>) {
        self.devices.remove_all(out);
    }

    /// Asks for the devices that are lacking, unless the system has refused something lately.
    /// Returns true if one has come.
    pub(super) fn follow_devices(
        &mut self,
        context: &Context<'_>,
        config: &InstanceConfig,
        may_ask: bool,
        out: &mut Vec<Action>,
    ) -> bool {
        let (has_come, restored) = self.devices.follow(context, may_ask, out);
        for name in restored {
            report(config, What::DeviceRestored(name), out);
        }
        has_come
    }

    /// Removes what a killed predecessor has left: a backup must not answer for the addresses.
    /// Which routes and rules there are is not known; that one is not there is no failure.
    pub(super) fn remove_leftovers(
        &self,
        context: &Context<'_>,
        config: &InstanceConfig,
        out: &mut Vec<Action>,
    ) {
        let routing: Vec<_> = config.routing().collect();
        let removals = routing.into_iter().rev();
        out.extend(removals.map(|routing| Action::Change(Change::RemoveRouting { routing })));
        for address in config.moving_addresses() {
            let place = self.devices.place(config, address);
            // Another configuration may have had it there.
            let own = config.interface_of(address);
            for interface in [place].into_iter().chain((own != place).then_some(own)) {
                let there = context.links.get(interface).into_iter().flat_map(|l| &l.addresses);
                let (wanted, prefix) = (address.address, address.prefix);
                if there.into_iter().any(|a| (a.address, a.prefix) == (wanted, prefix)) {
                    let (interface, address) = (interface.clone(), address.clone());
                    out.push(Action::Change(Change::RemoveAddress { interface, address }));
                }
            }
        }
    }

    /// Tells the segment who has the addresses, now and a few times more.
    pub(super) fn announce(
        &mut self,
        context: &Context<'_>,
        config: &InstanceConfig,
        all_at_once: bool,
        out: &mut Vec<Action>,
    ) {
        let count = config.moving_addresses().count();
        self.announcer.start(context.now.mono, count, config.announce_refresh);
        self.announce_due(context, config, announce::limit(all_at_once), out);
    }

    fn announce_due(
        &mut self,
        context: &Context<'_>,
        config: &InstanceConfig,
        limit: usize,
        out: &mut Vec<Action>,
    ) {
        let due = self.announcer.fire(context.now.mono, config.announce_refresh, limit);
        for address in config.moving_addresses().skip(due.start).take(due.len()) {
            self.announce_one(context, config, address, out);
        }
    }

    fn announce_one(
        &self,
        context: &Context<'_>,
        config: &InstanceConfig,
        address: &VirtualAddress,
        out: &mut Vec<Action>,
    ) {
        let place = self.devices.place(config, address);
        // The device forwards as its interface does, and is told later.
        let interface = context.links.get(config.interface_of(address));
        let forwards_ipv6 = interface.is_some_and(|link| link.forwards_ipv6);
        announce::announce(context.links, place, address, forwards_ipv6, out);
    }

    /// Another station says that it has this address: the segment is told again who has it, but
    /// not as often as somebody likes to say so.
    pub(super) fn defend(
        &mut self,
        context: &Context<'_>,
        config: &InstanceConfig,
        address: &VirtualAddress,
        out: &mut Vec<Action>,
    ) {
        let now = context.now.mono;
        if self.defended.is_none_or(|at| now.since(at) >= DEFENCE_DISTANCE) {
            self.defended = Some(now);
            self.announce_one(context, config, address, out);
        }
    }

    /// Asks whether anybody still answers for the addresses, and does not wait for an answer.
    pub(super) fn probe(
        &self,
        context: &Context<'_>,
        config: &InstanceConfig,
        out: &mut Vec<Action>,
    ) {
        for address in config.moving_addresses() {
            let place = self.devices.place(config, address);
            announce::probe(context.links, place, address, out);
        }
    }

    /// Does what is due: renewals, what is put on the system again, announcements. Returns how many
    /// addresses were put back.
    pub(super) fn refresh(
        &mut self,
        context: &Context<'_>,
        config: &InstanceConfig,
        out: &mut Vec<Action>,
    ) -> u64 {
        let now = context.now.mono;
        let mut put_back = 0;
        for (address, loss) in self.addresses.fire(now, out) {
            self.announce_one(context, config, &address, out);
            if let Some(loss) = loss {
                put_back += 1;
                let place = self.devices.place(config, &address).clone();
                report(config, What::PutBack(address, place, loss), out);
            }
        }
        self.routings.fire(now, terms(config), out);
        self.announce_due(context, config, announce::limit(false), out);
        put_back
    }

    /// Does what is due of the devices. Returns true if one is to be looked at.
    pub(super) fn refresh_devices(&mut self, now: Mono, out: &mut Vec<Action>) -> bool {
        self.devices.fire(now, out)
    }

    /// When announcements, addresses, routes and devices are due.
    pub(super) fn deadlines(&self) -> [Option<(Mono, Timer)>; 4] {
        [
            self.announcer.deadline(),
            self.addresses.deadline(),
            self.routings.deadline(),
            self.devices.deadline(),
        ]
    }

    /// An address is gone from an interface. Returns true if it is one of ours and was put back.
    pub(super) fn lost(
        &mut self,
        context: &Context<'_>,
        config: &InstanceConfig,
        lost: &LostAddress<'_>,
        out: &mut Vec<Action>,
    ) -> bool {
        let now = context.now.mono;
        let Some(address) = self.addresses.gone(now, lost, out) else { return false };
        self.announce_one(context, config, &address, out);
        let place = self.devices.place(config, &address).clone();
        report(config, What::PutBack(address, place, lost.loss), out);
        // Routes from that address have gone with it.
        self.routings.look(now);
        true
    }

    /// An address is gone that may not be ours any more: it is put back when it turns out to be.
    pub(super) fn lost_in_doubt(&mut self, now: Mono, lost: &LostAddress<'_>) {
        self.addresses.gone_late(now, lost);
    }

    /// There is no interface of this name any more.
    pub(super) fn interface_vanished(&mut self, name: &InterfaceName, out: &mut Vec<Action>) {
        self.routings.interface_vanished(name, out);
        self.addresses.interface_vanished(name, out);
        self.devices.vanished(name);
    }

    /// The system has refused a change.
    pub(super) fn refused(
        &mut self,
        now: Mono,
        config: &InstanceConfig,
        change: &Change,
        error: &SystemError,
    ) -> Refusal {
        let error = error.clone();
        match change {
            Change::AddAddress { interface, address, .. } => {
                let failure = self.addresses.install_failed(now, interface, address, &error);
                let (interface, address) = (interface.clone(), address.clone());
                let fault = Fault::CannotInstall(address.clone(), interface.clone(), error.clone());
                not_installed(failure, What::InstallFailed(address, interface, error), fault)
            }
            Change::RemoveAddress { interface, address } => {
                if !config.moving_addresses().any(|own| own == address) {
                    return Refusal::Nothing;
                }
                let is_news = self.addresses.remove_failed(now, interface, address);
                told_if(is_news, What::RemoveFailed(address.clone(), interface.clone(), error))
            }
            Change::AddRouting { routing, .. } => {
                let failure = self.routings.install_failed(now, routing, &error);
                let fault = Fault::CannotRoute(routing.clone(), error.clone());
                not_installed(failure, What::RoutingFailed(routing.clone(), error), fault)
            }
            Change::RemoveRouting { routing } => {
                if !config.routing().any(|own| own == *routing) {
                    return Refusal::Nothing;
                }
                let is_news = self.routings.remove_failed(now, routing);
                told_if(is_news, What::RoutingNotRemoved(routing.clone(), error))
            }
            Change::AddDevice { .. } | Change::SetDevice { .. } | Change::RemoveDevice { .. } => {
                self.device_refused(now, change, error)
            }
        }
    }

    fn device_refused(&mut self, now: Mono, change: &Change, error: SystemError) -> Refusal {
        match change {
            Change::AddDevice { device } if self.devices.not_made(device) => {
                Refusal::Hopeless(Fault::CannotMakeDevice(device.name(), error))
            }
            Change::SetDevice { device, up: true } => {
                let device = device.clone();
                match self.devices.not_raised(now, &device, &error) {
                    None => Refusal::Nothing,
                    Some(NotRaised::Again) => Refusal::Told(What::DeviceNotRaised(device, error)),
                    Some(NotRaised::Hopeless) => {
                        Refusal::Hopeless(Fault::CannotMakeDevice(device, error))
                    }
                }
            }
            Change::SetDevice { device, up: false } if self.devices.has(device) => {
                Refusal::Told(What::DeviceLeft(device.clone(), error))
            }
            Change::RemoveDevice { device } if self.devices.not_removed(now, device) => {
                Refusal::Told(What::DeviceLeft(device.name(), error))
            }
            _ => Refusal::Nothing,
        }
    }

    /// True if something is announced through this interface or device.
    pub(super) fn announces_on(&self, config: &InstanceConfig, interface: &InterfaceName) -> bool {
        self.announcer.is_running()
            && (config.interfaces().any(|name| name == interface) || self.devices.has(interface))
    }

    /// Where an address is, or would be, put.
    pub(super) fn place<'a>(
        &'a self,
        config: &'a InstanceConfig,
        address: &'a VirtualAddress,
    ) -> &'a InterfaceName {
        self.devices.place(config, address)
    }

    /// The addresses that are held, with their interfaces.
    pub(super) fn held(&self) -> impl Iterator<Item = (&InterfaceName, &VirtualAddress)> {
        self.addresses.held()
    }

    /// The routes and rules that are held.
    pub(super) fn held_routing(&self) -> impl Iterator<Item = &Routing> {
        self.routings.held()
    }

    /// True if this route or rule is held.
    pub(super) fn holds_routing(&self, routing: &Routing) -> bool {
        self.routings.holds(routing)
    }

    /// The time for which the kernel keeps the addresses if nobody renews them.
    pub(super) fn lease_left(&self, now: Mono) -> Option<Span> {
        self.addresses.lease_left(now)
    }

    /// What may be on the system, for `vipd release`.
    pub(super) fn held_router(
        &self,
        config: &InstanceConfig,
        farewells: Vec<Farewell>,
    ) -> HeldRouter {
        HeldRouter {
            instance: config.name.clone(),
            addresses: self.addresses.on_the_system(),
            routing: self.routings.on_the_system(),
            farewells,
            devices: self.devices.on_the_system(),
        }
    }

    /// Marks what there is to write down. Returns true if it may be something else than when this
    /// was called last.
    pub(super) fn mark(&mut self, farewell: FarewellBasis) -> bool {
        let mark = Mark {
            addresses: self.addresses.changes(),
            routing: self.routings.changes(),
            devices: self.devices.changes(),
            farewell,
        };
        self.mark.replace(mark) != Some(mark)
    }
}

fn not_installed(failure: InstallFailure, again: What, hopeless: Fault) -> Refusal {
    match failure {
        InstallFailure::Nothing => Refusal::Nothing,
        InstallFailure::Again => Refusal::Told(again),
        InstallFailure::Hopeless => Refusal::Hopeless(hopeless),
    }
}

fn told_if(is_news: bool, what: What) -> Refusal {
    if is_news { Refusal::Told(what) } else { Refusal::Known }
}

fn report(config: &InstanceConfig, what: What, out: &mut Vec<Action>) {
    out.push(Action::Report(Event::of_instance(config.name.clone(), what)));
}

fn terms(config: &InstanceConfig) -> Terms {
    // The others take over three intervals after the last advertisement at the earliest, and that
    // is at most one old whenever something is decided.
    let patience = config.advertisement_interval.span().times(2);
    Terms { lease: config.lease, patience }
}
