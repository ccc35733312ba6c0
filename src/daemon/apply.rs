//! Carrying out what the engine wants: on sockets, by netlink, into the log. What could not be
//! done goes back to the engine as an input.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
use super::sockets::Sockets;
use crate::engine::{Action, Input, ProbeResult, SystemError};
use crate::model::{Family, InterfaceName, Mac, VirtualAddress};
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
    /// Where a socket should be open and could not be opened.
    unopened: BTreeSet<(InterfaceName, Family)>,
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
            unopened: BTreeSet::new(),
            exit: false,
        }
    }

    /// Learns from an input what actions need to know.
    pub(crate) fn learn(&mut self, input: &Input) {
        if let Input::Reload { config } = input {
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
        } else {
            self.indices.remove(interface);
            self.macs.remove(interface);
            self.sockets.stop_watching(interface);
            self.sockets.forget_device(interface);
            self.unopened.retain(|(missing, _)| missing != interface);
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
                Work::Messages(interface, actions) => self.send(&interface, actions),
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

    /// Whether every socket that should be open is.
    pub(crate) fn listens(&self) -> bool {
        self.unopened.is_empty()
    }

    /// Whether everything is done and the end has come.
    pub(crate) fn exits(&self) -> bool {
        self.exit
    }

    fn failed(&mut self, action: Action, error: SystemError) {
        self.failures.push_back(Input::Failed { action: Box::new(action), error });
    }

    fn change(&mut self, actions: Vec<Action>) {
        let outcomes = self.netlink.request(actions.iter().filter_map(system_change).collect());
        self.changing = Some(Changing { actions, outcomes });
    }

    fn send(&mut self, interface: &InterfaceName, actions: Vec<Action>) {
        let mut rest = actions.as_slice();
        let mut results = Vec::with_capacity(actions.len());
        while let Some((through, source)) = rest.first().and_then(way) {
            let same =
                rest.iter().take_while(|action| way(action) == Some((through, source))).count();
            let (batch, later) = rest.split_at(same);
            let messages: Vec<Outgoing<'_>> = batch.iter().filter_map(outgoing).collect();
            let sent = match through {
                Some(device) => {
                    let index = self.indices.get(device).copied();
                    self.sockets.send_through(device, index, source, &messages)
                }
                None => self.sockets.send(interface, source, &messages),
            };
            results.extend(sent);
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
                let opened = self.sockets.listen(interface, place, heard, now);
                let place = (interface.clone(), *family);
                match opened {
                    Ok(()) => self.unopened.remove(&place),
                    Err(_) => self.unopened.insert(place),
                };
                opened
            }
            Action::StopListening { interface, family } => {
                self.sockets.close(interface, *family);
                self.unopened.remove(&(interface.clone(), *family));
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

/// By which device a message leaves, where not by the interface itself, and from which address.
fn way(action: &Action) -> Option<(Option<&InterfaceName>, IpAddr)> {
    match action {
        Action::Send { through, source, .. } => Some((through.as_ref(), *source)),
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

fn said(error: &io::Error) -> SystemError {
    match error.raw_os_error() {
        Some(errno) => system_error(errno),
        None => SystemError { errno: 0, text: error.to_string() },
    }
}
