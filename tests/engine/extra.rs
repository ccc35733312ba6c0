//! What moves along with the addresses: addresses that are not advertised, routes and rules.

use std::net::IpAddr;

use vipd::engine::{Action, Change, Input, Link, SystemError};
use vipd::model::{
    Config, Family, InstanceConfig, Network, Route, RouteKind, Routing, RoutingTable, Rule,
    RuleAction, VirtualAddress,
};
use vipd::time::Span;

use crate::node::{Node, VIRTUAL, eth0, from_peer, instance, kinds, link, told, virtual_address};
use crate::tracks::track;

const ENETUNREACH: i32 = 101;

fn reload(instances: Vec<InstanceConfig>) -> Input {
    Input::Reload { config: Box::new(Config { instances, ..Config::default() }) }
}

fn extra(address: &str) -> VirtualAddress {
    let address: IpAddr = address.parse().unwrap();
    VirtualAddress { address, prefix: 24, ..virtual_address() }
}

pub(crate) fn route() -> Route {
    Route {
        to: Network { address: [10, 9, 0, 0].into(), prefix: 16 },
        kind: RouteKind::Unicast,
        via: Some([10, 0, 0, 1].into()),
        dev: Some(eth0()),
        source: None,
        table: RoutingTable::MAIN,
        metric: 0,
        scope: None,
        mtu: None,
    }
}

fn rule() -> Rule {
    Rule {
        priority: 1000,
        family: Family::V4,
        from: Some(Network { address: VIRTUAL, prefix: 32 }),
        to: None,
        iif: None,
        oif: None,
        fwmark: None,
        action: RuleAction::Lookup(RoutingTable(100)),
    }
}

fn routing() -> InstanceConfig {
    InstanceConfig { routes: vec![route()], rules: vec![rule()], ..instance(100) }
}

fn added(actions: &[Action]) -> Vec<IpAddr> {
    let added = |action: &Action| match action {
        Action::Change(Change::AddAddress { address, .. }) => Some(address.address),
        _ => None,
    };
    actions.iter().filter_map(added).collect()
}

fn only(actions: &[Action], kind: &str) -> Vec<&'static str> {
    kinds(actions).into_iter().filter(|one| *one == kind).collect()
}

fn routing_of(actions: &[Action]) -> Vec<(&'static str, Routing)> {
    let one = |action: &Action| match action {
        Action::Change(Change::AddRouting { routing, again, .. }) => {
            Some((if *again { "again" } else { "add" }, routing.clone()))
        }
        Action::Change(Change::RemoveRouting { routing }) => Some(("remove", routing.clone())),
        _ => None,
    };
    actions.iter().filter_map(one).collect()
}

/// Rule: an extra address, also one of the other family, is put on, announced, watched and held
/// like the others, and stands in no advertisement.
#[test]
fn extra_addresses_are_not_advertised() {
    let config = InstanceConfig {
        extra_addresses: vec![extra("10.0.0.101"), extra("2001:db8::101")],
        ..instance(100)
    };
    let mut node = Node::new(config);
    let actions = node.next();
    let second: IpAddr = [10, 0, 0, 101].into();
    let third: IpAddr = "2001:db8::101".parse().unwrap();
    assert_eq!(added(&actions), [VIRTUAL, second, third]);
    for action in &actions {
        match action {
            // Version, type and count: one address of four bytes after a header of eight.
            Action::Send { message, .. } => assert_eq!((message[3], message.len()), (1, 12)),
            Action::Watch { addresses, .. } => assert_eq!(addresses[..], [VIRTUAL, second, third]),
            Action::WriteDown { routers } => assert_eq!(routers[0].addresses.len(), 3),
            _ => {}
        }
    }
    assert_eq!(only(&actions, "watch").len(), 1);
    // Two ARP frames for each IPv4 address, one neighbour advertisement.
    assert_eq!(only(&actions, "announce").len(), 5);
    let gone = crate::node::gone(third);
    assert_eq!(added(&node.tell(gone)), [third]);
    let actions = node.hear(from_peer(200));
    assert_eq!(only(&actions, "remove").len(), 3);
}

