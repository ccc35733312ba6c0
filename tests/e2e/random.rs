//! Short random sequences of faults against real agents.
//!
//! `VIPD_RANDOM_SEED=N` plays one sequence alone.

use std::env;
use std::fmt::Write as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fastrand::Rng;
use nix::sys::signal::Signal;

use crate::lab::{Agent, BOUND, Group, Holders, Lab, Leases, VIP, release, within};

/// How many sequences are played: their seeds are 0 and up.
const SEQUENCES: u64 = 200;

/// How many groups play them at the same time.
const GROUPS: usize = 10;

/// The nodes of a group, in the order of preference.
const NODES: [u8; 3] = [11, 12, 13];

/// How many faults a sequence has.
const FAULTS: std::ops::RangeInclusive<usize> = 2..=5;

/// The longest time between two of them.
const PAUSE: Duration = Duration::from_millis(400);

/// A busy machine may add this to the longest time that two nodes may hold the address on a whole
/// segment: the length of the shortest lease, however late the kernel ends one now.
const NOISE: Duration = Duration::from_secs(3);

/// Longer than a dead node's lease, so that an address that is held too long is seen.
const LEFT_ALONE: Duration = Duration::from_millis(4900);

/// How long it has to be well then.
const WELL: Duration = Duration::from_millis(300);

/// Rule: whatever happened before, once everything is mended exactly one node, the preferred one,
/// has the address and serves the client; and on a whole segment there are never two for longer
/// than a dead node's lease lasts.
pub(crate) fn sequences(lab: &Lab) {
    if let Ok(seed) = env::var("VIPD_RANDOM_SEED") {
        let seed = seed.parse().expect("VIPD_RANDOM_SEED is a number");
        return lab.note(Play::new(lab).sequence(seed));
    }
    let start = Instant::now();
    lab.in_parallel(GROUPS, |lab, place| {
        let mut play = Play::new(lab);
        for seed in (place as u64..SEQUENCES).step_by(GROUPS) {
            let outcome = lab.attempt(|| play.sequence(seed));
            let _ = outcome.unwrap_or_else(|why| panic!("VIPD_RANDOM_SEED={seed} fails: {why}"));
        }
    });
    lab.note(format!("{SEQUENCES} sequences in {:?}", start.elapsed()));
}

/// What can happen to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Kill,
    KillAndRelease,
    Stop,
    Start,
    Freeze,
    Thaw,
    CableDown,
    CableUp,
    Partition,
    Heal,
    DeleteAddress,
}

impl Fault {
    const ALL: [Self; 11] = [
        Self::Kill,
        Self::KillAndRelease,
        Self::Stop,
        Self::Start,
        Self::Freeze,
        Self::Thaw,
        Self::CableDown,
        Self::CableUp,
        Self::Partition,
        Self::Heal,
        Self::DeleteAddress,
    ];
}

/// A node's condition.
#[derive(Default)]
struct Node {
    agent: Option<Agent>,
    frozen: bool,
    unplugged: bool,
    cut_off: bool,
}

impl Node {
    /// Whether this can happen to it now.
    fn allows(&self, fault: Fault) -> bool {
        let runs = self.agent.is_some() && !self.frozen;
        match fault {
            Fault::Kill | Fault::KillAndRelease => self.agent.is_some(),
            Fault::Stop | Fault::Freeze => runs,
            Fault::Start => self.agent.is_none(),
            Fault::Thaw => self.frozen,
            Fault::CableDown => !self.unplugged,
            Fault::CableUp => self.unplugged,
            Fault::Partition => !self.cut_off && !self.unplugged,
            Fault::Heal => self.cut_off && !self.unplugged,
            Fault::DeleteAddress => true,
        }
    }
}

/// A group and what has happened to it.
struct Play {
    group: Group,
    holders: Holders,
    leases: Leases,
    nodes: Vec<Node>,
    /// Since when no node is cut off from the others; `None` while one is.
    whole_since: Option<Instant>,
}

impl Play {
    /// A group that is well.
    fn new(lab: &Lab) -> Self {
        let group = Group::new(lab, &NODES);
        let holders = Holders::watch(&group.nodes.iter().collect::<Vec<_>>(), VIP);
        let nodes = NODES.map(|_| Node::default()).into();
        let leases = Leases::watch(&group.watcher);
        let mut play = Self { group, holders, leases, nodes, whole_since: Some(Instant::now()) };
        play.mend();
        play.is_well("at the start");
        play
    }

