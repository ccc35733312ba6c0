//! What is wrong on the segment and not ours to mend: told once, counted, and told again at
//! growing distances while it lasts.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Discard;
use super::timer::Timer;
use super::words::{Peer, few};
use crate::model::{Interval, Mac, is_link_local};
use crate::time::{Mono, Span};

/// The most conflicts of each kind that are remembered. Source addresses are the sender's
/// choice, so there must be a bound; and each is a line of the log. One kind does not take the room
/// of another: who makes up routers that are refused must not hide that two are active.
const REMEMBERED: usize = 16;
/// What a router says otherwise than before is told at once if it has said the same for this long
/// before, and else at the distances of a conflict that lasts.
const STEADY: Span = Span::from_secs(5);
/// A conflict that was not seen for this long is over.
const OVER: Span = Span::from_secs(60);
/// The first repetition in the log comes this long after the first line; each later one after
/// twice as long.
const FIRST_REPETITION: Span = Span::from_secs(60);

/// Two stations of a segment disagree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conflict {
    /// Another router advertises other addresses than ours under our virtual router ID.
    AddressDrift {
        /// Which router.
        peer: Peer,
        /// What it advertises and we don't have.
        extra: Vec<IpAddr>,
        /// What we have and it doesn't advertise.
        missing: Vec<IpAddr>,
    },
    /// Another router advertises another interval than ours (v3).
    IntervalDrift(Peer, Interval),
    /// Another router's advertisements are refused for a reason that somebody must mend.
    Refused(Peer, Discard),
    /// Another router goes on being active with this lower priority although we are.
    TwoActive(Peer, u8),
    /// Another station answers for a virtual address, or announces it, while we hold it.
    DuplicateAddress(IpAddr, Mac),
}

impl Conflict {
    /// Every kind, in the order of the variants.
    pub const KINDS: &'static [&'static str] =
        &["address_drift", "interval_drift", "refused", "two_active", "duplicate_address"];

    /// Its kind, for metrics: the same in every release, and how the variant serializes.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::AddressDrift { .. } => "address_drift",
            Self::IntervalDrift(..) => "interval_drift",
            Self::Refused(..) => "refused",
            Self::TwoActive(..) => "two_active",
            Self::DuplicateAddress(..) => "duplicate_address",
        }
    }

    /// Whether it is about a node of the configuration, and not about a stranger.
    fn is_about_a_node(&self) -> bool {
        match self {
            Self::AddressDrift { peer, .. }
            | Self::IntervalDrift(peer, _)
            | Self::Refused(peer, _)
            | Self::TwoActive(peer, _) => peer.name.is_some(),
            Self::DuplicateAddress(..) => false,
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressDrift { peer, extra, missing } => {
                write!(f, "{peer} advertises other addresses than this node's configuration has:")?;
                if !extra.is_empty() {
                    write!(f, " only there: {};", few(extra, ", "))?;
                }
                if !missing.is_empty() {
                    write!(f, " only here: {};", few(missing, ", "))?;
                }
                f.write_str(" make the configurations the same")?;
                if missing.iter().copied().any(is_link_local) {
                    f.write_str(
                        " (a link-local address that is not configured here: link_local: off)",
                    )?;
                }
                Ok(())
            }
            Self::IntervalDrift(peer, interval) => write!(
                f,
                "{peer} advertises every {interval}, not at this node's interval: make the \
                 configurations the same"
            ),
            Self::Refused(peer, discard) => {
                write!(f, "advertisements of {peer} are refused: {discard}")
            }
            Self::TwoActive(peer, priority) => write!(
                f,
                "{peer} is active too, with priority {priority}, and does not yield: does it hear \
                 this node's advertisements, and accept them?"
            ),
            Self::DuplicateAddress(address, mac) => write!(
                f,
                "another station, {mac}, says that it has {address}: a node that died and still \
                 has it, or an address given twice?"
            ),
        }
    }
}

/// What there is to know about a conflict that lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictStatus {
    /// What it is and what to do about it, for people.
    pub text: String,
    /// What it is, for programs.
    pub what: Conflict,
    /// How often it was seen.
    pub count: u64,
    /// How long ago it was seen first.
    pub lasts: Span,
}

/// The conflicts of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Conflicts {
    seen: BTreeMap<Conflict, Seen>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    first: Mono,
    last: Mono,
    count: u64,
    /// How long it must last before it is told at all: a takeover is no conflict.
    grace: Span,
    /// Whether it is told then without being seen again: a station answers a probe only once.
    by_itself: bool,
    /// The distance to the next line; `None` while none was written.
    repetition: Option<Span>,
    told: Mono,
}

