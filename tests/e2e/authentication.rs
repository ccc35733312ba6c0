//! Signed advertisements between real daemons, and somebody on the segment who forges and replays.

use std::fs::{self, Permissions};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::forgery::{Forgery, send_packet};
use crate::lab::{Agent, BOUND, Config, Group, Host, Lab, VIP, program, within};

/// A backup waits at least this long without a farewell: three intervals of 2 s.
const ACTIVE_DOWN: Duration = Duration::from_secs(6);

/// A key as `vipctl keygen` writes it, by its last digit.
fn key(digit: u8) -> String {
    format!("hex:{}{digit:x}", "0123456789abcdef".repeat(4).split_at(63).0)
}

/// A file with a key, for root alone.
fn key_file(lab: &Lab, digit: u8) -> PathBuf {
    let path = lab.directory().join(format!("{digit}.key"));
    fs::write(&path, key(digit) + "\n").expect("a key");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("its mode");
    path
}

pub(crate) fn with_keys(config: Config, lab: &Lab, digits: &[u8], more: &str) -> Config {
    let keys = digits.iter().map(|digit| {
        let path = key_file(lab, *digit);
        format!("{digit}: {{ file: {} }}", path.display())
    });
    let keys: Vec<String> = keys.collect();
    config.set("authentication", format!("{{ keys: {{ {} }}{more} }}", keys.join(", ")))
}

/// What the agent of a host has refused, by reason.
fn refused(host: &Host) -> Value {
    let mut text = String::new();
    let socket = UnixStream::connect(host.runtime_directory().join("status.sock"));
    socket.expect("a status socket").read_to_string(&mut text).expect("a snapshot");
    let mut snapshot: Value = serde_json::from_str(&text).expect("JSON");
    snapshot["instances"][0]["counters"]["discards"].take()
}

/// The packets that a host has advertised with since `start`, as they were on the wire.
fn recorded(group: &Group, host: &Host, start: Instant) -> Vec<Vec<u8>> {
    let of_host = |packet: &[u8]| {
        packet.get(12..16) == Some(&host.address().octets()) && packet.get(9) == Some(&112)
    };
    let frames = group.tap.frames().into_iter().filter(|frame| frame.at >= start);
    frames.map(|frame| frame.bytes[14..].to_vec()).filter(|packet| of_host(packet)).collect()
}

/// The packet with another message, and an IPv4 header that fits.
fn changed(packet: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let (header, message) = packet.split_at(20);
    let mut message = message.to_vec();
    change(&mut message);
    let mut packet = [header, &message].concat();
    packet[3] = u8::try_from(packet.len()).expect("a short packet");
    packet
}

/// Rule: neither forged nor recorded, stripped or changed advertisements make an active node let go or
/// keep a backup waiting; each is counted under its reason. A recording of all this has no key in it
/// and replays without one.
pub(crate) fn forged_and_recorded(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let [active, backup] = [&group.nodes[0], &group.nodes[1]];
    let config = with_keys(group.config(), lab, &[1], "");
    let recording = lab.directory().join("recording.jsonl");
    let first = Agent::start(active, &config);
    let mut command = Agent::command(backup, &config.yaml());
    let second = Agent::launch(backup, command.arg("--record").arg(&recording));
    second.reports(&["web: backup"]);
    let start = Instant::now();
    group.taken_over_by(active);
    within(BOUND, "some advertisements to record", || recorded(&group, active, start).len() >= 5);
    let packets = recorded(&group, active, start);
    let attack = || {
        Forgery::valid(20).send(&group.watcher);
        for packet in packets.iter().rev().take(5) {
            let priority_0 = |message: &mut Vec<u8>| message[2] = 0;
            let stripped = |message: &mut Vec<u8>| message.truncate(message.len() - 28);
            let fresh_stamp = |message: &mut Vec<u8>| message[20] ^= 0x80;
            send_packet(&group.watcher, packet);
            send_packet(&group.watcher, &changed(packet, priority_0));
            send_packet(&group.watcher, &changed(packet, stripped));
            send_packet(&group.watcher, &changed(packet, fresh_stamp));
        }
        sleep(Duration::from_millis(40));
    };
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        attack();
        assert!(active.holds(VIP) && !backup.holds(VIP), "the forger moved the address");
    }
    let start = Instant::now();
    first.kill();
    within(BOUND, "the backup takes over although the forger goes on", || {
        attack();
        backup.holds(VIP)
    });
    lab.note(format!("took over after {:?}", start.elapsed()));
    let counted = refused(backup);
    lab.note(format!("refused: {counted}"));
    for reason in ["trailer_missing", "hmac", "replay"] {
        assert!(counted[reason].as_u64() > Some(0), "{reason}: {counted}");
    }
    second.reports(&["are refused: its signature is wrong", "are refused: it is not signed"]);
    // Recent to the clock, but from before the start of the one who hears it again.
    within(BOUND, "the new active node advertises", || !recorded(&group, backup, start).is_empty());
    let old = recorded(&group, backup, start).pop().expect("an advertisement");
    let again = Agent::start(active, &config);
    send_packet(&group.watcher, &old);
    let count = |reason: &str| refused(active)[reason].as_u64().unwrap_or(0);
    within(BOUND, "it is refused", || count("before_start") + count("replay") > 0);
    group.taken_over_by(active);
    assert!(second.stop().success() && again.stop().success());

    let text = fs::read_to_string(&recording).expect("the recording");
    assert!(!text.contains(&key(1)[4..]), "the key is in the recording");
    let replay = Command::new(program("vipd")).arg("replay").arg(&recording).output();
    let replay = replay.expect("vipd runs");
    assert!(replay.status.success(), "{}", String::from_utf8_lossy(&replay.stdout));
}

