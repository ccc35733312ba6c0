//! The faults.

use fastrand::Rng;

use crate::configuration::{LATE, NODES, ROUTERS};
use crate::lab::release;
use crate::machine::Machine;
use crate::stage::Stage;

/// Something that happens to the node at a place of the list; what lasts is undone when it is drawn
/// again, or at the end of the round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The switch's end of the cable goes down.
    Unplug(usize),
    /// The interface is set down.
    SetDown(usize),
    /// The interface goes away, and another one of its name comes.
    ReplaceInterface(usize),
    /// So many per cent of the frames from the node are lost.
    LoseSent(usize, u8),
    /// So many per cent of the frames to the node are lost.
    LoseReceived(usize, u8),
    /// The daemon stands still.
    Freeze(usize),
    /// The daemon is killed.
    Kill(usize),
    /// The same, with `vipd release` after it.
    KillAndRelease(usize),
    /// The daemon is stopped in an orderly way.
    Stop(usize),
    /// A reload with another file.
    ChangeFile(usize),
    /// A reload with a file that must be refused.
    BreakFile(usize),
    /// `vipctl handover` of the router at a place of [`ROUTERS`].
    HandOver(usize, usize),
    /// `vipctl standby`.
    Standby(usize),
    /// A check without a cost fails.
    FailService(usize),
    /// A check with a cost fails.
    FailUplink(usize),
    /// The program of a check does not end.
    HangProbe(usize),
    /// Hooks do not end.
    HangHooks(usize),
    /// An address is removed by hand.
    TakeOff(usize, usize),
    /// Clients of the status socket that never read.
    DeafClients(usize),
    /// Clients of the control socket that ask for nothing, or talk nonsense.
    MuteClients(usize),
    /// keepalived is stopped, killed or stands still, or its cable is out.
    StopKeepalived,
    KillKeepalived,
    FreezeKeepalived,
    UnplugKeepalived,
}

impl Fault {
    /// Draws one. Daemons die only at the place `mortal`.
    pub(crate) fn any(random: &mut Rng, mortal: usize) -> Self {
        let place = random.usize(..NODES.len());
        let router = random.usize(..ROUTERS.len());
        let percent = [20, 50, 100][random.usize(..3)];
        let all = [
            Self::Unplug(place),
            Self::SetDown(place),
            Self::ReplaceInterface(place),
            Self::LoseSent(place, percent),
            Self::LoseReceived(place, percent),
            Self::Freeze(place),
            Self::Kill(mortal),
            Self::KillAndRelease(mortal),
            Self::Stop(mortal),
            Self::ChangeFile(place),
            Self::BreakFile(place),
            Self::HandOver(place, router),
            Self::Standby(place),
            Self::FailService(place),
            Self::FailUplink(place),
            Self::HangProbe(place),
            Self::HangHooks(place),
            Self::TakeOff(place, router),
            Self::DeafClients(place),
            Self::MuteClients(place),
            Self::StopKeepalived,
            Self::KillKeepalived,
            Self::FreezeKeepalived,
            Self::UnplugKeepalived,
        ];
        all[random.usize(..all.len())]
    }

    /// The names of the routers whose address may be on another node after it, where all is well
    /// again: who has handed over does not take back from its successor.
    pub(crate) fn moves(self) -> Vec<&'static str> {
        match self {
            Self::HandOver(_, router) => match ROUTERS[router].name {
                "wan" | "lan" => vec!["wan", "lan"],
                name => vec![name],
            },
            Self::Standby(_) => ROUTERS.iter().map(|router| router.name).collect(),
            _ => Vec::new(),
        }
    }

    /// The kind, for the count of what has happened.
    pub(crate) fn kind(self) -> String {
        let text = format!("{self:?}");
        text.split_once('(').map_or(text.clone(), |(kind, _)| kind.to_owned())
    }
}

impl Fault {
    /// The place and the ending of the file that is put there or taken away.
    fn file(self) -> Option<(usize, &'static str)> {
        match self {
            Self::FailService(place) => Some((place, "service")),
            Self::FailUplink(place) => Some((place, "uplink")),
            Self::HangProbe(place) => Some((place, "hang-probe")),
            Self::HangHooks(place) => Some((place, "hang-hook")),
            _ => None,
        }
    }

    /// The place of the daemon that this is about, where it takes one that is there; and whether it
    /// must not stand still.
    fn daemon(self) -> Option<(usize, bool)> {
        match self {
            Self::Freeze(place) | Self::Kill(place) | Self::KillAndRelease(place) => {
                Some((place, false))
            }
            Self::Stop(place)
            | Self::ChangeFile(place)
            | Self::BreakFile(place)
            | Self::HandOver(place, _)
            | Self::Standby(place) => Some((place, true)),
            _ => None,
        }
    }
}

impl Stage {
    /// Lets it happen; says if it could.
    pub(crate) fn suffer(&mut self, fault: Fault, random: &mut Rng) -> bool {
        if let Some((place, must_answer)) = fault.daemon() {
            let machine = &self.machines[place];
            if machine.agent.is_none() || must_answer && machine.is_frozen {
                return false;
            }
            of_the_daemon(&mut self.machines[place], fault, random);
        } else if let Some((place, ending)) = fault.file() {
            self.machines[place].toggle(ending);
        } else {
            self.of_the_network(fault, random);
        }
        true
    }

    fn of_the_network(&mut self, fault: Fault, random: &mut Rng) {
        let Self { segment, machines, keepalived } = self;
        match fault {
            Fault::Unplug(place) => segment.cable(&machines[place].host, "down"),
            Fault::SetDown(place) => drop(machines[place].host.run("ip link set eth0 down")),
            Fault::ReplaceInterface(place) => machines[place].replace_interface(segment),
            Fault::LoseSent(place, percent) => machines[place].lose(segment, percent, "ingress"),
            Fault::LoseReceived(place, percent) => machines[place].lose(segment, percent, "egress"),
            Fault::TakeOff(place, router) => {
                let router = if random.u8(..8) == 0 { &LATE } else { &ROUTERS[router] };
                machines[place].take_off(&router.with_prefix());
            }
            Fault::DeafClients(place) => machines[place].connect("status.sock", ""),
            Fault::MuteClients(place) => {
                let said = ["", "{\"handover\"", "dear diary\n"][random.usize(..3)];
                machines[place].connect("control.sock", said);
            }
            Fault::StopKeepalived => keepalived.stop(),
            Fault::KillKeepalived => keepalived.kill(),
            Fault::FreezeKeepalived => keepalived.freeze(),
            Fault::UnplugKeepalived => segment.cable(&keepalived.host, "down"),
            other => unreachable!("{other:?} is not of the network"),
        }
    }
}

fn of_the_daemon(machine: &mut Machine, fault: Fault, random: &mut Rng) {
    match fault {
        Fault::Freeze(_) => machine.freeze(!machine.is_frozen),
        Fault::Kill(_) => machine.kill(),
        Fault::KillAndRelease(_) => {
            machine.kill();
            release(&machine.host).expect("a release");
        }
        Fault::Stop(_) => machine.stop(),
        Fault::ChangeFile(_) => machine.change_file(true, random),
        Fault::BreakFile(_) => machine.change_file(false, random),
        Fault::HandOver(_, router) => machine.ask(&format!("handover {}", ROUTERS[router].name)),
        Fault::Standby(_) => machine.ask("standby"),
        other => unreachable!("{other:?} is not of a daemon"),
    }
}
