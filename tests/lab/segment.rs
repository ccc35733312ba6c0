//! Hosts on a bridge, each in its network namespace.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::mount::{MntFlags, umount2};
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sched::{CloneFlags, setns};

use super::harness::HOME;
use super::owners::Watched;
use super::{Lab, Owners, Process};

/// A network namespace with a name, gone when dropped.
struct Namespace {
    name: String,
    handle: File,
}

impl Namespace {
    fn new(name: String) -> Self {
        execute(&format!("ip netns add {name}"));
        let handle = File::open(Self::path(&name)).expect("the namespace that was just made");
        Self { name, handle }
    }

    fn path(name: &str) -> PathBuf {
        Path::new("/run/netns").join(name)
    }

    /// Does `work` inside: sockets opened and programs started there stay there.
    fn inside<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Return;
        impl Drop for Return {
            fn drop(&mut self) {
                let home = HOME.get().expect("the lab was entered");
                setns(home, CloneFlags::CLONE_NEWNET).expect("the way back home");
            }
        }
        setns(&self.handle, CloneFlags::CLONE_NEWNET).expect("the way into the namespace");
        let _return = Return;
        work()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let path = Self::path(&self.name);
        let _ = umount2(&path, MntFlags::MNT_DETACH);
        let _ = fs::remove_file(&path);
    }
}

/// A switch: a bridge in a namespace of its own.
pub(crate) struct Segment {
    prefix: String,
    directory: PathBuf,
    /// The first three bytes of its addresses.
    network: [u8; 3],
    switch: Namespace,
    owners: Owners,
    _tap: Watched,
    /// The hosts at the second switch.
    far: Mutex<Vec<usize>>,
}

impl Segment {
    /// An empty one.
    pub(crate) fn new(lab: &Lab) -> Self {
        Self::with(lab, lab.number().to_string(), [10, 77, 0])
    }

    /// One more of the same lab, with another network, for hosts that have two interfaces.
    pub(crate) fn another(lab: &Lab, name: &str, network: [u8; 3]) -> Self {
        Self::with(lab, format!("{}-{name}", lab.number()), network)
    }

    fn with(lab: &Lab, prefix: String, network: [u8; 3]) -> Self {
        let switch = Namespace::new(format!("{prefix}-switch"));
        let owners = lab.owners().clone();
        let tap = owners.switch(&switch.name, |listen| switch.inside(listen));
        let (directory, far) = (lab.directory().to_owned(), Mutex::default());
        let segment = Self { prefix, directory, network, switch, owners, _tap: tap, far };
        segment.switch.inside(|| {
            execute("ip link add name bridge type bridge");
            execute("ip link set bridge up");
        });
        segment
    }

    /// Its switch's network namespace, for cables that a case lays itself.
    pub(crate) fn switch(&self) -> &str {
        &self.switch.name
    }

    /// Runs a command at the switch; fails when the command does.
    pub(crate) fn run(&self, command: &str) {
        self.owners.deed(None, command, || self.switch.inside(|| execute(command)));
    }

    /// Adds a second switch, joined to the first one by a link.
    pub(crate) fn extend(&self) {
        self.switch.inside(|| {
            execute("ip link add name far type bridge");
            execute("ip link set far up");
            execute("ip link add name link-near type veth peer name link-far");
            execute("ip link set link-near master bridge up");
            execute("ip link set link-far master far up");
        });
    }

    /// Lets the link between the two switches carry nothing, or everything again. Neither switch
    /// notices: they have carrier, and keep what they have learnt.
    pub(crate) fn join(&self, joined: bool) {
        let far = self.far.lock().expect("the hosts at the second switch");
        far.iter().for_each(|host| self.owners.cut(&self.switch.name, *host, !joined));
        let state = if joined { "forwarding" } else { "disabled" };
        for port in ["link-near", "link-far"] {
            self.switch.inside(|| execute(&format!("bridge link set dev {port} state {state}")));
        }
    }

    /// A new host: `eth0` with the address 10.77.0.`number`/24, or that of the segment's network.
    pub(crate) fn host(&self, number: u8) -> Host {
        self.host_at(number, "bridge")
    }

    /// The same, at the second switch.
    pub(crate) fn far_host(&self, number: u8) -> Host {
        let host = self.host_at(number, "far");
        self.far.lock().expect("the hosts at the second switch").push(host.watched());
        host
    }

