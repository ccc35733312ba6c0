//! The sockets: an instance waits for its own sockets, and a missing one concerns only the
//! instances that need it.

use std::net::IpAddr;

use vipd::engine::story::{Fault, StateName, What};
use vipd::engine::{Action, Input, Link, LinkAddress, SystemError};
use vipd::model::{Config, Family, InstanceConfig, InterfaceName, Transport, VirtualAddress, Vrid};

use super::node::{Node, eth0, instance, kinds, link, now, told, virtual_address};

fn refusal() -> SystemError {
    SystemError { errno: 105, text: "no buffer space".to_owned() }
}

fn listening(missing: &[IpAddr]) -> Input {
    let missing = missing.iter().map(|group| (*group, refusal())).collect();
    Input::Listening { interface: eth0(), family: Family::V4, missing }
}

/// A node whose interface is up and whose sockets are not open yet, and the action that opens them.
fn asked(instances: Vec<InstanceConfig>) -> (Node, Action) {
    let config = Config { instances, ..Config::default() };
    let mut node = Node::unlinked(config);
    let actions = tell(&mut node, Input::Link { interface: eth0(), link: Some(link()) });
    assert_eq!(kinds(&actions), ["listen"]);
    (node, actions[0].clone())
}

/// Hands in an input and nothing else.
fn tell(node: &mut Node, input: Input) -> Vec<Action> {
    node.engine.handle(now(node.millis), input)
}

fn next(node: &mut Node) -> Vec<Action> {
    let at = node.engine.next_deadline().expect("something is due").at;
    node.millis = at.0.div_ceil(1_000_000);
    tell(node, Input::Deadline)
}

fn state(node: &Node, place: usize) -> StateName {
    node.status().instances[place].state
}

/// Bug guarded: while the kernel is busy, a node that has no socket yet hears nobody. It must not
/// take that for silence.
#[test]
fn an_instance_waits_for_its_socket() {
    let (mut node, _) = asked(vec![instance(100)]);
    assert!(node.engine.next_deadline().is_none(), "it counts no silence");
    node.millis += 60_000;
    assert_eq!(tell(&mut node, Input::Deadline), []);
    assert_eq!(told(&tell(&mut node, listening(&[]))), "stopped -> backup: started");
    assert_eq!(state(&node, 0), StateName::Backup);
}

/// Rule: a socket that cannot be opened is a fault. The fault is reported once, however often
/// opening is tried, and ends once the socket is open.
#[test]
fn a_socket_that_cannot_be_opened_is_told_once() {
    let (mut node, listen) = asked(vec![instance(100)]);
    let failed = Input::Failed { action: Box::new(listen), error: refusal() };
    let said = told(&tell(&mut node, failed.clone()));
    assert_eq!(said, "stopped -> fault: no VRRP socket on eth0: no buffer space");
    for _ in 0..5 {
        assert_eq!(kinds(&next(&mut node)), ["listen"]);
        assert_eq!(tell(&mut node, failed.clone()), [], "the same again");
    }
    assert_eq!(kinds(&next(&mut node)), ["listen"]);
    assert_eq!(told(&tell(&mut node, listening(&[]))), "fault -> backup: able to take part again");
}

/// Bug guarded: a group that could not be joined took down every instance of the interface.
#[test]
fn a_missing_group_concerns_its_users() {
    let group: IpAddr = "239.1.1.1".parse().unwrap();
    let other = InstanceConfig {
        name: "other".try_into().unwrap(),
        virtual_router_id: Vrid::try_from(52).unwrap(),
        transport: Transport::Multicast { groups: vec![group] },
        addresses: vec![VirtualAddress {
            address: "10.0.0.101".parse().unwrap(),
            ..virtual_address()
        }],
        ..instance(100)
    };
    let (mut node, _) = asked(vec![instance(100), other]);
    let actions = tell(&mut node, listening(&[group]));
    let expected = "stopped -> backup: started\nstopped -> fault: eth0 cannot join the multicast \
                    group 239.1.1.1: no buffer space";
    assert_eq!(told(&actions), expected);
    let faults = node.status().instances.into_iter().map(|one| one.why);
    assert_eq!(faults.filter(|why| why.cause() == "cannot_join").count(), 1);
    // The group is tried again, which disturbs nobody.
    let again = std::iter::repeat_with(|| next(&mut node));
    let mut again = again.take(3).filter(|actions| kinds(actions).contains(&"listen"));
    assert_eq!(kinds(&again.next().expect("another attempt")), ["listen"]);
    drop(again);
    assert_eq!(state(&node, 0), StateName::Backup);
    let said = told(&tell(&mut node, listening(&[])));
    assert_eq!(said, "fault -> backup: able to take part again");
}

/// Rule: a socket may be missing on a further interface. That is reported once and is in the
/// status. Nothing is sent there, and the instance takes part.
#[test]
fn a_further_interface_without_a_socket_is_no_fault() {
    let eth1 = || InterfaceName::try_from("eth1").unwrap();
    let two = InstanceConfig { further_interfaces: vec![eth1()], ..instance(100) };
    let (mut node, _) = asked(vec![two]);
    let own = LinkAddress { address: "10.1.0.10".parse().unwrap(), prefix: 24, secondary: false };
    let second = Link { index: 3, addresses: vec![own], ..link() };
    let listen = tell(&mut node, Input::Link { interface: eth1(), link: Some(second) });
    assert_eq!(kinds(&listen), ["listen"]);
    let failed = Input::Failed { action: Box::new(listen[0].clone()), error: refusal() };
    let actions = tell(&mut node, failed.clone());
    let is_it = |action: &Action| {
        let Action::Report(event) = action else { return false };
        matches!(&event.what, What::PathMissing(_, Family::V4, Fault::CannotListen(..)))
    };
    assert!(matches!(&actions[..], [one] if is_it(one)), "{actions:?}");
    assert_eq!(told(&tell(&mut node, listening(&[]))), "stopped -> backup: started");
    assert!(node.status().to_string().contains("nothing is heard on eth1 (IPv4)"));
    while state(&node, 0) != StateName::Active {
        let actions = next(&mut node);
        let sent_there = |action: &Action| matches!(action, Action::Send { interface, .. } if *interface == eth1());
        assert!(!actions.iter().any(sent_there), "{actions:?}");
        if kinds(&actions).contains(&"listen") {
            assert_eq!(tell(&mut node, failed.clone()), [], "the same again");
        }
    }
    let opened = Input::Listening { interface: eth1(), family: Family::V4, missing: Vec::new() };
    assert_eq!(told(&tell(&mut node, opened)), "eth1 (IPv4) is heard again");
}

/// Rule: another interface of the same name needs another socket, also where the kernel's news of the two
/// are one: the old socket is bound to what is not there any more.
#[test]
fn another_interface_of_the_same_name_needs_another_socket() {
    let (mut node, _) = asked(vec![instance(100)]);
    tell(&mut node, listening(&[]));
    let other = Link { index: 3, ..link() };
    let actions = tell(&mut node, Input::Link { interface: eth0(), link: Some(other) });
    let is_of_socket = |kind: &&str| kind.ends_with("listen") || kind.starts_with("stop");
    let kinds: Vec<&str> = kinds(&actions).into_iter().filter(is_of_socket).collect();
    assert_eq!(kinds, ["stop listening", "listen"], "{actions:?}");
    let is_of_the_new = |action: &Action| matches!(action, Action::Listen { index: 3, .. });
    assert!(actions.iter().any(is_of_the_new), "{actions:?}");
}
