//! What goes over an interface's wire: VRRP, ARP and neighbour advertisements, seen before any firewall
//! has its say.

use std::io::{self, ErrorKind, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::libc;
use nix::sys::socket::{LinkAddr, MsgFlags, SockaddrStorage, bind, send};
use pnet_packet::Packet as _;
use pnet_packet::ethernet::{EtherTypes, EthernetPacket};
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::Ipv6Packet;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockFilter, Socket, Type};

use crate::config;
use crate::model::{Family, InterfaceName, Mac};
use crate::vrrp::frame::binding;
use crate::vrrp::packet::{Advertisement, Datagram, IP_PROTOCOL, decode, multicast_group};

/// The longest frame that is read whole, in bytes: an advertisement of 255 IPv6 addresses takes two
/// of the largest ordinary ones.
const LONGEST: usize = 9_216;

/// How long a reader may take to notice that its time is over.
const STEP: Duration = Duration::from_millis(50);

/// Something on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// A valid advertisement, of this station or another one.
    Advertisement(Heard),
    /// An ARP packet or a neighbour advertisement: this station says that it has this address.
    Binding(Mac, IpAddr),
}

/// An advertisement and who sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// From which Ethernet address.
    pub(super) mac: Mac,
    /// From which address.
    pub(super) source: IpAddr,
    /// To which one.
    pub(super) destination: IpAddr,
    /// What it says.
    pub(super) advertisement: Advertisement,
}

impl Seen {
    /// What a frame is; `None`: nothing of interest, or nothing valid.
    pub(super) fn of(frame: &[u8]) -> Option<Self> {
        if let Some((mac, address)) = binding(frame) {
            return Some(Self::Binding(mac, address));
        }
        let ethernet = EthernetPacket::new(frame)?;
        let mac = Mac(ethernet.get_source().octets());
        let (source, destination, advertisement) = match ethernet.get_ethertype() {
            EtherTypes::Ipv4 => {
                let length = usize::from(Ipv4Packet::new(ethernet.payload())?.get_total_length());
                // Behind it there is only what fills a short frame.
                let datagram = Datagram::from_ipv4(ethernet.payload().get(..length)?).ok()?;
                (datagram.source, datagram.destination, decode(&datagram).ok()?.advertisement)
            }
            EtherTypes::Ipv6 => {
                let packet = Ipv6Packet::new(ethernet.payload())?;
                let (source, destination) = (packet.get_source(), packet.get_destination());
                let datagram = Datagram::from_ipv6(
                    source.into(),
                    destination.into(),
                    packet.get_hop_limit(),
                    packet.payload(),
                );
                (datagram.source, datagram.destination, decode(&datagram).ok()?.advertisement)
            }
            _ => return None,
        };
        Some(Self::Advertisement(Heard { mac, source, destination, advertisement }))
    }
}

/// An interface's wire.
#[derive(Debug)]
pub(super) struct Wire {
    socket: Socket,
    mac: Mac,
}

