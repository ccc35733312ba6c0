//! A node as a whole machine: its namespace, its server, and a real agent as its child.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, getppid};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::UnboundedSender;

use super::cast::{CONFIGURATION, Node};
use super::lab::{During, Lab, LabError, Namespace};
use super::server;
use super::worker::Worker;
use crate::api::RUNTIME_DIRECTORY;

/// This very program, even if its file has been replaced since.
const PROGRAM: &str = "/proc/self/exe";
/// The agent's standard input: the configuration. There is no file that could be left behind.
const CONFIGURATION_PATH: &str = "/proc/self/fd/0";
/// What chooses how much an agent tells. Nothing else of our environment is meant for agents,
/// least of all what systemd has put there for the demo.
const LOG_LEVEL: &str = "VIPD_LOG";
/// Where an agent's runtime directory is.
const RUN: &str = "/run";
/// How long the kernel may take to end a process that has been killed.
const DEATH: Duration = Duration::from_secs(1);

/// `vipd demo-host`: how the demo starts an agent. For its own use.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct HostOptions {
    /// The process ID of the demo.
    #[arg(long)]
    parent: i32,
}

/// A line that an agent wrote.
#[derive(Debug)]
pub(super) struct Line {
    pub read: Instant,
    pub node: Node,
    pub text: String,
}

/// A node with power. Dropping it is a power failure.
#[derive(Debug)]
pub(super) struct Host {
    node: Node,
    agent: Child,
    _server: Worker,
    _namespace: Namespace,
}

impl Host {
    /// Boots a node: the network first, then its server and its agent, whose lines go to `log`.
    pub(super) async fn boot(
        lab: &Lab,
        node: Node,
        log: UnboundedSender<Line>,
    ) -> Result<Self, LabError> {
        let namespace = lab.plug_in(node.machine()).await?;
        let server = lab.inside("the server on a node", &namespace, || server::start(node))?;
        let agent = lab.inside("starting an agent", &namespace, || start_agent(node, log))?;
        Ok(Self { node, agent, _server: server, _namespace: namespace })
    }

    /// Cuts the power: nothing on the node gets a chance to say good-bye.
    pub(super) async fn cut_power(mut self, lab: &Lab) -> Result<(), LabError> {
        let killed = self.agent.start_kill();
        lab.unplug(self.node.machine()).await?;
        killed.during(|| format!("killing the agent of {}", self.node))
    }

    /// Asks the agent to stop, as `systemctl stop vipd` does. The server goes on.
    pub(super) fn stop_agent(&self) -> Result<(), LabError> {
        let sent = match self.agent.id().and_then(|id| i32::try_from(id).ok()) {
            Some(id) => kill(Pid::from_raw(id), Signal::SIGTERM).map_err(io::Error::from),
            None => Err(io::Error::other("it has ended already")),
        };
        sent.during(|| format!("stopping the agent of {}", self.node))
    }

    /// How the agent ended, if it has.
    pub(super) fn agent_ended(&mut self) -> Result<Option<ExitStatus>, LabError> {
        self.agent.try_wait().during(|| format!("looking at the agent of {}", self.node))
    }

    /// Which node it is.
    pub(super) fn node(&self) -> Node {
        self.node
    }
}

impl Drop for Host {
    /// Waits for the agent's death: nothing is left, not even for `init` to clear away.
    fn drop(&mut self) {
        let _ = self.agent.start_kill();
        let deadline = Instant::now() + DEATH;
        while matches!(self.agent.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Starts `vipd run` by way of [`main`]. In a process group of its own: Ctrl-C is for the demo.
fn start_agent(node: Node, log: UnboundedSender<Line>) -> io::Result<Child> {
    let mut agent = Command::new(PROGRAM)
        .args(["demo-host", "--parent", &getpid().to_string()])
        .env_clear()
        .envs(std::env::var_os(LOG_LEVEL).map(|level| (LOG_LEVEL, level)))
        .stdin(configuration()?)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    if let Some(lines) = agent.stderr.take() {
        tokio::spawn(listen(node, lines, log));
    }
    Ok(agent)
}

fn configuration() -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create("vipd.yaml", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(CONFIGURATION.as_bytes())?;
    Ok(file.into())
}

async fn listen(node: Node, lines: impl AsyncRead + Unpin, log: UnboundedSender<Line>) {
    let mut lines = BufReader::new(lines).lines();
    while let Ok(Some(text)) = lines.next_line().await {
        let text = without_time(&text).to_owned();
        if log.send(Line { read: Instant::now(), node, text }).is_err() {
            return;
        }
    }
}

/// A log line without its time of day, as the demo has its own clock, and without the level of
/// ordinary lines.
fn without_time(line: &str) -> &str {
    match line.split_once(' ') {
        Some((time, rest)) if time.ends_with('Z') => {
            let rest = rest.trim_start();
            rest.strip_prefix("INFO ").unwrap_or(rest)
        }
        _ => line,
    }
}

/// Becomes `vipd run`, as a process that dies with the demo whatever becomes of it.
pub(crate) fn main(options: &HostOptions) -> ExitCode {
    if let Err(errno) = set_pdeathsig(Signal::SIGKILL) {
        eprintln!("this process cannot be tied to the demo's life: {errno}");
        return ExitCode::FAILURE;
    }
    // The demo may have died before it was tied.
    if getppid() != Pid::from_raw(options.parent) {
        return ExitCode::FAILURE;
    }
    if let Err(errno) = hide_run() {
        eprintln!("the agent cannot get a {RUN} of its own: {errno}");
        return ExitCode::FAILURE;
    }
    let run = ["run", "--config", CONFIGURATION_PATH, "--state-directory", RUNTIME_DIRECTORY];
    let error = std::process::Command::new(PROGRAM).arg0("vipd").args(run).exec();
    eprintln!("{PROGRAM} cannot be run: {error}");
    ExitCode::FAILURE
}

/// Gives this process an empty /run, in which an agent has its runtime directory: it is in memory,
/// nobody else sees it, and it goes with the process.
fn hide_run() -> nix::Result<()> {
    let nothing = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)?;
    mount(Some("tmpfs"), RUN, Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: of an agent's line the demo shows what differs from line to line.
    #[test]
    fn lines_are_shown_without_their_time() {
        const TIME: &str = "2026-03-01T10:00:00.123456Z";
        let info = format!("{TIME}  INFO web: backup -> active: silence of web1");
        assert_eq!(without_time(&info), "web: backup -> active: silence of web1");
        let warning = format!("{TIME}  WARN web: link eth0 is down");
        assert_eq!(without_time(&warning), "WARN web: link eth0 is down");
        assert_eq!(without_time("vipd: no such file"), "vipd: no such file");
    }
}
