//! The order in which actions are carried out.
//!
//! Everything that the engine answers within one turn of the loop comes here first, and is then
//! handed out grouped: messages, Ethernet frames, everything else, and the changes of the system as
//! one batch. Grouping changes the order only where nobody can tell: one virtual router's messages
//! stay in order, a message that stands behind a frame leaves after it, and a socket is closed
//! after the messages have left.
//!
//! Changes take the kernel's time. Meanwhile only that waits which must not overtake them: the rest
//! of the same answer, and whatever concerns the same virtual router, socket, device or address, or
//! writes down what is held. A message is the exception: of its own answer it waits for nothing but
//! its own instance's changes. So an advertisement is never late because of another virtual
//! router's addresses, also where both are due in the same turn.

mod barrier;
mod ground;
mod owners;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use self::barrier::Barrier;
use self::ground::{Ground, Origin};
use self::owners::Owners;
use crate::engine::{Action, Change};
use crate::model::Config;

/// Something that may be done now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Send messages, in this order as far as one interface and family goes.
    Messages(Vec<Action>),
    /// Send Ethernet frames, in this order.
    Frames(Vec<Action>),
    /// Anything else.
    One(Action),
    /// Change the system, in this order; then call [`Outbox::changes_done`].
    Changes(Vec<Change>),
}

/// Actions that are not carried out yet.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    owners: Owners,
    answers: u64,
    ready: Ready,
    /// The changes that the kernel gets next, all at once.
    batch: Vec<Change>,
    /// True if the kernel is carrying out the batch before.
    under_way: bool,
    waiting: Vec<Waiting>,
    barrier: Barrier,
}

/// Actions that need not wait.
#[derive(Debug, Default)]
struct Ready {
    /// Messages that stand before all frames.
    messages: Vec<Action>,
    frames: Vec<Action>,
    /// Messages that stand behind a frame: a preempting router announces its addresses first.
    messages_after: Vec<Action>,
    others: VecDeque<Action>,
}

#[derive(Debug)]
struct Waiting {
    /// The engine's answer that it belongs to.
    answer: u64,
    action: Action,
}

impl Outbox {
    /// Learns from another configuration which instance has what.
    pub(crate) fn reconfigure(&mut self, config: &Config) {
        self.owners.reconfigure(config);
    }

    /// Takes one answer of the engine.
    pub(crate) fn push(&mut self, actions: Vec<Action>) {
        self.answers += 1;
        let answer = self.answers;
        for action in actions {
            // While nothing waits or is under way, there is nothing that could be overtaken.
            if self.barrier.is_empty() && !matches!(action, Action::Change(_)) {
                self.ready.put(action);
            } else {
                self.sort_in(Waiting { answer, action });
            }
        }
    }

    /// The next thing to do, if there is something that need not wait.
    pub(crate) fn next(&mut self) -> Option<Work> {
        if let Some(work) = self.ready.next() {
            return Some(work);
        }
        if self.under_way || self.batch.is_empty() {
            return None;
        }
        self.under_way = true;
        Some(Work::Changes(std::mem::take(&mut self.batch)))
    }

    /// The kernel has answered for the changes that were taken last.
    pub(crate) fn changes_done(&mut self) {
        self.under_way = false;
        self.barrier = Barrier::default();
        for waiting in std::mem::take(&mut self.waiting) {
            self.sort_in(waiting);
        }
    }

    fn sort_in(&mut self, Waiting { answer, action }: Waiting) {
        let ground = Ground::of(&action);
        let origin = Origin { answer, owner: self.owners.of(&action) };
        let waits = self.barrier.keeps(origin, &ground, self.under_way);
        if waits || ground.takes_time() {
            self.barrier.hold(origin, ground);
        }
        match action {
            action if waits => self.waiting.push(Waiting { answer, action }),
            Action::Change(change) => self.batch.push(change),
            action => self.ready.put(action),
        }
    }
}

impl Ready {
    fn put(&mut self, action: Action) {
        match action {
            Action::Send { .. } if self.frames.is_empty() && self.messages_after.is_empty() => {
                self.messages.push(action);
            }
            Action::Send { .. } => self.messages_after.push(action),
            Action::Announce { .. } => self.frames.push(action),
            _ => self.others.push_back(action),
        }
    }

    fn next(&mut self) -> Option<Work> {
        if !self.messages.is_empty() {
            return Some(Work::Messages(std::mem::take(&mut self.messages)));
        }
        if !self.frames.is_empty() {
            return Some(Work::Frames(std::mem::take(&mut self.frames)));
        }
        if !self.messages_after.is_empty() {
            return Some(Work::Messages(std::mem::take(&mut self.messages_after)));
        }
        let other = self.others.pop_front();
        if other.is_none() {
            // A start of thousands of instances needs much room once.
            self.others = VecDeque::new();
        }
        other.map(Work::One)
    }
}
