//! From changes to messages for the kernel, and from its numbers to what came of each change.

use std::collections::{BTreeSet, VecDeque};

use nix::errno::Errno;

use super::device;
use super::interface::AddressKey;
use super::message;
use super::requests::{Kind, Order};
use super::watch::Watcher;
use super::{Done, routing, says_absent, says_no_such_routing, system_error};
use crate::engine::{Change, SystemError};
use crate::model::{InterfaceName, Routing, VirtualAddress, VirtualDevice};
use crate::time::{Mono, Span};

/// The metric of the routes that come with an address on a device with a virtual MAC: the last one,
/// so that this node's own traffic goes by the interface below, as without it.
const LAST_METRIC: u32 = 1 << 16;

/// The demands of a change on the kernel.
#[derive(Debug)]
pub(super) enum Asked {
    /// Nothing: there is no such interface.
    Nothing { add: bool },
    /// To add an address.
    AddressThere,
    /// To remove one from the interface of this index.
    AddressGone { index: u32, key: AddressKey },
    /// To add a route or a rule: a new one, after removing one that may have been left, or again.
    RoutingThere { again: bool, is_rule: bool },
    /// To remove a route or a rule, the route through the interface of this index.
    RoutingGone { index: Option<u32> },
    /// Something about a device: the number of orders, or why there are none.
    Device { count: usize, refused: Option<SystemError> },
}

/// The orders for the kernel.
#[derive(Debug, Default)]
struct Plan {
    orders: VecDeque<Order>,
    /// Devices and addresses that these orders remove: the table will know once the kernel has
    /// told.
    removed: BTreeSet<InterfaceName>,
    leaving: BTreeSet<(u32, AddressKey)>,
}

/// A lease, and after when it must not be asked for.
#[derive(Clone, Copy)]
struct Term {
    lease: Option<Span>,
    not_after: Mono,
}

impl Watcher {
    /// The demands of each change on the kernel, and all of them in their order.
    pub(super) fn plan(&mut self, changes: &[Change]) -> (Vec<Asked>, VecDeque<Order>) {
        let mut plan = Plan::default();
        let asked = changes.iter().map(|change| self.ask(change, &mut plan)).collect();
        (asked, plan.orders)
    }

    fn ask(&mut self, change: &Change, plan: &mut Plan) -> Asked {
        match change {
            Change::AddAddress { interface, address, lease, not_after } => {
                let term = Term { lease: *lease, not_after: *not_after };
                self.add_address(interface, address, term, plan)
            }
            Change::RemoveAddress { interface, address } => {
                self.remove_address(interface, address, plan)
            }
            Change::AddRouting { routing, lease, not_after, again } => {
                let term = Term { lease: *lease, not_after: *not_after };
                self.add_routing(routing, term, *again, plan)
            }
            Change::RemoveRouting { routing } => self.remove_routing(routing, plan),
            Change::AddDevice { device } => self.add_device(device, plan),
            Change::RemoveDevice { device } => {
                let name = device.name();
                let there = self.table.made(&name);
                let ours = there.filter(|(_, made)| device::is_ours(made, device));
                let message = ours.map(|(index, _)| device::remove(index));
                plan.removed.insert(name);
                let count = usize::from(message.is_some());
                plan.orders.extend(message.map(Order::about_a_device));
                Asked::Device { count, refused: None }
            }
            Change::SetDevice { device, up } => {
                let message = self.table.index_of(device).map(|index| device::set(index, *up));
                let count = usize::from(message.is_some());
                let absent = *up && message.is_none();
                plan.orders.extend(message.map(Order::about_a_device));
                let refused = absent.then(|| system_error(Errno::ENODEV as i32));
                Asked::Device { count, refused }
            }
        }
    }

    fn add_address(
        &mut self,
        interface: &InterfaceName,
        address: &VirtualAddress,
        Term { lease, not_after }: Term,
        plan: &mut Plan,
    ) -> Asked {
        let key = AddressKey { address: address.address, prefix: address.prefix };
        let Some(index) = self.table.index_of(interface) else {
            return Asked::Nothing { add: true };
        };
        self.placed.put(interface, key, index);
        let is_leaving = plan.leaving.contains(&(index, key));
        let is_there = !is_leaving && self.table.keeps(index, key);
        let kind = if is_there { Kind::Renewal } else { Kind::Plain };
        if !is_leaving {
            // An expectation that is left from before; one of this batch holds.
            self.table.unexpect_removal(index, key);
        }
        let metric = interface.is_virtual_device().then_some(LAST_METRIC);
        let message = message::add(index, address, lease, metric);
        plan.orders.push_back(Order { message, not_after: Some(not_after), kind });
        Asked::AddressThere
    }

    fn remove_address(
        &mut self,
        interface: &InterfaceName,
        address: &VirtualAddress,
        plan: &mut Plan,
    ) -> Asked {
        let key = AddressKey { address: address.address, prefix: address.prefix };
        let placed = self.placed.take(&self.table, interface, key);
        let Some(index) = placed.or_else(|| self.table.index_of(interface)) else {
            return Asked::Nothing { add: false };
        };
        self.table.expect_removal(index, key);
        plan.leaving.insert((index, key));
        plan.orders.push_back(Order::plain(message::remove(index, address)));
        Asked::AddressGone { index, key }
    }