    fn host_at(&self, number: u8, bridge: &str) -> Host {
        let namespace = Namespace::new(format!("{}-{number}", self.prefix));
        let address = self.address(number);
        let directory = self.directory.clone();
        let owners = self.owners.clone();
        let name = format!("{}-{number}", self.prefix);
        let watched = owners.host(&name, |listen| namespace.inside(listen));
        let host = Host { number, address, namespace, directory, owners, watched };
        host.run("ip link set lo up");
        self.connect_at(&host, "eth0", bridge);
        host
    }

    fn address(&self, number: u8) -> Ipv4Addr {
        let [a, b, c] = self.network;
        Ipv4Addr::new(a, b, c, number)
    }

    /// Gives a host an interface on this segment, with the host's number in its address.
    pub(crate) fn connect(&self, host: &Host, interface: &str) {
        self.connect_at(host, interface, "bridge");
    }

    fn connect_at(&self, host: &Host, interface: &str, bridge: &str) {
        let (switch, port) = (&self.switch.name, port(host));
        host.run(&format!(
            "ip link add name {interface} type veth peer name {port} netns {switch}"
        ));
        self.switch.inside(|| {
            let number = if_nametoindex(port.as_str()).expect("the port that was just made");
            self.owners.port(switch, number, host, interface);
            execute(&format!("ip link set {port} master {bridge} up"));
        });
        host.run(&format!("ip address add {}/24 dev {interface}", self.address(host.number)));
        host.run(&format!("ip link set {interface} up"));
    }

    /// Takes the switch's end of a host's cable down (both ends lose carrier) or up again.
    pub(crate) fn cable(&self, host: &Host, state: &str) {
        self.owners.cut(&self.switch.name, host.watched(), state == "down");
        self.switch.inside(|| execute(&format!("ip link set {} {state}", port(host))));
    }

    /// Makes the switch drop every frame from and to a host, which keeps its carrier.
    pub(crate) fn partition(&self, host: &Host) {
        self.forwarding(host, "disabled");
    }

    /// Lets a host get multicast whose receivers the switch does not know, or not, as a switch does
    /// that snoops on IGMP and hears no querier.
    pub(crate) fn flood_multicast(&self, host: &Host, state: &str) {
        self.owners.deafen(&self.switch.name, host.watched(), state == "off");
        let port = port(host);
        self.switch.inside(|| execute(&format!("bridge link set dev {port} mcast_flood {state}")));
    }

    /// Makes a hub of the switch: everybody gets every frame, and `watcher` looks at all of them.
    pub(crate) fn see_all(&self, watcher: &Host) {
        self.switch.inside(|| execute("ip link set bridge type bridge ageing_time 0"));
        watcher.run("ip link set eth0 promisc on");
    }

    /// Undoes [`Segment::partition`].
    pub(crate) fn heal(&self, host: &Host) {
        self.forwarding(host, "forwarding");
    }

    fn forwarding(&self, host: &Host, state: &str) {
        self.owners.cut(&self.switch.name, host.watched(), state == "disabled");
        self.switch
            .inside(|| execute(&format!("bridge link set dev {} state {state}", port(host))));
    }
}

/// The name of the switch's end of a host's cable.
fn port(host: &Host) -> String {
    format!("port{}", host.number)
}

/// A machine on the segment.
pub(crate) struct Host {
    number: u8,
    address: Ipv4Addr,
    namespace: Namespace,
    directory: PathBuf,
    owners: Owners,
    watched: Watched,
}

impl Host {
    /// Its number in the book of the owners.
    pub(super) const fn watched(&self) -> usize {
        self.watched.host()
    }

    /// The watch over the owners of the virtual addresses.
    pub(super) const fn owners(&self) -> &Owners {
        &self.owners
    }

    /// Does something here that the story of the owners should tell of.
    pub(crate) fn deed<T>(&self, what: &str, work: impl FnOnce() -> T) -> T {
        self.owners.deed(Some(self.watched()), what, work)
    }

    /// Where its network namespace is, for programs that enter it by themselves.
    pub(crate) fn namespace_path(&self) -> PathBuf {
        Namespace::path(&self.namespace.name)
    }

    /// What tells it from all other hosts of the lab.
    pub(crate) fn unique_name(&self) -> &str {
        &self.namespace.name
    }

    /// The last part of its address, which is its name, too.
    pub(crate) fn number(&self) -> u8 {
        self.number
    }

