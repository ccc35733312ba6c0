//! Packets and conflicts for the engine: some right, some with one thing wrong, some of any bytes.

use std::net::IpAddr;

use vipd::engine::{Action, Input, Packet};
use vipd::model::{
    Authentication, Config, Family, InstanceConfig, Interval, Mac, Transport, Version,
};
use vipd::time::{Span, Wall};
use vipd::vrrp::auth::{Proof, Sequence, unsigned};
use vipd::vrrp::frame::{ArpForm, gratuitous_arp};
use vipd::vrrp::packet::{
    Advertisement, Authentication as Field, ChecksumForm, Discard, multicast_group,
};
use vipd_fuzz::Food;

use crate::configs;
use crate::world::World;

/// Hands in a packet. Either it is accepted or one rule counts it; and what is refused changes nothing
/// else (invariant 8).
pub(crate) fn receive(world: &mut World, food: &mut Food<'_>) {
    // What is due by now is another matter.
    world.meet_deadlines();
    let config = world.engine.config();
    let Some(instance) = food.one_of(&config.instances) else { return };
    let packet = packet(world, food, &config, instance);
    let back = Span::from_micros(food.byte().into());
    let arrived = vipd::time::Mono(world.now.mono.0 - back.nanos());
    let (interface, proof) = (instance.interface.clone(), Proof::None);
    let before = Counted::of(world);
    let due = world.engine.next_deadline();
    let actions = world.tell(Input::Received { interface, arrived, packet, proof });
    let after = Counted::of(world);
    if after.instances != before.instances {
        return; // One that was leaving has found its successor.
    }
    let discards = after.discards - before.discards;
    let accepted = after.accepted - before.accepted;
    assert_eq!(accepted + discards, 1, "accepted or counted, once");
    if discards == 1 {
        // A line is the occasion on which the list for `vipd release` is brought up to date.
        let is_for_people =
            |action: &Action| matches!(action, Action::Report(_) | Action::WriteDown { .. });
        let silent = actions.iter().all(is_for_people);
        assert!(silent, "a refused packet leads to {actions:?}");
        assert_eq!(after.states, before.states, "a refused packet changes the state");
        assert_eq!(after.active, before.active, "a refused packet changes who is active");
        let is_hint = after.before_start > before.before_start;
        let same = world.engine.next_deadline() == due;
        assert!(same || is_hint, "a refused packet moves {due:?}");
    }
}

/// What was counted so far.
struct Counted {
    instances: Vec<String>,
    states: Vec<String>,
    active: Vec<Option<IpAddr>>,
    accepted: u64,
    discards: u64,
    before_start: u64,
}

impl Counted {
    fn of(world: &World) -> Self {
        let status = world.status();
        let all = || status.instances.iter();
        let of_instances = all().flat_map(|one| &one.counters.discards);
        let strays = status.stray_discards.values().flatten();
        let counted: Vec<(Discard, u64)> =
            of_instances.chain(strays).map(|(why, count)| (*why, *count)).collect();
        let hints = counted.iter().filter(|(why, _)| *why == Discard::BeforeStart);
        Self {
            instances: all().map(|one| one.name.to_string()).collect(),
            states: all().map(|one| one.state.to_string()).collect(),
            active: all().map(|one| one.active.as_ref().map(|peer| peer.address)).collect(),
            accepted: all().map(|one| one.counters.advertisements_received).sum(),
            discards: counted.iter().map(|(_, count)| count).sum(),
            before_start: hints.map(|(_, count)| count).sum(),
        }
    }
}

