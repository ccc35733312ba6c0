//! A running agent, and the configuration that it gets.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::owners::{Agency, Said};
use super::wait::is_over;
use super::{BOUND, Host, Process, program, within};

/// The virtual address of most cases.
pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);

/// The same of those over IPv6, and the link-local address that belongs to [`VRID`].
pub(crate) const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 0x100);
pub(crate) const LINK_LOCAL_VIP: Ipv6Addr =
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0x200, 0x5eff, 0xfe00, 0x233);

/// The virtual router of most cases.
pub(crate) const VRID: u8 = 51;

/// How long systemd would wait for a sign of life.
const WATCHDOG: Duration = Duration::from_secs(2);

/// A configuration file in the making: short intervals and no hold-down, so that the cases are
/// quick. An interval of 200 ms leaves a busy machine some room.
#[derive(Clone)]
pub(crate) struct Config {
    nodes: String,
    checks: Vec<(String, String)>,
    instances: Vec<(&'static str, Vec<(&'static str, String)>)>,
    sync_group: Option<String>,
}

impl Config {
    /// The instance `web`, which moves [`VIP`] among `nodes`, the first one preferred. Without
    /// nodes it wants a priority.
    pub(crate) fn new(nodes: &[&Host]) -> Self {
        Self::with(nodes, VIP.into())
    }

    /// The same with another address. IPv6 nodes are listed with their link-local addresses too.
    pub(crate) fn with(nodes: &[&Host], vip: IpAddr) -> Self {
        let list = nodes.iter().fold(String::new(), |mut list, node| {
            let (number, address) = (node.number(), node.address());
            let _ = match vip {
                IpAddr::V4(_) => writeln!(list, "  node{number}: {address}"),
                IpAddr::V6(_) => {
                    writeln!(list, "  node{number}: [{address}, {}]", node.link_local())
                }
            };
            list
        });
        let nodes = if list.is_empty() { list } else { format!("nodes:\n{list}") };
        let (checks, instances, sync_group) = (Vec::new(), Vec::new(), None);
        Self { nodes, checks, instances, sync_group }.instance("web", VRID, vip)
    }

    /// The nodes are known by their addresses in this network, too.
    pub(crate) fn also_in(mut self, nodes: &[&Host], network: [u8; 3]) -> Self {
        let [first, second, third] = network;
        for node in nodes {
            let (own, number) = (node.address(), node.number());
            let further = Ipv4Addr::new(first, second, third, number);
            let (one, both) = (format!(": {own}\n"), format!(": [{own}, {further}]\n"));
            self.nodes = self.nodes.replace(&one, &both);
        }
        self
    }

    /// Adds another instance; [`Config::set`] is about it from now on.
    pub(crate) fn instance(
        mut self,
        name: &'static str,
        vrid: u8,
        address: impl Into<IpAddr>,
    ) -> Self {
        let address = address.into();
        let prefix = if address.is_ipv6() { 64 } else { 24 };
        self.instances.push((name, Vec::new()));
        self.set("interface", "eth0")
            .set("virtual_router_id", vrid.to_string())
            .set("addresses", format!("[{address}/{prefix}]"))
            .set("advertisement_interval", "200ms")
            .set("hold_down", "0s")
    }

    /// Sets a key of the last instance.
    pub(crate) fn set(mut self, key: &'static str, value: impl Into<String>) -> Self {
        let (_, keys) = self.instances.last_mut().expect("an instance");
        keys.retain(|(present, _)| *present != key);
        keys.push((key, value.into()));
        self
    }

    /// Adds a check, whose keys are written as in `file: { path: /run/x }, interval: 1s`. The last
    /// instance depends on it. It is fast and believes at once, unless the keys say otherwise.
    pub(crate) fn check(mut self, name: impl Into<String>, keys: impl Into<String>) -> Self {
        let mut keys = keys.into();
        for (key, value) in [("interval", "200ms"), ("rise", "1"), ("fall", "1")] {
            if !keys.contains(&format!("{key}:")) {
                let _ = write!(keys, ", {key}: {value}");
            }
        }
        self.checks.push((name.into(), keys));
        let names: Vec<&str> = self.checks.iter().map(|(name, _)| name.as_str()).collect();
        let names = format!("[{}]", names.join(", "));
        self.set("track", names)
    }