    fn add_routing(
        &mut self,
        routing: &Routing,
        Term { lease, not_after }: Term,
        again: bool,
        plan: &mut Plan,
    ) -> Asked {
        let index = match routing.dev().map(|name| self.table.index_of(name)) {
            Some(None) => return Asked::Nothing { add: true },
            named => named.flatten(),
        };
        if let Some(index) = index {
            self.placed.put_routing(routing, index);
        }
        if !again {
            // One of ours that a predecessor has left is not somebody else's.
            plan.orders.push_back(Order::plain(routing::remove(index, routing)));
        }
        let message = routing::add(index, routing, lease, again);
        let (not_after, kind) = (Some(not_after), Kind::Plain);
        plan.orders.push_back(Order { message, not_after, kind });
        Asked::RoutingThere { again, is_rule: matches!(routing, Routing::Rule(_)) }
    }

    fn remove_routing(&mut self, routing: &Routing, plan: &mut Plan) -> Asked {
        let named = routing.dev().map(|name| self.table.index_of(name));
        let index = match (self.placed.take_routing(&self.table, routing), named) {
            (None, Some(None)) => return Asked::Nothing { add: false },
            (placed, named) => placed.or(named.flatten()),
        };
        plan.orders.push_back(Order::plain(routing::remove(index, routing)));
        Asked::RoutingGone { index }
    }

    fn add_device(&self, device: &VirtualDevice, plan: &mut Plan) -> Asked {
        let name = device.name();
        let there = self.table.made(&name).filter(|_| !plan.removed.remove(&name));
        let below = self.table.index_of(&device.interface);
        let messages = match below {
            Some(below) => device::make(device, below, there),
            None => Err(system_error(Errno::ENODEV as i32)),
        };
        let (messages, refused) = match messages {
            Ok(messages) => (messages, None),
            Err(refused) => (Vec::new(), Some(refused)),
        };
        let count = messages.len();
        plan.orders.extend(messages.into_iter().map(Order::about_a_device));
        Asked::Device { count, refused }
    }

    /// The meaning of the kernel's numbers for a change, which takes its own by `next`.
    pub(super) fn outcome(
        &mut self,
        change: &Change,
        asked: Asked,
        next: &mut impl FnMut() -> i32,
    ) -> Result<Done, SystemError> {
        match asked {
            Asked::Device { count, refused } => {
                let errnos: Vec<i32> = (0..count).map(|_| next()).collect();
                let errno = errnos.into_iter().find(|errno| *errno != 0).unwrap_or(0);
                let finished = match refused {
                    Some(refused) => Err(refused),
                    None => self.finish_device(change, errno),
                };
                finished.map(|()| Done::AsWanted)
            }
            Asked::Nothing { add: true } => Err(system_error(Errno::ENODEV as i32)),
            Asked::Nothing { add: false } => Ok(Done::AsWanted),
            Asked::AddressThere => verdict(next(), |e| e == Errno::EEXIST as i32),
            Asked::AddressGone { index, key } => {
                let outcome = verdict(next(), says_absent);
                // If there was nothing to remove, the kernel may have done it just before, as it
                // does to the IPv6 addresses of a device that goes down, and tell of it later.
                if let (Err(_), Change::RemoveAddress { interface, .. }) = (&outcome, change) {
                    self.table.unexpect_removal(index, key);
                    self.placed.put(interface, key, index);
                }
                outcome
            }
            Asked::RoutingGone { index } => {
                let outcome = verdict(next(), says_no_such_routing);
                if let (Err(_), Change::RemoveRouting { routing }, Some(index)) =
                    (&outcome, change, index)
                {
                    self.placed.put_routing(routing, index);
                }
                outcome
            }
            Asked::RoutingThere { again: true, .. } => match next() {
                0 => Ok(Done::Restored),
                errno => verdict(errno, |e| e == Errno::EEXIST as i32),
            },
            Asked::RoutingThere { again: false, is_rule } => {
                // The removal of one that may have been left.
                next();
                let errno = next();
                // The same rule of somebody else's does the same.
                let is_there = |e| e == Errno::EEXIST as i32;
                let done = verdict(errno, |e| is_rule && is_there(e));
                done.map_err(|error| if is_there(errno) { another_route() } else { error })
            }
        }
    }

    /// The kernel's settings for a device come once it is there, or gone.
    fn finish_device(&mut self, change: &Change, errno: i32) -> Result<(), SystemError> {
        match change {
            Change::AddDevice { device } if errno == 0 => self.settings.prepare(device),
            Change::AddDevice { device } => Err(device::not_made(device, errno)),
            Change::RemoveDevice { device } if errno == 0 || says_absent(errno) => {
                self.settings.forget(device)
            }
            Change::SetDevice { up, .. } if errno == 0 || (!up && says_absent(errno)) => Ok(()),
            Change::SetDevice { .. } => Err(device::not_set(errno)),
            _ => Err(system_error(errno)),
        }
    }
}

/// True if what the kernel says to a change means that it is as wanted.
fn verdict(errno: i32, as_wanted: impl Fn(i32) -> bool) -> Result<Done, SystemError> {
    if errno == 0 || as_wanted(errno) { Ok(Done::AsWanted) } else { Err(system_error(errno)) }
}

/// The meaning of `EEXIST` for a route.
fn another_route() -> SystemError {
    let text = "another route to this destination with this metric is in the table already, and vipd \
                does not replace what it has not made: remove that one, or give this one another metric";
    SystemError { errno: Errno::EEXIST as i32, text: text.to_owned() }
}
