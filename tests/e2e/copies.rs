//! Signed advertisements that somebody copies from one segment to another one of the same group.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::net::UnixStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::authentication::with_keys;
use crate::lab::{Agent, BOUND, Config, Frame, Group, Host, Lab, Segment, Tap, VRID, within};
use crate::raw::Raw;

/// The virtual addresses of the other segment.
const OTHER_VIP: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 100);
const OTHER_VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x78, 0, 0, 0, 0, 0x100);

/// The shortest number of copies that proves something.
const COPIES: usize = 5;

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

/// The address that a host advertises from on the other segment.
fn other_source(host: &Host, family_of: IpAddr) -> IpAddr {
    match family_of {
        IpAddr::V4(_) => Ipv4Addr::new(10, 78, 0, host.number()).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, host.number().into()).into(),
    }
}

/// The advertisements of a source since `start`, as they were on the wire.
fn advertisements(tap: &Tap, source: IpAddr, start: Instant) -> Vec<Vec<u8>> {
    let is_meant = |frame: &Frame| {
        let bytes = &frame.bytes;
        frame.at >= start
            && match source {
                IpAddr::V4(source) => {
                    bytes.get(23) == Some(&112) && bytes.get(26..30) == Some(&source.octets())
                }
                IpAddr::V6(source) => {
                    bytes.get(20) == Some(&112) && bytes.get(22..38) == Some(&source.octets())
                }
            }
    };
    tap.frames().into_iter().filter(is_meant).map(|frame| frame.bytes).collect()
}

/// True if the frame says that its sender stops (priority 0).
fn is_farewell(frame: &[u8], source: IpAddr) -> bool {
    frame[if source.is_ipv4() { 36 } else { 56 }] == 0
}

/// Two nodes on two segments, with an instance on each segment. Both instances have the same
/// virtual router ID and the same key. The first node is preferred on the first segment (`web`),
/// the second node on the other one (`lan`).
struct TwoSegments {
    group: Group,
    other_vip: IpAddr,
    /// What is dropped is gone: the other segment, and the host that listens there.
    _other: (Segment, Host),
    tap: Tap,
    /// Whose advertisements on the other segment are copied.
    source: IpAddr,
    agents: [Agent; 2],
}

impl TwoSegments {
    fn start(lab: &Lab, group: Group, other_vip: IpAddr) -> Self {
        let [one, two] = [&group.nodes[0], &group.nodes[1]];
        let other = Segment::another(lab, "other", [10, 78, 0]);
        for node in [one, two] {
            other.connect(node, "eth1");
            if other_vip.is_ipv6() {
                node.run("ip -6 address flush dev eth1");
                let own = other_source(node, other_vip);
                node.run(&format!("ip address add {own}/64 dev eth1 nodad"));
            }
        }
        let observer = other.host(1);
        let tap = Tap::start(&observer);
        let source = other_source(two, other_vip);
        let config = |web, lan| two_instances(lab, group.config(), other_vip, [web, lan]);
        let agents =
            [Agent::start(one, &config("150", "100")), Agent::start(two, &config("100", "200"))];
        group.taken_over_by(one);
        let vip = group.vip;
        within(BOUND, "each has the address of one segment", || {
            let first = one.holds(vip) && !one.holds(other_vip);
            first && two.holds(other_vip) && !two.holds(vip)
        });
        Self { group, other_vip, _other: (other, observer), tap, source, agents }
    }

    /// Copies what comes from the second node for a while. Returns the number of copies.
    fn copy_for(&self, raw: &Raw, length: Duration) -> usize {
        let (begin, mut copied) = (Instant::now(), 0);
        let [one, two] = [&self.group.nodes[0], &self.group.nodes[1]];
        while begin.elapsed() < length {
            let fresh = advertisements(&self.tap, self.source, begin);
            for frame in fresh.iter().skip(copied) {
                raw.send(frame);
            }
            copied = fresh.len();
            let vip = self.group.vip;
            assert!(one.holds(vip) && !two.holds(vip), "a copy has moved the address");
            sleep(Duration::from_millis(10));
        }
        copied
    }

    /// The second node leaves the other segment. Its farewells there are copied.
    fn copy_farewells(&self, raw: &Raw, begin: Instant) {
        let farewells = || {
            let mut frames = advertisements(&self.tap, self.source, begin);
            frames.retain(|frame| is_farewell(frame, self.source));
            frames
        };
        within(BOUND, "a farewell", || !farewells().is_empty());
        for frame in farewells() {
            raw.send(&frame);
        }
    }
}

fn two_instances(lab: &Lab, config: Config, other_vip: IpAddr, priorities: [&str; 2]) -> Config {
    let [web, lan] = priorities;
    let config = with_keys(config.set("priority", web), lab, &[1], "");
    let config = config.instance("lan", VRID, other_vip).set("interface", "eth1");
    with_keys(config.set("priority", lan), lab, &[1], "")
}

/// The advertisements of the second node on the other segment, and its farewell there, copied to
/// the first segment while they are fresh, change nothing. They are counted under this reason.
fn are_refused(lab: &Lab, segments: &TwoSegments, reason: &str) {
    let raw = Raw::open(&segments.group.watcher);
    let yielded = |agent: &Agent| agent.log().matches("web: active -> ").count();
    let before = yielded(&segments.agents[0]);
    let count = segments.copy_for(&raw, Duration::from_secs(2));
    assert!(count >= COPIES, "{count} copies");
    let begin = Instant::now();
    segments.agents[1].signal(Signal::SIGTERM);
    segments.copy_farewells(&raw, begin);
    let TwoSegments { group, agents: [first, _second], other_vip, .. } = segments;
    let one = &group.nodes[0];
    let counted = || refused(one, "web")[reason].as_u64().unwrap_or_default();
    within(BOUND, "all are refused", || counted() > count as u64);
    lab.note(format!("refused: {}", refused(one, "web")));
    assert_eq!(yielded(first), before, "{}", first.log());
    group.stays_with(one, Duration::from_millis(500));
    within(BOUND, "it takes over where the farewell belongs", || one.holds(*other_vip));
    first.reports(&["are refused: "]);
}

/// Bug guarded: a signed advertisement copied to another interface of the group took an address
/// down without the key. Over IPv4 the source of a copy is in no network of the interface.
pub(crate) fn of_another_segment(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    are_refused(lab, &TwoSegments::start(lab, group, OTHER_VIP.into()), "foreign_source");
}

/// Bug guarded: the same over IPv6. A link-local source fits every interface, and both virtual
/// routers have the same link-local address, which follows from their number. The other addresses
/// give the copy away.
pub(crate) fn of_another_ipv6_segment(lab: &Lab) {
    let group = Group::ipv6(lab, &[11, 12]);
    are_refused(lab, &TwoSegments::start(lab, group, OTHER_VIP6.into()), "foreign_addresses");
}
