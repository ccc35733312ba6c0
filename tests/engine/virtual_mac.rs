//! Virtual MAC addresses: the order of what is done to devices, addresses and messages.

use vipd::engine::story::StateName;
use vipd::engine::{Action, Change, Input, Link, LinkAddress};
use vipd::model::{Config, InstanceConfig, InterfaceName, Mac, VirtualDevice};

use super::node::{
    Node, OURS, VIRTUAL, eth0, from_peer, instance, kinds, link, told, virtual_address,
};

const MAC: Mac = Mac([0, 0, 0x5e, 0, 1, 51]);

fn with_virtual_mac(priority: u8) -> InstanceConfig {
    InstanceConfig { virtual_mac: true, ..instance(priority) }
}

fn device() -> VirtualDevice {
    with_virtual_mac(100).virtual_devices().remove(0)
}

fn name() -> InterfaceName {
    "vipd4-51-eth0".try_into().unwrap()
}

fn device_link(up: bool) -> Link {
    Link { index: 7, mac: Some(MAC), up, carrier: up, addresses: Vec::new(), ..link() }
}

fn tell_device(node: &mut Node, link: Option<Link>) -> Vec<Action> {
    node.tell(Input::Link { interface: name(), link })
}

/// An engine that knows both interfaces, of which there is only eth0; with its last answer.
fn started(config: InstanceConfig) -> (Node, Vec<Action>) {
    let config = Config { instances: vec![config], ..Config::default() };
    let mut node = Node::unlinked(config);
    node.tell(Input::Link { interface: eth0(), link: Some(link()) });
    let actions = tell_device(&mut node, None);
    (node, actions)
}

/// A backup with its device.
fn backup(priority: u8) -> Node {
    let (mut node, _) = started(with_virtual_mac(priority));
    tell_device(&mut node, Some(device_link(false)));
    assert_eq!(node.state(), StateName::Backup);
    node
}

/// An active router whose device is up.
fn active(priority: u8) -> Node {
    let mut node = backup(priority);
    node.next();
    assert_eq!(node.state(), StateName::Active);
    tell_device(&mut node, Some(device_link(true)));
    node
}

fn all_through(actions: &[Action], wanted: Option<&InterfaceName>) {
    let mut sent = 0;
    for action in actions {
        if let Action::Send { interface, through, source, .. } = action {
            assert_eq!((interface, through.as_ref(), *source), (&eth0(), wanted, OURS));
            sent += 1;
        }
    }
    assert!(sent > 0, "{actions:?}");
}

/// Invariant 4: the device is written down before it is made, and the instance takes part once it
/// is there, without a word about a fault.
#[test]
fn the_device_is_made_before_it_takes_part() {
    let (mut node, actions) = started(with_virtual_mac(100));
    assert_eq!(kinds(&actions), ["write down", "add device"]);
    let Action::WriteDown { routers } = &actions[0] else { panic!("{actions:?}") };
    assert_eq!(routers[0].devices, [device()]);
    assert_eq!(node.state(), StateName::Stopped);
    let actions = tell_device(&mut node, Some(device_link(false)));
    assert_eq!(told(&actions), "stopped -> backup: started");
    assert_eq!(node.state(), StateName::Backup);
}

/// Rule: RFC 9568 section 7.2: from the first advertisement on, all leaves by the device; the
/// source stays the interface's address. After silence the advertisement is still first.
#[test]
fn a_takeover_goes_by_the_device() {
    let mut node = backup(100);
    let actions = node.next();
    let expected = [
        "device up",
        "advertise",
        "probe",
        "write down",
        "add",
        "announce",
        "announce",
        "report",
        "watch",
    ];
    assert_eq!(kinds(&actions), expected);
    all_through(&actions, Some(&name()));
    for action in &actions {
        match action {
            Action::Change(Change::AddAddress { interface, .. })
            | Action::Watch { interface, .. } => {
                assert_eq!(*interface, name());
            }
            Action::Announce { interface, frame } => {
                assert_eq!((interface, &frame[6..12]), (&name(), &MAC.0[..]));
            }
            _ => {}
        }
    }
}

