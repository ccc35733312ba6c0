//! The thread that reads what the kernels of the hosts tell, and what is heard at the switches.
//!
//! The kernel puts no time on these messages. So the thread runs before those of the agents, and
//! reads each message within microseconds of its writing, unless the whole machine stands still.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::{AddressFamily as Family, RouteNetlinkMessage};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{AddressFamily, NetlinkAddr, bind, setsockopt, sockopt};
use nix::unistd::gettid;
use socket2::{Domain, Socket, Type};

use super::book::{Book, Place};
use super::wire::Wire;

/// The kernel's messages about links and addresses (`RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR`,
/// `RTMGRP_IPV6_IFADDR`, `rtnetlink(7)`).
const GROUPS: u32 = 0x1 | 0x10 | 0x100;

/// Room for what comes while the machine does not run the thread: a thousand addresses at once.
const BUFFER: usize = 16 * 1024 * 1024;

/// The kernel's datagrams are no longer.
const DATAGRAM: usize = 32 * 1024;

/// A lifetime that never ends (`ifa_cacheinfo`).
const FOREVER: u32 = u32::MAX;

/// The thread goes before those of the agents.
const FIRST: &str = "49";

/// A message is read within this time.
const READ: Duration = Duration::from_millis(20);

/// The socket of a source.
pub(super) enum Ear {
    /// The messages of a host's kernel.
    Kernel { socket: Socket, host: usize },
    /// The frames at a switch.
    Wire(Wire),
}

/// A socket and the case that it is of.
struct Heard {
    ear: Ear,
    book: Arc<Mutex<Book>>,
}

/// The thread's sockets by their numbers.
struct Watch {
    epoll: Epoll,
    sources: Mutex<BTreeMap<u64, Arc<Heard>>>,
}

/// A socket that the thread reads until this is dropped.
pub(super) struct Source(u64);

impl Drop for Source {
    fn drop(&mut self) {
        let watch = thread_of_all();
        let mut sources = watch.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(heard) = sources.remove(&self.0) else { return };
        let _ = match &heard.ear {
            Ear::Kernel { socket, .. } => watch.epoll.delete(socket.as_fd()),
            Ear::Wire(wire) => watch.epoll.delete(wire.socket().as_fd()),
        };
        drop(sources);
        if let Ear::Kernel { host, .. } = heard.ear {
            heard.read();
            heard.write(|book| book.host_ends(host, Instant::now()));
        }
    }
}

/// Watches the namespace that this thread is in, which is that of a host.
pub(super) fn watch(book: &Arc<Mutex<Book>>, host: usize) -> Source {
    let netlink = Domain::from(AddressFamily::Netlink as i32);
    let socket = Socket::new(netlink, Type::RAW, None).expect("a netlink socket");
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS)).expect("membership in groups");
    enlarge(&socket);
    add(book, Ear::Kernel { socket, host })
}

/// Only the initial user namespace may go beyond the administrator's limit.
pub(super) fn enlarge(socket: &Socket) {
    if setsockopt(socket, sockopt::RcvBufForce, &BUFFER).is_err() {
        socket.set_recv_buffer_size(BUFFER).expect("a buffer");
    }
    socket.set_nonblocking(true).expect("a socket that does not wait");
}

pub(super) fn add(book: &Arc<Mutex<Book>>, ear: Ear) -> Source {
    let watch = thread_of_all();
    let heard = Arc::new(Heard { ear, book: Arc::clone(book) });
    let mut sources = watch.sources.lock().unwrap_or_else(PoisonError::into_inner);
    let number = sources.last_key_value().map_or(0, |(last, _)| last + 1);
    sources.insert(number, Arc::clone(&heard));
    let event = EpollEvent::new(EpollFlags::EPOLLIN, number);
    match &heard.ear {
        Ear::Kernel { socket, .. } => watch.epoll.add(socket.as_fd(), event),
        Ear::Wire(wire) => watch.epoll.add(wire.socket().as_fd(), event),
    }
    .expect("one more socket to wait for");
    Source(number)
}

/// Waits until the thread has read what was told before.
pub(super) fn catch_up() {
    sleep(READ);
}

fn thread_of_all() -> &'static Watch {
    static WATCH: OnceLock<Watch> = OnceLock::new();
    static START: std::sync::Once = std::sync::Once::new();
    let watch = WATCH.get_or_init(|| Watch {
        epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("an epoll"),
        sources: Mutex::new(BTreeMap::new()),
    });
    START.call_once(|| {
        thread::spawn(move || {
            let mut command = Command::new("chrt");
            command.args(["--rr", "--pid", FIRST, &gettid().to_string()]);
            let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
            watch.read();
        });
    });
    watch
}

impl Watch {
    fn read(&self) {
        let mut events = [EpollEvent::empty(); 64];
        loop {
            let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(why) => panic!("epoll: {why}"),
            };
            for event in &events[..count] {
                let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
                let heard = sources.get(&event.data()).cloned();
                drop(sources);
                if let Some(heard) = heard {
                    heard.read();
                }
            }
        }
    }
}

