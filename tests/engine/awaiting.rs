//! Things that the configuration needs and the machine does not have yet.

use vipd::engine::Input;
use vipd::engine::story::{Fault, StateName, Why};
use vipd::model::{Config, InstanceConfig, VirtualAddress};

use crate::node::{Node, engine_of, instance, kinds, told, virtual_address};

const KEY: &str = "/etc/vipd/vrrp.key cannot be read: No such file or directory";

fn other() -> InstanceConfig {
    InstanceConfig {
        name: "other".try_into().unwrap(),
        virtual_router_id: 52.try_into().unwrap(),
        addresses: vec![VirtualAddress { address: [10, 0, 0, 101].into(), ..virtual_address() }],
        ..instance(100)
    }
}

/// Both instances. `web` has its key or lacks it.
fn config(has_key: bool) -> Config {
    let awaited = (!has_key).then(|| ("web".try_into().unwrap(), KEY.to_owned()));
    let instances = vec![instance(100), other()];
    Config { instances, awaited: awaited.into_iter().collect(), ..Config::default() }
}

fn reload(node: &mut Node, config: Config) -> Vec<vipd::engine::Action> {
    node.tell(Input::Reload { config: Box::new(config) })
}

fn states(node: &Node) -> Vec<StateName> {
    node.status().instances.iter().map(|one| one.state).collect()
}

/// Rule: an instance that lacks something is in fault and says what it waits for. Another one takes
/// part meanwhile. Once the missing thing is there, the instance starts, and the other one notices
/// nothing.
#[test]
fn an_instance_waits_for_what_it_lacks() {
    let mut node = engine_of(config(false));
    while states(&node)[1] != StateName::Active {
        node.next();
    }
    let status = node.status();
    assert_eq!(status.instances[0].why, Why::Fault(Fault::Awaiting(KEY.to_owned())));
    assert_eq!(status.instances[0].reason, format!("waiting: {KEY}"));
    let (due, before) = (node.engine.next_deadline(), states(&node));
    assert_eq!(reload(&mut node, config(false)), [], "the same again changes nothing");
    assert_eq!((node.engine.next_deadline(), states(&node)), (due, before));

    let actions = reload(&mut node, config(true));
    assert_eq!(kinds(&actions), ["report"]);
    assert_eq!(told(&actions), "fault -> backup: able to take part again");
    while states(&node)[0] != StateName::Active {
        node.next();
    }
    assert_eq!(states(&node), [StateName::Active; 2]);
}

/// Rule: an active instance whose new configuration lacks something releases its addresses, and
/// tells the others.
#[test]
fn a_reload_that_lacks_something_is_a_fault() {
    let mut node = Node::active(100);
    let mut lacking = config(false);
    lacking.instances.truncate(1);
    let actions = reload(&mut node, lacking);
    assert!(kinds(&actions).contains(&"priority 0"), "{actions:?}");
    assert!(kinds(&actions).contains(&"remove"), "{actions:?}");
    assert_eq!(node.state(), StateName::Fault);
}

/// Rule: a virtual router that leaves hands over in its own time, even if the new one of its name
/// waits for something.
#[test]
fn one_that_leaves_waits_for_nothing() {
    let mut node = Node::active(100);
    let mut successor = config(false);
    successor.instances = vec![InstanceConfig {
        virtual_router_id: 99.try_into().unwrap(),
        addresses: vec![VirtualAddress { address: [10, 0, 0, 102].into(), ..virtual_address() }],
        ..instance(100)
    }];
    let actions = reload(&mut node, successor);
    assert!(kinds(&actions).contains(&"priority 0"), "{actions:?}");
    assert!(!kinds(&actions).contains(&"remove"), "it answers until another one does: {actions:?}");
}
