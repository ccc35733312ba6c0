//! Floods: 20,000 frames a second on the segment. The role stays where it is, the advertisements are on
//! time, each refused frame is counted, and none is a line of the log.

use std::iter;
use std::net::IpAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant, SystemTime};

use nix::time::clock_getcpuclockid;
use nix::unistd::{Pid, gettid};
use vipd::api::Snapshot;

use crate::authentication::with_keys;
use crate::lab::{Agent, BOUND, Client, Config, Host, Lab, Segment, Tap, VIP, VRID, gaps, within};
use crate::raw::{Raw, SOURCE, checksum, frame, summed};
use crate::sockets::snapshot;

/// How many frames come in a millisecond.
const EACH_MILLISECOND: u64 = 20;

/// For how long.
const FLOOD: Duration = Duration::from_secs(6);

/// How often the nodes advertise: what version 3 is flooded at, and the shortest of version 2. A backup
/// takes over after more than three times that.
const INTERVAL: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);

/// Two nodes, a client, somebody who floods, and a tap that does not see the flood.
struct Scene<'a> {
    lab: &'a Lab,
    interval: Duration,
    nodes: Vec<Host>,
    flooder: Host,
    tap: Tap,
    client: Client,
    _watcher: Host,
    _segment: Segment,
}

impl<'a> Scene<'a> {
    fn new(lab: &'a Lab, interval: Duration) -> Self {
        let segment = Segment::new(lab);
        let nodes: Vec<Host> = [11, 12].map(|number| segment.host(number)).into();
        let (watcher, flooder) = (segment.host(1), segment.host(66));
        let tap = Tap::without_flood(&watcher, SOURCE);
        let client = Client::start(&watcher, &nodes.iter().collect::<Vec<_>>(), VIP);
        Self { lab, interval, nodes, flooder, tap, client, _watcher: watcher, _segment: segment }
    }

    fn config(&self) -> Config {
        let nodes: Vec<&Host> = self.nodes.iter().collect();
        let interval = format!("{}ms", self.interval.as_millis());
        Config::new(&nodes).set("advertisement_interval", interval)
    }

    /// Starts both nodes, floods the segment with what `next` makes, and says what came of it.
    fn play(&self, config: &Config, next: impl FnMut(u64) -> Vec<u8> + Send) -> [Outcome; 2] {
        let agents = [0, 1].map(|node: usize| Agent::start(&self.nodes[node], config));
        let active = &self.nodes[0];
        within(BOUND, "the first node is active", || {
            self.client.answered_by(Duration::from_millis(200)) == Some(11)
        });
        agents[1].reports(&["web: backup"]);
        sleep(Duration::from_millis(500));
        let before = [0, 1].map(|node: usize| Moment::of(&agents[node], &self.nodes[node]));
        let start = Instant::now();
        let (sent, held) = flood(&self.flooder, next, || active.holds(VIP));
        let took = start.elapsed();
        let outcome = |place: usize| {
            let after = Moment::of(&agents[place], &self.nodes[place]);
            Outcome::between(&before[place], &after, took)
        };
        let outcomes = [outcome(0), outcome(1)];
        let gap = self.longest_gap(start);
        self.lab.note(format!(
            "{:.0} frames a second for {took:.1?}; longest gap of advertisements {gap:?} at an interval \
             of {:?}",
            f64::from(u32::try_from(sent).expect("not so many")) / took.as_secs_f64(),
            self.interval
        ));
        for (outcome, role) in outcomes.iter().zip(["active", "backup"]) {
            self.lab.note(format!("{role}: {outcome}"));
        }
        assert!(sent > 30_000, "that was no flood: {sent} frames in {took:?}");
        assert!(held, "the active node lost the address");
        assert_eq!(self.client.turns(start), [11], "who served the client");
        assert!(gap < self.interval * 3, "no advertisement for {gap:?}");
        for (outcome, node) in outcomes.iter().zip(["node11", "node12"]) {
            assert_eq!(outcome.changes, 0, "{node} changed its role");
            assert!(outcome.lines < 100, "{node}: {} lines", outcome.lines);
        }
        agents[0].reports(&["web: active"]);
        agents[1].reports(&["web: backup"]);
        outcomes
    }

