//! When the segment is told who has the addresses, and the frames that tell it.

use std::net::IpAddr;

use super::event::Action;
use super::links::Links;
use crate::model::{InterfaceName, VirtualAddress};
use crate::time::{Mono, Span};
use crate::vrrp::frame::{ArpForm, gratuitous_arp, unsolicited_neighbour_advertisement};

/// After a takeover the announcement is repeated at these distances from it: a switch port may
/// have been learning still, and one broadcast may be lost.
const REPEATS: [Span; 3] = [Span::from_secs(1), Span::from_secs(3), Span::from_secs(10)];

/// The repeats that are still to come.
#[derive(Debug, Default)]
pub(super) struct Announcer {
    repeats: Vec<Mono>,
}

impl Announcer {
    /// The addresses are announced now; repeats follow.
    pub(super) fn start(&mut self, now: Mono) {
        self.repeats = REPEATS.iter().rev().map(|distance| now + *distance).collect();
    }

    /// Nothing is held any more.
    pub(super) fn stop(&mut self) {
        self.repeats.clear();
    }

    /// When [`Announcer::fire`] is due.
    pub(super) fn deadline(&self) -> Option<(Mono, &'static str)> {
        self.repeats.last().map(|at| (*at, "announcement"))
    }

    /// Whether the addresses are to be announced again now.
    pub(super) fn fire(&mut self, now: Mono) -> bool {
        let before = self.repeats.len();
        self.repeats.retain(|at| *at > now);
        self.repeats.len() < before
    }
}

/// The frames that announce one address: gratuitous ARP as request and as reply, because
/// equipment differs in which it honours; for IPv6 an unsolicited neighbour advertisement.
pub(super) fn announce(
    links: &Links,
    interface: &InterfaceName,
    address: &VirtualAddress,
    out: &mut Vec<Action>,
) {
    let Some(mac) = links.get(interface).and_then(|link| link.mac) else { return };
    let mut send = |frame| out.push(Action::Announce { interface: interface.clone(), frame });
    match address.address {
        IpAddr::V4(v4) => {
            send(gratuitous_arp(mac, v4, ArpForm::Request));
            send(gratuitous_arp(mac, v4, ArpForm::Reply));
        }
        IpAddr::V6(v6) => send(unsolicited_neighbour_advertisement(mac, v6, false)),
    }
}
