//! A node with many instances, at rest, and the inputs that reach it there.

use std::net::{IpAddr, Ipv4Addr};

use vipd::engine::story::StateName;
use vipd::engine::{Action, Engine, Input, Link, LinkAddress, Packet, ProbeResult};
use vipd::model::{
    Authentication, ChecksumStyle, Config, FileCondition, FileProbe, IfAllFail, InstanceConfig,
    InterfaceName, Interval, Mac, Notify, Preempt, Priority, Probe, Scope, TrackConfig, TrackName,
    Transport, Version, VirtualAddress, Vrid,
};
use vipd::time::{Mono, Now, Span, Wall};
use vipd::vrrp::auth::Proof;
use vipd::vrrp::packet::{self, Advertisement, ChecksumForm};

const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18));
const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 10);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 11);

/// The virtual router IDs that are used on one interface.
const EACH: usize = 250;

/// The node's priority, and a higher one.
const PRIORITY: u8 = 100;
const HIGHER: u8 = 200;

/// The time between two packets that a backup hears.
const BETWEEN: Span = Span::from_micros(100);

/// An input and its time.
pub(crate) struct Event {
    now: Mono,
    input: Input,
}

/// An engine with its clock.
pub(crate) struct Node {
    engine: Engine,
    now: Mono,
    size: usize,
    /// The number of advertisements that were heard so far.
    heard: usize,
}

impl Node {
    /// All its instances hear an active router.
    pub(crate) fn backup(size: usize) -> Self {
        let mut node = Self::new(config(size, false));
        for _ in 0..size {
            let event = node.advertisement();
            node.tell(event);
        }
        node.expect(StateName::Backup);
        node
    }

    /// All its instances are active, after a silence that began for one after the other.
    pub(crate) fn active(size: usize) -> Self {
        let mut node = Self::backup(size);
        // Past the takeover and its announcements, of which the last comes after ten seconds.
        let rest = node.now + Span::from_secs(16);
        while node.now < rest {
            node.next();
        }
        node.expect(StateName::Active);
        node
    }

    /// Each instance depends on a check of its own, which passes.
    pub(crate) fn checked(size: usize) -> Self {
        let mut node = Self::new(config(size, true));
        let rest = node.now + Span::from_secs(6);
        while node.now < rest {
            for result in node.next_results() {
                node.tell(result);
            }
        }
        node.expect(StateName::Active);
        node
    }

    fn new(config: Config) -> Self {
        let size = config.instances.len();
        let interfaces = config.interfaces();
        let engine = Engine::new(config, at(Mono(0)));
        let mut node = Self { engine, now: Mono(0), size, heard: 0 };
        for (index, interface) in (2..).zip(interfaces) {
            let input = Input::Link { interface, link: Some(link(index)) };
            for opened in node.tell(Event { now: node.now, input }).into_iter().filter_map(opened) {
                node.tell(Event { now: node.now, input: opened });
            }
        }
        node
    }

    /// Hands in one input, and asks for the next deadline as the loop does.
    pub(crate) fn tell(&mut self, event: Event) -> Vec<Action> {
        let actions = self.engine.handle(at(event.now), event.input);
        std::hint::black_box(self.engine.next_deadline());
        actions
    }

    /// Fails unless all instances are in this state.
    fn expect(&self, state: StateName) {
        let status = self.engine.status(at(self.now));
        assert!(status.instances.iter().all(|instance| instance.state == state), "all {state:?}");
    }

    fn wake(&mut self) -> Vec<Action> {
        self.now = self.engine.next_deadline().expect("something is due").at.max(self.now);
        self.tell(Event { now: self.now, input: Input::Deadline })
    }

    /// Lets time pass to the next deadline; the number of advertisements that are sent then.
    pub(crate) fn next(&mut self) -> u64 {
        let actions = self.wake();
        actions.iter().filter(|action| matches!(action, Action::Send { .. })).count() as u64
    }

    /// Lets time pass until checks run; their results.
    pub(crate) fn next_results(&mut self) -> Vec<Event> {
        loop {
            let inputs = self.wake().into_iter().filter_map(passed);
            let results: Vec<Event> = inputs.map(|input| Event { now: self.now, input }).collect();
            if !results.is_empty() {
                return results;
            }
        }
    }