impl Heard {
    fn write(&self, write: impl FnOnce(&mut Book)) {
        write(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Reads all that is there.
    fn read(&self) {
        match &self.ear {
            Ear::Kernel { socket, host } => self.read_kernel(socket, *host),
            Ear::Wire(wire) => wire.read(|at, port, address| {
                self.write(|book| book.answered(at, wire.switch(), port, address));
            }),
        }
    }

    fn read_kernel(&self, mut socket: &Socket, host: usize) {
        let mut buffer = vec![0; DATAGRAM];
        loop {
            match socket.read(&mut buffer) {
                Ok(length) => {
                    let at = Instant::now();
                    self.write(|book| take(book, host, at, &buffer[..length]));
                }
                Err(why) if why.raw_os_error() == Some(Errno::ENOBUFS as i32) => {
                    self.write(|book| book.lost = true);
                }
                Err(_) => return,
            }
        }
    }
}

/// Notes the messages of one datagram.
fn take(book: &mut Book, host: usize, at: Instant, mut bytes: &[u8]) {
    while let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes) {
        if let NetlinkPayload::InnerMessage(message) = message.payload {
            note(book, host, at, &message);
        }
        let length = (message.header.length as usize).next_multiple_of(4);
        let Some(rest) = bytes.get(length..) else { return };
        bytes = rest;
    }
}

fn note(book: &mut Book, host: usize, at: Instant, message: &RouteNetlinkMessage) {
    // The case may have been judged already.
    let Some(station) = book.hosts.get_mut(host) else { return };
    match message {
        RouteNetlinkMessage::NewLink(link) => {
            station.link(at, link.header.index, (&name(link), below(link), runs(link)));
        }
        RouteNetlinkMessage::DelLink(link) => station.link_gone(at, link.header.index),
        RouteNetlinkMessage::NewAddress(address) => {
            let Some(place) = place(address) else { return };
            if is_usable(address) {
                station.address([begun(address, at), at], place, lifetime(address));
            } else {
                station.address_gone(at, place);
            }
        }
        RouteNetlinkMessage::DelAddress(address) => {
            if let Some(place) = place(address) {
                station.address_gone(at, place);
            }
        }
        _ => {}
    }
}

fn name(link: &LinkMessage) -> String {
    let mut attributes = link.attributes.iter();
    let found = attributes.find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    });
    found.unwrap_or_default()
}

/// A cable's other end has a number in another namespace: only a device of the same one is below.
fn below(link: &LinkMessage) -> Option<u32> {
    let is_elsewhere = |one: &LinkAttribute| matches!(one, LinkAttribute::LinkNetNsId(_));
    if link.attributes.iter().any(is_elsewhere) {
        return None;
    }
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Link(number) => Some(*number),
        _ => None,
    })
}

fn runs(link: &LinkMessage) -> bool {
    link.header.flags.contains(LinkFlags::Up | LinkFlags::Running)
}

/// The address itself: of a pair the one at this end.
fn place(message: &AddressMessage) -> Option<Place> {
    let mut local = None;
    let mut far: Option<IpAddr> = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => far = Some(*address),
            _ => {}
        }
    }
    let (interface, prefix) = (message.header.index, message.header.prefix_len);
    local.or(far).map(|address| Place { interface, address, prefix })
}

/// A tentative address does not answer yet, and a duplicate never will.
fn is_usable(message: &AddressMessage) -> bool {
    let flags = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Flags(flags) => Some(*flags),
        _ => None,
    });
    let flags = flags.unwrap_or(AddressFlags::empty());
    !flags.contains(AddressFlags::Dadfailed)
        && (!flags.contains(AddressFlags::Tentative) || flags.contains(AddressFlags::Optimistic))
}

/// When an address was made, told at `at`. Of IPv6 the kernel tells when a work of its own has
/// run, which waits for the lock of all interfaces of the machine; the address answers before. The
/// message has the time in hundredths of a second on a clock of the kernel's (`ifa_cacheinfo`),
/// and the message that came with the least delay so far says how that clock stands to ours.
fn begun(message: &AddressMessage, at: Instant) -> Instant {
    static BASE: OnceLock<Instant> = OnceLock::new();
    static OFFSET: Mutex<Option<Duration>> = Mutex::new(None);
    /// Ours is ahead of the kernel's by this, so that no difference is negative.
    const AHEAD: Duration = Duration::from_secs(1 << 30);
    let made = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::CacheInfo(info) => Some(Duration::from_millis(10) * info.cstamp),
        _ => None,
    });
    let Some(made) = made else { return at };
    let base = *BASE.get_or_init(|| at);
    let seen = AHEAD + at.saturating_duration_since(base);
    let difference = seen.saturating_sub(made);
    let mut offset = OFFSET.lock().unwrap_or_else(PoisonError::into_inner);
    let least = offset.map_or(difference, |least| least.min(difference));
    *offset = Some(least);
    let late = difference.saturating_sub(least);
    if message.header.family == Family::Inet6 { at.checked_sub(late).unwrap_or(at) } else { at }
}

fn lifetime(message: &AddressMessage) -> Option<Duration> {
    message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::CacheInfo(info) if info.ifa_valid != FOREVER => {
            Some(Duration::from_secs(info.ifa_valid.into()))
        }
        _ => None,
    })
}
