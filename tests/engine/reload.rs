//! Another configuration for a node that runs: invariant 6, nothing half done.

use std::net::IpAddr;

use vipd::engine::story::StateName;
use vipd::engine::{Action, Change, Input, Link};
use vipd::model::{Config, InstanceConfig, Preempt, VirtualAddress};
use vipd::time::Span;

use crate::node::{
    Node, VIRTUAL, engine_of, eth0, from_peer, instance, kinds, link, told, virtual_address,
};

fn reload(instances: Vec<InstanceConfig>) -> Input {
    Input::Reload { config: Box::new(Config { instances, ..Config::default() }) }
}

fn other_address() -> VirtualAddress {
    VirtualAddress { address: [10, 0, 0, 101].into(), ..virtual_address() }
}

/// An instance beside the first one.
fn second(addresses: Vec<VirtualAddress>) -> InstanceConfig {
    InstanceConfig {
        name: "api".try_into().unwrap(),
        virtual_router_id: 52.try_into().unwrap(),
        addresses,
        ..instance(100)
    }
}

/// The addresses that are added and removed, in this order.
fn changes(actions: &[Action]) -> Vec<(&'static str, IpAddr)> {
    let change = |action: &Action| match action {
        Action::Change(Change::AddAddress { address, .. }) => Some(("add", address.address)),
        Action::Change(Change::RemoveAddress { address, .. }) => Some(("remove", address.address)),
        _ => None,
    };
    actions.iter().filter_map(change).collect()
}

/// Rule: a thousand reloads of what is in effect do nothing: no action, no other deadline.
#[test]
fn the_same_again_changes_nothing() {
    let mut node = Node::active(100);
    let (status, due) = (node.status(), node.engine.next_deadline());
    for _ in 0..1_000 {
        assert_eq!(node.tell(reload(vec![instance(100)])), []);
    }
    assert_eq!((node.status(), node.engine.next_deadline()), (status, due));
}

/// Rule: the configuration that the engine works by is the one that it was given last, whatever
/// came, went, was renamed or changed its order with it, and what still leaves is no part of it.
/// The daemon compares the two every two seconds while it waits for something.
#[test]
fn the_configuration_in_effect_is_the_one_that_was_given() {
    let mut node = Node::active(100);
    let renamed = InstanceConfig { name: "www".try_into().unwrap(), ..instance(100) };
    let other = || second(vec![other_address()]);
    for instances in [
        vec![instance(100)],
        vec![instance(50), other()],
        vec![other(), instance(50)],
        vec![other()],
        vec![renamed],
        Vec::new(),
    ] {
        let config = Config { instances, ..Config::default() };
        node.tell(Input::Reload { config: Box::new(config.clone()) });
        assert_eq!(node.engine.config(), config);
    }
}

/// Rule: addresses come and go in place: what is written down and announced follows, and the
/// instance stays active.
#[test]
fn addresses_change_in_place() {
    let mut node = Node::active(100);
    let both =
        InstanceConfig { addresses: vec![virtual_address(), other_address()], ..instance(100) };
    let actions = node.tell(reload(vec![both]));
    let expected =
        ["write down", "add", "announce", "announce", "announce", "announce", "report", "watch"];
    assert_eq!(kinds(&actions), expected);
    assert_eq!(changes(&actions), [("add", other_address().address)]);
    assert_eq!(told(&actions), "reconfigured: addresses");
    let one = InstanceConfig { addresses: vec![other_address()], ..instance(100) };
    let actions = node.tell(reload(vec![one]));
    assert_eq!(changes(&actions), [("remove", virtual_address().address)]);
    assert_eq!(node.state(), StateName::Active);
    assert_eq!(node.status().instances[0].held, [other_address()]);
}

/// Rule: an address with another label is another one to the operator and the same to the kernel.
#[test]
fn a_label_changes() {
    let mut node = Node::active(100);
    let labelled = VirtualAddress { label: Some("eth0:web".to_owned()), ..virtual_address() };
    let actions =
        node.tell(reload(vec![InstanceConfig { addresses: vec![labelled], ..instance(100) }]));
    let address = virtual_address().address;
    assert_eq!(changes(&actions), [("remove", address), ("add", address)]);
}

