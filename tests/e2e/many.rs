//! A thousand addresses on one instance.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::lab::{
    Agent, BOUND, Config, Group, Host, Lab, SHORTLY, Segment, VIP, VRID, gaps, release, stalled,
    within,
};

/// How many there are, the advertised one included.
const COUNT: u32 = 1000;

/// How long two advertisements may be apart where they come every 200 ms: with three intervals and the
/// skew time another node would take over.
const LATEST: Duration = Duration::from_millis(600);

/// All of them are on another node within this time.
const MOVED: Duration = Duration::from_secs(5);

/// The addresses beside [`VIP`].
fn extra(count: u32) -> Vec<Ipv4Addr> {
    (0..count).map(|number| Ipv4Addr::from(0x0a4e_0000 + 1 + number)).collect()
}

fn list(addresses: &[Ipv4Addr]) -> String {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    format!("[{}]", texts.join(", "))
}

fn config(group: &Group, extra: &[Ipv4Addr]) -> Config {
    group.config().set("extra_addresses", list(extra)).set("preempt", "never")
}

/// How many of the addresses a host has.
fn held(host: &Host) -> usize {
    let said = host.run("ip -4 -o address show dev eth0");
    said.lines().filter(|line| line.contains(" 10.78.") || line.contains(" 10.77.0.100/")).count()
}

fn waits_for_all(host: &Host, what: &str) -> Duration {
    within(BOUND, what, || held(host) == COUNT as usize)
}

/// The longest time between two advertisements of the active router since `from`.
fn longest_silence(group: &Group, from: Instant) -> Duration {
    let all = group.tap.advertisements();
    let times: Vec<Instant> = all
        .iter()
        .filter(|seen| seen.at >= from && seen.virtual_router_id == VRID && seen.priority > 0)
        .map(|seen| seen.at)
        .collect();
    gaps(&times).into_iter().max().unwrap_or_default()
}

/// How long after `from` nearly all of the extra addresses had been announced. Not all: a burst of
/// frames is more than the tap's buffer holds where the machine is busy; that none is left out is for
/// the announcer's own tests.
fn announced(group: &Group, from: Instant) -> Option<Duration> {
    let mut left: BTreeSet<[u8; 4]> = extra(COUNT - 1).iter().map(Ipv4Addr::octets).collect();
    for frame in group.tap.frames().iter().filter(|frame| frame.at >= from) {
        if frame.bytes[12..14] == [8, 6] {
            left.remove(&frame.bytes[28..32]);
            if left.len() <= COUNT as usize / 20 {
                return Some(frame.at - from);
            }
        }
    }
    None
}

fn waits_for_announcement(group: &Group, from: Instant) -> Duration {
    let mut took = None;
    within(BOUND, "they are announced", || {
        // Looking costs more than a little: it copies all frames.
        sleep(Duration::from_millis(100));
        took = announced(group, from);
        took.is_some()
    });
    took.expect("that was just seen")
}

