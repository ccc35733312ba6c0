//! What must hold at every moment, in every small world.

use std::fmt;

use vipd::model::Preempt;
use vipd::time::Mono;

use crate::daemon::Daemon;
use crate::moves::Move;
use crate::setup::{DELAY, DEPARTURE, INTERVAL, LATENESS, LEASE, Setup};
use crate::world::{Life, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Rule {
    TwoOwners,
    Lease,
    Countdown,
    Planned,
    Refused,
    Pause,
    Panic,
}

impl Rule {
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::TwoOwners => "two owners for no longer than the documented bound",
            Self::Lease => "no address without a lease, and none that is not written down",
            Self::Countdown => "just one active node when the countdown after the last fault ends",
            Self::Planned => "a planned move has no moment without an owner",
            Self::Refused => "a refused frame changes nothing",
            Self::Pause => "who stood still listens first",
            Self::Panic => "no panic, and an end to each turn",
        }
    }
}

/// What was judged of a world so far.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Judge {
    pub(crate) broken: Option<(Rule, String)>,
    /// The last time that something happened to the world, or was repaired.
    disturbed: Mono,
    /// For each pair: why both may have the address, and since when they have it.
    both: Vec<Option<(Shared, Mono)>>,
    calm: Calm,
    /// An operator has asked for a handover: the best node may not be the one that is active.
    handed_over: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Shared {
    /// These of them stand still or are dead: the lease bounds this.
    BesideIdle(bool, bool),
    /// They run and hear each other, and neither leaves.
    Aware,
    /// One of them leaves. From half of the other one's skew time on it takes an advertisement for
    /// its successor's, and the next one after that comes an interval later.
    OneLeaves,
    /// Both of them leave: neither takes over from the other.
    BothLeave,
}

/// Whether nothing has happened but planned moves since the world was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Calm {
    No,
    /// One farewell may be lost: it is said twice.
    Yes {
        farewell_lost: bool,
    },
    /// A further change came while the frames of an earlier one were under way. Two active routers
    /// may each have heard of the other what is not true any more, and both have yielded. Their
    /// farewells bound the time without an owner by the skew time.
    Crossed {
        nobody_since: Option<Mono>,
    },
}

/// What has happened, to the judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disturbance {
    /// Something that may cost the address some time without an owner.
    Fault,
    /// A farewell was lost.
    LostFarewell,
    /// This node is stopped by its operator.
    Stop(usize),
    Handover,
    /// Another planned change.
    Planned,
}

impl Judge {
    pub(crate) fn new(now: Mono, nodes: usize) -> Self {
        Self {
            broken: None,
            disturbed: now,
            both: vec![None; nodes * nodes],
            calm: Calm::No,
            handed_over: false,
        }
    }
}

impl<D: Daemon> World<D> {
    pub(crate) fn broken(&mut self, rule: Rule, node: usize, what: &str) {
        self.judge.broken.get_or_insert_with(|| (rule, format!("node{node} {what}")));
    }

    fn wrong(&mut self, rule: Rule, what: impl fmt::Display) {
        self.judge.broken.get_or_insert_with(|| (rule, what.to_string()));
    }

    /// To be called before it happens.
    pub(crate) fn disturb(&mut self, setup: &Setup, what: Disturbance) {
        let is_settled = self.now.since(self.judge.disturbed) >= setup.countdown();
        self.judge.disturbed = self.now;
        self.judge.calm = match (self.judge.calm, what) {
            (Calm::No, _)
            | (_, Disturbance::Fault)
            | (
                Calm::Yes { farewell_lost: true } | Calm::Crossed { .. },
                Disturbance::LostFarewell,
            ) => Calm::No,
            (_, Disturbance::LostFarewell) => Calm::Yes { farewell_lost: true },
            (Calm::Yes { .. }, Disturbance::Handover | Disturbance::Planned)
                if !is_settled && self.is_under_way() =>
            {
                Calm::Crossed { nobody_since: None }
            }
            (calm, Disturbance::Handover | Disturbance::Planned) => calm,
            (calm, Disturbance::Stop(node)) => {
                let mut others = setup.nodes().filter(|other| *other != node);
                if is_settled && others.any(|other| self.is_fit(other)) { calm } else { Calm::No }
            }
        };
        self.judge.handed_over |= what == Disturbance::Handover;
    }

    /// Looks at the world after each step.
    pub(crate) fn judge(&mut self, setup: &Setup) {
        self.two_owners(setup);
        self.gap(setup);
        let waits_for_nothing = setup
            .nodes()
            .find(|node| self.nodes[*node].runs() && self.nodes[*node].deadline().is_none());
        if let Some(node) = waits_for_nothing {
            self.broken(Rule::Countdown, node, "runs, and waits for nothing");
        }
        let is_whole = self.wires.iter().all(|wire| !wire.cut)
            && self.nodes.iter().all(|node| node.runs() || node.is_dead());
        if is_whole && self.now.since(self.judge.disturbed) >= setup.countdown() {
            self.settled(setup);
        }
    }

