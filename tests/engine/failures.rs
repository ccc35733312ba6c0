//! What the system has refused or another program has done, and what follows from it.

use std::net::IpAddr;

use vipd::engine::story::StateName;
use vipd::engine::{Action, Input};
use vipd::model::{Config, InstanceConfig, VirtualAddress, Vrid};
use vipd::vrrp::packet::{Advertisement, ChecksumForm};

use super::node::{
    Node, PEER, VIRTUAL, advertisement, engine_of, from_peer, gone, instance, kinds, packet, told,
    virtual_address,
};

/// Rule: a failure that leaves the addresses where they are is told, and nothing else follows.
#[test]
fn a_failure_beside_the_addresses_is_told() {
    let mut node = Node::new(instance(100));
    let taken = node.next();
    let cases = [
        ("write down", "what this node holds could not be written down: refused;"),
        ("announce", "the addresses could not be announced on eth0: refused"),
        ("watch", "no ARP socket on eth0: refused;"),
    ];
    for (kind, text) in cases {
        let place = kinds(&taken).iter().position(|one| *one == kind).unwrap();
        let actions = node.fail(&taken[place], 1);
        assert_eq!(kinds(&actions), ["report"]);
        assert!(told(&actions).starts_with(text), "{}", told(&actions));
        assert_eq!(node.state(), StateName::Active);
    }
}

/// Bug guarded: a removal that had failed was tried again, though the address was held again.
#[test]
fn an_address_that_is_held_again_is_not_removed() {
    let mut node = Node::active(100);
    let removal = node.hear(from_peer(200)).remove(0);
    node.fail(&removal, 1);
    node.hear(from_peer(0));
    while node.state() != StateName::Active {
        assert!(!node.next().contains(&removal), "its retry comes after the takeover");
    }
    for _ in 0..20 {
        assert!(!node.next().contains(&removal));
    }
}

/// Rule: a fight for an address is not fought faster than every 50 ms, also where the lease is to
/// be renewed meanwhile.
#[test]
fn a_renewal_does_not_hurry_a_fight() {
    let mut node = Node::active(100);
    // Renewals are at the multiples of a quarter of the lease.
    node.millis = node.millis.next_multiple_of(750);
    node.tell(Input::Deadline);
    node.millis += 730;
    assert_eq!(kinds(&node.tell(gone(VIRTUAL)))[0], "add");
    node.millis += 1;
    assert_eq!(node.tell(gone(VIRTUAL)), []);
    node.millis += 19;
    assert!(!kinds(&node.tell(Input::Deadline)).contains(&"add"), "that is 20 ms later");
    node.millis += 30;
    assert!(kinds(&node.tell(Input::Deadline)).contains(&"add"));
}

/// Rule: an advertisement goes out sooner only where another one goes out at that moment: who has
/// let go has no moment any more.
#[test]
fn who_has_let_go_has_no_slot() {
    let address = |last| VirtualAddress { address: [10, 0, 0, last].into(), ..virtual_address() };
    let mail = InstanceConfig {
        name: "mail".try_into().unwrap(),
        virtual_router_id: Vrid::try_from(52).unwrap(),
        addresses: vec![address(101)],
        ..instance(101)
    };
    let better = Advertisement {
        virtual_router_id: Vrid::try_from(52).unwrap(),
        addresses: vec![IpAddr::from([10, 0, 0, 101])],
        ..advertisement(200)
    };
    // The time from its takeover to the second advertisement of the first instance.
    let distance = |mail_stays: bool| {
        let instances = vec![instance(100), mail.clone()];
        let mut node = engine_of(Config { instances, ..Config::default() });
        node.next();
        if !mail_stays {
            node.hear(packet(&better, PEER, ChecksumForm::WithPseudoHeader));
        }
        while node.state() != StateName::Active {
            node.next();
        }
        let taken = node.millis;
        let is_of_web =
            |action: &Action| matches!(action, Action::Send { message, .. } if message[1] == 51);
        while !node.next().iter().any(is_of_web) {}
        node.millis - taken
    };
    assert_eq!([distance(true), distance(false)], [996, 1_000]);
}
