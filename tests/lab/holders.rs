//! Which hosts have the virtual address on an interface, from moment to moment.

use std::io::Read as _;
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, NetlinkAddr, bind};
use socket2::{Domain, Socket, Type};

use super::Host;
use super::segment::is_at;
use super::stalls::running_time;

/// The kernel's messages about addresses (`RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV6_IFADDR`,
/// `rtnetlink(7)`).
const ADDRESSES: u32 = 0x10 | 0x100;

/// How often a host is looked at even where the kernel says nothing.
const GLANCE: Duration = Duration::from_millis(50);

/// A change at one host: when, and whether it has had the address since.
type Change = (Instant, bool);

/// Watches the hosts until it is dropped.
pub(crate) struct Holders {
    hosts: Vec<(u8, Arc<Mutex<Vec<Change>>>)>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Holders {
    /// Starts to watch `hosts` for `vip`.
    pub(crate) fn watch(hosts: &[&Host], vip: impl Into<IpAddr>) -> Self {
        let vip = vip.into();
        let over = Arc::new(AtomicBool::new(false));
        let mut watch = Self { hosts: Vec::new(), over, threads: Vec::new() };
        for host in hosts {
            let changes = Arc::new(Mutex::new(vec![(Instant::now(), host.holds(vip))]));
            watch.hosts.push((host.number(), Arc::clone(&changes)));
            let over = Arc::clone(&watch.over);
            // A thread stays in the namespace that it was started in.
            let thread = host.inside(|| {
                let socket = changes_of_addresses();
                thread::spawn(move || look(&socket, vip, &over, &changes))
            });
            watch.threads.push(thread);
        }
        watch
    }

    /// The numbers of the hosts that have the address now.
    pub(crate) fn now(&self) -> Vec<u8> {
        let holds = |changes: &Mutex<Vec<Change>>| {
            changes.lock().expect("the changes").last().is_some_and(|(_, held)| *held)
        };
        let holders = self.hosts.iter().filter(|(_, changes)| holds(changes));
        holders.map(|(number, _)| *number).collect()
    }

    /// How often a host has got or lost the address since `from`.
    pub(crate) fn changes(&self, host: &Host, from: Instant) -> usize {
        let of_host = self.hosts.iter().filter(|(number, _)| *number == host.number());
        let later = |changes: &Mutex<Vec<Change>>| {
            let changes = changes.lock().expect("the changes");
            changes.iter().filter(|(at, _)| *at >= from).count()
        };
        of_host.map(|(_, changes)| later(changes)).sum()
    }

    /// How long more than one host had the address, all in all, since `from`.
    pub(crate) fn together(&self, from: Instant) -> Duration {
        self.overlaps(from).iter().sum()
    }

    /// The longest time without a break that more than one host had the address, since `from`.
    pub(crate) fn longest_together(&self, from: Instant) -> Duration {
        self.overlaps(from).into_iter().max().unwrap_or_default()
    }

    /// Each time that more than one host had the address, since `from`, without the machine's own
    /// stalls: a thread that did not run saw the change late.
    fn overlaps(&self, from: Instant) -> Vec<Duration> {
        let mut changes: Vec<Change> = Vec::new();
        for (_, of_one) in &self.hosts {
            let of_one = of_one.lock().expect("the changes");
            let first = of_one.iter().position(|(_, held)| *held).unwrap_or(of_one.len());
            changes.extend(&of_one[first..]);
        }
        changes.sort_unstable();
        let mut holders = 0_usize;
        let mut since = None;
        let mut spans = Vec::new();
        for (at, held) in changes {
            holders = if held { holders + 1 } else { holders.saturating_sub(1) };
            if holders > 1 {
                since.get_or_insert(at);
            } else if let Some(start) = since.take() {
                spans.push((start, at));
            }
        }
        spans.extend(since.map(|start| (start, Instant::now())));
        let later = spans.into_iter().filter(|(_, end)| *end > from);
        later.map(|(start, end)| running_time(start.max(from), end)).collect()
    }
}

impl Drop for Holders {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn changes_of_addresses() -> Socket {
    let netlink = Domain::from(AddressFamily::Netlink as i32);
    let socket = Socket::new(netlink, Type::RAW, None).expect("a netlink socket");
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, ADDRESSES)).expect("membership in a group");
    socket.set_read_timeout(Some(GLANCE)).expect("a timeout");
    socket
}

/// The kernel's message only wakes: what counts is what is there then, so that none can be missed.
fn look(mut socket: &Socket, vip: IpAddr, over: &AtomicBool, changes: &Mutex<Vec<Change>>) {
    let mut message = [0; 4096];
    while !over.load(Ordering::Relaxed) {
        let _ = socket.read(&mut message);
        let Ok(interfaces) = getifaddrs() else { continue };
        let held = interfaces.into_iter().any(|interface| is_at(&interface, vip));
        let mut changes = changes.lock().expect("the changes");
        if changes.last().is_none_or(|(_, before)| *before != held) {
            changes.push((Instant::now(), held));
        }
    }
}
