//! Hearing who else says to have an address: packet sockets that let in nothing but that.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{MsgFlags, recv};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::filter;
use super::socket::link_layer_address;
use crate::model::{Family, Mac};

/// How many frames are read at once: under a flood of them, which anyone on the segment can make,
/// VRRP packets and deadlines have their turn in between.
const AT_ONCE: usize = 16;

/// The longest frame that is read whole, in bytes: an ARP packet for IPv4 has 42, its padding
/// goes up to 60; a neighbour advertisement has 86, and more with options that nobody has thought
/// of yet.
const LONGEST: usize = 1_514;

/// Hears one interface's packets that say who has an address.
#[derive(Debug)]
pub(crate) struct ConflictSocket {
    socket: Socket,
    family: Family,
}

impl ConflictSocket {
    /// Hears the packets of this family on the interface of this index that are about one of
    /// `addresses` and do not come from `own`, the interface's Ethernet address: ARP packets, or
    /// neighbour advertisements, the unsolicited ones, which go to all nodes, and the solicited
    /// ones that come this way.
    ///
    /// # Errors
    /// What the kernel says, for example that there is no such interface (`ENODEV`).
    pub(crate) fn open(
        family: Family,
        index: u32,
        own: Option<Mac>,
        addresses: &[IpAddr],
    ) -> io::Result<Self> {
        // Protocol 0: nothing matches (packet(7)), so nothing comes before the filter is there.
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
        socket.set_nonblocking(true)?;
        socket.attach_filter(&filter(family, own, addresses))?;
        // A socket for one protocol does not see the frames that this machine sends.
        let protocol = match family {
            Family::V4 => libc::ETH_P_ARP,
            Family::V6 => libc::ETH_P_IPV6,
        };
        let protocol = u16::try_from(protocol).map_err(|_| Errno::EPROTONOSUPPORT)?;
        socket.bind(&link_layer_address(index, protocol))?;
        Ok(Self { socket, family })
    }

    /// From now on hears who says to have one of these addresses instead of those before. What is
    /// said of the old ones that have arrived already still come: the engine knows which it holds.
    ///
    /// # Errors
    /// What the kernel says; then it hears the same as before.
    pub(crate) fn hear(&self, own: Option<Mac>, addresses: &[IpAddr]) -> io::Result<()> {
        self.socket.attach_filter(&filter(self.family, own, addresses))
    }

