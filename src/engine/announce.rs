//! When the segment is told who has the addresses, and the frames that tell it.

use std::net::IpAddr;

use super::event::Action;
use super::links::Links;
use super::timer::Timer;
use crate::model::{InterfaceName, VirtualAddress};
use crate::time::{Mono, Span};
use crate::vrrp::frame::{ArpForm, arp_probe, gratuitous_arp, unsolicited_neighbour_advertisement};

/// After a takeover the announcement is repeated at these distances from it: a switch port may
/// have been learning still, and one broadcast may be lost.
const REPEATS: [Span; 3] = [Span::from_secs(1), Span::from_secs(3), Span::from_secs(10)];

/// How many addresses are announced at once where there are many, and how long the others wait:
/// a switch forwards broadcasts by its slow path, and advertisements must get through between.
const BURST: usize = 32;
const PAUSE: Span = Span::from_millis(5);

/// What is still to be announced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Announcer {
    /// How many addresses there are; zero while none is held.
    count: usize,
    /// The round that is under way: the next address, and when it is its turn.
    round: Option<(usize, Mono)>,
    repeats: Vec<Mono>,
    refresh: Option<Mono>,
}

impl Announcer {
    /// `count` addresses are to be announced now; repeats follow. The first ones are due at once.
    pub(super) fn start(&mut self, now: Mono, count: usize, refresh: Span) {
        self.count = count;
        self.round = Some((0, now));
        self.repeats = REPEATS.iter().rev().map(|distance| now + *distance).collect();
        self.refresh_after(now, refresh);
    }

    /// The next refresh comes that long after now; zero: none does.
    pub(super) fn refresh_after(&mut self, now: Mono, refresh: Span) {
        let refreshes = refresh > Span::ZERO && self.is_running();
        self.refresh = refreshes.then(|| now + refresh);
    }

    /// Nothing is held any more.
    pub(super) fn stop(&mut self) {
        *self = Self::default();
    }

    /// Whether anything is announced at all.
    pub(super) fn is_running(&self) -> bool {
        self.count > 0
    }

    /// When [`Announcer::fire`] is due.
    pub(super) fn deadline(&self) -> Option<(Mono, Timer)> {
        let round = self.round.map(|(_, at)| at);
        let all = round.into_iter().chain(self.repeats.last().copied()).chain(self.refresh);
        all.min().map(|at| (at, Timer::Announcement))
    }

    /// Which of the addresses are to be announced now, at most `limit` of them.
    pub(super) fn fire(
        &mut self,
        now: Mono,
        refresh: Span,
        limit: usize,
    ) -> std::ops::Range<usize> {
        let repeats = self.repeats.len();
        self.repeats.retain(|at| *at > now);
        let refreshes = self.refresh.is_some_and(|at| at <= now);
        if self.repeats.len() < repeats || refreshes {
            self.round = Some((0, now));
            self.refresh_after(now, refresh);
        }
        let Some((from, _)) = self.round.filter(|(_, at)| *at <= now) else { return 0..0 };
        let to = from.saturating_add(limit).min(self.count);
        self.round = (to < self.count).then(|| (to, now + PAUSE));
        from..to
    }
}

/// How many addresses may be announced at once: all where somebody waits for it, else a burst.
pub(super) fn limit(all_at_once: bool) -> usize {
    if all_at_once { usize::MAX } else { BURST }
}

/// The frames that announce one address: gratuitous ARP as request and as reply, because equipment
/// differs in which it honours; for IPv6 an unsolicited neighbour advertisement, which says whether
/// this node is a router.
pub(super) fn announce(
    links: &Links,
    interface: &InterfaceName,
    address: &VirtualAddress,
    forwards_ipv6: bool,
    out: &mut Vec<Action>,
) {
    let Some(mac) = links.get(interface).and_then(|link| link.mac) else { return };
    let mut send = |frame| out.push(Action::Announce { interface: interface.clone(), frame });
    match address.address {
        IpAddr::V4(v4) => {
            send(gratuitous_arp(mac, v4, ArpForm::Request));
            send(gratuitous_arp(mac, v4, ArpForm::Reply));
        }
        IpAddr::V6(v6) => send(unsolicited_neighbour_advertisement(mac, v6, forwards_ipv6)),
    }
}

/// The frame that asks whether anybody answers for an address (RFC 5227 section 2.1.1). Nobody
/// waits for an answer: one that comes is a conflict. Over IPv6 nobody is asked: the answer goes to
/// all nodes and overrides what they know (RFC 4862 section 5.4.4, RFC 4861 section 7.2.4), so that
/// asking would give the clients to whoever still answers.
pub(super) fn probe(
    links: &Links,
    interface: &InterfaceName,
    address: &VirtualAddress,
    out: &mut Vec<Action>,
) {
    let mac = links.get(interface).and_then(|link| link.mac);
    if let (Some(mac), IpAddr::V4(v4)) = (mac, address.address) {
        out.push(Action::Announce { interface: interface.clone(), frame: arp_probe(mac, v4) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFRESH: Span = Span::from_secs(60);

    fn at(millis: u64) -> Mono {
        Mono(0) + Span::from_millis(millis)
    }

    /// Lets time pass up to `until`, and says when how many addresses were announced.
    fn played(announcer: &mut Announcer, until: Mono) -> Vec<(u64, usize)> {
        let mut said = Vec::new();
        while let Some((now, _)) = announcer.deadline().filter(|(at, _)| *at <= until) {
            let range = announcer.fire(now, REFRESH, limit(false));
            said.push((now.since(Mono(0)).millis(), range.len()));
        }
        said
    }

    /// Rule: at once, then after 1, 3 and 10 seconds, then at every refresh.
    #[test]
    fn repeats_grow_apart() {
        let mut announcer = Announcer::default();
        announcer.start(at(0), 1, REFRESH);
        let times: Vec<_> = played(&mut announcer, at(200_000)).iter().map(|said| said.0).collect();
        assert_eq!(times, [0, 1_000, 3_000, 10_000, 70_000, 130_000, 190_000]);
        announcer.stop();
        assert_eq!(announcer.deadline(), None);
    }

    /// Rule: many addresses go out in bursts with pauses between, each of them once a round.
    #[test]
    fn many_addresses_are_paced() {
        let mut announcer = Announcer::default();
        announcer.start(at(0), 255, Span::ZERO);
        let said = played(&mut announcer, at(500));
        assert_eq!(said.iter().map(|(_, count)| count).sum::<usize>(), 255);
        assert!(said.iter().all(|(_, count)| *count <= BURST), "{said:?}");
        assert_eq!(said.last().map(|(time, _)| *time), Some(35));
    }
}
