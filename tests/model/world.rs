//! A small world: nodes with their daemons and kernels, and the frames between them.

use std::collections::VecDeque;
use std::sync::Arc;

use vipd::time::{Mono, Span};

use crate::daemon::{Daemon, Deed, Frame, News, Note};
use crate::moves::Move;
use crate::rules::{Judge, Rule};
use crate::setup::{DELAY, LATENESS, LEASE, START, Setup};

/// More deadlines than may be due at one time.
const AT_ONCE: usize = 50;
/// More frames of one direction than are ever under way at one time, but by a bug.
const UNDER_WAY: usize = 8;
/// The frames that the socket of a daemon that stands still has room for.
const WAITING: usize = 4;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct World<D: Daemon> {
    pub(crate) now: Mono,
    pub(crate) nodes: Vec<Arc<Node<D>>>,
    /// From each node to each other one.
    pub(crate) wires: Vec<Wire<D::Frame>>,
    /// How many acts may follow.
    pub(crate) faults: u8,
    pub(crate) judge: Judge,
    /// The story of the last step, if it is told.
    pub(crate) told: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node<D: Daemon> {
    pub(crate) life: Life<D>,
    /// When the kernel is to remove the address that it has, if nobody renews it.
    pub(crate) held: Option<Mono>,
    pub(crate) written: Option<Note<D::Frame>>,
    /// True if what the check looks at is well.
    pub(crate) well: bool,
    pub(crate) reloaded: bool,
    pub(crate) stopping: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Life<D: Daemon> {
    Runs(D),
    Stands(Box<Standing<D>>),
    Dead,
}

/// A daemon that stands still.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Standing<D: Daemon> {
    pub(crate) daemon: D,
    pub(crate) since: Mono,
    /// True if its whole machine stands still: nothing arrives, and its kernel's timers do not run.
    pub(crate) asleep: bool,
    /// What it was about to do.
    rest: Vec<Deed<D::Frame>>,
    /// The frames in its socket.
    inbox: Vec<(D::Frame, Mono)>,
    /// True if its netlink socket says that the address is gone.
    pub(crate) expired: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Wire<F> {
    pub(crate) cut: bool,
    /// With the times when they were sent.
    pub(crate) frames: VecDeque<(F, Mono)>,
}

impl<D: Daemon> Node<D> {
    pub(crate) fn runs(&self) -> bool {
        matches!(self.life, Life::Runs(_))
    }

    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.life, Life::Dead)
    }

    pub(crate) fn holds(&self) -> bool {
        self.held.is_some()
    }

    fn is_asleep(&self) -> bool {
        matches!(&self.life, Life::Stands(standing) if standing.asleep)
    }

    /// When its kernel is to remove the address, if the machine does not sleep: then it answers,
    /// too.
    pub(crate) fn lease(&self) -> Option<Mono> {
        self.held.filter(|_| !self.is_asleep())
    }

    pub(crate) fn deadline(&self) -> Option<Mono> {
        if let Life::Runs(daemon) = &self.life { daemon.deadline() } else { None }
    }
}

impl<D: Daemon> World<D> {
    /// All daemons have just started.
    pub(crate) fn new(setup: &Setup) -> Self {
        let nodes = setup.nodes().len();
        let node = Node {
            life: Life::Dead,
            held: None,
            written: None,
            well: true,
            reloaded: false,
            stopping: false,
        };
        let wire = Wire { cut: false, frames: VecDeque::new() };
        let mut world = Self {
            now: START,
            nodes: (0..nodes).map(|_| Arc::new(node.clone())).collect(),
            wires: vec![wire; nodes * nodes],
            faults: setup.plan.faults,
            judge: Judge::new(START, nodes),
            told: None,
        };
        setup.nodes().for_each(|node| world.start(setup, node));
        world
    }

    pub(crate) fn wire(&self, from: usize, to: usize) -> &Wire<D::Frame> {
        &self.wires[from * self.nodes.len() + to]
    }

    pub(crate) fn wire_mut(&mut self, from: usize, to: usize) -> &mut Wire<D::Frame> {
        &mut self.wires[from * self.nodes.len() + to]
    }

    fn node(&mut self, node: usize) -> &mut Node<D> {
        Arc::make_mut(&mut self.nodes[node])
    }

