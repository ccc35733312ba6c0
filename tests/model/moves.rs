//! The steps from one state to the next ones.

use std::fmt;

use vipd::time::Mono;

use crate::daemon::{Daemon, Frame};
use crate::rules::Disturbance;
use crate::setup::{Act, LATENESS, Setup};
use crate::world::{Life, World};

/// A daemon is broken off after so many things that it does in one turn.
const BROKEN_OFF: usize = 5;

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// The oldest frame arrives.
    Deliver {
        from: usize,
        to: usize,
    },
    /// Time goes on to the deadline of a daemon.
    Wake(usize),
    /// The kernel removes an address, as early or as late as it may.
    Expire {
        node: usize,
        late: bool,
    },
    /// A daemon goes on.
    Resume {
        node: usize,
        netlink_first: bool,
    },
    /// A machine goes on.
    Awake {
        node: usize,
        told: bool,
    },
    Start(usize),
    /// `vipd release`
    Release(usize),
    /// Every wire is whole again.
    Heal,
    /// The oldest frame is lost.
    Lose {
        from: usize,
        to: usize,
    },
    Pause(usize),
    Sleep(usize),
    /// Time goes on to the deadline of a daemon, which stands still when it has done so many
    /// things.
    Freeze {
        node: usize,
        after: usize,
    },
    Kill(usize),
    /// Time goes on to the deadline of a daemon, which dies when it has done so many things.
    Die {
        node: usize,
        after: usize,
    },
    Cut {
        first: usize,
        second: usize,
    },
    CutOneWay {
        from: usize,
        to: usize,
    },
    HandOver(usize),
    Stop(usize),
    Reload(usize),
    Flip(usize),
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deliver { from, .. } => write!(f, "hears node{from}"),
            Self::Wake(_) => f.write_str("has something due"),
            Self::Expire { .. } => {
                f.write_str("loses the address to the kernel: the lease has ended")
            }
            Self::Resume { netlink_first: false, .. } => f.write_str("GOES ON"),
            Self::Resume { .. } => f.write_str("GOES ON, and hears its netlink socket first"),
            Self::Awake { told: true, .. } => f.write_str("AWAKES"),
            Self::Awake { .. } => f.write_str("AWAKES, and does not know that it has slept"),
            Self::Sleep(_) => f.write_str("SLEEPS, with its machine"),
            Self::Start(_) => f.write_str("STARTS"),
            Self::Release(_) => f.write_str("RUNS `vipd release`"),
            Self::Heal => f.write_str("HEARS all others again, and they hear it, and each other"),
            Self::Lose { from, .. } => write!(f, "DOES NOT GET the next frame of node{from}"),
            Self::Pause(_) => f.write_str("STANDS STILL"),
            Self::Freeze { after, .. } => {
                write!(f, "has something due, and STANDS STILL after {after} things of it")
            }
            Self::Kill(_) => f.write_str("IS KILLED"),
            Self::Die { after, .. } => {
                write!(f, "has something due, and IS KILLED after {after} things of it")
            }
            Self::Cut { second, .. } => write!(f, "IS CUT OFF from node{second}"),
            Self::CutOneWay { from, .. } => write!(f, "DOES NOT HEAR node{from} any more"),
            Self::HandOver(_) => f.write_str("IS TO HAND OVER"),
            Self::Stop(_) => f.write_str("IS TO STOP"),
            Self::Reload(_) => f.write_str("GETS ANOTHER FILE"),
            Self::Flip(_) => f.write_str("has its CHECK'S SUBJECT break, or be well again"),
        }
    }
}

impl Move {
    /// Whom it happens to.
    fn node(self) -> usize {
        match self {
            Self::Deliver { to, .. } | Self::Lose { to, .. } | Self::CutOneWay { to, .. } => to,
            Self::Wake(node)
            | Self::Start(node)
            | Self::Release(node)
            | Self::Pause(node)
            | Self::Sleep(node)
            | Self::Awake { node, .. }
            | Self::Kill(node)
            | Self::HandOver(node)
            | Self::Stop(node)
            | Self::Reload(node)
            | Self::Flip(node)
            | Self::Expire { node, .. }
            | Self::Resume { node, .. }
            | Self::Freeze { node, .. }
            | Self::Die { node, .. } => node,
            Self::Cut { first, .. } => first,
            Self::Heal => 0,
        }
    }
}

