//! Finds the overlaps, holes and answers that nothing explains.
//!
//! The bounds are the documented ones ([architecture](../../../docs/architecture.md), invariants
//! 2, 3 and 5; [failover](../../../docs/failover.md)):
//!
//! - Two owners: [`MOVE`], the make-before-break of a planned move, however busy the machine is.
//!   Longer while one of them cannot know of the other: the daemon is dead or stands still (until
//!   its lease has ended, and the kernel is [`LATE`]), it hears nothing (its cable, multicast), or
//!   it has only now come back from that (the active-down interval, in which it listens).
//! - No owner after a planned move (a stop, a handover, a better router) that left a backup that
//!   was ready: [`GAPLESS`], what the clocks of two kernels' messages may differ by.
//! - No owner otherwise: as long as every agent is dead, frozen, cut off, or says itself that it
//!   may not take over; and for the dead time (the active-down interval and [`MARGIN`]) from when
//!   one may.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::Kind;
use super::book::{Book, Held, TroubleKind};
use super::intervals::{Span, Times};
use super::life::{Life, State};
use super::story;
use crate::lab::stalls::running_time;

/// The longest overlap of a planned move on a busy machine; it takes milliseconds.
const MOVE: Duration = Duration::from_millis(500);

/// The time from the end of a lifetime to the removal of the address, at the worst (failover.md).
const LATE: Duration = Duration::from_millis(2500);

/// The longest hole that a planned move may seem to have: messages of two kernels, read one after
/// the other.
const GAPLESS: Duration = Duration::from_millis(30);

/// The addition of a busy machine to a takeover: programs, sockets, the kernel's lock for all
/// interfaces.
const MARGIN: Duration = Duration::from_secs(1);

/// The intervals of a takeover after silence: three and the skew time, which is less than one.
const INTERVALS: u32 = 4;

/// A status is told this long after the change, or before it.
const TOLD: Duration = Duration::from_secs(1);

/// The time for which somebody else's hand on the addresses explains what happens next.
const INTERFERENCE: Duration = Duration::from_secs(1);

/// The time for which a host may seem to answer after it has let go: frames that were on their way.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// The distance of a host that never has an address from having it.
const NEVER: Duration = Duration::from_secs(3600);

/// A time that nothing explains.
pub(super) struct Finding {
    pub(super) kind: Kind,
    pub(super) address: IpAddr,
    pub(super) span: Span,
    /// Without the machine's stalls.
    pub(super) took: Duration,
    pub(super) bound: Duration,
    /// The hosts, and the expectation.
    pub(super) who: String,
}

/// Fails with every finding that the case has not declared.
pub(super) fn judge(book: &Book, end: Instant) -> Result<(), String> {
    if book.others {
        return Ok(());
    }
    if book.lost {
        return Err("the watch of the owners has lost messages of the kernel".to_owned());
    }
    let mut findings = Vec::new();
    for (scene, end) in book.scenes(end) {
        for address in book.virtual_addresses() {
            let court = Court::new(book, scene, address, end);
            court.overlaps(&mut findings);
            court.holes(&mut findings);
            court.answers(&mut findings);
        }
    }
    findings.retain(|finding| !is_declared(book, finding));
    if findings.is_empty() { Ok(()) } else { Err(story::tell(book, &findings)) }
}

/// The longest time for which no host owned an address, from `from` to `end`.
pub(super) fn longest_hole(book: &Book, address: IpAddr, from: Instant, end: Instant) -> Duration {
    let holes = book.scenes(end).map(|(scene, end)| {
        let court = Court::new(book, scene, address, end);
        court.anybody().gaps(end).and(&Times::all(Span::new(from, end)))
    });
    let spans = holes.flat_map(|holes| holes.iter().collect::<Vec<_>>());
    spans.map(|span| running_time(span.from, span.until)).max().unwrap_or_default()
}

fn is_declared(book: &Book, finding: &Finding) -> bool {
    book.expected.iter().any(|one| {
        one.kind == finding.kind
            && one.from < finding.span.until
            && one.until.is_none_or(|until| finding.span.from < until)
            && finding.took <= one.at_most
    })
}

/// All that is about one address.
struct Court<'a> {
    book: &'a Book,
    scene: usize,
    address: IpAddr,
    end: Instant,
    /// The times of each host as its owner.
    owned: Vec<Times>,
    /// The longest advertisement interval of its instances.
    interval: Duration,
}

impl<'a> Court<'a> {
    fn new(book: &'a Book, scene: usize, address: IpAddr, end: Instant) -> Self {
        let hosts = book.hosts.iter().enumerate();
        let owned = hosts.map(|(host, station)| {
            if station.scene == scene { book.owned(host, address, end) } else { Times::default() }
        });
        let owned = owned.collect();
        let of_it = book.lives.iter().filter_map(|life| life.interval(Some(address))).max();
        let any = || book.lives.iter().filter_map(|life| life.interval(None)).max();
        let interval = of_it.or_else(any).unwrap_or(Duration::from_secs(1));
        Self { book, scene, address, end, owned, interval }
    }