    /// Whether each of the two hears the other.
    pub(crate) fn connected(&self, first: usize, second: usize) -> bool {
        !self.wire(first, second).cut && !self.wire(second, first).cut
    }

    /// The latest time to which time may go on by itself: daemons that run are punctual, frames
    /// arrive, and the kernel removes addresses in the end.
    pub(crate) fn horizon(&self) -> Mono {
        let deadlines = self.nodes.iter().filter_map(|node| node.deadline());
        let leases = self.nodes.iter().filter_map(|node| node.lease()).map(|ends| ends + LATENESS);
        let frames = self.wires.iter().filter_map(|wire| wire.frames.front());
        let arrivals = frames.map(|(_, sent)| *sent + DELAY);
        deadlines.chain(leases).chain(arrivals).min().unwrap_or(self.now).max(self.now)
    }

    pub(crate) fn tell(&mut self, node: usize, what: &str) {
        let since = self.now.since(START);
        if let Some(told) = &mut self.told {
            told.push(format!("{:9.3} s  node{node}  {what}", since.nanos() as f64 / 1e9));
        }
    }

    /// A daemon starts. It does first what `vipd release` does.
    pub(crate) fn start(&mut self, setup: &Setup, node: usize) {
        self.release(node);
        let (daemon, deeds) = D::start(setup, node, self.now);
        let state = self.node(node);
        (state.life, state.reloaded, state.stopping) = (Life::Runs(daemon), false, false);
        self.carry_out(setup, node, deeds);
        self.wake(setup, node, Vec::new());
    }

    pub(crate) fn kill(&mut self, node: usize) {
        self.node(node).life = Life::Dead;
        for from in 0..self.nodes.len() {
            self.wire_mut(from, node).frames.clear();
        }
    }

    pub(crate) fn pause(&mut self, node: usize, rest: Vec<Deed<D::Frame>>) {
        let now = self.now;
        let state = self.node(node);
        if let Life::Runs(daemon) = std::mem::replace(&mut state.life, Life::Dead) {
            let (inbox, expired, asleep) = (Vec::new(), false, false);
            let standing = Standing { daemon, since: now, asleep, rest, inbox, expired };
            state.life = Life::Stands(Box::new(standing));
        }
    }

    /// A whole machine stands still.
    pub(crate) fn sleep(&mut self, node: usize) {
        self.pause(node, Vec::new());
        if let Life::Stands(standing) = &mut self.node(node).life {
            standing.asleep = true;
        }
        for from in 0..self.nodes.len() {
            self.wire_mut(from, node).frames.clear();
        }
    }

    /// A machine goes on. Its kernel knows that it has slept, or does not (one that a hypervisor
    /// had stopped).
    pub(crate) fn awake(&mut self, setup: &Setup, node: usize, told: bool) {
        let now = self.now;
        let state = self.node(node);
        let Life::Stands(standing) = std::mem::replace(&mut state.life, Life::Dead) else { return };
        let length = now.since(standing.since);
        state.held = state.held.map(|ends| ends + length);
        state.life = Life::Runs(standing.daemon);
        let news = told.then_some(News::Slept(length)).into_iter().collect();
        self.wake(setup, node, news);
    }

    /// A daemon goes on: it finishes what it was about, and hears what has arrived (invariant 1,
    /// hear before you act). Its netlink thread may have been faster.
    pub(crate) fn resume(&mut self, setup: &Setup, node: usize, netlink_first: bool) {
        let state = self.node(node);
        let Life::Stands(standing) = std::mem::replace(&mut state.life, Life::Dead) else { return };
        let Standing { daemon, rest, inbox, expired, .. } = *standing;
        state.life = Life::Runs(daemon);
        let mut news: Vec<_> =
            inbox.into_iter().map(|(frame, arrived)| News::Heard(frame, arrived)).collect();
        let place = if netlink_first { 0 } else { news.len() };
        if expired {
            news.insert(place, News::Expired);
        }
        let came_of_it = rest.into_iter().filter_map(|deed| self.does(node, deed));
        let came_of_it: Vec<_> = came_of_it.collect();
        news.splice(place..place, came_of_it);
        self.wake(setup, node, news);
    }

