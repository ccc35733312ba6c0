//! The events that occurred in many schedules, and those that never did: a rule is only as good as
//! what happens while it is looked at.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};
use vipd::engine::Discard;
use vipd::engine::conflict::Conflict;
use vipd::engine::story::{Fault as Reason, StateName, What, Why};

use crate::case::Case;
use crate::schedule::Fault;
use crate::sync;
use crate::world::Seen;

/// Makes from one table the list of all kinds and the kind of a value: a variant that is missing
/// is an error of the compiler.
macro_rules! kinds {
    ($list:ident, $kind:ident: $type:ty { $($pattern:pat => $name:literal,)+ }) => {
        const $list: &[&str] = &[$($name),+];

        fn $kind(value: &$type) -> &'static str {
            match value {
                $($pattern => $name,)+
            }
        }
    };
}

kinds!(FAULTS, fault: Fault {
    Fault::PowerOff { .. } => "power off",
    Fault::Kill { .. } => "kill",
    Fault::KillAfter { .. } => "kill within an answer",
    Fault::Release { .. } => "release",
    Fault::HandOver { .. } => "handover",
    Fault::StandBy { force: false, .. } => "standby",
    Fault::StandBy { force: true, .. } => "standby by force",
    Fault::Online { .. } => "online",
    Fault::Reload { .. } => "reload",
    Fault::Suspend { .. } => "suspend",
    Fault::Stop { .. } => "stop",
    Fault::Start { .. } => "start",
    Fault::Pause { .. } => "pause",
    Fault::LinkDown { .. } => "link down",
    Fault::LinkUp { .. } => "link up",
    Fault::Partition { .. } => "partition",
    Fault::Heal => "heal",
    Fault::OneWay { .. } => "one way",
    Fault::PartitionSecond { .. } => "partition of the second path",
    Fault::HealSecond => "heal the second path",
    Fault::Loss { .. } => "loss",
    Fault::WallClock { .. } => "wall clock",
    Fault::Delete { .. } => "delete an address",
    Fault::RefuseAddresses { .. } => "refuse addresses",
    Fault::RefuseSends { .. } => "refuse messages",
    Fault::RefuseSockets { .. } => "refuse sockets",
    Fault::InterfaceDown { .. } => "interface down",
    Fault::Unnumber { .. } => "no own address",
    Fault::Rubbish { .. } => "rubbish",
    Fault::Turn { .. } => "turn a check",
    Fault::Recreate { .. } => "recreate the interface",
    Fault::RecreateSecond { .. } => "recreate the second interface",
});

kinds!(SYNC_FAULTS, sync_fault: sync::Fault {
    sync::Fault::PowerOff(_) => "power off",
    sync::Fault::Stop(_) => "stop",
    sync::Fault::Start(_) => "start",
    sync::Fault::Link(..) => "link",
    sync::Fault::Partition(..) => "partition",
    sync::Fault::HandOver(..) => "handover",
    sync::Fault::Loss(_) => "loss",
    sync::Fault::Suspend(..) => "suspend",
    sync::Fault::Pause(..) => "pause",
    sync::Fault::Kill(_) => "kill",
    sync::Fault::OneWay(..) => "one way",
    sync::Fault::Turn(..) => "turn a check",
    sync::Fault::Reload(_, sync::Variant::Same) => "reload the same",
    sync::Fault::Reload(_, sync::Variant::NoGroup) => "reload without the group",
    sync::Fault::Reload(_, sync::Variant::NoHooks) => "reload without hooks",
    sync::Fault::Reload(_, sync::Variant::OtherHooks) => "reload with other hooks",
    sync::Fault::Reload(_, sync::Variant::OtherNames) => "reload with other names",
    sync::Fault::Reload(_, sync::Variant::OtherRouter) => "reload with another router",
    sync::Fault::Reload(_, sync::Variant::Alone) => "reload without the second instance",
    sync::Fault::Reload(_, sync::Variant::OtherInterface) => "reload with another interface",
});

kinds!(WHYS, why: Why {
    Why::Started => "started",
    Why::Recovered => "recovered",
    Why::AddressOwner => "address_owner",
    Why::NobodyHeard(_) => "nobody_heard",
    Why::Silence(..) => "silence",
    Why::PeerStopped(_) => "peer_stopped",
    Why::Preempting(..) => "preempting",
    Why::HigherPriority(..) => "higher_priority",
    Why::HigherAddress(_) => "higher_address",
    Why::Fault(_) => "fault",
    Why::HandingOver => "handing_over",
    Why::HandedOver(_) => "handed_over",
    Why::Overslept(..) => "overslept",
    Why::Suspended(_) => "suspended",
    Why::YieldingWith(_) => "group_yields",
    Why::Stopping => "stopping",
    Why::Retired => "retired",
});