/// Rule: 1,000 addresses are taken over, renewed, changed, announced and released like one, and the
/// advertisements come on time meanwhile.
pub(crate) fn thousand(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let (one, two) = (&group.nodes[0], &group.nodes[1]);
    let all = extra(COUNT - 1);
    let config = config(&group, &all);
    let first = Agent::start(one, &config);
    let start = Instant::now();
    let took = waits_for_all(one, "the first node has all");
    lab.note(format!("{COUNT} addresses on after {took:?}"));
    group.taken_over_by(one);
    let heard = waits_for_announcement(&group, start);
    lab.note(format!("announced within {heard:?} of its start, after silence"));
    let second = Agent::start(two, &config);

    // Renewals: eight of them.
    let calm = Instant::now();
    sleep(Duration::from_secs(2));
    let silence = longest_silence(&group, calm);
    lab.note(format!("longest silence while all leases are renewed: {silence:?}"));
    assert!(silence < LATEST, "{silence:?}");

    let said = String::from_utf8_lossy(&Agent::vipctl(one, "status").stdout).into_owned();
    assert!(said.lines().count() < 30 && said.contains("* and 992 more"), "{said}");
    assert!(said.contains("nothing is wrong"), "{said}");
    assert!(first.status().len() < 400, "{}", first.status());

    // One of a thousand.
    let moved = Instant::now();
    let mut others = all.clone();
    others[500] = Ipv4Addr::new(10, 78, 200, 1);
    for (agent, node) in [(&first, one), (&second, two)] {
        agent.reload(node, &self::config(&group, &others));
    }
    within(BOUND, "one has another address", || {
        one.holds(others[500]) && !one.holds(all[500]) && held(one) == COUNT as usize
    });
    lab.note(format!("one of them changed after {:?}", moved.elapsed()));
    for (agent, node) in [(&first, one), (&second, two)] {
        agent.reload(node, &config);
    }
    within(BOUND, "it is back", || one.holds(all[500]));

    let start = Instant::now();
    let output = Agent::vipctl(one, "handover web");
    assert!(output.status.success(), "{output:?}");
    waits_for_all(two, "the second node has all");
    let there = start.elapsed();
    let gone = within(BOUND, "the first one has none", || held(one) == 0);
    let announced = waits_for_announcement(&group, start);
    lab.note(format!(
        "handed over: on the other node after {there:?}, gone here {gone:?} later, announced within \
         {announced:?}; longest silence {:?}",
        longest_silence(&group, start)
    ));
    assert!(there < MOVED + stalled(start), "{there:?}");

    let start = Instant::now();
    second.kill();
    release(two).expect("a release");
    lab.note(format!("vipd release took {:?}", start.elapsed()));
    assert_eq!(held(two), 0);
    waits_for_all(one, "the first node has all again");
    let took = start.elapsed();
    let announced = waits_for_announcement(&group, start);
    lab.note(format!(
        "killed and released: all on the other node after {took:?}, announced after {announced:?}"
    ));
    assert!(took < MOVED + stalled(start), "{took:?}");
    group.held_only_by(one);
}

