//! What people are told: one line for each change, with its reason.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::answers::HandoverAnswer;
use super::conflict::Conflict;
pub use super::fault::{Fault, LinkLocal};
use super::hook::call::HookName;
use super::link::Loss;
use super::words::SystemError;
pub use super::words::{Lowered, Peer, StateName, TrackFailure};
use crate::model::{
    Family, GroupName, InstanceName, InterfaceName, Phase, Priority, Routing, TrackName,
    VirtualAddress,
};
use crate::time::Span;

/// Something worth telling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Which instance it is about; `None`: the node or a sync group as a whole.
    pub instance: Option<InstanceName>,
    /// Which sync group it is about as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// What happened.
    pub what: What,
}

/// How loudly an event is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A decision, for whoever looks closely.
    Debug,
    /// A change of state.
    Info,
    /// Worth waking someone.
    Warning,
}

/// Why an instance is in the state that it is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The daemon has started.
    Started,
    /// It can take part (again): what kept it from it is over.
    Recovered,
    /// It owns the addresses (priority 255).
    AddressOwner,
    /// Nobody was heard since it began to listen, this long ago.
    NobodyHeard(Span),
    /// The active router has not been heard for this long.
    Silence(Peer, Span),
    /// The active router said that it stops.
    PeerStopped(Peer),
    /// The active router has this lower priority, and we preempt.
    Preempting(Peer, u8),
    /// Another active router has this higher priority.
    HigherPriority(Peer, u8),
    /// Another active router has the same priority and the higher address.
    HigherAddress(Peer),
    /// Something keeps it from taking part.
    Fault(Fault),
    /// The operator has asked for a handover.
    HandingOver,
    /// The operator has asked for a handover, and this router has taken over.
    HandedOver(Peer),
    /// It was held up by this much more than the others wait for an active router, and this one
    /// has taken over.
    Overslept(Span, Peer),
    /// The machine was suspended for this long.
    Suspended(Span),
    /// This member of its sync group has let go of its addresses, or must leave them to another
    /// router.
    YieldingWith(InstanceName),
    /// The daemon stops.
    Stopping,
    /// The configuration has it no more.
    Retired,
}

