//! What the system did not do: tried again, told, and in the end a reason to let others try.

use std::net::IpAddr;

use super::super::event::{Action, Change, SystemError};
use super::super::retry::InstallFailure;
use super::super::story::{Fault, What};
use super::virtual_mac::NotRaised;
use super::{Context, Instance};
use crate::model::InterfaceName;
use crate::time::Span;

/// How long an instance stays in fault after the system has refused it something.
const REFUSED: Span = Span::from_secs(10);
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
        let now = context.now.mono;
        match action {
            Action::Change(Change::AddAddress { interface, address, .. }) => {
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
            Action::Change(Change::RemoveAddress { interface, address })
                if self.config.moving_addresses().any(|own| own == address) =>
            {
                if self.holding.remove_failed(now, interface, address) {
                    let (interface, address) = (interface.clone(), address.clone());
                    self.report(What::RemoveFailed(address, interface, error.clone()), out);
                }
            }
            Action::Change(Change::AddRouting { routing, .. }) => {
                // Without its link the kernel takes no route: the next look does it.
                if self.is_in_a_blip() {
                    return;
                }
                match self.routings.install_failed(now, routing, error) {
                    InstallFailure::Nothing => return,
                    InstallFailure::Again => {
                        self.report(What::RoutingFailed(routing.clone(), error.clone()), out);
                    }
                    InstallFailure::Hopeless => {
                        let fault = Fault::CannotRoute(routing.clone(), error.clone());
                        self.refuse(context, fault, REFUSED, out);
                    }
                }
            }
            Action::Change(Change::RemoveRouting { routing })
                if self.config.routing().any(|own| own == *routing) =>
            {
                if self.routings.remove_failed(now, routing) {
                    let failed = What::RoutingNotRemoved(routing.clone(), error.clone());
                    self.report(failed, out);
                }
            }
            Action::Send { interface, source, destination, message, .. }
                if self.has_sent(interface, *source, message) =>
            {
                self.send_failed(context, (interface, *destination), error, out);
            }
            Action::Announce { interface, .. }
                if self.announcer.is_running()
                    && (self.config.interfaces().any(|name| name == interface)
                        || self.devices.has(interface)) =>
            {
                self.report(What::AnnounceFailed(interface.clone(), error.clone()), out);
            }
            Action::Change(Change::AddDevice { device }) if self.devices.not_made(device) => {
                let fault = Fault::CannotMakeDevice(device.name(), error.clone());
                self.refuse(context, fault, REFUSED, out);
            }
            Action::Change(Change::SetDevice { device, up: true }) => {
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
            Action::Change(Change::SetDevice { device, up: false }) if self.devices.has(device) => {
                self.report(What::DeviceLeft(device.clone(), error.clone()), out);
            }
            Action::Change(Change::RemoveDevice { device })
                if self.devices.not_removed(now, device) =>
            {
                self.report(What::DeviceLeft(device.name(), error.clone()), out);
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
        (interface, destination): (&InterfaceName, IpAddr),
        error: &SystemError,
        out: &mut Vec<Action>,
    ) {
        if self.is_in_a_blip() {
            return;
        }
        if self.failed_sends.failed(interface, destination) == 1 {
            self.report(What::SendFailed(interface.clone(), error.clone()), out);
        }
        if self.router.holds() && self.is_unheard(context, FAILED_SENDS) {
            let fault = Fault::CannotSend(interface.clone(), error.clone());
            self.refuse(context, fault, REFUSED, out);
        }
    }

    /// Stays out of the election for a while.
    fn refuse(&mut self, context: &Context<'_>, fault: Fault, wait: Span, out: &mut Vec<Action>) {
        self.refused = Some((fault, context.now.mono + wait));
        self.reconsider(context, out);
    }
}