/// Rule: a group that runs turns authentication on, and replaces its key, step by step by reloads:
/// the same node serves all the time, and nothing is refused.
pub(crate) fn turned_on_and_rotated(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let agents = [0, 1].map(|node: usize| Agent::start(&group.nodes[node], &group.config()));
    let active = &group.nodes[0];
    group.taken_over_by(active);
    let start = Instant::now();
    let steps: [(&[u8], &str, Option<u8>); 6] = [
        (&[1], ", mode: receive_only", None),
        (&[1], ", mode: permissive", Some(1)),
        (&[1], "", Some(1)),
        (&[1, 2], ", send: 1", Some(1)),
        (&[1, 2], ", send: 2", Some(2)),
        (&[2], "", Some(2)),
    ];
    for (keys, more, signs) in steps {
        let config = with_keys(group.config(), lab, keys, more);
        for (agent, node) in agents.iter().zip(&group.nodes) {
            let reloads = || agent.log().matches("the configuration was read again").count();
            let done = reloads();
            agent.reload(node, &config);
            within(BOUND, "the reload is done", || reloads() > done);
        }
        // What the last step allows is on the wire before the next one.
        let done = Instant::now();
        within(BOUND, "advertisements go on", || !recorded(&group, active, done).is_empty());
        let last = recorded(&group, active, done).pop().expect("that was just seen");
        let id = (last.len() == 20 + 12 + 28).then(|| last[20 + 12 + 1]);
        assert_eq!(id, signs, "{keys:?} {more}");
    }
    assert_eq!(group.client.turns(start), [active.number()], "who served the client");
    for node in &group.nodes {
        assert_eq!(refused(node), serde_json::json!({}), "something was refused");
    }
    for agent in &agents {
        assert!(!agent.log().contains("0123456789abcdef"), "a key is in the log");
    }
}

