//! Two nodes to tell of: one where all is well, and one where much is not.

use vipd::api::{EventRecord, FileStatus, LoopStatus, Snapshot};
use vipd::engine::story::Severity;
use vipd::engine::{Action, Input, ProbeResult};
use vipd::histogram::Histogram;
use vipd::model::{
    Config, FileCondition, FileProbe, InstanceConfig, Node as ConfiguredNode, Notify, Phase,
    Preempt, Probe, TrackConfig, Version, VirtualAddress,
};
use vipd::time::Span;
use vipd::vrrp::auth::Proof;
use vipd::vrrp::packet::{Advertisement, ChecksumForm};

use crate::node::{
    Node, OURS, PEER, VIRTUAL, advertisement, eth0, instance, link, now, packet, virtual_address,
};

const START: u64 = 1_000_000;

/// One active instance, three minutes after the start.
pub(crate) fn healthy() -> Snapshot {
    let mut scene = Scene::new(Config { instances: vec![instance(200)], ..nodes() });
    scene.tell(Input::Link { interface: eth0(), link: Some(link()) });
    scene.run(180, |_, _| {});
    scene.snapshot()
}

/// All that can be said of an instance is said of one of four.
pub(crate) fn eventful() -> Snapshot {
    let mut scene = Scene::new(config());
    scene.tell(Input::Link { interface: eth0(), link: Some(link()) });
    scene.tell(Input::Link { interface: "eth1".try_into().unwrap(), link: None });
    let old = Some("old".try_into().unwrap());
    scene.tell(Input::Standby { request: 1, instance: old, force: false });
    scene.run(240, |scene, second| {
        scene.hear(PEER, &of(52, 152, 200));
        if second > 100 {
            // A router with another list of addresses, and one that speaks another version.
            let drift = Advertisement {
                addresses: vec![VIRTUAL, [10, 0, 0, 5].into()],
                ..advertisement(50)
            };
            scene.hear(PEER, &drift);
            let old = Advertisement { version: Version::V2, ..advertisement(150) };
            scene.hear([10, 0, 0, 77].into(), &old);
            scene.hear([10, 0, 0, 78].into(), &of(99, 199, 100));
        }
    });
    let mut snapshot = scene.snapshot();
    snapshot.file.refused =
        vec!["/etc/vipd/vipd.yaml:7:5: instances.web.prioritty: unknown key".to_owned()];
    snapshot.notes = vec!["no real-time scheduling: set LimitRTPRIO=10".to_owned()];
    snapshot
}

fn nodes() -> Config {
    let of = |text: &str, address| ConfiguredNode {
        name: text.try_into().unwrap(),
        address,
        others: Vec::new(),
    };
    Config {
        this_node: Some("node1".try_into().unwrap()),
        nodes: vec![of("node1", OURS), of("node2", PEER)],
        ..Config::default()
    }
}

fn config() -> Config {
    let web = InstanceConfig {
        tracks: vec!["db".try_into().unwrap()],
        notify: Notify {
            programs: [(Phase::AfterClaim, vec!["/etc/vipd/after".to_owned()])].into(),
            timeout: Span::from_secs(10),
            ..Notify::default()
        },
        ..instance(100)
    };
    let mail = InstanceConfig {
        preempt: Preempt::Never,
        tracks: vec!["disk".try_into().unwrap()],
        ..other("mail", 52)
    };
    let lan = InstanceConfig { interface: "eth1".try_into().unwrap(), ..other("lan", 53) };
    Config {
        tracks: vec![track("db", Some(40)), track("disk", None)],
        instances: vec![web, mail, lan, other("old", 54)],
        ..nodes()
    }
}

fn other(name: &str, number: u8) -> InstanceConfig {
    let address = [10, 0, 0, 100 + number].into();
    InstanceConfig {
        name: name.try_into().unwrap(),
        virtual_router_id: number.try_into().unwrap(),
        addresses: vec![VirtualAddress { address, ..virtual_address() }],
        ..instance(100)
    }
}