impl Why {
    /// Its kind, for metrics: the same in every release.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Recovered => "recovered",
            Self::AddressOwner => "address_owner",
            Self::NobodyHeard(_) => "nobody_heard",
            Self::Silence(..) => "silence",
            Self::PeerStopped(_) => "peer_stopped",
            Self::Preempting(..) => "preempting",
            Self::HigherPriority(..) => "higher_priority",
            Self::HigherAddress(_) => "higher_address",
            Self::Fault(fault) => fault.cause(),
            Self::HandingOver => "handing_over",
            Self::HandedOver(_) => "handed_over",
            Self::Overslept(..) => "overslept",
            Self::Suspended(_) => "suspended",
            Self::YieldingWith(_) => "group_yields",
            Self::Stopping => "stopping",
            Self::Retired => "retired",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => f.write_str("started"),
            Self::Recovered => f.write_str("able to take part again"),
            Self::AddressOwner => f.write_str("owner of the addresses"),
            Self::NobodyHeard(span) => write!(f, "nobody heard for {span}"),
            Self::Silence(peer, span) => write!(f, "silence of {peer} for {span}"),
            Self::PeerStopped(peer) => write!(f, "{peer} stops being active"),
            Self::Preempting(peer, priority) => {
                write!(f, "preempting {peer}, which has the lower priority {priority}")
            }
            Self::HigherPriority(peer, priority) => {
                write!(f, "higher priority {priority} from {peer}")
            }
            Self::HigherAddress(peer) => {
                write!(f, "same priority from {peer}, which has the higher address")
            }
            Self::Fault(fault) => fault.fmt(f),
            Self::HandingOver => f.write_str("handing over as asked"),
            Self::HandedOver(peer) => write!(f, "handed over to {peer} as asked"),
            Self::Overslept(late, peer) => write!(
                f,
                "this daemon was held up for {late}, and {peer} has taken over (is the machine \
                 overloaded?)"
            ),
            Self::Suspended(span) => {
                write!(f, "the machine was suspended for {span}: listening first")
            }
            Self::YieldingWith(member) => {
                write!(
                    f,
                    "{member}, of the same sync group, leaves its addresses to another router"
                )
            }
            Self::Stopping => f.write_str("the daemon stops"),
            Self::Retired => f.write_str("it is not in the configuration any more"),
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The state changed.
    Changed {
        /// What it was.
        from: StateName,
        /// What it is now.
        to: StateName,
        /// The reason.
        why: Why,
    },
    /// The fault goes on with another reason.
    FaultChanged(Fault),
    /// A backup hears another active router than before.
    Following(Peer, u8),
    /// The daemon's own loop was late; the active-down timer was restarted.
    Distrusted(Span),
    /// An address of ours had been taken off and was put back.
    PutBack(VirtualAddress, InterfaceName, Loss),
    /// An address could not be put on its interface; it is tried again.
    InstallFailed(VirtualAddress, InterfaceName, SystemError),
    /// An address could not be taken off its interface; it is tried again.
    RemoveFailed(VirtualAddress, InterfaceName, SystemError),
    /// A route or rule of ours had been taken off and was put back.
    RoutingPutBack(Routing),
    /// A route or rule could not be added; it is tried again.
    RoutingFailed(Routing, SystemError),
    /// A route or rule could not be removed; it is tried again.
    RoutingNotRemoved(Routing, SystemError),
    /// The device with the virtual MAC address had been deleted or taken down by another program,
    /// and is made or taken up again.
    DeviceRestored(InterfaceName),
    /// The device with the virtual MAC address could not be taken up; that is tried again.
    DeviceNotRaised(InterfaceName, SystemError),
    /// The device with the virtual MAC address could not be taken down or away; that is tried
    /// again.
    DeviceLeft(InterfaceName, SystemError),
    /// An advertisement could not be sent.
    SendFailed(InterfaceName, SystemError),
    /// The segment could not be told about our addresses.
    AnnounceFailed(InterfaceName, SystemError),
    /// Something is wrong on the segment; how often it was seen by now.
    Conflict(Conflict, u64),
    /// It has told the others that it stops being active, and keeps the addresses until one of
    /// them has taken over.
    Leaving(Why),
    /// The configuration has changed: the keys with another value.
    Reconfigured(Vec<String>),
    /// A handover came to nothing.
    HandoverFailed(HandoverAnswer),
    /// The operator has taken it out of the election, or (`false`) put it back in.
    Standby(bool),
    /// The checks make another priority of its own.
    Reprioritized {
        /// What it was.
        from: Priority,
        /// What it is now.
        to: Priority,
        /// Why that is not its own; `None`: it is.
        why: Option<Lowered>,
    },
    /// A check passes (again), and what it found.
    TrackPasses(TrackName, String),
    /// A check fails, or is not believed any more.
    TrackFails(TrackName, TrackFailure),
    /// It has won the election, and takes the addresses once this hook has ended.
    Pending(Phase),
    /// It leaves once this hook has ended.
    Departing(Phase),
    /// A hook has failed, and why; whether it is tried again.
    HookFailed(HookName, String, bool),
    /// The addresses are somebody else's, says the hook `verify`: they are claimed anew.
    VerifyFailed(String),
    /// Nothing is heard on one of its further interfaces; that is tried again.
    PathMissing(InterfaceName, Family, Fault),
    /// That is over.
    PathBack(InterfaceName, Family),
    /// The file for `vipd release` could not be written.
    WriteDownFailed(SystemError),
    /// Conflicts about the addresses cannot be noticed.
    WatchFailed(InterfaceName, SystemError),
}

impl Event {
    /// Something about an instance.
    pub fn of_instance(name: InstanceName, what: What) -> Self {
        Self { instance: Some(name), group: None, what }
    }

    /// Something about a sync group as a whole.
    pub fn of_group(name: GroupName, what: What) -> Self {
        Self { instance: None, group: Some(name), what }
    }

    /// Something about the node as a whole.
    pub fn of_node(what: What) -> Self {
        Self { instance: None, group: None, what }
    }

    /// What it is about and what happened, for a line among those about others.
    pub fn line(&self) -> String {
        match (&self.instance, &self.group) {
            (Some(name), _) => format!("{name}: {self}"),
            (None, Some(name)) => format!("sync group {name}: {self}"),
            (None, None) => self.to_string(),
        }
    }

    /// How loudly to tell it.
    pub fn severity(&self) -> Severity {
        match &self.what {
            // At each start: the checks have yet to look.
            What::Changed { from: StateName::Stopped, why: Why::Fault(fault), .. }
                if fault.is_untried() =>
            {
                Severity::Info
            }
            What::Changed { to: StateName::Fault, .. }
            | What::Changed { why: Why::Overslept(..) | Why::Suspended(_), .. } => {
                Severity::Warning
            }
            What::Changed { .. }
            | What::Following(..)
            | What::Leaving(_)
            | What::Pending(_)
            | What::Departing(_)
            | What::Reconfigured(_)
            | What::Standby(false)
            | What::PathBack(..)
            | What::Reprioritized { why: None, .. }
            | What::TrackPasses(..) => Severity::Info,
            _ => Severity::Warning,
        }
    }
}

