//! A wire tap: every frame that a host's interfaces see, kept in memory.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};
use std::{fs, io};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::Host;
use super::stamped::{self, Received};

/// Every protocol (`packet(7)`).
const ETH_P_ALL: u16 = 0x0003;

/// The length of an Ethernet header, and of an IPv6 one.
const ETHERNET: usize = 14;
const IPV6: usize = 40;

/// VRRP's IP protocol number.
const VRRP: u8 = 112;

/// Room for what comes while real-time threads keep the tap from reading: the announcements of
/// hundreds of addresses.
const BUFFER: usize = 16 * 1024 * 1024;

/// A frame and when the kernel got it.
#[derive(Clone)]
pub(crate) struct Frame {
    /// On the clock of the test.
    pub(crate) at: Instant,
    /// On the wall clock, for the pcap file.
    wall: SystemTime,
    /// From the destination's Ethernet address on.
    pub(crate) bytes: Vec<u8>,
}

/// What the tests ask of a VRRP advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Advertisement {
    /// When it was seen.
    pub(crate) at: Instant,
    /// Who sent it.
    pub(crate) source: IpAddr,
    /// The virtual router.
    pub(crate) virtual_router_id: u8,
    /// The priority.
    pub(crate) priority: u8,
}

impl Advertisement {
    fn of(frame: &Frame) -> Option<Self> {
        let packet = frame.bytes.get(ETHERNET..)?;
        let (protocol, header, source): (u8, usize, IpAddr) = match frame.bytes.get(12..ETHERNET)? {
            [0x08, 0x00] => {
                let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
                (*packet.get(9)?, usize::from(packet.first()? & 0x0f) * 4, source.into())
            }
            [0x86, 0xdd] => {
                let source: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
                (*packet.get(6)?, IPV6, source.into())
            }
            _ => return None,
        };
        let &[_, virtual_router_id, priority, _] = packet.get(header..)?.first_chunk()?;
        (protocol == VRRP).then_some(Self { at: frame.at, source, virtual_router_id, priority })
    }
}

/// Puts before a filter that what comes from this Ethernet address is not taken.
fn without_source(source: [u8; 6], rest: [SockFilter; 9]) -> Vec<SockFilter> {
    const LOAD_WORD: u16 = 0x20;
    const LOAD_HALF_WORD: u16 = 0x28;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let [head @ .., fifth, sixth] = source;
    let (first, last) = (u32::from_be_bytes(head), u32::from(u16::from_be_bytes([fifth, sixth])));
    let mut program = vec![
        SockFilter::new(LOAD_WORD, 0, 0, 6),
        SockFilter::new(JUMP_IF_EQUAL, 0, 3, first),
        SockFilter::new(LOAD_HALF_WORD, 0, 0, 10),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, last),
        SockFilter::new(RETURN, 0, 0, 0),
    ];
    program.extend(rest);
    program
}

/// Takes all frames but UDP: the client's datagrams come in bursts that the socket's
/// buffer is too small for, and then others would be lost (`bpf(4)` on the instructions).
fn without_udp() -> [SockFilter; 9] {
    const LOAD_HALF_WORD: u16 = 0x28;
    const LOAD_BYTE: u16 = 0x30;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let at = |code, offset| SockFilter::new(code, 0, 0, offset);
    [
        at(LOAD_HALF_WORD, 12),
        SockFilter::new(JUMP_IF_EQUAL, 0, 2, 0x0800),
        at(LOAD_BYTE, 23),
        SockFilter::new(JUMP_IF_EQUAL, 4, 3, 17),
        SockFilter::new(JUMP_IF_EQUAL, 0, 2, 0x86dd),
        at(LOAD_BYTE, 20),
        SockFilter::new(JUMP_IF_EQUAL, 1, 0, 17),
        at(RETURN, u32::MAX),
        at(RETURN, 0),
    ]
}

/// A running tap.
pub(crate) struct Tap {
    frames: Arc<Mutex<Vec<Frame>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    directory: PathBuf,
}

impl Tap {
    /// Keeps what `host` sees from now on: on a bridge's port that is every broadcast and
    /// multicast frame of the segment.
    pub(crate) fn start(host: &Host) -> Self {
        Self::with(host, &without_udp())
    }

    /// The same but for what comes from one Ethernet address: a flood would fill the socket's buffer, and
    /// then others' frames were lost.
    pub(crate) fn without_flood(host: &Host, source: [u8; 6]) -> Self {
        Self::with(host, &without_source(source, without_udp()))
    }

    fn with(host: &Host, filter: &[SockFilter]) -> Self {
        let all = Protocol::from(i32::from(ETH_P_ALL.to_be()));
        let socket = host.inside(|| Socket::new(Domain::PACKET, Type::RAW, Some(all)));
        let socket = socket.expect("a packet socket");
        socket.attach_filter(filter).expect("a filter");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).is_err() {
            // Only the initial user namespace may go beyond the administrator's limit.
            socket.set_recv_buffer_size(BUFFER).expect("a buffer");
        }
        stamped::stamp(&socket);
        let frames = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (frames, over) = (Arc::clone(&frames), Arc::clone(&over));
            move || listen(&socket, &over, &frames)
        });
        Self { frames, over, thread: Some(thread), directory: host.directory().to_owned() }
    }

    /// What it has seen so far.
    pub(crate) fn frames(&self) -> Vec<Frame> {
        self.frames.lock().expect("the frames").clone()
    }

    /// The advertisements among it.
    pub(crate) fn advertisements(&self) -> Vec<Advertisement> {
        self.frames().iter().filter_map(Advertisement::of).collect()
    }

    /// Who has advertised this virtual router with a priority above zero since `from`.
    pub(crate) fn advertisers(&self, virtual_router_id: u8, from: Instant) -> Vec<IpAddr> {
        let mut sources: Vec<IpAddr> = self
            .advertisements()
            .iter()
            .filter(|seen| seen.at >= from && seen.priority > 0)
            .filter(|seen| seen.virtual_router_id == virtual_router_id)
            .map(|seen| seen.source)
            .collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    }

    /// Writes what it has seen so far as a pcap file.
    pub(crate) fn save(&self) -> PathBuf {
        let path = self.directory.join("tap.pcap");
        write_pcap(&path, &self.frames()).expect("a pcap file");
        path
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(socket: &Socket, over: &AtomicBool, frames: &Mutex<Vec<Frame>>) {
    let mut buffer = [0; 2048];
    while !over.load(Ordering::Relaxed) {
        if let Ok(Received { length, at, wall, .. }) = stamped::receive(socket, &mut buffer) {
            let frame = Frame { at, wall, bytes: buffer[..length].to_vec() };
            frames.lock().expect("the frames").push(frame);
        }
    }
}

/// The classic format with microseconds (`pcap-savefile(5)`).
fn write_pcap(path: &Path, frames: &[Frame]) -> io::Result<()> {
    const MAGIC: u32 = 0xa1b2_c3d4;
    const ETHERNET_LINK: u32 = 1;
    let mut file = Vec::new();
    let header = [MAGIC, 0x0004_0002, 0, 0, 65_535, ETHERNET_LINK];
    file.extend(header.iter().flat_map(|word| word.to_le_bytes()));
    for frame in frames {
        let time = frame.wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let length = u32::try_from(frame.bytes.len()).unwrap_or(u32::MAX);
        let header = [seconds, time.subsec_micros(), length, length];
        file.extend(header.iter().flat_map(|word| word.to_le_bytes()));
        file.extend(&frame.bytes);
    }
    fs::write(path, file)
}
