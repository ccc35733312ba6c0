//! One instance: a virtual router, its addresses, and what people are told about it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::announce::{Announcer, announce};
use super::event::{Action, SystemError};
use super::lease::{Holding, InstallFailure};
use super::status::{Counters, InstanceStatus};
use super::story::{Event, Fault, Peer, StateName, What, Why};
use super::{Context, listen, receive};
use crate::model::{ChecksumStyle, Config, InstanceConfig, InterfaceName, Version, VirtualAddress};
use crate::time::{Mono, Now, Span, Wall};
use crate::vrrp::packet::{
    Advertisement, Authentication, ChecksumForm, Datagram, Decoded, Discard, multicast_group,
};
use crate::vrrp::router::{Heard, Outcome, Router, State, Takeover};

/// How long an instance stays in fault after the system has refused it something.
const REFUSED: Span = Span::from_secs(10);
/// How many advertisements may fail in a row: after these the other nodes take over.
const FAILED_SENDS: u32 = 3;
/// How many different complaints about other routers are remembered, so as not to repeat them.
/// Source addresses are the sender's choice, so there must be a bound.
const COMPLAINTS: usize = 64;

/// One virtual router of this node.
#[derive(Debug)]
pub(super) struct Instance {
    config: InstanceConfig,
    router: Router,
    condition: Condition,
    /// What the system has refused, and until when that keeps the instance from taking part.
    refused: Option<(Fault, Mono)>,
    since: Wall,
    why: Why,
    holding: Holding,
    announcer: Announcer,
    failed_sends: FailedSends,
    checksum: ChecksumForm,
    complaints: BTreeSet<Complaint>,
    counters: Counters,
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

/// Advertisements that failed one after the other.
#[derive(Debug, Default)]
struct FailedSends {
    in_a_row: u32,
    last_failed: bool,
}

/// Something told about another router, told once until it changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Complaint {
    Addresses(IpAddr, Vec<IpAddr>),
    Interval(IpAddr, crate::model::Interval),
    Refused(IpAddr, Discard),
}

impl Instance {
    /// An instance that waits for news of its interfaces.
    pub(super) fn new(config: InstanceConfig, now: Now) -> Self {
        let checksum = match (config.version, config.checksum) {
            (Version::V2, _) | (Version::V3, ChecksumStyle::Rfc9568) => ChecksumForm::Message,
            (Version::V3, _) => ChecksumForm::WithPseudoHeader,
        };
        Self {
            router: Router::new((&config).into()),
            config,
            condition: Condition::Starting,
            refused: None,
            since: now.wall,
            why: Why::Started,
            holding: Holding::default(),
            announcer: Announcer::default(),
            failed_sends: FailedSends::default(),
            checksum,
            complaints: BTreeSet::new(),
            counters: Counters::default(),
        }
    }

    /// Looks again at whether it can take part, and follows: into fault, or back to work.
    pub(super) fn reconsider(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        let known = || self.interfaces().all(|name| context.links.is_known(name));
        if self.condition == Condition::Stopped || !known() {
            return;
        }
        match (&self.condition, self.find_fault(context)) {
            (Condition::Running, None) | (Condition::Stopped, _) => {}
            (Condition::Fault(old), Some(new)) if *old == new => {}
            (Condition::Fault(_), Some(new)) => {
                self.condition = Condition::Fault(new.clone());
                self.why = Why::Fault(new.clone());
                self.report(What::FaultChanged(new), out);
            }
            (_, Some(fault)) => {
                let from = self.state_name();
                self.leave_the_election(context, out);
                self.condition = Condition::Fault(fault.clone());
                self.changed(context, from, Why::Fault(fault), out);
            }
            (Condition::Starting, None) => self.start(context, Why::Started, out),
            (Condition::Fault(_), None) => self.start(context, Why::Recovered, out),
        }
    }