    /// Plays one sequence, mends everything after it, and tells what happened.
    fn sequence(&mut self, seed: u64) -> String {
        let mut random = Rng::with_seed(seed);
        let mut told = format!("sequence {seed}:");
        self.whole_since = Some(Instant::now());
        for _ in 0..random.usize(FAULTS) {
            let (place, fault) = self.draw(&mut random);
            let _ = write!(told, " {fault:?} {}", NODES[place]);
            if fault == Fault::Partition {
                self.never_two(&told);
            }
            self.suffer(place, fault);
            let pause = PAUSE.mul_f64(random.f64());
            let _ = write!(told, ", {} ms,", pause.as_millis());
            sleep(pause);
        }
        if random.bool() {
            // Long enough for a dead node's address to be held too long.
            sleep(LEFT_ALONE);
            self.never_two(&told);
        }
        self.mend();
        let took = self.is_well(&told);
        self.never_two(&told);
        format!("{told} well after {took:?}")
    }

    fn draw(&self, random: &mut Rng) -> (usize, Fault) {
        loop {
            let place = random.usize(..self.nodes.len());
            let fault = Fault::ALL[random.usize(..Fault::ALL.len())];
            if self.nodes[place].allows(fault) {
                return (place, fault);
            }
        }
    }

    /// Lets it happen.
    fn suffer(&mut self, place: usize, fault: Fault) {
        self.apply(place, fault);
        let whole = self.nodes.iter().all(|node| !node.cut_off);
        let since = self.whole_since.unwrap_or_else(Instant::now);
        self.whole_since = whole.then_some(since);
    }

    fn apply(&mut self, place: usize, fault: Fault) {
        let (node, host, segment) =
            (&mut self.nodes[place], &self.group.nodes[place], &self.group.segment);
        match fault {
            Fault::Kill => kill(node),
            Fault::KillAndRelease => {
                kill(node);
                release(host).expect("a release");
            }
            Fault::Stop => {
                let agent = node.agent.take().expect("an agent to stop");
                // Before it listens to signals a program dies of this one, as any does.
                let listens = agent.has_said("READY=1");
                let status = agent.stop();
                assert!(status.success() || !listens, "{status:?}");
            }
            Fault::Start => {
                let yaml = config(&self.group).yaml();
                node.agent = Some(Agent::launch(host, &mut Agent::command(host, &yaml)));
            }
            Fault::Freeze => {
                signal(node, Signal::SIGSTOP);
                node.frozen = true;
            }
            Fault::Thaw => {
                signal(node, Signal::SIGCONT);
                node.frozen = false;
            }
            Fault::CableDown => {
                segment.cable(host, "down");
                node.unplugged = true;
            }
            Fault::CableUp => {
                segment.cable(host, "up");
                // The switch forgets what its port was told when the link goes down.
                node.unplugged = false;
                node.cut_off = false;
            }
            Fault::Partition => {
                segment.partition(host);
                node.cut_off = true;
            }
            Fault::Heal => {
                segment.heal(host);
                node.cut_off = false;
            }
            // Another program's hand on the address, if it is there.
            Fault::DeleteAddress => {
                host.try_to_run(&format!("ip address delete {VIP}/24 dev eth0"));
            }
        }
    }

    /// Undoes everything.
    fn mend(&mut self) {
        for place in 0..self.nodes.len() {
            for fault in [Fault::CableUp, Fault::Heal, Fault::Thaw, Fault::Start] {
                if self.nodes[place].allows(fault) {
                    self.suffer(place, fault);
                }
            }
        }
    }

    /// Waits until the preferred node alone has the address and serves the client, and stays so.
    #[track_caller]
    fn is_well(&self, told: &str) -> Duration {
        let preferred = NODES[0];
        let served_by = || self.group.client.answered_by(WELL / 3);
        let mut since: Option<Instant> = None;
        within(BOUND, &format!("node {preferred} serves alone after {told}"), || {
            if self.holders.now() == [preferred] && served_by() == Some(preferred) {
                since.get_or_insert_with(Instant::now).elapsed() >= WELL
            } else {
                since = None;
                false
            }
        })
    }

    /// Never did two nodes hold the address for long on the segment, if it is whole.
    #[track_caller]
    fn never_two(&self, told: &str) {
        let Some(from) = self.whole_since else { return };
        let longest = self.holders.longest_together(from);
        let lease = self.leases.longest(from);
        assert!(
            longest <= lease + NOISE,
            "two nodes held the address for {longest:?}, and a lease lasts {lease:?}, after {told}"
        );
    }
}

fn config(group: &Group) -> crate::lab::Config {
    group.config().set("advertisement_interval", "100ms")
}

fn kill(node: &mut Node) {
    node.frozen = false;
    if let Some(agent) = node.agent.take() {
        agent.kill();
    }
}

fn signal(node: &Node, signal: Signal) {
    node.agent.as_ref().expect("an agent runs").signal(signal);
}
