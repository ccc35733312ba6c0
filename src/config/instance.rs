//! One instance.

use super::address;
use super::authentication;
use super::family;
use super::fields::{Lease, Pace};
use super::keys::INSTANCE;
use super::nodes::Nodes;
use super::notify;
use super::problem::{Marked, Problems, Spot, Wrong};
use super::routing;
use super::section::{Given, Section};
use super::source::Entry;
use super::transport;
use crate::model::{
    ChecksumStyle, Family, IfAllFail, InstanceConfig, InstanceName, InterfaceName, Interval,
    Preempt, Priority, Route, Rule, TrackName, Version, VirtualAddress, Vrid,
};
use crate::time::Span;

/// How long an interface must have had carrier: a switch drops frames while it still learns
/// that the port is up.
const HOLD_DOWN: Span = Span::from_secs(3);

/// How often the addresses are announced while nothing happens: within the time that switches and
/// hosts usually remember an address.
const ANNOUNCE_REFRESH: Span = Span::from_secs(60);

/// By how much another router's interval may exceed ours.
const MAXIMUM_INTERVAL_FACTOR: u16 = 10;

/// An instance as far as it could be read: what is compared with the others, and the whole of it
/// where nothing in it is wrong.
pub(super) struct Draft<'n> {
    pub(super) section: Section<'n>,
    pub(super) name: Option<InstanceName>,
    pub(super) interface: Option<InterfaceName>,
    /// `None`: what is written is wrong.
    pub(super) further_interfaces: Option<Vec<InterfaceName>>,
    pub(super) virtual_router_id: Option<Marked<Vrid>>,
    pub(super) addresses: Vec<Marked<VirtualAddress>>,
    pub(super) extra_addresses: Vec<Marked<VirtualAddress>>,
    pub(super) routes: Option<Vec<Marked<Route>>>,
    pub(super) rules: Option<Vec<Marked<Rule>>>,
    pub(super) priority: Given<Priority>,
    pub(super) tracks: Given<Vec<Marked<TrackName>>>,
    pub(super) config: Option<InstanceConfig>,
}

/// Reads the instance that stands under `instances`, whose spot is `within`.
pub(super) fn read<'n>(
    entry: &'n Entry,
    within: &Spot,
    nodes: &Nodes,
    problems: &mut Problems<'_>,
) -> Option<Draft<'n>> {
    let spot = within.key(&entry.key, entry.place);
    let name =
        InstanceName::try_from(entry.key.as_str()).map_err(|bad| problems.add(&spot, bad.into()));
    let section = Section::open(&entry.node, spot, &INSTANCE, problems)?;
    let interface = section.require::<InterfaceName>("interface", problems).map(|m| m.value);
    let mut draft = Draft {
        virtual_router_id: section.require("virtual_router_id", problems),
        addresses: address::read(&section, interface.as_ref(), problems),
        extra_addresses: address::read_extra(&section, interface.as_ref(), problems),
        routes: routing::routes(&section, interface.as_ref(), problems),
        rules: routing::rules(&section, problems),
        priority: section.take("priority", problems),
        tracks: section.several("track", problems),
        further_interfaces: transport::further_interfaces(&section, interface.as_ref(), problems),
        interface,
        name: name.ok(),
        section,
        config: None,
    };
    let id = draft.virtual_router_id.as_ref().map(|marked| marked.value);
    let Draft { section, interface, addresses, priority, .. } = &mut draft;
    family::settle(section, addresses, interface.as_ref(), id, priority, problems);
    draft.config = rest(&draft, nodes, problems);
    Some(draft)
}

impl Draft<'_> {
    /// Whether it has an address of that family.
    pub(super) fn has(&self, family: Family) -> bool {
        family::has(&self.addresses, family)
    }

    /// The interfaces on which it speaks, as far as they are known.
    pub(super) fn interfaces(&self) -> impl Iterator<Item = &InterfaceName> {
        self.interface.iter().chain(self.further_interfaces.iter().flatten())
    }

    /// All addresses that move.
    pub(super) fn moving_addresses(&self) -> impl Iterator<Item = &Marked<VirtualAddress>> {
        self.addresses.iter().chain(&self.extra_addresses)
    }

    pub(super) fn has_owner_priority(&self) -> bool {
        matches!(&self.priority, Given::Right(priority) if priority.value.is_owner())
    }

    /// The names of the checks that it depends on.
    pub(super) fn track_names(&self) -> impl Iterator<Item = &TrackName> {
        let list = match &self.tracks {
            Given::Right(list) => list.value.as_slice(),
            Given::Absent | Given::Wrong => &[],
        };
        list.iter().map(|marked| &marked.value)
    }
}