/// Rule: a router that lets another one be active takes its device down before it says so: that
/// leaves by the interface, because the switch must not look for the virtual MAC here any more. Nor
/// may the kernel send from it (MLD, when an address leaves it), so the addresses go after that.
///
/// Bug guarded: a planned move over IPv6 left a gap until the next advertisement, up to an
/// interval.
#[test]
fn what_is_said_after_letting_go_leaves_by_the_interface() {
    let mut node = active(100);
    let actions = node.hear(from_peer(200));
    let expected = ["device down", "remove", "priority 0", "report", "write down", "watch"];
    assert_eq!(kinds(&actions), expected);
    all_through(&actions, None);
    let Action::WriteDown { routers } = &actions[4] else { panic!("{actions:?}") };
    assert_eq!(routers[0].devices, [device()], "a backup has its device, too");
}

/// Rule: a stop leaves no device, and nothing is written down afterwards.
#[test]
fn a_stop_removes_the_device() {
    let mut node = backup(100);
    let actions = node.tell(Input::Stop);
    assert_eq!(kinds(&actions), ["remove device", "report", "write down", "exit"]);
    assert_eq!(node.written.routers().count(), 0);
}

/// Rule: a device that cannot be removed stays written down and is removed again.
#[test]
fn a_device_that_stays_is_removed_again() {
    let mut node = active(100);
    let plain = Config { instances: vec![instance(100)], ..Config::default() };
    let actions = node.tell(Input::Reload { config: Box::new(plain) });
    let removal = Action::Change(Change::RemoveDevice { device: device() });
    assert!(actions.contains(&removal), "{actions:?}");
    let actions = node.fail(&removal, 16);
    let Some(Action::WriteDown { routers }) = actions.last() else { panic!("{actions:?}") };
    assert_eq!(routers[0].devices, [device()]);
    assert!(told(&actions).contains("ip link del vipd4-51-eth0"), "{}", told(&actions));
    let again = (0..10).any(|_| node.next().contains(&removal));
    assert!(again, "it is not tried again");
}

/// Rule: what the system refuses is a fault, with its words, and tried again later.
#[test]
fn a_device_that_cannot_be_made_is_a_fault() {
    let (mut node, actions) = started(with_virtual_mac(100));
    let actions = node.fail(&actions[1].clone(), 17);
    let fault = "the device vipd4-51-eth0 is not usable: refused";
    assert!(told(&actions).contains(fault), "{}", told(&actions));
    assert_eq!(node.state(), StateName::Fault);
    assert_eq!(kinds(&node.next()), ["add device"]);
    let actions = tell_device(&mut node, Some(device_link(false)));
    assert_eq!(node.state(), StateName::Backup, "{actions:?}");
}

/// Bug guarded: the kernel tells of changes only, so a device that was there when it was asked for,
/// and is as it must be, is not told of again.
#[test]
fn a_device_that_was_there_is_used() {
    let (mut node, actions) = started(with_virtual_mac(100));
    tell_device(&mut node, Some(device_link(false)));
    node.fail(&actions[1].clone(), 1);
    assert_eq!(node.state(), StateName::Fault);
    assert_eq!(kinds(&node.next()), ["add device"]);
    node.next();
    assert_eq!(node.state(), StateName::Backup);
}

/// Rule (invariant 5, make before break): turned on at an active router, the addresses are on the
/// device and announced from it before they leave the interface, and the other way round.
#[test]
fn turned_on_and_off_while_active() {
    let mut node = Node::active(100);
    let reload = |config| Input::Reload {
        config: Box::new(Config { instances: vec![config], ..Config::default() }),
    };
    // Nothing changes before the kernel says that there is a device.
    let actions = node.tell(reload(with_virtual_mac(100)));
    assert!(told(&actions).contains("reconfigured: virtual_mac"), "{}", told(&actions));
    tell_device(&mut node, None);
    let actions = tell_device(&mut node, Some(device_link(false)));
    // Between the addition and the removal the address is in both places.
    let expected = [
        "device up",
        "write down",
        "add",
        "remove",
        "announce",
        "announce",
        "write down",
        "watch",
        "watch",
    ];
    assert_eq!(kinds(&actions), expected);
    let Action::Change(Change::RemoveAddress { interface, .. }) = &actions[3] else {
        panic!("{actions:?}")
    };
    assert_eq!(*interface, eth0());

    let actions = node.tell(reload(instance(100)));
    let order = kinds(&actions);
    let place = |what: &str| order.iter().position(|kind| *kind == what).unwrap();
    assert!(place("add") < place("remove"), "{order:?}");
    assert!(place("announce") < place("remove device"), "{order:?}");
    assert_eq!(node.state(), StateName::Active);
    let actions = node.next();
    if kinds(&actions).contains(&"advertise") {
        all_through(&actions, None);
    }
}