    /// All instances are in one sync group, `gateway`, with these hooks, or none.
    pub(crate) fn sync_group(mut self, notify: &str) -> Self {
        let members: Vec<&str> = self.instances.iter().map(|(name, _)| *name).collect();
        let members = members.join(", ");
        self.sync_group = Some(match notify {
            "" => format!("[{members}]"),
            _ => format!("{{ members: [{members}], notify: {notify} }}"),
        });
        self
    }

    /// The file's text.
    pub(crate) fn yaml(&self) -> String {
        let mut text = self.nodes.clone();
        if !self.checks.is_empty() {
            text.push_str("tracks:\n");
        }
        for (name, keys) in &self.checks {
            let _ = writeln!(text, "  {name}: {{ {keys} }}");
        }
        text.push_str("instances:\n");
        for (name, keys) in &self.instances {
            let _ = writeln!(text, "  {name}:");
            for (key, value) in keys {
                let _ = writeln!(text, "    {key}: {value}");
            }
        }
        if let Some(group) = &self.sync_group {
            let _ = writeln!(text, "sync_groups:\n  gateway: {group}");
        }
        text
    }
}

/// `vipd run` on a host.
pub(crate) struct Agent {
    /// Told first that the agent ends.
    agency: Agency,
    process: Process,
    supervisor: Supervisor,
}

impl Agent {
    /// Starts one and waits until it says that it is ready.
    pub(crate) fn start(host: &Host, config: &Config) -> Self {
        let agent = Self::launch(host, &mut Self::command(host, &config.yaml()));
        within(BOUND, "vipd says READY=1", || agent.has_said("READY=1"));
        agent
    }

    /// `vipd run` with a configuration file of this text, with the host's runtime directory and with
    /// the unit's environment.
    pub(crate) fn command(host: &Host, yaml: &str) -> Command {
        let file = host.directory().join(format!("{}.yaml", host.number()));
        fs::write(&file, yaml).expect("a configuration file");
        let mut command = Command::new(program("vipd"));
        command.envs(unit_environment());
        command.arg("run").arg("--config").arg(file);
        command.arg("--runtime-directory").arg(host.runtime_directory());
        command.arg("--state-directory").arg(host.state_directory());
        command
    }

    /// Runs `vipctl` with these arguments (words separated by blanks) for the agent of a host.
    pub(crate) fn vipctl(host: &Host, arguments: &str) -> Output {
        let mut command = Command::new(program("vipctl"));
        command.args(arguments.split_whitespace());
        command.arg("--runtime-directory").arg(host.runtime_directory());
        let what = format!("vipctl {arguments}");
        host.deed(&what, || command.output()).expect("vipctl runs")
    }

    /// Runs any command that starts an agent, supervised as systemd would, and doesn't wait.
    pub(crate) fn launch(host: &Host, command: &mut Command) -> Self {
        let supervisor = Supervisor::new(host.directory());
        command.env("NOTIFY_SOCKET", &supervisor.path);
        command.env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        let said = Arc::clone(&supervisor.said);
        let agency = host.owners().agent(host, &configuration(host, command), said);
        Self { agency, process: host.start(command, "vipd"), supervisor }
    }

    /// Replaces its configuration file and asks it to read it again, as systemd does.
    pub(crate) fn reload(&self, host: &Host, config: &Config) {
        let file = host.directory().join(format!("{}.yaml", host.number()));
        fs::write(&file, config.yaml()).expect("a configuration file");
        self.signal(Signal::SIGHUP);
    }

