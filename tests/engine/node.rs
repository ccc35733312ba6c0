//! One engine with one instance, fed by hand.

#[path = "../world/written.rs"]
mod written;

use std::net::{IpAddr, Ipv4Addr};

use vipd::engine::story::StateName;
use vipd::engine::{
    Action, Change, Engine, Input, Link, LinkAddress, Loss, Packet, Status, SystemError,
};
use vipd::model::{
    ChecksumStyle, Config, IfAllFail, InstanceConfig, InstanceName, InterfaceName, Interval, Mac,
    Preempt, Priority, Scope, Transport, Version, VirtualAddress, Vrid,
};
use vipd::time::{Mono, Now, Span, Wall};
use vipd::vrrp::auth::Proof;
use vipd::vrrp::packet::{Advertisement, Authentication, ChecksumForm};

use written::Written;

pub(crate) const OURS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 10));
pub(crate) const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 11));
pub(crate) const VIRTUAL: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 100));
pub(crate) const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18));

pub(crate) fn eth0() -> InterfaceName {
    InterfaceName::try_from("eth0").unwrap()
}

/// Another program has taken this address off.
pub(crate) fn gone(address: IpAddr) -> Input {
    Input::AddressGone { interface: eth0(), address, loss: Loss::Removed }
}

pub(crate) fn virtual_address() -> VirtualAddress {
    VirtualAddress { address: VIRTUAL, prefix: 24, dev: None, label: None, scope: Scope::Global }
}

pub(crate) fn instance(priority: u8) -> InstanceConfig {
    InstanceConfig {
        notify: vipd::model::Notify::default(),
        name: InstanceName::try_from("web").unwrap(),
        interface: eth0(),
        further_interfaces: Vec::new(),
        transport: Transport::STANDARD,
        virtual_router_id: Vrid::try_from(51).unwrap(),
        version: Version::V3,
        priority: Priority::try_from(priority).unwrap(),
        advertisement_interval: Interval::ONE_SECOND,
        maximum_interval: Interval::LONGEST_V3,
        addresses: vec![virtual_address()],
        extra_addresses: Vec::new(),
        routes: Vec::new(),
        rules: Vec::new(),
        preempt: Preempt::Always,
        hold_down: Span::ZERO,
        link_down_delay: Span::ZERO,
        link_up_delay: Span::ZERO,
        lease: Some(Span::from_secs(3)),
        announce_refresh: Span::from_secs(60),
        checksum: ChecksumStyle::Auto,
        tracks: Vec::new(),
        if_all_fail: IfAllFail::Release,
        authentication: vipd::model::Authentication::None,
        virtual_mac: false,
    }
}

pub(crate) fn link() -> Link {
    let own = |address, secondary| LinkAddress { address, prefix: 24, secondary };
    Link {
        index: 2,
        mac: Some(Mac([2, 0, 0, 0, 0, 10])),
        up: true,
        carrier: true,
        mtu: 1500,
        addresses: vec![own(OURS, false)],
        unusable: Vec::new(),
        forwards_ipv6: false,
    }
}

/// An engine with one instance, and its time in milliseconds.
pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) millis: u64,
    /// The list that `vipd release` would find.
    pub(crate) written: Written,
}

impl Node {
    pub(crate) fn new(config: InstanceConfig) -> Self {
        engine_of(Config { instances: vec![config], ..Config::default() })
    }

    /// An engine that knows nothing of its interfaces.
    pub(crate) fn unlinked(config: Config) -> Self {
        Self::unlinked_at(1_000_000, config)
    }

    pub(crate) fn unlinked_at(millis: u64, config: Config) -> Self {
        Self { engine: Engine::new(config, now(millis)), millis, written: Written::default() }
    }

    /// Hands in one input, and that the sockets that it leads to are open.
    pub(crate) fn tell(&mut self, input: Input) -> Vec<Action> {
        let mut actions = self.engine.handle(now(self.millis), input);
        for opened in opened(&actions) {
            actions.extend(self.engine.handle(now(self.millis), opened));
        }
        for action in &actions {
            if let Action::WriteDown { routers } = action {
                self.written.note(routers);
            }
        }
        actions
    }

    /// Lets time pass to the engine's next deadline.
    pub(crate) fn next(&mut self) -> Vec<Action> {
        let at = self.engine.next_deadline().expect("something is due").at;
        self.millis = at.0.div_ceil(1_000_000);
        self.tell(Input::Deadline)
    }

    /// Lets time pass until it sends something: the source and the message.
    pub(crate) fn next_sent(&mut self) -> (IpAddr, Vec<u8>) {
        loop {
            let sent = self.next().into_iter().find_map(|action| match action {
                Action::Send { source, message, .. } => Some((source, message)),
                _ => None,
            });
            if let Some(sent) = sent {
                return sent;
            }
        }
    }

    /// A node that has taken over after silence.
    pub(crate) fn active(priority: u8) -> Self {
        let mut node = Self::new(instance(priority));
        node.next();
        assert_eq!(node.state(), StateName::Active);
        node
    }

