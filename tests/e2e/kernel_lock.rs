//! The kernel's network lock (RTNL), which is one for all interfaces of the machine. Other programs
//! may hold it for long.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::lab::{Agent, BOUND, Config, Group, Host, Lab, Process, Segment, VRID, gaps, within};

/// Shorter than the time after which a backup takes over at an interval of 100 ms: the time that an
/// advertisement is not late by.
const SILENT: Duration = Duration::from_millis(300);

/// A wait for the lock that would be seen in the distances of advertisements. It is far longer than
/// [`SILENT`].
const HELD: Duration = Duration::from_millis(500);

/// The longest average distance of advertisements at an interval of 100 ms.
const EVERY: Duration = Duration::from_millis(130);

/// The number of programs that hold the lock by turns.
const HOLDERS: usize = 4;

/// Puts hundreds of interfaces, in a network namespace of its own, into a bridge and takes them out
/// again, each time in one operation. Adding a port takes longer the more ports there are.
const HOLD: &str = "
    for i in $(seq 900); do echo \"link add d$i group 42 type veth peer name e$i\"; done | \
        ip -batch - && ip link add name bridge0 type bridge && echo ready
    while [ ! -e \"$0\" ]; do sleep 0.1; done
    while ip link set group 42 master bridge0 && ip link set group 42 nomaster; do :; done";

/// The instances that move, and those that come and go: their first virtual router IDs and numbers.
const MOVING: (u8, u8) = (100, 10);
const PASSING: (u8, u8) = (150, 12);

/// Programs that hold the lock, until this is dropped.
struct Lock {
    _holders: Vec<Process>,
    /// The longest time that a plain `ip link set` waited.
    longest: Duration,
}

impl Lock {
    /// Starts programs that hold the lock. A plain `ip link set` on this host waits for [`HELD`].
    fn hold(host: &Host) -> Self {
        let go = host.directory().join("go");
        let holders: Vec<Process> = (0..HOLDERS)
            .map(|number| {
                let mut command = Command::new("unshare");
                command.args(["--net", "sh", "-c", HOLD]).arg(&go);
                host.start(&mut command, &format!("holder{number}"))
            })
            .collect();
        let is_ready = |holder: &Process| {
            fs::read_to_string(holder.log()).is_ok_and(|log| log.contains("ready"))
        };
        // Each interface waits for the lock, too.
        within(BOUND * 2, "there are enough interfaces", || holders.iter().all(is_ready));
        fs::write(go, "").expect("a file");
        let mut lock = Self { _holders: holders, longest: Duration::ZERO };
        within(BOUND, "a plain 'ip link set' waits for long", || {
            lock.wait(host);
            lock.longest >= HELD
        });
        lock
    }

    /// Waits for the lock once, as a plain `ip link set` does.
    fn wait(&mut self, host: &Host) {
        let start = Instant::now();
        host.run("ip link set lo up");
        self.longest = self.longest.max(start.elapsed());
    }
}

/// Adds instances on both interfaces, each with a multicast group of its own.
fn with(mut config: Config, (first, count): (u8, u8), priority: &str) -> Config {
    for number in first..first + count {
        // The few names are leaked: the test program ends soon.
        let name: &'static str = Box::leak(format!("other{number}").into_boxed_str());
        let second = number % 2;
        config = config
            .instance(name, number, [10, 77 + second, 1, number])
            .set("interface", format!("eth{second}"))
            .set("addresses", format!("[10.{}.1.{number}/32]", 77 + second))
            .set("multicast_group", format!("239.7.7.{number}"))
            .set("priority", priority)
            .set("preempt", "always")
            .set("lease", "10s");
    }
    config
}

fn held(host: &Host) -> usize {
    host.run("ip -4 -o address show").matches(".1.1").count()
}

/// Bug guarded: sockets were opened and closed, and groups joined and left, on the protocol thread,
/// which waited for the network lock each time. Here other programs hold the lock for 0.5 s and
/// more, while instances of two nodes start, join groups, move, leave the groups and close their
/// sockets. An instance at 100 ms goes on advertising all the time.
pub(crate) fn held_by_others(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let [one, two] = [&group.nodes[0], &group.nodes[1]];
    let other = Segment::another(lab, "other", [10, 78, 0]);
    for node in [one, two] {
        other.connect(node, "eth1");
    }
    let fast = Config::new(&[]).set("priority", "200").set("lease", "10s");
    let fast = fast.set("advertisement_interval", "100ms");
    let first = Agent::start(one, &with(fast.clone(), MOVING, "100"));
    // Another virtual router: it is not in the way of the fast one.
    let idle = Config::new(&[]).set("virtual_router_id", (VRID + 1).to_string());
    let idle = idle.set("addresses", "[10.77.2.1/32]").set("priority", "50");
    let second = Agent::start(two, &with(idle.clone(), MOVING, "50"));
    within(BOUND, "the first node has all", || held(one) == usize::from(MOVING.1));
    group.taken_over_by(one);

    let mut lock = Lock::hold(&group.watcher);
    let start = Instant::now();
    let both = with(with(fast.clone(), MOVING, "100"), PASSING, "100");
    first.reload(one, &both);
    second.reload(two, &with(idle, MOVING, "200"));
    within(BOUND * 2, "those have moved, and the others are there", || {
        lock.wait(one);
        held(one) == usize::from(PASSING.1) && held(two) == usize::from(MOVING.1)
    });
    first.reload(one, &fast);
    let members = || one.run("ip maddress show").matches("239.7.7.").count();
    within(BOUND * 2, "groups are left, addresses are gone", || {
        lock.wait(one);
        members() == 0 && held(one) == 0
    });
    let span = start..Instant::now();
    lab.note(format!("a plain 'ip link set' has waited for {:?} at the most", lock.longest));
    drop(lock);
    sleep(Duration::from_millis(500));

    let times = group.tap.advertisements().into_iter().filter(|seen| {
        seen.virtual_router_id == VRID && seen.priority > 0 && span.contains(&seen.at)
    });
    let times: Vec<Instant> = times.map(|seen| seen.at).collect();
    // The silence at either end counts; a machine that stands still does not.
    let moments: Vec<Instant> = [&[span.start][..], &times, &[span.end]].concat();
    let mut distances = gaps(&moments);
    distances.sort_unstable();
    let ran: Duration = distances.iter().sum();
    let longest = distances.last().copied().unwrap_or(Duration::MAX);
    lab.note(format!(
        "{} advertisements in {ran:?}, half of them within {:?} of the one before, the longest \
         {longest:?}",
        times.len(),
        distances.get(distances.len() / 2),
    ));
    assert!(ran < EVERY * u32::try_from(distances.len()).expect("few"), "{distances:?} in {ran:?}");
    assert!(longest < SILENT, "{distances:?}");
}
