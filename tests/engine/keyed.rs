//! One engine with its keys and two clocks, and a router that signs.

use std::collections::BTreeMap;
use std::net::IpAddr;

use vipd::engine::story::StateName;
use vipd::engine::{Action, Discard, Engine, Input, Packet, Status};
use vipd::keyring::{KeyRing, Secrets, places};
use vipd::model::{
    AntiReplay, Authentication, Config, HmacAuthentication, HmacKey, HmacMode, InstanceConfig, Key,
    KeyId, Password, SecretSource, Window,
};
use vipd::time::{Mono, Now, Span, Wall};
use vipd::trace::Step;
use vipd::vrrp::auth::{Proof, Sequence, Stamper, unsigned};
use vipd::vrrp::packet::{Advertisement, ChecksumForm};

use crate::node::{GROUP, PEER, advertisement, eth0, instance, link, opened, packet};

/// The wall clock when the other one is zero.
pub(crate) const ZERO: Wall = Wall(1_800_000_000_000_000_000);

pub(crate) const TIME: AntiReplay = AntiReplay::Time(Window::DEFAULT);

pub(crate) const SECRET: &str =
    "hex:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

pub(crate) fn id(number: u8) -> KeyId {
    KeyId::try_from(number).unwrap()
}

pub(crate) fn key(number: u8) -> Key {
    let text = match number {
        1 => SECRET.to_owned(),
        other => format!("{other:032}"),
    };
    Key::parse(text.as_bytes()).unwrap()
}

pub(crate) fn hmac(mode: HmacMode, keys: &[u8], send: u8) -> HmacAuthentication {
    let key = |number: &u8| HmacKey { id: id(*number), source: SecretSource::Inline };
    let keys = keys.iter().map(key).collect();
    HmacAuthentication { mode, keys, send: Some(id(send)), anti_replay: TIME }
}

pub(crate) fn enforce() -> Authentication {
    Authentication::Hmac(hmac(HmacMode::Enforce, &[1], 1))
}

pub(crate) fn with(priority: u8, authentication: Authentication) -> InstanceConfig {
    InstanceConfig { authentication, ..instance(priority) }
}

pub(crate) fn ring(keys: &[u8]) -> KeyRing {
    let mut ring = KeyRing::default();
    let keys = keys.iter().map(|number| (id(*number), key(*number))).collect();
    ring.put(places(&instance(100)), Secrets::Keys(keys));
    ring
}

pub(crate) fn password(text: &str) -> KeyRing {
    let mut ring = KeyRing::default();
    let secrets = Secrets::Password(Password::parse(text.as_bytes()).unwrap());
    ring.put(places(&instance(100)), secrets);
    ring
}

/// An engine with its keys and two clocks.
pub(crate) struct Keyed {
    pub(crate) engine: Engine,
    pub(crate) ring: KeyRing,
    pub(crate) start: Now,
    pub(crate) config: Config,
    pub(crate) mono: Mono,
    /// What the wall clock is when the other one is zero.
    pub(crate) zero: Wall,
    pub(crate) steps: Vec<Step>,
}

impl Keyed {
    pub(crate) fn new(config: InstanceConfig, ring: KeyRing) -> Self {
        let mono = Mono(0) + Span::from_secs(1_000);
        let start = Now { mono, wall: ZERO + Span::from_secs(1_000) };
        let config = Config { instances: vec![config], ..Config::default() };
        let engine = Engine::new(config.clone(), start);
        let mut node = Self { engine, ring, start, config, mono, zero: ZERO, steps: Vec::new() };
        node.tell(Input::Link { interface: eth0(), link: Some(link()) });
        node
    }

    pub(crate) fn now(&self) -> Now {
        Now { mono: self.mono, wall: self.zero + self.mono.since(Mono(0)) }
    }

