//! Hooks in real life: what they are told, in which order, and what waits for them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::lab::{Agent, BOUND, Group, Lab, VIP, program, within};
use crate::tracks::{executable, running};

/// The address of the second instance of a sync group.
const OTHER_VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 101);

/// A file that hooks write their lines into.
fn diary(lab: &Lab, name: &str) -> PathBuf {
    lab.directory().join(format!("{name}.told"))
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Rule: each state is told once, in its order, in keepalived's words, to the program, the pipe and
/// the webhook, up to the end; what stands behind a takeover runs when the address is there.
pub(crate) fn in_order(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let node = &group.nodes[0];
    let told = diary(lab, "script");
    let script = executable(lab, "on-change", &format!("echo $* >> {}", told.display()));
    let claimed = diary(lab, "claimed");
    let has_it = format!("ip -o addr show dev eth0 | grep -c {VIP} >> {}", claimed.display());
    let after_claim = executable(lab, "after-claim", &has_it);
    let pipe = lab.directory().join("events");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let piped = diary(lab, "pipe");
    // It has the pipe open before vipd writes, and never closes it.
    let reads = lab.directory().join("reads");
    let (from, to) = (pipe.display(), piped.display());
    let reader = format!("exec 3<>{from}; : > {}; exec cat <&3 >> {to}", reads.display());
    let _reader = node.start(Command::new("sh").args(["-c", &reader]), "reader");
    within(BOUND, "the pipe has a reader", || reads.exists());
    // On the node itself: it is reached while the link is down, too.
    let posts = posted(node.inside(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 80))));
    let notify = format!(
        "{{ script: {}, after_claim: {}, fifo: {}, webhook: \"http://127.0.0.1/hook\", user: root }}",
        script.display(),
        after_claim.display(),
        pipe.display(),
    );
    let agent = Agent::start(node, &group.config().set("notify", notify));
    group.taken_over_by(node);
    let expected = |state: &str| format!("INSTANCE web {state} 200");
    within(BOUND, "MASTER is told", || lines(&told).last() == Some(&expected("MASTER")));
    assert_eq!(lines(&claimed), ["1"], "{}", agent.log());
    group.segment.cable(node, "down");
    within(BOUND, "FAULT is told", || lines(&told).last() == Some(&expected("FAULT")));
    group.segment.cable(node, "up");
    within(BOUND, "MASTER is told again", || lines(&told).last() == Some(&expected("MASTER")));
    assert_eq!(agent.stop().code(), Some(0));
    let states = ["BACKUP", "MASTER", "FAULT", "BACKUP", "MASTER", "STOP"];
    assert_eq!(lines(&told), states.map(expected), "the program");
    let piped = || lines(&piped);
    let expected: Vec<String> =
        states.iter().map(|state| format!("INSTANCE \"web\" {state} 200")).collect();
    within(BOUND, "the pipe has everything", || piped() == expected);
    let posts = posts.lock().expect("the posts");
    let states: Vec<&str> = posts
        .iter()
        .filter_map(|post| post.split_once("\"state\":\"")?.1.split('"').next())
        .collect();
    assert_eq!(states, ["backup", "active", "fault", "backup", "active", "stopped"], "{posts:?}");
}

/// Rule: a sync group is told its own states once, in keepalived's words with keepalived's priority 0, to
/// the program and the pipe; all addresses wait for its hook, and are there when it is told so.
pub(crate) fn of_a_group(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let node = &group.nodes[0];
    let told = diary(lab, "script");
    let script = executable(lab, "on-change", &format!("echo $* >> {}", told.display()));
    let count = diary(lab, "count");
    let both = format!("ip -o addr show dev eth0 | grep -c -e {VIP} -e {OTHER_VIP}");
    let look = executable(lab, "look", &format!("echo $1 $({both}) >> {}", count.display()));
    let json = diary(lab, "json");
    let keep = executable(lab, "keep", &format!("cat > {}", json.display()));
    let pipe = lab.directory().join("events");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let piped = diary(lab, "pipe");
    // It has the pipe open before vipd writes, and never closes it.
    let reads = lab.directory().join("reads");
    let (from, to) = (pipe.display(), piped.display());
    let reader = format!("exec 3<>{from}; : > {}; exec cat <&3 >> {to}", reads.display());
    let _reader = node.start(Command::new("sh").args(["-c", &reader]), "reader");
    within(BOUND, "the pipe has a reader", || reads.exists());
    let notify = format!(
        "{{ script: [{}, mine], before_claim: [{look}, before], after_claim: [{look}, after], \
         on_fault: {}, fifo: {}, user: root }}",
        script.display(),
        keep.display(),
        pipe.display(),
        look = look.display(),
    );
    let config = group.config().instance("lan", 52, OTHER_VIP).sync_group(&notify);
    let agent = Agent::start(node, &config);
    group.taken_over_by(node);
    let expected = |state: &str| format!("mine GROUP gateway {state} 0");
    within(BOUND, "MASTER is told", || lines(&told).last() == Some(&expected("MASTER")));
    assert_eq!(lines(&count), ["before 0", "after 2"], "{}", agent.log());
    group.segment.cable(node, "down");
    within(BOUND, "FAULT is told", || lines(&told).last() == Some(&expected("FAULT")));
    group.segment.cable(node, "up");
    within(BOUND, "MASTER is told again", || lines(&told).last() == Some(&expected("MASTER")));
    assert_eq!(agent.stop().code(), Some(0));
    let states = ["BACKUP", "MASTER", "FAULT", "BACKUP", "MASTER", "STOP"];
    assert_eq!(lines(&told), states.map(expected), "the program");
    let expected: Vec<String> =
        states.iter().map(|state| format!("GROUP \"gateway\" {state} 0")).collect();
    within(BOUND, "the pipe has everything", || lines(&piped) == expected);
    let json = lines(&json).join("");
    let parts = [
        r#"{"phase":"on_fault","group":"gateway","node":"node11","state":"fault","priority":200,"#,
        r#""members":[{"instance":"web","interface":"eth0","virtual_router_id":51,"state":"fault","#,
        r#"{"instance":"lan","interface":"eth0","virtual_router_id":52,"state":"fault","#,
    ];
    assert!(parts.iter().all(|part| json.contains(part)), "{json}");
}

