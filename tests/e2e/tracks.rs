//! Checks: each kind moves the address away when it fails and back when it passes, and says why.

use std::cell::RefCell;
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};

use crate::lab::{
    Agent, BOUND, Config, Group, HELD_UP, Host, Lab, VRID, gaps, longest_stall, running_time,
    within,
};

/// A failing check without a cost takes its node out of the election, with the reason in the
/// status; once it passes the node is back.
fn moves_away_and_back(
    group: &Group,
    check: &str,
    breaks: impl FnOnce(&Host),
    mends: impl FnOnce(&Host),
    reason: &str,
) -> Duration {
    let (first, second) = (&group.nodes[0], &group.nodes[1]);
    let checked = Agent::start(first, &group.config().check("it", check));
    let _other = Agent::start(second, &group.config());
    group.taken_over_by(first);
    group.held_only_by(first);
    let start = Instant::now();
    breaks(first);
    group.taken_over_by(second);
    let took = start.elapsed();
    group.held_only_by(second);
    checked.reports(&["web: fault", "check it fails: ", reason]);
    mends(first);
    group.taken_over_by(first);
    group.held_only_by(first);
    took
}

fn two_nodes(lab: &Lab) -> Group {
    Group::new(lab, &[11, 12])
}

/// Says this to everyone who connects, until dropped.
struct Server {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(host: &Host, port: u16, says: &'static str) -> Self {
        let mut listener = None;
        // Until they have become another program, what other cases start holds the old one open.
        within(BOUND, "a port of our own", || {
            listener = host.inside(|| TcpListener::bind(("127.0.0.1", port))).ok();
            listener.is_some()
        });
        let listener = listener.expect("the loop ended with it");
        listener.set_nonblocking(true).expect("a listener that does not wait");
        let over = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let over = Arc::clone(&over);
            move || {
                while !over.load(Ordering::Relaxed) {
                    match listener.accept() {
                        Ok((mut client, _)) => drop(client.write_all(says.as_bytes())),
                        Err(_) => sleep(Duration::from_millis(1)),
                    }
                }
            }
        });
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Rule: `tcp` wants a connection and the expected words.
pub(crate) fn tcp(lab: &Lab) {
    let group = two_nodes(lab);
    let server = RefCell::new(None);
    let serve = |node: &Host, says| {
        drop(server.take());
        server.replace(Some(Server::start(node, 7000, says)));
    };
    serve(&group.nodes[0], "role:master\r\n");
    moves_away_and_back(
        &group,
        "tcp: { address: '127.0.0.1:7000', expect: 'role:master' }",
        |node| serve(node, "role:slave\r\n"),
        |node| serve(node, "role:master\r\n"),
        "127.0.0.1:7000 does not say 'role:master', but 'role:slave'",
    );
}

/// Rule: `interface` wants carrier, and notices its end within a tenth of its interval, because the
/// kernel says so.
pub(crate) fn interface(lab: &Lab) {
    let group = two_nodes(lab);
    group.nodes[0].run("ip link add name uplink type veth peer name far");
    group.nodes[0].run("ip link set far up");
    group.nodes[0].run("ip link set uplink up");
    within(BOUND, "there is carrier", || group.nodes[0].is_running("uplink"));
    let took = moves_away_and_back(
        &group,
        "interface: { name: uplink }, interval: 80s",
        |node| drop(node.run("ip link set far down")),
        |node| drop(node.run("ip link set far up")),
        "uplink has no carrier",
    );
    lab.note(format!("with an interval of 80 s the address moved after {took:?}"));
}

/// Rule: `file` notices within a tenth of its interval that a file comes and goes, because the kernel
/// says so.
pub(crate) fn file(lab: &Lab) {
    let group = two_nodes(lab);
    let mark = lab.directory().join("maintenance");
    let took = moves_away_and_back(
        &group,
        &format!("file: {{ path: {}, present: false }}, interval: 80s", mark.display()),
        |_| fs::write(&mark, "").expect("a file"),
        |_| fs::remove_file(&mark).expect("the file"),
        "maintenance is there",
    );
    lab.note(format!("with an interval of 80 s the address moved after {took:?}"));
}

