//! Opening, joining and closing sockets: this costs the protocol loop nothing, and a failure
//! concerns only the instances that need the socket.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit};

use crate::lab::{Agent, BOUND, Config, Group, Host, Lab, Segment, VRID, within};

/// The instances that move at once: their number and the first virtual router ID.
const SLOW: u8 = 120;
const FIRST: u8 = 100;

/// Far less than the 38 ms after which a backup at 10 ms takes over.
const LATE: Duration = Duration::from_millis(25);

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
    let mut distances: Vec<Duration> = times.windows(2).map(|two| two[1] - two[0]).collect();
    distances.sort_unstable();
    let late = distances.iter().filter(|distance| **distance >= LATE).count();
    let longest = distances.last().copied().unwrap_or(Duration::MAX);
    lab.note(format!(
        "{} advertisements in the second of the move, half of them within {:?} of the one \
         before, the longest {longest:?}, {late} of them later than {LATE:?}",
        distances.len(),
        distances.get(distances.len() / 2),
    ));
    // A debug build is busy for 100 to 200 ms with the effects of 120 advertisements at once.
    assert!(distances.len() > 25, "{} advertisements in a second", distances.len());
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

/// `web` and more instances, each with a multicast group of its own.
fn in_groups(group: &Group, count: u8) -> Config {
    let mut config = group.config().set("multicast_group", "239.7.7.51");
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
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let agent = Agent::start(node, &in_groups(&group, COUNT));
    group.taken_over_by(node);
    within(BOUND, "all are active", || held(node) == usize::from(COUNT - 1));
    let memberships = node.run("ip maddress show dev eth0");
    assert_eq!(memberships.matches("239.7.7.").count(), usize::from(COUNT), "{memberships}");

    node.run("sysctl -q -w net.ipv4.igmp_max_memberships=0");
    agent.reload(node, &in_groups(&group, COUNT + 1));
    let refused = "eth0 cannot join the multicast group 239.7.7.125";
    agent.reports(&["group25: fault", refused]);
    sleep(Duration::from_secs(5));
    assert_eq!(agent.log().matches(refused).count(), 1, "{}", agent.log());
    assert_eq!(agent.log().matches("fault").count(), 1, "of no other: {}", agent.log());
    assert_eq!(held(node), usize::from(COUNT - 1));
    node.run("sysctl -q -w net.ipv4.igmp_max_memberships=20");
    within(BOUND, "it can take part", || held(node) == usize::from(COUNT));
    // vipd leaves a group that nobody uses any more.
    agent.reload(node, &in_groups(&group, 2));
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