/// Rule: an address that moves between two instances which this node holds stays on its interface.
#[test]
fn an_address_moves_between_instances() {
    let third = VirtualAddress { address: [10, 0, 0, 102].into(), ..virtual_address() };
    let both = vec![
        InstanceConfig { addresses: vec![virtual_address(), other_address()], ..instance(100) },
        second(vec![third.clone()]),
    ];
    let mut node = engine_of(Config { instances: both, ..Config::default() });
    while node.status().instances.iter().any(|one| one.state != StateName::Active) {
        node.next();
    }
    let moved = vec![instance(100), second(vec![third, other_address()])];
    let actions = node.tell(reload(moved));
    assert_eq!(changes(&actions), [("add", other_address().address)]);
    let held = node.status().instances.iter().map(|one| one.held.len()).collect::<Vec<_>>();
    assert_eq!(held, [1, 2]);
}

/// Rule: what an active router says of itself is said at once; a backup waits by its new priority.
#[test]
fn another_priority_is_advertised() {
    let mut node = Node::active(100);
    let actions = node.tell(reload(vec![instance(50)]));
    assert_eq!(kinds(&actions), ["advertise", "report"]);
    assert_eq!(told(&actions), "reconfigured: priority");
    node.hear(from_peer(80));
    assert_eq!(node.state(), StateName::Backup);
    let actions = node.tell(reload(vec![instance(150)]));
    assert_eq!(kinds(&actions), ["report"]);
    node.millis += 3_000;
    node.hear(from_peer(80));
    let actions = node.next();
    assert!(told(&actions).contains("preempting 10.0.0.11"), "{}", told(&actions));
}

/// Bug guarded: a reload delayed a takeover. The active router had died, and the backup began to
/// listen again at the reload: nobody had the addresses for up to three more intervals, after each
/// reload.
#[test]
fn a_reload_does_not_put_a_takeover_off() {
    let mut node = Node::new(instance(100));
    node.hear(from_peer(200));
    for _ in 0..3 {
        node.millis += 1_000;
        let preempt =
            if node.millis.is_multiple_of(2_000) { Preempt::Always } else { Preempt::Never };
        node.tell(reload(vec![InstanceConfig { preempt, ..instance(100) }]));
    }
    let actions = node.next();
    assert!(told(&actions).contains("silence of 10.0.0.11 for 3.61 s"), "{}", told(&actions));

    // After a farewell it is the skew time alone.
    let mut node = Node::new(instance(100));
    node.hear(from_peer(200));
    node.hear(from_peer(0));
    node.millis += 300;
    node.tell(reload(vec![InstanceConfig { preempt: Preempt::Never, ..instance(100) }]));
    let before = node.millis;
    let actions = node.next();
    assert!(told(&actions).contains("10.0.0.11"), "{}", told(&actions));
    assert_eq!(node.millis - before, 310);
}

/// Rule: another lease is in effect at once.
#[test]
fn another_lease_is_renewed() {
    let mut node = Node::active(100);
    let config = InstanceConfig { lease: Some(Span::from_secs(30)), ..instance(100) };
    node.tell(reload(vec![config]));
    let actions = node.tell(Input::Deadline);
    let lease = actions.iter().find_map(|action| match action {
        Action::Change(Change::AddAddress { lease, .. }) => *lease,
        _ => None,
    });
    assert_eq!(lease, Some(Span::from_secs(30)), "{actions:?}");
}

/// Rule: an instance that is not in the file any more leaves as in an orderly stop, and the daemon
/// runs on; a new one listens first.
#[test]
fn instances_come_and_go() {
    let mut node = Node::active(100);
    let actions = node.tell(reload(vec![second(vec![other_address()])]));
    assert_eq!(kinds(&actions), ["priority 0", "report", "listen", "report"]);
    let name = |place: usize| node.status().instances[place].name.to_string();
    assert_eq!([name(0), name(1)], ["api", "web"]);
    assert!(node.status().instances[1].leaving);
    node.millis += 500;
    // The successor's advertisement: the router that leaves still listens.
    let actions = node.hear(from_peer(80));
    assert!(told(&actions).contains("it is not in the configuration any more"), "{actions:?}");
    assert_eq!(changes(&actions), [("remove", virtual_address().address)]);
    assert!(!kinds(&actions).contains(&"exit"));
    assert_eq!(node.status().instances.len(), 1);
}

