//! The system around one engine, and what the engine owes it after every step.

use std::collections::BTreeMap;
use std::net::IpAddr;

use vipd::engine::story::StateName;
use vipd::engine::{Action, Change, Engine, Input, Link, Loss, Status, SystemError};
use vipd::keyring::KeyRing;
use vipd::model::{Config, Family, InterfaceName, Vrid};
use vipd::time::{Mono, Now, Span, Wall};
use vipd::vrrp::packet::{Datagram, decode_before_trailer};

use crate::configs;
use crate::machine::{Lease, Machine, Place};

/// More deadlines than may be due at one time.
const AT_ONCE: u32 = 64;

/// A virtual router as packets name it.
type Router = (InterfaceName, Family, Vrid);

/// The system around one engine.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) keys: KeyRing,
    pub(crate) now: Now,
    pub(crate) links: BTreeMap<InterfaceName, Link>,
    /// How many of the next actions the system refuses, and with what.
    pub(crate) refusals: (u8, i32),
    pub(crate) machine: Machine,
    /// How many more inputs this run may take.
    pub(crate) budget: u32,
    /// Whether the story is told, as `VIPD_FUZZ_STORY=1` wants.
    tells: bool,
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        // A machine that has been up for some days.
        let now = Now { mono: Mono(1 << 50), wall: Wall(1_800_000_000_000_000_000) };
        Self {
            keys: configs::secrets(&config),
            engine: Engine::new(config, now),
            now,
            links: BTreeMap::new(),
            refusals: (0, 0),
            machine: Machine::default(),
            budget: 3_000,
            tells: std::env::var_os("VIPD_FUZZ_STORY").is_some(),
        }
    }

    pub(crate) fn status(&self) -> Status {
        self.engine.status(self.now)
    }

    pub(crate) fn ended(&self) -> bool {
        self.machine.process.ended
    }

    /// Hands in one input, carries out what it leads to, and looks whether all is as it should be.
    /// What the engine answered.
    pub(crate) fn tell(&mut self, mut input: Input) -> Vec<Action> {
        self.budget = self.budget.saturating_sub(1);
        if let Input::Link { interface, link } = &input {
            self.link(interface, link.clone());
        }
        self.keys.receive(&mut input);
        let ended = self.ended();
        let told = self.tells.then(|| format!("{} {input:?}", self.now.mono.0));
        let is_failure = matches!(input, Input::Failed { .. });
        let mut actions = self.engine.handle(self.now, input);
        if let Some(told) = told {
            eprintln!("{told}");
            actions.iter().for_each(|action| eprintln!("    {action:?}"));
        }
        self.keys.complete(&mut actions);
        // The last removal may fail: it is told, and written down for `vipd release`.
        let is_note = |one: &Action| matches!(one, Action::Report(_) | Action::WriteDown { .. });
        let is_over = actions.is_empty() || is_failure && actions.iter().all(is_note);
        assert!(!ended || is_over, "after the end: {actions:?}");
        let mut spoke = BTreeMap::new();
        let mut refused = Vec::new();
        for action in &actions {
            if self.refuses(action) {
                refused.push(action.clone());
            } else {
                self.carry_out(action, &mut spoke);
            }
        }
        if !actions.is_empty() {
            self.judge(&spoke);
        }
        for action in &actions {
            if let Action::Listen { interface, family, .. } = action
                && !refused.contains(action)
            {
                let (interface, family, missing) = (interface.clone(), *family, Vec::new());
                let _ = self.tell(Input::Listening { interface, family, missing });
            }
        }
        for action in refused {
            let error = SystemError { errno: self.refusals.1, text: "refused".to_owned() };
            let _ = self.tell(Input::Failed { action: Box::new(action), error });
        }
        actions
    }

    fn link(&mut self, interface: &InterfaceName, link: Option<Link>) {
        let index = |link: &Link| link.index;
        // All that was on it is gone with it.
        if self.links.get(interface).map(index) != link.as_ref().map(index) {
            self.machine.held.retain(|(at, _), _| at != interface);
        }
        match link {
            Some(link) => self.links.insert(interface.clone(), link),
            None => self.links.remove(interface),
        };
    }

    fn refuses(&mut self, action: &Action) -> bool {
        let may_fail = matches!(
            action,
            Action::Listen { .. }
                | Action::Send { .. }
                | Action::Change(Change::AddAddress { .. })
                | Action::Change(Change::RemoveAddress { .. })
                | Action::Announce { .. }
        );
        if !may_fail || self.refusals.0 == 0 {
            return false;
        }
        self.refusals.0 -= 1;
        if let Action::Change(Change::AddAddress { interface, address, .. })
        | Action::Change(Change::RemoveAddress { interface, address }) = action
            && let Some(present) = self.machine.held.get_mut(&(interface.clone(), address.address))
        {
            present.excused = true;
        }
        true
    }

    fn carry_out(&mut self, action: &Action, spoke: &mut BTreeMap<Router, u8>) {
        match action {
            Action::Send { interface, source, destination, message, .. } => {
                let datagram =
                    Datagram { source: *source, destination: *destination, ttl: 255, message };
                let said = decode_before_trailer(&datagram).expect("others can read it");
                let said = said.advertisement;
                let router = (interface.clone(), Family::of(*source), said.virtual_router_id);
                spoke.insert(router, said.priority);
            }
            Action::Change(Change::AddAddress { address, not_after, .. }) => {
                assert!(*not_after > self.now.mono, "{address} was too late at once");
            }
            Action::Report(event) => assert!(!event.to_string().is_empty()),
            _ => {}
        }
        let outcome = self.machine.carry_out(self.now.mono, action);
        outcome.unwrap_or_else(|broken| panic!("{broken}"));
    }

    /// What holds after every step.
    fn judge(&self, spoke: &BTreeMap<Router, u8>) {
        let status = self.status();
        for ((interface, address), present) in &self.machine.held {
            assert!(
                self.machine.written.has(interface, *address) || present.excused,
                "{address} is there and not written down"
            );
            let is_held = status.instances.iter().any(|one| {
                one.state == StateName::Active && one.held.iter().any(|a| a.address == *address)
            });
            assert!(is_held || present.excused, "{address} stays where nobody holds it");
        }
        let gate_runs = self.machine.process.is_at_gate();
        for one in status.instances.iter().filter(|one| one.state == StateName::Active) {
            let has_all = one.addresses.iter().all(|address| one.held.contains(address));
            let is_settled = one.own_priority.is_owner() || has_all && one.waits_for.is_none();
            assert!(is_settled || gate_runs, "{} is active and waits for nothing", one.name);
        }
        for ((interface, family, number), priority) in spoke {
            let is_it = |one: &&vipd::engine::status::InstanceStatus| {
                (one.interface == *interface || one.further_interfaces.contains(interface))
                    && one.virtual_router_id == *number
                    && one.addresses.iter().any(|a| Family::of(a.address) == *family)
            };
            let mut all = status.instances.iter().filter(is_it);
            let is_active = all.any(|one| one.state == StateName::Active);
            assert!(*priority == 0 || is_active, "{number} says {priority} and is not active");
        }
    }

    /// Another program takes an address off; or the kernel does.
    pub(crate) fn take_off(&mut self, interface: &InterfaceName, address: IpAddr) {
        self.machine.held.remove(&(interface.clone(), address));
        let (interface, loss) = (interface.clone(), Loss::Removed);
        let _ = self.tell(Input::AddressGone { interface, address, loss });
    }

    /// One of the addresses that are there.
    pub(crate) fn some_address(&self, choice: u8) -> Option<Place> {
        let choice = usize::from(choice).checked_rem(self.machine.held.len())?;
        self.machine.held.keys().nth(choice).cloned()
    }

    /// Time passes, and the loop is punctual.
    pub(crate) fn pass(&mut self, span: Span) {
        let end = self.now.mono + span;
        while let Some(due) = self.engine.next_deadline().filter(|due| due.at <= end) {
            if self.budget == 0 {
                return;
            }
            self.advance_to(due.at);
            self.meet_deadlines();
        }
        self.advance_to(end);
    }

    /// Time passes, and the loop sleeps through it.
    pub(crate) fn sleep(&mut self, span: Span) {
        self.machine.held.values_mut().for_each(|present| present.excused = true);
        self.advance_to(self.now.mono + span);
    }

    fn advance_to(&mut self, at: Mono) {
        let later = at.since(self.now.mono);
        self.now = Now { mono: self.now.mono + later, wall: self.now.wall + later };
        let over = |lease: &Lease| lease.ends.is_some_and(|until| until < self.now.mono);
        let expired: Vec<_> = self
            .machine
            .held
            .iter()
            .filter(|(_, one)| over(one))
            .map(|(key, _)| key.clone())
            .collect();
        for (interface, address) in expired {
            let present = self.machine.held.remove(&(interface.clone(), address));
            let excused = present.is_some_and(|present| present.excused);
            assert!(excused, "the lease of {address} ran out and nothing was wrong");
            self.take_off(&interface, address);
        }
    }

    /// Everything that is due now: at the end nothing is.
    pub(crate) fn meet_deadlines(&mut self) {
        for _ in 0..AT_ONCE {
            match self.engine.next_deadline() {
                Some(due) if due.at <= self.now.mono => {
                    let _ = self.tell(Input::Deadline);
                }
                _ => return,
            }
        }
        panic!("{:?} is due again and again", self.engine.next_deadline());
    }

    /// The orderly end: it comes, nothing stays that is not written down, and nobody waits any
    /// more.
    pub(crate) fn stop(mut self) {
        self.refusals = (0, 0);
        self.budget = 20_000;
        let _ = self.tell(Input::Stop);
        while !self.ended() && self.budget > 0 {
            let due = self.engine.next_deadline().expect("it waits for nothing and does not end");
            self.sleep(due.at.since(self.now.mono));
            self.meet_deadlines();
        }
        assert!(self.ended(), "it does not end");
        for ((interface, address), present) in &self.machine.held {
            assert!(
                present.excused || self.machine.written.has(interface, *address),
                "{address} is left"
            );
        }
        let unanswered = self.machine.process.unanswered;
        assert!(unanswered.is_empty(), "requests {unanswered:?} were not answered");
    }
}
