//! A machine of the pair: its host, its server, its agent, and what is wrong with them.

use std::collections::BTreeSet;

use nix::sys::signal::Signal;

use crate::fault::Fault;
use crate::lab::{Agent, Host, Segment, VIP, release};
use crate::server::Server;

/// A defect of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wrong {
    AgentFrozen,
    ServerFrozen,
    Unplugged,
    CutOff,
    Deaf,
    Standby,
}

/// One of the two machines.
pub(crate) struct Node {
    pub(crate) server: Server,
    agent: Option<Agent>,
    yaml: String,
    wrong: BTreeSet<Wrong>,
}

impl Node {
    /// One whose agent is not running, with this configuration.
    pub(crate) fn new(server: Server, yaml: String) -> Self {
        Self { server, agent: None, yaml, wrong: BTreeSet::new() }
    }

    /// Says if this can happen to it now. Whom to promote is the pair's to say.
    pub(crate) fn allows(&self, fault: Fault) -> bool {
        let agent = self.agent.is_some();
        let awake = agent && !self.is(Wrong::AgentFrozen);
        let server = self.server.is_running();
        match fault {
            Fault::KillAgent | Fault::KillAndRelease => agent,
            Fault::StopAgent
            | Fault::FreezeAgent
            | Fault::Reload
            | Fault::HandOver
            | Fault::Standby => awake,
            Fault::Online => awake && self.is(Wrong::Standby),
            Fault::StartAgent => !agent,
            Fault::ThawAgent => self.is(Wrong::AgentFrozen),
            Fault::DeleteAddress => true,
            Fault::CableDown => !self.is(Wrong::Unplugged),
            Fault::CableUp => self.is(Wrong::Unplugged),
            Fault::Partition => !self.is(Wrong::Unplugged) && !self.is(Wrong::CutOff),
            Fault::Deafen => !self.is(Wrong::Unplugged) && !self.is(Wrong::Deaf),
            Fault::Heal => {
                !self.is(Wrong::Unplugged) && (self.is(Wrong::CutOff) || self.is(Wrong::Deaf))
            }
            Fault::KillServer => server,
            Fault::StopServer | Fault::FreezeServer => server && !self.is(Wrong::ServerFrozen),
            Fault::ThawServer => self.is(Wrong::ServerFrozen),
            Fault::FreezeMachine => awake && server && !self.is(Wrong::ServerFrozen),
            Fault::ThawMachine => self.is(Wrong::AgentFrozen) && self.is(Wrong::ServerFrozen),
            Fault::Promote => false,
        }
    }

    /// Says if its server can do what it is asked.
    pub(crate) fn works(&self) -> bool {
        self.server.is_running() && !self.is(Wrong::ServerFrozen)
    }

    /// Says if clients reach its server.
    pub(crate) fn serves(&self) -> bool {
        self.works() && !self.is(Wrong::Unplugged) && !self.is(Wrong::CutOff)
    }

    /// Lets it happen.
    pub(crate) fn suffers(&mut self, fault: Fault, host: &Host, segment: &Segment) {
        match fault {
            Fault::KillAgent => self.kill_agent(),
            Fault::KillAndRelease => {
                self.kill_agent();
                release(host).expect("a release");
            }
            Fault::StopAgent => self.stop_agent(),
            Fault::StartAgent => {
                let mut command = Agent::command(host, &self.yaml);
                self.agent = Some(Agent::launch(host, &mut command));
            }
            Fault::FreezeAgent => self.signal_agent(Signal::SIGSTOP),
            Fault::ThawAgent => self.signal_agent(Signal::SIGCONT),
            Fault::Reload => self.signal_agent(Signal::SIGHUP),
            Fault::HandOver => drop(Agent::vipctl(host, "handover web")),
            Fault::Standby => self.stands_by(host, "standby", true),
            Fault::Online => self.stands_by(host, "online", false),
            // Another program's hand on the address, if it is there.
            Fault::DeleteAddress => {
                host.try_to_run(&format!("ip address delete {VIP}/24 dev eth0"));
            }
            Fault::CableDown | Fault::CableUp => self.plug(host, segment, fault),
            Fault::Partition => {
                segment.partition(host);
                self.set(Wrong::CutOff, true);
            }
            Fault::Deafen => {
                segment.flood_multicast(host, "off");
                self.set(Wrong::Deaf, true);
            }
            Fault::Heal => self.heal(host, segment),
            Fault::KillServer => {
                self.server.kill();
                self.set(Wrong::ServerFrozen, false);
            }
            Fault::StopServer => self.server.stop(),
            Fault::FreezeServer => self.freeze_server(true),
            Fault::ThawServer => self.freeze_server(false),
            Fault::FreezeMachine => {
                self.signal_agent(Signal::SIGSTOP);
                self.freeze_server(true);
            }
            Fault::ThawMachine => {
                self.freeze_server(false);
                self.signal_agent(Signal::SIGCONT);
            }
            Fault::Promote => self.server.promote(),
        }
    }

    fn is(&self, wrong: Wrong) -> bool {
        self.wrong.contains(&wrong)
    }

    fn set(&mut self, wrong: Wrong, is_so: bool) {
        if is_so {
            self.wrong.insert(wrong);
        } else {
            self.wrong.remove(&wrong);
        }
    }

    fn kill_agent(&mut self) {
        self.set(Wrong::AgentFrozen, false);
        self.agent.take().into_iter().for_each(Agent::kill);
    }

    fn stop_agent(&mut self) {
        let agent = self.agent.take().expect("an agent to stop");
        // Before it listens to signals a program dies of this one, as any does.
        let listens = agent.has_said("READY=1");
        let status = agent.stop();
        assert!(status.success() || !listens, "{status:?}");
    }

    fn signal_agent(&mut self, signal: Signal) {
        let agent = self.agent.as_ref().expect("an agent runs");
        // One that has just started would die of it.
        if signal == Signal::SIGHUP && !agent.has_said("READY=1") {
            return;
        }
        agent.signal(signal);
        match signal {
            Signal::SIGSTOP => self.set(Wrong::AgentFrozen, true),
            Signal::SIGCONT => self.set(Wrong::AgentFrozen, false),
            _ => {}
        }
    }

    fn freeze_server(&mut self, frozen: bool) {
        self.server.signal(if frozen { Signal::SIGSTOP } else { Signal::SIGCONT });
        self.set(Wrong::ServerFrozen, frozen);
    }

    fn stands_by(&mut self, host: &Host, command: &str, standby: bool) {
        if Agent::vipctl(host, command).status.success() {
            self.set(Wrong::Standby, standby);
        }
    }

    fn plug(&mut self, host: &Host, segment: &Segment, fault: Fault) {
        let down = fault == Fault::CableDown;
        self.set(Wrong::Unplugged, down);
        segment.cable(host, if down { "down" } else { "up" });
        // The switch forgets what its port was told when the link goes down.
        self.set(Wrong::CutOff, down && self.is(Wrong::CutOff));
    }

    fn heal(&mut self, host: &Host, segment: &Segment) {
        if self.is(Wrong::CutOff) {
            segment.heal(host);
        }
        if self.is(Wrong::Deaf) {
            segment.flood_multicast(host, "on");
        }
        self.set(Wrong::CutOff, false);
        self.set(Wrong::Deaf, false);
    }
}
