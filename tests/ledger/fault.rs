//! The faults that can happen to a machine with a server and an agent.

/// One of them. The documentation promises for every sequence of these that no acknowledged row is
/// lost: the primary acknowledges nothing that its standby does not have, and an operator promotes
/// the standby only while the primary does not serve.
///
/// Left out is what no address can protect from: two operators who promote at both sides, and
/// `synchronous_standby_names` reset on a primary whose standby is away and then promoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `kill -9` of vipd.
    KillAgent,
    /// The same, then `vipd release`, as systemd runs it.
    KillAndRelease,
    /// An orderly stop of vipd.
    StopAgent,
    StartAgent,
    /// `SIGSTOP` and `SIGCONT` of vipd.
    FreezeAgent,
    ThawAgent,
    /// `SIGHUP`: the same file again.
    Reload,
    /// `vipctl handover`, `standby` and `online`.
    HandOver,
    Standby,
    Online,
    /// Another program removes the address.
    DeleteAddress,
    /// The link at the switch.
    CableDown,
    CableUp,
    /// The switch passes nothing from and to the machine.
    Partition,
    /// The switch passes no multicast to the machine: it hears no advertisement, and is heard.
    Deafen,
    Heal,
    /// `kill -9` of all processes of the server, and its orderly stop.
    KillServer,
    StopServer,
    /// `SIGSTOP` and `SIGCONT` of the server.
    FreezeServer,
    ThawServer,
    /// The same for the server and vipd together, as a paused virtual machine has it.
    FreezeMachine,
    ThawMachine,
    /// The operator promotes the standby.
    Promote,
}

impl Fault {
    pub(crate) const ALL: [Self; 23] = [
        Self::KillAgent,
        Self::KillAndRelease,
        Self::StopAgent,
        Self::StartAgent,
        Self::FreezeAgent,
        Self::ThawAgent,
        Self::Reload,
        Self::HandOver,
        Self::Standby,
        Self::Online,
        Self::DeleteAddress,
        Self::CableDown,
        Self::CableUp,
        Self::Partition,
        Self::Deafen,
        Self::Heal,
        Self::KillServer,
        Self::StopServer,
        Self::FreezeServer,
        Self::ThawServer,
        Self::FreezeMachine,
        Self::ThawMachine,
        Self::Promote,
    ];
}