kinds!(REASONS, reason: Reason {
    Reason::InterfaceMissing(_) => "interface_missing",
    Reason::InterfaceDown(_) => "interface_down",
    Reason::NoCarrier(_) => "no_carrier",
    Reason::NoSourceAddress(_) => "no_source_address",
    Reason::NoLinkLocal(..) => "no_link_local_address",
    Reason::NotEthernet(_) => "not_ethernet",
    Reason::CannotListen(..) => "cannot_listen",
    Reason::CannotJoin(..) => "cannot_join",
    Reason::CannotInstall(..) => "cannot_install",
    Reason::CannotRoute(..) => "cannot_route",
    Reason::CannotMakeDevice(..) => "cannot_make_device",
    Reason::CannotSend(..) => "cannot_send",
    Reason::TrackFailing(..) => "check_failing",
    Reason::GroupMember(..) => "group_member",
    Reason::Awaiting(_) => "awaiting",
    Reason::Standby => "standby",
});

kinds!(EVENTS, event: What {
    What::Changed { .. } => "changed",
    What::FaultChanged(_) => "fault changed",
    What::Following(..) => "following",
    What::Distrusted(_) => "distrusted",
    What::PutBack(..) => "put back",
    What::InstallFailed(..) => "install failed",
    What::RemoveFailed(..) => "remove failed",
    What::RoutingPutBack(_) => "routing put back",
    What::RoutingFailed(..) => "routing failed",
    What::RoutingNotRemoved(..) => "routing not removed",
    What::DeviceRestored(_) => "device restored",
    What::DeviceNotRaised(..) => "device not raised",
    What::DeviceLeft(..) => "device left",
    What::SendFailed(..) => "send failed",
    What::AnnounceFailed(..) => "announce failed",
    What::Conflict(Conflict::AddressDrift { .. }, _) => "conflict: address drift",
    What::Conflict(Conflict::IntervalDrift(..), _) => "conflict: interval drift",
    What::Conflict(Conflict::Refused(..), _) => "conflict: refused",
    What::Conflict(Conflict::TwoActive(..), _) => "conflict: two active",
    What::Conflict(Conflict::DuplicateAddress(..), _) => "conflict: duplicate address",
    What::Leaving(_) => "leaving",
    What::Reconfigured(_) => "reconfigured",
    What::HandoverFailed(_) => "handover failed",
    What::Standby(true) => "standby",
    What::Standby(false) => "standby over",
    What::Reprioritized { .. } => "reprioritized",
    What::TrackPasses(..) => "check passes",
    What::TrackFails(..) => "check fails",
    What::Pending(_) => "pending",
    What::Departing(_) => "departing",
    What::HookFailed(..) => "hook failed",
    What::VerifyFailed(_) => "verify failed",
    What::PathMissing(..) => "path missing",
    What::PathBack(..) => "path back",
    What::WriteDownFailed(_) => "write down failed",
    What::WatchFailed(..) => "watch failed",
});

const STATES: [StateName; 5] = [
    StateName::Stopped,
    StateName::Fault,
    StateName::Standby,
    StateName::Backup,
    StateName::Active,
];

/// The reasons that the election has for a takeover (`Takeover`).
const TAKES_OVER: &[&str] =
    &["address_owner", "nobody_heard", "silence", "peer_stopped", "preempting"];

/// The reasons that an active router has for letting go, or for leaving.
const LETS_GO: &[&str] = &[
    "higher_priority",
    "higher_address",
    "fault",
    "handing_over",
    "handed_over",
    "overslept",
    "suspended",
    "group_yields",
    "stopping",
    "retired",
];

/// How often each event occurred, by its section and its name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Coverage(BTreeMap<String, BTreeMap<String, u64>>);

impl Coverage {
    /// Counts what a schedule has brought about.
    pub(crate) fn count(&mut self, case: &Case, seen: &Seen) {
        match case {
            Case::Faults(schedule) | Case::Planned(schedule) => {
                schedule.faults.iter().for_each(|(_, one)| self.note(FAULT, fault(one)));
            }
            Case::Sync(schedule) => {
                schedule.faults.iter().for_each(|(_, one)| self.note(SYNC, sync_fault(one)));
            }
        }
        for told in &seen.events {
            self.note(EVENT, event(&told.what));
            self.note_reasons(&told.what);
        }
        for (discard, count) in &seen.discards {
            *self.place(DISCARD, discard.name()) += count;
        }
    }

    fn note_reasons(&mut self, what: &What) {
        match what {
            What::Changed { from, to, why: because } => {
                self.note(TRANSITION, &transition(*from, *to));
                self.note_why(because);
                if *to == StateName::Active {
                    self.note(TAKEOVER, why(because));
                } else if *from == StateName::Active {
                    self.note(LETTING_GO, why(because));
                }
            }
            What::Leaving(because) => {
                self.note_why(because);
                self.note(LETTING_GO, why(because));
            }
            What::FaultChanged(one) | What::PathMissing(_, _, one) => {
                self.note(REASON, reason(one));
            }
            _ => {}
        }
    }

    fn note_why(&mut self, because: &Why) {
        self.note(WHY, why(because));
        if let Why::Fault(one) = because {
            self.note(REASON, reason(one));
        }
    }

