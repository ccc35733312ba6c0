//! A node of vipd, and what has happened to it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use fastrand::Rng;
use nix::sys::signal::Signal;
use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::configuration::{Variant, broken, yaml};
use crate::lab::{Agent, Host, Process, Segment, program, within};

/// The longest time that a daemon may take to be ready, without the machine's stalls.
const READY: Duration = Duration::from_secs(30);

/// The longest time that somebody who asks a daemon for something waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// The number of clients that connect at once and do not read, or do not ask.
const CLIENTS: usize = 12;

/// A node.
pub(crate) struct Machine {
    /// Its place in the network.
    pub(crate) host: Host,
    place: usize,
    /// The daemon, unless it is dead.
    pub(crate) agent: Option<Agent>,
    /// The number of daemons that there have been.
    pub(crate) lives: u32,
    /// The daemon stands still.
    pub(crate) is_frozen: bool,
    is_lossy: bool,
    has_other_file: bool,
    is_on_standby: bool,
    clients: Vec<Socket>,
    requests: Vec<Process>,
}

impl Machine {
    /// The one at a place of the list of nodes, with a running daemon.
    pub(crate) fn new(host: Host, place: usize) -> Self {
        host.add_ipv6();
        let mut machine = Self {
            host,
            place,
            agent: None,
            lives: 0,
            is_frozen: false,
            is_lossy: false,
            has_other_file: false,
            is_on_standby: false,
            clients: Vec::new(),
            requests: Vec::new(),
        };
        machine.start();
        machine
    }

    /// One of the files that the configuration names.
    fn file(&self, ending: &str) -> PathBuf {
        self.host.directory().join(format!("{}.{ending}", self.host.number()))
    }

    fn start(&mut self) {
        let text = yaml(self.host.directory(), self.place, Variant::BASE);
        let agent = Agent::launch(&self.host, &mut Agent::command(&self.host, &text));
        within(READY, "vipd says READY=1", || agent.has_said("READY=1"));
        self.agent = Some(agent);
        self.lives += 1;
        self.has_other_file = false;
    }

