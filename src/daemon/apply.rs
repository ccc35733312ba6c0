//! Carrying out what the engine wants: on sockets, by netlink, into the log. What could not be
//! done goes back to the engine as an input.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;

use nix::errno::Errno;
use tokio::sync::oneshot;

use super::control::{Asked, Control, Gone};
use super::errands::Errands;
use super::held::HeldFile;
use super::netlink::{
    Done, Netlink, News, Outcomes, SystemChange, Thing, Wanted, Wish, system_error,
};
use super::outbox::{Outbox, Work};
use super::report::Teller;
use super::socket::Outgoing;
use super::sockets::{Settled, Sockets, said};
use crate::engine::{Action, Input, ProbeResult, SystemError};
use crate::model::{Config, Family, InterfaceName, Mac, VirtualAddress};
use crate::time::Mono;

/// What carries out the actions.
#[derive(Debug)]
pub(crate) struct Hands {
    pub(crate) sockets: Sockets,
    pub(crate) netlink: Netlink,
    pub(crate) control: Control,
    pub(crate) errands: Errands,
    held: HeldFile,
    outbox: Outbox,
    /// The changes that the kernel is carrying out.
    changing: Option<Changing>,
    failures: VecDeque<Input>,
    indices: BTreeMap<InterfaceName, u32>,
    macs: BTreeMap<InterfaceName, Mac>,
    /// The devices with virtual MAC addresses that were made.
    devices: BTreeMap<InterfaceName, Family>,
    exit: bool,
}

#[derive(Debug)]
struct Changing {
    actions: Vec<Action>,
    outcomes: oneshot::Receiver<Outcomes>,
}

/// What happened outside.
#[derive(Debug)]
pub(crate) enum Happened {
    /// Packets may have arrived.
    Readable,
    News(News),
    /// A client wants something.
    Asked(Result<Asked, Gone>),
    /// What the kernel says to address changes; `None` where nobody is left to say it.
    Settled(Option<Outcomes>),
}

impl Hands {
    pub(crate) fn new(
        sockets: Sockets,
        netlink: Netlink,
        held: HeldFile,
        control: Control,
        errands: Errands,
    ) -> Self {
        Self {
            sockets,
            netlink,
            held,
            control,
            errands,
            outbox: Outbox::default(),
            changing: None,
            failures: VecDeque::new(),
            indices: BTreeMap::new(),
            macs: BTreeMap::new(),
            devices: BTreeMap::new(),
            exit: false,
        }
    }

    /// Learns which instance has what.
    pub(crate) fn configure(&mut self, config: &Config) {
        self.outbox.reconfigure(config);
    }

    /// Learns from an input what actions need to know.
    pub(crate) fn learn(&mut self, input: &Input) {
        if let Input::Reload { config } = input {
            self.configure(config);
            self.netlink.watch(config.interfaces());
            self.errands.reconfigure(config);
        }
        let Input::Link { interface, link } = input else { return };
        if let Some(link) = link {
            self.indices.insert(interface.clone(), link.index);
            self.held.learn(interface, link.index);
            let before = match link.mac {
                Some(mac) => self.macs.insert(interface.clone(), mac),
                None => self.macs.remove(interface),
            };
            if before != link.mac {
                self.watch_again(interface.clone());
            }
            if let Some(family) = self.devices.get(interface) {
                // Before something is to be sent through it. If that fails, sending says so.
                let _ = self.sockets.open_device(interface, (link.index, *family));
            }
        } else {
            self.indices.remove(interface);
            self.macs.remove(interface);
            self.sockets.stop_watching(interface);
            self.sockets.forget_device(interface);
        }
    }

    /// Takes one answer of the engine and does what can be done now.
    pub(crate) fn carry_out(&mut self, actions: Vec<Action>, now: Mono, teller: &mut Teller) {
        self.outbox.push(actions);
        self.go_on(now, teller);
    }

    fn go_on(&mut self, now: Mono, teller: &mut Teller) {
        while let Some(work) = self.outbox.next() {
            match work {
                Work::Addresses(actions) => self.change(actions),
                Work::Messages(actions) => self.send(actions),
                Work::One(action) => self.one(action, now, teller),
            }
        }
    }

    /// Takes in what the kernel says to address changes, once it does, and goes on with what
    /// waited for them.
    pub(crate) fn settle(&mut self, outcomes: Option<Outcomes>, now: Mono, teller: &mut Teller) {
        let Some(changing) = self.changing.take() else { return };
        self.outbox.addresses_done();
        let mut outcomes = outcomes.unwrap_or_default().into_iter();
        for action in changing.actions {
            let lost = || Err(system_error(Errno::ECONNABORTED as i32));
            match (outcomes.next().unwrap_or_else(lost), action) {
                (Err(error), action) => self.failed(action, error),
                (Ok(Done::Restored), Action::AddRouting { routing, .. }) => {
                    self.failures.push_back(Input::RoutingRestored { routing });
                }
                (Ok(_), _) => {}
            }
        }
        self.go_on(now, teller);
    }