    /// `vipd release`: the address goes first, then the others are told. Where its lease has run
    /// out, another node has taken over, and nothing is said.
    pub(crate) fn release(&mut self, node: usize) {
        let state = self.node(node);
        let Some(Note { address, farewells }) = state.written.take() else { return };
        if address && state.held.take().is_some() {
            for farewell in farewells {
                self.transmit(node, &farewell);
                self.transmit(node, &farewell);
            }
        }
    }

    /// The kernel removes the address at the end of its lifetime.
    pub(crate) fn expire(&mut self, setup: &Setup, node: usize) {
        let state = self.node(node);
        state.held = None;
        match &mut state.life {
            Life::Dead => {}
            Life::Stands(standing) => standing.expired = true,
            Life::Runs(_) => {
                self.broken(Rule::Lease, node, "runs, and the lease of its address has run out");
                self.wake(setup, node, vec![News::Expired]);
            }
        }
    }

    /// A frame arrives.
    pub(crate) fn deliver(&mut self, setup: &Setup, from: usize, to: usize) {
        let Some((frame, _)) = self.wire_mut(from, to).frames.pop_front() else { return };
        let now = self.now;
        match &mut self.node(to).life {
            Life::Dead => {}
            Life::Stands(standing) => standing.hears(frame, now),
            Life::Runs(_) => {
                self.refuses(setup, to, &frame);
                self.wake(setup, to, vec![News::Heard(frame, now)]);
            }
        }
    }

    /// A frame with an error in it changes nothing.
    fn refuses(&mut self, setup: &Setup, node: usize, frame: &D::Frame) {
        let Some(corrupted) = frame.corrupted() else { return };
        let Life::Runs(daemon) = &self.nodes[node].life else { return };
        let mut other = daemon.clone();
        let deeds = other.tell(setup, self.now, News::Heard(corrupted, self.now));
        let does_something = deeds.iter().any(|deed| !matches!(deed, Deed::Tell(_)));
        if does_something || crate::hash::digest(&other) != crate::hash::digest(daemon) {
            self.broken(Rule::Refused, node, "is changed by a frame that it must refuse");
        }
    }

    /// One turn of the loop: the news, then what is due; and what comes of it.
    pub(crate) fn wake(&mut self, setup: &Setup, node: usize, news: Vec<News<D::Frame>>) {
        let deeds = self.decide(setup, node, news);
        self.carry_out(setup, node, deeds);
    }

    /// The same until the daemon has done so many things that change the world: then it dies or
    /// stands still. False if it does not do so many.
    pub(crate) fn break_off(
        &mut self,
        setup: &Setup,
        node: usize,
        after: usize,
        dies: bool,
    ) -> bool {
        let deeds = self.decide(setup, node, Vec::new());
        let places = deeds.iter().enumerate().filter(|(_, deed)| deed.changes_the_world());
        let Some(place) = places.map(|(place, _)| place).nth(after) else { return false };
        let mut deeds = deeds;
        let rest = deeds.split_off(place);
        for deed in deeds {
            let _ = self.does(node, deed);
        }
        if dies {
            self.kill(node);
        } else {
            self.pause(node, rest);
        }
        true
    }

    fn decide(
        &mut self,
        setup: &Setup,
        node: usize,
        news: Vec<News<D::Frame>>,
    ) -> Vec<Deed<D::Frame>> {
        let now = self.now;
        let Life::Runs(daemon) = &mut self.node(node).life else { return Vec::new() };
        let mut deeds = Vec::new();
        for one in news {
            deeds.extend(daemon.tell(setup, now, one));
        }
        let is_due = |daemon: &D| daemon.deadline().is_some_and(|at| at <= now);
        let mut rounds = 0;
        while is_due(daemon) && rounds < AT_ONCE {
            deeds.extend(daemon.tell(setup, now, News::Due));
            rounds += 1;
        }
        if rounds == AT_ONCE {
            self.broken(Rule::Panic, node, "spins: its deadline stays due");
        }
        deeds
    }

    fn carry_out(&mut self, setup: &Setup, node: usize, deeds: Vec<Deed<D::Frame>>) {
        let came_of_it: Vec<_> =
            deeds.into_iter().filter_map(|deed| self.does(node, deed)).collect();
        if !came_of_it.is_empty() {
            self.wake(setup, node, came_of_it);
        }
    }

