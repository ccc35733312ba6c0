//! What the system did not do: tried again, told, and in the end a reason to let others try.

use super::super::event::{Action, SystemError};
use super::super::lease::InstallFailure;
use super::super::listen;
use super::super::story::{Fault, What};
use super::virtual_mac::NotRaised;
use super::{Context, Instance};
use crate::model::InterfaceName;
use crate::time::Span;

/// How long an instance stays in fault after the system has refused it something.
const REFUSED: Span = Span::from_secs(10);
/// How many advertisements may fail in a row: after these the other nodes take over.
const FAILED_SENDS: u32 = 3;

/// Advertisements that failed one after the other.
#[derive(Debug, Default)]
pub(super) struct FailedSends {
    in_a_row: u32,
    last_failed: bool,
}

impl FailedSends {
    /// Another one is sent: where the last one got through, it is the first again.
    pub(super) fn another(&mut self) {
        if !std::mem::take(&mut self.last_failed) {
            self.in_a_row = 0;
        }
    }
}

impl Instance {
    /// The system refused an action; whether it was one of ours is for us to see.
    pub(in super::super) fn action_failed(
        &mut self,
        context: &Context<'_>,
        action: &Action,
        error: &SystemError,
        out: &mut Vec<Action>,
    ) {
        let now = context.now.mono;
        match action {
            Action::AddAddress { interface, address, .. } => {
                match self.holding.install_failed(now, interface, address, error) {
                    InstallFailure::Nothing => return,
                    InstallFailure::Again => {
                        let (interface, address) = (interface.clone(), address.clone());
                        self.report(What::InstallFailed(address, interface, error.clone()), out);
                    }
                    InstallFailure::Hopeless => {
                        let (interface, address) = (interface.clone(), address.clone());
                        let fault = Fault::CannotInstall(address, interface, error.clone());
                        self.refuse(context, fault, REFUSED, out);
                    }
                }
            }
            Action::RemoveAddress { interface, address }
                if self.config.addresses.contains(address) =>
            {
                if self.holding.remove_failed(now, interface, address) {
                    let (interface, address) = (interface.clone(), address.clone());
                    self.report(What::RemoveFailed(address, interface, error.clone()), out);
                }
            }
            Action::Send { interface, message, .. } if self.sent(interface, message) => {
                self.send_failed(context, error, out);
            }
            Action::Announce { interface, .. }
                if self.announcer.is_running()
                    && (self.interfaces().any(|name| name == interface)
                        || self.devices.has(interface)) =>
            {
                self.report(What::AnnounceFailed(interface.clone(), error.clone()), out);
            }
            Action::AddDevice { device } if self.devices.not_made(device) => {
                let fault = Fault::CannotMakeDevice(device.name(), error.clone());
                self.refuse(context, fault, REFUSED, out);
            }
            Action::SetDevice { device, up: true } => {
                match self.devices.not_raised(now, device, error) {
                    None => return,
                    Some(NotRaised::Again) => {
                        self.report(What::DeviceNotRaised(device.clone(), error.clone()), out);
                    }
                    Some(NotRaised::Hopeless) => {
                        let fault = Fault::CannotMakeDevice(device.clone(), error.clone());
                        self.refuse(context, fault, REFUSED, out);
                    }
                }
            }
            Action::SetDevice { device, up: false } if self.devices.has(device) => {
                self.report(What::DeviceLeft(device.clone(), error.clone()), out);
            }
            Action::RemoveDevice { device } if self.devices.not_removed(now, device) => {
                self.report(What::DeviceLeft(device.name(), error.clone()), out);
            }
            Action::Listen { interface, family, .. }
                if *interface == self.config.interface && *family == self.config.family() =>
            {
                let fault = Fault::CannotListen(interface.clone(), error.clone());
                self.refuse(context, fault, listen::RETRY, out);
            }
            _ => return,
        }
        self.counters.failures += 1;
    }

    /// Whether this message is one of ours (its second byte is the virtual router ID).
    fn sent(&self, interface: &InterfaceName, message: &[u8]) -> bool {
        *interface == self.config.interface
            && message.get(1) == Some(&self.config.virtual_router_id.get())
    }

    /// An advertisement has not gone out. On a link that may be back in a moment that is no news.
    pub(super) fn send_failed(
        &mut self,
        context: &Context<'_>,
        error: &SystemError,
        out: &mut Vec<Action>,
    ) {
        if self.is_in_a_blip() {
            return;
        }
        let interface = self.config.interface.clone();
        self.failed_sends.last_failed = true;
        self.failed_sends.in_a_row += 1;
        if self.failed_sends.in_a_row == 1 {
            self.report(What::SendFailed(interface.clone(), error.clone()), out);
        }
        if self.failed_sends.in_a_row >= FAILED_SENDS && self.router.holds() {
            self.refuse(context, Fault::CannotSend(interface, error.clone()), REFUSED, out);
        }
    }

    /// Stays out of the election for a while.
    fn refuse(&mut self, context: &Context<'_>, fault: Fault, wait: Span, out: &mut Vec<Action>) {
        self.refused = Some((fault, context.now.mono + wait));
        self.reconsider(context, out);
    }
}