    /// In this time a node that hears the other one at last has seen that it is not alone.
    fn active_down(&self) -> Duration {
        self.interval * INTERVALS
    }

    fn overlaps(&self, findings: &mut Vec<Finding>) {
        let hosts = self.owned.len();
        for (one, two) in (0..hosts).flat_map(|one| (one + 1..hosts).map(move |two| (one, two))) {
            let both = self.owned[one].and(&self.owned[two]);
            if both.iter().next().is_none() {
                continue;
            }
            let excused = self.excused(one).or(&self.excused(two));
            for span in both.but(&excused).iter() {
                let took = running_time(span.from, span.until);
                if took > MOVE {
                    let names = [one, two].map(|host| self.book.hosts[host].name.as_str());
                    let who = format!("both {} and {} own it", names[0], names[1]);
                    findings.push(self.finding(Kind::Overlap, span, took, MOVE, who));
                }
            }
        }
    }

    /// The times at which a host cannot know that it is not the only owner.
    fn excused(&self, host: usize) -> Times {
        let recovers = |span: Span| Span::new(span.from, span.until + self.active_down() + MOVE);
        let station = &self.book.hosts[host];
        let lives = || self.book.lives.iter().filter(|life| life.host == host);
        let dead = lives().filter_map(|life| self.leftover(life));
        let still = lives().flat_map(|life| {
            let still: Vec<Span> = life.still(self.end).iter().collect();
            still.into_iter().map(|span| {
                let lease = self.lease_end_at(host, span.from).map_or(self.end, |end| end + LATE);
                recovers(Span::new(span.from, span.until.min(lease.max(span.from))))
            })
        });
        let troubles = self.book.troubles.iter().filter(|trouble| trouble.host == host);
        let troubles = troubles.map(|one| Span::new(one.from, one.until.unwrap_or(self.end)));
        let returned = station.came_to_run().map(|at| Span::new(at, at));
        let all = dead.chain(still).chain(troubles.map(recovers)).chain(returned.map(recovers));
        all.collect()
    }

    /// The time for which the address of a killed agent may stay: until its lease has ended, or
    /// another agent has started there and has put it in order.
    fn leftover(&self, life: &Life) -> Option<Span> {
        let ended = life.ended.filter(|_| life.was_killed())?;
        let lease = self.lease_end_at(life.host, ended).map_or(self.end, |end| end + LATE);
        let after = self.book.lives.iter().filter(|next| next.host == life.host);
        let next = after.map(|next| next.started).filter(|started| *started >= ended).min();
        let until = next.map_or(lease, |next| lease.min(next + self.active_down() + MARGIN));
        Some(Span::new(ended, until))
    }

    /// The end of the lease that a host has at this moment, or `None` for an address without.
    fn lease_end_at(&self, host: usize, at: Instant) -> Option<Instant> {
        let held = self.book.hosts[host].held.iter().filter(|held| {
            held.place.address == self.address
                && held.from <= at
                && held.until.is_none_or(|until| at < until)
        });
        held.filter_map(Held::lease_end).max()
    }

    fn holes(&self, findings: &mut Vec<Finding>) {
        for hole in self.anybody().gaps(self.end).iter() {
            self.planned(hole, findings);
            self.unplanned(hole, findings);
            if self.book.machines && hole.until < self.end {
                self.of_machines(hole, findings);
            }
        }
    }

    /// The times at which there was an owner.
    fn anybody(&self) -> Times {
        self.owned.iter().flat_map(Times::iter).collect()
    }

    /// A hole among whole machines, of which nobody says what they could do.
    fn of_machines(&self, hole: Span, findings: &mut Vec<Finding>) {
        let owners = self.owned.iter().filter(|owned| owned.iter().next().is_some()).count();
        let (took, bound) = (running_time(hole.from, hole.until), self.active_down() + MARGIN);
        if owners > 1 && took > bound {
            findings.push(self.finding(Kind::Hole, hole, took, bound, "nobody owns it".to_owned()));
        }
    }

    /// A hole that a planned move has left.
    fn planned(&self, hole: Span, findings: &mut Vec<Finding>) {
        let Some(left) =
            self.owned.iter().position(|owned| owned.iter().any(|span| span.until == hole.from))
        else {
            return;
        };
        let took = running_time(hole.from, hole.until);
        if took <= GAPLESS || !self.is_by_its_own_will(left, hole.from) {
            return;
        }
        let ready = self
            .book
            .lives
            .iter()
            .find(|life| life.host != left && self.was_ready(life, hole.from));
        if let Some(ready) = ready {
            let who = format!(
                "{} has let go of it and {} was a backup",
                self.book.hosts[left].name, self.book.hosts[ready.host].name
            );
            findings.push(self.finding(Kind::Hole, hole, took, GAPLESS, who));
        }
    }