/// A server that takes posts, one for each connection.
fn posted(listener: std::io::Result<TcpListener>) -> Arc<Mutex<Vec<String>>> {
    let listener = listener.expect("the server's port");
    let posts = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&posts);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            stream.set_read_timeout(Some(BOUND)).expect("a timeout");
            let mut text = String::new();
            let mut buffer = [0; 4096];
            while !text.ends_with('}') {
                let length = stream.read(&mut buffer).expect("a request");
                text.push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
            kept.lock().expect("the posts").push(text);
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        }
    });
    posts
}

/// Rule: what a takeover waits for comes before the address; where it never returns it is killed
/// with all that it has started, told, and the address comes.
pub(crate) fn before_claim(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let marked = format!("7400{}", lab.number());
    let seen = diary(lab, "seen");
    let look = format!("ip -o addr show dev eth0 | grep -c {VIP} >> {}", seen.display());
    let hangs = format!("{look}; trap '' TERM; sleep {marked} & sleep {marked}");
    let script = executable(lab, "promote", &hangs);
    let notify = format!("{{ before_claim: {}, timeout: 2s, user: root }}", script.display());
    let start = Instant::now();
    let agent = Agent::start(node, &group.config().set("notify", notify));
    agent.reports(&["web: active", "; waiting for before_claim to end"]);
    let advertised = || group.tap.advertisers(crate::lab::VRID, start) == [node.address()];
    within(BOUND, "it advertises meanwhile", advertised);
    assert!(!node.holds(VIP), "the address is there before its time");
    group.held_only_by(node);
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(lines(&seen), ["0"]);
    agent.reports(&["hook before_claim failed at ", "no answer within 2 s"]);
    within(BOUND, "nothing of it is left", || running(lab, &marked) == 0);
}

/// Rule: a planned departure waits for its hook with the address, and leaves no gap.
pub(crate) fn before_release(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let (first, second) = (&group.nodes[0], &group.nodes[1]);
    let seen = diary(lab, "seen");
    let look = format!("sleep 0.5; ip -o addr show dev eth0 | grep -c {VIP} >> {}", seen.display());
    let script = executable(lab, "demote", &look);
    let notify = format!("{{ before_release: {}, user: root }}", script.display());
    let active = Agent::start(first, &group.config().set("notify", notify));
    let _backup = Agent::start(second, &group.config());
    group.taken_over_by(first);
    group.held_only_by(first);
    let start = Instant::now();
    assert_eq!(active.stop().code(), Some(0));
    assert!(start.elapsed() >= Duration::from_millis(500), "{:?}", start.elapsed());
    assert_eq!(lines(&seen), ["1"]);
    group.taken_over_by(second);
    let gap = group.client.longest_gap(start);
    assert!(gap < Duration::from_millis(100), "{gap:?}");
}

/// Rule: a hook that cannot run is a mistake in the file, with its place.
pub(crate) fn refused(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let open = executable(lab, "open", "true");
    let chmod = Command::new("chmod").arg("777").arg(&open).status();
    assert!(chmod.expect("chmod runs").success());
    let notify =
        format!("{{ script: /nonexistent/hook, on_fault: {}, user: root }}", open.display());
    let config = group.config().set("notify", notify).instance("lan", 52, OTHER_VIP);
    let yaml = config.sync_group("{ script: /nonexistent/of-group, user: root }").yaml();
    let file = lab.directory().join("bad.yaml");
    fs::write(&file, yaml).expect("a configuration");
    let mut check = Command::new(program("vipd"));
    check.arg("check").arg(&file).stdin(Stdio::null());
    let output = node.inside(|| check.output()).expect("vipd runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(69), "{said}");
    let expected = [
        "instances.web.notify.script: /nonexistent/hook: No such file",
        "everybody may write to ",
        "sync_groups.gateway.notify.script: /nonexistent/of-group: No such file",
    ];
    assert!(expected.iter().all(|text| said.contains(text)), "{said}");
    assert!(said.contains("valid on node node11, but 3 things that it needs"), "{said}");
}
