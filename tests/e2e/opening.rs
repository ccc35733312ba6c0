//! Opening, joining and closing sockets: this costs the protocol loop nothing, and a failure
//! concerns only the instances that need the socket.

use std::fs;
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit};
use serde_json::Value;

use crate::lab::{
    Agent, BOUND, Config, Frame, Group, Host, Lab, Segment, VIP6, VRID, gaps, within,
};
use crate::raw::Raw;

/// The instances that move at once: their number and the first virtual router ID.
const SLOW: u8 = 120;
const FIRST: u8 = 100;

/// Far less than the 38 ms after which a backup at 10 ms takes over.
const LATE: Duration = Duration::from_millis(25);

/// The longest average distance of advertisements.
const EVERY: Duration = Duration::from_millis(40);

/// Adds instances that differ in their virtual router IDs and addresses.
fn with_slow(mut config: Config, priority: u8) -> Config {
    for number in FIRST..FIRST + SLOW {
        // The few names are leaked: the test program ends soon.
        let name: &'static str = Box::leak(format!("slow{number}").into_boxed_str());
        config = config
            .instance(name, number, [10, 78, 0, number])
            .set("addresses", format!("[10.78.0.{number}/32]"))
            .set("advertisement_interval", "1s")
            .set("priority", priority.to_string())
            .set("preempt", "always");
    }
    config
}

fn held(host: &Host) -> usize {
    host.run("ip -4 -o address show dev eth0").matches(" 10.78.0.").count()
}

/// Bug guarded: each change of the list of watched addresses closed a packet socket on the protocol
/// thread, which waits some 14 ms for the kernel. While 120 instances of a node move to another
/// one, its instance at 10 ms goes on advertising. With those closes it was silent for 0.5 to
/// 0.9 s.
pub(crate) fn beside_a_move(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let [one, two] = [0, 1].map(|place| &group.nodes[place]);
    let fast = Config::new(&[]).set("advertisement_interval", "10ms").set("priority", "200");
    let _first = Agent::start(one, &with_slow(fast, 100));
    within(BOUND, "the first node has all", || held(one) == usize::from(SLOW));
    // Wait for the end of the announcements.
    sleep(Duration::from_secs(2));
    let start = Instant::now();
    // There, `web` is another virtual router: it is not in the way of the fast one.
    let other = Config::new(&[]).set("virtual_router_id", (VRID + 1).to_string());
    let other = other.set("addresses", "[10.78.1.1/32]").set("priority", "50");
    let _second = Agent::start(two, &with_slow(other, 200));
    within(BOUND, "they have moved", || held(one) == 0 && held(two) == usize::from(SLOW));
    sleep(Duration::from_secs(1));

    let all = group.tap.advertisements();
    let moves = all.iter().filter(|seen| seen.at >= start && seen.virtual_router_id >= FIRST);
    let begin = moves.filter(|seen| seen.source == two.address()).map(|seen| seen.at).min();
    let begin = begin.expect("the second node is active");
    let span = begin..begin + Duration::from_secs(1);
    let times: Vec<Instant> = all
        .iter()
        .filter(|seen| seen.virtual_router_id == VRID && span.contains(&seen.at))
        .map(|seen| seen.at)
        .collect();
    // The silence at either end counts; a machine that stands still does not.
    let moments: Vec<Instant> = [&[span.start][..], &times, &[span.end]].concat();
    let mut distances = gaps(&moments);
    distances.sort_unstable();
    let ran: Duration = distances.iter().sum();
    let late = distances.iter().filter(|distance| **distance >= LATE).count();
    let longest = distances.last().copied().unwrap_or(Duration::MAX);
    lab.note(format!(
        "{} advertisements in the {ran:?} of the move in which the machine ran, half of them \
         within {:?} of the one before, the longest {longest:?}, {late} of them later than {LATE:?}",
        times.len(),
        distances.get(distances.len() / 2),
    ));
    // A debug build is busy for 100 to 200 ms with the effects of 120 advertisements at once.
    assert!(ran < EVERY * u32::try_from(distances.len()).expect("few"), "{distances:?} in {ran:?}");
    assert!(late * 2 <= distances.len(), "{late} of {}: {distances:?}", distances.len());
    assert!(longest < Duration::from_millis(400), "{distances:?}");
}