    /// Says if the agent of a host let go without need: it runs, it is heard, nobody else has
    /// touched its addresses, and it is in no trouble.
    fn is_by_its_own_will(&self, host: usize, at: Instant) -> bool {
        let Some(life) = self
            .book
            .lives
            .iter()
            .find(|life| life.host == host && life.running(self.end).contains(before(at)))
        else {
            return false;
        };
        if !life.configured(self.address, self.end).contains(at) {
            return false;
        }
        let around = Span::new(before_by(at, TOLD), at + TOLD);
        let disturbed = self
            .disturbed(host)
            .iter()
            .any(|span| span.from < around.until && around.from < span.until);
        let deeds = self.book.deeds.iter().filter(|deed| deed.host.is_none_or(|it| it == host));
        let touched = deeds
            .filter(|deed| deed.interferes)
            .any(|deed| deed.at <= at && at < deed.until + INTERFERENCE);
        let said = life.states(self.address);
        let out = said.iter().any(|(when, state)| *state == State::Out && around.contains(*when));
        let asked = life.lines().iter().any(|(when, line)| {
            around.contains(*when) && (line == "STOPPING=1" || line.contains("leaving"))
        });
        !disturbed && !touched && (!out || asked)
    }

    /// The times at which a host was frozen, cut off, deaf, or without carrier.
    fn disturbed(&self, host: usize) -> Times {
        let lives = self.book.lives.iter().filter(|life| life.host == host);
        let still = lives.flat_map(|life| life.still(self.end).iter().collect::<Vec<_>>());
        let troubles = self.book.troubles.iter().filter(|trouble| trouble.host == host);
        let troubles = troubles.map(|one| Span::new(one.from, one.until.unwrap_or(self.end)));
        let station = &self.book.hosts[host];
        let ceased = station.ceased_to_run().map(|at| Span::new(at, at + MARGIN));
        still.chain(troubles).chain(ceased).collect()
    }

    /// Says if an agent was a backup that has heard the active one, and nothing disturbed it in the
    /// time that a takeover takes.
    fn was_ready(&self, life: &Life, at: Instant) -> bool {
        let lately = Times::all(Span::new(before_by(at, self.active_down()), at));
        let disturbed = self.disturbed(life.host).and(&lately);
        self.may_take_over(life).contains(before(at))
            && life.hears_an_active_one(at)
            && disturbed.iter().next().is_none()
    }

    /// The times at which an agent may take the address, by its own words and by what is done to
    /// it.
    fn may_take_over(&self, life: &Life) -> Times {
        if self.book.hosts[life.host].scene != self.scene {
            return Times::default();
        }
        let states = life.times_in(&[State::Active, State::Backup], self.address, self.end);
        let configured = life.configured(self.address, self.end);
        let awake = life.running(self.end).but(&self.disturbed(life.host));
        states.and(&configured).and(&awake)
    }

    fn unplanned(&self, hole: Span, findings: &mut Vec<Finding>) {
        let bound = self.active_down() + MARGIN;
        for life in &self.book.lives {
            let idle = self.may_take_over(life).and(&Times::all(hole));
            for span in idle.iter() {
                let took = running_time(span.from, span.until);
                if took > bound {
                    let name = &self.book.hosts[life.host].name;
                    let who = format!("nobody owns it and {name} could take over");
                    findings.push(self.finding(Kind::Hole, span, took, bound, who));
                }
            }
        }
    }

    /// Hosts that answer for an address that they do not have.
    fn answers(&self, findings: &mut Vec<Finding>) {
        for answer in self.book.answers.iter().filter(|one| one.address == self.address) {
            let station = &self.book.hosts[answer.host];
            if station.scene != self.scene || answer.at >= self.end {
                continue;
            }
            let has = station.held.iter().filter(|held| held.place.address == self.address);
            let near = has.map(|held| {
                let until = held.until.unwrap_or(self.end);
                let early = running_time(answer.at, held.from);
                early.max(running_time(until, answer.at))
            });
            let off = near.min().unwrap_or(NEVER);
            if off > ON_ITS_WAY {
                let span = Span::new(answer.at, answer.at + Duration::from_millis(1));
                let who = format!("{} answers and does not have it", station.name);
                findings.push(self.finding(Kind::Answer, span, off, ON_ITS_WAY, who));
            }
        }
    }

    fn finding(
        &self,
        kind: Kind,
        span: Span,
        took: Duration,
        bound: Duration,
        who: String,
    ) -> Finding {
        Finding { kind, address: self.address, span, took, bound, who }
    }
}

/// A moment earlier.
fn before(at: Instant) -> Instant {
    before_by(at, Duration::from_millis(1))
}

fn before_by(at: Instant, span: Duration) -> Instant {
    at.checked_sub(span).unwrap_or(at)
}
