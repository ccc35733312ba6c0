//! Every advertisement on every segment, with the kernel's time.

use std::io::IoSliceMut;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage, recvmmsg, setsockopt,
    sockopt,
};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::stage::{Stage, at_switch};

/// IPv4's Ethernet protocol number, and VRRP's IP protocol number.
const ETH_P_IP: u16 = 0x0800;
const VRRP: u32 = 112;

/// Room for what comes between two looks, many times over.
const BUFFER: usize = 64 * 1024 * 1024;

/// The pause between two looks: the kernel has the times.
const PAUSE: Duration = Duration::from_millis(50);

/// The packets that are read at once.
const AT_ONCE: usize = 256;

/// The bytes that are read of each: the IP header, and the message up to the priority.
const ROOM: usize = 32;

/// An advertisement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// The time at which the kernel got it, on the bench's clock.
    pub(crate) at: Instant,
    /// The number of the segment.
    pub(crate) segment: usize,
    /// The last byte of the sender's address.
    pub(crate) node: u8,
    /// The virtual router.
    pub(crate) id: u8,
    /// The priority.
    pub(crate) priority: u8,
}

/// Everything so far.
#[derive(Default)]
struct Log {
    seen: Vec<Seen>,
    /// By segment: the packets that the kernel had no room for.
    dropped: Vec<u32>,
}

/// A running capture.
pub(crate) struct Capture {
    log: Arc<Mutex<Log>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// Captures at the switches from now on.
    pub(crate) fn start(stage: &Stage) -> Self {
        let sockets: Vec<Socket> =
            stage.segments.iter().map(|segment| at_switch(segment, socket)).collect();
        let log = Log { seen: Vec::new(), dropped: vec![0; sockets.len()] };
        let log = Arc::new(Mutex::new(log));
        let over = Arc::new(AtomicBool::new(false));
        let clock = Clock::read();
        let thread = thread::spawn({
            let (log, over) = (Arc::clone(&log), Arc::clone(&over));
            move || {
                while !over.load(Ordering::Relaxed) {
                    thread::sleep(PAUSE);
                    for (segment, socket) in sockets.iter().enumerate() {
                        drain(socket, segment, clock, &log);
                    }
                }
            }
        });
        Self { log, over, thread: Some(thread) }
    }

    /// All that was read by now and came after `from`; on each segment in the order of time.
    pub(crate) fn since(&self, from: Instant) -> Vec<Seen> {
        let log = self.log.lock().expect("the log");
        log.seen.iter().filter(|seen| seen.at >= from).copied().collect()
    }

    /// The number of packets that were lost to the capture.
    pub(crate) fn dropped(&self) -> u32 {
        self.log.lock().expect("the log").dropped.iter().sum()
    }

    /// Waits until all that has come by now is read.
    pub(crate) fn catch_up() {
        thread::sleep(PAUSE * 4);
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One moment on both clocks.
#[derive(Clone, Copy)]
struct Clock {
    now: Instant,
    wall: SystemTime,
}

impl Clock {
    fn read() -> Self {
        Self { now: Instant::now(), wall: SystemTime::now() }
    }

    fn instant(self, stamp: TimeSpec) -> Instant {
        let stamp = SystemTime::UNIX_EPOCH + Duration::from(stamp);
        match stamp.duration_since(self.wall) {
            Ok(later) => self.now + later,
            Err(earlier) => self.now.checked_sub(earlier.duration()).unwrap_or(self.now),
        }
    }
}

/// Takes the VRRP packets of the bridge, without the Ethernet header. Byte 9 of an IP packet is its
/// protocol (`bpf(4)` on the instructions).
fn socket() -> Socket {
    let program = [
        SockFilter::new(0x30, 0, 0, 9),
        SockFilter::new(0x15, 0, 1, VRRP),
        SockFilter::new(0x06, 0, 0, u32::MAX),
        SockFilter::new(0x06, 0, 0, 0),
    ];
    let ip = Protocol::from(i32::from(ETH_P_IP.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(ip)).expect("a packet socket");
    socket.attach_filter(&program).expect("a filter");
    if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).is_err() {
        // Only the initial user namespace may go beyond the administrator's limit.
        socket.set_recv_buffer_size(BUFFER).expect("a buffer");
    }
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true).expect("time stamps");
    setsockopt(&socket, sockopt::RxqOvfl, &1).expect("a count of what is lost");
    socket
}

/// Reads what has come. The headers are new each time: the kernel shortens them to what it wrote.
fn drain(socket: &Socket, segment: usize, clock: Clock, log: &Mutex<Log>) {
    let mut room = vec![[0; ROOM]; AT_ONCE];
    loop {
        let ancillary = nix::cmsg_space!(TimeSpec, u32);
        let mut headers = MultiHeaders::preallocate(AT_ONCE, Some(ancillary));
        let mut slices: Vec<_> = room.iter_mut().map(|bytes| [IoSliceMut::new(bytes)]).collect();
        let (socket, flags) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        let Ok(packets) = recvmmsg(socket, &mut headers, &mut slices, flags, None) else { return };
        let mut log = log.lock().expect("the log");
        let mut count = 0;
        for packet in packets {
            count += 1;
            note(&packet, segment, clock, &mut log);
        }
        if count < AT_ONCE {
            return;
        }
    }
}

fn note(packet: &RecvMsg<'_, '_, SockaddrStorage>, segment: usize, clock: Clock, log: &mut Log) {
    let mut at = None;
    for one in packet.cmsgs().into_iter().flatten() {
        match one {
            ControlMessageOwned::ScmTimestampns(stamp) => at = Some(clock.instant(stamp)),
            ControlMessageOwned::RxqOvfl(count) => log.dropped[segment] = count,
            _ => {}
        }
    }
    let Some(bytes) = packet.iovs().next() else { return };
    let header = bytes.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
    if let (Some(at), Some(&node), Some(&[_, id, priority])) =
        (at, bytes.get(15), bytes.get(header..).and_then(<[u8]>::first_chunk))
    {
        log.seen.push(Seen { at, segment, node, id, priority });
    }
}