impl Conflicts {
    /// Sees a conflict (again) that is one if it lasts for `grace`. Returns how often it was seen
    /// when a line is due.
    pub(super) fn see(&mut self, now: Mono, conflict: Conflict, grace: Span) -> Option<u64> {
        let seen = self.remember(now, conflict, grace, false)?;
        seen.tell(now).then_some(seen.count)
    }

    /// Sees a conflict that stands in the place of an earlier one of the same router, which is
    /// over. What is another one with each packet is not a line each.
    pub(super) fn see_instead(
        &mut self,
        now: Mono,
        conflict: Conflict,
        is_earlier: impl Fn(&Conflict) -> bool,
    ) -> Option<u64> {
        if !self.seen.contains_key(&conflict)
            && let Some(earlier) = self.seen.keys().find(|old| is_earlier(old)).cloned()
            && let Some(mut seen) = self.seen.remove(&earlier)
        {
            if now.since(seen.first) >= STEADY {
                (seen.repetition, seen.count) = (None, 0);
            }
            seen.first = now;
            self.seen.insert(conflict.clone(), seen);
        }
        self.see(now, conflict, Span::ZERO)
    }

    /// Sees what is a conflict unless it is explained within `grace`; [`Conflicts::fire`] tells.
    pub(super) fn suspect(&mut self, now: Mono, conflict: Conflict, grace: Span) -> Option<u64> {
        let seen = self.remember(now, conflict, grace, true)?;
        seen.tell(now).then_some(seen.count)
    }

    fn remember(
        &mut self,
        now: Mono,
        conflict: Conflict,
        grace: Span,
        by_itself: bool,
    ) -> Option<&mut Seen> {
        // What is not told yet must last: it begins anew after a pause.
        self.seen.retain(|_, seen| {
            let patience = if seen.repetition.is_some() { OVER } else { seen.grace };
            seen.by_itself && seen.repetition.is_none() || now.since(seen.last) <= patience
        });
        if !self.seen.contains_key(&conflict) && !self.make_room(&conflict) {
            return None;
        }
        let new =
            Seen { first: now, last: now, count: 0, grace, by_itself, repetition: None, told: now };
        let seen = self.seen.entry(conflict).or_insert(new);
        seen.last = now;
        seen.count += 1;
        Some(seen)
    }

    /// Whether there is room for one more of its kind. What is about a node of the configuration
    /// takes the place of a stranger.
    fn make_room(&mut self, conflict: &Conflict) -> bool {
        let kind = std::mem::discriminant(conflict);
        let of_its_kind =
            || self.seen.iter().filter(|(other, _)| std::mem::discriminant(*other) == kind);
        if of_its_kind().count() < REMEMBERED {
            return true;
        }
        let strangers = of_its_kind().filter(|(other, _)| !other.is_about_a_node());
        let oldest = strangers.min_by_key(|(_, seen)| seen.last).map(|(other, _)| other.clone());
        match oldest.filter(|_| conflict.is_about_a_node()) {
            Some(stranger) => self.seen.remove(&stranger).is_some(),
            None => false,
        }
    }

    /// The suspicions that were not explained in time.
    pub(super) fn fire(&mut self, now: Mono) -> Vec<(Conflict, u64)> {
        let due = self.seen.iter_mut().filter(|(_, seen)| seen.is_suspicion());
        due.filter_map(|(conflict, seen)| seen.tell(now).then(|| (conflict.clone(), seen.count)))
            .collect()
    }

    /// When [`Conflicts::fire`] is due.
    pub(super) fn deadline(&self) -> Option<(Mono, Timer)> {
        let suspicions = self.seen.values().filter(|seen| seen.is_suspicion());
        suspicions.map(|seen| (seen.first + seen.grace, Timer::Conflict)).min_by_key(|(at, _)| *at)
    }

    /// It is over.
    pub(super) fn over(&mut self, is_it: impl Fn(&Conflict) -> bool) {
        self.seen.retain(|conflict, _| !is_it(conflict));
    }

    /// Another router has shown that what looks like a conflict is a takeover.
    pub(super) fn explain(&mut self) {
        self.seen.retain(|_, seen| !seen.is_suspicion());
    }

    /// Those that last and were told.
    pub(super) fn current(&self, now: Mono) -> impl Iterator<Item = ConflictStatus> {
        let is_current =
            move |seen: &Seen| seen.repetition.is_some() && now.since(seen.last) < OVER;
        let current = self.seen.iter().filter(move |(_, seen)| is_current(seen));
        current.map(move |(conflict, seen)| ConflictStatus {
            text: conflict.to_string(),
            what: conflict.clone(),
            count: seen.count,
            lasts: now.since(seen.first),
        })
    }
}

impl Seen {
    fn is_suspicion(&self) -> bool {
        self.by_itself && self.repetition.is_none()
    }

