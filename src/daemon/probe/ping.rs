//! `ping`: other machines answer ICMP echo requests (RFC 792, RFC 4443 section 4).

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket as StdUdpSocket};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use nix::errno::Errno;
use pnet_packet::icmp::{IcmpPacket, IcmpTypes, checksum};
use pnet_packet::icmpv6::Icmpv6Types;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::desk::Desk;
use crate::engine::ProbeResult;
use crate::model::{PingProbe, Require};

/// Type, code, checksum, identifier, sequence number; then what comes back unchanged.
const HEADER: usize = 8;
const TOKEN: usize = 8;

/// How much of an answer is read: an IPv4 header of any length fits.
const LONGEST: usize = 128;

/// Looks once: asks all of them at once.
pub(crate) async fn look(probe: &PingProbe, desk: &Desk) -> ProbeResult {
    let PingProbe { targets, require } = probe;
    let asked = targets.iter().map(|target| async move { (*target, echo(*target).await) });
    let mut answers: FuturesUnordered<_> = asked.collect();
    let mut silent = Witnesses::new(targets.clone(), *require);
    desk.doing.set(silent.waiting());
    while let Some((target, answer)) = answers.next().await {
        let answer = answer.map(|took| format!("{target} answers in {}", milliseconds(took)));
        if let Some(result) = silent.heard(&target, answer.map_err(|error| words(&error))) {
            return result;
        }
        desk.doing.set(silent.waiting());
    }
    ProbeResult::Failed(silent.waiting())
}

/// The witnesses of a look that have not answered yet.
pub(super) struct Witnesses<T> {
    waiting: Vec<T>,
    refused: Vec<String>,
    require: Require,
}

impl<T: PartialEq + std::fmt::Display> Witnesses<T> {
    /// None has answered yet.
    pub(super) fn new(waiting: Vec<T>, require: Require) -> Self {
        Self { waiting, refused: Vec::new(), require }
    }

    /// One has answered, or cannot be asked; what that decides, if it does.
    pub(super) fn heard(
        &mut self,
        target: &T,
        answer: Result<String, String>,
    ) -> Option<ProbeResult> {
        self.waiting.retain(|waiting| waiting != target);
        match (answer, self.require) {
            (Ok(text), Require::Any) => return Some(ProbeResult::Passed(text)),
            (Ok(text), Require::All) if self.waiting.is_empty() => {
                return Some(ProbeResult::Passed(text));
            }
            (Ok(_), Require::All) => {}
            (Err(why), require) => {
                self.refused.push(format!("{target}: {why}"));
                if require == Require::All || self.waiting.is_empty() {
                    return Some(ProbeResult::Failed(self.refused.join(", ")));
                }
            }
        }
        None
    }

    /// Who has not answered.
    pub(super) fn waiting(&self) -> String {
        let names: Vec<String> = self.waiting.iter().map(ToString::to_string).collect();
        format!("nothing from {}", names.join(", "))
    }
}

/// Asks one and waits for its answer; for ever, where none comes.
async fn echo(target: IpAddr) -> io::Result<Duration> {
    let (socket, v6) = open(target)?;
    let random = RandomState::new();
    let token = random.hash_one(target).to_be_bytes();
    let request = request(token, v6);
    let start = Instant::now();
    socket.send(&request).await?;
    let mut bytes = [0; LONGEST];
    loop {
        let length = socket.recv(&mut bytes).await?;
        let packet = bytes.get(..length).unwrap_or_default();
        if is_answer(packet, &request, v6) {
            return Ok(start.elapsed());
        }
    }
}

