//! Carrying out what the engine wants: on sockets, by netlink, into the log. What could not be
//! done goes back to the engine as an input.
//!
//! The answers of one turn are taken first and carried out together at its end: one list of what is
//! held, one exchange with the kernel, as few calls as there are sockets.

mod send;

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;

use nix::errno::Errno;
use tokio::sync::oneshot;

use super::control::{Asked, Control, Gone};
use super::errands::Errands;
use super::holdings::Holdings;
use super::netlink::{Done, Netlink, News, Outcome};
use super::outbox::{Outbox, Work};
use super::report::Teller;
use super::sockets::{Settled, Sockets, said};
use crate::engine::{Action, Change, Input, ProbeResult, SystemError};
use crate::model::{Config, Family, InterfaceName, Mac};
use crate::time::Mono;

/// What carries out the actions.
#[derive(Debug)]
pub(crate) struct Hands {
    pub(crate) sockets: Sockets,
    pub(crate) netlink: Netlink,
    pub(crate) control: Control,
    pub(crate) errands: Errands,
    held: Holdings,
    outbox: Outbox,
    /// The changes that the kernel is carrying out.
    changing: Option<oneshot::Receiver<Vec<Outcome>>>,
    failures: VecDeque<Input>,
    /// The lists of addresses to watch that this turn has brought, the last one of each interface.
    watches: BTreeMap<InterfaceName, Vec<IpAddr>>,
    indices: BTreeMap<InterfaceName, u32>,
    macs: BTreeMap<InterfaceName, Mac>,
    /// The devices with virtual MAC addresses that were made.
    devices: BTreeMap<InterfaceName, Family>,
    exit: bool,
}

/// What happened outside.
#[derive(Debug)]
pub(crate) enum Happened {
    /// Packets or news of interfaces may have arrived.
    Readable,
    News(News),
    /// A client wants something.
    Asked(Result<Asked, Gone>),
    /// The outcome of the changes under way; `None` if nobody is left to report it.
    Settled(Option<Vec<Outcome>>),
}

impl Hands {
    pub(crate) fn new(
        sockets: Sockets,
        netlink: Netlink,
        held: Holdings,
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
            watches: BTreeMap::new(),
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
                let _ = self.sockets.open_device(interface, link.index, *family);
            }
        } else {
            self.indices.remove(interface);
            self.macs.remove(interface);
            self.sockets.stop_watching(interface);
            self.sockets.forget_device(interface);
        }
    }

    /// Takes one answer of the engine, to be carried out at the end of the turn.
    pub(crate) fn take(&mut self, actions: Vec<Action>) {
        self.outbox.push(actions);
    }

    /// Does what can be done now: the end of a turn.
    pub(crate) fn carry_out(&mut self, now: Mono, teller: &mut Teller) {
        while let Some(work) = self.outbox.next() {
            match work {
                Work::Messages(actions) => self.send(actions),
                Work::Frames(actions) => self.announce(actions),
                Work::One(action) => self.one(action, now, teller),
                Work::Changes(changes) => {
                    self.write_down();
                    self.change(changes);
                }
            }
        }
        self.write_down();
        for (interface, addresses) in std::mem::take(&mut self.watches) {
            if let Err(error) = self.watch(&interface, &addresses) {
                self.failed(Action::Watch { interface, addresses }, said(&error));
            }
        }
    }

    /// On this thread: a file in memory, and what stands behind it has to wait for it. Where that
    /// fails, what stands behind it is carried out all the same: an address that serves is worth
    /// more than one that could be swept away.
    fn write_down(&mut self) {
        if let Err(failure) = self.held.write_down() {
            let routers = failure.routers;
            self.failed(Action::WriteDown { routers }, said(&failure.error));
        }
    }

    /// Takes in what came of changes, so that what waited for them can be carried out.
    pub(crate) fn settle(&mut self, outcomes: Option<Vec<Outcome>>) {
        self.changing = None;
        self.outbox.changes_done();
        // Nobody is left to say it: then the loop ends.
        for Outcome { change, result } in outcomes.into_iter().flatten() {
            match (result, change) {
                (Err(error), change) => self.failed(Action::Change(change), error),
                (Ok(Done::Restored), Change::AddRouting { routing, .. }) => {
                    self.failures.push_back(Input::RoutingRestored { routing });
                }
                (Ok(_), _) => {}
            }
        }
    }

    /// Waits until something happens outside.
    ///
    /// # Errors
    /// When the thread that talks to the kernel has ended.
    pub(crate) async fn happens(&mut self) -> io::Result<Happened> {
        let Self { sockets, netlink, control, errands, changing, .. } = self;
        let settled = async {
            match changing {
                Some(outcomes) => outcomes.await.ok(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = poll_fn(|context| sockets.poll(context)) => Ok(Happened::Readable),
            come = netlink.comes() => come.map(|()| Happened::Readable),
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
                Settled::Send(actions) => self.send_now(actions),
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

    fn change(&mut self, changes: Vec<Change>) {
        for change in &changes {
            match change {
                Change::AddDevice { device } => {
                    self.devices.insert(device.name(), device.family);
                }
                Change::RemoveDevice { device } => {
                    self.devices.remove(&device.name());
                }
                _ => {}
            }
        }
        self.changing = Some(self.netlink.request(changes));
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
            Action::WriteDown { routers } => {
                self.held.note(routers.clone());
                Ok(())
            }
            Action::Watch { interface, addresses } => {
                self.watches.insert(interface.clone(), addresses.clone());
                Ok(())
            }
            Action::Answer { request, answer } => {
                self.control.answer(*request, answer.clone());
                Ok(())
            }
            Action::Send { .. } | Action::Announce { .. } | Action::Change(_) => {
                // The outbox hands these out together.
                Err(Errno::EINVAL.into())
            }
        };
        if let Err(error) = result {
            self.failed(action, said(&error));
        }
    }
}
