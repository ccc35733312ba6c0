//! Everything between an engine and the segments: the outbox that ships, the netlink thread, and a
//! kernel that takes its time to answer.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use vipd::engine::story::{StateName, What};
use vipd::engine::{Action, Change, Input, SystemError};
use vipd::model::{Config, Family, InterfaceName, Network, Routing, RoutingTable};
use vipd::time::{Mono, Span};

use super::machine::Place;
use super::node::owner_of;
use super::packet::packet;
use super::written::has;
use super::{Happening, World};
use crate::outbox::{Outbox, Work};

const EPERM: i32 = 1;
const EEXIST: i32 = 17;
const ENODEV: i32 = 19;
const ETIME: i32 = 62;
const ENETDOWN: i32 = 100;

/// The longest time for which the kernel keeps an address beyond its lifetime: the longest that was
/// seen (`docs/failover.md`). For IPv6 it is longer: a lifetime of 1 s once ended after 3.5 s.
pub(crate) const fn granularity(family: Family) -> Span {
    match family {
        Family::V4 => Span::from_millis(1_700),
        Family::V6 => Span::from_millis(2_500),
    }
}

/// The longest delay between the threads of a daemon.
pub(crate) const THREADS: Span = Span::from_micros(100);
/// The longest time that a kernel needs if nothing holds it up.
pub(crate) const UNDISTURBED: Span = Span::from_micros(300);

/// A virtual router as a farewell names it: by the interface, the source and the virtual router ID.
pub(super) type Said = (InterfaceName, IpAddr, u8);

/// The part of the shell that is behind an engine.
#[derive(Debug, Default)]
pub(super) struct Shell {
    outbox: Outbox,
    batch: Option<Batch>,
    /// The farewells that wait. True if the router was leaving, and continues until it hears
    /// another one.
    farewells: BTreeMap<Said, VecDeque<bool>>,
    /// The failures and the open sockets that the engine does not know of yet.
    pub(super) answers: VecDeque<Input>,
}

impl Shell {
    /// The daemon gets another configuration.
    pub(super) fn reconfigure(&mut self, config: &Config) {
        self.outbox.reconfigure(config);
    }

    fn failed(&mut self, action: Action, errno: i32) {
        let error = SystemError { errno, text: format!("errno {errno}") };
        self.answers.push_back(Input::Failed { action: Box::new(action), error });
    }
}

/// The changes that the netlink thread is working on.
#[derive(Clone, Debug)]
struct Batch {
    number: u64,
    actions: Vec<Action>,
    /// The error number of each change that is not carried out.
    outcomes: Vec<Option<i32>>,
    stage: Stage,
    /// The batch would have gone on, but the process stands still.
    waits: bool,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The thread has not looked at the clock yet.
    Ordered,
    /// The kernel has the batch. Whatever happens to the process, the kernel carries it out.
    Asked,
    /// The batch is carried out, but the protocol loop does not know yet.
    Done,
}

impl World {
    /// Carries out an answer of an engine. The outbox decides which action must not overtake
    /// another.
    pub(super) fn carry_out(&mut self, node: usize, actions: Vec<Action>) {
        self.nodes[node].shell.outbox.push(actions);
        self.do_what_may_be_done(node);
    }

    fn do_what_may_be_done(&mut self, node: usize) {
        let life = self.nodes[node].life;
        while let Some(work) = self.nodes[node].shell.outbox.next() {
            let actions = match work {
                Work::Changes(changes) => {
                    if !changes.iter().any(|_| self.dies(node)) {
                        self.order(node, changes.into_iter().map(Action::Change).collect());
                    }
                    Vec::new()
                }
                Work::Messages(actions) | Work::Frames(actions) => actions,
                Work::One(action) => vec![action],
            };
            for action in actions {
                if self.dies(node) {
                    return;
                }
                if let Some(errno) = self.apply(node, &action) {
                    self.nodes[node].shell.failed(action, errno);
                } else if let Action::Listen { interface, family, .. } = action {
                    let answer = Input::Listening { interface, family, missing: Vec::new() };
                    self.nodes[node].shell.answers.push_back(answer);
                }
            }
            if self.nodes[node].engine.is_none() || self.nodes[node].life != life {
                return;
            }
        }
    }