/// Rule: another VRID is another virtual router: the old one hands over first, and its address is
/// not taken from under the new one.
#[test]
fn another_virtual_router_id_moves_the_address() {
    let mut node = Node::active(100);
    let config = InstanceConfig { virtual_router_id: 77.try_into().unwrap(), ..instance(100) };
    node.tell(reload(vec![config]));
    for _ in 0..200 {
        let actions = node.next();
        assert!(changes(&actions).len() < 2, "{actions:?}");
        if node.status().instances[0].state == StateName::Active {
            break;
        }
    }
    assert_eq!(node.status().instances[0].held, [virtual_address()]);
    assert_eq!(node.status().instances.len(), 1);
}

/// Rule: a reload that comes while the daemon stops changes nothing.
#[test]
fn a_stop_is_not_reloaded() {
    let mut node = Node::active(100);
    node.tell(Input::Stop);
    assert_eq!(node.tell(reload(vec![instance(50)])), []);
}

/// Bug guarded: an address that the system did not remove when its instance went was forgotten;
/// without a lease it stayed for ever. It is tried again, and stays written down until it is gone.
#[test]
fn what_a_retired_instance_could_not_remove_is_not_forgotten() {
    let mut node = Node::active(100);
    let actions = node.tell(Input::Reload { config: Box::default() });
    let removal = actions
        .iter()
        .find(|action| matches!(action, Action::Change(Change::RemoveAddress { .. })));
    let removal = match removal {
        Some(removal) => removal.clone(),
        // Another router is waited for first.
        None => std::iter::repeat_with(|| node.next())
            .flatten()
            .find(|action| matches!(action, Action::Change(Change::RemoveAddress { .. })))
            .expect("a removal"),
    };
    let actions = node.fail(&removal, 1);
    assert!(node.written.has(&eth0(), VIRTUAL), "{actions:?}");
    let again: Vec<Action> =
        (0..20).map_while(|_| node.engine.next_deadline().map(|_| node.next())).flatten().collect();
    assert!(again.contains(&removal), "{again:?}");
    assert_eq!(node.status().instances, [], "gone in the end");
    assert_eq!(node.written.routers().count(), 0);
}

/// Bug guarded: an instance that a reload took away while its link was down, and that was not
/// believed yet, was due for its link for ever.
#[test]
fn what_is_taken_away_does_not_wait_for_its_link() {
    let config = InstanceConfig { link_down_delay: Span::from_millis(200), ..instance(100) };
    let mut node = Node::new(config);
    node.tell(Input::Link { interface: eth0(), link: Some(Link { carrier: false, ..link() }) });
    node.tell(reload(Vec::new()));
    let due = (0..10).find(|_| {
        let is_over = node.engine.next_deadline().is_none();
        if !is_over {
            node.next();
        }
        is_over
    });
    assert!(due.is_some(), "still due: {:?}", node.engine.next_deadline());
}

/// Rule: a virtual router that leaves because the configuration had it no more ends at once when it is
/// in the configuration again: the new one cannot start while the old one has the addresses.
#[test]
fn who_comes_back_ends_its_departure() {
    let mut node = Node::active(100);
    let actions = node.tell(reload(Vec::new()));
    assert!(!kinds(&actions).contains(&"remove"), "it answers until another one does: {actions:?}");
    let actions = node.tell(reload(vec![instance(100)]));
    assert!(kinds(&actions).contains(&"remove"), "{actions:?}");
    node.next();
    assert_eq!(node.status().instances.len(), 1, "{}", node.status());
}

/// Rule: who has left because the configuration had it no more still hears that its address was not
/// removed, and tries again: the kernel's answer may come later than all else that was due.
#[test]
fn who_has_left_hears_that_a_removal_was_refused() {
    let mut node = Node::active(100);
    node.tell(reload(Vec::new()));
    let is_removal =
        |action: &Action| matches!(action, Action::Change(Change::RemoveAddress { .. }));
    let removal = loop {
        if let Some(removal) = node.next().into_iter().find(is_removal) {
            break removal;
        }
    };
    node.tell(Input::Deadline);
    node.millis += 500;
    node.tell(Input::Deadline);
    node.fail(&removal, 16);
    // Its time for late answers ends before it tries again.
    let again: Vec<Action> = [node.next(), node.next()].concat();
    assert!(again.contains(&removal), "{again:?}");
}
