//! Actions that must not be overtaken.

use std::collections::{BTreeMap, BTreeSet};

use super::ground::{Changed, Direction, Ground, Origin, Place};
use super::owners::Owner;
use crate::engine::HookOwner;
use crate::model::{InstanceName, InterfaceName};

/// The concerns of actions that wait or are under way: others must not overtake them.
#[derive(Debug, Default)]
pub(super) struct Barrier {
    /// Answers of which something is not done.
    answers: BTreeSet<u64>,
    /// The answers with unfinished changes, and whose these are; `None`: not known.
    owners: BTreeSet<(u64, Option<Owner>)>,
    /// Answers of which more than changes is not done: a batch must not take away what stands
    /// behind, an address that is yet to be announced.
    mixed: BTreeSet<u64>,
    /// Those of which something is yet to be written down: nothing may be added before.
    unwritten: BTreeSet<u64>,
    /// The answers with waiting messages, and whose these are.
    speaking: BTreeSet<(u64, Option<Owner>)>,
    /// The last of the answers that change this.
    changes: BTreeMap<Changed, u64>,
    /// The answers that change something on this interface.
    on_interfaces: BTreeMap<InterfaceName, Answers>,
    /// The last of the answers that change this device.
    devices: BTreeMap<InterfaceName, u64>,
    messages: BTreeSet<(Place, Option<u8>)>,
    sockets: BTreeSet<Place>,
    watched: BTreeSet<InterfaceName>,
    /// The instances of which a note waits.
    noted: BTreeSet<InstanceName>,
    /// Those of whom a hook waits to begin or to be ended.
    hooks: BTreeSet<HookOwner>,
    /// True if an answer to the operator waits.
    answer: bool,
}

/// The first and the last of some answers.
#[derive(Clone, Copy, Debug)]
struct Answers {
    first: u64,
    last: u64,
}

impl Barrier {
    /// Says if nothing waits or is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Says if an action has to wait. `under_way`: the kernel has a batch and gets no second one.
    pub(super) fn keeps(&self, origin: Origin, ground: &Ground, under_way: bool) -> bool {
        let Origin { answer, owner } = origin;
        match ground {
            Ground::Changed(changed, direction) => {
                let last = self.changes.get(changed);
                let device = changed.interface().and_then(|on| self.devices.get(on));
                under_way
                    || self.keeps_in_its_answer(origin, *direction)
                    || last.into_iter().chain(device).any(|last| *last != answer)
            }
            Ground::Device(device, direction) => {
                let on_it = self.on_interfaces.get(device);
                under_way
                    || self.keeps_in_its_answer(origin, *direction)
                    || self.devices.get(device).is_some_and(|last| *last != answer)
                    || on_it.is_some_and(|of| of.first != answer || of.last != answer)
            }
            Ground::Message(place, router, through) => {
                let own_changes = match owner {
                    Some(_) => {
                        self.owners.contains(&(answer, owner))
                            || self.owners.contains(&(answer, None))
                    }
                    None => self.answers.contains(&answer),
                };
                own_changes
                    || self.sockets.contains(place)
                    || through.as_ref().is_some_and(|by| self.devices.contains_key(by))
                    || self.messages.contains(&(place.clone(), *router))
            }
            _ => self.answers.contains(&answer) || self.keeps_other(ground),
        }
    }

    /// Says if a change has to wait for what stands before it in its answer. One answer may be
    /// about hundreds of instances that are due together: what one of them brings waits for no
    /// other's messages and frames. Else each exchange with the kernel would be for one instance.
    fn keeps_in_its_answer(&self, origin: Origin, direction: Direction) -> bool {
        let Origin { answer, owner } = origin;
        match (direction, owner) {
            (Direction::Gone, _) | (_, None) => self.mixed.contains(&answer),
            (Direction::There, Some(_)) => {
                self.unwritten.contains(&answer)
                    || self.speaking.contains(&(answer, owner))
                    || self.speaking.contains(&(answer, None))
            }
        }
    }

    fn keeps_other(&self, ground: &Ground) -> bool {
        match ground {
            Ground::Socket(place) => {
                self.sockets.contains(place)
                    || self.messages.iter().any(|(other, _)| other == place)
            }
            Ground::Watch(interface) => self.watched.contains(interface),
            Ground::Note(instances) => instances.iter().any(|one| self.noted.contains(one)),
            Ground::Hook(owner) => self.hooks.contains(owner),
            Ground::Answer => self.answer,
            Ground::Exit => !self.answers.is_empty(),
            Ground::Changed(..) | Ground::Device(..) | Ground::Message(..) | Ground::Free => false,
        }
    }

    /// Remembers an action that waits or is under way.
    pub(super) fn hold(&mut self, Origin { answer, owner }: Origin, ground: Ground) {
        self.answers.insert(answer);
        if ground.takes_time() {
            self.owners.insert((answer, owner));
        } else {
            self.mixed.insert(answer);
        }
        match ground {
            Ground::Changed(changed, _) => {
                if let Some(interface) = changed.interface() {
                    let new = Answers { first: answer, last: answer };
                    self.on_interfaces.entry(interface.clone()).or_insert(new).last = answer;
                }
                self.changes.insert(changed, answer);
            }
            Ground::Device(device, _) => {
                self.devices.insert(device, answer);
            }
            Ground::Message(place, router, _) => {
                self.speaking.insert((answer, owner));
                self.messages.insert((place, router));
            }
            Ground::Socket(place) => {
                self.sockets.insert(place);
            }
            Ground::Watch(interface) => {
                self.watched.insert(interface);
            }
            Ground::Note(instances) => {
                self.unwritten.insert(answer);
                self.noted.extend(instances);
            }
            Ground::Hook(owner) => {
                self.hooks.insert(owner);
            }
            Ground::Answer => self.answer = true,
            Ground::Free | Ground::Exit => {}
        }
    }
}
