//! The system around one engine as its actions have made it, and the rules that every engine owes
//! that system, whoever drives it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use vipd::engine::{Action, Change, HookOwner};
use vipd::model::{Family, InterfaceName, Routing, TrackName};
use vipd::time::Mono;

use super::written::Written;

/// The place of an address.
pub(crate) type Place = (InterfaceName, IpAddr);

/// The time for which the kernel keeps an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// When it was put there, or renewed.
    pub(crate) since: Mono,
    pub(crate) ends: Option<Mono>,
    /// Something has happened (a pause, a refusal) that keeps the engine from renewing it.
    pub(crate) excused: bool,
}

/// A hook that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Begun {
    pub(crate) owner: HookOwner,
    pub(crate) number: u64,
    /// A takeover or a departure waits for it.
    pub(crate) gate: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    /// The addresses that the kernel has.
    pub(crate) held: BTreeMap<Place, Lease>,
    /// The routes and rules that it has because of the daemon.
    pub(crate) routings: BTreeSet<Routing>,
    /// The list that `vipd release` would find.
    pub(crate) written: Written,
    /// The daemon's own things, which end with it.
    pub(crate) process: Process,
}

/// The things that end with the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) listening: BTreeSet<(InterfaceName, Family)>,
    /// The checks that look.
    pub(crate) looks: BTreeMap<TrackName, u64>,
    /// The hooks that are under way, in the order of their beginning.
    pub(crate) hooks: Vec<Begun>,
    /// The operator's requests that were not answered.
    pub(crate) unanswered: BTreeSet<u64>,
    pub(crate) ended: bool,
    /// The numbers of looks that are taken. The outbox may let a look overtake another one.
    looked: BTreeSet<u64>,
    /// The numbers that are taken. An instance that is replaced and its successor, which counts
    /// from the time on, are one owner.
    begun: BTreeSet<(HookOwner, u64)>,
    requests: u64,
}

impl Machine {
    /// The number of the operator's next request.
    pub(crate) fn request(&mut self) -> u64 {
        let process = &mut self.process;
        process.requests += 1;
        process.unanswered.insert(process.requests);
        process.requests
    }

    /// Carries out an action. `Err`: it breaks a rule, which this says.
    pub(crate) fn carry_out(&mut self, now: Mono, action: &Action) -> Result<(), String> {
        match action {
            Action::WriteDown { routers } => self.written.note(routers),
            Action::Change(change) => return self.change(now, change),
            _ => return self.process.carry_out(action),
        }
        Ok(())
    }

    fn change(&mut self, now: Mono, change: &Change) -> Result<(), String> {
        match change {
            Change::AddAddress { interface, address, lease, .. } => {
                let address = address.address;
                if !self.written.has(interface, address) {
                    return Err(format!("{address} is added before it is written down"));
                }
                let ends = lease.map(|lease| now + lease);
                let lease = Lease { since: now, ends, excused: false };
                self.held.insert((interface.clone(), address), lease);
            }
            Change::RemoveAddress { interface, address } => {
                self.held.remove(&(interface.clone(), address.address));
            }
            Change::AddRouting { routing, .. } => {
                if !self.written.has_routing(routing) {
                    return Err(format!("{routing} is added before it is written down"));
                }
                self.routings.insert(routing.clone());
            }
            Change::RemoveRouting { routing } => {
                self.routings.remove(routing);
            }
            Change::AddDevice { .. } | Change::RemoveDevice { .. } | Change::SetDevice { .. } => {}
        }
        Ok(())
    }
}

impl Process {
    fn carry_out(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Listen { interface, family, .. } => {
                self.listening.insert((interface.clone(), *family));
            }
            Action::StopListening { interface, family } => {
                self.listening.remove(&(interface.clone(), *family));
            }
            Action::Probe { track, number } => {
                if !self.looked.insert(*number) {
                    return Err(format!("look {number} again"));
                }
                if let Some(other) = self.looks.insert(track.clone(), *number) {
                    return Err(format!("it looks at {track} twice: {other}, {number}"));
                }
            }
            Action::CancelProbe { track, number } => self.look_ends(track, *number),
            Action::Hook { owner, number, call } => {
                if !self.begun.insert((owner.clone(), *number)) {
                    return Err(format!("hook {number} of {owner} again"));
                }
                let gate = call.event.phase().is_waited_for();
                self.hooks.push(Begun { owner: owner.clone(), number: *number, gate });
            }
            Action::CancelHook { owner, number } => drop(self.hook_ends(owner, *number)),
            Action::Answer { request, .. } if !self.unanswered.remove(request) => {
                return Err("an answer that nobody waits for".to_owned());
            }
            Action::Exit if std::mem::replace(&mut self.ended, true) => {
                return Err("the end comes twice".to_owned());
            }
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn look_ends(&mut self, track: &TrackName, number: u64) {
        if self.looks.get(track) == Some(&number) {
            self.looks.remove(track);
        }
    }

    /// True if this hook was under way.
    pub(crate) fn hook_ends(&mut self, owner: &HookOwner, number: u64) -> bool {
        let before = self.hooks.len();
        self.hooks.retain(|one| one.owner != *owner || one.number != number);
        self.hooks.len() < before
    }

    /// True if something that addresses wait for is under way.
    pub(crate) fn is_at_gate(&self) -> bool {
        self.hooks.iter().any(|one| one.gate)
    }
}
