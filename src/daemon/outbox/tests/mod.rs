//! The order, with actions on one interface.

mod order;
mod owners;

use super::{Outbox, Work};
use crate::engine::{Action, Change, HeldAddress, HeldRouter};
use crate::model::{InterfaceName, Scope, VirtualAddress};
use crate::time::Mono;

fn interface(name: &str) -> InterfaceName {
    name.try_into().unwrap()
}

fn address(last: u8) -> VirtualAddress {
    VirtualAddress {
        address: [10, 0, 0, last].into(),
        prefix: 32,
        dev: None,
        label: None,
        scope: Scope::Global,
    }
}

fn add(last: u8) -> Action {
    let (interface, address) = (interface("eth0"), address(last));
    Action::Change(Change::AddAddress {
        interface,
        address,
        lease: None,
        not_after: Mono(u64::MAX),
    })
}

fn remove(last: u8) -> Action {
    Action::Change(Change::RemoveAddress { interface: interface("eth0"), address: address(last) })
}

fn announce(last: u8) -> Action {
    Action::Announce { interface: interface("eth0"), frame: vec![last] }
}

fn send(router: u8, priority: u8) -> Action {
    Action::Send {
        interface: interface("eth0"),
        through: None,
        source: [10, 0, 0, 11].into(),
        destination: [224, 0, 0, 18].into(),
        message: vec![0x31, router, priority],
    }
}

/// A list of one router for each of these addresses.
fn write_down(last: &[u8]) -> Action {
    write_down_of("web", last)
}

fn write_down_of(instance: &str, last: &[u8]) -> Action {
    let router = |last: &u8| HeldRouter {
        instance: instance.try_into().unwrap(),
        addresses: vec![HeldAddress { interface: interface("eth0"), address: address(*last) }],
        routing: Vec::new(),
        farewells: Vec::new(),
        devices: Vec::new(),
    };
    Action::WriteDown { routers: last.iter().map(router).collect() }
}

fn messages(sends: Vec<Action>) -> Work {
    Work::Messages(sends)
}

fn changes(actions: Vec<Action>) -> Work {
    let change = |action| match action {
        Action::Change(change) => change,
        other => panic!("{other:?}"),
    };
    Work::Changes(actions.into_iter().map(change).collect())
}

fn frames(last: &[u8]) -> Work {
    Work::Frames(last.iter().copied().map(announce).collect())
}

/// All that can be done now.
fn done(outbox: &mut Outbox) -> Vec<Work> {
    std::iter::from_fn(|| outbox.next()).collect()
}
