//! Failures of the system, on the way to the instances that they concern.

use super::Engine;
use super::event::{Action, Change, SystemError};
use super::instance::Instance;
use super::story::{Event, What};
use super::turn::Turn;
use crate::model::{Family, Vrid};

impl Engine {
    /// An action could not be carried out.
    pub(super) fn failed(&mut self, turn: &mut Turn, action: &Action, error: &SystemError) {
        let mut tell = |what| turn.out.push(Action::Report(Event::of_node(what)));
        match action {
            Action::Listen { interface, family, .. } => {
                let place = (interface.clone(), *family);
                self.links.not_opened(turn.now.mono, &place, error.clone());
                turn.listening = true;
            }
            Action::WriteDown { .. } => tell(What::WriteDownFailed(error.clone())),
            Action::Watch { interface, .. } => {
                tell(What::WatchFailed(interface.clone(), error.clone()));
            }
            _ => {}
        }
        let places = self.concerned_by(action).to_vec();
        self.each(turn, places, |instance: &mut Instance, context, out| {
            instance.action_failed(context, action, error, out);
        });
    }

    /// The instances that such an action may be of.
    fn concerned_by(&self, action: &Action) -> &[usize] {
        match action {
            Action::Change(
                Change::AddAddress { address, .. } | Change::RemoveAddress { address, .. },
            ) => self.index.address(address.address),
            Action::Change(
                Change::AddRouting { routing, .. } | Change::RemoveRouting { routing },
            ) => self.index.routing(routing),
            Action::Change(Change::AddDevice { device } | Change::RemoveDevice { device }) => {
                self.index.interface(&device.name())
            }
            Action::Change(Change::SetDevice { device, .. }) => self.index.interface(device),
            Action::Send { interface, source, message, .. } => {
                // The second byte is the virtual router ID (RFC 9568 section 5.1).
                let router = message.get(1).and_then(|byte| Vrid::try_from(*byte).ok());
                router.map_or(&[], |id| self.index.router(interface, Family::of(*source), id))
            }
            Action::Announce { interface, .. } | Action::Listen { interface, .. } => {
                self.index.interface(interface)
            }
            _ => &[],
        }
    }
}