    /// Carries out an action that needs no time. `Some`: the system refuses it.
    fn apply(&mut self, node: usize, action: &Action) -> Option<i32> {
        if let Action::Listen { interface, .. } | Action::Send { interface, .. } = action
            && !self.nodes[node].ports[self.segment(interface)].is_there()
        {
            return Some(ENODEV);
        }
        if matches!(action, Action::Listen { .. }) && self.nodes[node].deaf > 0 {
            self.nodes[node].deaf -= 1;
            self.nodes[node].deafened = Some(self.now);
            return Some(EPERM);
        }
        if let Err(what) = self.nodes[node].machine.carry_out(self.now, action) {
            self.broken(node, &what);
        }
        match action {
            Action::Send { interface, source, destination, message, .. } => {
                if message[2] == 0 {
                    self.must_be_gone(node, &(interface.clone(), *source, message[1]));
                }
                if self.nodes[node].mute > 0 {
                    self.nodes[node].mute -= 1;
                    self.nodes[node].muted = Some(self.now);
                    return Some(EPERM);
                }
                let packet = packet(*source, *destination, message);
                self.transmit(node, self.segment(interface), &packet);
            }
            Action::Answer { answer, .. } => self.answered(node, answer),
            Action::Probe { track, number } => self.look(node, track, *number),
            Action::Hook { owner, number, call } => self.hook(node, owner, *number, call),
            Action::Report(event) => {
                if let What::Changed { to: StateName::Active, .. } = event.what {
                    self.takeovers += 1;
                }
                self.tell(Some(node), &event.to_string());
                self.seen.events.push(event.clone());
            }
            Action::Exit => {
                // Requests that it has taken since are not answered.
                self.shell_ends(node, false);
                self.is_gone(node);
                if self.nodes[node].holds() {
                    self.broken(node, "ended and left its address behind");
                }
            }
            Action::Change(_) => panic!("it takes the kernel's time: {action:?}"),
            _ => {}
        }
        None
    }

    /// A farewell is on its way to the outbox.
    pub(super) fn note_farewell(&mut self, node: usize, said: Said, begins_to_leave: bool) {
        let (interface, _, number) = &said;
        let status = self.status(node);
        let mut instances = status.iter().flat_map(|status| &status.instances);
        let leaves = begins_to_leave
            || instances.any(|one| {
                let paths = &one.further_interfaces;
                let is_it = one.interface == *interface || paths.contains(interface);
                one.leaving && is_it && one.virtual_router_id.get() == *number
            });
        self.nodes[node].shell.farewells.entry(said).or_default().push_back(leaves);
    }

    /// Checks a router that says that it stops and does not wait for a successor: it must have no
    /// address any more. From the farewell on, another node waits only for its skew time.
    fn must_be_gone(&mut self, node: usize, said: &Said) {
        // Where one has replaced the other, both are one in what is written down.
        let is_replaced = self.has_namesakes(node);
        let state = &mut self.nodes[node];
        let waiting = state.shell.farewells.get_mut(said);
        let leaves = waiting.and_then(VecDeque::pop_front).unwrap_or_default();
        // The owner of an address stands in what is written down, also after a reload has removed
        // it.
        let routers: Vec<_> = state.machine.written.routers().collect();
        let is_of_another = |(interface, address): &Place| {
            let mut others = routers.iter().filter(|router| {
                !router.farewells.is_empty()
                    && router
                        .farewells
                        .iter()
                        .all(|one| one.interface != said.0 || one.message[1] != said.2)
            });
            routers.len() > 1 && others.any(|router| has(router, interface, *address))
        };
        let routings = &state.machine.routings;
        let is_alone = routers.len() <= 1;
        let has_more = !state.machine.held.keys().all(is_of_another);
        if !leaves && !is_replaced && (has_more || is_alone && !routings.is_empty()) {
            let held: Vec<IpAddr> = state.held().collect();
            let what = format!("says on {} that it stops, and has {held:?}, {routings:?}", said.0);
            self.broken(node, &what);
        }
    }

