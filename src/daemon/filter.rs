//! Which packets a socket lets in: programs in the kernel's classic packet filter language
//! (`bpf(4)`, Linux' `Documentation/networking/filter.rst`), so that other virtual routers and
//! other machines' ARP and neighbour discovery cost nothing.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use nix::libc;
use socket2::SockFilter;

use crate::model::{Family, Mac, Vrid};

/// Where the VRID stands in a VRRP message (RFC 9568 section 5.1).
const VRID_AT: u32 = 1;

/// Where the source stands in an Ethernet frame, and its type (IEEE 802.3 clause 3.2).
const SOURCE_AT: u32 = 6;
const TYPE_AT: u32 = 12;

/// Where an ARP packet stands in an Ethernet frame, and in it the hardware and protocol types,
/// the lengths of their addresses, and the sender's protocol address (RFC 826).
const ARP_AT: u32 = 14;
const TYPES_AT: u32 = ARP_AT;
const LENGTHS_AT: u32 = ARP_AT + 4;
const SENDER_AT: u32 = ARP_AT + 14;

/// The places in a neighbour advertisement in an Ethernet frame (RFC 8200 section 3, RFC
/// 4861 section 4.4): the next header with the hop limit, the type with the code, and the last four
/// bytes of the target.
const NEXT_HEADER_AT: u32 = 20;
const ICMP_AT: u32 = 54;
const TARGET_END_AT: u32 = 74;

/// The next header 58 (RFC 4443) with a hop limit of 255, and a neighbour advertisement with code
/// 0.
const ICMPV6_FROM_HERE: u32 = 0x3aff;
const NEIGHBOUR_ADVERTISEMENT: u32 = 0x8800;

/// Ethernet and IPv4 with their address lengths, as they stand in an ARP packet.
const IPV4_ON_ETHERNET: u32 = 0x0001_0800;
const SIX_AND_FOUR: u32 = 0x0604;

/// How many values a program may compare with. The kernel has room for 4,096 statements, but
/// charges its own form of them, 8 or 16 bytes each, to the socket's memory
/// (`net.core.optmem_max`), which is 20 KiB before Linux 6.7.
const MOST: usize = 1000;

/// How far a conditional jump of the language may reach, less the statement at the end of a block.
const REACH: usize = 254;

/// Lets in what names one of `routers`; whether it is valid otherwise is for the engine to say
/// and to count.
pub(crate) fn vrrp(family: Family, routers: &[Vrid]) -> Vec<SockFilter> {
    let mut program = match family {
        // The packet starts with an IP header of variable length, which goes into X.
        Family::V4 => vec![
            statement(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 0),
            statement(libc::BPF_LD | libc::BPF_B | libc::BPF_IND, VRID_AT),
        ],
        // The packet starts with the VRRP message.
        Family::V6 => vec![load(libc::BPF_B, VRID_AT)],
    };
    let routers: Vec<u32> = routers.iter().map(|router| router.get().into()).collect();
    take_if_one_of(&mut program, &routers);
    program
}

/// Lets in the Ethernet frames that carry an ARP packet for IPv4 whose sender says to have one of
/// `senders`, and that do not come from `own`. Of more senders than a program can compare with, it
/// lets in what is in the same networks: the engine knows which it has.
pub(crate) fn arp(own: Option<Mac>, senders: &[Ipv4Addr]) -> Vec<SockFilter> {
    let mut program = Vec::new();
    refuse_unless(
        &mut program,
        [
            (libc::BPF_H, TYPE_AT, libc::ETH_P_ARP.cast_unsigned()),
            (libc::BPF_W, TYPES_AT, IPV4_ON_ETHERNET),
            (libc::BPF_H, LENGTHS_AT, SIX_AND_FOUR),
        ],
    );
    refuse_from(&mut program, own);
    program.push(load(libc::BPF_W, SENDER_AT));
    let senders: Vec<u32> = senders.iter().map(|sender| u32::from(*sender)).collect();
    take_if_near_one_of(&mut program, &senders);
    program
}

