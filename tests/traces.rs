//! Recordings of short lives of one node (`tests/traces/*.jsonl`): a fresh engine must answer each
//! of them as the recorded one did. What changes in one of these files changes what vipd does.
//!
//! `VIPD_BLESS=1 cargo test --test traces` plays the scripts below and writes the files anew; read
//! the difference before committing it.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    reason = "a test may fail loudly, reads files, and uses a part of the page it includes"
)]

#[path = "engine/node.rs"]
mod node;

use std::path::{Path, PathBuf};
use std::{env, fs};

use node::{PEER, VIRTUAL, advertisement, eth0, from_peer, instance, link, now, packet};
use vipd::engine::{
    Action, Change, Engine, HookOwner, Input, Link, LinkAddress, Packet, ProbeResult, SystemError,
};
use vipd::model::{
    Config, GroupName, InstanceConfig, InstanceName, InterfaceName, InterfaceProbe,
    Node as ConfiguredNode, NodeName, Notify, Phase, Probe, SyncGroup, TrackConfig, TrackName,
    VirtualAddress,
};
use vipd::time::Span;
use vipd::trace::{Header, Reader, Step, Writer, replay};
use vipd::vrrp::auth::Proof;
use vipd::vrrp::packet::ChecksumForm;

/// Half an hour after boot.
const START: u64 = 1_800_000;

/// A node, and all that has happened to it.
struct Scripted {
    engine: Engine,
    millis: u64,
    steps: Vec<Step>,
}

impl Scripted {
    fn tell(&mut self, input: Input) -> Vec<Action> {
        let at = now(self.millis);
        let actions = self.engine.handle(at, input.clone());
        self.steps.push(Step { at, input, actions: actions.clone() });
        for opened in node::opened(&actions) {
            self.tell(opened);
        }
        actions
    }

    /// Lets this much time pass, with every deadline in it.
    fn pass(&mut self, millis: u64) {
        let end = self.millis + millis;
        while let Some(due) = self.engine.next_deadline().map(|d| d.at.0.div_ceil(1_000_000)) {
            if due > end {
                break;
            }
            self.millis = self.millis.max(due);
            self.tell(Input::Deadline);
        }
        self.millis = end;
    }

    fn hear(&mut self, bytes: Vec<u8>) {
        let arrived = now(self.millis).mono;
        let (packet, proof) = (Packet::V4 { bytes }, Proof::None);
        self.tell(Input::Received { interface: eth0(), arrived, packet, proof });
    }

    /// The peer advertises each second for so many seconds.
    fn hear_each_second(&mut self, priority: u8, seconds: u64) {
        for _ in 0..seconds {
            self.hear(from_peer(priority));
            self.pass(1_000);
        }
    }

    fn link(&mut self, link: Option<Link>) {
        self.tell(Input::Link { interface: eth0(), link });
    }
}

fn name(text: &str) -> NodeName {
    NodeName::try_from(text).unwrap()
}

fn config() -> Config {
    let of = |text, address| ConfiguredNode { name: name(text), address, others: Vec::new() };
    Config {
        this_node: Some(name("left")),
        nodes: vec![of("left", node::OURS), of("right", PEER)],
        instances: vec![instance(100)],
        ..Config::default()
    }
}

/// Nobody is there, a better router comes, and dies.
fn silence(node: &mut Scripted) {
    node.link(Some(link()));
    node.pass(16_000);
    node.hear_each_second(200, 3);
    node.pass(8_000);
    node.hear(packet(&advertisement(50), PEER, ChecksumForm::Message));
    node.pass(2_000);
}

/// It preempts, hands over, and is stopped as a backup.
fn moves(node: &mut Scripted) {
    node.link(Some(link()));
    node.hear_each_second(50, 5);
    let instance = InstanceName::try_from("web").unwrap();
    node.tell(Input::Handover { request: 1, instance: instance.clone(), to: None });
    node.pass(500);
    node.hear_each_second(50, 5);
    node.tell(Input::Handover { request: 2, instance, to: Some(name("right")) });
    node.tell(Input::Stop);
}

/// Its link goes, its interface goes, it is frozen, and it stops while it is alone.
fn trouble(node: &mut Scripted) {
    node.link(Some(link()));
    node.pass(6_000);
    node.link(Some(Link { carrier: false, ..link() }));
    node.pass(500);
    node.link(Some(link()));
    node.pass(6_000);
    node.link(None);
    node.link(Some(Link { index: 7, ..link() }));
    node.pass(6_000);
    node.millis += 10_000;
    node.tell(node::gone(VIRTUAL));
    node.hear(from_peer(50));
    node.pass(5_000);
    node.tell(Input::Resumed { length: Span::from_secs(3_600) });
    node.pass(5_000);
    node.tell(Input::Stop);
    node.pass(3_000);
}

/// The system refuses this and that.
fn refusals(node: &mut Scripted) {
    node.link(Some(link()));
    let listen = node.steps[0].actions[0].clone();
    let error = SystemError { errno: 1, text: "Operation not permitted".to_owned() };
    let fail = |node: &mut Scripted, action: &Action| {
        let action = Box::new(action.clone());
        node.tell(Input::Failed { action, error: error.clone() });
    };
    fail(node, &listen);
    node.pass(6_500);
    for _ in 0..3 {
        let last = node.steps.iter().rev().flat_map(|step| &step.actions);
        let add =
            last.clone().find(|action| matches!(action, Action::Change(Change::AddAddress { .. })));
        let add = add.expect("it took over").clone();
        fail(node, &add);
        node.pass(100);
    }
    node.pass(15_000);
}