    pub(crate) fn hear(&mut self, bytes: Vec<u8>) -> Vec<Action> {
        let arrived = now(self.millis).mono;
        let packet = Packet::V4 { bytes };
        let proof = Proof::None;
        self.tell(Input::Received { interface: eth0(), arrived, packet, proof })
    }

    pub(crate) fn fail(&mut self, action: &Action, errno: i32) -> Vec<Action> {
        let error = SystemError { errno, text: "refused".to_owned() };
        self.tell(Input::Failed { action: Box::new(action.clone()), error })
    }

    pub(crate) fn status(&self) -> Status {
        self.engine.status(now(self.millis))
    }

    pub(crate) fn state(&self) -> StateName {
        self.status().instances[0].state
    }
}

/// Every socket of these actions is open.
pub(crate) fn opened(actions: &[Action]) -> Vec<Input> {
    let opened = |action: &Action| match action {
        Action::Listen { interface, family, .. } => {
            let (interface, family, missing) = (interface.clone(), *family, Vec::new());
            Some(Input::Listening { interface, family, missing })
        }
        _ => None,
    };
    actions.iter().filter_map(opened).collect()
}

/// An engine with this configuration whose interface is up.
pub(crate) fn engine_of(config: Config) -> Node {
    let mut node = Node::unlinked(config);
    let actions = node.tell(Input::Link { interface: eth0(), link: Some(link()) });
    assert!(matches!(actions[0], Action::Listen { index: 2, .. }), "{actions:?}");
    node
}

pub(crate) fn now(millis: u64) -> Now {
    let nanos = millis * 1_000_000;
    Now { mono: Mono(nanos), wall: Wall(1_800_000_000_000_000_000 + nanos) }
}

pub(crate) fn advertisement(priority: u8) -> Advertisement {
    Advertisement {
        version: Version::V3,
        virtual_router_id: Vrid::try_from(51).unwrap(),
        priority,
        interval: Interval::ONE_SECOND,
        addresses: vec![VIRTUAL],
        authentication: Authentication::None,
    }
}

/// A packet from `source`, as a raw socket hands it over.
pub(crate) fn packet(advertisement: &Advertisement, source: IpAddr, form: ChecksumForm) -> Vec<u8> {
    let message = advertisement.encode(source, GROUP, form).unwrap();
    let (IpAddr::V4(source), IpAddr::V4(group)) = (source, GROUP) else { panic!("IPv4 only") };
    let mut bytes = vec![0x45, 0xc0, 0, u8::try_from(20 + message.len()).unwrap()];
    bytes.extend([0, 0, 0, 0, 255, 112, 0, 0]);
    bytes.extend(source.octets());
    bytes.extend(group.octets());
    bytes.extend(message);
    bytes
}

pub(crate) fn from_peer(priority: u8) -> Vec<u8> {
    packet(&advertisement(priority), PEER, ChecksumForm::WithPseudoHeader)
}

pub(crate) fn kinds(actions: &[Action]) -> Vec<&'static str> {
    let kind = |action: &Action| match action {
        Action::Listen { .. } => "listen",
        Action::StopListening { .. } => "stop listening",
        Action::Send { message, .. } if message[2] == 0 => "priority 0",
        Action::Send { .. } => "advertise",
        Action::Change(Change::AddAddress { .. }) => "add",
        Action::Change(Change::RemoveAddress { .. }) => "remove",
        // A probe says of nobody that he has the address.
        Action::Change(Change::AddDevice { .. }) => "add device",
        Action::Change(Change::RemoveDevice { .. }) => "remove device",
        Action::Change(Change::SetDevice { up: true, .. }) => "device up",
        Action::Change(Change::SetDevice { up: false, .. }) => "device down",
        Action::Announce { frame, .. } if is_arp(frame) && frame[28..32] == [0; 4] => "probe",
        Action::Announce { .. } => "announce",
        Action::Change(Change::AddRouting { again: true, .. }) => "look after",
        Action::Change(Change::AddRouting { .. }) => "add routing",
        Action::Change(Change::RemoveRouting { .. }) => "remove routing",
        Action::WriteDown { .. } => "write down",
        Action::Watch { .. } => "watch",
        Action::Probe { .. } => "look",
        Action::CancelProbe { .. } => "look away",
        Action::Hook { .. } => "hook",
        Action::CancelHook { .. } => "cancel hook",
        Action::Answer { .. } => "answer",
        Action::Report(_) => "report",
        Action::Exit => "exit",
    };
    actions.iter().map(kind).collect()
}

fn is_arp(frame: &[u8]) -> bool {
    frame[12..14] == [0x08, 0x06]
}

pub(crate) fn told(actions: &[Action]) -> String {
    let line = |action: &Action| match action {
        Action::Report(event) => Some(event.to_string()),
        _ => None,
    };
    actions.iter().filter_map(line).collect::<Vec<_>>().join("\n")
}