/// Lets in the Ethernet frames that carry a neighbour advertisement for one of `targets`, and that
/// do not come from `own`. Only the last four bytes of a target are compared, which is one
/// statement instead of eight: what else has the same ones is for the reader to leave out.
pub(crate) fn neighbour_advertisements(own: Option<Mac>, targets: &[Ipv6Addr]) -> Vec<SockFilter> {
    let mut program = Vec::new();
    refuse_unless(
        &mut program,
        [
            (libc::BPF_H, TYPE_AT, libc::ETH_P_IPV6.cast_unsigned()),
            (libc::BPF_H, NEXT_HEADER_AT, ICMPV6_FROM_HERE),
            (libc::BPF_H, ICMP_AT, NEIGHBOUR_ADVERTISEMENT),
        ],
    );
    refuse_from(&mut program, own);
    program.push(load(libc::BPF_W, TARGET_END_AT));
    let ends: Vec<u32> = targets
        .iter()
        .map(|target| {
            let [.., a, b, c, d] = target.octets();
            u32::from_be_bytes([a, b, c, d])
        })
        .collect();
    take_if_near_one_of(&mut program, &ends);
    program
}

/// Refuses the kernel's events (`rtnetlink(7)`) that an address is there where the netlink socket
/// of this port has asked for it, and lets in all others. The header of a message has its type at 4
/// and the port at 12 (`nlmsghdr` in `linux/netlink.h`), in the machine's own byte order.
pub(crate) fn without_renewals(port: u32) -> Vec<SockFilter> {
    vec![
        load(libc::BPF_H, 4),
        jump_if_equal(libc::RTM_NEWADDR.to_be().into(), 0, 3),
        load(libc::BPF_W, 12),
        jump_if_equal(port.to_be(), 0, 1),
        refuse(),
        statement(libc::BPF_RET | libc::BPF_K, u32::MAX),
    ]
}

/// Refuses the frame if something else than the value stands at one of these places.
fn refuse_unless(program: &mut Vec<SockFilter>, checks: [(u32, u32, u32); 3]) {
    for (size, at, expected) in checks {
        // Equal: past the next statement, which refuses the frame.
        program.extend([load(size, at), jump_if_equal(expected, 1, 0), refuse()]);
    }
}

/// Refuses what comes from this Ethernet address.
fn refuse_from(program: &mut Vec<SockFilter>, own: Option<Mac>) {
    if let Some(Mac([a, b, c, d, e, f])) = own {
        program.extend([
            load(libc::BPF_W, SOURCE_AT),
            jump_if_equal(u32::from_be_bytes([a, b, c, d]), 0, 3),
            load(libc::BPF_H, SOURCE_AT + 4),
            jump_if_equal(u16::from_be_bytes([e, f]).into(), 0, 1),
            refuse(),
        ]);
    }
}

/// As [`take_if_one_of`]; of more values than a program can compare with, what is in the same
/// networks.
fn take_if_near_one_of(program: &mut Vec<SockFilter>, values: &[u32]) {
    let (mask, networks) = networks(values);
    if mask != u32::MAX {
        program.push(statement(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, mask));
    }
    take_if_one_of(program, &networks);
}

/// The longest mask under which these values are few enough, and what they are under it.
fn networks(values: &[u32]) -> (u32, Vec<u32>) {
    let under = |mask: u32| -> BTreeSet<u32> { values.iter().map(|value| value & mask).collect() };
    let mut masks = (0..=32).map(|host_bits| u32::MAX.checked_shl(host_bits).unwrap_or(0));
    let mask = masks.find(|mask| under(*mask).len() <= MOST).unwrap_or(0);
    (mask, under(mask).into_iter().collect())
}

/// Takes the whole packet if what was loaded last is one of `values`, and refuses it otherwise.
///
/// One statement for each value: in blocks as long as a jump reaches, with one at the end of each
/// that takes the packet.
fn take_if_one_of(program: &mut Vec<SockFilter>, values: &[u32]) {
    for block in values.chunks(REACH) {
        let mut rest = block.len();
        for value in block {
            rest -= 1;
            // Equal: past the others and the jump over the end. Otherwise on.
            let to_the_end = u8::try_from(rest + 1).unwrap_or(u8::MAX);
            program.push(jump_if_equal(*value, to_the_end, 0));
        }
        program.push(statement(libc::BPF_JMP | libc::BPF_JA, 1));
        program.push(statement(libc::BPF_RET | libc::BPF_K, u32::MAX));
    }
    program.push(refuse());
}

