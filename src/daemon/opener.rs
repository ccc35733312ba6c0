//! Opens, joins and closes sockets beside the protocol loop, because each of these can block. Other
//! programs may hold the kernel's network lock (RTNL) for long. A close waits until no processor
//! looks at the socket any more (RCU), some 14 ms for each socket.
//!
//! Orders are carried out one after another. While an order replaces a socket of the same kind, the
//! loop keeps the old one open: the new socket is there before the old one goes.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, Sender as Feed, channel};
use std::thread;

use nix::errno::Errno;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::conflicts::ConflictSocket;
use super::realtime::{self, Thread};
use super::socket::{Sender, VrrpSocket};
use super::socket_options::Membership;
use crate::model::{Family, InterfaceName, Mac, Vrid};
use crate::vrrp::packet::multicast_group;

/// A socket's interface and family.
pub(crate) type Place = (InterfaceName, Family);

/// The groups that could not be joined.
pub(crate) type Missing = Vec<(IpAddr, io::Error)>;

/// Something to open or to close. The answer carries the order's number.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) number: u64,
    pub(crate) place: Place,
    pub(crate) what: What,
}

/// The work of an order.
#[derive(Debug)]
pub(crate) enum What {
    /// Open a VRRP socket for these virtual routers, unless `routers` is `None`. Be a member of
    /// VRRP's own group and of these groups, and of no others.
    Listen { index: u32, routers: Option<Vec<Vrid>>, groups: Vec<IpAddr> },
    /// Leave all groups.
    Leave,
    /// Open a socket that sends through the device of this index.
    Send { index: u32 },
    /// Open a socket that hears who says to have these addresses.
    Watch { index: u32, own: Option<Mac>, addresses: Vec<IpAddr> },
    /// Close this socket. There is no answer.
    Close(Closing),
}

/// A socket that is not needed any more.
#[derive(Debug)]
#[expect(dead_code, reason = "they are only dropped")]
pub(crate) enum Closing {
    Vrrp(VrrpSocket),
    Sender(Sender),
    Conflicts(ConflictSocket),
}

/// The answer to an order.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) number: u64,
    pub(crate) place: Place,
    pub(crate) outcome: Outcome,
}

/// The result, by the kind of order.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The new socket, if one was asked for, and the groups that could not be joined.
    Listening(io::Result<(Option<VrrpSocket>, Missing)>),
    Sender(io::Result<Sender>),
    Watching(io::Result<ConflictSocket>),
}

/// The protocol loop's end of the thread.
#[derive(Debug)]
pub(crate) struct Opener {
    orders: Feed<Order>,
    pub(crate) opened: UnboundedReceiver<Opened>,
    last: u64,
}

impl Opener {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn start() -> io::Result<Self> {
        let (orders, incoming) = channel();
        let (outgoing, opened) = unbounded_channel();
        let (ready, scheduled) = channel();
        thread::Builder::new().name("sockets".to_owned()).spawn(move || {
            // If this is refused, the protocol thread is refused too, and reports it.
            let _ = realtime::schedule(Thread::Netlink);
            // The start may have been given up meanwhile.
            let _ = ready.send(());
            work(&incoming, &outgoing);
        })?;
        // The daemon gives up the right to real-time scheduling next.
        scheduled.recv().map_err(|_| Errno::ECONNABORTED)?;
        Ok(Self { orders, opened, last: 0 })
    }

    /// Has something opened. Returns the number of the answer.
    ///
    /// # Errors
    /// When the thread has ended: there will be no answer.
    pub(crate) fn open(&mut self, place: Place, what: What) -> io::Result<u64> {
        self.last += 1;
        let number = self.last;
        let order = Order { number, place, what };
        self.orders.send(order).map_err(|_| Errno::ECONNABORTED)?;
        Ok(number)
    }

    /// Has a socket closed by the thread. If the thread has ended, the socket is closed here.
    pub(crate) fn close(&mut self, place: Place, socket: Closing) {
        let _ = self.open(place, What::Close(socket));
    }
}

/// The groups of a place. Each group is joined by a separate socket. No limit for a single socket
/// (`net.ipv4.igmp_max_memberships`, `net.core.optmem_max`) then keeps a group from being joined,
/// and no membership ends because another group comes or goes.
#[derive(Debug, Default)]
struct Joined {
    index: u32,
    groups: BTreeMap<IpAddr, Membership>,
}

fn work(incoming: &Receiver<Order>, outgoing: &UnboundedSender<Opened>) {
    let mut joined: BTreeMap<Place, Joined> = BTreeMap::new();
    while let Ok(Order { number, place, what }) = incoming.recv() {
        let outcome = match what {
            What::Listen { index, routers, groups } => {
                let of_place = joined.entry(place.clone()).or_default();
                Outcome::Listening(listen(place.1, index, routers.as_deref(), &groups, of_place))
            }
            What::Leave => {
                joined.remove(&place);
                continue;
            }
            What::Send { index } => Outcome::Sender(Sender::open(place.1, index)),
            What::Watch { index, own, addresses } => {
                Outcome::Watching(ConflictSocket::open(place.1, index, own, &addresses))
            }
            What::Close(socket) => {
                drop(socket);
                continue;
            }
        };
        if outgoing.send(Opened { number, place, outcome }).is_err() {
            return;
        }
    }
}

fn listen(
    family: Family,
    index: u32,
    routers: Option<&[Vrid]>,
    groups: &[IpAddr],
    joined: &mut Joined,
) -> io::Result<(Option<VrrpSocket>, Missing)> {
    let socket = routers.map(|routers| VrrpSocket::open(family, index, routers)).transpose()?;
    if joined.index != index {
        // The kernel has forgotten the groups of an interface that is gone.
        *joined = Joined { index, groups: BTreeMap::new() };
    }
    let own = multicast_group(family);
    let mut missing = Vec::new();
    for group in [&own].into_iter().chain(groups) {
        if joined.groups.contains_key(group) {
            continue;
        }
        match Membership::join(index, *group) {
            Ok(membership) => drop(joined.groups.insert(*group, membership)),
            Err(error) => missing.push((*group, error)),
        }
    }
    joined.groups.retain(|group, _| *group == own || groups.contains(group));
    Ok((socket, missing))
}
