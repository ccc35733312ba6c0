//! The routers that an instance hears, those that should not be there included.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Discard;
use super::repetition::Accepted;
use super::words::Peer;
use crate::model::{Config, Family, Interval, Node, Version, is_link_local};
use crate::time::{Mono, Now, Span, Wall};
use crate::vrrp::packet::Advertisement;

/// How many routers are remembered for each instance. Source addresses are the sender's choice, so
/// there must be a bound.
const REMEMBERED: usize = 64;

/// What there is to know about another router of the same virtual router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Which one.
    #[serde(flatten)]
    pub peer: Peer,
    /// When it was heard last, whether its packet was accepted or not.
    pub heard: Wall,
    /// How long ago that was.
    pub age: Span,
    /// How many of its packets were accepted.
    pub accepted: u64,
    /// How many were refused.
    pub refused: u64,
    /// What it advertised last in an accepted packet; `None`: none was accepted.
    pub advertised: Option<Advertised>,
    /// Why its last packet was refused; `None`: it was accepted.
    pub refusal: Option<Discard>,
    /// What is wrong with its being there, in words; empty where nothing is.
    pub oddities: Vec<String>,
}

/// What a router said of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advertised {
    /// The protocol's version.
    pub version: Version,
    /// Its priority; 0: it stops being active.
    pub priority: u8,
    /// How often it advertises.
    pub interval: Interval,
    /// The addresses that it would have moved.
    pub addresses: Vec<IpAddr>,
}

/// The routers that an instance has heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Peers {
    /// In the order of their addresses. A tree has room for eleven, and most of the time there is
    /// one.
    heard: Vec<Heard>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Heard {
    source: IpAddr,
    last: Now,
    accepted: u64,
    refused: u64,
    advertised: Option<Advertised>,
    refusal: Option<Discard>,
    /// Its last packet, where the next one with the same bytes says nothing new.
    repeatable: Option<Accepted>,
}

/// What an instance expects of the others.
pub(super) struct Expected<'a> {
    pub(super) config: &'a Config,
    pub(super) interval: Interval,
    pub(super) addresses: BTreeSet<IpAddr>,
}

impl Peers {
    /// A packet of this router was accepted.
    pub(super) fn accepted(
        &mut self,
        config: &Config,
        now: Now,
        source: IpAddr,
        advertisement: &Advertisement,
    ) {
        self.note(config, now, source, |heard| heard.accept(advertisement));
    }

    /// A packet of this router was refused.
    pub(super) fn refused(&mut self, config: &Config, now: Now, source: IpAddr, why: Discard) {
        self.note(config, now, source, |heard| {
            heard.refused += 1;
            heard.refusal = Some(why);
            heard.repeatable = None;
        });
    }

    /// The packet of this router that was accepted last says nothing new when it comes again.
    pub(super) fn may_repeat(&mut self, source: IpAddr, packet: Accepted) {
        if let Some(heard) = self.find_mut(source) {
            heard.repeatable = Some(packet);
        }
    }

    /// The last packet of this router, where that may come again.
    pub(super) fn repeatable(&self, source: IpAddr) -> Option<&Accepted> {
        self.find(source)?.repeatable.as_ref()
    }

    /// The last packet of this router has come again.
    pub(super) fn repeated(&mut self, now: Now, source: IpAddr) {
        if let Some(heard) = self.find_mut(source) {
            heard.accepted += 1;
            heard.last = now;
        }
    }

    fn find(&self, source: IpAddr) -> Option<&Heard> {
        self.heard.iter().find(|heard| heard.source == source)
    }

    fn find_mut(&mut self, source: IpAddr) -> Option<&mut Heard> {
        self.heard.iter_mut().find(|heard| heard.source == source)
    }

    /// This router is heard now, perhaps for the first time.
    fn note(&mut self, config: &Config, now: Now, source: IpAddr, change: impl FnOnce(&mut Heard)) {
        if self.find(source).is_none() {
            if self.heard.len() >= REMEMBERED {
                self.forget_one(config);
            }
            let place = self.heard.partition_point(|heard| heard.source < source);
            self.heard.reserve_exact(1);
            self.heard.insert(place, Heard::new(source, now));
        }
        if let Some(heard) = self.find_mut(source) {
            heard.last = now;
            change(heard);
        }
    }

    /// Forgets the one that was heard the longest ago: a stranger before a node of the list, and
    /// who was only ever refused before who was accepted.
    fn forget_one(&mut self, config: &Config) {
        let oldest = self.heard.iter().enumerate().min_by_key(|(_, heard)| {
            (config.node_at(heard.source).is_some(), heard.accepted > 0, heard.last.mono)
        });
        if let Some((place, _)) = oldest {
            self.heard.remove(place);
        }
    }

    /// Whether only nodes of the list were heard.
    pub(super) fn are_all_listed(&self, config: &Config) -> bool {
        let mut accepted = self.heard.iter().filter(|heard| heard.accepted > 0);
        accepted.all(|heard| config.node_at(heard.source).is_some())
    }

    /// How long ago this one was heard last.
    pub(super) fn age(&self, now: Mono, source: IpAddr) -> Option<Span> {
        self.find(source).map(|heard| now.since(heard.last.mono))
    }

    /// What there is to know about each, by address.
    pub(super) fn status(&self, now: Now, expected: &Expected<'_>) -> Vec<PeerStatus> {
        let status = |heard: &Heard| PeerStatus {
            peer: Peer::new(expected.config, heard.source),
            heard: heard.last.wall,
            age: now.mono.since(heard.last.mono),
            accepted: heard.accepted,
            refused: heard.refused,
            advertised: heard.advertised.clone(),
            refusal: heard.refusal,
            oddities: expected.oddities(heard),
        };
        self.heard.iter().map(status).collect()
    }
}