/// Rule: `process` wants a process that runs.
pub(crate) fn process(lab: &Lab) {
    let group = two_nodes(lab);
    let text = format!("sleep 98765.{}", lab.number());
    let begin = |node: &Host| {
        let argument = text.split(' ').next_back().expect("a number");
        node.start(Command::new("sleep").arg(argument), "sleep")
    };
    let mut one = Some(begin(&group.nodes[0]));
    let mut next = None;
    // In the lab's namespaces the kernel does not tell of processes: looking again has to do.
    moves_away_and_back(
        &group,
        &format!("process: {{ command_line: '{text}' }}"),
        |_| drop(one.take()),
        |node| next = Some(begin(node)),
        "in its command line",
    );
}

/// Rule: `systemd_unit` wants what `systemctl` calls active. There is no systemd in the lab: what
/// stands in for it says what a file says.
pub(crate) fn systemd_unit(lab: &Lab) {
    if !Lab::started_by_root() {
        return lab.note("takes root: systemctl is replaced");
    }
    let group = two_nodes(lab);
    let state = lab.directory().join("state");
    fs::write(&state, "LoadState=loaded\nActiveState=active\n").expect("a file");
    let double = executable(lab, "systemctl", &format!("cat {}", state.display()));
    let nothing = None::<&str>;
    mount(Some(&double), "/usr/bin/systemctl", nothing, MsFlags::MS_BIND, nothing)
        .expect("a stand-in for systemctl");
    moves_away_and_back(
        &group,
        "systemd_unit: { unit: nginx.service }",
        |_| fs::write(&state, "LoadState=loaded\nActiveState=failed\n").expect("the file"),
        |_| fs::write(&state, "LoadState=loaded\nActiveState=active\n").expect("the file"),
        "nginx.service is failed",
    );
}

/// Rule: `ping` wants an answer from a witness, over IPv4 and IPv6.
pub(crate) fn ping(lab: &Lab) {
    witness(lab, "ping: { targets: [10.77.0.50, 'fd77::50'], require: all }");
}

/// Rule: `arp` wants an answer from a witness.
pub(crate) fn arp(lab: &Lab) {
    witness(lab, "arp: { targets: [10.77.0.50], interface: eth0 }");
}

fn witness(lab: &Lab, check: &str) {
    let group = two_nodes(lab);
    group.nodes[0].run("ip address add fd77::11/64 dev eth0 nodad");
    group.watcher.run("ip address add fd77::50/64 dev eth0 nodad");
    group.watcher.run("ip address add 10.77.0.50/24 dev eth0");
    moves_away_and_back(
        &group,
        check,
        |_| drop(group.watcher.run("ip address del 10.77.0.50/24 dev eth0")),
        |_| drop(group.watcher.run("ip address add 10.77.0.50/24 dev eth0")),
        "no answer within 200 ms (nothing from 10.77.0.50",
    );
}

/// A script in the case's directory.
pub(crate) fn executable(lab: &Lab, name: &str, commands: &str) -> PathBuf {
    let path = lab.directory().join(name);
    fs::write(&path, format!("#!/bin/sh\n{commands}\n")).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its permissions");
    path
}

/// Rule: `script` wants the exit code 0; the code and the last line are the reason. It runs as
/// nobody.
pub(crate) fn script(lab: &Lab) {
    if !Lab::started_by_root() {
        return lab.note("takes root: only root may become somebody else");
    }
    let group = two_nodes(lab);
    let broken = lab.directory().join("broken");
    let commands =
        format!("id -un; test -e {} || exit 0; echo the disk is full; exit 3", broken.display());
    let path = executable(lab, "check", &commands);
    moves_away_and_back(
        &group,
        &format!("script: {{ command: [{}] }}", path.display()),
        |_| fs::write(&broken, "").expect("a file"),
        |_| fs::remove_file(&broken).expect("the file"),
        "exit code 3: the disk is full",
    );
}