    /// The next advertisement of an active router; the routers take turns.
    pub(crate) fn advertisement(&mut self) -> Event {
        let number = self.heard % self.size;
        self.heard += 1;
        // All routers have had their turn before one of them counts as silent.
        self.now = self.now + BETWEEN;
        let advertisement = Advertisement {
            version: Version::V3,
            virtual_router_id: vrid(number),
            priority: HIGHER,
            interval: Interval::ONE_SECOND,
            addresses: vec![virtual_address(number).address],
            authentication: packet::Authentication::None,
        };
        let form = ChecksumForm::WithPseudoHeader;
        let message = advertisement.encode(PEER.into(), GROUP, form).expect("a valid message");
        let length = u8::try_from(20 + message.len()).expect("a short message");
        let mut bytes = vec![0x45, 0xc0, 0, length, 0, 0, 0, 0, 255, 112, 0, 0];
        bytes.extend(PEER.octets());
        bytes.extend([224, 0, 0, 18]);
        bytes.extend(message);
        let input = Input::Received {
            interface: interface(number),
            arrived: self.now,
            packet: Packet::V4 { bytes },
            proof: Proof::None,
        };
        Event { now: self.now, input }
    }
}

fn opened(action: Action) -> Option<Input> {
    let Action::Listen { interface, family, .. } = action else { return None };
    Some(Input::Listening { interface, family, missing: Vec::new() })
}

fn passed(action: Action) -> Option<Input> {
    let Action::Probe { track, number } = action else { return None };
    Some(Input::Probed { track, number, result: ProbeResult::Passed("fine".to_owned()) })
}

fn at(now: Mono) -> Now {
    Now { mono: now, wall: Wall(1_800_000_000_000_000_000 + now.0) }
}

fn interface(number: usize) -> InterfaceName {
    format!("eth{}", number / EACH).as_str().try_into().expect("a name")
}

fn vrid(number: usize) -> Vrid {
    let id = u8::try_from(number % EACH + 1).expect("at most 250");
    id.try_into().expect("a virtual router ID")
}

fn virtual_address(number: usize) -> VirtualAddress {
    let [.., third, fourth] = u32::try_from(number).expect("few").to_be_bytes();
    let address = Ipv4Addr::new(10, 1, third, fourth).into();
    VirtualAddress { address, prefix: 32, dev: None, label: None, scope: Scope::Global }
}

fn link(index: u32) -> Link {
    Link {
        index,
        mac: Some(Mac([2, 0, 0, 0, 0, 10])),
        up: true,
        carrier: true,
        mtu: 1500,
        addresses: vec![LinkAddress { address: OURS.into(), prefix: 24, secondary: false }],
        unusable: Vec::new(),
        forwards_ipv6: false,
    }
}

fn track_name(number: usize) -> TrackName {
    format!("check{number}").as_str().try_into().expect("a name")
}

fn track(number: usize) -> TrackConfig {
    let path = "/run/ready".into();
    TrackConfig {
        name: track_name(number),
        probe: Probe::File(FileProbe { path, condition: FileCondition::Present }),
        interval: Span::from_secs(1),
        timeout: Span::from_millis(500),
        rise: 1,
        fall: 1,
        cost: None,
        flap: None,
    }
}

fn instance(number: usize, checked: bool) -> InstanceConfig {
    InstanceConfig {
        notify: Notify::default(),
        name: format!("web{number}").as_str().try_into().expect("a name"),
        interface: interface(number),
        further_interfaces: Vec::new(),
        transport: Transport::STANDARD,
        virtual_router_id: vrid(number),
        version: Version::V3,
        priority: Priority::try_from(PRIORITY).expect("a priority"),
        advertisement_interval: Interval::ONE_SECOND,
        maximum_interval: Interval::LONGEST_V3,
        addresses: vec![virtual_address(number)],
        extra_addresses: Vec::new(),
        routes: Vec::new(),
        rules: Vec::new(),
        preempt: Preempt::Never,
        hold_down: Span::ZERO,
        link_down_delay: Span::ZERO,
        link_up_delay: Span::ZERO,
        lease: Some(Span::from_secs(4)),
        announce_refresh: Span::from_secs(60),
        checksum: ChecksumStyle::Auto,
        tracks: checked.then(|| track_name(number)).into_iter().collect(),
        if_all_fail: IfAllFail::Release,
        authentication: Authentication::None,
        virtual_mac: false,
    }
}

fn config(size: usize, checked: bool) -> Config {
    let tracks = if checked { (0..size).map(track).collect() } else { Vec::new() };
    let instances = (0..size).map(|number| instance(number, checked)).collect();
    Config { tracks, instances, ..Config::default() }
}
