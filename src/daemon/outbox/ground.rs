//! The part of the system that an action concerns.

use std::net::IpAddr;

use super::owners::Owner;
use crate::engine::{Action, Change, HookOwner};
use crate::model::{Family, InstanceName, InterfaceName, Routing};

/// An interface and family: where there is a socket.
pub(super) type Place = (InterfaceName, Family);

/// The answer that an action stands in, and the instance that it is for, where that is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) answer: u64,
    pub(super) owner: Option<Owner>,
}

/// A thing whose change takes the kernel's time.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Changed {
    Address(InterfaceName, IpAddr),
    Routing(Routing),
}

impl Changed {
    /// The interface that it is on, as far as that is named.
    pub(super) fn interface(&self) -> Option<&InterfaceName> {
        match self {
            Self::Address(interface, _) => Some(interface),
            Self::Routing(routing) => routing.dev(),
        }
    }
}

/// True if a change brings something or takes it away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    There,
    Gone,
}

/// The part of the system that an action concerns.
#[derive(Debug)]
pub(super) enum Ground {
    Changed(Changed, Direction),
    /// A device, and so all on it.
    Device(InterfaceName, Direction),
    /// A message of a virtual router, and the device by which it leaves.
    Message(Place, Option<u8>, Option<InterfaceName>),
    Socket(Place),
    /// The addresses that are watched there: the last list counts.
    Watch(InterfaceName),
    /// The notes of these instances: a note replaces the one before of an instance, so
    /// those stay in order.
    Note(Vec<InstanceName>),
    /// A hook of this owner that begins or is ended: a hook is not ended before it has begun, and
    /// the last one tells the last state.
    Hook(HookOwner),
    /// An answer to the operator, and the state that is kept with it: the last answer counts.
    Answer,
    /// Nothing that others concern too.
    Free,
    Exit,
}

impl Ground {
    pub(super) fn of(action: &Action) -> Self {
        match action {
            Action::Change(change) => Self::of_change(change),
            Action::Send { interface, source, message, through, .. } => {
                // The second byte is the VRID (RFC 9568 section 5.1).
                let place = (interface.clone(), Family::of(*source));
                Self::Message(place, message.get(1).copied(), through.clone())
            }
            Action::Listen { interface, family, .. }
            | Action::StopListening { interface, family } => {
                Self::Socket((interface.clone(), *family))
            }
            Action::Watch { interface, .. } => Self::Watch(interface.clone()),
            Action::Answer { .. } => Self::Answer,
            Action::Announce { .. }
            | Action::Probe { .. }
            | Action::CancelProbe { .. }
            | Action::Report(_) => Self::Free,
            Action::Hook { owner, .. } | Action::CancelHook { owner, .. } => {
                Self::Hook(owner.clone())
            }
            Action::WriteDown { routers } => {
                Self::Note(routers.iter().map(|router| router.instance.clone()).collect())
            }
            Action::Exit => Self::Exit,
        }
    }

    fn of_change(change: &Change) -> Self {
        let direction = match change {
            Change::AddAddress { .. }
            | Change::AddRouting { .. }
            | Change::AddDevice { .. }
            | Change::SetDevice { up: true, .. } => Direction::There,
            Change::RemoveAddress { .. }
            | Change::RemoveRouting { .. }
            | Change::RemoveDevice { .. }
            | Change::SetDevice { up: false, .. } => Direction::Gone,
        };
        match change {
            Change::AddAddress { interface, address, .. }
            | Change::RemoveAddress { interface, address } => {
                let changed = Changed::Address(interface.clone(), address.address);
                Self::Changed(changed, direction)
            }
            Change::AddRouting { routing, .. } | Change::RemoveRouting { routing } => {
                Self::Changed(Changed::Routing(routing.clone()), direction)
            }
            Change::AddDevice { device } | Change::RemoveDevice { device } => {
                Self::Device(device.name(), direction)
            }
            Change::SetDevice { device, .. } => Self::Device(device.clone(), direction),
        }
    }

    /// True if it takes the kernel's time.
    pub(super) const fn takes_time(&self) -> bool {
        matches!(self, Self::Changed(..) | Self::Device(..))
    }
}
