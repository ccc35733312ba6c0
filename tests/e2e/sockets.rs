//! The status and control sockets: what their clients do costs the protocol loop nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use vipd::api::{LoopStatus, Snapshot};

use crate::lab::{
    self, Agent, BOUND, Group, HELD_UP, Host, Lab, Process, VRID, is_over, longest_stall,
    running_time, within,
};

/// How many clients connect and never read.
const IDLE: usize = 10_000;

/// For how long the others go on.
const ABUSED: Duration = Duration::from_secs(10);

/// What the daemon says of itself.
pub(crate) fn snapshot(host: &Host) -> Snapshot {
    let mut stream = UnixStream::connect(path(host, "status.sock")).expect("a status socket");
    stream.set_read_timeout(Some(BOUND)).expect("a bound");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("a snapshot");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn path(host: &Host, name: &str) -> PathBuf {
    host.runtime_directory().join(name)
}

/// Rule: ten thousand clients that never read, others that read a byte at a time, or come and go as
/// fast as they can, or send garbage to the control socket, delay no advertisement and no honest
/// client for long.
pub(crate) fn abuse(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let begin = Instant::now();
    let agent = Agent::start(node, &group.config().set("advertisement_interval", "100ms"));
    group.taken_over_by(node);
    sleep(Duration::from_secs(2));
    let calm = snapshot(node).protocol_loop;

    let start = Instant::now();
    let (over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let idle = AtomicUsize::new(0);
    let honest = thread::scope(|scope| {
        scope.spawn(|| never_read(node, &over, &idle));
        scope.spawn(|| read_slowly(node, &over));
        scope.spawn(|| come_and_go(node, &over, &served));
        scope.spawn(|| talk_nonsense(node, &over));
        let mut honest = Vec::new();
        let all_there = || idle.load(Ordering::Relaxed) == IDLE;
        while start.elapsed() < ABUSED || !(all_there() || is_over(BOUND, start)) {
            let asked = Instant::now();
            assert_eq!(snapshot(node).status.instances.len(), 1);
            honest.push(running_time(asked, Instant::now()));
            sleep(Duration::from_millis(100));
        }
        over.store(true, Ordering::Relaxed);
        honest
    });
    let gaps = gaps(&group, start);
    let abused = snapshot(node).protocol_loop;
    lab.note(format!("lateness of the loop: calm {}; then {}", shown(&calm), shown(&abused)));
    lab.note(format!(
        "{} clients came and went; an honest one waited {:?} at the longest; longest gap between \
         advertisements {:?}",
        served.load(Ordering::Relaxed),
        honest.iter().max().expect("some"),
        gaps.iter().max().expect("some"),
    ));
    assert!(gaps.iter().all(|gap| *gap < Duration::from_millis(300)), "{gaps:?}");
    assert!(honest.iter().all(|wait| *wait < Duration::from_secs(5)), "{honest:?}");
    // The machine itself may have held it up.
    let excused = longest_stall(begin) > HELD_UP;
    assert!(excused || abused.held_up == 0, "{}", agent.status());
    within(BOUND, "it serves on", || agent.status().contains("web: active"));
}

fn shown(status: &LoopStatus) -> String {
    let lateness = &status.lateness;
    let bound = |percent| lateness.below(percent).map_or("?".to_owned(), |span| span.to_string());
    let (half, most, longest) = (bound(50), bound(99), lateness.longest());
    format!("{} times, half below {half}, 99 % below {most}, longest {longest}", lateness.count())
}

fn gaps(group: &Group, start: Instant) -> Vec<Duration> {
    let heard = group.tap.advertisements().into_iter();
    let times: Vec<Instant> = heard
        .filter(|seen| seen.at >= start && seen.virtual_router_id == VRID)
        .map(|seen| seen.at)
        .collect();
    lab::gaps(&times)
}

/// Connects as often as the system lets it, and keeps what is said unread.
fn never_read(node: &Host, over: &AtomicBool, idle: &AtomicUsize) {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("more files");
    let mut kept = Vec::new();
    while kept.len() < IDLE && !over.load(Ordering::Relaxed) {
        match UnixStream::connect(path(node, "status.sock")) {
            Ok(stream) => {
                kept.push(stream);
                idle.store(kept.len(), Ordering::Relaxed);
            }
            Err(error) => panic!("client {}: {error}", kept.len()),
        }
    }
    assert_eq!(kept.len(), IDLE, "the daemon is too slow for them");
    while !over.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(50));
    }
}