    /// Its own address.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Its own link-local address, once [`Host::add_ipv6`] has given it one.
    pub(crate) fn link_local(&self) -> Ipv6Addr {
        format!("fe80::{}", self.number).parse().expect("an address")
    }

    /// Gives it IPv6 addresses with its number instead of those that the kernel has made: they
    /// work at once.
    pub(crate) fn add_ipv6(&self) {
        self.run("ip link set eth0 addrgenmode none");
        self.run("ip -6 address flush dev eth0");
        self.run(&format!("ip address add {}/64 dev eth0 nodad", self.link_local()));
        self.run(&format!("ip address add 2001:db8:77::{}/64 dev eth0 nodad", self.number));
    }

    /// The address of the host with that number, as routable as the virtual one `like` is.
    pub(crate) fn address_in(&self, like: IpAddr, number: u8) -> IpAddr {
        let [a, b, c, _] = self.address.octets();
        match like {
            IpAddr::V4(_) => Ipv4Addr::new(a, b, c, number).into(),
            IpAddr::V6(_) => format!("2001:db8:77::{number}").parse().expect("an address"),
        }
    }

    /// The case's directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The runtime directory of the agents that run here one after the other.
    pub(crate) fn runtime_directory(&self) -> PathBuf {
        self.directory.join(format!("{}.run", self.number))
    }

    /// The state directory of the agents that run here one after the other.
    pub(crate) fn state_directory(&self) -> PathBuf {
        self.directory.join(format!("{}.lib", self.number))
    }

    /// Does `work` inside this host's namespace: sockets opened there stay there.
    pub(crate) fn inside<T>(&self, work: impl FnOnce() -> T) -> T {
        self.namespace.inside(work)
    }

    /// Runs a command there and returns what it wrote; fails when the command does.
    pub(crate) fn run(&self, command: &str) -> String {
        self.deed(command, || self.inside(|| execute(command)))
    }

    /// Runs a command there that may fail, as somebody else's who knows nothing of what is there.
    pub(crate) fn try_to_run(&self, command: &str) {
        let mut words = command.split_whitespace();
        let mut program = Command::new(words.next().expect("a command has a name"));
        program.args(words);
        let output = self.deed(command, || self.inside(|| program.output()));
        output.unwrap_or_else(|why| panic!("cannot run '{command}': {why}"));
    }

    /// Starts a program there; its output goes to the case's log `name`.
    pub(crate) fn start(&self, command: &mut Command, name: &str) -> Process {
        self.owners.started(name);
        let log = self.directory.join(format!("{}-{name}.log", self.number));
        self.inside(|| Process::start(command, &log))
    }

    /// Whether an interface of this host has this address.
    pub(crate) fn holds(&self, address: impl Into<IpAddr>) -> bool {
        let address = address.into();
        let mut interfaces = self.inside(getifaddrs).expect("the list of addresses");
        interfaces.any(|interface| is_at(&interface, address))
    }

    /// The kernel's number of an interface.
    pub(crate) fn interface_index(&self, interface: &str) -> u32 {
        self.inside(|| if_nametoindex(interface)).expect("an interface of that name")
    }

    /// Whether an interface has carrier and is up (`IFF_RUNNING`).
    pub(crate) fn is_running(&self, interface: &str) -> bool {
        let mut interfaces = self.inside(getifaddrs).expect("the list of interfaces");
        interfaces.any(|found| {
            found.interface_name == interface && found.flags.contains(InterfaceFlags::IFF_RUNNING)
        })
    }
}

/// Whether this is an interface with this address.
pub(crate) fn is_at(interface: &InterfaceAddress, address: IpAddr) -> bool {
    let Some(held) = &interface.address else { return false };
    match address {
        IpAddr::V4(address) => held.as_sockaddr_in().is_some_and(|held| held.ip() == address),
        IpAddr::V6(address) => held.as_sockaddr_in6().is_some_and(|held| held.ip() == address),
    }
}

/// Runs a command (words separated by blanks) in the namespace that this thread is in.
fn execute(command: &str) -> String {
    let mut words = command.split_whitespace();
    let program = words.next().expect("a command has a name");
    let output = Command::new(program).args(words).output();
    let output = output.unwrap_or_else(|why| panic!("cannot run '{command}': {why}"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "'{command}' failed: {complaint}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
