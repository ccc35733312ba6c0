//! The segment with its three hosts, and who has which address.

use std::net::IpAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::sys::signal::Signal;

use crate::configuration::{KEEPALIVED, LATE, NODES, ROUTERS, Router, write_files};
use crate::lab::{Agent, Host, Keepalived, Lab, RouterSettings, Segment, VIP, is_at, is_over};
use crate::machine::Machine;

/// The longest time until everything is at rest after the last fault, without the machine's stalls: an
/// instance that was refused something is out for 10 s and then listens as after a start.
const SETTLED: Duration = Duration::from_secs(60);

/// For how long it has to stay so until it counts.
const STEADY: Duration = Duration::from_secs(2);

/// The time between two looks.
const GLANCE: Duration = Duration::from_millis(100);

/// keepalived, the last of the three in the election of `web`.
pub(crate) struct Third {
    /// Its host.
    pub(crate) host: Host,
    process: Option<Keepalived>,
    is_frozen: bool,
}

impl Third {
    fn start(&mut self) {
        let settings = RouterSettings::new(3, 50).every(Duration::from_millis(200));
        self.process = Some(Keepalived::start(&self.host, settings));
    }

    /// Stops it in an orderly way, if it runs.
    pub(crate) fn stop(&mut self) {
        self.thaw();
        if let Some(process) = self.process.take() {
            process.stop();
        }
    }

    /// Kills it. What it leaves behind is taken off: nobody else does.
    pub(crate) fn kill(&mut self) {
        self.is_frozen = false;
        if let Some(process) = self.process.take() {
            process.kill();
        }
        if self.host.holds(VIP) {
            self.host.run(&format!("ip address delete {VIP}/24 dev eth0"));
        }
    }

    /// Stops all of its processes (`SIGSTOP`), if there are any.
    pub(crate) fn freeze(&mut self) {
        if let Some(process) = &self.process {
            process.signal_all(Signal::SIGSTOP);
            self.is_frozen = true;
        }
    }

    fn thaw(&mut self) {
        if let Some(process) = &self.process
            && self.is_frozen
        {
            process.signal_all(Signal::SIGCONT);
        }
        self.is_frozen = false;
    }

    fn mend(&mut self, segment: &Segment) {
        segment.cable(&self.host, "up");
        self.thaw();
        if self.process.is_none() {
            self.start();
        }
    }
}

/// All that there is.
pub(crate) struct Stage {
    /// The network that joins the hosts.
    pub(crate) segment: Segment,
    /// The nodes of vipd, in the order of [`NODES`].
    pub(crate) machines: Vec<Machine>,
    /// The third node.
    pub(crate) keepalived: Third,
}

impl Stage {
    /// A group that starts.
    pub(crate) fn new(lab: &Lab) -> Self {
        write_files(lab.directory());
        let segment = Segment::new(lab);
        let machines = NODES.iter().enumerate();
        let machines = machines.map(|(place, number)| Machine::new(segment.host(*number), place));
        let machines = machines.collect();
        let host = segment.host(KEEPALIVED);
        let mut keepalived = Third { host, process: None, is_frozen: false };
        keepalived.start();
        Self { segment, machines, keepalived }
    }

    /// Undoes everything.
    pub(crate) fn mend(&mut self) {
        let Self { segment, machines, keepalived } = self;
        for machine in machines {
            machine.mend(segment);
        }
        keepalived.mend(segment);
    }

    fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.machines.iter().map(|machine| &machine.host).chain([&self.keepalived.host])
    }

    /// The hosts that have each of these addresses now.
    fn holders(&self, addresses: &[IpAddr]) -> Vec<Vec<u8>> {
        let mut holders = vec![Vec::new(); addresses.len()];
        for host in self.hosts() {
            let found: Vec<_> = host.inside(getifaddrs).expect("the addresses").collect();
            for (place, address) in addresses.iter().enumerate() {
                if found.iter().any(|interface| is_at(interface, *address)) {
                    holders[place].push(host.number());
                }
            }
        }
        holders
    }

    /// Something that is not as it must be: each router's addresses at its own node alone, or at any
    /// single one where `is_anywhere` says so, and each daemon of the same opinion.
    fn wrong(&self, is_anywhere: impl Fn(&Router) -> bool) -> Option<String> {
        let routers = ROUTERS.iter().chain([&LATE]);
        let addresses: Vec<IpAddr> = routers.map(Router::address).collect();
        let holders = self.holders(&addresses);
        let (late, ours) = holders.split_last().expect("there are some");
        if !late.is_empty() {
            return Some(format!("{late:?} have the address of {}, which nobody has", LATE.name));
        }
        let misplaced = ROUTERS.iter().zip(ours).find(|(router, holders)| match holders[..] {
            [one] => one != router.owner() && !is_anywhere(router),
            _ => true,
        });
        if let Some((router, holders)) = misplaced {
            let (name, owner) = (router.name, router.owner());
            return Some(format!("{holders:?} have the address of {name}, {owner} must"));
        }
        self.machines.iter().find_map(|machine| wrong_state(machine, ours))
    }

    /// Waits until all is as it must be, and stays so.
    #[track_caller]
    pub(crate) fn settle(&self, is_anywhere: impl Fn(&Router) -> bool) -> Duration {
        let start = Instant::now();
        let mut since: Option<Instant> = None;
        loop {
            let wrong = self.wrong(&is_anywhere);
            match wrong {
                None if since.get_or_insert_with(Instant::now).elapsed() >= STEADY => break,
                None => {}
                Some(_) => since = None,
            }
            assert!(
                !is_over(SETTLED, start),
                "not at rest after {SETTLED:?}: {}",
                wrong.unwrap_or_default()
            );
            sleep(GLANCE);
        }
        start.elapsed()
    }

    /// For so long nothing changes.
    #[track_caller]
    pub(crate) fn stays(&self, span: Duration) {
        let start = Instant::now();
        while start.elapsed() < span {
            if let Some(wrong) = self.wrong(|_| false) {
                panic!("at rest, and after {:?}: {wrong}", start.elapsed());
            }
            sleep(GLANCE);
        }
    }

    /// Gives what was handed over back to the node that it belongs to.
    pub(crate) fn hand_back(&self) {
        for router in &ROUTERS {
            let holders = self.holders(&[router.address()]).remove(0);
            let from = self.machines.iter().find(|one| holders == [one.host.number()]);
            if let Some(from) = from
                && from.host.number() != router.owner()
            {
                let said = Agent::vipctl(&from.host, &format!("handover {}", router.name));
                let complaint = String::from_utf8_lossy(&said.stderr).into_owned();
                assert!(said.status.success(), "handover {}: {complaint}", router.name);
            }
        }
    }
}

/// A difference between a daemon's opinion and what the kernels have.
fn wrong_state(machine: &Machine, holders: &[Vec<u8>]) -> Option<String> {
    let number = machine.host.number();
    let states = match machine.states() {
        Ok(states) => states,
        Err(why) => return Some(format!("{number} has no status: {why}")),
    };
    if states.len() != ROUTERS.len() {
        return Some(format!("{number} has {} instances", states.len()));
    }
    for (router, holders) in ROUTERS.iter().zip(holders) {
        let expected = if *holders == [number] { "active" } else { "backup" };
        let found = states.iter().find(|(name, _)| name == router.name);
        if found.is_none_or(|(_, state)| state != expected) {
            return Some(format!("{number} is not {expected} for {}: {found:?}", router.name));
        }
    }
    None
}
