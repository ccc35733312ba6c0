//! What the system did not do: tried again, told, and in the end a reason to let others try.

use std::net::IpAddr;

use super::super::event::{Action, Change, SystemError};
use super::super::story::{Fault, What};
use super::service::Refusal;
use super::{Context, Instance};
use crate::model::InterfaceName;

/// How many advertisements may fail in a row: after these the other nodes take over.
const FAILED_SENDS: u32 = 3;

impl Instance {
    /// The system refused an action; whether it was one of ours is for us to see.
    pub(in super::super) fn action_failed(
        &mut self,
        context: &Context<'_>,
        action: &Action,
        error: &SystemError,
        out: &mut Vec<Action>,
    ) {
        match action {
            // Without its link the kernel takes no route: the next look does it.
            Action::Change(Change::AddRouting { .. }) if self.obstacles.has_blip() => return,
            Action::Change(change) => {
                match self.service.refused(context.now.mono, &self.config, change, error) {
                    Refusal::Nothing => return,
                    Refusal::Known => {}
                    Refusal::Told(what) => self.report(what, out),
                    Refusal::Hopeless(fault) => self.refuse(context, fault, out),
                }
            }
            Action::Send { interface, source, destination, message, .. }
                if self.has_sent(interface, *source, message) =>
            {
                self.send_failed(context, interface, *destination, error, out);
            }
            Action::Announce { interface, .. }
                if self.service.announces_on(&self.config, interface) =>
            {
                self.report(What::AnnounceFailed(interface.clone(), error.clone()), out);
            }
            Action::Listen { interface, family, .. }
                if self
                    .config
                    .paths()
                    .any(|path| (&path.interface, &path.family) == (interface, family)) =>
            {
                self.reconsider(context, out);
            }
            _ => return,
        }
        self.counters.failures += 1;
    }

    /// An advertisement has not gone out. On a link that may be back in a moment that is no news.
    /// While one gets out on another way, the others don't take over.
    pub(super) fn send_failed(
        &mut self,
        context: &Context<'_>,
        interface: &InterfaceName,
        destination: IpAddr,
        error: &SystemError,
        out: &mut Vec<Action>,
    ) {
        if self.obstacles.has_blip() {
            return;
        }
        if self.failed_sends.failed(interface, destination) == 1 {
            self.report(What::SendFailed(interface.clone(), error.clone()), out);
        }
        if self.router.holds() && self.is_unheard(context, FAILED_SENDS) {
            let fault = Fault::CannotSend(interface.clone(), error.clone());
            self.refuse(context, fault, out);
        }
    }
}