/// A socket that sends to this target and hears nobody else.
fn open(target: IpAddr) -> io::Result<(UdpSocket, bool)> {
    let (domain, protocol) = match target {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    socket.set_nonblocking(true)?;
    socket.connect(&SocketAddr::new(target, 0).into())?;
    // Sending and receiving are the same calls for every kind of datagrams.
    Ok((UdpSocket::from_std(StdUdpSocket::from(socket))?, target.is_ipv6()))
}

fn request(token: [u8; TOKEN], v6: bool) -> [u8; HEADER + TOKEN] {
    let mut message = [0; HEADER + TOKEN];
    let kind = if v6 { Icmpv6Types::EchoRequest.0 } else { IcmpTypes::EchoRequest.0 };
    let [first, second, ..] = token;
    let front = [kind, 0, 0, 0, first, second, 0, 1];
    for (byte, value) in message.iter_mut().zip(front.into_iter().chain(token)) {
        *byte = value;
    }
    // The kernel has the addresses that are in the sum of ICMPv6, and makes it (`raw(7)`).
    if !v6 && let Some(packet) = IcmpPacket::new(&message) {
        let sum = checksum(&packet).to_be_bytes();
        for (byte, value) in message.iter_mut().skip(2).zip(sum) {
            *byte = value;
        }
    }
    message
}

/// Whether a packet answers this request: of ICMP over IPv4 the IP header is in it.
fn is_answer(packet: &[u8], request: &[u8], v6: bool) -> bool {
    let header = match (v6, packet.first()) {
        (true, _) => 0,
        (false, Some(first)) => usize::from(first & 0x0f) * 4,
        (false, None) => return false,
    };
    let kind = if v6 { Icmpv6Types::EchoReply.0 } else { IcmpTypes::EchoReply.0 };
    let Some(message) = packet.get(header..) else { return false };
    message.first() == Some(&kind) && message.get(4..) == request.get(4..)
}

fn milliseconds(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1_000.0)
}

fn words(error: &io::Error) -> String {
    let errno = error.raw_os_error().map(Errno::from_raw);
    errno.map_or_else(|| error.to_string(), |errno| errno.desc().to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN_BYTES: [u8; TOKEN] = [1, 2, 3, 4, 5, 6, 7, 8];

    /// Rule: only an echo reply with what we have sent is an answer; not the request itself, which a
    /// raw socket on loopback sees too, and not another one's answer.
    #[test]
    fn answers() {
        let asked = request(TOKEN_BYTES, false);
        let mut packet = vec![0; 24];
        packet[0] = 0x46;
        packet.extend(asked);
        assert!(!is_answer(&packet, &asked, false), "our own request");
        packet[24] = 0;
        assert!(is_answer(&packet, &asked, false));
        packet[39] ^= 1;
        assert!(!is_answer(&packet, &asked, false), "another token");
        for length in 0..packet.len() {
            assert!(!is_answer(&packet[..length], &asked, false));
        }
        let asked = request(TOKEN_BYTES, true);
        let mut packet = asked;
        packet[0] = 129;
        assert!(is_answer(&packet, &asked, true));
    }

    /// Rule: the sum over an ICMP message with its checksum is all ones (RFC 1071).
    #[test]
    fn the_checksum_is_right() {
        let words = request(TOKEN_BYTES, false);
        let sum: u32 = words.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(two[1])).sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    }

    /// Rule: any: the first answer decides, and one that cannot be asked does not. All: the last
    /// answer decides, or the first that cannot be asked.
    #[test]
    fn any_and_all() {
        let yes = || Ok("yes".to_owned());
        let no = || Err("no route".to_owned());
        let mut any = Witnesses::new(vec!["a", "b"], Require::Any);
        assert_eq!(any.heard(&"a", no()), None);
        assert_eq!(any.waiting(), "nothing from b");
        assert_eq!(any.heard(&"b", yes()), Some(ProbeResult::Passed("yes".to_owned())));
        let mut none = Witnesses::new(vec!["a"], Require::Any);
        let failed = Some(ProbeResult::Failed("a: no route".to_owned()));
        assert_eq!(none.heard(&"a", no()), failed);
        let mut all = Witnesses::new(vec!["a", "b", "c"], Require::All);
        assert_eq!(all.heard(&"b", yes()), None);
        assert_eq!(all.heard(&"a", no()), failed);
    }
}