    /// Reads some of the frames that wait, from the destination's address on. Says if these were
    /// all.
    ///
    /// # Errors
    /// What the kernel says; the frames that were read before are in `frames`. That the interface
    /// is down is none: it is heard again once it is up.
    pub(crate) fn read(&self, frames: &mut Vec<Vec<u8>>) -> io::Result<bool> {
        let mut buffer = [0; LONGEST];
        for _ in 0..AT_ONCE {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => frames.push(buffer.get(..length).unwrap_or_default().to_vec()),
                Err(Errno::EAGAIN) => return Ok(true),
                Err(Errno::EINTR | Errno::ENETDOWN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }
}

impl AsFd for ConflictSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn filter(family: Family, own: Option<Mac>, addresses: &[IpAddr]) -> Vec<SockFilter> {
    match family {
        Family::V4 => {
            let v4 = addresses.iter().filter_map(|address| match address {
                IpAddr::V4(address) => Some(*address),
                IpAddr::V6(_) => None,
            });
            filter::arp(own, &v4.collect::<Vec<_>>())
        }
        Family::V6 => {
            let v6 = addresses.iter().filter_map(|address| match address {
                IpAddr::V4(_) => None,
                IpAddr::V6(address) => Some(*address),
            });
            filter::neighbour_advertisements(own, &v6.collect::<Vec<_>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::process::Command;

    use super::*;
    use crate::daemon::socket::{Frame, FrameSocket};
    use crate::daemon::sockets::Sockets;
    use crate::engine::Input;
    use crate::model::InterfaceName;
    use crate::time::Now;
    use crate::vrrp::frame::{ArpForm, gratuitous_arp, unsolicited_neighbour_advertisement};

    /// Set where a test has been started again, in a network namespace of its own.
    const INSIDE: &str = "VIPD_TEST_NAMESPACE";
    const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
    const OTHER: Mac = Mac([2, 0, 0, 0, 0, 2]);

    /// Starts the test of this name again in a network namespace (and a user namespace, where it
    /// takes no root), unless this is there already.
    fn inside_a_namespace(test: &str) -> bool {
        if env::var_os(INSIDE).is_some() {
            return true;
        }
        let mut again = Command::new("unshare");
        again.args(["--user", "--map-root-user", "--net"]).arg(env::current_exe().unwrap());
        let output = again.args(["--exact", test]).env(INSIDE, "yes").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
        false
    }

    fn ip(command: &str) {
        let status = Command::new("ip").args(command.split(' ')).status().unwrap();
        assert!(status.success(), "ip {command}");
    }

    fn arp(index: u32, own: Option<Mac>, address: Ipv4Addr) -> io::Result<ConflictSocket> {
        ConflictSocket::open(Family::V4, index, own, &[address.into()])
    }

    /// Both ends of a cable in this namespace.
    fn cable() -> (u32, u32) {
        ip("link add here address 02:00:00:00:00:01 type veth peer name there");
        ip("link set here up");
        ip("link set there up");
        let index = |name| nix::net::if_::if_nametoindex(name).unwrap();
        let (here, there) = (index("here"), index("there"));
        // What is sent before the kernel has noticed the carrier is lost.
        let probe = gratuitous_arp(OTHER, Ipv4Addr::LOCALHOST, ArpForm::Reply);
        let socket = arp(here, None, Ipv4Addr::LOCALHOST).unwrap();
        let frames = FrameSocket::open().unwrap();
        assert!(!heard_at_last(&socket, || frames.send(there, &probe).unwrap()).is_empty());
        (here, there)
    }

    fn in_a_runtime(test: impl FnOnce()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async { test() });
    }

    fn heard(socket: &ConflictSocket) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        socket.read(&mut frames).unwrap();
        frames
    }

    /// Sends until something is heard: a link that was just set up may carry nothing yet.
    fn heard_at_last(socket: &ConflictSocket, send: impl Fn()) -> Vec<Vec<u8>> {
        (0..500)
            .map(|_| {
                send();
                std::thread::sleep(std::time::Duration::from_millis(10));
                heard(socket)
            })
            .find(|frames| !frames.is_empty())
            .unwrap_or_default()
    }

    /// Rule: what another station says is heard as it was sent; what we send ourselves is not,
    /// from whichever Ethernet address, and neither is what others send among themselves.
    #[test]
    fn others_are_heard_and_we_are_not() {
        if !inside_a_namespace("daemon::conflicts::tests::others_are_heard_and_we_are_not") {
            return;
        }
        in_a_runtime(|| {
            let (here, there) = cable();
            let own = Mac([2, 0, 0, 0, 0, 1]);
            let socket = arp(here, Some(own), VIP).unwrap();
            let frames = FrameSocket::open().unwrap();
            let conflict = |mac, address| gratuitous_arp(mac, address, ArpForm::Request);
            frames.send(here, &conflict(own, VIP)).unwrap();
            frames.send(here, &conflict(OTHER, VIP)).unwrap();
            frames.send(there, &conflict(own, VIP)).unwrap();
            frames.send(there, &conflict(OTHER, Ipv4Addr::new(10, 0, 0, 1))).unwrap();
            assert!(heard(&socket).is_empty());
            let all = heard_at_last(&socket, || frames.send(there, &conflict(OTHER, VIP)).unwrap());
            assert!(
                !all.is_empty() && all.iter().all(|frame| *frame == conflict(OTHER, VIP)),
                "{all:?}"
            );
        });
    }

    /// Rule: over IPv6 too, what another station says is heard as it was sent, and what we send
    /// ourselves is not.
    #[test]
    fn other_neighbours_are_heard_and_we_are_not() {
        if !inside_a_namespace(
            "daemon::conflicts::tests::other_neighbours_are_heard_and_we_are_not",
        ) {
            return;
        }
        in_a_runtime(|| {
            let (here, there) = cable();
            let own = Mac([2, 0, 0, 0, 0, 1]);
            let vip: Ipv6Addr = "2001:db8::100".parse().unwrap();
            let socket = ConflictSocket::open(Family::V6, here, Some(own), &[vip.into()]).unwrap();
            let frames = FrameSocket::open().unwrap();
            let conflict = |mac| unsolicited_neighbour_advertisement(mac, vip, false);
            frames.send(here, &conflict(own)).unwrap();
            frames.send(here, &conflict(OTHER)).unwrap();
            frames.send(there, &conflict(own)).unwrap();
            assert!(heard(&socket).is_empty());
            let all = heard_at_last(&socket, || frames.send(there, &conflict(OTHER)).unwrap());
            assert!(
                !all.is_empty() && all.iter().all(|frame| *frame == conflict(OTHER)),
                "{all:?}"
            );
        });
    }

    /// Rule: a flood is read in portions, and an interface that was down is heard again.
    #[test]
    fn a_flood_is_read_in_portions() {
        if !inside_a_namespace("daemon::conflicts::tests::a_flood_is_read_in_portions") {
            return;
        }
        in_a_runtime(|| {
            let (here, there) = cable();
            let socket = arp(here, None, VIP).unwrap();
            let frames = FrameSocket::open().unwrap();
            let conflict = gratuitous_arp(OTHER, VIP, ArpForm::Reply);
            for _ in 0..=AT_ONCE {
                frames.send(there, &conflict).unwrap();
            }
            let mut portions = Vec::new();
            for _ in 0..500 {
                portions.push(heard(&socket).len());
                if portions.iter().sum::<usize>() > AT_ONCE {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            assert_eq!(portions.iter().sum::<usize>(), AT_ONCE + 1);
            assert!(portions.iter().all(|portion| *portion <= AT_ONCE), "{portions:?}");
            ip("link set here down");
            assert!(heard(&socket).is_empty());
            ip("link set here up");
            let all = heard_at_last(&socket, || frames.send(there, &conflict).unwrap());
            assert!(!all.is_empty() && all.iter().all(|frame| *frame == conflict), "{all:?}");
            assert!(arp(there + 100, None, VIP).is_err());
        });
    }

    /// Waits for what is being opened and closed.
    fn settled(sockets: &mut Sockets) {
        for _ in 0..50 {
            assert!(sockets.settle().is_none());
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    /// Rule: a list replaces the one before, an empty one ends it, and what is heard comes as an
    /// input with its interface.
    #[test]
    fn the_last_list_counts() {
        if !inside_a_namespace("daemon::conflicts::tests::the_last_list_counts") {
            return;
        }
        in_a_runtime(|| {
            let (here, there) = cable();
            let interface = InterfaceName::try_from("here").unwrap();
            let mut sockets = Sockets::new().unwrap();
            let second = Ipv4Addr::new(10, 0, 0, 101);
            let mut heard = |watched: &[Ipv4Addr]| {
                let watched: Vec<IpAddr> = watched.iter().copied().map(Into::into).collect();
                sockets.watch(&interface, here, None, &watched).unwrap();
                settled(&mut sockets);
                for address in [VIP, second] {
                    let conflict = gratuitous_arp(OTHER, address, ArpForm::Reply);
                    assert!(
                        sockets.announce(&[Frame { index: there, bytes: &conflict }])[0].is_ok()
                    );
                }
                let mut inputs = Vec::new();
                let trouble = sockets.hear(Now::default(), &mut inputs);
                assert!(trouble.is_empty(), "{trouble:?}");
                inputs
            };
            let input = |address| Input::Conflict {
                interface: interface.clone(),
                frame: gratuitous_arp(OTHER, address, ArpForm::Reply),
            };
            assert_eq!(heard(&[VIP]), [input(VIP)]);
            assert_eq!(heard(&[second]), [input(second)]);
            assert_eq!(heard(&[]), []);
        });
    }
}
