//! Rules for actions of known instances, and of their devices.

use super::*;
use crate::model::{
    Authentication, ChecksumStyle, Config, IfAllFail, InstanceConfig, Interval, Notify, Preempt,
    Priority, Transport, Version, Vrid,
};
use crate::time::Span;

/// A configuration with an instance for each of these virtual routers: router 51 has the
/// addresses 1 and 2, router 52 the addresses 3 and 4, and so on.
fn config(routers: &[u8]) -> Config {
    let instance = |router: &u8| {
        let first = (router - 51) * 2 + 1;
        InstanceConfig {
            name: format!("i{router}").as_str().try_into().unwrap(),
            virtual_router_id: Vrid::try_from(*router).unwrap(),
            addresses: vec![address(first)],
            extra_addresses: vec![address(first + 1)],
            ..instance()
        }
    };
    Config { instances: routers.iter().map(instance).collect(), ..Config::default() }
}

fn instance() -> InstanceConfig {
    InstanceConfig {
        notify: Notify::default(),
        name: "web".try_into().unwrap(),
        interface: interface("eth0"),
        further_interfaces: Vec::new(),
        transport: Transport::STANDARD,
        virtual_router_id: Vrid::try_from(51).unwrap(),
        version: Version::V3,
        priority: Priority::try_from(100).unwrap(),
        advertisement_interval: Interval::ONE_SECOND,
        maximum_interval: Interval::LONGEST_V3,
        addresses: Vec::new(),
        extra_addresses: Vec::new(),
        routes: Vec::new(),
        rules: Vec::new(),
        preempt: Preempt::Always,
        hold_down: Span::ZERO,
        link_down_delay: Span::ZERO,
        link_up_delay: Span::ZERO,
        lease: None,
        announce_refresh: Span::ZERO,
        checksum: ChecksumStyle::Auto,
        tracks: Vec::new(),
        if_all_fail: IfAllFail::Release,
        authentication: Authentication::None,
        virtual_mac: false,
    }
}

/// Bug guarded: of the instances that are due in one turn, one whose advertisement needs
/// nothing of the kernel must not wait for another one's addresses. Its own it must not
/// overtake: it preempts another router, or says that it has let go.
#[test]
fn an_advertisement_waits_for_its_own_addresses_only() {
    let mut outbox = Outbox::default();
    outbox.reconfigure(&config(&[51, 52, 53]));
    let first = vec![write_down(&[1, 2]), add(1), add(2), announce(1), send(51, 200)];
    let second = vec![send(52, 100), add(3), announce(3), send(52, 101)];
    let third = vec![remove(5), send(53, 0)];
    outbox.push([first, second, third].concat());
    let expected = [
        messages(vec![send(52, 100)]),
        Work::One(write_down(&[1, 2])),
        changes(vec![add(1), add(2), add(3)]),
    ];
    assert_eq!(done(&mut outbox), expected);
    outbox.push(vec![send(52, 102)]);
    assert_eq!(done(&mut outbox), [], "it must not overtake an older one of the same router");
    outbox.changes_done();
    let rest = [
        frames(&[1, 3]),
        messages(vec![send(51, 200), send(52, 101), send(52, 102)]),
        changes(vec![remove(5)]),
    ];
    assert_eq!(done(&mut outbox), rest);
}

/// Bug guarded: of a hundred instances that are due together, whose renewals and messages stand in
/// one answer, each exchange with the kernel renewed one. The outbox grew without an end.
#[test]
fn instances_that_are_due_together_share_a_batch() {
    let routers: Vec<u8> = (51..=150).collect();
    let mut outbox = Outbox::default();
    outbox.reconfigure(&config(&routers));
    let of = |router: &u8| {
        let address = (router - 51) * 2 + 1;
        [add(address), send(*router, 200), announce(address)]
    };
    outbox.push(routers.iter().flat_map(of).collect());
    let added = routers.iter().map(|router| add((router - 51) * 2 + 1)).collect();
    assert_eq!(done(&mut outbox), [changes(added)]);
    outbox.changes_done();
    assert_eq!(done(&mut outbox).len(), 3, "frames around the messages before and behind");
    assert_eq!(outbox.next(), None);
}

/// Rule (invariant 4, write down, then touch): also in one answer nothing is added before a note
/// that has to wait for a removal.
#[test]
fn an_addition_waits_for_the_notes_before_it() {
    let mut outbox = Outbox::default();
    outbox.reconfigure(&config(&[51, 52]));
    outbox.push(vec![remove(1), write_down(&[3]), add(3), announce(3), send(52, 100)]);
    assert_eq!(done(&mut outbox), [changes(vec![remove(1)])]);
    outbox.changes_done();
    assert_eq!(done(&mut outbox), [Work::One(write_down(&[3])), changes(vec![add(3)])]);
    outbox.changes_done();
    assert_eq!(done(&mut outbox), [frames(&[3]), messages(vec![send(52, 100)])]);
}

/// Rule: the same after a reload, also for an instance that it has taken out.
#[test]
fn who_has_what_is_known_over_a_reload() {
    let mut outbox = Outbox::default();
    outbox.reconfigure(&config(&[51, 52]));
    outbox.reconfigure(&config(&[52]));
    outbox.push(vec![remove(1), send(51, 0), send(52, 100)]);
    let expected = [messages(vec![send(52, 100)]), changes(vec![remove(1)])];
    assert_eq!(done(&mut outbox), expected);
    outbox.changes_done();
    assert_eq!(done(&mut outbox), [messages(vec![send(51, 0)])]);
}

/// Rule: what leaves by a device, and what is put on it, waits until it is up, also where another
/// answer has taken it up; another router's message does not.
#[test]
fn what_goes_by_a_device_waits_for_it() {
    let device = interface("vipd4-51-eth0");
    let up = Action::Change(Change::SetDevice { device: device.clone(), up: true });
    let through = |router: u8| {
        let Action::Send { interface, source, destination, message, .. } = send(router, 100) else {
            unreachable!()
        };
        let through = Some(device.clone());
        Action::Send { interface, through, source, destination, message }
    };
    let on_it = || {
        let Action::Change(Change::AddAddress { address, lease, not_after, .. }) = add(1) else {
            unreachable!()
        };
        Action::Change(Change::AddAddress { interface: device.clone(), address, lease, not_after })
    };
    let mut outbox = Outbox::default();
    outbox.push(vec![up.clone()]);
    assert_eq!(outbox.next(), Some(changes(vec![up])));
    outbox.push(vec![through(51)]);
    outbox.push(vec![on_it()]);
    outbox.push(vec![send(52, 100)]);
    assert_eq!(outbox.next(), Some(Work::Messages(vec![send(52, 100)])));
    assert_eq!(outbox.next(), None);
    outbox.changes_done();
    assert_eq!(outbox.next(), Some(Work::Messages(vec![through(51)])));
    assert_eq!(outbox.next(), Some(changes(vec![on_it()])));
}