    fn note(&mut self, section: &str, name: &str) {
        *self.place(section, name) += 1;
    }

    fn place(&mut self, section: &str, name: &str) -> &mut u64 {
        if !self.0.contains_key(section) {
            self.0.insert(section.to_owned(), BTreeMap::new());
        }
        let there = self.0.get_mut(section).expect("it is there");
        if !there.contains_key(name) {
            there.insert(name.to_owned(), 0);
        }
        there.get_mut(name).expect("it is there")
    }

    pub(crate) fn add(&mut self, other: Self) {
        for (section, names) in other.0 {
            for (name, count) in names {
                *self.place(&section, &name) += count;
            }
        }
    }

    fn of(&self, section: &str, name: &str) -> u64 {
        self.0.get(section).and_then(|there| there.get(name)).copied().unwrap_or_default()
    }
}

const FAULT: &str = "faults of a group";
const SYNC: &str = "faults of a sync group";
const TRANSITION: &str = "transitions";
const TAKEOVER: &str = "reasons for a takeover";
const LETTING_GO: &str = "reasons for letting go";
const WHY: &str = "reasons of all changes";
const REASON: &str = "what keeps an instance from taking part";
const EVENT: &str = "events";
const DISCARD: &str = "reasons to refuse a packet";

fn transition(from: StateName, to: StateName) -> String {
    format!("{from} to {to}")
}

/// All names of each section.
fn sections() -> Vec<(&'static str, Vec<String>)> {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let others = |from: StateName| STATES.into_iter().filter(move |to| *to != from);
    let transitions =
        STATES.into_iter().flat_map(|from| others(from).map(move |to| transition(from, to)));
    let discards = Discard::ALL.iter().map(|discard| discard.name().to_owned());
    vec![
        (FAULT, owned(FAULTS)),
        (SYNC, owned(SYNC_FAULTS)),
        (TRANSITION, transitions.collect()),
        (TAKEOVER, owned(TAKES_OVER)),
        (LETTING_GO, owned(LETS_GO)),
        (WHY, owned(WHYS)),
        (REASON, owned(REASONS)),
        (EVENT, owned(EVENTS)),
        (DISCARD, discards.collect()),
    ]
}

/// The events that cannot occur in these worlds: by section and name, and what the worlds lack.
const NEVER: &[(&str, &str, &str)] = &[
    (TRANSITION, "stopped to active", OWNER),
    (TRANSITION, "fault to active", OWNER),
    (TRANSITION, "standby to active", "whoever comes back listens first, and an owner stays"),
    (TAKEOVER, "address_owner", OWNER),
    (WHY, "address_owner", OWNER),
    (REASON, "not_ethernet", "all interfaces are Ethernet: tests/engine/main.rs"),
    (REASON, "cannot_join", "sockets open as a whole or not: tests/engine/listening.rs"),
    (REASON, "cannot_make_device", DEVICES),
    (REASON, "awaiting", "all that a file names is there: tests/engine/awaiting.rs"),
    (EVENT, "remove failed", "their kernels remove what they are asked to: tests/engine/main.rs"),
    (EVENT, "routing put back", "nobody but the daemon removes a route: tests/engine/extra.rs"),
    (
        EVENT,
        "routing not removed",
        "their kernels remove what they are asked to: tests/engine/extra.rs",
    ),
    (EVENT, "device restored", DEVICES),
    (EVENT, "device not raised", DEVICES),
    (EVENT, "device left", DEVICES),
    (EVENT, "announce failed", FRAMES),
    (EVENT, "conflict: duplicate address", FRAMES),
    (EVENT, "watch failed", FRAMES),
    (EVENT, "verify failed", "no hook verifies: tests/engine/hooks.rs"),
    (EVENT, "write down failed", "their disks are never full: tests/engine/main.rs"),
    (DISCARD, "password", "no group has a password: tests/engine/authentication.rs"),
    (DISCARD, "foreign_source", "all nodes are in one network: tests/engine/hostile.rs"),
    (DISCARD, "address_owner", OWNER),
];

const OWNER: &str = "no node owns the addresses: tests/engine/owner.rs";
const DEVICES: &str = "no instance has a virtual MAC address: tests/engine/virtual_mac.rs";
const FRAMES: &str = "ARP and neighbour frames go nowhere: tests/engine/main.rs";

/// Each section with its counts, and what never happened.
impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut never = String::new();
        for (section, names) in sections() {
            writeln!(f, "\n{section}")?;
            for name in names {
                let count = self.of(section, &name);
                if count > 0 {
                    writeln!(f, "  {name:32} {count:>12}")?;
                    continue;
                }
                let known = NEVER.iter().find(|one| (one.0, one.1) == (section, name.as_str()));
                let because = known.map_or("by chance", |one| one.2);
                writeln!(never, "  {section}: {name} ({because})")?;
            }
        }
        write!(f, "\nnever happened\n{never}")
    }
}
