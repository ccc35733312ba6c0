//! Signed advertisements that somebody copies from one segment to another one of the same group.

use std::io::Read as _;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::authentication::with_keys;
use crate::lab::{Agent, BOUND, Frame, Group, Host, Lab, Segment, Tap, VIP, VRID, within};
use crate::raw::Raw;

/// The virtual address of the other segment.
const OTHER_VIP: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 100);

/// What the instance of this name has refused, by reason.
fn refused(host: &Host, name: &str) -> Value {
    let mut text = String::new();
    let socket = UnixStream::connect(host.runtime_directory().join("status.sock"));
    socket.expect("a status socket").read_to_string(&mut text).expect("a snapshot");
    let mut snapshot: Value = serde_json::from_str(&text).expect("JSON");
    let all = snapshot["instances"].as_array_mut().expect("instances");
    let one = all.iter_mut().find(|one| one["name"] == name).expect("an instance of that name");
    one["counters"]["discards"].take()
}

/// The advertisements of a source since `start`, as they were on the wire.
fn advertisements(tap: &Tap, source: Ipv4Addr, start: Instant) -> Vec<Vec<u8>> {
    let is_meant = |frame: &Frame| {
        frame.at >= start
            && frame.bytes.get(23) == Some(&112)
            && frame.bytes.get(26..30) == Some(&source.octets())
    };
    tap.frames().into_iter().filter(is_meant).map(|frame| frame.bytes).collect()
}

/// Bug guarded: a signed advertisement copied to another interface of the group took an address
/// down without the key. The second node is preferred on the second segment; its advertisements and
/// its farewell there, copied to the first segment while they are fresh, change nothing.
pub(crate) fn of_another_segment(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let [one, two] = [&group.nodes[0], &group.nodes[1]];
    let other = Segment::another(lab, "other", [10, 78, 0]);
    for node in [one, two] {
        other.connect(node, "eth1");
    }
    let observer = other.host(1);
    let tap = Tap::start(&observer);
    let config = |priorities: [&str; 2]| {
        let [web, lan] = priorities;
        let config = with_keys(group.config().set("priority", web), lab, &[1], "");
        let config = config.instance("lan", VRID, OTHER_VIP).set("interface", "eth1");
        with_keys(config.set("priority", lan), lab, &[1], "")
    };
    let first = Agent::start(one, &config(["150", "100"]));
    let second = Agent::start(two, &config(["100", "200"]));
    group.taken_over_by(one);
    within(BOUND, "each has the address of one segment", || {
        one.holds(VIP) && !one.holds(OTHER_VIP) && two.holds(OTHER_VIP) && !two.holds(VIP)
    });
    let source = Ipv4Addr::new(10, 78, 0, two.number());
    let yielded = first.log().matches("web: active -> ").count();
    let raw = Raw::open(&group.watcher);
    let mut copied = 0;
    let mut copy_for = |length: Duration| {
        let begin = Instant::now();
        while begin.elapsed() < length {
            let fresh = advertisements(&tap, source, begin);
            for frame in fresh.iter().skip(copied) {
                raw.send(frame);
            }
            copied = fresh.len();
            assert!(one.holds(VIP) && !two.holds(VIP), "a copy has moved the address");
            sleep(Duration::from_millis(10));
        }
        std::mem::take(&mut copied)
    };
    let count = copy_for(Duration::from_secs(2));
    assert!(count >= 5, "{count} copies");
    // The farewell says that the active router is gone.
    let begin = Instant::now();
    assert!(second.stop().success());
    let farewells = || advertisements(&tap, source, begin);
    within(BOUND, "a farewell", || farewells().iter().any(|frame| frame[36] == 0));
    for frame in farewells() {
        raw.send(&frame);
    }
    let counted = || refused(one, "web")["foreign_source"].as_u64().unwrap_or_default();
    within(BOUND, "all are refused", || counted() > count as u64);
    lab.note(format!("refused: {}", refused(one, "web")));
    assert_eq!(first.log().matches("web: active -> ").count(), yielded, "{}", first.log());
    group.stays_with(one, Duration::from_millis(500));
    first.reports(&["are refused: "]);
}