/// Loads what stands at this place, in the given size.
fn load(size: u32, at: u32) -> SockFilter {
    statement(libc::BPF_LD | size | libc::BPF_ABS, at)
}

/// Leaves out that many statements if what was loaded last is `value`, or if it is not.
fn jump_if_equal(value: u32, equal: u8, other: u8) -> SockFilter {
    SockFilter::new(code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K), equal, other, value)
}

fn refuse() -> SockFilter {
    statement(libc::BPF_RET | libc::BPF_K, 0)
}

fn statement(opcode: u32, k: u32) -> SockFilter {
    SockFilter::new(code(opcode), 0, 0, k)
}

/// The kernel's opcodes have 16 bits; libc's constants are wider.
fn code(opcode: u32) -> u16 {
    u16::try_from(opcode).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use socket2::SockRef;

    use super::*;
    use crate::vrrp::frame::{ArpForm, gratuitous_arp, unsolicited_neighbour_advertisement};

    const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const OTHER: Mac = Mac([2, 0, 0, 0, 0, 2]);
    const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);

    /// Whether the kernel lets each of `frames` through: a socket's filter sees a datagram of any
    /// family as it was sent, from its first byte on.
    fn let_in(program: &[SockFilter], frames: &[Vec<u8>]) -> Vec<bool> {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        SockRef::from(&ours).attach_filter(program).unwrap();
        ours.set_nonblocking(true).unwrap();
        frames
            .iter()
            .map(|frame| {
                theirs.send(frame).unwrap();
                let mut buffer = [0; 128];
                ours.recv(&mut buffer).is_ok_and(|length| buffer[..length] == *frame)
            })
            .collect()
    }

    fn announcement(mac: Mac, address: Ipv4Addr) -> Vec<u8> {
        gratuitous_arp(mac, address, ArpForm::Reply)
    }

    fn changed(mut frame: Vec<u8>, place: usize, byte: u8) -> Vec<u8> {
        frame[place] = byte;
        frame
    }

    /// Rule: only what is about a watched address is let in, as request or reply, whole.
    #[test]
    fn conflicts_about_watched_addresses_are_let_in() {
        let program = arp(Some(OWN), &[Ipv4Addr::new(192, 0, 2, 1), VIP]);
        let request = gratuitous_arp(OTHER, VIP, ArpForm::Request);
        let other_address = announcement(OTHER, Ipv4Addr::new(10, 0, 0, 101));
        // Somebody asks for a watched address: the usual traffic.
        let mut question = announcement(OTHER, Ipv4Addr::new(10, 0, 0, 1));
        question[38..42].copy_from_slice(&VIP.octets());
        let frames = [announcement(OTHER, VIP), request, other_address, question];
        assert_eq!(let_in(&program, &frames), [true, true, false, false]);
        assert_eq!(let_in(&arp(Some(OWN), &[]), &[announcement(OTHER, VIP)]), [false]);
    }

    /// Rule: what comes from our own Ethernet address is not let in, and only that: an address
    /// that differs in any byte is another station's.
    #[test]
    fn our_own_frames_are_not_let_in() {
        let program = arp(Some(OWN), &[VIP]);
        assert_eq!(let_in(&program, &[announcement(OWN, VIP)]), [false]);
        let others: Vec<_> =
            (6..12).map(|place| changed(announcement(OWN, VIP), place, 0x42)).collect();
        assert_eq!(let_in(&program, &others), [true; 6]);
        assert_eq!(let_in(&arp(None, &[VIP]), &[announcement(OWN, VIP)]), [true]);
    }

    /// Rule: other protocols and other forms of ARP, and what is cut off, are not let in.
    #[test]
    fn only_arp_for_ipv4_on_ethernet_is_let_in() {
        let program = arp(Some(OWN), &[VIP]);
        let header = [12, 13, 14, 15, 16, 17, 18, 19];
        let forms = header.map(|place| changed(announcement(OTHER, VIP), place, 0x42));
        assert_eq!(let_in(&program, &forms), [false; 8]);
        let cut: Vec<_> =
            [1, 14, 31].map(|length| announcement(OTHER, VIP)[..length].to_vec()).into();
        assert_eq!(let_in(&program, &cut), [false; 3]);
    }

    /// Bug guarded: with many addresses a jump does not reach, or the kernel refuses the program.
    #[test]
    fn every_one_of_many_addresses_is_found() {
        let address = |number: u16| Ipv4Addr::from(0xac10_0000 + u32::from(number));
        let watched: Vec<_> = (0..1000).map(address).collect();
        let program = arp(Some(OWN), &watched);
        let frames: Vec<_> = (0..1001).map(|number| announcement(OTHER, address(number))).collect();
        let taken = let_in(&program, &frames);
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 1000);
        assert!(!taken[1000]);
    }

    /// Rule: however many addresses there are, the program fits, and lets in all of them: beyond
    /// what it can compare with, whole networks.
    #[test]
    fn a_program_is_never_too_long() {
        let address = |number: u32| Ipv4Addr::from(0xc0a8_0000 + number);
        let watched: Vec<_> = (0..5000).map(address).collect();
        let program = arp(Some(OWN), &watched);
        assert!(program.len() < MOST + 100, "{}", program.len());
        let frames: Vec<_> = [0, 1, 4999, 70_000]
            .iter()
            .map(|number| announcement(OTHER, address(*number)))
            .collect();
        assert_eq!(let_in(&program, &frames), [true, true, true, false]);
        assert!(arp(Some(OWN), &watched[..1000]).len() <= MOST + 30, "one statement each");
    }

    fn neighbour(mac: Mac, address: &str) -> Vec<u8> {
        unsolicited_neighbour_advertisement(mac, address.parse().unwrap(), true)
    }

    /// Rule: of IPv6 only neighbour advertisements for a watched address are let in, whole, and not
    /// those from our own Ethernet address.
    #[test]
    fn neighbour_advertisements_of_watched_addresses_are_let_in() {
        let watched = ["2001:db8::100", "fe80::1:2"].map(|address| address.parse().unwrap());
        let program = neighbour_advertisements(Some(OWN), &watched);
        let theirs = neighbour(OTHER, "2001:db8::100");
        let frames = [
            theirs.clone(),
            neighbour(OTHER, "fe80::1:2"),
            neighbour(OTHER, "2001:db8::101"),
            neighbour(OWN, "fe80::1:2"),
            announcement(OTHER, VIP),
        ];
        assert_eq!(let_in(&program, &frames), [true, true, false, false, false]);
        // Another type of Ethernet frame, next header, hop limit, ICMPv6 type and code.
        let forms = [12, 13, 20, 21, 54, 55].map(|place| changed(theirs.clone(), place, 0x42));
        assert_eq!(let_in(&program, &forms), [false; 6]);
        assert_eq!(let_in(&program, &[theirs[..77].to_vec()]), [false]);
    }

    /// Rule: only our virtual routers' packets are let in, whatever the length of the IP header.
    #[test]
    fn other_virtual_routers_are_not_let_in() {
        let ours: Vec<Vrid> = [51, 200].map(|vrid| Vrid::try_from(vrid).unwrap()).into();
        let packet = |vrid: u8, words: u8| {
            let mut packet = vec![0; usize::from(words) * 4];
            packet[0] = 0x40 | words;
            packet.extend([0x31, vrid, 100, 1]);
            packet
        };
        let packets = [packet(51, 5), packet(200, 15), packet(52, 5), packet(52, 15)];
        assert_eq!(let_in(&vrrp(Family::V4, &ours), &packets), [true, true, false, false]);
        let messages = [vec![0x31, 200, 100, 1], vec![0x31, 52, 100, 1]];
        assert_eq!(let_in(&vrrp(Family::V6, &ours), &messages), [true, false]);
    }
}