fn track(name: &str, cost: Option<u8>) -> TrackConfig {
    let probe = FileProbe { path: "/run/ready".into(), condition: FileCondition::Present };
    TrackConfig {
        name: name.try_into().unwrap(),
        probe: Probe::File(probe),
        interval: Span::from_secs(1),
        timeout: Span::from_millis(500),
        rise: 1,
        fall: 1,
        cost,
        flap: None,
    }
}

/// An advertisement of the virtual router with this number, for one address.
fn of(number: u8, last: u8, priority: u8) -> Advertisement {
    Advertisement {
        virtual_router_id: number.try_into().unwrap(),
        addresses: vec![[10, 0, 0, last].into()],
        ..advertisement(priority)
    }
}

/// A node and what its shell remembers of what was told.
struct Scene {
    node: Node,
    events: Vec<EventRecord>,
}

impl Scene {
    fn new(config: Config) -> Self {
        Self { node: Node::unlinked_at(START, config), events: Vec::new() }
    }

    fn hear(&mut self, source: std::net::IpAddr, said: &Advertisement) {
        let form = match said.version {
            Version::V2 => ChecksumForm::Message,
            Version::V3 => ChecksumForm::WithPseudoHeader,
        };
        let bytes = packet(said, source, form);
        let arrived = now(self.node.millis).mono;
        let packet = vipd::engine::Packet::V4 { bytes };
        self.tell(Input::Received { interface: eth0(), arrived, packet, proof: Proof::None });
    }

    /// Lets this many seconds pass, with what happens in each.
    fn run(&mut self, seconds: u64, mut each: impl FnMut(&mut Self, u64)) {
        for second in 0..seconds {
            let end = START + (second + 1) * 1_000;
            each(self, second);
            while let Some(due) = self.node.engine.next_deadline() {
                let due = due.at.0.div_ceil(1_000_000);
                if due > end {
                    break;
                }
                self.node.millis = self.node.millis.max(due);
                self.tell(Input::Deadline);
            }
            self.node.millis = end;
        }
    }

    /// Hands it in and answers what the engine wants to know.
    fn tell(&mut self, input: Input) {
        for action in self.node.tell(input) {
            match action {
                Action::Probe { track, number } => {
                    let result = match track.as_str() {
                        "db" => ProbeResult::Failed("there is no /run/ready".to_owned()),
                        _ => ProbeResult::Passed("/run/ready is there".to_owned()),
                    };
                    self.tell(Input::Probed { track, number, result });
                }
                Action::Hook { owner, number, .. } => {
                    let result = ProbeResult::Failed("exit code 3: no route".to_owned());
                    self.tell(Input::Hooked { owner, number, result });
                }
                Action::Report(event) if event.severity() > Severity::Debug => {
                    let number = self.events.len() as u64 + 1;
                    let (severity, text) = (event.severity(), event.to_string());
                    let (at, instance) = (now(self.node.millis).wall, event.instance);
                    self.events.push(EventRecord { number, at, severity, instance, text });
                }
                _ => {}
            }
        }
    }

    fn snapshot(&self) -> Snapshot {
        let now = now(self.node.millis);
        let status = self.node.engine.status(now);
        let mut lateness = Histogram::of_lateness();
        (1..100).for_each(|micros| lateness.observe(Span::from_micros(micros)));
        let start = crate::node::now(START).wall;
        let path = "/etc/vipd/vipd.yaml".to_owned();
        Snapshot {
            format: Snapshot::FORMAT,
            vipd: "1.2.3".to_owned(),
            taken: now.wall,
            started: start,
            process: 4711,
            text: status.to_string(),
            status,
            file: FileStatus { path, loaded: start, refused: Vec::new(), awaited: Vec::new() },
            protocol_loop: LoopStatus { lateness, held_up: 2 },
            notes: Vec::new(),
            events: self.events.clone(),
        }
    }
}
