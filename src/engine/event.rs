//! The whole contract between the pure half and the shell, on one page.
//!
//! The shell turns everything that happens into an [`Input`] and calls
//! [`Engine::handle`](super::Engine::handle); the engine answers with [`Action`]s, which the
//! shell carries out in their order. What came of an action returns as another input only
//! where it failed. Both serialize: a recording is a list of inputs with their times.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::answers::{HandoverAnswer, StandbyAnswer};
pub use super::change::Change;
use super::held::HeldRouter;
use super::hex;
pub use super::hook::call::{
    GroupEvent, GroupMember, HookCall, HookEvent, HookName, HookOwner, HookTarget, InstanceEvent,
};
use super::link::{Link, Loss};
use super::story::Event;
pub use super::words::SystemError;
use crate::model::{
    Config, Family, InstanceName, InterfaceName, NodeName, Routing, TrackName, Vrid,
};
use crate::time::{Mono, Span};
use crate::vrrp::auth::Proof;
use crate::vrrp::packet::{Datagram, Discard};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// The state of an interface that the configuration names: at start for each of them, then
    /// at each change. `None`: there is no interface of that name.
    Link {
        /// Its name in the configuration.
        interface: InterfaceName,
        /// What it is like now.
        link: Option<Link>,
    },
    /// A VRRP packet arrived.
    Received {
        /// On which interface.
        interface: InterfaceName,
        /// When the kernel received it (earlier than the input's time if the loop was late).
        arrived: Mono,
        /// The packet.
        packet: Packet,
        /// What [`KeyRing::receive`](crate::keyring::KeyRing::receive) says of it.
        #[serde(default, skip_serializing_if = "Proof::is_none")]
        proof: Proof,
    },
    /// An address is no longer on an interface, and not because an action removed it. Reported
    /// for every address of the monitored interfaces; the engine knows which are its own.
    AddressGone {
        /// Which interface it was on.
        interface: InterfaceName,
        /// The address.
        address: IpAddr,
        /// How it went.
        #[serde(default, skip_serializing_if = "Loss::is_removal")]
        loss: Loss,
    },
    /// A route or rule that [`Change::AddRouting`] asked for again had gone, and is back.
    RoutingRestored {
        /// Which one.
        routing: Routing,
    },
    /// Another station said who has an address: an ARP packet whose sender, or a neighbour
    /// advertisement whose target is one of the addresses of [`Action::Watch`]. What else comes is
    /// left out by the engine.
    Conflict {
        /// Where it was heard.
        interface: InterfaceName,
        /// The frame from the destination's Ethernet address on.
        #[serde(with = "hex")]
        frame: Vec<u8>,
    },
    /// The operator wants an instance's addresses moved to another node without a gap. The answer
    /// is, at once or later, one [`Action::Answer`] with the same number.
    Handover {
        /// Which request this is.
        request: u64,
        /// The instance.
        instance: InstanceName,
        /// The node that is to take it; `None`: whichever does.
        to: Option<NodeName>,
    },
    /// The operator wants this node, or one of its instances, out of the election until
    /// [`Input::Online`]; at start the shell repeats what it has kept. The answer is, at once or
    /// later, one [`Action::Answer`] with the same number.
    Standby {
        /// Which request this is.
        request: u64,
        /// The instance, with its sync group; `None`: all of them, also later ones.
        instance: Option<InstanceName>,
        /// Whether addresses that nobody takes over are given up all the same.
        force: bool,
    },
    /// The operator wants this node, or one of its instances, back in the election. The answer is
    /// one [`Action::Answer`] with the same number.
    Online {
        /// Which request this is.
        request: u64,
        /// The instance, with its sync group; `None`: all of them.
        instance: Option<InstanceName>,
    },
    /// What came of [`Action::Probe`]: exactly one answer for each that was not cancelled. An
    /// answer to another one than the last of its check changes nothing.
    Probed {
        /// The check.
        track: TrackName,
        /// The number of the action.
        number: u64,
        /// What was found.
        result: ProbeResult,
    },
    /// What a check looks at may have changed: a watcher of the shell says so (inotify, process
    /// events, a unit's or a link's change of state). The engine looks at once, and again soon
    /// until the check's verdict agrees; it bounds how often, so that a watcher need not.
    Stirred {
        /// The check. One that does not exist (any more) is nobody's business.
        track: TrackName,
    },
    /// What came of [`Action::Hook`]: exactly one answer for each that was not cancelled.
    Hooked {
        /// As in the action.
        #[serde(flatten)]
        owner: HookOwner,
        /// As in the action.
        number: u64,
        /// How it ended: what the program said last, or what went wrong.
        result: ProbeResult,
    },
    /// The socket of the last [`Action::Listen`] for this interface and family is open. Exactly one
    /// answer comes for each that no other action on the same socket has overtaken: this, or
    /// [`Input::Failed`].
    Listening {
        /// The interface.
        interface: InterfaceName,
        /// The family.
        family: Family,
        /// The groups that could not be joined, VRRP's own among them: nothing is heard of them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        missing: Vec<(IpAddr, SystemError)>,
    },
    /// An action could not be carried out.
    Failed {
        /// The action.
        action: Box<Action>,
        /// What the system said.
        error: SystemError,
    },
    /// The configuration has changed. It is applied as a whole: what is the same in both goes on
    /// undisturbed (invariant 6, nothing half done). Interfaces that it names for the first time
    /// are reported by [`Input::Link`] afterwards.
    Reload {
        /// The new one, as this machine sees it.
        config: Box<Config>,
    },
    /// The machine was suspended and runs again. Nothing could arrive meanwhile.
    Resumed {
        /// For how long (`CLOCK_BOOTTIME` went on, `CLOCK_MONOTONIC` did not).
        length: Span,
    },
    /// [`Engine::next_deadline`](super::Engine::next_deadline) has come, and every packet that
    /// had arrived before it has been handed in (invariant 1, hear before you act).
    Deadline,
    /// Stop in an orderly way: the answer ends, at once or later, with [`Action::Exit`].
    Stop,
}