/// Rule: a reload does not wait for a look that hangs, and the check's next look is the new one.
pub(crate) fn reload_while_a_look_hangs(lab: &Lab) {
    if !Lab::started_by_root() {
        return lab.note("takes root: scripts run as root");
    }
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let hangs = executable(lab, "hangs", "exec sleep 71003");
    let keys = |path: &str| format!("script: {{ command: [{path}], user: root }}, interval: 80s");
    let config = |path: &str| group.config().check("it", format!("{}, timeout: 80s", keys(path)));
    let agent = Agent::start(node, &config(&hangs.display().to_string()));
    agent.reports(&["web: fault", "check it has not passed yet"]);
    within(BOUND, "it hangs", || running(lab, "71003") == 1);
    let start = Instant::now();
    agent.reload(node, &config("/bin/true"));
    group.taken_over_by(node);
    lab.note(format!("active {:?} after the reload", start.elapsed()));
    within(BOUND, "the hanging one is gone", || running(lab, "71003") == 0);
}

/// How many processes have this in their command line and are no zombies.
pub(crate) fn running(lab: &Lab, text: &str) -> usize {
    let processes = fs::read_dir(lab.proc()).expect("the processes").flatten();
    let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(text)).count()
}

/// How many checks of each kind.
const OF_EACH: usize = 75;

/// For how long the rhythm is listened to.
const LISTENED: Duration = Duration::from_secs(15);

/// Rule: three hundred checks at an interval of a second do not disturb advertisements at one of
/// 100 ms, and the loop is never held up.
pub(crate) fn rhythm(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let _server = Server::start(node, 7000, "220 ready\r\n");
    let mark = lab.directory().join("mark");
    fs::write(&mark, "7").expect("a file");
    let fourth = if Lab::started_by_root() {
        "script: { command: [/bin/true] }"
    } else {
        "interface: { name: lo }"
    };
    let kinds = [
        "tcp: { address: '127.0.0.1:7000', expect: '220' }".to_owned(),
        format!("file: {{ path: {}, minimum: 1 }}", mark.display()),
        "interface: { name: eth0 }".to_owned(),
        fourth.to_owned(),
    ];
    let quiet = group.config().set("advertisement_interval", "100ms");
    let config = (0..OF_EACH * kinds.len()).fold(quiet, |config: Config, number| {
        let kind = &kinds[number % kinds.len()];
        config.check(format!("c{number}"), format!("{kind}, interval: 1s, fall: 5"))
    });
    let begin = Instant::now();
    let agent = Agent::start(node, &config);
    group.taken_over_by(node);
    within(BOUND, "the log says so", || agent.log().contains("-> active"));
    let changes = || agent.log().matches(" -> ").count();
    let before = changes();
    let (start, used) = (Instant::now(), processor_time(lab, agent.id()));
    sleep(LISTENED);
    let used = processor_time(lab, agent.id()) - used;
    let heard = group.tap.advertisements().into_iter();
    let times: Vec<Instant> = heard
        .filter(|seen| seen.at >= start && seen.virtual_router_id == VRID)
        .map(|seen| seen.at)
        .collect();
    let span = running_time(start, Instant::now());
    let mut gaps = gaps(&times);
    gaps.sort_unstable();
    let at = |percent: usize| gaps[(gaps.len() - 1) * percent / 100];
    lab.note(format!(
        "{} gaps between advertisements: median {:?}, 99 % below {:?}, longest {:?}; the daemon \
         took {used} % of a processor",
        gaps.len(),
        at(50),
        at(99),
        at(100),
    ));
    let due = usize::try_from(span.as_millis() / 100).expect("a short while");
    assert!(gaps.len() > due * 9 / 10, "{} advertisements and not {due}", gaps.len());
    assert!(at(100) < Duration::from_millis(250), "the rhythm is broken: {:?}", at(100));
    // The machine itself may have held it up.
    let excused = longest_stall(begin) > HELD_UP;
    assert!(excused || !agent.status().contains("held up"), "{}", agent.status());
    assert_eq!(changes(), before, "{}", agent.log());
}

/// What the daemon itself has used so far, in percent of one processor over [`LISTENED`]
/// (`proc_pid_stat(5)`: fields 14 and 15, in hundredths of a second).
fn processor_time(lab: &Lab, process: u32) -> u64 {
    let path = lab.proc().join(process.to_string()).join("stat");
    let stat = fs::read_to_string(path).expect("the process' state");
    let (_, rest) = stat.rsplit_once(") ").expect("a name in parentheses");
    let numbers = rest.split_whitespace().skip(14 - 3).take(2);
    let ticks: u64 = numbers.map(|number| number.parse::<u64>().expect("a number")).sum();
    ticks / LISTENED.as_secs()
}
