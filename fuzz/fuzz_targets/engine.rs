//! Arbitrary operations on one engine: links, packets (right, wrong and mangled), conflicts, time
//! that passes or is slept through, clocks that are set, answers of checks and hooks, refusals of
//! the system, handovers, standby, reloads, and a stop. After each of them the invariants hold
//! (docs/architecture.md): written down before it is touched, nothing held that is not active,
//! nothing sent by a backup, leases renewed in time, refused packets without effect, whoever is
//! active has its addresses or waits for a hook that runs, progress, an end.

#![no_main]

#[path = "engine/configs.rs"]
mod configs;
#[path = "../../tests/world/machine.rs"]
mod machine;
#[path = "engine/packets.rs"]
mod packets;
#[path = "engine/world.rs"]
mod world;
#[path = "../../tests/world/written.rs"]
mod written;

use libfuzzer_sys::fuzz_target;
use vipd::engine::{Input, Link, LinkAddress, ProbeResult};
use vipd::model::{Config, InstanceName, InterfaceName, Mac, NodeName};
use vipd::time::{Now, Span};
use vipd_fuzz::Food;

use packets::{conflict, receive};
use world::World;

fuzz_target!(|bytes: &[u8]| {
    let mut food = Food::new(bytes);
    let config = food.one_of(configs::all()).expect("a configuration");
    let mut world = World::new(config.clone());
    for interface in ["eth0", "eth1"] {
        let interface = InterfaceName::try_from(interface).expect("a name");
        let _ = world.tell(Input::Link { interface, link: Some(link(0)) });
    }
    while !food.is_empty() && world.budget > 0 && !world.ended() {
        step(&mut world, &mut food);
    }
    let _ = world.status().to_string();
    world.stop();
});

fn step(world: &mut World, food: &mut Food<'_>) {
    match food.byte() % 24 {
        0..6 => world.pass(span(food)),
        6..13 => receive(world, food),
        13 => link_changes(world, food),
        14 => {
            let interface = interface(food);
            let frame = conflict(world, food);
            let _ = world.tell(Input::Conflict { interface, frame });
        }
        15 => {
            if let Some((interface, address)) = world.some_address(food.byte()) {
                world.take_off(&interface, address);
            }
        }
        16 => operator(world, food),
        17 => look_ends(world, food),
        18 => hook_ends(world, food),
        19 => {
            let errno = *food.one_of(&[1, 19, 62, 99, 105]).expect("an error");
            world.refusals = (food.byte() % 8, errno);
        }
        20 => reload(world, food),
        21 => {
            let span = span(food);
            world.sleep(span);
            if food.flag() {
                let _ = world.tell(Input::Resumed { length: span });
            }
        }
        22 => {
            // Somebody sets the clock.
            let step = i64::from(food.number().cast_signed()) * 100_000_000;
            let wall = world.now.wall.0.saturating_add_signed(step);
            world.now = Now { wall: vipd::time::Wall(wall), ..world.now };
        }
        _ => match food.byte() {
            0 => drop(world.tell(Input::Stop)),
            1..128 => world.meet_deadlines(),
            // In the middle of whatever a sync group has begun.
            _ => {
                let config = food.one_of(configs::of_one_group()).expect("a configuration");
                apply(world, config.clone());
            }
        },
    }
}

fn span(food: &mut Food<'_>) -> Span {
    let spans = [0, 1, 10, 50, 100, 300, 700, 1_000, 2_000, 4_000, 15_000, 70_000];
    Span::from_millis(*food.one_of(&spans).expect("a span"))
}

fn interface(food: &mut Food<'_>) -> InterfaceName {
    let name = if food.byte() % 4 == 0 { "eth1" } else { "eth0" };
    InterfaceName::try_from(name).expect("a name")
}

/// A usable link, with what the bits say otherwise.
fn link(bits: u8) -> Link {
    let own = |text: &str| LinkAddress {
        address: text.parse().expect("an address"),
        prefix: 24,
        secondary: false,
    };
    let mut addresses = vec![own("10.0.0.11"), own("fe80::11")];
    if bits & 1 != 0 {
        addresses.clear();
    }
    if bits & 2 != 0 {
        addresses.insert(0, own("10.0.0.100"));
    }
    Link {
        index: 2 + u32::from(bits >> 6 & 1),
        mac: (bits & 4 == 0).then_some(Mac([2, 0, 0, 0, 0, 11])),
        up: bits & 8 == 0,
        carrier: bits & 16 == 0,
        mtu: if bits & 32 == 0 { 1500 } else { 68 },
        addresses,
        unusable: Vec::new(),
        forwards_ipv6: bits & 128 != 0,
    }
}

fn link_changes(world: &mut World, food: &mut Food<'_>) {
    let interface = interface(food);
    let link = match food.byte() % 4 {
        0 => None,
        1 => Some(link(food.byte())),
        _ => Some(link(0)),
    };
    let _ = world.tell(Input::Link { interface, link });
}

fn operator(world: &mut World, food: &mut Food<'_>) {
    let names = ["web", "six", "wan", "lan", "api", "nobody"];
    let name = *food.one_of(&names).expect("a name");
    let instance = InstanceName::try_from(name).expect("a name");
    let all = food.byte() % 4 == 0;
    let request = world.machine.request();
    let input = match food.byte() % 4 {
        0 => Input::Standby { request, instance: (!all).then_some(instance), force: food.flag() },
        1 => Input::Online { request, instance: (!all).then_some(instance) },
        _ => {
            let node = *food.one_of(&["db2", "db2", "db1", "db3"]).expect("a name");
            let node = NodeName::try_from(node).expect("a name");
            Input::Handover { request, instance, to: (!all).then_some(node) }
        }
    };
    let _ = world.tell(input);
}

fn result(food: &mut Food<'_>) -> ProbeResult {
    if food.flag() {
        ProbeResult::Failed("it is not well".to_owned())
    } else {
        ProbeResult::Passed(String::new())
    }
}

fn look_ends(world: &mut World, food: &mut Food<'_>) {
    let looks: Vec<_> = world.machine.process.looks.clone().into_iter().collect();
    let Some((track, number)) = food.one_of(&looks).cloned() else { return };
    if food.byte() % 8 == 0 {
        let _ = world.tell(Input::Stirred { track: track.clone() });
    }
    // Now and then one that nobody waits for.
    let number = if food.byte() % 8 == 0 { number + 1 } else { number };
    world.machine.process.look_ends(&track, number);
    let _ = world.tell(Input::Probed { track, number, result: result(food) });
}

fn hook_ends(world: &mut World, food: &mut Food<'_>) {
    let hooks = world.machine.process.hooks.iter().map(|hook| (hook.owner.clone(), hook.number));
    // In an order that does not change what the kept inputs mean.
    let hooks: Vec<_> = hooks.collect::<std::collections::BTreeSet<_>>().into_iter().collect();
    let Some((owner, number)) = food.one_of(&hooks).cloned() else { return };
    world.machine.process.hook_ends(&owner, number);
    let _ = world.tell(Input::Hooked { owner, number, result: result(food) });
}

fn reload(world: &mut World, food: &mut Food<'_>) {
    let config = food.one_of(configs::all()).expect("a configuration").clone();
    apply(world, config);
}

fn apply(world: &mut World, config: Config) {
    world.keys.replace(configs::secrets(&config), world.engine.instances());
    let _ = world.tell(Input::Reload { config: Box::new(config) });
}
