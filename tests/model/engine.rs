//! The whole engine as a daemon, as it ships.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use vipd::engine::story::StateName;
use vipd::engine::{
    Action, Change, Engine, HeldRouter, Input, Link, LinkAddress, ProbeResult, SystemError,
};
use vipd::model::{InstanceName, InterfaceName, Mac, TrackName};
use vipd::time::{Mono, Now, Span, Wall};
use vipd::vrrp::auth::Proof;

use crate::daemon::{Daemon, Deed, Frame, News, Note};
use crate::packet::{message, packet, received};
use crate::setup::{Setup, VIRTUAL, own_address};

/// Too late: `ETIME`.
const ETIME: i32 = 62;

/// A whole IP packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Packet(Arc<[u8]>);

impl Frame for Packet {
    fn is_farewell(&self) -> bool {
        message(&self.0)[2] == 0
    }

    fn corrupted(&self) -> Option<Self> {
        let mut bytes = self.0.to_vec();
        // The last byte is part of an address: the checksum does not fit any more.
        *bytes.last_mut()? ^= 1;
        Some(Self(bytes.into()))
    }

    fn words(&self) -> String {
        match message(&self.0)[2] {
            0 => "a farewell".to_owned(),
            priority => format!("an advertisement with priority {priority}"),
        }
    }
}

/// An engine on its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WholeEngine {
    node: usize,
    engine: Engine,
}

impl std::hash::Hash for WholeEngine {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.engine.hash(state);
    }
}

impl Daemon for WholeEngine {
    type Frame = Packet;

    fn start(setup: &Setup, node: usize, now: Mono) -> (Self, Vec<Deed<Packet>>) {
        let engine = Engine::new(setup.config(node, false).clone(), at(now));
        let mut daemon = Self { node, engine };
        let link = Input::Link { interface: eth0(), link: Some(link(node)) };
        let deeds = daemon.hand_in(now, link);
        (daemon, deeds)
    }

    fn tell(&mut self, setup: &Setup, now: Mono, news: News<Packet>) -> Vec<Deed<Packet>> {
        let input = match news {
            News::Heard(frame, arrived) => Input::Received {
                interface: eth0(),
                arrived,
                packet: received(frame.0.to_vec()),
                proof: Proof::None,
            },
            News::Due => Input::Deadline,
            News::HandOver => Input::Handover { request: 1, instance: web(), to: None },
            News::Stop => Input::Stop,
            News::Reload { reloaded } => {
                Input::Reload { config: Box::new(setup.config(self.node, reloaded).clone()) }
            }
            News::Probed { number, well } => {
                Input::Probed { track: check(), number, result: result(well) }
            }
            News::Slept(length) => Input::Resumed { length },
            News::Expired => Input::AddressGone {
                interface: eth0(),
                address: VIRTUAL,
                loss: vipd::engine::Loss::Expired,
            },
            News::TooLate { lease, not_after } => self.too_late(lease, not_after),
        };
        self.hand_in(now, input)
    }

    fn deadline(&self) -> Option<Mono> {
        self.engine.next_deadline().map(|deadline| deadline.at)
    }

    fn is_active(&self, now: Mono) -> bool {
        let mut instances = self.engine.status(at(now)).instances.into_iter();
        instances.any(|instance| instance.state == StateName::Active)
    }

    fn is_leaving(&self, now: Mono) -> bool {
        self.engine.status(at(now)).instances.iter().any(|instance| instance.leaving)
    }
}

impl WholeEngine {
    /// Hands in an input, and that the sockets are open that the engine wants.
    fn hand_in(&mut self, now: Mono, input: Input) -> Vec<Deed<Packet>> {
        let mut deeds = Vec::new();
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for action in self.engine.handle(at(now), input) {
                if let Action::Listen { interface, family, .. } = action {
                    inputs.push_back(Input::Listening { interface, family, missing: Vec::new() });
                } else {
                    deeds.extend(deed(action));
                }
            }
        }
        deeds
    }

    fn too_late(&self, lease: Option<Span>, not_after: Mono) -> Input {
        let address = self.engine.config().instances[0].addresses[0].clone();
        let add = Change::AddAddress { interface: eth0(), address, lease, not_after };
        let error = SystemError { errno: ETIME, text: "too late".to_owned() };
        Input::Failed { action: Box::new(Action::Change(add)), error }
    }
}

/// What an action does in this small a world; `None`: nothing.
fn deed(action: Action) -> Option<Deed<Packet>> {
    Some(match action {
        Action::Send { source, destination, message, .. } => {
            Deed::Send(on_the_wire(source, destination, &message))
        }
        Action::WriteDown { routers } => Deed::WriteDown(note(routers.last()?)),
        Action::Change(Change::AddAddress { lease, not_after, .. }) => {
            Deed::Add { lease, not_after }
        }
        Action::Change(Change::RemoveAddress { .. }) => Deed::Remove,
        Action::Probe { number, .. } => Deed::Look { number },
        Action::Exit => Deed::End,
        Action::Report(event) => Deed::Tell(event.to_string()),
        Action::Answer { answer, .. } => Deed::Tell(answer.to_string()),
        _ => return None,
    })
}

fn note(router: &HeldRouter) -> Option<Note<Packet>> {
    let farewells = router
        .farewells
        .iter()
        .map(|farewell| on_the_wire(farewell.source, farewell.destination, &farewell.message));
    (!router.is_empty())
        .then(|| Note { address: !router.addresses.is_empty(), farewells: farewells.collect() })
}

fn on_the_wire(source: IpAddr, destination: IpAddr, message: &[u8]) -> Packet {
    Packet(packet(source, destination, message).into())
}

/// The wall clock is a function of the other one, so that it tells nothing more.
fn at(now: Mono) -> Now {
    Now { mono: now, wall: Wall(1_800_000_000_000_000_000 + now.0) }
}

fn link(node: usize) -> Link {
    let last = u8::try_from(node).expect("few nodes");
    Link {
        index: 2,
        mac: Some(Mac([2, 0, 0, 0, 0, last])),
        up: true,
        carrier: true,
        mtu: 1500,
        addresses: vec![LinkAddress { address: own_address(node), prefix: 24, secondary: false }],
        unusable: Vec::new(),
        forwards_ipv6: false,
    }
}

fn result(well: bool) -> ProbeResult {
    if well { ProbeResult::Passed(String::new()) } else { ProbeResult::Failed("broken".to_owned()) }
}

fn eth0() -> InterfaceName {
    InterfaceName::try_from("eth0").expect("valid")
}

fn web() -> InstanceName {
    InstanceName::try_from("web").expect("valid")
}

fn check() -> TrackName {
    TrackName::try_from("check").expect("valid")
}
