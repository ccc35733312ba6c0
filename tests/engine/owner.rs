//! The address owner, priority 255: its addresses are the machine's own (RFC 9568 sections 5.2.4,
//! 6.4 and 8.3.2).

use vipd::engine::story::StateName;
use vipd::engine::{Action, Input, LinkAddress};
use vipd::model::Config;
use vipd::vrrp::packet::Discard;

use crate::node::{Node, VIRTUAL, eth0, from_peer, instance, kinds, link, told};

/// A machine that has the address by itself, and what it did at its start.
fn owner() -> (Node, Vec<Action>) {
    let config = Config { instances: vec![instance(255)], ..Config::default() };
    let mut node = Node::unlinked(config);
    let mut owner = link();
    owner.addresses.push(LinkAddress { address: VIRTUAL, prefix: 24, secondary: true });
    let actions = node.tell(Input::Link { interface: eth0(), link: Some(owner) });
    (node, actions)
}

/// Rule: an owner is active from its start, without waiting (section 6.4.1), and neither adds nor
/// removes its addresses; it leaves with priority 0 (section 6.4.3).
#[test]
fn an_owner_does_not_touch_its_addresses() {
    let (mut node, actions) = owner();
    let expected = ["listen", "advertise", "announce", "announce", "report", "write down", "watch"];
    assert_eq!(kinds(&actions), expected);
    node.millis += 1;
    let actions = node.tell(Input::Stop);
    assert_eq!(kinds(&actions), ["priority 0", "report", "write down", "watch", "exit"]);
}

/// Bug guarded: an owner that heard nobody did not answer a router that had taken the addresses in
/// a partition, and whoever that one had served was not told where they are (section 6.4.3; erratum
/// 8298 of section 7.1).
#[test]
fn an_owner_asserts_itself_against_all_others() {
    let (mut node, _) = owner();
    node.millis += 10_000;
    assert_eq!(kinds(&node.hear(from_peer(254))), ["advertise", "announce", "announce"]);
    node.millis += 1_000;
    assert_eq!(kinds(&node.hear(from_peer(0))), ["advertise", "announce", "announce"]);
    assert_eq!(node.state(), StateName::Active);
    assert_eq!(node.status().instances[0].counters.discards, [].into());
}

/// Rule: two owners do not yield to each other because of their addresses, which are not less their
/// own for that: the other one is refused, and named (section 8.3.2).
#[test]
fn another_owner_is_named() {
    let (mut node, _) = owner();
    node.millis += 10_000;
    let due = node.engine.next_deadline();
    let actions = node.hear(from_peer(255));
    assert_eq!(kinds(&actions), ["report"]);
    let expected = "advertisements of 10.0.0.11 are refused: its sender says that it owns the \
                    addresses (priority 255), as this node does";
    assert!(told(&actions).contains(expected), "{}", told(&actions));
    assert_eq!(told(&node.hear(from_peer(255))), "", "said once");
    assert_eq!((node.state(), node.engine.next_deadline()), (StateName::Active, due));
    let discards = node.status().instances[0].counters.discards.clone();
    assert_eq!(discards, [(Discard::AddressOwner, 2)].into());
}

/// Bug guarded: an owner that was held up must not become the backup of whoever took over
/// meanwhile.
#[test]
fn an_owner_that_overslept_goes_on() {
    let (mut node, _) = owner();
    node.millis += 60_000;
    assert_eq!(kinds(&node.hear(from_peer(100))), ["advertise", "announce", "announce"]);
    assert_eq!(node.state(), StateName::Active);
}