/// The processor time that a process and its children have used.
fn used(lab: &Lab, process: u32) -> Duration {
    let stat = fs::read_to_string(lab.proc().join(format!("{process}/stat"))).expect("a process");
    let (_, fields) = stat.rsplit_once(')').expect("the name");
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |place: usize| fields[place].parse::<u64>().expect("a number");
    // utime and stime (proc(5)), in hundredths of a second.
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

fn memory(lab: &Lab, process: u32) -> String {
    let path = lab.proc().join(format!("{process}/status"));
    let status = fs::read_to_string(path).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the memory");
    line.trim().to_owned()
}

/// Rule: an interface whose thousand addresses another program removes in one go gets all of them back,
/// and the advertisements come on time meanwhile; nobody takes over.
pub(crate) fn flushed(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let one = &group.nodes[0];
    let all = extra(COUNT - 1);
    let config = config(&group, &all);
    let _agents = [0, 1].map(|place| Agent::start(&group.nodes[place], &config));
    waits_for_all(one, "the first node has all");
    group.taken_over_by(one);
    let start = Instant::now();
    // Each is removed once, and all of them were there. `ip address flush` would look again and
    // again until it finds none, while the agent puts them back: one of the two fails.
    let file = one.directory().join("flush.batch");
    let remove = |address: &Ipv4Addr| format!("address delete {address}/32 dev eth0\n");
    fs::write(&file, all.iter().map(remove).collect::<String>()).expect("a file of commands");
    one.run(&format!("ip -batch {}", file.display()));
    let took = waits_for_all(one, "all are back");
    sleep(Duration::from_secs(1));
    let silence = longest_silence(&group, start);
    lab.note(format!("all back {took:?} after they were gone, longest silence {silence:?}"));
    assert!(silence < LATEST, "{silence:?}");
    group.stays_with(one, SHORTLY);
}

/// What the renewals of a thousand leases cost iproute2, which asks the kernel for one after the other.
fn with_iproute2(host: &Host, renewals: u32) -> Duration {
    let file = host.directory().join("many.batch");
    let one = |address: &Ipv4Addr| {
        format!("address replace {address}/32 dev eth0 valid_lft 60 preferred_lft 60\n")
    };
    let all: String = extra(COUNT).iter().map(one).collect();
    fs::write(&file, all.repeat(renewals as usize)).expect("a file of commands");
    let script = host.directory().join("many.sh");
    fs::write(&script, format!("ip -batch {}\ntimes\n", file.display())).expect("a script");
    let said = host.run(&format!("bash {}", script.display()));
    // The shell's own times, then those of its children: `0m0.123s 0m0.456s` (bash(1), times).
    let line = said.lines().last().expect("the times");
    let seconds = |text: &str| {
        let (minutes, rest) = text.trim_end_matches('s').split_once('m').expect("minutes");
        let parse = |text: &str| text.parse::<f64>().expect("a number");
        Duration::from_secs_f64(parse(minutes) * 60.0 + parse(rest))
    };
    line.split_whitespace().map(seconds).sum()
}

/// Rule: at rest, a thousand leases cost a few times what iproute2 takes for the same renewals, and no
/// more; keepalived with the same addresses, which renews none, stands beside it.
pub(crate) fn at_rest(lab: &Lab) {
    const LENGTH: Duration = Duration::from_secs(6);
    let group = Group::new(lab, &[11]);
    let one = &group.nodes[0];
    // On a segment of its own: both have the same addresses.
    let elsewhere = Segment::another(lab, "elsewhere", [10, 77, 0]);
    let two = &elsewhere.host(12);
    let config = config(&group, &extra(COUNT - 1)).set("advertisement_interval", "1s");
    // Each address is renewed four times in it.
    let config = config.set("lease", "2s");
    let agent = Agent::start(one, &config);
    waits_for_all(one, "vipd has all");
    let file = two.directory().join("many.conf");
    let lines: Vec<String> =
        extra(COUNT - 1).iter().map(|address| format!("        {address}/32")).collect();
    let text = format!(
        "vrrp_instance web {{\n interface eth0\n virtual_router_id 51\n priority 100\n \
         advert_int 1\n virtual_ipaddress {{\n {VIP}/24\n }}\n virtual_ipaddress_excluded {{\n{}\n \
         }}\n}}\n",
        lines.join("\n")
    );
    fs::write(&file, text).expect("a configuration");
    let mut command = Command::new("keepalived");
    command
        .args([
            "--dont-fork",
            "--log-console",
            "--no-syslog",
            "--log-detail",
            "--vrrp",
            "--use-file",
        ])
        .arg(&file);
    command.arg("--pid").arg(two.directory().join("many.pid"));
    command.arg("--vrrp_pid").arg(two.directory().join("many.vrrp.pid"));
    let keepalived = two.start(&mut command, "keepalived");
    waits_for_all(two, "keepalived has all");
    let child: u32 = keepalived_child(two);
    // The announcements of both are over.
    sleep(Duration::from_secs(6));
    let before = (used(lab, agent.id()), used(lab, child), used(lab, keepalived.id()));
    sleep(LENGTH);
    let ours = used(lab, agent.id()).saturating_sub(before.0);
    let theirs =
        (used(lab, child) + used(lab, keepalived.id())).saturating_sub(before.1 + before.2);
    let share = ours.as_secs_f64() / LENGTH.as_secs_f64() * 100.0;
    lab.note(format!(
        "in {LENGTH:?} at rest: vipd {ours:?} ({share:.1} % of a processor), keepalived {theirs:?}; \
         memory: vipd {}, keepalived {}",
        memory(lab, agent.id()),
        memory(lab, child)
    ));
    let third = group.segment.host(13);
    let iproute2 = with_iproute2(&third, 12);
    lab.note(format!("iproute2 for the same renewals: {iproute2:?}"));
    assert!(ours < iproute2 * 4, "{ours:?} at rest; iproute2 takes {iproute2:?} for all renewals");
}

fn keepalived_child(host: &Host) -> u32 {
    let file = host.directory().join("many.vrrp.pid");
    let mut found = None;
    within(BOUND, "keepalived's child is there", || {
        found = fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
        found.is_some()
    });
    found.expect("that was just seen")
}