impl Wire {
    /// Taps an interface. Only VRRP, ARP and neighbour advertisements come through, without those of its
    /// VLANs.
    ///
    /// # Errors
    /// What the kernel says (`EPERM` without `CAP_NET_RAW`), or that it is no Ethernet interface.
    pub(super) fn open(interface: &str) -> io::Result<Self> {
        let link = link(interface)?;
        let mac = link
            .addr()
            .map(Mac)
            .ok_or_else(|| io::Error::other(format!("{interface} is not an Ethernet interface")))?;
        let all = u16::try_from(libc::ETH_P_ALL).map_err(io::Error::other)?;
        let protocol = Protocol::from(i32::from(all.to_be()));
        let mut socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
        socket.attach_filter(&filter())?;
        bind(socket.as_raw_fd(), &link)?;
        // What came before that is of any interface.
        socket.set_nonblocking(true)?;
        while socket.read(&mut [0; LONGEST]).is_ok() {}
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(STEP))?;
        Ok(Self { socket, mac })
    }

    /// The interface's Ethernet address.
    pub(super) fn mac(&self) -> Mac {
        self.mac
    }

    /// Sends a whole Ethernet frame.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        send(self.socket.as_raw_fd(), frame, MsgFlags::empty())?;
        Ok(())
    }

    /// Gives what is seen until then to `take`.
    ///
    /// # Errors
    /// What the kernel says, for example that the interface went away.
    pub(super) fn listen(&self, until: Instant, mut take: impl FnMut(Seen)) -> io::Result<()> {
        let mut buffer = [0; LONGEST];
        while Instant::now() < until {
            match (&self.socket).read(&mut buffer) {
                Ok(length) => {
                    if let Some(seen) = buffer.get(..length).and_then(Seen::of) {
                        take(seen);
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::Interrupted => {}
                    // It is down, and may come up again.
                    _ if error.raw_os_error() == Some(libc::ENETDOWN) => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(())
    }
}

/// The interface as a packet socket names it.
fn link(interface: &str) -> io::Result<LinkAddr> {
    let mut entries = getifaddrs()?.filter(|entry| entry.interface_name == interface);
    let link = entries.find_map(|entry| entry.address?.as_link_addr().copied());
    link.ok_or_else(|| io::Error::other(format!("there is no interface {interface}")))
}

/// Membership of both of VRRP's groups on an interface, for as long as this lives: without it, a
/// switch or the network card may keep their packets away. A family that the interface does not
/// have is left out.
#[derive(Debug)]
pub(super) struct Membership {
    _sockets: Vec<UdpSocket>,
}

impl Membership {
    /// Joins.
    ///
    /// # Errors
    /// What the kernel says, or that there is no such interface.
    pub(super) fn join(interface: &str) -> io::Result<Self> {
        let index = nix::net::if_::if_nametoindex(interface)?;
        let v4 = UdpSocket::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))?;
        let mut sockets = Vec::new();
        if let IpAddr::V4(group) = multicast_group(Family::V4) {
            let place = InterfaceIndexOrAddress::Index(index);
            socket2::SockRef::from(&v4).join_multicast_v4_n(&group, &place)?;
            sockets.push(v4);
        }
        if let IpAddr::V6(group) = multicast_group(Family::V6)
            && let Ok(v6) = UdpSocket::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)))
            && v6.join_multicast_v6(&group, index).is_ok()
        {
            sockets.push(v6);
        }
        Ok(Self { _sockets: sockets })
    }
}

/// An address of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnAddress {
    /// Which interface has it.
    pub(super) interface: String,
    /// The address.
    pub(super) address: IpAddr,
    /// The length of its prefix.
    pub(super) prefix: u8,
}

impl OwnAddress {
    /// As a configuration is read with it.
    pub(super) fn named(&self) -> Option<config::OwnAddress> {
        let interface = InterfaceName::try_from(self.interface.as_str()).ok()?;
        Some(config::OwnAddress { interface, address: self.address, prefix: self.prefix })
    }
}

/// All addresses of this machine.
///
/// # Errors
/// What the kernel says.
pub(super) fn own_addresses() -> io::Result<Vec<OwnAddress>> {
    let own = getifaddrs()?.filter_map(|entry| {
        let address = entry.address.and_then(ip)?;
        let prefix = match entry.netmask.and_then(ip)? {
            IpAddr::V4(mask) => mask.to_bits().count_ones(),
            IpAddr::V6(mask) => mask.to_bits().count_ones(),
        };
        let prefix = u8::try_from(prefix).unwrap_or_default();
        Some(OwnAddress { interface: entry.interface_name, address, prefix })
    });
    Ok(own.collect())
}

fn ip(storage: SockaddrStorage) -> Option<IpAddr> {
    let v4 = storage.as_sockaddr_in().map(|v4| v4.ip().into());
    v4.or_else(|| storage.as_sockaddr_in6().map(|v6| v6.ip().into()))
}

