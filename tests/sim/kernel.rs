//! Everything between an engine and the segment: the outbox that ships, the netlink thread, and a
//! kernel that takes its time to answer.

use vipd::engine::story::{StateName, What};
use vipd::engine::{Action, Event, HeldRouter, Input, SystemError};
use vipd::model::{Config, Family};
use vipd::time::{Mono, Span};

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use crate::group::interface;
use crate::outbox::{Outbox, Work};
use crate::world::{Happening, Lease, World};

const EPERM: i32 = 1;
const ENODEV: i32 = 19;
const ETIME: i32 = 62;

/// The longest time for which the kernel keeps an address beyond its lifetime. For a lifetime of
/// 1 s, 2.7 s were seen if another address of the namespace was changed just before, and once 3.5 s
/// for IPv6.
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

/// The part of the shell that is behind an engine.
#[derive(Debug, Default)]
pub(crate) struct Shell {
    outbox: Outbox,
    batch: Option<Batch>,
    /// The farewells that wait, by source. True if the router was leaving, and continues until it
    /// hears another one.
    farewells: BTreeMap<IpAddr, VecDeque<bool>>,
    /// The failures and the open sockets that the engine does not know of yet.
    answers: Vec<Input>,
}

impl Shell {
    /// The daemon gets another configuration.
    pub(crate) fn reconfigure(&mut self, config: &Config) {
        self.outbox.reconfigure(config);
    }
}

