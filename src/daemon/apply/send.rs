//! Sending messages and frames, with as few calls as there are sockets.

use std::net::IpAddr;

use nix::errno::Errno;

use super::Hands;
use crate::daemon::socket::{Frame, Outgoing};
use crate::daemon::sockets::said;
use crate::engine::Action;
use crate::model::{Family, InterfaceName};

impl Hands {
    /// Sends what can be sent now; what goes through a device waits until that has its socket.
    pub(super) fn send(&mut self, actions: Vec<Action>) {
        let mut now: Vec<Action> =
            actions.into_iter().filter_map(|action| self.keep(action)).collect();
        // Stable: one virtual router's messages stay in order.
        now.sort_by(|a, b| ground(a).cmp(&ground(b)));
        self.send_now(now);
    }

    /// Keeps what cannot be sent yet; gives back what can.
    fn keep(&mut self, action: Action) -> Option<Action> {
        let Action::Send { through: Some(device), source, .. } = &action else {
            return Some(action);
        };
        let (device, family) = (device.clone(), Family::of(*source));
        let Some(index) = self.indices.get(&device) else { return Some(action) };
        // If that fails, so does sending.
        let _ = self.sockets.open_device(&device, *index, family);
        self.sockets.keep(&device, family, action)
    }

    /// Sends all of these, with one call for those that follow each other on the same way.
    pub(super) fn send_now(&mut self, actions: Vec<Action>) {
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

    /// Sends Ethernet frames.
    pub(super) fn announce(&mut self, actions: Vec<Action>) {
        let mut there = Vec::with_capacity(actions.len());
        for action in actions {
            match &action {
                Action::Announce { interface, .. } if self.indices.contains_key(interface) => {
                    there.push(action);
                }
                _ => self.failed(action, said(&Errno::ENODEV.into())),
            }
        }
        let frames = there.iter().filter_map(|action| match action {
            Action::Announce { interface, frame } => {
                let index = *self.indices.get(interface)?;
                Some(Frame { index, bytes: frame })
            }
            _ => None,
        });
        let results = self.sockets.announce(&frames.collect::<Vec<_>>());
        for (action, result) in there.into_iter().zip(results) {
            if let Err(error) = result {
                self.failed(action, said(&error));
            }
        }
    }
}

/// The place of a message: those of one interface and family stay in order.
fn ground(action: &Action) -> Option<(&InterfaceName, Family)> {
    way(action).map(|way| (way.interface, Family::of(way.source)))
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
