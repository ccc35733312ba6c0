//! One instance with a thousand addresses, which move to the other node.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::capture::Capture;
use crate::lab::{Agent, BOUND, Lab, within};
use crate::moving::{Monitor, RTM_NEWADDR};
use crate::stage::{ACTIVE, STANDBY, Stage, held, own_address};
use crate::workload::Workload;

/// The addresses of the instance, of which one is advertised.
const COUNT: usize = 1_000;

/// How often they move.
const TRIALS: usize = 5;

/// The pause before a move: it begins at another time of the interval each time.
const CALM: Duration = Duration::from_millis(2_100);

/// One virtual router on one interface.
const WORKLOAD: Workload = Workload { routers: 1, interval: Duration::from_secs(1), interfaces: 1 };

/// The times of all trials, from the shortest to the longest: from the farewell of the active node,
/// upon which the other one decides to take over at once, to the last address that it answers for.
#[derive(Debug)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// The one in the middle.
    pub(crate) fn median(&self) -> Duration {
        self.0[self.0.len() / 2]
    }

    /// The longest.
    pub(crate) fn worst(&self) -> Duration {
        self.0.last().copied().unwrap_or_default()
    }
}

/// Measures it, and says on standard error how it went.
pub(crate) fn measure() -> Result<Times, String> {
    let trials = (0..TRIALS).map(|_| {
        let lab = Lab::new("addresses");
        lab.attempt(|| play(&lab)).and_then(|time| time)
    });
    let times: Result<Vec<Duration>, String> = trials.collect();
    eprintln!("{COUNT} addresses: {times:?}");
    let mut times = times?;
    times.sort_unstable();
    Ok(Times(times))
}

fn play(lab: &Lab) -> Result<Duration, String> {
    let stage = Stage::new(lab, WORKLOAD);
    let text = configuration();
    let [active, _standby] = [&stage.active, &stage.standby].map(|host| {
        let agent = Agent::launch(host, &mut Agent::command(host, &text));
        within(BOUND, "a node has all addresses", || {
            held(&stage.active) == COUNT && held(&stage.standby) == 0
        });
        agent
    });
    let capture = Capture::start(&stage);
    sleep(CALM);
    let monitor = Monitor::start(&stage.standby);
    let start = Instant::now();
    active.signal(Signal::SIGTERM);
    within(BOUND, "the other node has all addresses", || held(&stage.standby) == COUNT);
    Capture::catch_up();
    let seen = capture.since(start);
    let farewell = seen.iter().find(|seen| seen.node == ACTIVE && seen.priority == 0);
    let farewell = farewell.ok_or("the stopped node says no farewell")?;
    let there = monitor.changes(RTM_NEWADDR);
    let last = there.values().max().ok_or("nobody saw the addresses come")?;
    let all: BTreeSet<Ipv4Addr> = addresses().collect();
    if !there.keys().eq(all.iter()) {
        return Err(format!("{} of {COUNT} addresses were seen to come", there.len()));
    }
    Ok(last.saturating_duration_since(farewell.at))
}

fn addresses() -> impl Iterator<Item = Ipv4Addr> {
    let first = u32::from(Ipv4Addr::new(10, 128, 0, 1));
    (first..).take(COUNT).map(Ipv4Addr::from)
}

/// Of both nodes: the list of nodes says who takes over.
fn configuration() -> String {
    let mut addresses = addresses().map(|address| format!("{address}/32"));
    let advertised = addresses.next().unwrap_or_default();
    let extra: Vec<String> = addresses.collect();
    let mut text = String::new();
    let (one, two) = (own_address(0, ACTIVE), own_address(0, STANDBY));
    let _ = write!(
        text,
        "nodes: {{ one: {one}, two: {two} }}\ninstances:\n  many:\n    interface: eth0\n    \
         virtual_router_id: 1\n    addresses: [{advertised}]\n    extra_addresses: [{}]\n    \
         hold_down: 0s\n",
        extra.join(", ")
    );
    text
}
