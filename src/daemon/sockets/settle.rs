//! The answers of the opener: sockets that are put in place, and what follows for the engine.

use std::io;

use super::super::opener::{Closing, Missing, Opened, Outcome, Place};
use super::super::socket::VrrpSocket;
use super::{Sockets, Vrrp, said};
use crate::engine::{Action, Input, SystemError};

/// The consequence of an order's answer.
#[derive(Debug)]
pub(crate) enum Settled {
    /// For the engine.
    Input(Input),
    /// These messages can be sent now.
    Send(Vec<Action>),
    /// These cannot.
    NotSent(Vec<Action>, SystemError),
}

impl Sockets {
    /// Takes in the next socket that was opened for us, if there is one.
    pub(crate) fn settle(&mut self) -> Option<Settled> {
        loop {
            let next = self.handed_over.pop_front();
            let opened = next.or_else(|| self.opener.opened.try_recv().ok())?;
            if let Some(settled) = self.put_in_place(opened) {
                return Some(settled);
            }
        }
    }

    /// Closes a socket again if a newer order has replaced the one that it was opened for.
    fn put_in_place(&mut self, Opened { number, place, outcome }: Opened) -> Option<Settled> {
        match outcome {
            Outcome::Listening(result) => {
                let open = self.open.get_mut(&place).filter(|open| open.number == number);
                let result = result.and_then(|(socket, missing)| {
                    if let (Some(_), Some(socket)) = (&open, &socket) {
                        self.poller.add(socket)?;
                    }
                    Ok((socket, missing))
                });
                match (open, result) {
                    (Some(open), result) => Some(Settled::Input(open.settle(place, result))),
                    (None, Ok((Some(socket), _))) => {
                        self.opener.close(place, Closing::Vrrp(socket));
                        None
                    }
                    (None, _) => None,
                }
            }
            Outcome::Sender(result) => {
                let device = self.devices.get_mut(&place).filter(|one| one.number == number);
                match (device, result) {
                    (Some(device), Ok(sender)) => {
                        device.sender = Some(sender);
                        Some(Settled::Send(std::mem::take(&mut device.waiting)))
                    }
                    (Some(device), Err(error)) => {
                        let waiting = std::mem::take(&mut device.waiting);
                        self.devices.remove(&place);
                        Some(Settled::NotSent(waiting, said(&error)))
                    }
                    (None, Ok(sender)) => {
                        self.opener.close(place, Closing::Sender(sender));
                        None
                    }
                    (None, Err(_)) => None,
                }
            }
            Outcome::Watching(result) => {
                let watched = self.watched.get_mut(&place).filter(|one| one.number == number);
                match (watched, result) {
                    (Some(watched), Ok(socket)) => {
                        // The list may be another one by now.
                        let result = socket.hear(watched.own, &watched.addresses);
                        let result = result.and_then(|()| self.poller.add(&socket));
                        watched.socket = Some(socket);
                        let error = result.err()?;
                        Some(Settled::Input(self.not_watched(place, &error)))
                    }
                    (Some(_), Err(error)) => Some(Settled::Input(self.not_watched(place, &error))),
                    (None, Ok(socket)) => {
                        self.opener.close(place, Closing::Conflicts(socket));
                        None
                    }
                    (None, Err(_)) => None,
                }
            }
        }
    }

    /// Forgets a list that failed, so that the next one is tried from the start.
    fn not_watched(&mut self, place: Place, error: &io::Error) -> Input {
        let addresses = self.watched.get(&place).map(|watched| watched.addresses.clone());
        let interface = place.0.clone();
        self.unwatch(place);
        let action = Action::Watch { interface, addresses: addresses.unwrap_or_default() };
        Input::Failed { action: Box::new(action), error: said(error) }
    }
}

impl Vrrp {
    /// Takes in what came of its order, and tells the engine.
    fn settle(
        &mut self,
        (interface, family): Place,
        result: io::Result<(Option<VrrpSocket>, Missing)>,
    ) -> Input {
        self.awaited = false;
        match result {
            Ok((socket, missing)) => {
                self.socket = socket.or(self.socket.take());
                let missing =
                    missing.into_iter().map(|(group, error)| (group, said(&error))).collect();
                Input::Listening { interface, family, missing }
            }
            Err(error) => {
                let action = Action::Listen {
                    interface,
                    index: self.index,
                    family,
                    virtual_router_ids: self.routers.clone(),
                    groups: self.groups.clone(),
                };
                Input::Failed { action: Box::new(action), error: said(&error) }
            }
        }
    }
}