    /// Whether it has sent this line to its supervisor.
    pub(crate) fn has_said(&self, line: &str) -> bool {
        self.said().iter().any(|(_, said)| said == line)
    }

    /// Every line that it has sent to its supervisor, with its time.
    pub(crate) fn said(&self) -> Vec<(Instant, String)> {
        self.supervisor.said.lock().expect("the messages").clone()
    }

    /// Waits until what `systemctl status` would show contains all of this.
    #[track_caller]
    pub(crate) fn reports(&self, expected: &[&str]) {
        let start = Instant::now();
        let mut status = self.status();
        while !expected.iter().all(|text| status.contains(text)) {
            assert!(!is_over(BOUND, start), "the status is '{status}', not {expected:?}");
            sleep(Duration::from_millis(10));
            status = self.status();
        }
    }

    /// What `systemctl status` would show now.
    pub(crate) fn status(&self) -> String {
        let said = self.said();
        let status = said.iter().rev().find_map(|(_, line)| line.strip_prefix("STATUS="));
        status.unwrap_or_default().to_owned()
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.process.log()).expect("the log")
    }

    /// Kills it as a crash would.
    pub(crate) fn kill(self) {
        self.agency.ends();
        self.process.kill();
    }

    /// Freezes or thaws it (`SIGSTOP`, `SIGCONT`).
    pub(crate) fn signal(&self, signal: Signal) {
        self.agency.signalled(signal);
        self.process.signal(signal);
    }

    /// Stops it in an orderly way.
    pub(crate) fn stop(self) -> ExitStatus {
        self.agency.signalled(Signal::SIGTERM);
        self.process.stop()
    }

    /// Waits until it ends by itself; with what it said to its supervisor and logged.
    pub(crate) fn exit(self) -> (ExitStatus, Vec<String>, String) {
        let Self { process, supervisor, .. } = self;
        let log = process.log().to_owned();
        let status = process.exit();
        let said = supervisor.said.lock().expect("the messages");
        let lines = said.iter().map(|(_, line)| line.clone()).collect();
        (status, lines, fs::read_to_string(log).expect("the log"))
    }
}

/// What systemd sets for the daemon, from the unit in the package.
fn unit_environment() -> impl Iterator<Item = (&'static str, &'static str)> {
    let unit = include_str!("../../systemd/vipd.service");
    let settings = unit.lines().filter_map(|line| line.strip_prefix("Environment="));
    settings.map(|setting| setting.split_once('=').expect("a name and a value"))
}

/// The configuration file that a command names, or else the one that is usual for the host.
fn configuration(host: &Host, command: &Command) -> PathBuf {
    let mut arguments = command.get_args().skip_while(|argument| *argument != "--config").skip(1);
    let usual = || host.directory().join(format!("{}.yaml", host.number()));
    arguments.next().map_or_else(usual, PathBuf::from)
}

/// The receiving end of `sd_notify(3)`. It is read all the time: the queue of such a socket is
/// ten messages long.
struct Supervisor {
    path: PathBuf,
    said: Said,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Supervisor {
    fn new(directory: &Path) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("{number}.notify"));
        let socket = UnixDatagram::bind(&path).expect("a notification socket");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        let said = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (said, over) = (Arc::clone(&said), Arc::clone(&over));
            move || listen(&socket, &over, &said)
        });
        Self { path, said, over, thread: Some(thread) }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // An empty message wakes the thread: what follows a crash should not wait for it.
        let _ = UnixDatagram::unbound().and_then(|socket| socket.send_to(b"", &self.path));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(socket: &UnixDatagram, over: &AtomicBool, said: &Mutex<Vec<(Instant, String)>>) {
    let mut buffer = [0; 4096];
    while !over.load(Ordering::Relaxed) {
        if let Ok(length) = socket.recv(&mut buffer) {
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let lines = message.lines().map(|line| (Instant::now(), line.to_owned()));
            said.lock().expect("the messages").extend(lines);
        }
    }
}