    fn order(&mut self, node: usize, actions: Vec<Action>) {
        let number = self.happenings;
        let outcomes = vec![None; actions.len()];
        let batch = Batch { number, actions, outcomes, stage: Stage::Ordered, waits: false };
        self.nodes[node].shell.batch = Some(batch);
        if self.setup.kernel.is_none() {
            self.carry_out_changes(node);
            return self.changes_are_done(node);
        }
        let late = self.at_random(THREADS);
        self.schedule(self.now + late, Happening::Kernel { node, number });
    }

    /// The netlink thread of a node comes a step further with its changes.
    pub(super) fn kernel_goes_on(&mut self, node: usize, number: u64) {
        let is_paused = self.nodes[node].paused_until.is_some();
        let is_suspended = self.nodes[node].suspended;
        let now = self.local(node).mono;
        let Some(batch) = &mut self.nodes[node].shell.batch else { return };
        if batch.number != number {
            return;
        }
        let stage = batch.stage;
        if is_paused && (is_suspended || !matches!(stage, Stage::Asked)) {
            batch.waits = true;
            return;
        }
        let delay = match stage {
            Stage::Ordered => {
                batch.stage = Stage::Asked;
                batch.outcomes = batch.actions.iter().map(|action| too_late(action, now)).collect();
                self.kernels_time()
            }
            Stage::Asked => {
                self.carry_out_changes(node);
                self.at_random(THREADS)
            }
            Stage::Done => return self.settle(node),
        };
        self.schedule(self.now + delay, Happening::Kernel { node, number });
    }

    /// The process runs again.
    pub(super) fn netlink_resumes(&mut self, node: usize) {
        if let Some(batch) = &mut self.nodes[node].shell.batch
            && std::mem::take(&mut batch.waits)
        {
            let number = batch.number;
            let late = self.at_random(THREADS);
            self.schedule(self.now + late, Happening::Kernel { node, number });
        }
    }

    /// The process ends, after the kernel has carried out the changes that it has. The others are
    /// lost.
    pub(super) fn shell_ends(&mut self, node: usize, power_is_off: bool) {
        let asked = self.nodes[node].shell.batch.as_ref();
        if !power_is_off && asked.is_some_and(|batch| matches!(batch.stage, Stage::Asked)) {
            self.carry_out_changes(node);
        }
        self.nodes[node].shell = Shell::default();
    }

    fn carry_out_changes(&mut self, node: usize) {
        let Some(mut batch) = self.nodes[node].shell.batch.take() else { return };
        for (action, outcome) in batch.actions.iter().zip(&mut batch.outcomes) {
            *outcome = outcome.or_else(|| self.change(node, action));
        }
        batch.stage = Stage::Done;
        self.nodes[node].shell.batch = Some(batch);
    }

    /// The loop learns the results of the changes.
    fn settle(&mut self, node: usize) {
        self.changes_are_done(node);
        self.do_what_may_be_done(node);
        self.attend(node);
    }

    fn changes_are_done(&mut self, node: usize) {
        let shell = &mut self.nodes[node].shell;
        let Some(batch) = shell.batch.take() else { return };
        shell.outbox.changes_done();
        for (action, outcome) in batch.actions.into_iter().zip(batch.outcomes) {
            if let Some(errno) = outcome {
                shell.failed(action, errno);
            }
        }
    }