/// Rule: routes and rules come after the addresses that they may need, written down before, and go
/// before them, the last one first.
#[test]
fn routes_come_after_the_addresses_and_go_before() {
    let mut node = Node::new(routing());
    let actions = node.next();
    let order: Vec<_> = kinds(&actions)
        .into_iter()
        .filter(|kind| ["write down", "add", "add routing"].contains(kind))
        .collect();
    assert_eq!(order, ["write down", "add", "add routing", "add routing"]);
    let all = [Routing::Route(route()), Routing::Rule(rule())];
    let written = actions.iter().find_map(|action| match action {
        Action::WriteDown { routers } => Some(routers[0].routing.clone()),
        _ => None,
    });
    assert_eq!(written.as_deref(), Some(&all[..]));
    let actions = node.hear(from_peer(200));
    let order: Vec<_> =
        kinds(&actions).into_iter().filter(|kind| kind.starts_with("remove")).collect();
    assert_eq!(order, ["remove routing", "remove routing", "remove"]);
    let [first, last] = all;
    assert_eq!(routing_of(&actions), [("remove", last), ("remove", first)]);
    let later = node.millis + 2_000;
    assert!(!until(&mut node, later).iter().any(is_routing), "it is over");
}

/// Lets time pass until then.
fn until(node: &mut Node, millis: u64) -> Vec<Action> {
    let mut actions = Vec::new();
    while node.engine.next_deadline().is_some_and(|due| due.at.0 <= millis * 1_000_000) {
        actions.extend(node.next());
    }
    node.millis = millis;
    actions
}

fn is_routing(action: &Action) -> bool {
    matches!(action, Action::Change(Change::AddRouting { .. } | Change::RemoveRouting { .. }))
}

/// Rule: what is held is asked for again with each renewal of the lease, and what had gone is told
/// and counted; without a lease each second.
#[test]
fn what_has_gone_is_put_back() {
    for lease in [Some(Span::from_secs(4)), None] {
        let mut node = Node::new(InstanceConfig { lease, ..routing() });
        node.next();
        let later = node.millis + 3_100;
        let looks = until(&mut node, later);
        let again = routing_of(&looks);
        assert!((6..=8).contains(&again.len()), "each second, both: {again:?}");
        assert!(again.iter().all(|(how, _)| *how == "again"), "{again:?}");
        let actions = node.tell(Input::RoutingRestored { routing: Routing::Route(route()) });
        let text = told(&actions);
        assert!(text.contains("another program removed route 10.9.0.0/16 via 10.0.0.1"), "{text}");
        assert_eq!(node.status().instances[0].counters.put_back, 1);
    }
}

/// Bug guarded: the kernel takes routes off silently when their source address goes, so that they
/// have to be looked after as soon as that is back.
#[test]
fn routes_are_looked_after_when_an_address_was_gone() {
    let mut node = Node::new(routing());
    node.next();
    node.tell(crate::node::gone(VIRTUAL));
    let now = node.millis;
    let looks = routing_of(&until(&mut node, now));
    assert_eq!(looks.iter().map(|(how, _)| *how).collect::<Vec<_>>(), ["again", "again"]);
}

/// Rule: a route that cannot be added is tried again, and in the end another node gets its chance:
/// the fault names it.
#[test]
fn a_route_that_cannot_be_added_ends_in_fault() {
    let mut node = Node::new(routing());
    let mut actions = node.next();
    for attempt in 1..=3 {
        let action = actions
            .into_iter()
            .find(|action| {
                matches!(
                    action,
                    Action::Change(Change::AddRouting { routing: Routing::Route(_), .. })
                )
            })
            .expect("an attempt");
        let text = "Network is unreachable".to_owned();
        let error = SystemError { errno: ENETUNREACH, text };
        actions = node.tell(Input::Failed { action: Box::new(action), error });
        if attempt < 3 {
            assert!(told(&actions).contains("cannot add route 10.9.0.0/16"), "{actions:?}");
            let later = node.millis + 150;
            actions = until(&mut node, later);
        }
    }
    assert_eq!(
        node.status().instances[0].reason,
        "route 10.9.0.0/16 via 10.0.0.1 dev eth0 cannot be added: Network is unreachable"
    );
    assert!(kinds(&actions).contains(&"priority 0"), "{actions:?}");
    assert_eq!(only(&actions, "remove routing").len(), 2);
}