/// A check comes by reload, passes, fails and lowers the priority, is stirred, hangs, and goes.
fn checks(node: &mut Scripted) {
    let track = TrackName::try_from("disk").unwrap();
    let probe = InterfaceProbe { name: eth0() };
    let check = TrackConfig {
        name: track.clone(),
        probe: Probe::Interface(probe),
        interval: Span::from_secs(1),
        timeout: Span::from_secs(1),
        rise: 2,
        fall: 2,
        cost: Some(30),
        flap: None,
    };
    let instances = vec![InstanceConfig { tracks: vec![track.clone()], ..instance(100) }];
    let with_check = Config { instances, tracks: vec![check], ..config() };
    node.link(Some(link()));
    node.tell(Input::Reload { config: Box::new(with_check) });
    for passes in [true, true, true, false, false, true] {
        node.pass(1_001);
        let last = node.steps.iter().rev().flat_map(|step| &step.actions);
        let look = last.clone().find_map(|action| match action {
            Action::Probe { number, .. } => Some(*number),
            _ => None,
        });
        let answer = if passes { ProbeResult::Passed } else { ProbeResult::Failed };
        let (number, result) = (look.expect("it looks"), answer("eth0".to_owned()));
        node.tell(Input::Probed { track: track.clone(), number, result });
        node.tell(Input::Stirred { track: track.clone() });
    }
    node.pass(3_000);
    node.tell(Input::Reload { config: Box::new(config()) });
    node.pass(1_000);
}

/// A sync group with hooks comes by reload, waits for one, is told of a fault, and goes.
fn group(node: &mut Scripted) {
    let eth1 = InterfaceName::try_from("eth1").unwrap();
    let lan = InstanceConfig {
        name: InstanceName::try_from("lan").unwrap(),
        interface: eth1.clone(),
        addresses: vec![VirtualAddress {
            address: [10, 0, 1, 100].into(),
            ..node::virtual_address()
        }],
        ..instance(100)
    };
    let lan_link = |carrier| {
        let own = LinkAddress { address: [10, 0, 1, 10].into(), prefix: 24, secondary: false };
        let link = Some(Link { index: 3, carrier, addresses: vec![own], ..link() });
        Input::Link { interface: eth1.clone(), link }
    };
    let program = |phase: Phase| (phase, vec![format!("/hooks/{phase}")]);
    let notify = Notify {
        programs: [Phase::Script, Phase::BeforeClaim].map(program).into(),
        timeout: Notify::TIMEOUT,
        retries: 1,
        ..Notify::default()
    };
    let members = vec![instance(100).name, lan.name.clone()];
    let gateway = SyncGroup { name: GroupName::try_from("gateway").unwrap(), members, notify };
    let instances = vec![instance(100), lan];
    let grouped = Config { instances, sync_groups: vec![gateway.clone()], ..config() };
    node.link(Some(link()));
    node.tell(Input::Reload { config: Box::new(grouped) });
    node.tell(lan_link(true));
    let owner = HookOwner::Group(gateway.name);
    let end = |node: &mut Scripted, number, result| {
        node.tell(Input::Hooked { owner: owner.clone(), number, result });
    };
    end(node, 1, ProbeResult::Passed("told".to_owned()));
    node.pass(5_000);
    end(node, 2, ProbeResult::Passed(String::new()));
    end(node, 3, ProbeResult::Failed("exit code 1".to_owned()));
    node.pass(1_500);
    end(node, 4, ProbeResult::Passed(String::new()));
    node.tell(lan_link(false));
    node.tell(Input::Reload { config: Box::new(config()) });
    node.pass(500);
}

/// A script, and the name of the file that it makes.
type Script = (&'static str, fn(&mut Scripted));

const SCRIPTS: [Script; 6] = [
    ("silence", silence),
    ("moves", moves),
    ("trouble", trouble),
    ("refusals", refusals),
    ("checks", checks),
    ("group", group),
];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces").join(name).with_extension("jsonl")
}

fn bless() {
    for (name, script) in SCRIPTS {
        let start = now(START);
        let engine = Engine::new(config(), start);
        let mut node = Scripted { engine, millis: START, steps: Vec::new() };
        script(&mut node);
        let mut text = Vec::new();
        let mut writer = Writer::new(&mut text, &Header::new(start, config())).unwrap();
        node.steps.iter().for_each(|step| writer.step(step).unwrap());
        writer.flush().unwrap();
        fs::write(file(name), text).unwrap();
    }
}

/// Rule: the engine is a function of its inputs, and what it makes of them changes only on
/// purpose.
#[test]
fn recordings_replay() {
    if env::var("VIPD_BLESS").is_ok() {
        bless();
    }
    for (name, _) in SCRIPTS {
        let text = fs::read(file(name)).expect("a recording");
        let reader = Reader::new(text.as_slice()).unwrap();
        let replayed = replay(reader, |_| {}).unwrap_or_else(|why| panic!("{name}: {why:?}"));
        assert!(replayed.steps > 10, "{name} has {} steps", replayed.steps);
        assert_eq!(replayed.cut_short, None, "{name}");
    }
}
