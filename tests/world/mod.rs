//! A simulated world on virtual time: segments, the nodes on them with their kernels, clocks and
//! daemons, and the engine that ships in each. It only lets things happen, and notes what no engine
//! may do at any time; what a group owes its clients is judged by whoever plays with it.
//!
//! The draws before it began, and `rng`, decide everything: a world replays.

mod checks;
mod hearing;
mod hooks;
mod interfaces;
mod kernel;
mod life;
pub(crate) mod machine;
mod node;
mod operator;
pub(crate) mod packet;
mod rubbish;
mod seen;
mod turn;
mod wire;
pub(crate) mod written;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use fastrand::Rng;
use vipd::engine::{Action, HookOwner, Link};
use vipd::keyring::KeyRing;
use vipd::model::{Config, InterfaceName, TrackConfig};
use vipd::time::{Mono, Now, Span, Wall};

pub(crate) use checks::Truth;
pub(crate) use hearing::speak_alike;
pub(crate) use hooks::TIMEOUT;
pub(crate) use kernel::{THREADS, UNDISTURBED, granularity};
use machine::Place;
pub(crate) use node::Node;
use rubbish::Recording;
pub(crate) use seen::Seen;

/// Real daemons wake up a little late.
pub(crate) const WAKE_JITTER: Span = Span::from_micros(200);
/// The time of the wall clocks at first, and again when they are set right.
pub(crate) const WALL: u64 = 1_800_000_000_000_000_000;

/// The parts of a world.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    /// The interface of each segment, of the same name on every node.
    pub(crate) segments: Vec<InterfaceName>,
    /// By node and segment: the interface while all is well.
    pub(crate) links: Vec<Vec<Link>>,
    /// The file of each node.
    pub(crate) configs: Vec<Config>,
    /// The checks that any file may have.
    pub(crate) tracks: Vec<TrackConfig>,
    pub(crate) keys: KeyRing,
    /// Messages are signed, with time stamps.
    pub(crate) signed: bool,
    /// The time window of the stamps.
    pub(crate) window: Span,
    /// The longest time that a frame is under way.
    pub(crate) delay: Span,
    /// The longest time that the kernel takes to change addresses; `None`: it does so at once.
    pub(crate) kernel: Option<Span>,
}

/// Looks at a node whose engine has just decided these actions, after they were carried out as far
/// as they need no time. `Some`: a rule is broken.
pub(crate) type Watcher = fn(&World, usize, &[Action]) -> Option<String>;

pub(crate) struct World {
    pub(crate) now: Mono,
    pub(crate) setup: Setup,
    pub(crate) nodes: Vec<Node>,
    /// By segment: the nodes whose bit is set hear only each other, and so do the others.
    pub(crate) partitions: Vec<Option<u8>>,
    /// On which segment, from which node to which one nothing arrives.
    pub(crate) one_way: BTreeSet<(usize, usize, usize)>,
    /// The share of frames that are lost, in percent.
    pub(crate) loss: u8,
    /// The share of frames after which one comes that must be refused, in percent.
    pub(crate) rubbish: u8,
    pub(crate) watcher: Option<Watcher>,
    pub(crate) story: Vec<String>,
    pub(crate) takeovers: u64,
    pub(crate) seen: Seen,
    /// The first rule that was broken on the way.
    pub(crate) violation: Option<String>,
    /// The last time that something went wrong or was repaired.
    pub(crate) disturbed: Mono,
    pub(crate) rng: Rng,
    recordings: Vec<Recording>,
    queue: BinaryHeap<Reverse<(Mono, u64, Happening)>>,
    happenings: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Arrive {
        node: usize,
        segment: usize,
        packet: Vec<u8>,
        is_rubbish: bool,
    },
    /// Only the latest one that was set counts: a daemon has one sleep.
    Wake {
        node: usize,
        sleep: u64,
    },
    Resume {
        node: usize,
    },
    Appear {
        node: usize,
        segment: usize,
    },
    /// The result of a look.
    Answer {
        node: usize,
        life: u64,
        track: usize,
        number: u64,
    },
    /// A hook has ended by itself.
    HookEnds {
        node: usize,
        life: u64,
        owner: HookOwner,
        number: u64,
    },
    /// The changes of addresses that a daemon has asked for come a step further.
    Kernel {
        node: usize,
        number: u64,
    },
    /// The kernel removes the address, if it was not renewed since.
    Expire {
        node: usize,
        place: Place,
    },
}