impl Heard {
    fn new(source: IpAddr, now: Now) -> Self {
        Self {
            source,
            last: now,
            accepted: 0,
            refused: 0,
            advertised: None,
            refusal: None,
            repeatable: None,
        }
    }

    fn accept(&mut self, advertisement: &Advertisement) {
        self.accepted += 1;
        self.refusal = None;
        self.repeatable = None;
        let same = self.advertised.as_mut().filter(|old| {
            old.version == advertisement.version && old.addresses == advertisement.addresses
        });
        if let Some(old) = same {
            old.priority = advertisement.priority;
            old.interval = advertisement.interval;
        } else {
            self.advertised = Some(Advertised {
                version: advertisement.version,
                priority: advertisement.priority,
                interval: advertisement.interval,
                addresses: advertisement.addresses.clone(),
            });
        }
    }
}

impl Expected<'_> {
    /// True if it should be one of the configured nodes and is not. Over IPv6 routers advertise
    /// from link-local addresses, which say nothing unless the nodes are listed with theirs.
    fn is_stranger(&self, source: IpAddr) -> bool {
        let kind = |address| (Family::of(address), is_link_local(address));
        let is_comparable = |node: &Node| node.addresses().any(|own| kind(own) == kind(source));
        self.config.nodes.iter().any(is_comparable) && self.config.node_at(source).is_none()
    }

    fn oddities(&self, heard: &Heard) -> Vec<String> {
        let mut odd = Vec::new();
        if self.is_stranger(heard.source) {
            odd.push("is not one of the configured nodes".to_owned());
        }
        if let Some(why) = heard.refusal {
            odd.push(format!("is refused: {why}"));
        }
        let Some(advertised) = &heard.advertised else { return odd };
        if advertised.interval != self.interval {
            odd.push(format!(
                "advertises every {}, this node every {}",
                advertised.interval, self.interval
            ));
        }
        let theirs: BTreeSet<IpAddr> = advertised.addresses.iter().copied().collect();
        let of_family = |ours: &&IpAddr| Family::of(**ours) == Family::of(heard.source);
        let ours: BTreeSet<IpAddr> = self.addresses.iter().filter(of_family).copied().collect();
        let list = |addresses: Vec<&IpAddr>| {
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        let extra: Vec<_> = theirs.difference(&ours).collect();
        if !extra.is_empty() {
            odd.push(format!("advertises {} too", list(extra)));
        }
        let missing: Vec<_> = ours.difference(&theirs).collect();
        if !missing.is_empty() {
            odd.push(format!("does not advertise {}", list(missing)));
        }
        odd
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Vrid;
    use crate::vrrp::packet::Authentication;

    fn at(second: u64) -> Now {
        let nanos = Span::from_secs(second).nanos();
        Now { mono: Mono(nanos), wall: Wall(nanos) }
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn advertisement(addresses: &[u8]) -> Advertisement {
        Advertisement {
            version: Version::V3,
            virtual_router_id: Vrid::try_from(7).unwrap(),
            priority: 190,
            interval: Interval::ONE_SECOND,
            addresses: addresses.iter().map(|last| address(*last)).collect(),
            authentication: Authentication::None,
        }
    }

    fn config() -> Config {
        let node =
            Node { name: "node2".try_into().unwrap(), address: address(12), others: Vec::new() };
        Config { nodes: vec![node], ..Config::default() }
    }

    fn status(peers: &Peers, now: Now) -> Vec<PeerStatus> {
        let config = config();
        let interval = Interval::ONE_SECOND;
        let addresses = [address(100), address(101)].into();
        peers.status(now, &Expected { config: &config, interval, addresses })
    }

    /// Rule: who is heard is listed with its age and with all that is odd about it.
    #[test]
    fn routers_are_listed_with_their_oddities() {
        let mut peers = Peers::default();
        peers.accepted(&config(), at(1), address(12), &advertisement(&[100, 101]));
        peers.accepted(&config(), at(2), address(77), &advertisement(&[100, 5]));
        peers.refused(&config(), at(3), address(78), Discard::VersionMismatch);
        let [node2, stranger, refused] = &status(&peers, at(11))[..] else { panic!() };
        assert_eq!((node2.age, node2.accepted), (Span::from_secs(10), 1));
        assert_eq!(node2.peer.name.as_ref().unwrap().as_str(), "node2");
        assert_eq!(node2.oddities, Vec::<String>::new());
        let expected = [
            "is not one of the configured nodes",
            "advertises 10.0.0.5 too",
            "does not advertise 10.0.0.101",
        ];
        assert_eq!(stranger.oddities, expected);
        assert_eq!((refused.refused, refused.refusal), (1, Some(Discard::VersionMismatch)));
        assert!(refused.oddities[1].starts_with("is refused: "), "{:?}", refused.oddities);
    }

    /// Bug guarded: strangers with ever new addresses neither fill the memory nor push a node of
    /// the list out of it.
    #[test]
    fn strangers_cannot_fill_the_table() {
        let mut peers = Peers::default();
        peers.accepted(&config(), at(1), address(12), &advertisement(&[100]));
        for number in 0..1_000_u32 {
            let [_, _, c, d] = number.to_be_bytes();
            let stranger = IpAddr::from([192, 0, c, d]);
            peers.refused(&config(), at(2 + u64::from(number)), stranger, Discard::Checksum);
        }
        let all = status(&peers, at(5_000));
        assert_eq!(all.len(), REMEMBERED);
        assert!(all.iter().any(|peer| peer.peer.address == address(12)));
        assert!(all.iter().any(|peer| peer.age == Span::from_secs(5_000 - 1_001)));
    }
}