/// Bug guarded: if a socket could not be opened, READY=1 never came, and systemd restarted a
/// healthy daemon again and again. Now a second path whose MTU is too small for IPv6 is reported
/// once, and is heard as soon as that is fixed. The instance serves meanwhile.
pub(crate) fn small_mtu(lab: &Lab) {
    let group = Group::dual(lab, &[11]);
    let node = &group.nodes[0];
    let heartbeat = Segment::another(lab, "heartbeat", [10, 78, 0]);
    heartbeat.connect(node, "eth1");
    node.run("ip link set eth1 mtu 1200");
    let config = group.config().set("paths", "[eth0, eth1]");
    let config = config.set("addresses", "[10.77.0.100/24, \"2001:db8:77::100/64\"]");
    let agent = Agent::start(node, &config);
    group.taken_over_by(node);
    agent.reports(&["web: active", "nothing is heard on eth1 (IPv6)", "ff02::12"]);
    // Wait for two more attempts.
    sleep(Duration::from_secs(5));
    let told = |text: &str| agent.log().matches(text).count();
    assert_eq!(told("nothing is heard on eth1"), 1, "{}", agent.log());
    node.run("ip link set eth1 mtu 1500");
    within(BOUND, "the path is heard", || told("eth1 (IPv6) is heard again") == 1);
    assert!(!agent.status().contains("nothing is heard"), "{}", agent.status());
}

/// Bug guarded: READY=1 never came if a socket could not be opened. At the start no group can be
/// joined on the one interface, and the other one is too small for IPv6: each is a fault of its own
/// instance, and READY=1 comes. Both go on by themselves.
pub(crate) fn refused_at_the_start(lab: &Lab) {
    let group = Group::dual(lab, &[11]);
    let node = &group.nodes[0];
    let other = Segment::another(lab, "other", [10, 78, 0]);
    other.connect(node, "eth1");
    node.run("ip link set eth1 mtu 1200");
    node.run("sysctl -q -w net.ipv4.igmp_max_memberships=0");
    let address = format!("[{VIP6}/64]");
    let config = group.config().instance("six", VRID, VIP6).set("interface", "eth1");
    let config = config.set("addresses", address).set("priority", "100");
    let agent = Agent::start(node, &config);
    agent.reports(&["web: fault", "eth0 cannot join the multicast group 224.0.0.18", "six: fault"]);
    node.run("sysctl -q -w net.ipv4.igmp_max_memberships=20");
    group.taken_over_by(node);
    agent.reports(&["web: active", "six: fault"]);
    node.run("ip link set eth1 mtu 1500");
    agent.reports(&["web: active", "six: active"]);
}

/// What the agent of a host has heard for its first instance.
fn received(host: &Host) -> u64 {
    let mut text = String::new();
    let socket = UnixStream::connect(host.runtime_directory().join("status.sock"));
    socket.expect("a status socket").read_to_string(&mut text).expect("a snapshot");
    let snapshot: Value = serde_json::from_str(&text).expect("JSON");
    snapshot["instances"][0]["counters"]["advertisements_received"].as_u64().expect("a number")
}

/// Rule: while the lists of a socket are replaced (its virtual routers, its multicast groups), it
/// misses nothing. A backup hears each of 1,500 advertisements in the group that is joined last,
/// while reloads bring 24 instances with groups of their own and take them away again.
pub(crate) fn lists_replaced(lab: &Lab) {
    const COUNT: usize = 1_500;
    let group = Group::new(lab, &[11, 12]);
    let [active, backup] = [&group.nodes[0], &group.nodes[1]];
    let start = Instant::now();
    let first = Agent::start(active, &in_groups(&group, "239.7.7.251", 1));
    group.taken_over_by(active);
    let of_active = |frame: &Frame| {
        frame.at >= start
            && frame.bytes.get(23) == Some(&112)
            && frame.bytes.get(26..30) == Some(&active.address().octets())
    };
    let frame = group.tap.frames().into_iter().rev().find(of_active).expect("an advertisement");
    first.kill();
    let config = |count| in_groups(&group, "239.7.7.251", count);
    let agent = Agent::start(backup, &config(1));
    agent.reports(&["web: backup"]);
    let before = received(backup);
    let raw = Raw::open(&group.watcher);
    let sender = thread::spawn(move || {
        (0..COUNT)
            .filter(|_| {
                sleep(Duration::from_millis(2));
                raw.send(&frame.bytes)
            })
            .count()
    });
    let mut reloads = 0;
    while !sender.is_finished() {
        agent.reload(backup, &config(if reloads % 2 == 0 { 25 } else { 2 }));
        reloads += 1;
        within(BOUND, "the file is read again", || {
            agent.log().matches("the configuration was read again").count() >= reloads
        });
    }
    let sent = sender.join().expect("the sender") as u64;
    lab.note(format!("{sent} advertisements, {reloads} reloads"));
    assert!(reloads >= 4, "{reloads} reloads");
    within(BOUND, "each is heard", || received(backup) - before >= sent);
    assert_eq!(received(backup) - before, sent);
    assert_eq!(agent.log().matches("web: backup -> ").count(), 0, "{}", agent.log());
}