    /// Does one thing; what the daemon is told of it.
    fn does(&mut self, node: usize, what: Deed<D::Frame>) -> Option<News<D::Frame>> {
        match what {
            Deed::Send(frame) => {
                self.may_say(node, &frame);
                self.transmit(node, &frame);
            }
            Deed::WriteDown(list) => self.node(node).written = list,
            Deed::Add { lease, not_after } if self.now > not_after => {
                return Some(News::TooLate { lease, not_after });
            }
            Deed::Add { lease, .. } => self.add(node, lease),
            Deed::Remove => {
                self.tell(node, "  the address is removed");
                self.node(node).held = None;
            }
            Deed::Look { number } => {
                return Some(News::Probed { number, well: self.nodes[node].well });
            }
            Deed::End => {
                self.kill(node);
                if self.nodes[node].holds() {
                    self.broken(Rule::Lease, node, "has ended, and left its address behind");
                }
            }
            Deed::Tell(what) => self.tell(node, &format!("  says: {what}")),
        }
        None
    }

    /// Invariants 3 and 4: no address without a lease, and none that is not written down.
    fn add(&mut self, node: usize, lease: Option<Span>) {
        if self.told.is_some() && !self.nodes[node].holds() {
            self.tell(node, "  the address is added");
        }
        if lease.is_none_or(|lease| lease > LEASE) {
            self.broken(Rule::Lease, node, &format!("adds the address with the lease {lease:?}"));
        }
        if !self.nodes[node].written.as_ref().is_some_and(|note| note.address) {
            self.broken(Rule::Lease, node, "adds the address, which is not written down");
        }
        let now = self.now;
        self.node(node).held = Some(now + lease.unwrap_or(LEASE));
    }

    /// From a farewell on another node waits for its skew time alone.
    fn may_say(&mut self, node: usize, frame: &D::Frame) {
        let Life::Runs(daemon) = &self.nodes[node].life else { return };
        if frame.is_farewell() && self.nodes[node].holds() && !daemon.is_leaving(self.now) {
            self.broken(Rule::TwoOwners, node, "says that it stops, and has the address");
        }
    }

    fn transmit(&mut self, from: usize, frame: &D::Frame) {
        if self.told.is_some() {
            self.tell(from, &format!("  sends {}", frame.words()));
        }
        for to in (0..self.nodes.len()).filter(|to| *to != from) {
            if self.wire(from, to).cut || self.nodes[to].is_dead() || self.nodes[to].is_asleep() {
                continue;
            }
            let now = self.now;
            let wire = self.wire_mut(from, to);
            wire.frames.push_back((frame.clone(), now));
            assert!(wire.frames.len() <= UNDER_WAY, "too many frames are under way");
        }
    }
}

impl<D: Daemon> Standing<D> {
    /// True if an advertisement of an active router waits for it.
    pub(crate) fn finds_another(&self) -> bool {
        self.rest.is_empty() && self.inbox.iter().any(|(frame, _)| !frame.is_farewell())
    }

    /// True if a farewell is the last word that waits for it, and came less than that long ago.
    pub(crate) fn finds_a_farewell(&self, now: Mono, within: Span) -> bool {
        let last = self.inbox.last();
        last.is_some_and(|(frame, arrived)| frame.is_farewell() && now.since(*arrived) < within)
    }

    /// A frame waits in the socket. One that says the same as the last one takes its place, and a
    /// full socket takes no more.
    fn hears(&mut self, frame: D::Frame, now: Mono) {
        let has_room = self.inbox.len() < WAITING;
        match self.inbox.last_mut() {
            Some((last, arrived)) if *last == frame => *arrived = now,
            _ if has_room => self.inbox.push((frame, now)),
            _ => {}
        }
    }
}

impl<D: Daemon> World<D> {
    /// The operator wants something.
    pub(crate) fn is_wanted(&mut self, setup: &Setup, what: Move) {
        let (node, news) = match what {
            Move::HandOver(node) => (node, News::HandOver),
            Move::Stop(node) => {
                self.node(node).stopping = true;
                (node, News::Stop)
            }
            Move::Reload(node) => {
                let state = self.node(node);
                state.reloaded = !state.reloaded;
                (node, News::Reload { reloaded: state.reloaded })
            }
            Move::Flip(node) => {
                let state = self.node(node);
                state.well = !state.well;
                return;
            }
            _ => return,
        };
        self.wake(setup, node, vec![news]);
    }
}