fn packet(
    world: &World,
    food: &mut Food<'_>,
    config: &Config,
    instance: &InstanceConfig,
) -> Packet {
    let families: Vec<Family> = instance.families().collect();
    let family = match families[..] {
        [one] => one,
        _ => *food.one_of(&families).expect("a family"),
    };
    let sources: [IpAddr; 4] = match family {
        Family::V4 => [12, 13, 11, 100].map(|last: u8| IpAddr::from([10, 0, 0, last])),
        Family::V6 => {
            [12, 13, 11, 100].map(|last: u16| IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, last]))
        }
    };
    let source = *food.one_of(&sources).expect("a source");
    let destination = match (&instance.transport, sources) {
        (Transport::Unicast { .. }, [_, _, own, _]) => own,
        (Transport::Multicast { .. }, _) => multicast_group(family),
    };
    if food.byte() % 16 == 0 {
        return enclose(source, destination, 255, food.bytes());
    }
    let mut message = message(world, food, config, instance, (source, destination));
    let mangled = food.byte();
    if mangled % 4 == 0 {
        match food.byte() % 4 {
            0 => message.truncate(food.byte().into()),
            1 => message.extend(food.bytes()),
            _ => {
                let place = usize::from(food.byte()).checked_rem(message.len()).unwrap_or(0);
                if let Some(byte) = message.get_mut(place) {
                    *byte ^= food.byte();
                }
            }
        }
    }
    let time_to_live = if mangled % 16 == 1 { food.byte() } else { 255 };
    enclose(source, destination, time_to_live, &message)
}

/// An advertisement that is right in its bytes, whatever it says.
fn message(
    world: &World,
    food: &mut Food<'_>,
    config: &Config,
    instance: &InstanceConfig,
    ends: (IpAddr, IpAddr),
) -> Vec<u8> {
    let priority = *food.one_of(&[0, 1, 100, 190, 200, 210, 254, 255]).expect("a priority");
    let own = instance.advertisement_interval;
    let interval = match (food.byte() % 4, instance.version) {
        (0, Version::V3) => Interval::try_from(food.number() % 0x0fff + 1).unwrap_or(own),
        (0, Version::V2) => Interval::from_seconds(food.byte()).unwrap_or(own),
        _ => own,
    };
    let mut addresses: Vec<IpAddr> =
        instance.addresses_of(Family::of(ends.0)).map(|one| one.address).collect();
    if food.byte() % 8 == 0 {
        addresses.push(ends.0);
    }
    let authentication = match (&instance.authentication, instance.version) {
        (Authentication::Password(_), _) if food.byte() % 4 != 0 => {
            Field::SimplePassword(*b"12345678")
        }
        (_, Version::V2) if food.flag() => Field::SimplePassword(food.array()),
        _ => Field::None,
    };
    let said = Advertisement {
        version: instance.version,
        virtual_router_id: instance.virtual_router_id,
        priority,
        interval,
        addresses,
        authentication,
    };
    let form = if food.flag() { ChecksumForm::Message } else { ChecksumForm::WithPseudoHeader };
    let Ok(mut message) = said.encode(ends.0, ends.1, form) else { return Vec::new() };
    if let Authentication::Hmac(hmac) = &instance.authentication
        && food.byte() % 8 != 0
        && let Some(key) = food.one_of(&hmac.keys)
    {
        // Around now, in tenths of a second: stale, replayed and from before the start among them.
        let step = i64::from(food.byte().cast_signed()) * 100_000_000;
        let clock = Wall(world.now.wall.0.saturating_add_signed(step));
        message.extend(unsigned(key.id, Sequence::at(clock)));
        let ring = configs::secrets(config);
        let _ = ring.complete_message(&instance.interface, ends, &mut message);
    }
    message
}

/// As the kernel hands it over.
fn enclose(source: IpAddr, destination: IpAddr, time_to_live: u8, message: &[u8]) -> Packet {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (source, destination) else {
        return Packet::V6 { source, destination, hop_limit: time_to_live, bytes: message.into() };
    };
    let [high, low] = u16::try_from(20 + message.len()).unwrap_or(0).to_be_bytes();
    let mut bytes = vec![0x45, 0xc0, high, low, 0, 0, 0, 0, time_to_live, 112, 0, 0];
    bytes.extend(from.octets());
    bytes.extend(to.octets());
    bytes.extend(message);
    Packet::V4 { bytes }
}

/// What another station says of an address, or any bytes.
pub(crate) fn conflict(world: &World, food: &mut Food<'_>) -> Vec<u8> {
    let mac = Mac([2, 0, 0, 0, 0, food.byte()]);
    match world.some_address(food.byte()) {
        Some((_, IpAddr::V4(address))) => gratuitous_arp(mac, address, ArpForm::Reply),
        _ => food.bytes().to_vec(),
    }
}