    /// Kills the daemon as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.kill();
        }
        self.is_frozen = false;
    }

    /// Stops it in an orderly way.
    pub(crate) fn stop(&mut self) {
        let status = self.agent.take().expect("a daemon that runs").stop();
        assert!(status.success(), "vipd ended with {status} after SIGTERM");
    }

    /// Stops and continues it (`SIGSTOP`, `SIGCONT`).
    pub(crate) fn freeze(&mut self, is_frozen: bool) {
        let signal = if is_frozen { Signal::SIGSTOP } else { Signal::SIGCONT };
        self.agent.as_ref().expect("a daemon that runs").signal(signal);
        self.is_frozen = is_frozen;
    }

    /// Has the daemon read another file, or one that it must refuse.
    pub(crate) fn change_file(&mut self, is_good: bool, random: &mut Rng) {
        let good = yaml(self.host.directory(), self.place, Variant::any(random));
        let text = if is_good { good } else { broken(&good, random) };
        self.read_file(&text);
        self.has_other_file = true;
    }

    fn read_file(&self, text: &str) {
        fs::write(self.file("yaml"), text).expect("a configuration file");
        self.agent.as_ref().expect("a daemon that runs").signal(Signal::SIGHUP);
    }

    /// Starts `vipctl` with these arguments, and does not wait for it.
    pub(crate) fn ask(&mut self, arguments: &str) {
        let mut command = Command::new(program("vipctl"));
        command.args(arguments.split_whitespace());
        command.arg("--runtime-directory").arg(self.host.runtime_directory());
        self.requests.push(self.host.start(&mut command, "vipctl"));
        self.is_on_standby |= arguments.starts_with("standby");
    }

    /// Puts a file there, or takes it away: a check fails, a program hangs.
    pub(crate) fn toggle(&self, ending: &str) {
        let file = self.file(ending);
        if fs::remove_file(&file).is_err() {
            fs::write(file, "").expect("a file");
        }
    }

    /// Takes an address off behind the daemon's back, if it is there.
    pub(crate) fn take_off(&self, address: &str) {
        let arguments = ["address", "delete", address, "dev", "eth0"];
        // Mostly it is not there.
        let _ = self.host.inside(|| Command::new("ip").args(arguments).output());
    }

    /// Connects to a socket of the daemon many times, sends this, and never reads.
    pub(crate) fn connect(&mut self, socket: &str, text: &str) {
        let address = SockAddr::unix(self.host.runtime_directory().join(socket));
        let address = address.expect("a short path");
        for _ in 0..CLIENTS {
            let client = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
            // A daemon that does not accept must not hold up this program.
            client.set_nonblocking(true).expect("a socket that does not wait");
            if client.connect(&address).is_ok() {
                let _ = (&client).write(text.as_bytes());
                self.clients.push(client);
            }
        }
    }

    /// Loses so many per cent of the frames from this node, or to it, at the switch.
    pub(crate) fn lose(&mut self, segment: &Segment, percent: u8, hook: &str) {
        let number = self.host.number();
        self.stop_losing(segment);
        self.is_lossy = true;
        segment.run(&format!("nft add table netdev loss{number}"));
        segment.run(&format!(
            "nft add chain netdev loss{number} frames {{ type filter hook {hook} device port{number} priority 0 ; }}"
        ));
        // The kernel refuses a comparison that is always true.
        let some = if percent < 100 {
            format!("numgen random mod 100 < {percent} ")
        } else {
            String::new()
        };
        segment.run(&format!("nft add rule netdev loss{number} frames {some}drop"));
    }

    fn stop_losing(&mut self, segment: &Segment) {
        if self.is_lossy {
            segment.run(&format!("nft delete table netdev loss{}", self.host.number()));
        }
        self.is_lossy = false;
    }

    /// Takes the interface away and puts another one of its name there.
    pub(crate) fn replace_interface(&self, segment: &Segment) {
        self.host.run("ip link delete eth0");
        segment.connect(&self.host, "eth0");
        self.host.add_ipv6();
    }

    fn interface_up(&self) {
        let (host, number) = (&self.host, self.host.number());
        host.run("ip link set eth0 up");
        // The kernel takes those of IPv6 off an interface that goes down.
        for address in [format!("fe80::{number}"), format!("2001:db8:77::{number}")] {
            host.run(&format!("ip address replace {address}/64 dev eth0 nodad"));
        }
    }

    /// Undoes all that has happened to it, and waits until the daemon is ready.
    pub(crate) fn mend(&mut self, segment: &Segment) {
        self.stop_losing(segment);
        self.interface_up();
        segment.cable(&self.host, "up");
        for ending in ["hang-hook", "hang-probe"] {
            let _ = fs::remove_file(self.file(ending));
        }
        for ending in ["service", "uplink"] {
            fs::write(self.file(ending), "").expect("a file that a check looks for");
        }
        self.clients.clear();
        if self.is_frozen {
            self.freeze(false);
        }
        if self.agent.is_none() {
            self.start();
        }
        if self.has_other_file {
            self.read_file(&yaml(self.host.directory(), self.place, Variant::BASE));
            self.has_other_file = false;
        }
        self.end_requests();
    }

    /// Waits for what was asked for, and calls off a standby.
    fn end_requests(&mut self) {
        for request in self.requests.drain(..) {
            request.exit_within(PATIENCE);
        }
        if self.is_on_standby {
            let said = Agent::vipctl(&self.host, "online");
            let complaint = String::from_utf8_lossy(&said.stderr).into_owned();
            assert!(said.status.success(), "vipctl online: {complaint}");
            self.is_on_standby = false;
        }
    }

    /// The state of each instance, as the status socket has it.
    pub(crate) fn states(&self) -> Result<Vec<(String, String)>, String> {
        let socket = self.host.runtime_directory().join("status.sock");
        let mut text = String::new();
        let mut stream = UnixStream::connect(socket).map_err(|why| why.to_string())?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|why| why.to_string())?;
        stream.read_to_string(&mut text).map_err(|why| why.to_string())?;
        let snapshot: Value = serde_json::from_str(&text).map_err(|why| why.to_string())?;
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let instances = snapshot["instances"].as_array().cloned().unwrap_or_default();
        Ok(instances.iter().map(|one| (word(&one["name"]), word(&one["state"]))).collect())
    }
}