    /// Invariant 2, distrust your own pause: a backup that was late by more than an interval does
    /// not take over from a live router; an active one that was late by more than the others wait,
    /// and finds another one's advertisement, yields, whatever the priorities are; and one whose
    /// machine knows that it has slept lets go.
    pub(crate) fn stood_still(&mut self, setup: &Setup, before: &Self, what: Move) {
        let (Move::Resume { node, .. } | Move::Awake { node, .. }) = what else { return };
        let Life::Stands(standing) = &before.nodes[node].life else { return };
        if !self.nodes[node].holds() || standing.daemon.is_leaving(before.now) {
            return;
        }
        // The only deadline of a backup without checks is that of its takeover.
        let deadline = standing.daemon.deadline().filter(|_| !setup.plan.check);
        let late = deadline.map(|at| self.now.since(at)).unwrap_or_default();
        let is_alive = |other: usize| {
            let state = &self.nodes[other];
            other != node && state.runs() && state.holds() && self.connected(node, other)
        };
        let was_active = standing.daemon.is_active(before.now);
        let length = self.now.since(standing.since);
        let knows = matches!(what, Move::Awake { told: true, .. }) && length > INTERVAL.times(2);
        // The next one in a list follows a farewell at once.
        let within = setup.skew_time();
        let follows = setup.plan.listed && standing.finds_a_farewell(self.now, within);
        let is_replaced = standing.finds_another() && !follows;
        let finds = was_active && length > INTERVAL.times(4) && is_replaced;
        let is_late = late > INTERVAL && !follows;
        if !was_active && is_late && (0..self.nodes.len()).any(is_alive) {
            self.broken(Rule::Pause, node, "stood still, and takes over without having listened");
        } else if knows || finds {
            self.broken(Rule::Pause, node, "stood still, and goes on as if it had not");
        }
    }

    /// A planned move leaves nobody without the address.
    fn gap(&mut self, setup: &Setup) {
        let is_held = self.holders().next().is_some();
        let (now, bound) = (self.now, setup.skew_time() + DELAY);
        let length = match &mut self.judge.calm {
            Calm::Crossed { nobody_since } if !is_held => {
                now.since(*nobody_since.get_or_insert(now))
            }
            Calm::Crossed { nobody_since } => {
                *nobody_since = None;
                return;
            }
            Calm::Yes { .. } if !is_held => {
                return self.wrong(Rule::Planned, "nobody has the address");
            }
            Calm::Yes { .. } | Calm::No => return,
        };
        if length > bound {
            let what = format!("nobody has the address for {length}, more than {bound}");
            self.wrong(Rule::Planned, what);
        }
    }

    fn is_under_way(&self) -> bool {
        self.wires.iter().any(|wire| !wire.frames.is_empty())
    }

    fn holders(&self) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(|node| self.nodes[*node].lease().is_some())
    }

    /// True if a node can have the address.
    fn is_fit(&self, node: usize) -> bool {
        let node = &self.nodes[node];
        node.runs() && !node.stopping && node.well
    }

    fn two_owners(&mut self, setup: &Setup) {
        for first in 0..self.nodes.len() {
            for second in first + 1..self.nodes.len() {
                self.pair(setup, first, second);
            }
        }
    }

    fn pair(&mut self, setup: &Setup, first: usize, second: usize) {
        let place = first * self.nodes.len() + second;
        let Some(why) = self.why_both(first, second) else {
            self.judge.both[place] = None;
            return;
        };
        let since = match self.judge.both[place] {
            Some((before, since)) if before == why => since,
            _ => self.now,
        };
        self.judge.both[place] = Some((why, since));
        let disturbed = self.judge.disturbed;
        let (since, bound) = match why {
            Shared::BesideIdle(..) => (since, LEASE + LATENESS),
            Shared::Aware => (since.max(disturbed), INTERVAL + DELAY),
            Shared::OneLeaves => {
                (since.max(disturbed), setup.skew_time().divided_by(2) + INTERVAL + DELAY)
            }
            Shared::BothLeave => (since.max(disturbed), DEPARTURE + DELAY),
        };
        let length = self.now.since(since);
        if length > bound {
            let who = format!("node{first} and node{second} both have the address");
            self.wrong(Rule::TwoOwners, format!("{who} for {length}, more than {bound}"));
        }
    }

    /// Why two nodes have the address; `None`: they do not, or cannot know of each other.
    fn why_both(&self, first: usize, second: usize) -> Option<Shared> {
        let (one, other) = (&self.nodes[first], &self.nodes[second]);
        if one.lease().is_none() || other.lease().is_none() {
            None
        } else if !one.runs() || !other.runs() {
            Some(Shared::BesideIdle(!one.runs(), !other.runs()))
        } else if !self.connected(first, second) {
            None
        } else {
            Some(match (self.is_leaving(first), self.is_leaving(second)) {
                (true, true) => Shared::BothLeave,
                (false, false) => Shared::Aware,
                _ => Shared::OneLeaves,
            })
        }
    }

    fn is_leaving(&self, node: usize) -> bool {
        matches!(&self.nodes[node].life, Life::Runs(daemon) if daemon.is_leaving(self.now))
    }

    /// The time after the last fault is over.
    fn settled(&mut self, setup: &Setup) {
        let running = |node: &usize| self.nodes[*node].runs();
        let active: Vec<usize> = self.holders().filter(running).collect();
        let fit: Vec<usize> = setup.nodes().filter(|node| self.is_fit(*node)).collect();
        let priority = |node: &usize| setup.priority(*node, self.nodes[*node].reloaded);
        let best = fit.iter().map(priority).max();
        let is_best = |node: &usize| Some(priority(node)) == best;
        let judges_best = setup.plan.preempt == Preempt::Always && !self.judge.handed_over;
        match &active[..] {
            [] if fit.is_empty() => {}
            [one] if fit.contains(one) && (is_best(one) || !judges_best) => {
                if !matches!(self.judge.calm, Calm::Yes { .. }) {
                    self.judge.calm = Calm::Yes { farewell_lost: false };
                }
            }
            active => {
                let what = format!(
                    "{} after the last fault the nodes {active:?} are active, of {fit:?}",
                    setup.countdown()
                );
                self.wrong(Rule::Countdown, what);
            }
        }
    }
}