impl Event {
    /// The line about a check, or about what it makes of an instance.
    fn tell_check(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Reprioritized { from, to, why: None } => {
                write!(f, "priority {from} -> {to}: its checks pass")
            }
            What::Reprioritized { from, to, why: Some(why) } => {
                write!(f, "priority {from} -> {to}: {why}")
            }
            What::TrackPasses(track, detail) if detail.is_empty() => {
                write!(f, "check {track} passes")
            }
            What::TrackPasses(track, detail) => write!(f, "check {track} passes: {detail}"),
            What::TrackFails(track, failure) => write!(f, "check {track} {failure}"),
            _ => Ok(()),
        }
    }

    /// The line about a further interface.
    fn tell_path(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::PathMissing(interface, family, fault) => {
                write!(f, "nothing is heard on {interface} ({family}): {fault}; trying again")
            }
            What::PathBack(interface, family) => {
                write!(f, "{interface} ({family}) is heard again")
            }
            _ => Ok(()),
        }
    }
}

/// That an address is there again, and how it had gone.
fn put_back(
    f: &mut fmt::Formatter<'_>,
    address: &VirtualAddress,
    interface: &InterfaceName,
    loss: Loss,
) -> fmt::Result {
    match loss {
        Loss::Removed => write!(f, "another program took {address} off {interface}: put back"),
        Loss::Expired => write!(
            f,
            "the lease of {address} on {interface} ran out before the kernel had its renewal: put back \
             (an overloaded machine, or the kernel busy with other network settings?)"
        ),
        Loss::Down => write!(f, "{address} went from {interface} while that was down: put back"),
    }
}

/// What happened, without what it is about.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Changed { from, to, why } => write!(f, "{from} -> {to}: {why}"),
            What::FaultChanged(fault) => write!(f, "still fault: {fault}"),
            What::Following(peer, priority) => {
                write!(f, "{peer} is active with priority {priority}")
            }
            What::Distrusted(late) => write!(
                f,
                "this daemon was held up for {late} and may have missed advertisements: listening \
                 again before taking over (is the machine overloaded, or was it suspended?)"
            ),
            What::PutBack(address, interface, loss) => put_back(f, address, interface, *loss),
            What::InstallFailed(address, interface, error) => {
                write!(f, "cannot put {address} on {interface}: {}; trying again", error.text)
            }
            What::RemoveFailed(address, interface, error) => write!(
                f,
                "cannot take {address} off {interface}: {}; trying again (by hand: ip address del \
                 {address} dev {interface})",
                error.text
            ),
            What::RoutingPutBack(routing) => {
                write!(f, "another program removed {routing}: put back")
            }
            What::RoutingFailed(routing, error) => {
                write!(f, "cannot add {routing}: {}; trying again", error.text)
            }
            What::RoutingNotRemoved(routing, error) => write!(
                f,
                "cannot remove {routing}: {}; trying again (by hand: {})",
                error.text,
                routing.removal()
            ),
            What::DeviceRestored(name) => {
                write!(f, "another program deleted {name} or took it down: made good")
            }
            What::DeviceNotRaised(name, error) => {
                write!(f, "cannot take {name} up: {}; trying again", error.text)
            }
            What::DeviceLeft(name, error) => write!(
                f,
                "cannot take {name} down or away: {}; trying again (by hand: ip link del {name})",
                error.text
            ),
            What::SendFailed(interface, error) => {
                write!(f, "an advertisement could not be sent on {interface}: {}", error.text)
            }
            What::AnnounceFailed(interface, error) => {
                write!(f, "the addresses could not be announced on {interface}: {}", error.text)
            }
            What::Conflict(conflict, 1) => conflict.fmt(f),
            What::Conflict(conflict, count) => write!(f, "{conflict} (seen {count} times)"),
            What::Leaving(why) => write!(
                f,
                "leaving, {why}: this node keeps answering until another one has taken over"
            ),
            What::Reconfigured(keys) => write!(f, "reconfigured: {}", keys.join(", ")),
            What::HandoverFailed(answer) => write!(f, "not handed over: {answer}"),
            What::Standby(true) => {
                f.write_str("on standby from now on, also after a restart, until `vipctl online`")
            }
            What::Standby(false) => f.write_str("not on standby any more"),
            What::Reprioritized { .. } | What::TrackPasses(..) | What::TrackFails(..) => {
                self.tell_check(f)
            }
            What::Pending(phase) => {
                write!(f, "takes the addresses once {phase} has ended")
            }
            What::Departing(phase) => write!(f, "leaves once {phase} has ended"),
            What::HookFailed(hook, reason, again) => {
                write!(
                    f,
                    "hook {hook} failed: {reason}{}",
                    if *again { "; trying again" } else { "" }
                )
            }
            What::VerifyFailed(reason) => {
                write!(
                    f,
                    "verify says that the addresses are not here: {reason}; claiming them anew"
                )
            }
            What::PathMissing(..) | What::PathBack(..) => self.tell_path(f),
            What::WriteDownFailed(error) => write!(
                f,
                "what this node holds could not be written down: {}; if the daemon is killed now, \
                 `vipd release` cannot remove it (its lease can)",
                error.text
            ),
            What::WatchFailed(interface, error) => write!(
                f,
                "no ARP socket on {interface}: {}; that another station has the same address \
                 will not be noticed",
                error.text
            ),
        }
    }
}