    fn tell(&mut self, now: Mono) -> bool {
        let next = match self.repetition {
            None => self.first + self.grace,
            Some(distance) => self.told + distance,
        };
        if now < next {
            return false;
        }
        self.repetition = Some(self.repetition.map_or(FIRST_REPETITION, |last| last.times(2)));
        self.told = now;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Span = Span::from_secs(1);

    fn duplicate(last: u8) -> Conflict {
        Conflict::DuplicateAddress(IpAddr::from([10, 0, 0, last]), Mac([2, 0, 0, 0, 0, 9]))
    }

    fn at(seconds: u64) -> Mono {
        Mono(0) + Span::from_secs(seconds)
    }

    /// Rule: repeats are folded: one line at once, then at growing distances, with the count.
    #[test]
    fn repeats_are_folded() {
        let mut conflicts = Conflicts::default();
        let told: Vec<_> = (0..600)
            .filter_map(|second| {
                let count = conflicts.see(at(second), duplicate(1), Span::ZERO)?;
                Some((second, count))
            })
            .collect();
        assert_eq!(told, [(0, 1), (60, 61), (180, 181), (420, 421)]);
    }

    /// Rule: what lasts no longer than its grace is never told.
    #[test]
    fn a_conflict_must_last() {
        let mut conflicts = Conflicts::default();
        let grace = SECOND.times(2);
        let mut see = |second| conflicts.see(at(second), duplicate(1), grace);
        assert_eq!([see(0), see(1)], [None, None]);
        assert_eq!(see(10), None, "it began anew");
        assert_eq!([see(11), see(12)], [None, Some(3)]);
    }

    /// Rule: a suspicion is told without being seen again, unless it is explained.
    #[test]
    fn suspicions() {
        let mut conflicts = Conflicts::default();
        assert_eq!(conflicts.suspect(at(0), duplicate(1), SECOND.times(2)), None);
        assert_eq!(conflicts.deadline(), Some((at(2), Timer::Conflict)));
        assert_eq!(conflicts.fire(at(1)), []);
        assert_eq!(conflicts.fire(at(2)), [(duplicate(1), 1)]);
        assert_eq!(conflicts.deadline(), None);
        assert_eq!(conflicts.current(at(2)).count(), 1);
        assert_eq!(conflicts.suspect(at(10), duplicate(2), SECOND), None);
        conflicts.explain();
        assert_eq!(conflicts.fire(at(20)), []);
    }

    /// Rule: a conflict that is not seen any more is over, and told anew when it comes back.
    #[test]
    fn a_conflict_ends() {
        let mut conflicts = Conflicts::default();
        assert_eq!(conflicts.see(at(0), duplicate(1), Span::ZERO), Some(1));
        assert_eq!(conflicts.current(at(61)).count(), 0);
        assert_eq!(conflicts.see(at(61), duplicate(1), Span::ZERO), Some(1));
    }

    fn refused(last: u8, name: Option<&str>) -> Conflict {
        let name = name.map(|name| name.try_into().unwrap());
        let peer = Peer { address: IpAddr::from([10, 0, 0, last]), name };
        Conflict::Refused(peer, Discard::Hmac)
    }

    /// Bug guarded: a sender that invents sources must not make us remember all of them, nor keep
    /// another kind of conflict, or one with a node of ours, from being told.
    #[test]
    fn memory_is_bounded() {
        let mut conflicts = Conflicts::default();
        for last in 0..=255 {
            conflicts.see(at(0), refused(last, None), Span::ZERO);
        }
        assert_eq!(conflicts.current(at(0)).count(), REMEMBERED);
        assert_eq!(conflicts.see(at(0), duplicate(1), Span::ZERO), Some(1));
        assert_eq!(conflicts.see(at(0), refused(12, Some("db2")), Span::ZERO), Some(1));
        assert_eq!(conflicts.see(at(0), refused(1, None), Span::ZERO), None);
        assert_eq!(conflicts.current(at(0)).count(), REMEMBERED + 1);
    }

    /// Rule: what a router says otherwise is told at once, unless it does so all the time.
    #[test]
    fn changes_are_told_but_not_each() {
        let mut conflicts = Conflicts::default();
        let mut change = |second, last| {
            conflicts.see_instead(at(second), duplicate(last), |old| {
                matches!(old, Conflict::DuplicateAddress(..))
            })
        };
        assert_eq!([change(0, 1), change(10, 2)], [Some(1); 2]);
        assert!((0..30).all(|n| change(11 + n / 10, u8::try_from(n).unwrap()).is_none()));
        assert_eq!(conflicts.current(at(14)).count(), 1, "the earlier ones are over");
    }
}