/// The changes that the netlink thread is working on.
#[derive(Debug)]
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
    pub(crate) fn carry_out(&mut self, node: usize, actions: Vec<Action>) {
        self.nodes[node].shell.outbox.push(actions);
        self.do_what_may_be_done(node);
    }

    /// Examines the actions of an engine before any of them is carried out.
    pub(crate) fn note_what_is_wanted(&mut self, node: usize, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Report(Event { what: What::Changed { to, .. }, .. }) => {
                    let is_active = *to == StateName::Active;
                    self.nodes[node].active_since = is_active.then_some(self.now);
                    if is_active {
                        self.must_not_be_on_standby(node);
                    }
                }
                Action::Answer { answer, .. } => self.note_answer(node, answer),
                Action::Send { source, message, .. } if message[2] == 0 => {
                    let leaves = self.leaves(node);
                    let waiting = self.nodes[node].shell.farewells.entry(*source).or_default();
                    waiting.push_back(leaves);
                }
                _ => {}
            }
        }
    }

    /// Checks a router that says that it stops and does not wait for a successor: it must have no
    /// address any more. From the farewell on, another node waits only for its skew time.
    pub(crate) fn must_be_gone(&mut self, node: usize, source: IpAddr) {
        let state = &mut self.nodes[node];
        let waiting = state.shell.farewells.get_mut(&source);
        let leaves = waiting.and_then(VecDeque::pop_front).unwrap_or_default();
        if state.holds() && !leaves {
            let what = "says that it stops, and has the address";
            self.violation = Some(format!("node{node} {what}"));
        }
    }

    /// Takes the oldest answer that the engine does not know yet.
    pub(crate) fn next_answer(&mut self, node: usize) -> Option<Input> {
        let answers = &mut self.nodes[node].shell.answers;
        (!answers.is_empty()).then(|| answers.remove(0))
    }

    fn do_what_may_be_done(&mut self, node: usize) {
        let life = self.nodes[node].life;
        while let Some(work) = self.nodes[node].shell.outbox.next() {
            let actions = match work {
                Work::Addresses(actions) => {
                    if !actions.iter().any(|_| self.dies(node)) {
                        self.order(node, actions);
                    }
                    Vec::new()
                }
                Work::Messages(actions) => actions,
                Work::One(action) => vec![action],
            };
            for action in actions {
                if self.dies(node) {
                    return;
                }
                if let Some(errno) = self.apply(node, &action) {
                    self.failed(node, action, errno);
                } else if let Action::Listen { interface, family, .. } = action {
                    let answer = Input::Listening { interface, family, missing: Vec::new() };
                    self.nodes[node].shell.answers.push(answer);
                }
            }
            if self.nodes[node].engine.is_none() || self.nodes[node].life != life {
                return;
            }
        }
    }

    fn failed(&mut self, node: usize, action: Action, errno: i32) {
        let error = SystemError { errno, text: format!("errno {errno}") };
        self.nodes[node].shell.answers.push(Input::Failed { action: Box::new(action), error });
    }

    fn order(&mut self, node: usize, actions: Vec<Action>) {
        let number = self.happenings;
        let batch =
            Batch { number, actions, outcomes: Vec::new(), stage: Stage::Ordered, waits: false };
        self.nodes[node].shell.batch = Some(batch);
        let late = self.at_random(THREADS);
        self.schedule(self.now + late, Happening::Kernel { node, number });
    }

    fn at_random(&mut self, longest: Span) -> Span {
        Span::from_nanos(self.rng.u64(..=longest.nanos()))
    }

    /// Draws the kernel's time: mostly short, and at times long because another program has its
    /// lock.
    fn kernels_time(&mut self) -> Span {
        let longest = if self.rng.u8(..6) == 0 { self.machines.kernel } else { UNDISTURBED };
        self.at_random(longest)
    }

    /// The netlink thread of a node comes a step further with its changes.
    pub(crate) fn kernel_goes_on(&mut self, node: usize, number: u64) {
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
    pub(crate) fn netlink_resumes(&mut self, node: usize) {
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
    pub(crate) fn shell_ends(&mut self, node: usize, power_is_off: bool) {
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
        let Some(batch) = self.nodes[node].shell.batch.take() else { return };
        self.nodes[node].shell.outbox.addresses_done();
        for (action, outcome) in batch.actions.into_iter().zip(batch.outcomes) {
            if let Some(errno) = outcome {
                self.failed(node, action, errno);
            }
        }
        self.do_what_may_be_done(node);
        self.attend(node);
    }

    /// Carries out a change as the kernel does. `Some`: the kernel refuses it.
    fn change(&mut self, node: usize, action: &Action) -> Option<i32> {
        let state = &mut self.nodes[node];
        let exists = state.exists && state.told_index == Some(state.index);
        match action {
            Action::AddAddress { interface: on, .. } if !exists && *on == interface() => {
                Some(ENODEV)
            }
            Action::AddAddress { .. } if state.refusals > 0 => {
                state.refusals -= 1;
                state.refused = Some(self.now);
                Some(EPERM)
            }
            Action::AddAddress { address, lease, .. } => {
                self.install(node, address.address, *lease);
                None
            }
            Action::RemoveAddress { address, .. } => {
                if exists {
                    state.held.remove(&address.address);
                }
                None
            }
            Action::AddRouting { .. } | Action::RemoveRouting { .. } => None,
            // No instance of the simulation has a virtual MAC address.
            _ => panic!("{action:?}"),
        }
    }

    /// The kernel has the address now, for as long as its lease lasts.
    fn install(&mut self, node: usize, address: IpAddr, lease: Option<Span>) {
        let is_written = |router: &HeldRouter| !router.addresses.is_empty();
        if !self.nodes[node].written.iter().any(is_written) {
            self.violation = Some(format!("node{node} adds its address without writing it down"));
        }
        let since = self.now;
        let late = self.at_random(granularity(Family::of(address)));
        let ends = lease.map(|lease| since + lease + late);
        self.nodes[node].held.insert(address, Lease { since, ends });
        if let Some(ends) = ends {
            self.schedule(ends, Happening::Expire { node, address });
        }
    }
}

fn too_late(action: &Action, now: Mono) -> Option<i32> {
    match action {
        Action::AddAddress { not_after, .. } | Action::AddRouting { not_after, .. } => {
            (now > *not_after).then_some(ETIME)
        }
        _ => None,
    }
}
