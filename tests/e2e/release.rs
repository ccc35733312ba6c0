//! `vipd release`: what a dead agent has left on the system goes, and the others hear of it.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use vipd::engine::{Farewell, HeldAddress, HeldRouter};
use vipd::model::{Scope, VirtualAddress};

use crate::forgery::Forgery;
use crate::lab::{Agent, BOUND, Group, Host, Lab, SHORTLY, VIP, VRID, program, within};

/// What a program wrote, and how it ended.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs `vipd release` on a host.
pub(crate) fn release(host: &Host) -> Answer {
    let mut command = Command::new(program("vipd"));
    command.arg("release").arg("--runtime-directory").arg(host.runtime_directory());
    let output = host.inside(|| command.output()).expect("vipd runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Answer { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// The instance `web` of this host, with these addresses on eth0.
pub(crate) fn router(host: &Host, addresses: &[Ipv4Addr]) -> HeldRouter {
    let address = |address: &Ipv4Addr| VirtualAddress {
        address: (*address).into(),
        prefix: 24,
        dev: None,
        label: None,
        scope: Scope::Global,
    };
    let eth0 = || "eth0".try_into().expect("a name");
    let held = |held| HeldAddress { interface: eth0(), address: address(held) };
    let farewell = Farewell {
        interface: eth0(),
        through: None,
        source: host.address().into(),
        destination: Ipv4Addr::new(224, 0, 0, 18).into(),
        message: Forgery::farewell().message(host.address()),
        secret: None,
    };
    HeldRouter {
        instance: "web".try_into().expect("a name"),
        addresses: addresses.iter().map(held).collect(),
        routing: Vec::new(),
        farewells: vec![farewell],
        devices: Vec::new(),
    }
}

/// Leaves what an agent that held this would have written down.
pub(crate) fn write_down(host: &Host, routers: &[HeldRouter]) {
    let text = json!({ "format": 1, "routers": routers }).to_string();
    leave(host, &text);
}

fn leave(host: &Host, text: &str) {
    fs::create_dir_all(host.runtime_directory()).expect("the runtime directory");
    fs::write(host.runtime_directory().join("held.json"), text).expect("the list");
}

fn is_written_down(host: &Host) -> bool {
    host.runtime_directory().join("held.json").exists()
}

/// Rule (invariant 4): exactly what is written down is removed, priority 0 is sent only after
/// that, and one line says so; released again, there is nothing to do.
pub(crate) fn exactly_what_is_written_down(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    assert_eq!(release(node).code, Some(0), "without a runtime directory");
    let (gone, foreign) = (Ipv4Addr::new(10, 77, 0, 101), Ipv4Addr::new(10, 77, 0, 102));
    for address in [VIP, foreign] {
        node.run(&format!("ip address add {address}/24 dev eth0"));
    }
    write_down(node, &[router(node, &[VIP, gone])]);
    let start = Instant::now();
    let answer = release(node);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert_eq!(answer.err, "");
    let line = format!(
        "web: {VIP}/24 taken off eth0, {gone}/24 had gone from eth0 already, priority 0 sent\n"
    );
    assert_eq!(answer.out, line);
    assert_eq!([VIP, foreign, node.address()].map(|a| node.holds(a)), [false, true, true]);
    within(BOUND, "priority 0 is heard", || group.said_goodbye(node, start));
    group.tap.advertisements().iter().for_each(|seen| {
        assert_eq!((seen.source, seen.virtual_router_id), (node.address().into(), VRID));
        assert_eq!(seen.priority, 0);
    });
    assert!(!is_written_down(node));

    let (heard, answer) = (group.tap.advertisements().len(), release(node));
    assert_eq!((answer.code, answer.out.as_str()), (Some(0), "nothing to release\n"));
    assert!(node.holds(foreign));
    assert_eq!(group.tap.advertisements().len(), heard, "something was sent");
}

/// Rule: where the addresses have gone by themselves somebody else has taken over, and a farewell
/// would only disturb them; a missing interface is no failure either.
pub(crate) fn nothing_is_left(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let mut elsewhere = router(node, &[VIP]);
    elsewhere.addresses[0].interface = "gone0".try_into().expect("a name");
    write_down(node, &[router(node, &[VIP]), elsewhere]);
    let answer = release(node);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert_eq!(answer.out.matches("nothing to tell the other nodes").count(), 2, "{answer:?}");
    assert!(!is_written_down(node));
    assert!(group.tap.advertisements().is_empty(), "something was sent");
}

/// Rule: while an agent runs, release is refused with 75 (`EX_TEMPFAIL`) and touches nothing, and
/// so is a second agent. The agent's end frees the directory, however it ends.
pub(crate) fn refused_while_an_agent_runs(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let agent = Agent::start(node, &group.config());
    group.taken_over_by(node);
    let answer = release(node);
    assert_eq!(answer.code, Some(75), "{answer:?}");
    let directory = node.runtime_directory().display().to_string();
    assert!(answer.err.contains("another vipd is running here (process "), "{answer:?}");
    assert!(answer.err.contains(&directory), "{answer:?}");
    let second = Agent::launch(node, &mut Agent::command(node, &group.config().yaml()));
    let (status, _, log) = second.exit();
    assert_eq!(status.code(), Some(75), "{status}: {log}");
    assert!(log.contains("--runtime-directory DIR"), "{log}");
    group.stays_with(node, SHORTLY);
    assert!(node.holds(VIP));
    agent.kill();
    assert_eq!(release(node).code, Some(0));
    let _agent = Agent::start(node, &group.config());
}

/// Rule: what cannot be understood is refused with 65 (`EX_DATAERR`), its name and what to do, and
/// nothing is touched; an agent starts all the same and says so.
pub(crate) fn damaged(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    node.run(&format!("ip address add {VIP}/24 dev eth0"));
    write_down(node, &[router(node, &[VIP])]);
    let path = node.runtime_directory().join("held.json");
    let whole = fs::read_to_string(&path).expect("the list");
    for bad in [&whole[..whole.len() - 9], &whole.replace("\"format\":1", "\"format\":99")] {
        leave(node, bad);
        let answer = release(node);
        assert_eq!(answer.code, Some(65), "{answer:?}");
        assert!(answer.err.contains(&path.display().to_string()), "{answer:?}");
        assert!(answer.err.contains("ip address del"), "{answer:?}");
        assert!(node.holds(VIP), "something was removed");
        assert_eq!(fs::read_to_string(&path).expect("the list"), *bad, "the list was touched");
    }
    assert!(group.tap.advertisements().is_empty(), "something was sent");
    let agent = Agent::start(node, &group.config());
    assert!(agent.log().contains("another version of vipd wrote it"), "{}", agent.log());
}

/// Rule: a failure to remove an address is said with its name and with 71, and the address stays
/// written down for the next attempt.
pub(crate) fn not_removed(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    node.run(&format!("ip address add {VIP}/24 dev eth0"));
    let mut held = router(node, &[VIP, VIP]);
    // The kernel refuses a prefix of this length.
    let impossible = VirtualAddress {
        address: "2001:db8::100".parse().expect("an address"),
        prefix: 200,
        ..held.addresses[1].address.clone()
    };
    held.addresses[1].address = impossible;
    write_down(node, &[held]);
    let answer = release(node);
    assert_eq!(answer.code, Some(71), "{answer:?}");
    assert!(answer.out.contains("2001:db8::100/200 CANNOT be taken off eth0"), "{answer:?}");
    assert!(!node.holds(VIP));
    let text = fs::read_to_string(node.runtime_directory().join("held.json")).expect("the list");
    assert!(text.contains("2001:db8::100") && !text.contains("\"prefix\":24"), "{text}");
    assert!(text.contains("\"farewells\":[]"), "{text}");
}

/// Rule: an agent that starts removes first what one before it has left, also what its own
/// configuration does not name, and says so.
pub(crate) fn swept_at_the_start(lab: &Lab) {
    let group = Group::new(lab, &[11]);
    let node = &group.nodes[0];
    let other = Ipv4Addr::new(10, 77, 0, 101);
    node.run(&format!("ip address add {other}/24 dev eth0"));
    write_down(node, &[router(node, &[other])]);
    let start = Instant::now();
    let agent = Agent::start(node, &group.config());
    assert!(!node.holds(other), "left by the one before");
    let told = format!("left by a vipd that did not end in an orderly way: web: {other}/24");
    assert!(agent.log().contains(&told), "{}", agent.log());
    within(BOUND, "priority 0 is heard", || group.said_goodbye(node, start));
    group.taken_over_by(node);
}

/// Rule: when the agent dies, release has a backup take over after its skew time rather than after
/// the active-down interval, and leaves nothing behind.
pub(crate) fn killed(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    // The active-down interval is more than 6 s, the skew time half a second. The lease leaves a
    // busy machine the time for the release.
    let config = group.config().set("advertisement_interval", "2s").set("lease", "20s");
    let [first, second] = [0, 1].map(|place| Agent::start(&group.nodes[place], &config));
    group.taken_over_by(&group.nodes[0]);
    second.reports(&["web: backup"]);
    let start = Instant::now();
    first.kill();
    let answer = release(&group.nodes[0]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(answer.out.contains(&format!("{VIP}/24 taken off eth0")), "{answer:?}");
    assert!(!group.nodes[0].holds(VIP), "released");
    let took = group.succession(&group.nodes[0], &group.nodes[1], start);
    group.taken_over_by(&group.nodes[1]);
    lab.note(format!(
        "farewell to takeover: {took:?}, longest gap of the client: {:?}",
        group.client.longest_gap(start)
    ));
    assert!(took < Duration::from_secs(6), "taken over only after {took:?}");
    second.reports(&["web: active", "node11 (10.77.0.11) stops"]);
}

/// Bug guarded: an address without a lease stayed forever on an interface that got another name.
/// The running agent forgot the address with the name, and `vipd release` found no interface of
/// that name.
pub(crate) fn renamed(lab: &Lab) {
    let group = Group::new(lab, &[11, 12]);
    let [node, other] = &group.nodes[..] else { panic!("two nodes") };
    let config = || group.config().set("lease", "off");
    let agent = Agent::start(node, &config());
    group.taken_over_by(node);
    let _other = Agent::start(other, &config());
    // While it is up: going down would be a fault before.
    let rename =
        |from: &str, to: &str| drop(node.run(&format!("ip link set dev {from} name {to}")));
    rename("eth0", "wan0");
    within(BOUND, "the address is taken off", || !node.holds(VIP));
    group.taken_over_by(other);
    rename("wan0", "eth0");
    group.taken_over_by(node);
    agent.kill();
    rename("eth0", "wan0");
    assert!(node.holds(VIP), "without a lease it stays");
    let answer = release(node);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(answer.out.contains(&format!("{VIP}/24 taken off wan0")), "{answer:?}");
    assert!(!node.holds(VIP));
}