/// Rule: a device that vanishes is made again, and the addresses are put on it once it is there;
/// one that is taken down is taken up. Both are told.
#[test]
fn what_others_do_to_the_device_is_made_good() {
    let mut node = active(100);
    let actions = tell_device(&mut node, None);
    assert!(kinds(&actions).contains(&"add device"), "{actions:?}");
    let actions = tell_device(&mut node, Some(device_link(false)));
    let expected = ["report", "device up", "write down", "add", "announce", "announce"];
    assert_eq!(kinds(&actions)[..6], expected, "{:?}", kinds(&actions));
    tell_device(&mut node, Some(device_link(true)));
    let actions = tell_device(&mut node, Some(device_link(false)));
    assert_eq!(kinds(&actions)[..2], ["device up", "report"]);
    // It was on its way out: that is no fault, and told once.
    let up = actions[0].clone();
    assert_eq!(node.fail(&up, 19), []);
    tell_device(&mut node, None);
    let actions = tell_device(&mut node, Some(device_link(false)));
    assert_eq!(kinds(&actions)[..3], ["device up", "write down", "add"], "{:?}", kinds(&actions));
    assert_eq!(node.state(), StateName::Active);
}

/// Rule: a kernel that is busy is asked again, and what could not be announced meanwhile is
/// announced then; in the end it is a fault, so that another node can take over.
#[test]
fn a_device_that_does_not_come_up_is_tried_again() {
    const ETIMEDOUT: i32 = 110;
    let mut node = backup(100);
    let up = node.next().remove(0);
    let actions = node.fail(&up, ETIMEDOUT);
    assert!(told(&actions).contains("cannot take vipd4-51-eth0 up"), "{}", told(&actions));
    assert_eq!(node.next(), [up]);
    let actions = tell_device(&mut node, Some(device_link(true)));
    assert_eq!(kinds(&actions), ["announce", "announce"]);

    let mut node = backup(100);
    let up = node.next().remove(0);
    for _ in 0..3 {
        assert_eq!(node.state(), StateName::Active);
        node.fail(&up, ETIMEDOUT);
    }
    assert_eq!(node.state(), StateName::Fault);
}

/// Rule: with its interface the device is gone, and made again with the next one.
#[test]
fn the_device_follows_its_interface() {
    let mut node = backup(100);
    let actions = node.tell(Input::Link { interface: eth0(), link: None });
    assert_eq!(node.state(), StateName::Fault);
    assert!(kinds(&actions).contains(&"remove device"), "renamed away: {actions:?}");
    tell_device(&mut node, None);
    let other = Link { index: 9, ..link() };
    let actions = node.tell(Input::Link { interface: eth0(), link: Some(other) });
    assert!(kinds(&actions).contains(&"add device"), "{actions:?}");
    tell_device(&mut node, Some(device_link(false)));
    assert_eq!(node.state(), StateName::Backup);
}

/// Rule: what another daemon has left is taken off at the start, on the device and on the
/// interface.
#[test]
fn leftovers_are_taken_off_both() {
    let left = LinkAddress { address: VIRTUAL, prefix: 24, secondary: true };
    let config = Config { instances: vec![with_virtual_mac(100)], ..Config::default() };
    let mut node = Node::unlinked(config);
    let mut own = link();
    own.addresses.push(left);
    node.tell(Input::Link { interface: eth0(), link: Some(own) });
    tell_device(&mut node, None);
    let there = Link { addresses: vec![left], ..device_link(false) };
    let actions = tell_device(&mut node, Some(there));
    for interface in [name(), eth0()] {
        let removal =
            Action::Change(Change::RemoveAddress { interface, address: virtual_address() });
        assert!(actions.contains(&removal), "{actions:?}");
    }
}
