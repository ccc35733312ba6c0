//! The notes of a case while it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::Kind;
use super::intervals::{Span, Times};
use super::life::Life;

/// The kernel's number of the loopback interface, in every namespace.
const LOOPBACK: u32 = 1;

/// A host that goes on answering is noted this often.
const ANSWERS_APART: Duration = Duration::from_millis(20);

/// Everything that was seen and done.
#[derive(Default)]
pub(super) struct Book {
    pub(super) hosts: Vec<Station>,
    /// When each scene ended: the hosts that there are together, until the first of them goes.
    scenes: Vec<Option<Instant>>,
    /// The interface of a host at each port of a switch.
    ports: BTreeMap<(String, u32), (usize, String)>,
    pub(super) troubles: Vec<Trouble>,
    pub(super) lives: Vec<Life>,
    pub(super) deeds: Vec<Deed>,
    pub(super) answers: Vec<Answer>,
    pub(super) expected: Vec<Expected>,
    /// Whole machines, whose agents the lab does not start: nobody says what they could do.
    pub(super) machines: bool,
    /// Routers of others take part.
    pub(super) others: bool,
    /// Messages of the kernel were lost.
    pub(super) lost: bool,
}

/// A host as its kernel tells of it.
#[derive(Default)]
pub(super) struct Station {
    pub(super) name: String,
    /// The scene that it is part of.
    pub(super) scene: usize,
    links: BTreeMap<u32, Link>,
    pub(super) held: Vec<Held>,
    /// Those among them that it has now: there may be thousands.
    open: BTreeMap<Place, usize>,
}

/// An interface.
#[derive(Default)]
struct Link {
    name: String,
    /// The number of the one below (a macvlan's).
    below: Option<u32>,
    /// When it came to run, or ceased to.
    changes: Vec<(Instant, bool)>,
}

/// An address on an interface, for a while.
pub(super) struct Held {
    pub(super) place: Place,
    pub(super) from: Instant,
    pub(super) until: Option<Instant>,
    /// When its lifetime was set last.
    renewed: Instant,
    /// The lifetime, where it has one.
    pub(super) lifetime: Option<Duration>,
}

/// An address on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) interface: u32,
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
}

/// A trouble that the case made with the cable of a host.
pub(super) struct Trouble {
    pub(super) host: usize,
    pub(super) interface: String,
    pub(super) kind: TroubleKind,
    pub(super) from: Instant,
    pub(super) until: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TroubleKind {
    /// Nothing comes through.
    Cut,
    /// No multicast comes through to the host.
    Deaf,
}

/// A command or request of the case at a host or a switch.
pub(super) struct Deed {
    pub(super) at: Instant,
    /// When it was done.
    pub(super) until: Instant,
    pub(super) host: Option<usize>,
    pub(super) what: String,
    /// It may have changed what an agent has on the system.
    pub(super) interferes: bool,
}

/// Somebody says on the wire to have an address.
pub(super) struct Answer {
    pub(super) at: Instant,
    pub(super) host: usize,
    pub(super) address: IpAddr,
}

/// A declaration of the case.
pub(super) struct Expected {
    pub(super) kind: Kind,
    pub(super) from: Instant,
    pub(super) until: Option<Instant>,
    pub(super) at_most: Duration,
    pub(super) why: &'static str,
}

impl Book {
    pub(super) fn add_host(&mut self, name: &str) -> usize {
        if self.scenes.last().is_none_or(Option::is_some) {
            self.scenes.push(None);
        }
        let scene = self.scenes.len() - 1;
        self.hosts.push(Station { name: name.to_owned(), scene, ..Station::default() });
        self.hosts.len() - 1
    }

    /// A host is no more, and so its scene.
    pub(super) fn host_ends(&mut self, host: usize, at: Instant) {
        if let Some(station) = self.hosts.get(host) {
            self.scenes[station.scene].get_or_insert(at);
        }
    }

    /// The scenes with their ends, `now` for those that go on.
    pub(super) fn scenes(&self, now: Instant) -> impl Iterator<Item = (usize, Instant)> {
        self.scenes.iter().map(move |end| end.unwrap_or(now)).enumerate()
    }

    pub(super) fn add_life(&mut self, life: Life) -> usize {
        self.lives.push(life);
        self.lives.len() - 1
    }

    pub(super) fn add_port(&mut self, switch: &str, port: u32, host: usize, interface: &str) {
        self.ports.insert((switch.to_owned(), port), (host, interface.to_owned()));
    }

    /// The interface by which a host is at this switch.
    pub(super) fn interface_at(&self, switch: &str, host: usize) -> Option<String> {
        let mut ports = self.ports.iter();
        let found = ports.find(|((at, _), (whose, _))| at == switch && *whose == host);
        found.map(|(_, (_, interface))| interface.clone())
    }

    /// A trouble begins, or the one of the same kind ends.
    pub(super) fn troubled(&mut self, trouble: Trouble, begins: bool, at: Instant) {
        let is_it = |one: &&mut Trouble| {
            one.until.is_none()
                && (one.host, one.kind) == (trouble.host, trouble.kind)
                && one.interface == trouble.interface
        };
        match (self.troubles.iter_mut().find(is_it), begins) {
            (None, true) => self.troubles.push(trouble),
            (Some(open), false) => open.until = Some(at),
            _ => {}
        }
    }

    pub(super) fn does(
        &mut self,
        at: Instant,
        host: Option<usize>,
        what: &str,
        interferes: bool,
    ) -> usize {
        self.deeds.push(Deed { at, until: at, host, what: what.to_owned(), interferes });
        self.deeds.len() - 1
    }

