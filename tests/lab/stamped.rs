//! Receives with the kernel's time stamps: on a busy machine the reading thread runs later than the
//! datagram came.

use std::io::{self, IoSliceMut};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;

/// Two clocks that are read within this time are read at one moment.
const AT_ONCE: Duration = Duration::from_micros(100);

/// The number of attempts to read both clocks at one moment.
const ATTEMPTS: usize = 4;

/// A datagram or frame, and its origin.
pub(super) struct Received {
    /// The number of bytes.
    pub(super) length: usize,
    /// The source address, if it was an IP socket.
    pub(super) from: Option<IpAddr>,
    /// The time at which the kernel got it, on the test's clock.
    pub(super) at: Instant,
    /// The same time on the wall clock.
    pub(super) wall: SystemTime,
}

/// Has the kernel note the time of everything that this socket receives.
pub(super) fn stamp(socket: &impl AsFd) {
    // User Mode Linux stamps by another clock, which falls behind.
    if super::kernel::is_inside() {
        return;
    }
    setsockopt(socket, sockopt::ReceiveTimestampns, &true).expect("time stamps");
}

/// Receives from a socket that [`stamp`] was called for.
pub(super) fn receive(socket: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<Received> {
    let mut ancillary = nix::cmsg_space!(TimeSpec);
    let mut slices = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::empty();
    let message =
        recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(&mut ancillary), flags)?;
    let stamp = message.cmsgs()?.find_map(|one| match one {
        ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
        _ => None,
    });
    let address = message.address.as_ref();
    let from = address.and_then(|from| {
        let four = from.as_sockaddr_in().map(|from| from.ip().into());
        four.or_else(|| from.as_sockaddr_in6().map(|from| from.ip().into()))
    });
    let (now, wall_now) = both_clocks();
    let wall = stamp.map_or(wall_now, |stamp| SystemTime::UNIX_EPOCH + stamp);
    let ago = wall_now.duration_since(wall).unwrap_or_default();
    let at = now.checked_sub(ago).unwrap_or(now);
    Ok(Received { length: message.bytes, from, at, wall })
}

/// Reads both clocks at one moment, even if the machine stops this thread between the two readings:
/// takes the closest pair of a few. If reading a clock takes long (User Mode Linux), no pair is
/// close.
fn both_clocks() -> (Instant, SystemTime) {
    let read = || {
        let (before, wall) = (Instant::now(), SystemTime::now());
        (before.elapsed(), before, wall)
    };
    let mut best = read();
    for _ in 1..ATTEMPTS {
        if best.0 < AT_ONCE {
            break;
        }
        best = best.min(read());
    }
    (best.1, best.2)
}