    /// Carries out a change as the kernel does. `Some`: the kernel refuses it.
    fn change(&mut self, node: usize, action: &Action) -> Option<i32> {
        let Action::Change(change) = action else { panic!("{action:?}") };
        let state = &mut self.nodes[node];
        match change {
            Change::AddAddress { interface, address, .. } => {
                let segment = self.setup.segments.iter().position(|one| one == interface)?;
                if !state.ports[segment].is_there() {
                    return Some(ENODEV);
                }
                if state.refusals > 0 {
                    state.refusals -= 1;
                    state.refused = Some(self.now);
                    return Some(EPERM);
                }
                self.install(node, (interface.clone(), address.address), action);
            }
            Change::RemoveAddress { interface, .. } => {
                let segment = self.setup.segments.iter().position(|one| one == interface)?;
                if state.ports[segment].is_there()
                    && let Err(what) = state.machine.carry_out(self.now, action)
                {
                    self.broken(node, &what);
                }
            }
            Change::AddRouting { routing, .. } => return self.add_routing(node, routing, action),
            Change::RemoveRouting { .. } => {
                if let Err(what) = state.machine.carry_out(self.now, action) {
                    self.broken(node, &what);
                }
            }
            // No instance of the simulation has a virtual MAC address.
            _ => panic!("{action:?}"),
        }
        None
    }

    /// Adds a route as the kernel does. `Some`: the kernel refuses it.
    fn add_routing(&mut self, node: usize, routing: &Routing, action: &Action) -> Option<i32> {
        let on = routing.dev().map(|dev| self.segment(dev));
        let state = &mut self.nodes[node];
        if on.is_some_and(|segment| !state.ports[segment].is_there()) {
            return Some(ENODEV);
        }
        if state.refusals > 0 {
            state.refusals -= 1;
            state.refused = Some(self.now);
            return Some(EPERM);
        }
        let is_up = on.is_none_or(|segment| state.ports[segment].up);
        // To the kernel two routes are one whatever their gateways are.
        let mut others = state.machine.routings.iter().filter(|other| *other != routing);
        let is_there = others.any(|other| key(other) == key(routing));
        if !is_up || is_there {
            state.refused = Some(self.now);
            return Some(if is_up { EEXIST } else { ENETDOWN });
        }
        if let Err(what) = state.machine.carry_out(self.now, action) {
            self.broken(node, &what);
        }
        None
    }

    /// The kernel has the address now, for as long as its lease lasts.
    fn install(&mut self, node: usize, place: Place, action: &Action) {
        // One that takes its time may have been asked before a hook began, and one that a lease has
        // ended meanwhile is put back.
        let is_prompt = self.setup.kernel.is_none() && !self.has_just_gone_on(node);
        // What is renewed beside a member that still waits was taken before.
        let is_new = !self.nodes[node].machine.held.contains_key(&place);
        let owner = owner_of(&self.nodes[node].config, &place).map(|owner| owner.name.clone());
        if is_prompt && is_new && owner.is_some_and(|owner| self.is_held_back(node, &owner)) {
            self.broken(node, "takes an address before its hooks have ended");
        }
        if let Err(what) = self.nodes[node].machine.carry_out(self.now, action) {
            self.broken(node, &what);
        }
        let late = self.at_random(granularity(Family::of(place.1)));
        if let Some(lease) = self.nodes[node].machine.held.get_mut(&place)
            && let Some(ends) = &mut lease.ends
        {
            *ends = *ends + late;
            let ends = *ends;
            self.schedule(ends, Happening::Expire { node, place });
        }
    }
}

/// The things by which the kernel tells routes apart; `None`: it is a rule.
fn key(routing: &Routing) -> Option<(Network, RoutingTable, u32)> {
    match routing {
        Routing::Route(route) => Some((route.to, route.table, route.metric)),
        Routing::Rule(_) => None,
    }
}

fn too_late(action: &Action, now: Mono) -> Option<i32> {
    match action {
        Action::Change(
            Change::AddAddress { not_after, .. } | Change::AddRouting { not_after, .. },
        ) => (now > *not_after).then_some(ETIME),
        _ => None,
    }
}
