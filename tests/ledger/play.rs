//! The sequences: a pair of servers with its writers, and what happens to them.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::book::{self, Book};
use crate::fault::Fault;
use crate::lab::{Config, Host, Lab, Segment, within};
use crate::node::Node;
use crate::server::Server;
use crate::writer::{Manner, Writer};

/// The number of sequences where the environment has none: their seeds are 0 and up.
const SEQUENCES: u64 = 50;

/// The number of pairs that play them at the same time.
const PAIRS: usize = 5;

/// The number of faults of a sequence.
const FAULTS: std::ops::RangeInclusive<usize> = 3..=6;

/// The longest time between two of them, and a long one: vipd has moved the address then.
const PAUSE: Duration = Duration::from_millis(600);
const LONG: Duration = Duration::from_millis(2500);

/// Far longer than a repaired pair takes until its writers are served.
const PATIENCE: Duration = Duration::from_secs(60);

/// A pair is well once so many rows more are acknowledged.
const ROWS: usize = 20;

/// Two writers have their numbers from here on, the second one far above the first.
const FIRST: [i64; 2] = [1, 1_000_000_000];

/// Rule: whatever happens, no row that a client was told is written is missing in the primary that
/// is left, and no server has taken a row in, and acknowledged it, after its successor has.
pub(crate) fn sequences(lab: &Lab) {
    let number = |name: &str| -> Option<u64> {
        let text = env::var(name).ok()?;
        Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
    };
    if let Some(seed) = number("VIPD_LEDGER_SEED") {
        let mut pair = Pair::new(lab);
        return lab.note(pair.sequence(seed));
    }
    let (count, start) = (number("VIPD_LEDGER_SEQUENCES").unwrap_or(SEQUENCES), Instant::now());
    let sums = Mutex::new(Sums::default());
    lab.in_parallel(PAIRS, |lab, place| {
        let mut pair = Pair::new(lab);
        for seed in (place as u64..count).step_by(PAIRS) {
            let outcome = lab.attempt(|| pair.sequence(seed));
            let told = outcome.unwrap_or_else(|why| panic!("VIPD_LEDGER_SEED={seed} fails: {why}"));
            lab.note(told);
        }
        sums.lock().expect("the sums").add(&pair);
    });
    let sums = sums.into_inner().expect("the sums");
    lab.note(format!("{count} sequences, seeds 0 to {}, in {:.0?}", count - 1, start.elapsed()));
    lab.note(sums.told());
}

/// The sums of all pairs.
#[derive(Default)]
struct Sums {
    acknowledged: usize,
    asked: usize,
    moves: usize,
    faults: BTreeMap<String, usize>,
}

impl Sums {
    fn add(&mut self, pair: &Pair) {
        self.acknowledged += pair.book.len();
        self.asked += pair.writers.iter().map(Writer::asked).sum::<usize>();
        self.moves += book::moves(&pair.book.entries());
        for (name, count) in &pair.faults {
            *self.faults.entry(name.clone()).or_default() += count;
        }
    }

    fn told(&self) -> String {
        let Self { acknowledged, asked, moves, faults } = self;
        let faults: Vec<String> =
            faults.iter().map(|(name, count)| format!("{name} {count}")).collect();
        format!(
            "{acknowledged} of {asked} writes acknowledged, none lost, none by two servers at once; \
             {moves} moves from one server to the other; faults: {}",
            faults.join(", ")
        )
    }
}

/// Two machines, their client, and what it was told.
struct Pair {
    writers: [Writer; 2],
    book: Book,
    nodes: [Node; 2],
    hosts: [Host; 2],
    segment: Segment,
    _client: Host,
    /// The one whose data counts.
    primary: usize,
    /// The other one's data is to be thrown away.
    stale: bool,
    faults: BTreeMap<String, usize>,
}

impl Pair {
    /// A pair that is well: the first machine is the primary.
    fn new(lab: &Lab) -> Self {
        let segment = Segment::new(lab);
        let hosts = [segment.host(11), segment.host(12)];
        let client = segment.host(1);
        let first = Server::primary(lab, &hosts[0]);
        let mut second = Server::empty(lab, &hosts[1]);
        second.follow(&hosts[1], &hosts[0]);
        first.becomes_synchronous();
        let nodes = [first, second].map(|server| {
            let yaml = configuration(&hosts, &server).yaml();
            Node::new(server, yaml)
        });
        let book = Book::default();
        let manners = [(Manner::Keeps, FIRST[0]), (Manner::Opens, FIRST[1])];
        let writers = manners.map(|(manner, first)| Writer::start(&client, &book, manner, first));
        let (primary, stale, faults) = (0, false, BTreeMap::new());
        let mut pair =
            Self { writers, book, nodes, hosts, segment, _client: client, primary, stale, faults };
        pair.mend();
        pair.is_well("at the start");
        pair
    }