    /// The address owner's addresses are the machine's own: they are there without us.
    fn moves_addresses(&self) -> bool {
        !self.config.priority.is_owner()
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

    /// Addresses that a killed predecessor has left on the interfaces: a backup must not answer
    /// for them.
    fn remove_leftovers(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        for address in &self.config.addresses {
            let interface = self.config.interface_of(address);
            let is_there = context.links.get(interface).is_some_and(|link| {
                let same = |a: &super::LinkAddress| {
                    a.address == address.address && a.prefix == address.prefix
                };
                link.addresses.iter().any(same)
            });
            if is_there {
                let (interface, address) = (interface.clone(), address.clone());
                out.push(Action::RemoveAddress { interface, address });
            }
        }
    }

    fn find_fault(&self, context: &Context<'_>) -> Option<Fault> {
        if let Some((fault, _)) = &self.refused {
            return Some(fault.clone());
        }
        let fault = self.interfaces().find_map(|name| context.links.fault(name));
        let no_source = || Fault::NoSourceAddress(self.config.interface.clone());
        fault.or_else(|| self.source(context).is_none().then(no_source))
    }

    /// Its own interface, then those of its addresses that have another one.
    fn interfaces(&self) -> impl Iterator<Item = &InterfaceName> {
        let others = self.config.addresses.iter().filter_map(|a| a.dev.as_ref());
        std::iter::once(&self.config.interface).chain(others)
    }

    fn source(&self, context: &Context<'_>) -> Option<IpAddr> {
        context.links.source(context.config, &self.config)
    }

    /// Tells the others that we stop, where they can hear it, and lets go of the addresses.
    fn leave_the_election(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        let was_active = self.router.is_active();
        self.router.shut_down();
        if was_active {
            if context.links.fault(&self.config.interface).is_none() {
                self.advertise(context, 0, out);
            }
            self.let_go(out);
        }
    }

    fn let_go(&mut self, out: &mut Vec<Action>) {
        self.announcer.stop();
        self.holding.release(out);
    }

    /// An orderly stop.
    pub(super) fn stop(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        let from = self.state_name();
        self.leave_the_election(context, out);
        self.condition = Condition::Stopped;
        if from != StateName::Stopped {
            self.changed(context, from, Why::Stopping, out);
        }
    }

    /// An interface does not exist any more, and nothing that was on it.
    pub(super) fn interface_vanished(&mut self, interface: &InterfaceName) {
        self.holding.interface_vanished(interface);
    }

    /// A packet that names this instance.
    pub(super) fn received(
        &mut self,
        context: &Context<'_>,
        datagram: Datagram<'_>,
        out: &mut Vec<Action>,
    ) {
        match receive::accept(context, &self.config, &datagram) {
            Ok(decoded) => self.hear(context, datagram.source, &decoded, out),
            Err(discard) => {
                *self.counters.discards.entry(discard).or_default() += 1;
                if receive::is_misconfiguration(discard) {
                    let peer = Peer::new(context.config, datagram.source);
                    let complaint = Complaint::Refused(datagram.source, discard);
                    self.complain(complaint, What::Refused(peer, discard), out);
                }
            }
        }
    }

    fn hear(
        &mut self,
        context: &Context<'_>,
        source: IpAddr,
        decoded: &Decoded,
        out: &mut Vec<Action>,
    ) {
        let advertisement = &decoded.advertisement;
        self.counters.advertisements_received += 1;
        self.counters.priority_zero_received += u64::from(advertisement.priority == 0);
        self.learn_checksum(decoded.checksum);
        self.compare_addresses(context, source, &advertisement.addresses, out);
        if advertisement.interval != self.config.advertisement_interval {
            let peer = Peer::new(context.config, source);
            let complaint = Complaint::Interval(source, advertisement.interval);
            self.complain(complaint, What::IntervalDrift(peer, advertisement.interval), out);
        }
        let Some(own) = self.source(context) else { return };
        let heard =
            Heard { source, priority: advertisement.priority, interval: advertisement.interval };
        let before = self.active_router();
        let outcome = self.router.hear(context.now.mono, heard, own);
        self.follow(context, outcome, out);
        let is_news = self.active_router() != before && outcome == Outcome::Nothing;
        if let Some(active) = self.active_router().filter(|_| is_news) {
            let peer = Peer::new(context.config, active);
            self.report(What::Following(peer, heard.priority), out);
        }
    }

    fn active_router(&self) -> Option<IpAddr> {
        match self.router.state() {
            State::Backup(backup) => backup.active.map(|active| active.source),
            _ => None,
        }
    }

    /// Our next advertisement is summed like the last valid one of the group.
    fn learn_checksum(&mut self, form: ChecksumForm) {
        if self.config.version == Version::V3 {
            self.counters.checksum_without_pseudo_header +=
                u64::from(form == ChecksumForm::Message);
            if self.config.checksum == ChecksumStyle::Auto {
                self.checksum = form;
            }
        }
    }

    /// Another list than ours is drift: said, counted, and no reason to refuse the
    /// advertisement. Refusing it would make two active routers.
    fn compare_addresses(
        &mut self,
        context: &Context<'_>,
        source: IpAddr,
        advertised: &[IpAddr],
        out: &mut Vec<Action>,
    ) {
        let ours: BTreeSet<IpAddr> = self.config.addresses.iter().map(|a| a.address).collect();
        let theirs: BTreeSet<IpAddr> = advertised.iter().copied().collect();
        if ours == theirs {
            let is_it = |c: &Complaint| matches!(c, Complaint::Addresses(who, _) if *who == source);
            self.complaints.retain(|complaint| !is_it(complaint));
            return;
        }
        self.counters.address_drift += 1;
        let what = What::AddressDrift {
            peer: Peer::new(context.config, source),
            extra: theirs.difference(&ours).copied().collect(),
            missing: ours.difference(&theirs).copied().collect(),
        };
        let complaint = Complaint::Addresses(source, theirs.into_iter().collect());
        self.complain(complaint, what, out);
    }

    fn complain(&mut self, complaint: Complaint, what: What, out: &mut Vec<Action>) {
        if self.complaints.len() < COMPLAINTS && self.complaints.insert(complaint) {
            self.report(what, out);
        }
    }

    /// Carries out what the state machine has decided.
    fn follow(&mut self, context: &Context<'_>, outcome: Outcome, out: &mut Vec<Action>) {
        let priority = self.config.priority.get();
        match outcome {
            Outcome::Nothing => {}
            Outcome::Advertise => self.advertise(context, priority, out),
            Outcome::Reassert => {
                self.advertise(context, priority, out);
                self.announce(context, out);
            }
            Outcome::TakeOver(how) => self.take_over(context, StateName::Backup, how, out),
            Outcome::GiveUp(heard) => {
                self.let_go(out);
                let peer = Peer::new(context.config, heard.source);
                let why = if heard.priority > priority {
                    Why::HigherPriority(peer, heard.priority)
                } else {
                    Why::HigherAddress(peer)
                };
                self.changed(context, StateName::Active, why, out);
            }
            Outcome::Distrusted(late) => {
                self.counters.distrusted_pauses += 1;
                self.report(What::Distrusted(late), out);
            }
        }
    }

    /// Becomes active. After silence it advertises first, so that other backups hold back;
    /// preempting it installs and announces first, so that the old active router lets go only
    /// when we answer already (DESIGN.md, invariant 5).
    fn take_over(
        &mut self,
        context: &Context<'_>,
        from: StateName,
        how: Takeover,
        out: &mut Vec<Action>,
    ) {
        let priority = self.config.priority.get();
        let advertise_first = !matches!(how, Takeover::Preempt(_));
        if advertise_first {
            self.advertise(context, priority, out);
        }
        if self.moves_addresses() {
            let config = &self.config;
            let addresses = config.addresses.iter().map(|a| (config.interface_of(a), a));
            self.holding.claim(addresses, out);
        }
        self.announce(context, out);
        if !advertise_first {
            self.advertise(context, priority, out);
        }
        self.counters.became_active += 1;
        let peer = |address| Peer::new(context.config, address);
        let why = match how {
            Takeover::Owner => Why::AddressOwner,
            Takeover::Silence(None, span) => Why::NobodyHeard(span),
            Takeover::Silence(Some(address), span) => Why::Silence(peer(address), span),
            Takeover::Stopped(address) => Why::PeerStopped(peer(address)),
            Takeover::Preempt(heard) => Why::Preempting(peer(heard.source), heard.priority),
        };
        self.changed(context, from, why, out);
    }

    fn advertise(&mut self, context: &Context<'_>, priority: u8, out: &mut Vec<Action>) {
        let Some(source) = self.source(context) else { return };
        let destination = multicast_group(self.config.family());
        let advertisement = Advertisement {
            version: self.config.version,
            virtual_router_id: self.config.virtual_router_id,
            priority,
            interval: self.config.advertisement_interval,
            addresses: self.config.addresses.iter().map(|a| a.address).collect(),
            authentication: Authentication::None,
        };
        let message = match advertisement.encode(source, destination, self.checksum) {
            Ok(message) => message,
            Err(error) => {
                let error = SystemError { errno: 0, text: error.to_string() };
                return self.send_failed(context, &error, out);
            }
        };
        self.counters.advertisements_sent += 1;
        self.counters.priority_zero_sent += u64::from(priority == 0);
        if !std::mem::take(&mut self.failed_sends.last_failed) {
            self.failed_sends.in_a_row = 0;
        }
        let interface = self.config.interface.clone();
        out.push(Action::Send { interface, source, destination, message });
    }

    /// Tells the segment who has the addresses, now and a few times more.
    fn announce(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        self.announcer.start(context.now.mono);
        self.announce_once(context, out);
    }

    fn announce_once(&self, context: &Context<'_>, out: &mut Vec<Action>) {
        for address in &self.config.addresses {
            announce(context.links, self.config.interface_of(address), address, out);
        }
    }

    /// An address has gone from an interface, and we have not taken it off.
    pub(super) fn address_gone(
        &mut self,
        context: &Context<'_>,
        interface: &InterfaceName,
        address: IpAddr,
        out: &mut Vec<Action>,
    ) {
        if let Some(address) = self.holding.gone(context.now.mono, interface, address, out) {
            self.tell_put_back(context, address, out);
        }
    }

    fn tell_put_back(
        &mut self,
        context: &Context<'_>,
        address: VirtualAddress,
        out: &mut Vec<Action>,
    ) {
        let interface = self.config.interface_of(&address).clone();
        announce(context.links, &interface, &address, out);
        self.counters.put_back += 1;
        self.report(What::PutBack(address, interface), out);
    }

    /// The system refused an action; whether it was one of ours is for us to see.
    pub(super) fn action_failed(
        &mut self,
        context: &Context<'_>,
        action: &Action,
        error: &SystemError,
        out: &mut Vec<Action>,
    ) {
        let now = context.now.mono;
        match action {
            Action::AddAddress { interface, address, .. } => {
                match self.holding.install_failed(now, interface, address) {
                    InstallFailure::NotOurs => return,
                    InstallFailure::Again => {
                        let (interface, address) = (interface.clone(), address.clone());
                        self.report(What::InstallFailed(address, interface, error.clone()), out);
                    }
                    InstallFailure::Hopeless => {
                        let (interface, address) = (interface.clone(), address.clone());
                        let fault = Fault::CannotInstall(address, interface, error.clone());
                        self.refuse(context, fault, REFUSED, out);
                    }
                }
            }
            Action::RemoveAddress { interface, address }
                if self.config.addresses.contains(address) =>
            {
                if self.holding.remove_failed(now, interface, address) {
                    let (interface, address) = (interface.clone(), address.clone());
                    self.report(What::RemoveFailed(address, interface, error.clone()), out);
                }
            }
            Action::Send { interface, message, .. } if self.sent(interface, message) => {
                self.send_failed(context, error, out);
            }
            Action::Announce { interface, .. }
                if self.announcer.deadline().is_some()
                    && self.interfaces().any(|name| name == interface) =>
            {
                self.report(What::AnnounceFailed(interface.clone(), error.clone()), out);
            }
            Action::Listen { interface, family, .. }
                if *interface == self.config.interface && *family == self.config.family() =>
            {
                let fault = Fault::CannotListen(interface.clone(), error.clone());
                self.refuse(context, fault, listen::RETRY, out);
            }
            _ => return,
        }
        self.counters.failures += 1;
    }

    /// Whether this message is one of ours (its second byte is the virtual router ID).
    fn sent(&self, interface: &InterfaceName, message: &[u8]) -> bool {
        *interface == self.config.interface
            && message.get(1) == Some(&self.config.virtual_router_id.get())
    }

    fn send_failed(&mut self, context: &Context<'_>, error: &SystemError, out: &mut Vec<Action>) {
        let interface = self.config.interface.clone();
        self.failed_sends.last_failed = true;
        self.failed_sends.in_a_row += 1;
        if self.failed_sends.in_a_row == 1 {
            self.report(What::SendFailed(interface.clone(), error.clone()), out);
        }
        if self.failed_sends.in_a_row >= FAILED_SENDS && self.router.is_active() {
            self.refuse(context, Fault::CannotSend(interface, error.clone()), REFUSED, out);
        }
    }

    /// Stays out of the election for a while.
    fn refuse(&mut self, context: &Context<'_>, fault: Fault, wait: Span, out: &mut Vec<Action>) {
        self.refused = Some((fault, context.now.mono + wait));
        self.reconsider(context, out);
    }

    /// When [`Instance::fire`] is due, and what for.
    pub(super) fn deadline(&self) -> Option<(Mono, &'static str)> {
        let refused = self.refused.as_ref().map(|(_, at)| (*at, "another attempt"));
        let all = [
            self.router.deadline(),
            self.announcer.deadline(),
            self.holding.deadline(),
            refused.filter(|_| self.condition != Condition::Stopped),
        ];
        all.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Does everything that is due.
    pub(super) fn fire(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        let now = context.now.mono;
        if self.refused.as_ref().is_some_and(|(_, at)| *at <= now) {
            self.refused = None;
            self.reconsider(context, out);
        }
        // The advertisement first: everything else can wait a moment, the other nodes cannot.
        let outcome = self.router.fire(now);
        self.follow(context, outcome, out);
        for address in self.holding.fire(now, out) {
            self.tell_put_back(context, address, out);
        }
        if self.announcer.fire(now) {
            self.announce_once(context, out);
        }
    }

    fn state_name(&self) -> StateName {
        match (&self.condition, self.router.state()) {
            (Condition::Starting | Condition::Stopped, _) => StateName::Stopped,
            (Condition::Fault(_), _) => StateName::Fault,
            (Condition::Running, State::Active(_)) => StateName::Active,
            (Condition::Running, State::Initialize | State::Backup(_)) => StateName::Backup,
        }
    }

    fn changed(&mut self, context: &Context<'_>, from: StateName, why: Why, out: &mut Vec<Action>) {
        self.since = context.now.wall;
        self.why = why.clone();
        self.report(What::Changed { from, to: self.state_name(), why }, out);
    }

    fn report(&self, what: What, out: &mut Vec<Action>) {
        out.push(Action::Report(Event { instance: Some(self.config.name.clone()), what }));
    }

    /// Its configuration.
    pub(super) fn config(&self) -> &InstanceConfig {
        &self.config
    }

    /// What there is to know about it.
    pub(super) fn status(&self, config: &Config, now: Now) -> InstanceStatus {
        InstanceStatus {
            name: self.config.name.clone(),
            interface: self.config.interface.clone(),
            virtual_router_id: self.config.virtual_router_id,
            state: self.state_name(),
            since: self.since,
            why: self.why.clone(),
            priority: self.config.priority,
            addresses: self.config.addresses.clone(),
            held: self.holding.held().map(|(_, address)| address.clone()).collect(),
            active: self.active_router().map(|address| Peer::new(config, address)),
            next: self.deadline().map(|(at, why)| (at.since(now.mono), why.to_owned())),
            counters: self.counters.clone(),
        }
    }
}
