//! Any text as a configuration: reading it never panics, and says of what it refuses where and why.
//! What it accepts survives being written down, and an engine can live by it: it is told of a usable
//! link, reloads its own configuration without noticing, and ends when it is told to.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vipd::config::{Here, OwnAddress, load};
use vipd::engine::plan::{InstanceChange, Plan};
use vipd::engine::{Action, Engine, Input, Link, LinkAddress};
use vipd::model::{Config, InterfaceName, Mac, NodeName};
use vipd::time::{Mono, Now, Wall};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for here in [Here::Node(NodeName::try_from("db1").expect("a name")), machine()] {
        match load("vipd.yaml", text, &here) {
            Ok(config) => live_by(config),
            Err(problems) => {
                assert!(!problems.is_empty(), "it was refused without a reason");
                let lines = problems.iter().map(ToString::to_string);
                assert!(lines.into_iter().all(|line| line.starts_with("vipd.yaml:")), "no place");
            }
        }
    }
});

fn machine() -> Here {
    let address = |interface: &str, address: &str, prefix: u8| {
        let interface = InterfaceName::try_from(interface).expect("a name");
        OwnAddress { interface, address: address.parse().expect("an address"), prefix }
    };
    Here::machine(vec![
        address("eth0", "10.0.0.11", 24),
        address("eth0", "fe80::11", 64),
        address("eth1", "10.1.0.11", 24),
    ])
}

fn live_by(config: Config) {
    let written = serde_json::to_string(&config).expect("a configuration can be written");
    let read: Config = serde_json::from_str(&written).expect("what was written can be read");
    assert_eq!(read, config);
    let mut now = Now { mono: Mono(1 << 50), wall: Wall(1 << 60) };
    let mut engine = Engine::new(config.clone(), now);
    for instance in &config.instances {
        let own = |text: &str| LinkAddress {
            address: text.parse().expect("an address"),
            prefix: 24,
            secondary: false,
        };
        let link = Link {
            index: 2,
            mac: Some(Mac([2, 0, 0, 0, 0, 11])),
            up: true,
            carrier: true,
            mtu: 1500,
            addresses: vec![own("10.0.0.11"), own("fe80::11")],
            unusable: Vec::new(),
            forwards_ipv6: false,
        };
        let interface = instance.interface.clone();
        for action in engine.handle(now, Input::Link { interface, link: Some(link) }) {
            if let Action::Listen { interface, family, .. } = action {
                let missing = Vec::new();
                let _ = engine.handle(now, Input::Listening { interface, family, missing });
            }
        }
    }
    pass(&mut engine, &mut now, 20);
    let plan = Plan::new(&config, &config);
    assert!(plan.instances.iter().all(|one| one.change == InstanceChange::Unchanged), "{plan}");
    let before = engine.status(now);
    let again = engine.handle(now, Input::Reload { config: Box::new(config.clone()) });
    assert_eq!(again, [], "the same configuration changes nothing");
    assert_eq!(engine.status(now).to_string(), before.to_string());
    let over = ends(&engine.handle(now, Input::Stop)) || pass(&mut engine, &mut now, 10_000);
    assert!(over, "it does not end");
}

/// Lets time pass from deadline to deadline; whether that was the end.
fn pass(engine: &mut Engine, now: &mut Now, turns: u32) -> bool {
    (0..turns).any(|_| {
        let Some(deadline) = engine.next_deadline() else { return false };
        let later = deadline.at.since(now.mono);
        *now = Now { mono: now.mono + later, wall: now.wall + later };
        ends(&engine.handle(*now, Input::Deadline))
    })
}

fn ends(actions: &[Action]) -> bool {
    actions.contains(&Action::Exit)
}