impl<D: Daemon> World<D> {
    /// The steps that are possible.
    pub(crate) fn moves(&self, setup: &Setup, out: &mut Vec<Move>) {
        if self.judge.broken.is_some() {
            return;
        }
        self.what_comes_by_itself(out);
        self.repairs(out);
        if self.faults > 0 {
            for act in setup.plan.acts {
                self.acts(*act, setup, out);
            }
        }
    }

    /// What happens where nobody does anything.
    pub(crate) fn what_comes_by_itself(&self, out: &mut Vec<Move>) {
        let horizon = self.horizon();
        for (from, to) in self.directions() {
            if !self.wire(from, to).frames.is_empty() {
                out.push(Move::Deliver { from, to });
            }
        }
        for (node, state) in self.nodes.iter().enumerate() {
            if state.deadline().is_some_and(|at| at <= horizon) {
                out.push(Move::Wake(node));
            }
            let Some(ends) = state.lease() else { continue };
            if ends <= horizon {
                out.push(Move::Expire { node, late: false });
            }
            // A renewed lease is only looked at where it matters.
            if self.now < ends + LATENESS && ends + LATENESS <= horizon {
                out.push(Move::Expire { node, late: true });
            }
        }
    }

    fn repairs(&self, out: &mut Vec<Move>) {
        for (node, state) in self.nodes.iter().enumerate() {
            match &state.life {
                Life::Runs(_) => {}
                Life::Stands(standing) if standing.asleep => {
                    out.extend([true, false].map(|told| Move::Awake { node, told }));
                }
                Life::Stands(standing) => {
                    out.push(Move::Resume { node, netlink_first: false });
                    if standing.expired {
                        out.push(Move::Resume { node, netlink_first: true });
                    }
                }
                Life::Dead => {
                    out.push(Move::Start(node));
                    if state.written.is_some() {
                        out.push(Move::Release(node));
                    }
                }
            }
        }
        if self.wires.iter().any(|wire| wire.cut) {
            out.push(Move::Heal);
        }
    }

    fn acts(&self, act: Act, setup: &Setup, out: &mut Vec<Move>) {
        let running = || setup.nodes().filter(|node| self.nodes[*node].runs());
        let working = || running().filter(|node| !self.nodes[*node].stopping);
        let due = || {
            let horizon = self.horizon();
            running()
                .filter(move |node| self.nodes[*node].deadline().is_some_and(|at| at <= horizon))
        };
        let broken_off = || due().flat_map(|node| (0..BROKEN_OFF).map(move |after| (node, after)));
        let one_way = || self.directions().filter(|(from, to)| !self.wire(*from, *to).cut);
        match act {
            Act::Lose => {
                let some = one_way().filter(|(from, to)| !self.wire(*from, *to).frames.is_empty());
                out.extend(some.map(|(from, to)| Move::Lose { from, to }));
            }
            Act::Pause => out.extend(running().map(Move::Pause)),
            Act::Sleep => out.extend(running().map(Move::Sleep)),
            Act::Freeze => {
                out.extend(broken_off().map(|(node, after)| Move::Freeze { node, after }));
            }
            Act::Kill => out.extend(running().map(Move::Kill)),
            Act::Die => out.extend(broken_off().map(|(node, after)| Move::Die { node, after })),
            Act::Cut => {
                let whole = self
                    .directions()
                    .filter(|(first, second)| first < second && self.connected(*first, *second));
                out.extend(whole.map(|(first, second)| Move::Cut { first, second }));
            }
            Act::CutOneWay => out.extend(one_way().map(|(from, to)| Move::CutOneWay { from, to })),
            Act::HandOver => {
                let holding = working().filter(|node| self.nodes[*node].holds());
                out.extend(holding.map(Move::HandOver));
            }
            Act::Stop => out.extend(working().map(Move::Stop)),
            Act::Reload => out.extend(working().map(Move::Reload)),
            Act::Flip => out.extend(setup.nodes().map(Move::Flip)),
        }
    }