/// Reads the keys that are nobody else's business, and puts all together.
fn rest(draft: &Draft<'_>, nodes: &Nodes, problems: &mut Problems<'_>) -> Option<InstanceConfig> {
    let section = &draft.section;
    let version = version(draft, problems);
    let priority = own_priority(section, &draft.priority, nodes, problems);
    let intervals = Intervals::read(section, version, problems);
    let preempt = preempt(section, &draft.priority, problems);
    let hold_down = section.take("hold_down", problems).or(HOLD_DOWN);
    let link_down_delay = section.take("link_down_delay", problems).or(Span::ZERO);
    let link_up_delay = section.take("link_up_delay", problems).or(Span::ZERO);
    let lease = section.take::<Lease>("lease", problems);
    let announce_refresh = section.take("announce_refresh", problems).or(ANNOUNCE_REFRESH);
    let checksum = checksum(draft, version, problems);
    accept(section, problems);
    let transport = transport::read(section, &draft.addresses, nodes, problems);
    let if_all_fail = section.take("if_all_fail", problems).or(IfAllFail::Release);
    let notify = notify::read(section, problems);
    let pace = intervals.as_ref().map(|intervals| intervals.advertisement);
    let authentication = authentication::read(section, version, pace, problems);
    let virtual_mac = virtual_mac(draft, problems);
    let intervals = intervals?;
    Some(InstanceConfig {
        name: draft.name.clone()?,
        interface: draft.interface.clone()?,
        further_interfaces: draft.further_interfaces.clone()?,
        transport: transport?,
        virtual_router_id: draft.virtual_router_id.as_ref()?.value,
        version: version?,
        priority: priority?,
        advertisement_interval: intervals.advertisement,
        maximum_interval: intervals.maximum,
        addresses: placed(draft, virtual_mac?),
        extra_addresses: values(&draft.extra_addresses),
        routes: values(draft.routes.as_ref()?),
        rules: values(draft.rules.as_ref()?),
        preempt: preempt?,
        hold_down: hold_down?,
        link_down_delay: link_down_delay?,
        link_up_delay: link_up_delay?,
        lease: lease.or(Lease::following(intervals.advertisement, version?))?.0,
        announce_refresh: announce_refresh?,
        checksum: checksum?,
        tracks: match draft.tracks {
            Given::Wrong => return None,
            Given::Absent | Given::Right(_) => draft.track_names().cloned().collect(),
        },
        if_all_fail: if_all_fail?,
        notify: notify?,
        authentication: authentication?,
        virtual_mac: virtual_mac?,
    })
}

fn values<T: Clone>(list: &[Marked<T>]) -> Vec<T> {
    list.iter().map(|marked| marked.value.clone()).collect()
}

/// The priority that is written, or else that of this node's place in the order.
fn own_priority(
    section: &Section<'_>,
    given: &Given<Priority>,
    nodes: &Nodes,
    problems: &mut Problems<'_>,
) -> Option<Priority> {
    match given {
        Given::Right(priority) => Some(priority.value),
        Given::Wrong => None,
        Given::Absent => {
            if !nodes.given {
                let hint = "list the group under 'nodes' in order of preference, or write it here";
                section.missing("priority", hint, problems);
            }
            nodes.priority()
        }
    }
}

struct Intervals {
    advertisement: Interval,
    maximum: Interval,
}

impl Intervals {
    /// `version` is `None` where it is wrong: then no interval can be judged.
    fn read(
        section: &Section<'_>,
        version: Option<Version>,
        problems: &mut Problems<'_>,
    ) -> Option<Self> {
        let advertisement = section.take::<Pace>("advertisement_interval", problems);
        let maximum = section.take::<Pace>("maximum_interval", problems);
        let version = version?;
        let advertisement = fitting(advertisement, version, problems);
        if let (Version::V2, Given::Right(maximum)) = (version, &maximum) {
            let wrong = Wrong::new("has no meaning in version 2, which learns no interval");
            problems.add(&maximum.spot, wrong.hint("leave it out"));
            return None;
        }
        let maximum = fitting(maximum, version, problems);
        let advertisement = advertisement.or(Interval::ONE_SECOND)?;
        if let Given::Right(maximum) = &maximum
            && maximum.value < advertisement
        {
            let what = format!("is shorter than the advertisement interval, {advertisement}");
            let hint = "leave it out, or write a longer one";
            problems.add(&maximum.spot, Wrong::new(what).hint(hint));
        }
        let maximum = maximum.or(match version {
            Version::V2 => advertisement,
            Version::V3 => longest_learnt(advertisement),
        })?;
        Some(Self { advertisement, maximum })
    }
}