    /// A frame that says so came in at this port.
    pub(super) fn answered(&mut self, at: Instant, switch: &str, port: u32, address: IpAddr) {
        let Some((host, _)) = self.ports.get(&(switch.to_owned(), port)) else { return };
        let host = *host;
        let lately = self.answers.iter().rev().take_while(|one| at < one.at + ANSWERS_APART);
        if !lately.into_iter().any(|one| one.host == host && one.address == address) {
            self.answers.push(Answer { at, host, address });
        }
    }

    /// The times at which the kernel of a host would answer for an address, and be heard.
    pub(super) fn owned(&self, host: usize, address: IpAddr, end: Instant) -> Times {
        let station = &self.hosts[host];
        let all = Span::new(station.held.iter().map(|held| held.from).min().unwrap_or(end), end);
        let of_it = station.held.iter().filter(|held| held.place.address == address);
        let spans = of_it.flat_map(|held| {
            let there = Times::all(Span::new(held.from, held.until.unwrap_or(end)));
            let there = there.and(&station.running(held.place.interface, end));
            let cut = self.cut(host, &station.names(held.place.interface), end);
            there.but(&cut).iter().collect::<Vec<_>>()
        });
        spans.collect::<Times>().and(&Times::all(all))
    }

    fn cut(&self, host: usize, interfaces: &[&str], end: Instant) -> Times {
        let of_it = self.troubles.iter().filter(|one| {
            one.host == host
                && one.kind == TroubleKind::Cut
                && interfaces.contains(&one.interface.as_str())
        });
        of_it.map(|one| Span::new(one.from, one.until.unwrap_or(end))).collect()
    }

    /// The addresses that were leased somewhere. Without the link-local ones where there are several
    /// segments: the virtual router's own is the same on each.
    pub(super) fn virtual_addresses(&self) -> Vec<IpAddr> {
        let segments: BTreeSet<&str> = self.ports.keys().map(|(at, _)| at.as_str()).collect();
        let is_meant = |address: &IpAddr| match address {
            IpAddr::V4(_) => true,
            IpAddr::V6(address) => !address.is_unicast_link_local() || segments.len() <= 1,
        };
        let held = self.hosts.iter().flat_map(|host| &host.held);
        let leased = held.filter(|held| held.lifetime.is_some());
        let all = leased.map(|held| held.place.address);
        let mut addresses: Vec<IpAddr> = all.filter(is_meant).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }
}

impl Held {
    /// The moment at which the kernel should take it away by itself.
    pub(super) fn lease_end(&self) -> Option<Instant> {
        self.lifetime.map(|lifetime| self.renewed + lifetime)
    }
}

impl Station {
    /// An interface is there.
    pub(super) fn link(&mut self, at: Instant, number: u32, news: (&str, Option<u32>, bool)) {
        let (name, below, runs) = news;
        let link = self.links.entry(number).or_default();
        name.clone_into(&mut link.name);
        link.below = below;
        if link.changes.last().map_or(runs, |(_, before)| *before != runs) {
            link.changes.push((at, runs));
        }
    }

    /// An interface has gone, and its addresses with it.
    pub(super) fn link_gone(&mut self, at: Instant, number: u32) {
        self.links.remove(&number);
        let there = self.open.keys().filter(|place| place.interface == number);
        let gone: Vec<Place> = there.copied().collect();
        for place in gone {
            self.address_gone(at, place);
        }
    }

    /// An address is there: since when, and when that was told, from when its lifetime counts.
    pub(super) fn address(&mut self, at: [Instant; 2], place: Place, lifetime: Option<Duration>) {
        let [from, renewed] = at;
        if place.interface == LOOPBACK {
            return;
        }
        if let Some(open) = self.open.get(&place) {
            let held = &mut self.held[*open];
            held.renewed = renewed;
            held.lifetime = lifetime.or(held.lifetime);
        } else {
            self.open.insert(place, self.held.len());
            self.held.push(Held { place, from, until: None, renewed, lifetime });
        }
    }

    /// An address has gone, or cannot be used.
    pub(super) fn address_gone(&mut self, at: Instant, place: Place) {
        if let Some(open) = self.open.remove(&place) {
            self.held[open].until = Some(at);
        }
    }

    /// The times at which an interface is up and has carrier. One that has gone since is taken as
    /// having run: its addresses ended with it.
    fn running(&self, number: u32, end: Instant) -> Times {
        let Some(link) = self.links.get(&number) else {
            let since = self.held.iter().map(|held| held.from).min();
            return since.map_or_else(Times::default, |since| Times::all(Span::new(since, end)));
        };
        let ends = link.changes.iter().skip(1).map(|(at, _)| *at).chain([end]);
        let spans = link.changes.iter().zip(ends).filter(|((_, runs), _)| *runs);
        spans.map(|((from, _), until)| Span::new(*from, until)).collect()
    }

    /// The moments at which an interface came to run.
    pub(super) fn came_to_run(&self) -> impl Iterator<Item = Instant> {
        let changes = self.links.values().flat_map(|link| &link.changes);
        changes.filter(|(_, runs)| *runs).map(|(at, _)| *at)
    }

    /// The moments at which an interface ceased to run.
    pub(super) fn ceased_to_run(&self) -> impl Iterator<Item = Instant> {
        let changes = self.links.values().flat_map(|link| &link.changes);
        changes.filter(|(_, runs)| !*runs).map(|(at, _)| *at)
    }

    /// The name of an interface, and of the one below.
    fn names(&self, number: u32) -> Vec<&str> {
        let link = self.links.get(&number);
        let below = link.and_then(|link| self.links.get(&link.below?));
        link.into_iter().chain(below).map(|link| link.name.as_str()).collect()
    }
}