    fn directions(&self) -> impl Iterator<Item = (usize, usize)> + use<D> {
        let nodes = self.nodes.len();
        let all = (0..nodes).flat_map(move |from| (0..nodes).map(move |to| (from, to)));
        all.filter(|(from, to)| from != to)
    }

    /// The world after a step; `None`: it is not possible after all.
    pub(crate) fn step(&self, setup: &Setup, what: Move) -> Option<Self> {
        let mut next = self.clone();
        next.pass(what);
        next.tell(what.node(), &what.to_string());
        let happens = next.comes_by_itself(setup, what)
            || next.is_repaired(setup, what)
            || next.is_done_to_it(setup, what);
        happens.then(|| {
            next.stood_still(setup, self, what);
            next.judge(setup);
            next
        })
    }

    /// Time goes on to the moment of this step.
    fn pass(&mut self, what: Move) {
        let at = match what {
            Move::Wake(node) | Move::Freeze { node, .. } | Move::Die { node, .. } => {
                self.nodes[node].deadline()
            }
            Move::Expire { node, late: false } => self.nodes[node].held,
            Move::Expire { node, late: true } => self.nodes[node].held.map(|ends| ends + LATENESS),
            _ => None,
        };
        self.now = self.now.max(at.unwrap_or(Mono(0)));
    }

    fn comes_by_itself(&mut self, setup: &Setup, what: Move) -> bool {
        match what {
            Move::Deliver { from, to } => self.deliver(setup, from, to),
            Move::Wake(node) => self.wake(setup, node, Vec::new()),
            Move::Expire { node, .. } => self.expire(setup, node),
            _ => return false,
        }
        true
    }

    fn is_repaired(&mut self, setup: &Setup, what: Move) -> bool {
        match what {
            Move::Resume { node, netlink_first } => {
                self.disturb(setup, Disturbance::Fault);
                self.resume(setup, node, netlink_first);
            }
            Move::Awake { node, told } => {
                self.disturb(setup, Disturbance::Fault);
                self.awake(setup, node, told);
            }
            Move::Start(node) => {
                self.disturb(setup, Disturbance::Planned);
                self.start(setup, node);
            }
            Move::Release(node) => {
                self.disturb(setup, Disturbance::Planned);
                self.release(node);
            }
            Move::Heal => {
                self.disturb(setup, Disturbance::Fault);
                self.wires.iter_mut().for_each(|wire| wire.cut = false);
            }
            _ => return false,
        }
        true
    }

    fn is_done_to_it(&mut self, setup: &Setup, what: Move) -> bool {
        self.faults -= 1;
        let disturbance = match what {
            Move::HandOver(_) => Disturbance::Handover,
            Move::Stop(node) => Disturbance::Stop(node),
            Move::Reload(_) => Disturbance::Planned,
            Move::Lose { from, to } if self.next_is_farewell(from, to) => Disturbance::LostFarewell,
            _ => Disturbance::Fault,
        };
        self.disturb(setup, disturbance);
        match what {
            Move::Lose { from, to } => drop(self.wire_mut(from, to).frames.pop_front()),
            Move::Pause(node) => self.pause(node, Vec::new()),
            Move::Sleep(node) => self.sleep(node),
            Move::Kill(node) => self.kill(node),
            Move::Freeze { node, after } => return self.break_off(setup, node, after, false),
            Move::Die { node, after } => return self.break_off(setup, node, after, true),
            Move::Cut { first, second } => {
                self.cut(first, second);
                self.cut(second, first);
            }
            Move::CutOneWay { from, to } => self.cut(from, to),
            other => self.is_wanted(setup, other),
        }
        true
    }

    fn next_is_farewell(&self, from: usize, to: usize) -> bool {
        self.wire(from, to).frames.front().is_some_and(|(frame, _)| frame.is_farewell())
    }

    fn cut(&mut self, from: usize, to: usize) {
        let wire = self.wire_mut(from, to);
        wire.cut = true;
        wire.frames.clear();
    }
}