/// A packet as the socket gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Packet {
    /// IPv4, from its header on: a raw IPv4 socket passes it along.
    V4 {
        /// The bytes.
        #[serde(with = "hex")]
        bytes: Vec<u8>,
    },
    /// IPv6, from the VRRP message on: header fields come as ancillary data.
    V6 {
        /// The sender.
        source: IpAddr,
        /// Where it was sent to.
        destination: IpAddr,
        /// Its hop limit.
        hop_limit: u8,
        /// The bytes.
        #[serde(with = "hex")]
        bytes: Vec<u8>,
    },
}

impl Packet {
    /// The VRRP message with where it came from and went to.
    ///
    /// # Errors
    /// As [`Datagram::from_ipv4`].
    pub fn datagram(&self) -> Result<Datagram<'_>, Discard> {
        match self {
            Self::V4 { bytes } => Datagram::from_ipv4(bytes),
            Self::V6 { source, destination, hop_limit, bytes } => {
                Ok(Datagram::from_ipv6(*source, *destination, *hop_limit, bytes))
            }
        }
    }
}

/// Something that the engine wants done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[must_use = "an action that is not carried out leaves the system other than the engine thinks"]
pub enum Action {
    /// Open a VRRP socket there and hand in what arrives, or have the one that is open hear what
    /// this says and no more. It never holds up what stands behind it; the outcome returns as
    /// [`Input::Listening`] or [`Input::Failed`].
    Listen {
        /// The interface.
        interface: InterfaceName,
        /// Its index now.
        index: u32,
        /// The family.
        family: Family,
        /// The virtual routers that are ours there: others need not be handed in.
        virtual_router_ids: Vec<Vrid>,
        /// The multicast groups to hear besides VRRP's own.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        groups: Vec<IpAddr>,
    },
    /// Close that socket. Not having one is no failure.
    StopListening {
        /// The interface.
        interface: InterfaceName,
        /// The family.
        family: Family,
    },
    /// Change what is on the system.
    Change(Change),
    /// Send a VRRP message: TTL or hop limit 255, DSCP CS6, the kernel writes the IP header. Where
    /// the instance is authenticated, it still lacks what only a key can make:
    /// [`KeyRing::complete`](crate::keyring::KeyRing::complete).
    Send {
        /// The interface of the virtual router.
        interface: InterfaceName,
        /// The device with its virtual MAC address, by which it leaves; `None`: by the interface
        /// itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        through: Option<InterfaceName>,
        /// The source address, one of the interface.
        source: IpAddr,
        /// The destination.
        destination: IpAddr,
        /// The VRRP message, with its checksum.
        #[serde(with = "hex")]
        message: Vec<u8>,
    },
    /// From now on this is what these instances hold: before anything that stands after this, write
    /// it down where `vipd release` finds it when this daemon is dead (invariant 4, write down,
    /// then touch).
    WriteDown {
        /// One for each instance of which something has changed. It replaces what was written of
        /// that instance; one with nothing in it ([`HeldRouter::is_empty`]): it holds nothing.
        routers: Vec<HeldRouter>,
    },
    /// Send a whole Ethernet frame (gratuitous ARP, neighbour advertisement).
    Announce {
        /// Through which interface.
        interface: InterfaceName,
        /// The frame from the destination's Ethernet address on.
        #[serde(with = "hex")]
        frame: Vec<u8>,
    },
    /// Hand in the ARP packets that arrive there with one of these sender addresses, and the
    /// neighbour advertisements with one of these targets, other than this machine's own. Replaces
    /// the list before; an empty one: none.
    Watch {
        /// The interface.
        interface: InterfaceName,
        /// Of either family.
        addresses: Vec<IpAddr>,
    },
    /// Look once at what this check is about, as the configuration has it now: that of the last
    /// [`Input::Reload`], or the one that the engine was made with. Whatever comes of it returns as
    /// [`Input::Probed`] with the same number, at the check's timeout at the latest; the time that
    /// it waits for its turn counts. It never holds up what stands behind it.
    ///
    /// At most one is under way for each check. An engine that hears nothing for a second more
    /// than the timeout takes it for failed, and cancels it.
    Probe {
        /// The check.
        track: TrackName,
        /// Which look this is; never used twice by one engine.
        number: u64,
    },
    /// Stop that look if it is still under way, with all that it has started; its answer is not
    /// waited for. That there is none is success.
    CancelProbe {
        /// The check; the configuration may have it no more.
        track: TrackName,
        /// Which look.
        number: u64,
    },
    /// Start a program, write into a named pipe or post to a webhook. What comes of it returns as
    /// [`Input::Hooked`] with the same number, at the hook's timeout at the latest. It never holds
    /// up what stands behind it; the next one of the same kind comes when this one has ended.
    Hook {
        /// Whose it is.
        #[serde(flatten)]
        owner: HookOwner,
        /// Which one this is; never used twice for one owner.
        number: u64,
        /// What to do.
        call: Box<HookCall>,
    },
    /// End that hook with all that it has started, if it is still under way; its answer is not
    /// waited for. That there is none is success.
    CancelHook {
        /// Whose it is.
        #[serde(flatten)]
        owner: HookOwner,
        /// Which one.
        number: u64,
    },
    /// The answer to [`Input::Handover`], [`Input::Standby`] or [`Input::Online`].
    Answer {
        /// Which request.
        request: u64,
        /// How it ended.
        answer: Answer,
    },
    /// Tell people: log it, count it.
    Report(Event),
    /// Everything that belongs to a stop has been asked for: carry out what stands before this,
    /// then end.
    Exit,
}

/// The end of a request of the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A handover.
    Handover(HandoverAnswer),
    /// Standby or its end.
    Standby(StandbyAnswer),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handover(answer) => answer.fmt(f),
            Self::Standby(answer) => answer.fmt(f),
        }
    }
}

/// What a look at something found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeResult {
    /// It is as it should be. The text is short and for people: `HTTP 200 in 3 ms`; empty where
    /// there is nothing to say.
    Passed(String),
    /// It is not, or that could not be found out in time. The text says why, for people, on one
    /// line of at most 200 characters: `HTTP 503 from http://127.0.0.1/health`.
    Failed(String),
}