fn read_slowly(node: &Host, over: &AtomicBool) {
    let connect = |_| UnixStream::connect(path(node, "status.sock")).expect("a client more");
    let mut slow: Vec<UnixStream> = (0..50).map(connect).collect();
    while !over.load(Ordering::Relaxed) {
        for stream in &mut slow {
            let _ = stream.read(&mut [0]);
        }
        sleep(Duration::from_millis(20));
    }
}

fn come_and_go(node: &Host, over: &AtomicBool, served: &AtomicUsize) {
    while !over.load(Ordering::Relaxed) {
        drop(UnixStream::connect(path(node, "status.sock")));
        served.fetch_add(1, Ordering::Relaxed);
        // Both cores would be busy with this alone.
        sleep(Duration::from_micros(500));
    }
}

fn talk_nonsense(node: &Host, over: &AtomicBool) {
    let mut half = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let Ok(mut stream) = UnixStream::connect(path(node, "control.sock")) else { continue };
        let _ = stream.write_all(b"GET / HTTP/1.1\r\n\xff\0\n");
        if half.len() < 40 {
            // A request that never ends.
            let _ = stream.write_all(b"{\"handover\":");
            half.push(stream);
        }
        sleep(Duration::from_millis(2));
    }
}

/// Requests of root while another user abuses the sockets.
const REQUESTS: usize = 90;

/// The longest wait of root, on a machine that is busy with the abuse.
const SERVED: Duration = Duration::from_secs(10);

/// Eight programs that connect as fast as they can, ask for what they may not, and keep 40
/// connections each. Each Debian has perl.
const ABUSE: &str = r#"
    use IO::Socket::UNIX;
    $SIG{PIPE} = "IGNORE";
    for (2..8) { last unless fork }
    while (1) {
        my $socket = IO::Socket::UNIX->new(Peer => $ARGV[0]) or next;
        syswrite $socket, qq({"standby":{"instance":null,"force":true}}\n);
        push @kept, $socket;
        shift @kept if @kept > 40;
    }
"#;

/// One client that asks for what it may not, and says what it was told.
const ASK: &str = r"
    use IO::Socket::UNIX;
    my $socket = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die;
    print scalar <$socket>;
";

/// A program of a user who may do nothing.
fn as_nobody(script: &str, host: &Host, socket: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "perl", "-e", script]);
    command.arg(path(host, socket));
    command
}

/// Asks as root for something that changes nothing; what was answered.
fn ask_as_root(host: &Host) -> String {
    let mut stream = UnixStream::connect(path(host, "control.sock")).expect("a control socket");
    stream.set_read_timeout(Some(SERVED)).expect("a bound");
    // A client that is turned away gets its answer all the same.
    let _ = stream.write_all(b"{\"online\":{\"instance\":null}}\n");
    let mut answer = String::new();
    let _ = BufReader::new(stream).read_line(&mut answer);
    answer
}

/// Bug guarded: any local user could take all places of the control socket, so that none of root's
/// requests was served, and have thousands of lines written to the log. Now a user who may not ask
/// takes no place, is told why, and causes one line a minute. The status socket is served, too.
pub(crate) fn strangers(lab: &Lab) {
    if !Lab::started_by_root() {
        lab.note("other users are tested as root only");
        return;
    }
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let agent = Agent::start(node, &group.config());
    group.taken_over_by(node);
    let abusers: Vec<Process> = ["control.sock", "status.sock"]
        .map(|socket| node.start(&mut as_nobody(ABUSE, node, socket), socket))
        .into();
    within(BOUND, "the abuse has begun", || agent.log().contains("may not control vipd"));
    let (mut longest, mut refused) = (Duration::ZERO, Vec::new());
    for _ in 0..REQUESTS {
        let asked = Instant::now();
        let answer = ask_as_root(node);
        longest = longest.max(asked.elapsed());
        if !answer.starts_with("{\"standby\":") {
            refused.push(answer);
        }
        assert_eq!(snapshot(node).status.instances.len(), 1);
    }
    let told = as_nobody(ASK, node, "control.sock").output().expect("perl runs");
    drop(abusers);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let lines = agent.log().lines().filter(|line| !line.contains("asks for")).count();
    lab.note(format!(
        "root waited {longest:?} at the longest; {} of {REQUESTS} not served; {lines} other \
         lines in the log",
        refused.len()
    ));
    assert!(refused.is_empty(), "{} of {REQUESTS}: {refused:?}", refused.len());
    assert!(told.contains("user nobody may not control vipd: root may"), "{told}");
    let about = agent.log().lines().filter(|line| line.contains("may not control")).count();
    assert!(about <= 5 && lines < 40, "{about} of {lines} lines: {}", agent.log());
}