/// Rule: a reload that changes one route takes that one off and adds the new one; the others and
/// the addresses stay.
#[test]
fn a_reload_changes_one_route() {
    let mut node = Node::new(routing());
    node.next();
    let other = Route { via: Some([10, 0, 0, 2].into()), ..route() };
    let config = InstanceConfig { routes: vec![other.clone()], ..routing() };
    let actions = node.tell(reload(vec![config]));
    let (old, new) = (Routing::Route(route()), Routing::Route(other));
    assert_eq!(routing_of(&actions), [("remove", old), ("add", new)]);
    assert!(added(&actions).is_empty());
    assert!(told(&actions).contains("reconfigured: routes"), "{}", told(&actions));
}

/// Rule: a route's interface is one that the instance needs: without it, it is in fault by its
/// name.
#[test]
fn the_interface_of_a_route_is_needed() {
    let eth1 = vipd::model::InterfaceName::try_from("eth1").unwrap();
    let abroad = Route { dev: Some(eth1.clone()), ..route() };
    let config = InstanceConfig { routes: vec![abroad], ..instance(100) };
    let mut node = Node::new(config);
    let down = Link { index: 7, carrier: false, ..link() };
    node.tell(Input::Link { interface: eth1, link: Some(down) });
    assert_eq!(node.status().instances[0].reason, "link eth1 has no carrier");
}

/// Bug guarded: an interface on which a reload leaves no address must not be watched for other
/// conflicts any longer.
#[test]
fn an_interface_without_addresses_is_not_watched() {
    let eth1 = vipd::model::InterfaceName::try_from("eth1").unwrap();
    let abroad = VirtualAddress { dev: Some(eth1.clone()), ..extra("10.8.0.100") };
    let config = InstanceConfig { extra_addresses: vec![abroad.clone()], ..instance(100) };
    let mut node = Node::new(config);
    let up = Link { index: 7, addresses: Vec::new(), ..link() };
    node.tell(Input::Link { interface: eth1.clone(), link: Some(up) });
    let watch = |addresses| Action::Watch { interface: eth1.clone(), addresses };
    let actions = node.next();
    assert!(actions.contains(&watch(vec![abroad.address])), "{actions:?}");
    let actions = node.tell(reload(vec![instance(100)]));
    assert!(actions.contains(&watch(Vec::new())), "{actions:?}");
}

/// Bug guarded: a reload brings a route and a check that has not passed yet. The route was added and
/// taken off in the same answer and was not written down: a daemon that died in between left it.
#[test]
fn a_route_that_is_there_for_a_moment_is_written_down() {
    let check = track("ready");
    let mut node = Node::active(100);
    let tracks = vec![check.name.clone()];
    let with_both = InstanceConfig { routes: vec![route()], tracks, ..instance(100) };
    let instances = vec![with_both];
    let config = Config { instances, tracks: vec![check], ..Config::default() };
    let actions = node.tell(Input::Reload { config: Box::new(config) });
    let route = Routing::Route(route());
    let added = actions.iter().position(|action| {
        matches!(action, Action::Change(Change::AddRouting { routing, .. }) if *routing == route)
    });
    let written = actions.iter().position(|action| {
        matches!(action, Action::WriteDown { routers } if routers[0].routing.contains(&route))
    });
    assert!(added.is_none() || written.is_some_and(|at| Some(at) < added), "{actions:?}");
    assert_eq!(routing_of(&actions).last(), Some(&("remove", route.clone())), "{actions:?}");
    assert!(!node.written.has_routing(&route));
}