/// Ten times our own: as much as routers of one group that were set up by hand are likely to
/// differ, and little enough that one wrong frame cannot stop takeovers for minutes.
fn longest_learnt(own: Interval) -> Interval {
    Interval::try_from(own.centiseconds().saturating_mul(MAXIMUM_INTERVAL_FACTOR))
        .map_or(Interval::LONGEST_V3, |interval| interval.min(Interval::LONGEST_V3))
}

/// The interval, if an advertisement of this version can carry it.
fn fitting(given: Given<Pace>, version: Version, problems: &mut Problems<'_>) -> Given<Interval> {
    match given {
        Given::Absent => Given::Absent,
        Given::Wrong => Given::Wrong,
        Given::Right(Marked { value, spot }) => match value.interval(version) {
            Ok(value) => Given::Right(Marked { value, spot }),
            Err(wrong) => {
                problems.add(&spot, wrong);
                Given::Wrong
            }
        },
    }
}

/// RFC 9568 section 6.1 preempts unless it is told not to.
fn preempt(
    section: &Section<'_>,
    priority: &Given<Priority>,
    problems: &mut Problems<'_>,
) -> Option<Preempt> {
    let preempt = section.take("preempt", problems);
    if let (Given::Right(preempt), Given::Right(priority)) = (&preempt, priority)
        && priority.value.is_owner()
        && preempt.value != Preempt::Always
    {
        let wrong =
            Wrong::new("has no effect at priority 255: the address owner always takes over");
        problems.add(&preempt.spot, wrong.hint("leave it out"));
    }
    preempt.or(Preempt::Always)
}

/// RFC 3768 section 1.1: version 2 is for IPv4.
fn version(draft: &Draft<'_>, problems: &mut Problems<'_>) -> Option<Version> {
    let version = draft.section.take("version", problems);
    if let Given::Right(version) = &version
        && version.value == Version::V2
        && draft.has(Family::V6)
    {
        let some = if draft.has(Family::V4) { "some of the addresses" } else { "the addresses" };
        let wrong = Wrong::new(format!("2 knows IPv4 only, and {some} are IPv6"));
        problems.add(&version.spot, wrong.hint("write 3, or leave it out"));
    }
    version.or(Version::V3)
}

fn checksum(
    draft: &Draft<'_>,
    version: Option<Version>,
    problems: &mut Problems<'_>,
) -> Option<ChecksumStyle> {
    let checksum = draft.section.take("checksum", problems);
    let alone = match version {
        Some(Version::V2) => Some("in version 2"),
        _ if draft.has(Family::V6) && !draft.has(Family::V4) => Some("over IPv6"),
        _ => None,
    };
    if let (Given::Right(checksum), Some(alone)) = (&checksum, alone) {
        let what = format!("has no meaning {alone}, which has one kind of checksum");
        problems.add(&checksum.spot, Wrong::new(what).hint("leave it out"));
    }
    checksum.or(ChecksumStyle::Auto)
}

/// The addresses as they are put on. On the device with the virtual MAC a link-local address is the only
/// one, and without the network that goes with it nobody on the link could be answered.
fn placed(draft: &Draft<'_>, virtual_mac: bool) -> Vec<VirtualAddress> {
    let mut addresses: Vec<_> = values(&draft.addresses);
    for address in addresses.iter_mut().filter(|_| virtual_mac) {
        if address.is_link_local() && address.dev.is_none() && address.prefix == 128 {
            address.prefix = 64;
        }
    }
    addresses
}

/// Refuses what could not have an effect.
fn virtual_mac(draft: &Draft<'_>, problems: &mut Problems<'_>) -> Option<bool> {
    let virtual_mac = draft.section.take::<bool>("virtual_mac", problems);
    let Given::Right(Marked { value: true, spot }) = &virtual_mac else {
        return virtual_mac.or(false);
    };
    if draft.has_owner_priority() {
        let what = "has no effect at priority 255: the owner's addresses are not moved";
        problems.add(spot, Wrong::new(what).hint("leave it out"));
    }
    virtual_mac.or(false)
}

/// RFC 9568 section 6.1 has `Accept_Mode` false unless it is told otherwise, for routers that only
/// forward. What stands behind a virtual address here is a server.
fn accept(section: &Section<'_>, problems: &mut Problems<'_>) {
    if let Given::Right(accept) = section.take::<bool>("accept", problems)
        && !accept.value
    {
        let wrong = Wrong::new(
            "is not what vipd does: the active node accepts what is sent to its addresses, and vipd \
             writes no firewall rules",
        );
        let hint = "leave it out, and where nobody may reach the addresses themselves, drop it: \
                    nft add rule inet filter input ip daddr ADDRESS drop";
        problems.add(&accept.spot, wrong.hint(hint));
    }
}