    /// As the daemon does: judged, handled, recorded, completed.
    pub(crate) fn tell(&mut self, mut input: Input) -> Vec<Action> {
        self.ring.receive(&mut input);
        let at = self.now();
        let mut actions = self.engine.handle(at, input.clone());
        self.steps.push(Step { at, input, actions: actions.clone() });
        self.ring.complete(&mut actions);
        for opened in opened(&actions) {
            actions.extend(self.tell(opened));
        }
        actions
    }

    /// Lets this much time pass, with every deadline in it; what was sent meanwhile.
    pub(crate) fn pass(&mut self, span: Span) -> Vec<Vec<u8>> {
        let end = self.mono + span;
        let mut sent = Vec::new();
        while let Some(due) = self.engine.next_deadline().map(|d| d.at).filter(|at| *at <= end) {
            self.mono = self.mono.max(due);
            let message = |action: &Action| match action {
                Action::Send { message, .. } => Some(message.clone()),
                _ => None,
            };
            sent.extend(self.tell(Input::Deadline).iter().filter_map(message));
        }
        self.mono = end;
        sent
    }

    /// Why a packet is refused; `None`: it was accepted.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> Option<Discard> {
        let before = self.status().instances[0].counters.clone();
        let (arrived, packet) = (self.mono, Packet::V4 { bytes: bytes.to_vec() });
        self.tell(Input::Received { interface: eth0(), arrived, packet, proof: Proof::None });
        let after = self.status().instances[0].counters.clone();
        let more =
            |discard: &&Discard| after.discards.get(*discard) != before.discards.get(*discard);
        let counted = Discard::ALL.iter().find(more).copied();
        let accepted = after.advertisements_received - before.advertisements_received;
        assert_eq!(accepted, u64::from(counted.is_none()), "accepted or counted, not both");
        counted
    }

    pub(crate) fn status(&self) -> Status {
        self.engine.status(self.now())
    }

    pub(crate) fn state(&self) -> StateName {
        self.status().instances[0].state
    }

    pub(crate) fn reload(&mut self, config: InstanceConfig, ring: KeyRing) {
        self.ring.replace(ring, self.engine.instances());
        let config = Box::new(Config { instances: vec![config], ..Config::default() });
        self.tell(Input::Reload { config });
    }
}

/// Another router, with keys and a clock of its own.
pub(crate) struct Peer {
    pub(crate) ring: KeyRing,
    pub(crate) stamper: Stamper,
    pub(crate) key: u8,
}

impl Peer {
    pub(crate) fn new(key: u8) -> Self {
        Self { ring: ring(&[1, 2, 3]), stamper: Stamper::default(), key }
    }

    /// An advertisement with a time stamp of `clock`.
    pub(crate) fn says(&mut self, priority: u8, clock: Wall) -> Vec<u8> {
        let sequence = self.stamper.next(clock, TIME);
        self.signs(&advertisement(priority), sequence)
    }

    pub(crate) fn signs(&self, advertisement: &Advertisement, sequence: Sequence) -> Vec<u8> {
        self.signs_from(PEER, advertisement, sequence)
    }

    pub(crate) fn signs_from(
        &self,
        source: IpAddr,
        advertisement: &Advertisement,
        sequence: Sequence,
    ) -> Vec<u8> {
        let mut bytes = packet(advertisement, source, ChecksumForm::WithPseudoHeader);
        let mut message = bytes.split_off(20);
        message.extend(unsigned(id(self.key), sequence));
        self.ring.complete_message(&eth0(), (source, GROUP), &mut message).unwrap();
        bytes.extend(message);
        bytes[3] = u8::try_from(bytes.len()).unwrap();
        bytes
    }
}

pub(crate) fn plain(priority: u8) -> Vec<u8> {
    packet(&advertisement(priority), PEER, ChecksumForm::WithPseudoHeader)
}

pub(crate) const SECOND: Span = Span::from_secs(1);

/// A ring in which the key of number 1 is another one.
pub(crate) fn other_keys() -> KeyRing {
    let mut ring = KeyRing::default();
    ring.put(places(&instance(100)), Secrets::Keys(BTreeMap::from([(id(1), key(9))])));
    ring
}
