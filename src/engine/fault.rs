//! The faults: each keeps an instance from taking part.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::words::{SystemError, TrackFailure};
use crate::model::{GroupName, InstanceName, InterfaceName, Routing, TrackName, VirtualAddress};

/// What keeps an instance from taking part.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// There is no interface of that name.
    InterfaceMissing(InterfaceName),
    /// It is administratively down.
    InterfaceDown(InterfaceName),
    /// It has no carrier.
    NoCarrier(InterfaceName),
    /// No IPv4 address on it to advertise from.
    NoSourceAddress(InterfaceName),
    /// No IPv6 link-local address on it to advertise from.
    NoLinkLocal(InterfaceName, LinkLocal),
    /// It has no Ethernet address to announce.
    NotEthernet(InterfaceName),
    /// The VRRP socket could not be opened.
    CannotListen(InterfaceName, SystemError),
    /// Its multicast group could not be joined.
    CannotJoin(IpAddr, InterfaceName, SystemError),
    /// An address could not be put on its interface.
    CannotInstall(VirtualAddress, InterfaceName, SystemError),
    /// A route or a rule could not be added.
    CannotRoute(Routing, SystemError),
    /// The device with the virtual MAC address could not be made, set or taken up.
    CannotMakeDevice(InterfaceName, SystemError),
    /// Advertisements could not be sent, several times running.
    CannotSend(InterfaceName, SystemError),
    /// A check without a cost does not pass.
    TrackFailing(TrackName, TrackFailure),
    /// This member of its sync group cannot take part.
    GroupMember(GroupName, InstanceName),
    /// Something that it needs is not on this machine yet: what.
    Awaiting(String),
    /// The operator has taken it out of the election. Not a fault, but as good a reason as one.
    Standby,
}

/// Why there is no IPv6 link-local address to advertise from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkLocal {
    /// There is none.
    Missing,
    /// The kernel is still looking whether another station has it.
    Tentative(IpAddr),
    /// Another station has it.
    Duplicate(IpAddr),
}

impl Fault {
    /// Its kind, for metrics: the same in every release.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::InterfaceMissing(_) => "interface_missing",
            Self::InterfaceDown(_) => "interface_down",
            Self::NoCarrier(_) => "no_carrier",
            Self::NoSourceAddress(_) => "no_source_address",
            Self::NoLinkLocal(..) => "no_link_local_address",
            Self::NotEthernet(_) => "not_ethernet",
            Self::CannotListen(..) => "cannot_listen",
            Self::CannotJoin(..) => "cannot_join",
            Self::CannotInstall(..) => "cannot_install",
            Self::CannotRoute(..) => "cannot_route",
            Self::CannotMakeDevice(..) => "cannot_make_device",
            Self::CannotSend(..) => "cannot_send",
            Self::TrackFailing(..) => "check_failing",
            Self::GroupMember(..) => "group_member",
            Self::Awaiting(_) => "awaiting",
            Self::Standby => "standby",
        }
    }

    /// True if it is about the link of an interface, which may be back in a moment.
    pub(super) fn is_of_the_link(&self) -> bool {
        matches!(self, Self::InterfaceDown(_) | Self::NoCarrier(_))
    }

    /// Whether a check has yet to pass for the first time: nothing is known to be wrong.
    pub(super) fn is_untried(&self) -> bool {
        matches!(self, Self::TrackFailing(_, TrackFailure::Untried))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InterfaceMissing(name) => write!(f, "there is no interface {name}"),
            Self::InterfaceDown(name) => write!(f, "link {name} is down"),
            Self::NoCarrier(name) => write!(f, "link {name} has no carrier"),
            Self::NoSourceAddress(name) => {
                write!(f, "{name} has no address of its own to advertise from")
            }
            Self::NoLinkLocal(name, LinkLocal::Missing) => write!(
                f,
                "{name} has no IPv6 link-local address to advertise from: is IPv6 off there (sysctl \
                 net.ipv6.conf.{name}.disable_ipv6, net.ipv6.conf.{name}.addr_gen_mode)?"
            ),
            Self::NoLinkLocal(name, LinkLocal::Tentative(address)) => write!(
                f,
                "waiting for the kernel to look whether another station has {address}, the address \
                 of {name} to advertise from"
            ),
            Self::NoLinkLocal(name, LinkLocal::Duplicate(address)) => write!(
                f,
                "another station has {address}, the address of {name} to advertise from: the kernel \
                 does not use it (dadfailed)"
            ),
            Self::NotEthernet(name) => write!(f, "{name} is not an Ethernet interface"),
            Self::CannotListen(name, error) => {
                write!(f, "no VRRP socket on {name}: {}", error.text)
            }
            Self::CannotJoin(group, name, error) => {
                write!(f, "{name} cannot join the multicast group {group}: {}", error.text)?;
                match group {
                    IpAddr::V4(_) => Ok(()),
                    IpAddr::V6(_) => f.write_str(" (is IPv6 off there, or the MTU below 1280?)"),
                }
            }
            Self::CannotInstall(address, name, error) => {
                write!(f, "{address} cannot be put on {name}: {}", error.text)
            }
            Self::CannotRoute(routing, error) => {
                write!(f, "{routing} cannot be added: {}", error.text)
            }
            Self::CannotMakeDevice(name, error) => {
                write!(
                    f,
                    "no virtual MAC address, because the device {name} is not usable: {}",
                    error.text
                )
            }
            Self::CannotSend(name, error) => {
                write!(f, "advertisements cannot be sent on {name}: {}", error.text)
            }
            Self::TrackFailing(track, failure) => write!(f, "check {track} {failure}"),
            Self::GroupMember(group, member) => {
                write!(f, "{member}, of the same sync group {group}, cannot take part")
            }
            Self::Awaiting(what) => write!(f, "waiting: {what}"),
            Self::Standby => f.write_str(
                "taken out by the operator: it stays out until `vipctl online` puts it back",
            ),
        }
    }
}
