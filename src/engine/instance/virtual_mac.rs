//! The devices with an instance's virtual MAC addresses (RFC 9568 section 7.3): when they are
//! there, when they are up, and what goes by them.
//!
//! A device is there while the instance is, and up while it is active: a backup's device must not
//! send anything, because the switch would take it for the way to the virtual router. From a
//! takeover on the addresses are on it, and advertisements and announcements leave by it; so the
//! switch learns the way from the first of them.

use super::super::event::{Action, Change, SystemError};
use super::super::links::Links;
use super::super::timer::Timer;
use super::Context;
use crate::model::{Family, InstanceConfig, InterfaceName, VirtualAddress, VirtualDevice};
use crate::time::{Mono, Span};

/// When a device that could not be removed is removed again.
const RETRY: Span = Span::from_secs(1);

/// When it is looked at a device that was there already, and one is taken up again.
const SOON: Span = Span::from_millis(100);

/// How many attempts to take a device up are made before the instance gives up.
const ATTEMPTS: u32 = 3;

/// `ENODEV` (`errno(3)`).
const NO_SUCH_DEVICE: i32 = 19;

/// What follows from a device that could not be taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotRaised {
    /// It is tried again.
    Again,
    /// It was tried often enough.
    Hopeless,
}

/// The devices of one instance, one for each interface and family.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Devices {
    all: Vec<Device>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Device {
    identity: VirtualDevice,
    name: InterfaceName,
    /// Whether the configuration has it.
    wanted: bool,
    state: State,
    /// Whether it was there and has vanished.
    lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    /// Not asked for.
    Absent,
    /// Asked for, and not seen yet. At this time it is looked whether the one that was there
    /// already is as it must be: the kernel tells of changes only.
    Asked { look_at: Option<Mono> },
    /// It could not be made as it must be.
    Refused,
    /// It is there and down.
    Down,
    /// It is to be up, and was seen to be since. How often the system has refused that, and when it
    /// is asked again.
    Up { seen: bool, failures: u32, retry_at: Option<Mono> },
    /// It is to go away. It did not when it was last asked to, where there is a time.
    Removed { retry_at: Option<Mono>, attempts: u32 },
}

impl Device {
    fn new(device: VirtualDevice) -> Self {
        Self {
            name: device.name(),
            identity: device,
            wanted: true,
            state: State::Absent,
            lost: false,
        }
    }

    fn is_ready(&self) -> bool {
        self.wanted && matches!(self.state, State::Down | State::Up { .. })
    }

    fn is_for(&self, interface: &InterfaceName, family: Family) -> bool {
        self.identity.interface == *interface && self.identity.family == family
    }

    fn remove(&mut self, out: &mut Vec<Action>) {
        if !matches!(self.state, State::Absent | State::Removed { .. }) {
            out.push(Action::Change(Change::RemoveDevice { device: self.identity.clone() }));
            self.state = State::Removed { retry_at: None, attempts: 0 };
        }
    }

    /// Takes it up, unless that was asked for.
    fn raise(&mut self, out: &mut Vec<Action>) {
        if self.is_ready() && self.state == State::Down {
            out.push(Action::Change(Change::SetDevice { device: self.name.clone(), up: true }));
            self.state = State::Up { seen: false, failures: 0, retry_at: None };
        }
    }

    /// Follows what the kernel has told of it. Whether it is there now and was not before, and
    /// whether another program had taken it down.
    fn follow(
        &mut self,
        context: &Context<'_>,
        may_ask: bool,
        out: &mut Vec<Action>,
    ) -> (bool, bool) {
        let links = context.links;
        let link = links.get(&self.name);
        let interface = links.get(&self.identity.interface);
        match self.state {
            State::Absent | State::Refused | State::Removed { .. } => {
                // On what is no Ethernet there is none.
                if may_ask && interface.is_some_and(|interface| interface.mac.is_some()) {
                    out.push(Action::Change(Change::AddDevice { device: self.identity.clone() }));
                    self.state = State::Asked { look_at: Some(context.now.mono + SOON) };
                }
            }
            State::Asked { .. } => {
                if link.is_some_and(|link| link.mac == Some(self.identity.mac())) {
                    self.state = State::Down;
                    return (true, false);
                }
            }
            // The interface has another name now: so must the device.
            State::Down | State::Up { .. } if interface.is_none() => {
                out.push(Action::Change(Change::RemoveDevice { device: self.identity.clone() }));
                self.state = State::Absent;
            }
            State::Down => {}
            State::Up { seen, failures, .. } => match (seen, link.is_some_and(|link| link.up)) {
                (_, true) => {
                    self.state = State::Up { seen: true, failures: 0, retry_at: None };
                    // Nothing that was announced by it has got out.
                    return (failures > 0, false);
                }
                (true, false) => {
                    self.state = State::Down;
                    self.raise(out);
                    return (false, true);
                }
                (false, false) => {}
            },
        }
        (false, false)
    }
}

