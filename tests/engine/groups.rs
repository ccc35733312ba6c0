//! Sync groups: instances that have one election.

use vipd::engine::story::StateName;
use vipd::engine::{Action, Answer, HandoverAnswer, Input, Link, LinkAddress, Packet};
use vipd::model::{Config, InstanceConfig, Notify, SyncGroup, VirtualAddress};

use crate::node::{
    Node, advertisement, eth0, from_peer, instance, kinds, link, now, packet, told, virtual_address,
};
use vipd::model::InterfaceName;
use vipd::vrrp::auth::Proof;
use vipd::vrrp::packet::{Advertisement, ChecksumForm};

fn eth1() -> InterfaceName {
    InterfaceName::try_from("eth1").unwrap()
}

fn lan() -> InstanceConfig {
    InstanceConfig {
        name: "lan".try_into().unwrap(),
        interface: eth1(),
        virtual_router_id: 52.try_into().unwrap(),
        addresses: vec![VirtualAddress { address: [10, 0, 1, 100].into(), ..virtual_address() }],
        ..instance(100)
    }
}

pub(crate) fn config() -> Config {
    let members = vec!["web".try_into().unwrap(), "lan".try_into().unwrap()];
    Config {
        instances: vec![instance(100), lan()],
        sync_groups: vec![SyncGroup {
            name: "gateway".try_into().unwrap(),
            members,
            notify: Notify::default(),
        }],
        ..Config::default()
    }
}

pub(crate) fn lan_link(carrier: bool) -> Input {
    let own = LinkAddress { address: [10, 0, 1, 10].into(), prefix: 24, secondary: false };
    let link = Link { index: 3, carrier, addresses: vec![own], ..link() };
    Input::Link { interface: eth1(), link: Some(link) }
}

/// A node whose group has both of its links.
fn group() -> Node {
    group_of(config())
}

pub(crate) fn group_of(config: Config) -> Node {
    let mut node = Node::unlinked(config);
    node.tell(Input::Link { interface: eth0(), link: Some(link()) });
    node.tell(lan_link(true));
    node
}

pub(crate) fn active_group() -> Node {
    let mut node = group();
    node.next();
    assert_eq!(states(&node), [StateName::Active; 2]);
    node
}

pub(crate) fn states(node: &Node) -> [StateName; 2] {
    let status = node.status();
    [status.instances[0].state, status.instances[1].state]
}

pub(crate) fn hear_on_lan(node: &mut Node, priority: u8) -> Vec<Action> {
    let on_lan = Advertisement {
        virtual_router_id: 52.try_into().unwrap(),
        addresses: vec![[10, 0, 1, 100].into()],
        ..advertisement(priority)
    };
    let bytes = packet(&on_lan, [10, 0, 1, 11].into(), ChecksumForm::WithPseudoHeader);
    let arrived = now(node.millis).mono;
    let (packet, proof) = (Packet::V4 { bytes }, Proof::None);
    node.tell(Input::Received { interface: eth1(), arrived, packet, proof })
}

/// Rule: a member that hears nobody waits for one that hears an active router.
#[test]
fn no_member_claims_before_all_could() {
    let mut node = group();
    for _ in 0..10 {
        node.millis += 1_000;
        node.hear(from_peer(200));
        node.tell(Input::Deadline);
        assert_eq!(states(&node), [StateName::Backup; 2]);
    }
    node.next();
    assert_eq!(states(&node), [StateName::Active; 2]);
}

/// Rule: a group whose links are not all known yet waits for them.
#[test]
fn an_unknown_link_is_waited_for() {
    let mut node = Node::unlinked(config());
    node.tell(Input::Link { interface: eth0(), link: Some(link()) });
    assert_eq!(node.engine.next_deadline(), None);
    node.tell(lan_link(true));
    node.next();
    assert_eq!(states(&node), [StateName::Active; 2]);
}

/// Invariant 5: a group that preempts answers for all of its addresses before its first
/// advertisement makes the other node let go of all of them.
#[test]
fn a_group_preempts_without_a_gap() {
    let mut node = group();
    for _ in 0..2 {
        node.hear(from_peer(50));
        hear_on_lan(&mut node, 50);
        node.millis += 1_600;
    }
    node.hear(from_peer(50));
    hear_on_lan(&mut node, 50);
    let actions = node.next();
    let kinds = kinds(&actions);
    let last_add = kinds.iter().rposition(|kind| *kind == "add");
    let first_advertisement = kinds.iter().position(|kind| *kind == "advertise");
    assert!(last_add.is_some() && last_add < first_advertisement, "{kinds:?}");
    assert_eq!(states(&node), [StateName::Active; 2]);
}

/// Rule: a member that yields takes the others with it, and says so.
#[test]
fn a_better_router_on_one_segment_gets_all() {
    let mut node = active_group();
    let actions = hear_on_lan(&mut node, 200);
    assert_eq!(states(&node), [StateName::Backup; 2]);
    assert_eq!(kinds(&actions).iter().filter(|kind| **kind == "priority 0").count(), 2);
    let expected = "active -> backup: lan, of the same sync group, leaves its addresses to another \
                    router";
    assert!(told(&actions).contains(expected), "{}", told(&actions));
}

/// Rule: a fault of one is a fault of all, with the name of the one.
#[test]
fn a_fault_is_shared() {
    let mut node = active_group();
    let actions = node.tell(lan_link(false));
    assert_eq!(states(&node), [StateName::Fault; 2]);
    let expected = "active -> fault: lan, of the same sync group gateway, cannot take part";
    assert!(told(&actions).contains(expected), "{}", told(&actions));
    node.tell(lan_link(true));
    assert_eq!(states(&node), [StateName::Backup; 2]);
}

/// Rule: a handover of one member is one of all; each lets go when its own successor is heard.
#[test]
fn a_handover_moves_the_group() {
    let mut node = active_group();
    let instance = "lan".try_into().unwrap();
    let actions = node.tell(Input::Handover { request: 7, instance, to: None });
    assert_eq!(kinds(&actions).iter().filter(|kind| **kind == "priority 0").count(), 2);
    node.millis += 500;
    let actions = node.hear(from_peer(50));
    assert_eq!(kinds(&actions).iter().filter(|kind| **kind == "remove").count(), 1);
    let actions = hear_on_lan(&mut node, 50);
    let done = |action: &Action| {
        matches!(
            action,
            Action::Answer { request: 7, answer: Answer::Handover(HandoverAnswer::Done { .. }) }
        )
    };
    assert!(actions.iter().any(done), "{actions:?}");
    assert_eq!(states(&node), [StateName::Backup; 2]);
    let due = node.engine.next_deadline().unwrap().at.since(now(node.millis).mono);
    assert!(due.millis() > 3_000, "it does not preempt its successor: {due}");
}

/// Rule: an instance that a reload adds to an active group is active at once; one that leaves the
/// group has an election of its own again.
#[test]
fn members_come_and_go() {
    let mut node = active_group();
    let alone = Config { sync_groups: Vec::new(), ..config() };
    node.tell(Input::Reload { config: Box::new(alone) });
    hear_on_lan(&mut node, 50);
    hear_on_lan(&mut node, 200);
    assert_eq!(states(&node), [StateName::Active, StateName::Backup]);
    node.millis += 4_500;
    node.tell(Input::Reload { config: Box::new(config()) });
    assert_eq!(states(&node), [StateName::Active; 2]);
}