/// Rule: the farewell that `vipd release` sends for a dead daemon is signed with the key from where it
/// was, and of that moment, so that nodes that enforce obey it; without the key it says why not.
pub(crate) fn released_when_dead(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    // The skew time is half a second. The lease leaves a busy machine the time for the release.
    let config = with_keys(group.config(), lab, &[1], "").set("advertisement_interval", "2s");
    let config = config.set("lease", "20s");
    let inline = format!("{{ keys: {{ 1: {{ secret: \"{}\" }} }} }}", key(1));
    let inline = config.clone().set("authentication", inline);
    let private = |command: Command, host: &Host| {
        let file = host.directory().join(format!("{}.yaml", host.number()));
        fs::set_permissions(file, Permissions::from_mode(0o600)).expect("its mode");
        command
    };
    let second = Agent::start(&group.nodes[1], &config);
    for config in [&config, &inline] {
        let node = &group.nodes[0];
        let agent = Agent::launch(node, &mut private(Agent::command(node, &config.yaml()), node));
        group.taken_over_by(node);
        second.reports(&["web: backup"]);
        // Long enough for a stamp of the takeover to be stale, were that one sent.
        sleep(Duration::from_secs(1));
        let held = fs::read_to_string(node.runtime_directory().join("held.json"));
        assert!(!held.expect("the list").contains("0123456789abcdef"), "a key is written down");
        let start = Instant::now();
        agent.kill();
        let mut release = Command::new(program("vipd"));
        release.arg("release").arg("--runtime-directory").arg(node.runtime_directory());
        let output = node.inside(|| release.output()).expect("vipd runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let is_told = output.status.success() && said.contains("priority 0 sent");
        assert!(is_told, "after {:?}: {said}", start.elapsed());
        let took = group.succession(node, &group.nodes[1], start);
        lab.note(format!("farewell to takeover: {took:?}"));
        assert!(took < ACTIVE_DOWN, "taken over only after {took:?}");
        group.taken_over_by(&group.nodes[1]);
        second.reports(&["node11 (10.77.0.11) stops"]);
    }

    let agent = Agent::start(&group.nodes[0], &config);
    group.taken_over_by(&group.nodes[0]);
    agent.kill();
    fs::remove_file(lab.directory().join("1.key")).expect("the key's file");
    let mut release = Command::new(program("vipd"));
    release.arg("release").arg("--runtime-directory").arg(group.nodes[0].runtime_directory());
    let output = group.nodes[0].inside(|| release.output()).expect("vipd runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("cannot be authenticated") && said.contains("1.key"), "{said}");
    assert!(!group.nodes[0].holds(VIP), "removed all the same");
}

/// Rule: a key from a credential of the service manager signs as one from a file; and a node without
/// the key is a stranger that is named, with the reason.
pub(crate) fn credential_and_stranger(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let config = with_keys(group.config(), lab, &[1], "");
    let credentials = lab.directory().join("credentials");
    fs::create_dir(&credentials).expect("a directory");
    fs::copy(lab.directory().join("1.key"), credentials.join("vrrp")).expect("a credential");
    let by_credential =
        group.config().set("authentication", "{ keys: { 1: { credential: vrrp } } }");
    let mut command = Agent::command(&group.nodes[0], &by_credential.yaml());
    let first = Agent::launch(&group.nodes[0], command.env("CREDENTIALS_DIRECTORY", &credentials));
    let second = Agent::start(&group.nodes[1], &config);
    group.taken_over_by(&group.nodes[0]);
    group.held_only_by(&group.nodes[0]);
    second.reports(&["web: backup"]);
    assert!(second.stop().success());

    let other = with_keys(group.config(), lab, &[2], "").yaml().replace("{ 2: ", "{ 1: ");
    let stranger = Agent::launch(&group.nodes[1], &mut Agent::command(&group.nodes[1], &other));
    first.reports(&["its signature is wrong", "node12"]);
    stranger.reports(&["its signature is wrong", "node11"]);
}

/// Rule: an instance whose key cannot be had, or can be read by others, takes no part, after a
/// start and after a reload; `vipd check` says why, with its place. What stands in it is never
/// said.
pub(crate) fn refused_keys(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let config = with_keys(group.config(), lab, &[1], "");
    let path = lab.directory().join("1.key");
    let yaml = config.yaml();
    let line = yaml.lines().position(|line| line.contains("authentication")).expect("the key") + 1;
    let place = format!(".yaml:{line}:");
    let start = || {
        let agent = Agent::launch(node, &mut Agent::command(node, &yaml));
        within(BOUND, "it is ready", || agent.has_said("READY=1"));
        agent
    };
    let waits = |why: &str| {
        let agent = start();
        agent.reports(&["web: fault", "waiting: ", why]);
        assert!(!node.holds(VIP), "it takes part without its key");
        assert!(!agent.log().contains("0123456789"), "{}", agent.log());
        assert!(agent.stop().success());
        let mut check = Command::new(program("vipd"));
        let file = node.directory().join(format!("{}.yaml", node.number()));
        let output = node.inside(|| check.arg("check").arg(file).output()).expect("vipd runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(69), "{said}");
        assert!(said.contains(&place) && said.contains(why), "{place} {why}: {said}");
        assert!(said.contains("instances.web.authentication.keys.1.file"), "{said}");
        assert!(!said.contains("0123456789"), "{said}");
    };
    fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("its mode");
    waits("has the mode 0644");
    fs::write(&path, "0123456789").expect("no key");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("its mode");
    waits("a key has 32 to 64 bytes, this one has 10");
    fs::remove_file(&path).expect("the key's file");
    waits("cannot be read: No such file");

    let agent = Agent::start(node, &group.config());
    group.taken_over_by(node);
    fs::write(node.directory().join(format!("{}.yaml", node.number())), &yaml).expect("a file");
    agent.signal(nix::sys::signal::Signal::SIGHUP);
    agent.reports(&["web: fault", "waiting: ", "cannot be read"]);
}
