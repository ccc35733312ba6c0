//! This node: all its virtual routers as one value.
//!
//! [`event`] is the whole contract. One instance of the configuration is an
//! `Instance`; it joins the protocol's state machine ([`crate::vrrp`])
//! with what is held (`lease`), what is told to the segment (`announce`) and what people are
//! told (`story`, `status`).

mod announce;
pub mod event;
mod handover;
mod instance;
mod lease;
mod links;
mod listen;
mod receive;
pub mod status;
pub mod story;

use std::collections::BTreeMap;

pub use event::{
    Action, Farewell, HeldAddress, HeldRouter, Input, Link, LinkAddress, Packet, SystemError,
};
pub use handover::{HandoverAnswer, HandoverRefusal};
pub use status::Status;
pub use story::Event;

use instance::Instance;
use links::Links;
use listen::Listening;

use crate::model::{Config, InterfaceName};
use crate::time::{Mono, Now};
pub use crate::vrrp::packet::Discard;

/// All virtual routers of this node. See [`event`] for the contract.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    links: Links,
    listening: Listening,
    instances: Vec<Instance>,
    stray_discards: BTreeMap<InterfaceName, BTreeMap<Discard, u64>>,
}

/// When the engine wants to be called, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// The time.
    pub at: Mono,
    /// The reason, for the debug log.
    pub why: &'static str,
}

/// What every part of the engine may look at while it handles one input.
struct Context<'a> {
    now: Now,
    config: &'a Config,
    links: &'a Links,
}

impl Engine {
    /// An engine that knows nothing of the system yet. `now` is when the daemon started.
    pub fn new(config: Config, now: Now) -> Self {
        let instances = config.instances.iter().map(|i| Instance::new(i.clone(), now)).collect();
        Self {
            config,
            instances,
            links: Links::default(),
            listening: Listening::default(),
            stray_discards: BTreeMap::new(),
        }
    }

    /// Takes in what happened and says what to do about it, in this order.
    ///
    /// Times must not go backwards from call to call; a deadline that comes early does nothing.
    pub fn handle(&mut self, now: Now, input: Input) -> Vec<Action> {
        let mut out = Vec::new();
        match input {
            Input::Link { interface, link } => self.link_changed(now, &interface, link, &mut out),
            Input::Received { interface, packet, .. } => {
                self.received(now, &interface, &packet, &mut out);
            }
            Input::AddressGone { interface, address } => {
                self.each(now, &mut out, |instance, context, out| {
                    instance.address_gone(context, &interface, address, out);
                });
            }
            Input::Arp { .. } | Input::Handover { .. } => {}
            Input::Failed { action, error } => self.failed(now, &action, &error, &mut out),
            Input::Deadline => {
                self.update_listening(now, &mut out);
                self.each(now, &mut out, Instance::fire);
            }
            Input::Stop => {
                self.each(now, &mut out, Instance::stop);
                out.push(Action::Exit);
            }
        }
        out
    }

    /// The next point in time at which [`Input::Deadline`] is due; `None` while nothing is.
    pub fn next_deadline(&self) -> Option<Deadline> {
        let instances = self.instances.iter().filter_map(Instance::deadline);
        let next = instances.chain(self.listening.deadline()).min_by_key(|(at, _)| *at);
        next.map(|(at, why)| Deadline { at, why })
    }

    /// What there is to know about this node now.
    pub fn status(&self, now: Now) -> Status {
        Status {
            node: self.config.this_node.clone(),
            instances: self.instances.iter().map(|i| i.status(&self.config, now)).collect(),
            stray_discards: self.stray_discards.clone(),
        }
    }

    fn each(
        &mut self,
        now: Now,
        out: &mut Vec<Action>,
        mut call: impl FnMut(&mut Instance, &Context<'_>, &mut Vec<Action>),
    ) {
        let context = Context { now, config: &self.config, links: &self.links };
        for instance in &mut self.instances {
            call(instance, &context, out);
        }
    }

    fn link_changed(
        &mut self,
        now: Now,
        name: &InterfaceName,
        link: Option<Link>,
        out: &mut Vec<Action>,
    ) {
        let index = |link: &Link| link.index;
        let before = self.links.get(name).map(index);
        // Another interface under the same name: the old one and all on it are gone.
        if before.is_some() && before != link.as_ref().map(index) && link.is_some() {
            self.link_changed(now, name, None, out);
        }
        let vanished = before.is_some() && link.is_none();
        self.links.update(now, name.clone(), link);
        self.update_listening(now, out);
        self.each(now, out, |instance, context, out| {
            if vanished {
                instance.interface_vanished(name);
            }
            instance.reconsider(context, out);
        });
    }

    fn update_listening(&mut self, now: Now, out: &mut Vec<Action>) {
        let configs = self.instances.iter().map(Instance::config);
        self.listening.update(now.mono, &self.links, configs, out);
    }

    fn received(
        &mut self,
        now: Now,
        interface: &InterfaceName,
        packet: &Packet,
        out: &mut Vec<Action>,
    ) {
        let context = Context { now, config: &self.config, links: &self.links };
        let configs = self.instances.iter().map(Instance::config);
        match receive::address(interface, packet, configs) {
            Ok((place, datagram)) => {
                if let Some(instance) = self.instances.get_mut(place) {
                    instance.received(&context, datagram, out);
                }
            }
            Err(discard) => {
                let reasons = self.stray_discards.entry(interface.clone()).or_default();
                *reasons.entry(discard).or_default() += 1;
            }
        }
    }

    fn failed(&mut self, now: Now, action: &Action, error: &SystemError, out: &mut Vec<Action>) {
        if let Action::Listen { interface, family, .. } = action {
            self.listening.failed(now.mono, interface, *family);
        }
        self.each(now, out, |instance, context, out| {
            instance.action_failed(context, action, error, out);
        });
    }
}