/// `web` and more instances, each with a multicast group of its own.
fn in_groups(group: &Group, first: &str, count: u8) -> Config {
    // The second node of `lists_replaced` waits for its first advertisement.
    let config = group.config().set("advertisement_interval", "1s");
    let mut config = config.set("multicast_group", first);
    for number in 1..count {
        let name: &'static str = Box::leak(format!("group{number}").into_boxed_str());
        config = config
            .instance(name, FIRST + number, [10, 78, 0, number])
            .set("addresses", format!("[10.78.0.{number}/32]"))
            .set("multicast_group", format!("239.7.7.{}", FIRST + number));
    }
    config
}

/// Bug guarded: the twentieth group of an interface took down all instances there, because a socket
/// may join only so many. Now a group that cannot be joined is a fault of the instance that uses it
/// and of no other, and is reported once.
pub(crate) fn many_groups(lab: &Lab) {
    const COUNT: u8 = 25;
    const FIRST_GROUP: &str = "239.7.7.51";
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let agent = Agent::start(node, &in_groups(&group, FIRST_GROUP, COUNT));
    group.taken_over_by(node);
    within(BOUND, "all are active", || held(node) == usize::from(COUNT - 1));
    let memberships = node.run("ip maddress show dev eth0");
    assert_eq!(memberships.matches("239.7.7.").count(), usize::from(COUNT), "{memberships}");

    node.run("sysctl -q -w net.ipv4.igmp_max_memberships=0");
    agent.reload(node, &in_groups(&group, FIRST_GROUP, COUNT + 1));
    let refused = "eth0 cannot join the multicast group 239.7.7.125";
    agent.reports(&["group25: fault", refused]);
    sleep(Duration::from_secs(5));
    assert_eq!(agent.log().matches(refused).count(), 1, "{}", agent.log());
    assert_eq!(agent.log().matches("fault").count(), 1, "of no other: {}", agent.log());
    assert_eq!(held(node), usize::from(COUNT - 1));
    node.run("sysctl -q -w net.ipv4.igmp_max_memberships=20");
    within(BOUND, "it can take part", || held(node) == usize::from(COUNT));
    // vipd leaves a group that nobody uses any more.
    agent.reload(node, &in_groups(&group, FIRST_GROUP, 2));
    let left = || node.run("ip maddress show dev eth0").matches("239.7.7.").count();
    within(BOUND, "the others are left", || left() == 2);
}

/// Rule: the daemon may open as many files as the system allows. The programs that it starts have
/// the limit that the daemon was started with: many use `select(2)`, which fails beyond 1,024.
pub(crate) fn open_files(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    let said = lab.directory().join("limits");
    let script = lab.directory().join("limits.sh");
    // The limit is set only after the program has been started, so wait for it.
    let text = format!(
        "#!/bin/sh\nsleep 0.3\nulimit -Sn > {0}.new\nulimit -Hn >> {0}.new\nmv {0}.new {0}\n",
        said.display()
    );
    fs::write(&script, text).expect("a script");
    std::process::Command::new("chmod").arg("755").arg(&script).status().expect("chmod runs");
    let check = format!(
        "script: {{ command: [{}], user: root }}, interval: 5s, timeout: 4s",
        script.display()
    );
    let config = group.config().check("limits", check);
    let mut command = std::process::Command::new("prlimit");
    command.arg("--nofile=300:").arg("--");
    let vipd = Agent::command(node, &config.yaml());
    command.arg(vipd.get_program()).args(vipd.get_args());
    let agent = Agent::launch(node, &mut command);
    within(BOUND, "the check has run", || said.exists());
    assert_eq!(fs::read_to_string(&said).expect("limits"), format!("300\n{hard}\n"));
    let limits = fs::read_to_string(lab.proc().join(format!("{}/limits", agent.id())));
    let limits = limits.expect("the daemon's limits");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a line");
    let numbers: Vec<&str> =
        line.split_whitespace().filter(|word| word.parse::<u64>().is_ok()).collect();
    assert_eq!(numbers, [hard.to_string(), hard.to_string()], "{line}");
}