    /// Waits until something happens outside.
    ///
    /// # Errors
    /// When the thread that talks to the kernel has ended.
    pub(crate) async fn happens(&mut self) -> io::Result<Happened> {
        let Self { sockets, netlink, control, errands, changing, .. } = self;
        let settled = async {
            match changing {
                Some(changing) => (&mut changing.outcomes).await.ok(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = poll_fn(|context| sockets.poll(context)) => Ok(Happened::Readable),
            news = netlink.next() => news.map(Happened::News),
            news = errands.next() => Ok(Happened::News(news)),
            asked = control.next() => Ok(Happened::Asked(asked)),
            outcomes = settled => Ok(Happened::Settled(outcomes)),
        }
    }

    /// What could not be carried out, or was not as it should have been, the oldest first.
    pub(crate) fn next_failure(&mut self) -> Option<Input> {
        self.failures.pop_front()
    }

    /// Whether there are failures that the engine does not know of.
    pub(crate) fn has_failures(&self) -> bool {
        !self.failures.is_empty()
    }

    /// Says if every socket that should be open was tried once.
    pub(crate) fn has_tried_to_listen(&self) -> bool {
        !self.sockets.is_opening()
    }

    /// Takes in the sockets that were opened meanwhile. What came of them is for the engine.
    pub(crate) fn take_sockets(&mut self) -> Vec<Input> {
        let mut inputs = Vec::new();
        while let Some(settled) = self.sockets.settle() {
            match settled {
                Settled::Input(input) => inputs.push(input),
                Settled::Send(actions) => self.send_in_order(actions),
                Settled::NotSent(actions, error) => {
                    for action in actions {
                        self.failed(action, error.clone());
                    }
                }
            }
        }
        inputs
    }

    /// Whether everything is done and the end has come.
    pub(crate) fn exits(&self) -> bool {
        self.exit
    }

    fn failed(&mut self, action: Action, error: SystemError) {
        self.failures.push_back(Input::Failed { action: Box::new(action), error });
    }

    fn change(&mut self, actions: Vec<Action>) {
        for action in &actions {
            match action {
                Action::AddDevice { device } => {
                    self.devices.insert(device.name(), device.family);
                }
                Action::RemoveDevice { device } => {
                    self.devices.remove(&device.name());
                }
                _ => {}
            }
        }
        let outcomes = self.netlink.request(actions.iter().filter_map(system_change).collect());
        self.changing = Some(Changing { actions, outcomes });
    }

    /// Sends what can be sent now; what goes through a device waits until that has its socket.
    fn send(&mut self, actions: Vec<Action>) {
        let now = actions.into_iter().filter_map(|action| self.keep(action)).collect();
        self.send_in_order(now);
    }

    /// Keeps what cannot be sent yet; gives back what can.
    fn keep(&mut self, action: Action) -> Option<Action> {
        let Action::Send { through: Some(device), source, .. } = &action else {
            return Some(action);
        };
        let (device, family) = (device.clone(), Family::of(*source));
        let Some(index) = self.indices.get(&device) else { return Some(action) };
        // If that fails, so does sending.
        let _ = self.sockets.open_device(&device, (*index, family));
        self.sockets.keep(&device, family, action)
    }

    fn send_in_order(&mut self, actions: Vec<Action>) {
        let mut rest = actions.as_slice();
        let mut results = Vec::with_capacity(actions.len());
        while let Some(way) = rest.first().and_then(way) {
            let same = rest.iter().take_while(|action| self::way(action) == Some(way)).count();
            let (batch, later) = rest.split_at(same);
            let messages: Vec<Outgoing<'_>> = batch.iter().filter_map(outgoing).collect();
            let Way { interface, through, source } = way;
            results.extend(match through {
                Some(device) => self.sockets.send_through(device, source, &messages),
                None => self.sockets.send(interface, source, &messages),
            });
            rest = later;
        }
        for (action, result) in actions.into_iter().zip(results) {
            if let Err(error) = result {
                self.failed(action, said(&error));
            }
        }
    }

    fn watch(&mut self, interface: &InterfaceName, addresses: &[IpAddr]) -> io::Result<()> {
        match self.indices.get(interface) {
            Some(index) => {
                let own = self.macs.get(interface).copied();
                self.sockets.watch(interface, *index, own, addresses)
            }
            // Nothing to hear where there is no interface.
            None if addresses.is_empty() => Ok(()),
            None => Err(Errno::ENODEV.into()),
        }
    }

    /// The interface's Ethernet address is another one: the one before may be somebody else's now.
    fn watch_again(&mut self, interface: InterfaceName) {
        let addresses = self.sockets.watched(&interface);
        if let Err(error) = self.watch(&interface, &addresses) {
            self.failed(Action::Watch { interface, addresses }, said(&error));
        }
    }

    fn one(&mut self, action: Action, now: Mono, teller: &mut Teller) {
        let result = match &action {
            Action::Listen { interface, index, family, virtual_router_ids, groups } => {
                let (place, heard) = ((*index, *family), (&**virtual_router_ids, &**groups));
                self.sockets.listen(interface, place, heard, now)
            }
            Action::StopListening { interface, family } => {
                self.sockets.close(interface, *family);
                Ok(())
            }
            Action::Announce { interface, frame } => match self.indices.get(interface) {
                Some(index) => self.sockets.announce(*index, frame),
                None => Err(Errno::ENODEV.into()),
            },
            Action::Report(event) => {
                teller.event(event.clone());
                Ok(())
            }
            Action::Exit => {
                self.exit = true;
                Ok(())
            }
            Action::Probe { track, number } => {
                if let Err(why) = self.errands.look(track, *number) {
                    let (track, number) = (track.clone(), *number);
                    let result = ProbeResult::Failed(why);
                    self.failures.push_back(Input::Probed { track, number, result });
                }
                Ok(())
            }
            Action::CancelProbe { track, number } => {
                self.errands.cancel(track, *number);
                Ok(())
            }
            Action::Hook { owner, number, call } => {
                if let Err(why) = self.errands.hook(owner, *number, call) {
                    let (owner, number) = (owner.clone(), *number);
                    let result = ProbeResult::Failed(why);
                    self.failures.push_back(Input::Hooked { owner, number, result });
                }
                Ok(())
            }
            Action::CancelHook { owner, number } => {
                self.errands.cancel_hook(owner, *number);
                Ok(())
            }
            // On this thread: a file in memory, and what stands after it may have to wait for it.
            // Where that fails, what stands after it is carried out all the same: an address
            // that serves is worth more than one that could be swept away.
            Action::WriteDown { routers } => self.held.write(routers),
            Action::Watch { interface, addresses } => self.watch(interface, addresses),
            Action::Answer { request, answer } => {
                self.control.answer(*request, answer.clone());
                Ok(())
            }
            Action::Send { .. }
            | Action::AddAddress { .. }
            | Action::RemoveAddress { .. }
            | Action::AddRouting { .. }
            | Action::RemoveRouting { .. }
            | Action::AddDevice { .. }
            | Action::RemoveDevice { .. }
            | Action::SetDevice { .. } => {
                // The outbox hands these out as batches.
                Err(Errno::EINVAL.into())
            }
        };
        if let Err(error) = result {
            self.failed(action, said(&error));
        }
    }
}

fn system_change(action: &Action) -> Option<SystemChange> {
    let address = |interface: &InterfaceName, address: &VirtualAddress| {
        Thing::Address(interface.clone(), address.clone())
    };
    let (thing, wanted) = match action {
        Action::AddAddress { interface, address: one, lease, not_after } => {
            let (lease, not_after, again) = (*lease, *not_after, false);
            (address(interface, one), Wanted::There { lease, not_after, again })
        }
        Action::RemoveAddress { interface, address: one } => {
            (address(interface, one), Wanted::Gone)
        }
        Action::AddRouting { routing, lease, not_after, again } => {
            let (lease, not_after, again) = (*lease, *not_after, *again);
            (Thing::Routing(routing.clone()), Wanted::There { lease, not_after, again })
        }
        Action::RemoveRouting { routing } => (Thing::Routing(routing.clone()), Wanted::Gone),
        Action::AddDevice { device } => return Some(SystemChange::AddDevice(device.clone())),
        Action::RemoveDevice { device } => return Some(SystemChange::RemoveDevice(device.clone())),
        Action::SetDevice { device, up } => {
            return Some(SystemChange::SetDevice(device.clone(), *up));
        }
        _ => return None,
    };
    Some(SystemChange::Wish(Wish { thing, wanted }))
}

/// By which socket a message leaves, and from which address.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Way<'a> {
    interface: &'a InterfaceName,
    /// The device, where it is not the interface itself.
    through: Option<&'a InterfaceName>,
    source: IpAddr,
}

fn way(action: &Action) -> Option<Way<'_>> {
    match action {
        Action::Send { interface, through, source, .. } => {
            Some(Way { interface, through: through.as_ref(), source: *source })
        }
        _ => None,
    }
}

fn outgoing(action: &Action) -> Option<Outgoing<'_>> {
    match action {
        Action::Send { destination, message, .. } => {
            Some(Outgoing { destination: *destination, message })
        }
        _ => None,
    }
}