    /// Plays one sequence, mends everything after it, and tells what happened.
    fn sequence(&mut self, seed: u64) -> String {
        let mut random = Rng::with_seed(seed);
        let mut told = format!("sequence {seed}:");
        let (before, start) = (self.book.len(), Instant::now());
        for _ in 0..random.usize(FAULTS) {
            let (place, fault) = self.draw(&mut random);
            *self.faults.entry(format!("{fault:?}")).or_default() += 1;
            self.suffers(place, fault);
            let longest = if random.u8(..4) == 0 { LONG } else { PAUSE };
            let pause = longest.mul_f64(random.f64());
            let _ = write!(told, " {fault:?} node{}, {} ms,", 11 + place, pause.as_millis());
            sleep(pause);
        }
        self.mend();
        self.is_well(&told);
        self.nothing_is_lost(&told);
        let rows = self.book.len() - before;
        let _ = write!(told, " well after {:.1?}; {rows} rows", start.elapsed());
        told
    }

    /// Something that can happen now. An operator whose primary does not serve often acts.
    fn draw(&self, random: &mut Rng) -> (usize, Fault) {
        let standby = 1 - self.primary;
        if self.may_promote() && random.bool() {
            return (standby, Fault::Promote);
        }
        loop {
            let place = random.usize(..self.nodes.len());
            let fault = Fault::ALL[random.usize(..Fault::ALL.len())];
            if self.nodes[place].allows(fault) {
                return (place, fault);
            }
        }
    }

    /// Says if the primary serves nobody, and the standby can be promoted.
    fn may_promote(&self) -> bool {
        !self.stale && !self.nodes[self.primary].serves() && self.nodes[1 - self.primary].works()
    }

    fn suffers(&mut self, place: usize, fault: Fault) {
        self.nodes[place].suffers(fault, &self.hosts[place], &self.segment);
        if fault == Fault::Promote {
            (self.primary, self.stale) = (place, true);
        }
    }

    /// Undoes everything: the network first, then the servers, then vipd.
    fn mend(&mut self) {
        self.undo(&[Fault::CableUp, Fault::Heal, Fault::ThawMachine, Fault::ThawServer]);
        self.undo(&[Fault::ThawAgent]);
        let [primary, standby] = [self.primary, 1 - self.primary];
        if !self.nodes[primary].server.is_running() {
            self.nodes[primary].server.start(&self.hosts[primary]);
        }
        if self.stale {
            // Its own primary now: its data is thrown away.
            self.nodes[standby].suffers(Fault::KillServer, &self.hosts[standby], &self.segment);
            self.nodes[standby].server.follow(&self.hosts[standby], &self.hosts[primary]);
            self.stale = false;
        } else if !self.nodes[standby].server.is_running() {
            self.nodes[standby].server.start(&self.hosts[standby]);
        }
        self.nodes[primary].server.becomes_synchronous();
        self.undo(&[Fault::StartAgent]);
        // Standby outlives the agent; one that has just started does not listen yet.
        within(PATIENCE, "nobody is on standby", || {
            self.undo(&[Fault::Online]);
            self.nodes.iter().all(|node| !node.allows(Fault::Online))
        });
    }

    fn undo(&mut self, how: &[Fault]) {
        for place in 0..self.nodes.len() {
            for fault in how {
                if self.nodes[place].allows(*fault) {
                    self.suffers(place, *fault);
                }
            }
        }
    }

    /// Waits until the writers are served again.
    #[track_caller]
    fn is_well(&self, told: &str) {
        let before = self.book.len();
        within(PATIENCE, &format!("{ROWS} more rows are acknowledged after {told}"), || {
            self.book.len() >= before + ROWS
        });
    }

    #[track_caller]
    fn nothing_is_lost(&self, told: &str) {
        // A row that is acknowledged while the rows are read need not be among them.
        let entries = self.book.entries();
        let rows = self.nodes[self.primary].server.rows();
        let lost = book::lost(&entries, &rows);
        assert!(lost.is_empty(), "acknowledged and lost after {told}: {lost:?}");
        let twice = book::at_once(&entries);
        assert!(twice.is_none(), "two servers at once after {told}: {twice:?}");
    }
}

/// That of the recipe, with a faster check.
fn configuration(hosts: &[Host; 2], server: &Server) -> Config {
    let check = format!(
        "postgres: {{ dsn: \"{}\", role: primary }}, timeout: 150ms, fall: 3",
        server.dsn()
    );
    Config::new(&[&hosts[0], &hosts[1]])
        .set("advertisement_interval", "100ms")
        .set("preempt", "never")
        .check("postgres", check)
}