/// Whether `address` is in the network of this address and prefix length.
pub(super) fn in_network(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            let shift = 32_u32.saturating_sub(prefix.into());
            (one.to_bits() ^ other.to_bits()).checked_shr(shift).unwrap_or(0) == 0
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            let shift = 128_u32.saturating_sub(prefix.into());
            (one.to_bits() ^ other.to_bits()).checked_shr(shift).unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// ARP, VRRP over IPv4 and IPv6, and neighbour advertisements, without a VLAN's tag: the wire of an
/// interface carries its VLANs' frames too, which belong to other interfaces (`bpf(4)`, Linux'
/// `Documentation/networking/filter.rst` on the tag).
fn filter() -> [SockFilter; 16] {
    const TAG_PRESENT: u32 = 0xffff_f000 + 48;
    const BYTE: u16 = 0x30;
    const HALF_WORD: u16 = 0x28;
    const ICMPV6: u32 = 58;
    const NEIGHBOUR_ADVERTISEMENT: u32 = 136;
    let vrrp = u32::from(IP_PROTOCOL);
    [
        load(BYTE, TAG_PRESENT),
        skip(0, 1, 0),
        end(0),
        load(HALF_WORD, 12),
        skip(0x0806, 9, 0),
        skip(0x0800, 0, 2),
        load(BYTE, 23),
        skip(vrrp, 6, 7),
        skip(0x86dd, 0, 6),
        load(BYTE, 20),
        skip(vrrp, 3, 0),
        skip(ICMPV6, 0, 3),
        load(BYTE, 54),
        skip(NEIGHBOUR_ADVERTISEMENT, 0, 1),
        end(u32::MAX),
        end(0),
    ]
}

const fn load(size: u16, offset: u32) -> SockFilter {
    SockFilter::new(size, 0, 0, offset)
}

/// Goes on so many steps later where what is loaded is equal to this, or where it is not.
const fn skip(value: u32, equal: u8, other: u8) -> SockFilter {
    SockFilter::new(0x15, equal, other, value)
}

const fn end(length: u32) -> SockFilter {
    SockFilter::new(0x06, 0, 0, length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vrrp::frame::{arp_probe, unsolicited_neighbour_advertisement};

    /// A frame that keepalived sent, with the padding that Ethernet gives a short one.
    fn advertisement() -> Vec<u8> {
        let hex = "01005e00001202000000000b080045c0002800010000ff701887c000020be0000012213364010001\
                   b865c00002640000000000000000";
        let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        let mut frame: Vec<u8> = digits.map(|d| u8::from_str_radix(d, 16).unwrap()).collect();
        frame.resize(60, 0);
        frame
    }

    /// Rule: advertisements and bindings of either family are told apart, and padding does not
    /// spoil an advertisement.
    #[test]
    fn frames_are_read() {
        let Some(Seen::Advertisement(heard)) = Seen::of(&advertisement()) else { panic!() };
        assert_eq!(heard.source, IpAddr::from([192, 0, 2, 11]));
        assert_eq!(heard.destination, IpAddr::from([224, 0, 0, 18]));
        assert_eq!(heard.advertisement.virtual_router_id.get(), 51);
        let mac = Mac([2, 0, 0, 0, 0, 7]);
        let probe = arp_probe(mac, Ipv4Addr::new(192, 0, 2, 100));
        assert_eq!(Seen::of(&probe), Some(Seen::Binding(mac, Ipv4Addr::UNSPECIFIED.into())));
        let address: Ipv6Addr = "2001:db8::100".parse().unwrap();
        let announced = unsolicited_neighbour_advertisement(mac, address, false);
        assert_eq!(Seen::of(&announced), Some(Seen::Binding(mac, address.into())));
    }

    /// Bug guarded: whatever comes from the wire is no reason to panic.
    #[test]
    fn broken_frames_are_nothing() {
        let whole = advertisement();
        for length in 0..54 {
            assert_eq!(Seen::of(&whole[..length]), None, "{length} bytes");
        }
        let mut wrong = whole;
        wrong[40] ^= 1;
        assert_eq!(Seen::of(&wrong), None, "its checksum is wrong");
    }

    /// Rule: prefix lengths 0 and whole ones count as such.
    #[test]
    fn networks() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(in_network(ip("10.0.0.7"), ip("10.0.0.200"), 24));
        assert!(!in_network(ip("10.0.1.7"), ip("10.0.0.200"), 24));
        assert!(in_network(ip("1.2.3.4"), ip("9.9.9.9"), 0));
        assert!(!in_network(ip("10.0.0.7"), ip("10.0.0.6"), 32));
        assert!(in_network(ip("fd00::7"), ip("fd00::9"), 64));
        assert!(!in_network(ip("fd00::7"), ip("10.0.0.1"), 0));
    }
}