impl Devices {
    pub(super) fn new(config: &InstanceConfig) -> Self {
        Self { all: config.virtual_devices().into_iter().map(Device::new).collect() }
    }

    /// Those of this configuration are wanted from now on.
    pub(super) fn reconfigure(&mut self, config: &InstanceConfig) {
        let wanted = config.virtual_devices();
        for device in &mut self.all {
            device.wanted = wanted.contains(&device.identity);
        }
        for device in wanted {
            if self.all.iter().all(|own| own.identity != device) {
                self.all.push(Device::new(device));
            }
        }
    }

    /// Where an address is put: on the device of the instance's interface, once there is one.
    pub(super) fn place<'a>(
        &'a self,
        config: &'a InstanceConfig,
        address: &'a VirtualAddress,
    ) -> &'a InterfaceName {
        let family = Family::of(address.address);
        let mut ready = self.all.iter().filter(|d| d.is_ready() && address.dev.is_none());
        let device = ready.find(|device| device.is_for(&config.interface, family));
        device.map_or_else(|| config.interface_of(address), |device| &device.name)
    }

    /// The device by which messages of this interface and family leave; `None`: by the interface
    /// itself. A router that is not active any more has nothing to send from the virtual MAC: the
    /// switch would send there what is for the active one.
    pub(super) fn through(
        &self,
        interface: &InterfaceName,
        family: Family,
    ) -> Option<InterfaceName> {
        let mut up = self.all.iter().filter(|device| matches!(device.state, State::Up { .. }));
        let device = up.find(|device| device.is_ready() && device.is_for(interface, family));
        device.map(|device| device.name.clone())
    }

    /// Asks for those that are lacking, if it may. Returns true if one has come, and those that
    /// another program had deleted or taken down.
    pub(super) fn follow(
        &mut self,
        context: &Context<'_>,
        may_ask: bool,
        out: &mut Vec<Action>,
    ) -> (bool, Vec<InterfaceName>) {
        let (mut has_come, mut restored) = (false, Vec::new());
        for device in self.all.iter_mut().filter(|device| device.wanted) {
            let (is_there, was_taken_down) = device.follow(context, may_ask, out);
            has_come |= is_there;
            if was_taken_down || (is_there && std::mem::take(&mut device.lost)) {
                restored.push(device.name.clone());
            }
        }
        (has_come, restored)
    }

    /// Takes them up.
    pub(super) fn raise(&mut self, out: &mut Vec<Action>) {
        self.all.iter_mut().for_each(|device| device.raise(out));
    }

    /// Takes them down.
    pub(super) fn lower(&mut self, out: &mut Vec<Action>) {
        for device in &mut self.all {
            if let State::Up { .. } = device.state {
                out.push(Action::Change(Change::SetDevice {
                    device: device.name.clone(),
                    up: false,
                }));
                device.state = State::Down;
            }
        }
    }

    /// Removes what the configuration has no more.
    pub(super) fn remove_unwanted(&mut self, out: &mut Vec<Action>) {
        self.all.iter_mut().filter(|d| !d.wanted).for_each(|device| device.remove(out));
    }

    /// Removes all of them.
    pub(super) fn remove_all(&mut self, out: &mut Vec<Action>) {
        self.all.iter_mut().for_each(|device| device.remove(out));
    }

    /// An interface is gone. If it was one of these, it is asked for again.
    pub(super) fn vanished(&mut self, name: &InterfaceName) {
        for device in self.all.iter_mut().filter(|d| d.name == *name && d.is_ready()) {
            // Of one that is just being taken up again, people know.
            device.lost = !matches!(device.state, State::Up { seen: false, .. });
            device.state = State::Absent;
        }
    }

    /// Whether the kernel has said of each of them whether it is there.
    pub(super) fn are_known(&self, links: &Links) -> bool {
        self.all.iter().filter(|d| d.wanted).all(|device| links.is_known(&device.name))
    }

    /// Whether one of them is yet to come.
    pub(super) fn are_awaited(&self) -> bool {
        self.all.iter().any(|device| device.wanted && !device.is_ready())
    }

    /// Whether this is one of them.
    pub(super) fn has(&self, name: &InterfaceName) -> bool {
        self.all.iter().any(|device| device.name == *name)
    }

    /// The names of all, those included that the configuration has no more.
    pub(super) fn names(&self) -> impl Iterator<Item = &InterfaceName> {
        self.all.iter().map(|device| &device.name)
    }

    /// A number for what may be on the system: it is another one after a change.
    pub(super) fn changes(&self) -> u64 {
        self.all.iter().fold(0, |sum, device| {
            let state = match device.state {
                State::Absent | State::Removed { retry_at: None, .. } => 0,
                State::Removed { .. } => 1,
                State::Asked { .. } | State::Refused => 2,
                State::Down => 3,
                State::Up { .. } => 4,
            };
            sum.wrapping_mul(8).wrapping_add(state)
        })
    }

    /// Those that the configuration has.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &VirtualDevice> {
        self.all.iter().filter(|device| device.wanted).map(|device| &device.identity)
    }

    /// What may be on the system.
    pub(super) fn on_the_system(&self) -> Vec<VirtualDevice> {
        let devices = self.all.iter().filter(|device| {
            !matches!(device.state, State::Absent | State::Removed { retry_at: None, .. })
        });
        devices.map(|device| device.identity.clone()).collect()
    }

    /// A device could not be made. Whether it was one of these.
    pub(super) fn not_made(&mut self, refused: &VirtualDevice) -> bool {
        let device = self.all.iter_mut().find(|device| {
            let is_asked = matches!(device.state, State::Asked { .. });
            device.identity == *refused && (is_asked || device.is_ready())
        });
        device.map(|device| device.state = State::Refused).is_some()
    }

    /// A device could not be taken up: that is tried again some times, because the kernel may be
    /// busy. `None`: it is none of these, or is just gone: the kernel tells of that, and it is made
    /// again.
    pub(super) fn not_raised(
        &mut self,
        now: Mono,
        name: &InterfaceName,
        error: &SystemError,
    ) -> Option<NotRaised> {
        let device = self.all.iter_mut().find(|device| device.name == *name)?;
        let State::Up { seen, failures, .. } = device.state else { return None };
        if error.errno == NO_SUCH_DEVICE {
            return None;
        }
        let failures = failures.saturating_add(1);
        if failures >= ATTEMPTS {
            device.state = State::Down;
            return Some(NotRaised::Hopeless);
        }
        device.state = State::Up { seen, failures, retry_at: Some(now + SOON) };
        Some(NotRaised::Again)
    }

    /// A device could not be removed: that is tried again. Whether it is worth telling (again).
    pub(super) fn not_removed(&mut self, now: Mono, left: &VirtualDevice) -> bool {
        let Some(device) = self.all.iter_mut().find(|device| device.identity == *left) else {
            return false;
        };
        let State::Removed { attempts, .. } = device.state else { return false };
        let attempts = attempts.saturating_add(1);
        device.state = State::Removed { retry_at: Some(now + RETRY), attempts };
        attempts.is_power_of_two()
    }

    /// When [`Devices::fire`] is due.
    pub(super) fn deadline(&self) -> Option<(Mono, Timer)> {
        let due = self.all.iter().filter_map(|device| match device.state {
            State::Removed { retry_at, .. } | State::Up { retry_at, .. } => retry_at,
            State::Asked { look_at } => look_at,
            _ => None,
        });
        due.min().map(|at| (at, Timer::Device))
    }

    /// Does what is due. Whether one is to be looked at.
    pub(super) fn fire(&mut self, now: Mono, out: &mut Vec<Action>) -> bool {
        let is_due = |at: &mut Option<Mono>| at.take_if(|at| *at <= now).is_some();
        let mut look = false;
        for device in &mut self.all {
            match &mut device.state {
                State::Removed { retry_at, .. } => {
                    let again =
                        Action::Change(Change::RemoveDevice { device: device.identity.clone() });
                    out.extend(is_due(retry_at).then_some(again));
                }
                State::Up { retry_at, .. } => {
                    let again =
                        Action::Change(Change::SetDevice { device: device.name.clone(), up: true });
                    out.extend(is_due(retry_at).then_some(again));
                }
                State::Asked { look_at } => look |= is_due(look_at),
                _ => {}
            }
        }
        look
    }
}
