//! The move of all addresses, when the active node's daemon is stopped.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, NetlinkAddr, bind, setsockopt, sockopt};
use socket2::{Domain, Socket, Type};

use crate::capture::Capture;
use crate::lab::{BOUND, Host, Meter, Responders, Segment, running_time, within};
use crate::program::Program;
use crate::rhythm::Rhythm;
use crate::stage::{ACTIVE, CLIENT, STANDBY, Stage, held};
use crate::workload::{VirtualRouter, Workload, is_virtual};

/// The kernel's messages about IPv4 addresses (`RTMGRP_IPV4_IFADDR`, `rtnetlink(7)`), and their
/// kinds.
const ADDRESSES: u32 = 0x10;
pub(crate) const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const IFA_LOCAL: u16 = 2;

/// The lengths of a message's header, of what follows in a message about an address, and of an
/// attribute's header.
const HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
const ATTRIBUTE_HEADER: usize = 4;

/// Room for the messages of a quick move.
const BUFFER: usize = 32 * 1024 * 1024;

/// A longer move is a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// The time for which the client is answered before and after the move.
const CALM: Duration = Duration::from_secs(2);

/// The figures of a move.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moved {
    /// The time from the signal to the last address on the other node.
    pub(crate) took: Duration,
    /// The longest time for which neither node had an address.
    pub(crate) nobody: Duration,
    /// The longest time without an answer that a client saw, of a few addresses.
    pub(crate) unanswered: Duration,
    /// The longest distance between two advertisements of one router.
    pub(crate) distance: Duration,
}

/// Stops the active node's program, and watches the addresses.
pub(crate) fn stop(
    stage: &Stage,
    capture: &Capture,
    active: &Program,
    workload: Workload,
) -> Result<Moved, String> {
    let ends = [0, workload.interfaces - 1];
    let clients: Vec<Host> = ends.iter().map(|end| client(&stage.segments[*end])).collect();
    let asked = asked(&clients, ends, workload);
    let nodes = [&stage.active, &stage.standby];
    let _responders: Vec<Responders> =
        asked.iter().map(|(_, router)| Responders::start(&nodes, router.address())).collect();
    let meters: Vec<Meter> =
        asked.iter().map(|(client, router)| Meter::start(client, router.address())).collect();
    within(BOUND, "the clients are answered", || {
        meters.iter().all(|meter| meter.steadily_served_by(ACTIVE, CALM))
    });

    let [old, new] = nodes.map(Monitor::start);
    let start = Instant::now();
    active.ask_to_stop();
    while held(&stage.standby) < workload.routers {
        if start.elapsed() > LIMIT {
            let count = held(&stage.standby);
            return Err(format!("{count} addresses have moved after {LIMIT:?}"));
        }
        sleep(Duration::from_millis(50));
    }
    within(BOUND, "the stopped node has no address", || held(&stage.active) == 0);
    sleep(CALM);
    let end = Instant::now();
    within(BOUND, "the other node answers", || {
        meters.iter().all(|meter| meter.steadily_served_by(STANDBY, CALM))
    });
    Capture::catch_up();

    let (gone, there) = (old.changes(RTM_DELADDR), new.changes(RTM_NEWADDR));
    let mut moved = Moved {
        took: Duration::ZERO,
        nobody: Duration::ZERO,
        unanswered: meters.iter().map(|meter| meter.longest_gap(start)).max().unwrap_or_default(),
        distance: Rhythm::of(&capture.since(start), workload, start, end).longest,
    };
    for router in workload.all() {
        let address = router.address();
        let (Some(gone), Some(there)) = (gone.get(&address), there.get(&address)) else {
            return Err(format!("nobody saw {address} move"));
        };
        moved.took = moved.took.max(*there - start);
        moved.nobody = moved.nobody.max(running_time(*gone, *there));
    }
    Ok(moved)
}

/// A host that only asks.
fn client(segment: &Segment) -> Host {
    let host = segment.host(CLIENT);
    host.run("ip route add 10.128.0.0/9 dev eth0");
    host
}

/// The first and the last router of each client's segment.
fn asked(
    clients: &[Host],
    segments: [usize; 2],
    workload: Workload,
) -> Vec<(&Host, VirtualRouter)> {
    let mut asked = Vec::new();
    for (client, segment) in clients.iter().zip(segments) {
        let routers = [workload.on(segment).next(), workload.on(segment).last()];
        asked.extend(routers.into_iter().flatten().map(|router| (client, router)));
    }
    asked
}

/// A change of an address: its kind, and when it was told.
struct Change {
    kind: u16,
    address: Ipv4Addr,
    at: Instant,
}

/// Listens to the kernel's messages about the addresses of a host.
pub(crate) struct Monitor {
    changes: Arc<Mutex<Vec<Change>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    /// Listens from now on.
    pub(crate) fn start(host: &Host) -> Self {
        let socket = host.inside(socket);
        let changes = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (changes, over) = (Arc::clone(&changes), Arc::clone(&over));
            move || listen(&socket, &over, &changes)
        });
        Self { changes, over, thread: Some(thread) }
    }

    /// The first change of this kind of each address, and its time. A renewal of an address that is
    /// there looks like an addition.
    pub(crate) fn changes(&self, kind: u16) -> BTreeMap<Ipv4Addr, Instant> {
        let mut first = BTreeMap::new();
        let changes = self.changes.lock().expect("the changes");
        for change in changes.iter().filter(|change| change.kind == kind) {
            first.entry(change.address).or_insert(change.at);
        }
        first
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn socket() -> Socket {
    let netlink = Domain::from(AddressFamily::Netlink as i32);
    let socket = Socket::new(netlink, Type::RAW, None).expect("a netlink socket");
    if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).is_err() {
        // Only the initial user namespace may go beyond the administrator's limit.
        socket.set_recv_buffer_size(BUFFER).expect("a buffer");
    }
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, ADDRESSES)).expect("membership in a group");
    socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
    socket
}

fn listen(mut socket: &Socket, over: &AtomicBool, changes: &Mutex<Vec<Change>>) {
    let mut message = [0; 4096];
    while !over.load(Ordering::Relaxed) {
        let Ok(length) = socket.read(&mut message) else { continue };
        let at = Instant::now();
        let change = parse(&message[..length]).filter(|(_, address)| is_virtual(*address));
        let change = change.map(|(kind, address)| Change { kind, address, at });
        changes.lock().expect("the changes").extend(change);
    }
}

/// The kind and the address of a message.
fn parse(message: &[u8]) -> Option<(u16, Ipv4Addr)> {
    let kind = u16::from_ne_bytes(*message.get(4..)?.first_chunk()?);
    let mut rest = message.get(HEADER + ADDRESS_HEADER..)?;
    loop {
        let length = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let attribute = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?);
        if attribute == IFA_LOCAL {
            let address: [u8; 4] = *rest.get(ATTRIBUTE_HEADER..)?.first_chunk()?;
            return Some((kind, address.into()));
        }
        rest = rest.get(length.max(ATTRIBUTE_HEADER).next_multiple_of(4)..)?;
    }
}