impl World {
    pub(crate) fn new(setup: Setup) -> Self {
        let mut rng = Rng::with_seed(setup.seed ^ 0x5eed);
        let nodes = (0..setup.configs.len()).map(|node| Node::new(&mut rng, &setup, node));
        let mut world = Self {
            now: Mono(0),
            nodes: nodes.collect(),
            partitions: vec![None; setup.segments.len()],
            setup,
            one_way: BTreeSet::new(),
            loss: 0,
            rubbish: 0,
            watcher: None,
            story: Vec::new(),
            takeovers: 0,
            seen: Seen::default(),
            violation: None,
            disturbed: Mono(0),
            rng,
            recordings: Vec::new(),
            queue: BinaryHeap::new(),
            happenings: 0,
        };
        for node in 0..world.nodes.len() {
            world.start(node);
        }
        world
    }

    /// Lets everything happen that is due by `until`; `look` sees the world after each step.
    pub(crate) fn run(&mut self, until: Mono, mut look: impl FnMut(&mut Self)) {
        while let Some(Reverse((at, ..))) = self.queue.peek()
            && *at <= until
        {
            let Some(Reverse((at, _, happening))) = self.queue.pop() else { break };
            self.now = at;
            if self.happens(happening) {
                look(self);
            }
        }
        self.now = until;
    }

    /// `false`: it was called off.
    fn happens(&mut self, happening: Happening) -> bool {
        match happening {
            Happening::Arrive { node, segment, packet, is_rubbish } => {
                self.arrive(node, segment, packet, is_rubbish);
            }
            Happening::Wake { node, sleep } if sleep == self.nodes[node].sleep => self.wake(node),
            Happening::Wake { .. } => return false,
            Happening::Resume { node } => {
                if self.nodes[node].paused_until.is_some_and(|until| until <= self.now) {
                    self.resume(node);
                }
            }
            Happening::Appear { node, segment } => self.appear(node, segment),
            Happening::Answer { node, life, track, number } => {
                self.answer(node, life, track, number);
            }
            Happening::HookEnds { node, life, owner, number } => {
                self.hook_ends(node, life, owner, number);
            }
            Happening::Kernel { node, number } => self.kernel_goes_on(node, number),
            Happening::Expire { node, place } => self.expire(node, place),
        }
        true
    }

    fn schedule(&mut self, at: Mono, happening: Happening) {
        self.happenings += 1;
        self.queue.push(Reverse((at, self.happenings, happening)));
    }

    pub(crate) fn tell(&mut self, node: Option<usize>, what: &str) {
        let ms = self.now.0 as f64 / 1e6;
        let who = node.map_or_else(|| "**".to_owned(), |node| format!("node{node}"));
        self.story.push(format!("{ms:10.3} ms  {who:6} {what}"));
    }

    fn broken(&mut self, node: usize, what: &str) {
        self.violation.get_or_insert_with(|| format!("node{node}: {what}"));
    }

    /// The place of an interface among the segments.
    pub(crate) fn segment(&self, interface: &InterfaceName) -> usize {
        let place = self.setup.segments.iter().position(|one| one == interface);
        place.expect("a segment of this world")
    }

    pub(crate) fn local(&self, node: usize) -> Now {
        let node = &self.nodes[node];
        let mono = Mono(0) + node.booted.uptime + self.now.since(node.booted.at);
        Now { mono, wall: Wall(node.wall.saturating_add(self.now.0)) }
    }

    /// A time of the node's own clock in the world's time.
    fn global(&self, node: usize, local: Mono) -> Mono {
        self.now + local.since(self.local(node).mono)
    }

    fn at_random(&mut self, longest: Span) -> Span {
        Span::from_nanos(self.rng.u64(..=longest.nanos()))
    }

    /// Draws the kernel's time: mostly short, and at times long because another program has its
    /// lock.
    fn kernels_time(&mut self) -> Span {
        let slow = self.setup.kernel.unwrap_or_default();
        let longest = if self.rng.u8(..6) == 0 { slow } else { UNDISTURBED };
        self.at_random(longest)
    }
}
