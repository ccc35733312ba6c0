//! The three programs, behind what a trial does to each of them.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::floor::Role;
use crate::lab::{Agent, Host, Process};
use crate::stage::{PRIORITIES, Stage};
use crate::workload::Workload;

/// A program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ours.
    Vipd,
    /// Debian's.
    Keepalived,
    /// The bench's own.
    Floor,
}

impl Kind {
    /// Those that a workload is measured with, in the order of the table.
    pub(crate) fn all(workload: Workload) -> &'static [Self] {
        if workload.is_largest() {
            &[Self::Vipd, Self::Floor]
        } else {
            &[Self::Vipd, Self::Keepalived, Self::Floor]
        }
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Vipd => "vipd",
            Self::Keepalived => "keepalived",
            Self::Floor => "floor",
        }
    }
}

/// A running one.
pub(crate) enum Program {
    /// Ours.
    Vipd(Agent),
    /// Another one.
    Other(Process),
}

impl Program {
    /// Starts one on its node.
    pub(crate) fn start(kind: Kind, role: Role, stage: &Stage, workload: Workload) -> Self {
        let (host, priority) = match role {
            Role::Active => (&stage.active, PRIORITIES[0]),
            Role::Backup => (&stage.standby, PRIORITIES[1]),
        };
        match kind {
            Kind::Vipd => {
                let mut command = Agent::command(host, &of_vipd(workload, priority));
                Self::Vipd(Agent::launch(host, &mut command))
            }
            Kind::Keepalived => Self::Other(keepalived(host, &of_keepalived(workload, priority))),
            Kind::Floor => Self::Other(floor(host, role, workload)),
        }
    }

    /// Its process, which leads a group.
    pub(crate) fn id(&self) -> u32 {
        match self {
            Self::Vipd(agent) => agent.id(),
            Self::Other(process) => process.id(),
        }
    }

    /// Asks it to stop.
    pub(crate) fn ask_to_stop(&self) {
        match self {
            Self::Vipd(agent) => agent.signal(Signal::SIGTERM),
            Self::Other(process) => process.signal(Signal::SIGTERM),
        }
    }
}

/// One instance with one address for each router. Everything else is the default, except the pause
/// after the start: keepalived has none.
fn of_vipd(workload: Workload, priority: u8) -> String {
    let interval = workload.interval;
    let mut text = String::from("instances:\n");
    for router in workload.all() {
        let (interface, id, address) = (router.interface_name(), router.id, router.address());
        let _ = write!(
            text,
            "  {interface}-{id}:\n    interface: {interface}\n    virtual_router_id: {id}\n    \
             priority: {priority}\n    advertisement_interval: {interval:?}\n    \
             addresses: [{address}/32]\n    hold_down: 0s\n"
        );
    }
    text
}

/// The same for keepalived.
fn of_keepalived(workload: Workload, priority: u8) -> String {
    let interval = workload.interval.as_secs_f64();
    let mut text = String::new();
    for router in workload.all() {
        let (interface, id, address) = (router.interface_name(), router.id, router.address());
        let _ = write!(
            text,
            "vrrp_instance {interface}-{id} {{\n state BACKUP\n interface {interface}\n \
             version 3\n virtual_router_id {id}\n priority {priority}\n advert_int {interval:.2}\n \
             virtual_ipaddress {{\n  {address}/32\n }}\n}}\n"
        );
    }
    text
}

/// Without `--no-syslog` it would write each line to the console, too.
fn keepalived(host: &Host, text: &str) -> Process {
    let number = host.number();
    let [config, parent, child] = ["conf", "pid", "vrrp.pid"]
        .map(|ending| host.directory().join(format!("{number}-keepalived.{ending}")));
    fs::write(&config, text).expect("a configuration");
    let mut command = Command::new("keepalived");
    command.args(["--dont-fork", "--log-console", "--no-syslog", "--vrrp"]);
    command.arg("--use-file").arg(config);
    command.arg("--pid").arg(parent).arg("--vrrp_pid").arg(child);
    host.start(&mut command, "keepalived")
}

fn floor(host: &Host, role: Role, workload: Workload) -> Process {
    let mut command = Command::new(env::current_exe().expect("the path of this program"));
    let role = if role == Role::Active { "active" } else { "backup" };
    command.args(["--floor", role, "--only", &workload.to_string()]);
    host.start(&mut command, "floor")
}
