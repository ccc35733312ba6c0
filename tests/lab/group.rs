//! The usual setting: routers on a segment, and a watcher with a tap and a client.

use std::net::IpAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::stalls::running_time;
use super::{Client, Config, Host, Lab, Segment, Tap, VIP, VIP6, VRID, stalled, within};

/// Far longer than anything that is waited for may take, and shorter than what it must not take: a
/// client's ARP entry lives for more than 20 s. The machine's own stalls are not counted
/// ([`within`]).
pub(crate) const BOUND: Duration = Duration::from_secs(15);

/// How long things have to stay as they are.
pub(crate) const SHORTLY: Duration = Duration::from_millis(750);
pub(crate) const A_WHILE: Duration = Duration::from_millis(1500);

/// The client is served if it was answered this recently.
const RECENTLY: Duration = Duration::from_millis(200);

/// The most pauses in which what is on its way is waited for, on a machine that stands still.
const ATTEMPTS: usize = 20;

/// Hosts for routers, in the order of preference, and one from where they are watched.
pub(crate) struct Group {
    /// What joins them.
    pub(crate) segment: Segment,
    /// Where the routers run.
    pub(crate) nodes: Vec<Host>,
    /// Where the client is, and the tap.
    pub(crate) watcher: Host,
    /// Sees every advertisement.
    pub(crate) tap: Tap,
    /// What moves.
    pub(crate) vip: IpAddr,
    /// Asks it all the time.
    pub(crate) client: Client,
    /// Whether advertisements go to each node alone, from addresses that are not link-local.
    unicast: bool,
}

impl Group {
    /// Hosts with these numbers.
    pub(crate) fn new(lab: &Lab, numbers: &[u8]) -> Self {
        Self::with(lab, numbers, VIP.into())
    }

    /// The same over IPv6.
    pub(crate) fn ipv6(lab: &Lab, numbers: &[u8]) -> Self {
        Self::with(lab, numbers, VIP6.into())
    }

    /// The same in the family of this address, which moves.
    pub(crate) fn with(lab: &Lab, numbers: &[u8], vip: IpAddr) -> Self {
        Self::of(lab, numbers, vip, vip.is_ipv6())
    }

    /// The same with IPv6 addresses beside those of IPv4, and an IPv4 one that moves.
    pub(crate) fn dual(lab: &Lab, numbers: &[u8]) -> Self {
        Self::of(lab, numbers, VIP.into(), true)
    }

    /// The same, where advertisements are sent to each node alone: the segment is a hub, so that they
    /// are seen.
    pub(crate) fn unicast(self) -> Self {
        self.segment.see_all(&self.watcher);
        Self { unicast: true, ..self }
    }

    fn of(lab: &Lab, numbers: &[u8], vip: IpAddr, ipv6: bool) -> Self {
        let segment = Segment::new(lab);
        let nodes: Vec<Host> = numbers.iter().map(|number| segment.host(*number)).collect();
        let watcher = segment.host(1);
        if ipv6 {
            nodes.iter().chain([&watcher]).for_each(Host::add_ipv6);
        }
        let tap = Tap::start(&watcher);
        let client = Client::start(&watcher, &nodes.iter().collect::<Vec<_>>(), vip);
        Self { segment, nodes, watcher, tap, vip, client, unicast: false }
    }

    /// The address that this host advertises from.
    pub(crate) fn source(&self, host: &Host) -> IpAddr {
        match self.vip {
            IpAddr::V4(_) => host.address().into(),
            IpAddr::V6(_) if self.unicast => host.address_in(self.vip, host.number()),
            IpAddr::V6(_) => host.link_local().into(),
        }
    }

    /// The configuration of vipd on all of them, the same for each.
    pub(crate) fn config(&self) -> Config {
        Config::with(&self.nodes.iter().collect::<Vec<_>>(), self.vip)
    }

    /// Waits until `active` advertises and serves the client, and says how long that took.
    #[track_caller]
    pub(crate) fn taken_over_by(&self, active: &Host) -> Duration {
        let start = Instant::now();
        let what = format!("{} is active and serves the client", active.address());
        within(BOUND, &what, || {
            self.client.answered_by(RECENTLY) == Some(active.number())
                && self.advertisers(start).contains(&self.source(active))
        })
    }

    /// Waits until `active` is the only node with the address.
    #[track_caller]
    pub(crate) fn held_only_by(&self, active: &Host) -> Duration {
        within(BOUND, &format!("only {} has the address", active.address()), || {
            self.nodes.iter().all(|node| node.holds(self.vip) == (node.number() == active.number()))
        })
    }

    /// For `span`, and until both were seen, `active` alone advertises and serves the client.
    /// Advertisements that are on their way belong to the past.
    #[track_caller]
    pub(crate) fn stays_with(&self, active: &Host, span: Duration) {
        let start = settled();
        sleep(span);
        within(BOUND, &format!("{} advertises and serves", active.address()), || {
            !self.client.turns(start).is_empty() && !self.advertisers(start).is_empty()
        });
        assert_eq!(self.client.turns(start), [active.number()], "who serves the client");
        assert_eq!(self.advertisers(start), [self.source(active)], "who advertises");
    }

    /// Who has advertised since then, in the family of the address that moves.
    fn advertisers(&self, from: Instant) -> Vec<IpAddr> {
        let all = self.tap.advertisers(VRID, from).into_iter();
        all.filter(|source| source.is_ipv6() == self.vip.is_ipv6()).collect()
    }

    /// The time on the wire from the farewell that `left` has sent since `start` (priority zero) to
    /// the first advertisement of `next` after it, without the machine's stalls. Waits for both.
    #[track_caller]
    pub(crate) fn succession(&self, left: &Host, next: &Host, start: Instant) -> Duration {
        let mut took = None;
        let what = format!("{} takes over after a farewell", next.address());
        within(BOUND, &what, || {
            let all = self.tap.advertisements();
            let farewell = all.iter().find(|seen| {
                seen.at >= start && seen.priority == 0 && seen.source == self.source(left)
            });
            took = farewell.and_then(|farewell| {
                let of_next = |source| source == self.source(next);
                let mut after = all.iter().filter(|seen| seen.at >= farewell.at);
                let first = after.find(|seen| of_next(seen.source) && seen.priority > 0);
                first.map(|first| running_time(farewell.at, first.at))
            });
            took.is_some()
        });
        took.expect("the loop ended with it")
    }

    /// Whether `node` has said since `start` that it stops being active (priority zero).
    pub(crate) fn said_goodbye(&self, node: &Host, start: Instant) -> bool {
        let advertisements = self.tap.advertisements().into_iter();
        let mut goodbyes = advertisements.filter(|seen| seen.priority == 0);
        goodbyes.any(|seen| seen.at >= start && seen.source == self.source(node))
    }
}

/// Waits until what is on its way has arrived: the moment from which on only what comes later
/// counts.
pub(crate) fn settled() -> Instant {
    for _ in 0..ATTEMPTS {
        let start = Instant::now();
        sleep(RECENTLY);
        if stalled(start) < RECENTLY / 4 {
            break;
        }
    }
    Instant::now()
}