    /// The longest time between two advertisements of the active node from then on, until now.
    fn longest_gap(&self, start: Instant) -> Duration {
        let seen = self.tap.advertisements().into_iter();
        let own = IpAddr::from(self.nodes[0].address());
        let times = seen
            .filter(|one| one.source == own && one.at >= start && one.virtual_router_id == VRID);
        let times: Vec<Instant> = iter::once(start).chain(times.map(|one| one.at)).collect();
        gaps(&times).into_iter().max().unwrap_or(Duration::MAX)
    }
}

/// Sends what `next` makes for [`FLOOD`] and looks at `fact` meanwhile; how many frames, and whether the
/// fact was true all the time.
fn flood(
    host: &Host,
    mut next: impl FnMut(u64) -> Vec<u8> + Send,
    fact: impl Fn() -> bool,
) -> (u64, bool) {
    let (over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let raw = Raw::open(host);
    let always = thread::scope(|scope| {
        scope.spawn(|| {
            goes_before_the_agents();
            let start = Instant::now();
            let mut number = 0;
            while !over.load(Ordering::Relaxed) {
                let due = u64::try_from(start.elapsed().as_millis()).expect("a short while")
                    * EACH_MILLISECOND;
                // What could not be sent in time is not made good in a burst.
                number = number.max(due.saturating_sub(EACH_MILLISECOND * 5));
                while number < due {
                    sent.fetch_add(u64::from(raw.send(&next(number))), Ordering::Relaxed);
                    number += 1;
                }
                sleep(Duration::from_micros(500));
            }
        });
        let start = Instant::now();
        let mut always = true;
        while start.elapsed() < FLOOD {
            always &= fact();
            sleep(Duration::from_millis(50));
        }
        over.store(true, Ordering::Relaxed);
        always
    });
    (sent.into_inner(), always)
}

/// An attacker has a processor of his own: here his thread shares two with the agents, which are
/// scheduled in real time and would keep it from sending. Where nobody may have it so, the flood is smaller.
fn goes_before_the_agents() {
    let thread = gettid().to_string();
    let _ = Command::new("chrt").args(["--rr", "--pid", "50", &thread]).status();
}

/// What is known of an agent at one time.
struct Moment {
    snapshot: Snapshot,
    processor: Duration,
    lines: usize,
}

impl Moment {
    fn of(agent: &Agent, host: &Host) -> Self {
        let lines = agent.log().lines().count();
        Self { snapshot: snapshot(host), processor: processor_time(agent.id()), lines }
    }

    fn refused(&self) -> u64 {
        let status = &self.snapshot.status;
        status.instances[0].counters.discards.values().sum()
    }
}

/// How much of the processors a process has had.
fn processor_time(process: u32) -> Duration {
    let process = Pid::from_raw(i32::try_from(process).expect("a number"));
    let clock = clock_getcpuclockid(process).expect("a running process");
    clock.now().expect("its time").into()
}

/// What a flood did to an agent.
struct Outcome {
    /// Of one processor.
    percent: f64,
    refused: u64,
    lines: usize,
    changes: usize,
    lateness: String,
    conflicts: u64,
}

impl Outcome {
    fn between(before: &Moment, after: &Moment, took: Duration) -> Self {
        let busy = after.processor.saturating_sub(before.processor);
        let changes = |moment: &Moment| moment.snapshot.status.instances[0].transitions.len();
        let lateness = &after.snapshot.protocol_loop.lateness;
        let conflicts =
            |moment: &Moment| moment.snapshot.status.instances[0].counters.address_conflicts;
        Self {
            percent: 100.0 * busy.as_secs_f64() / took.as_secs_f64(),
            refused: after.refused() - before.refused(),
            lines: after.lines - before.lines,
            changes: changes(after) - changes(before),
            lateness: lateness.longest().to_string(),
            conflicts: conflicts(after) - conflicts(before),
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { percent, refused, lines, lateness, conflicts, .. } = self;
        write!(
            f,
            "{percent:.1} % of a processor, {refused} refused, {conflicts} conflicts, {lines} lines of \
             log, the loop late by {lateness} at the longest"
        )
    }
}

/// An advertisement of a version 3 router with the highest priority, for a virtual router.
fn message(virtual_router_id: u8) -> Vec<u8> {
    let vip = VIP.octets();
    [&[0x31, virtual_router_id, 254, 1, 0, 10, 0, 0], &vip[..]].concat()
}

/// Rule: forged signatures with a right time stamp, of which each has to be computed, neither make an
/// active node let go nor hide it from its backup.
pub(crate) fn forged_signatures(lab: &Lab) {
    let scene = Scene::new(lab, INTERVAL);
    let config = with_keys(scene.config(), lab, &[1], "");
    let source = IpAddr::from(scene.flooder.address());
    let outcomes = scene.play(&config, |number| {
        let mut forged = summed(source, &message(VRID));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let seconds = u32::try_from(now.as_secs()).expect("before 2106");
        forged.extend([1, 1, 0, 0]);
        forged.extend(seconds.to_be_bytes());
        forged.extend([0; 4]);
        forged.extend(u128::from(number).to_be_bytes());
        frame(source, 255, &forged)
    });
    assert!(outcomes.iter().all(|one| one.refused > 1_000), "each is counted");
}

/// Rule: the same for wrong passwords of version 2.
pub(crate) fn wrong_passwords(lab: &Lab) {
    let scene = Scene::new(lab, SECOND);
    let config = scene.config().set("version", "2").set("authentication", "{ password: secret }");
    let source = IpAddr::from(scene.flooder.address());
    let outcomes = scene.play(&config, |number| {
        let password = number.to_be_bytes();
        let mut forged = [0x21, VRID, 254, 1, 1, 1, 0, 0].to_vec();
        forged.extend(VIP.octets());
        forged.extend(password);
        let sum = checksum(&forged);
        forged[6..8].copy_from_slice(&sum.to_be_bytes());
        frame(source, 255, &forged)
    });
    assert!(outcomes.iter().all(|one| one.refused > 1_000), "each is counted");
}

/// Rule: what is for other virtual routers is refused in the kernel: it costs the agent nothing.
pub(crate) fn other_virtual_routers(lab: &Lab) {
    let scene = Scene::new(lab, INTERVAL);
    let source = IpAddr::from(scene.flooder.address());
    let outcomes = scene.play(&scene.config(), |number| {
        let number = u8::try_from(number % 255).expect("a byte") + 1;
        let foreign = if number == VRID { 1 } else { number };
        frame(source, 255, &summed(source, &message(foreign)))
    });
    for outcome in outcomes {
        assert_eq!(outcome.refused, 0);
        // What the kernel does for the packets is at times on the account of whoever runs.
        assert!(outcome.percent < 15.0, "{outcome}");
    }
}

/// Rule: a storm of conflicts about the virtual address, each from another station, and of
/// questions for it is answered at a bounded rate, and moves nothing.
pub(crate) fn conflicts_and_questions(lab: &Lab) {
    let scene = Scene::new(lab, INTERVAL);
    lab.owners().answers("the flood says that a stranger has the address");
    let vip = VIP.octets();
    let outcomes = scene.play(&scene.config(), |number| {
        let [.., high, low] = number.to_be_bytes();
        let station = [2, 9, 9, 9, high, low];
        let mut arp = [[0xff; 6], SOURCE].concat();
        arp.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        arp.extend(station);
        // Every other one asks; but for the conflict a station has no address here.
        arp.extend(if number % 2 == 0 { vip } else { [10, 77, 0, 66] });
        arp.extend([0; 6]);
        arp.extend(vip);
        arp.resize(60, 0);
        arp
    });
    assert!(outcomes[0].conflicts > 1_000, "they are counted");
}
