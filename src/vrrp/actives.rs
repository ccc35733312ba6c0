//! The active routers that this one hears, on each of its paths: usually the same one on all.

use std::cmp::Ordering;
use std::net::IpAddr;

use super::outcome::Heard;
use super::settings::Settings;
use super::timing::compare_actives;
use crate::model::Interval;
use crate::time::{Mono, Span};

/// The active router as a backup knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ActiveRouter {
    /// Its address.
    pub source: IpAddr,
    /// Its priority.
    pub priority: u8,
    /// The interval that it advertises.
    pub interval: Interval,
    /// When it was last heard.
    pub heard: Mono,
    /// Whether its last word was that it stops.
    pub stopping: bool,
    /// On which path.
    pub path: usize,
}

impl ActiveRouter {
    /// Whether it has been silent for so long that a backup may have taken over.
    fn may_be_replaced(&self, now: Mono) -> bool {
        now.since(self.heard) >= self.interval.span().times(3)
    }

    /// Whether it has been silent for so long that every backup must take it for dead.
    pub(super) fn is_gone(&self, now: Mono) -> bool {
        now.since(self.heard) >= self.interval.span().times(4)
    }
}

/// The active routers as a backup knows them, by path. On each path a router has another address, and
/// nothing says which of them are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Actives {
    /// In the order of their paths, of which most routers have one.
    by_path: Vec<ActiveRouter>,
}

impl Actives {
    /// The one on the first path where one is.
    pub fn first(&self) -> Option<&ActiveRouter> {
        self.by_path.first()
    }

    /// Each of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &ActiveRouter> {
        self.by_path.iter()
    }

    /// The one that was heard last, of all paths.
    pub(super) fn latest(&self) -> Option<&ActiveRouter> {
        self.iter().max_by_key(|active| active.heard)
    }

    /// None of them is remembered for longer than this interval allows.
    pub(super) fn bound(&mut self, maximum: Interval) {
        for active in &mut self.by_path {
            active.interval = active.interval.min(maximum);
        }
    }

    /// Whether this is the one on its path.
    pub(super) fn is_known(&self, heard: Heard) -> bool {
        self.iter().any(|active| (active.path, active.source) == (heard.path, heard.source))
    }

    /// The interval to wait by: the first one's, no longer than the bound.
    pub(super) fn interval(&self, settings: &Settings) -> Interval {
        let learnt = self.first().map_or(settings.interval, |active| active.interval);
        learnt.min(settings.maximum_interval)
    }

    /// Keeps the best live one of this path.
    pub(super) fn remember(&mut self, now: Mono, heard: Heard) {
        self.forget_others_gone(now, heard.path);
        let new = ActiveRouter::new(now, heard);
        let Some(known) = self.on(heard.path) else { return self.add(new) };
        let is_better = known.source == heard.source
            || known.stopping
            || known.may_be_replaced(now)
            || compare_actives((heard.priority, heard.source), (known.priority, known.source))
                == Ordering::Greater;
        if is_better {
            *known = new;
        }
    }

    /// A router says that it stops. It counts only from the active one of its path, or from one that
    /// has been active for all we know: a third one's must not make us claim. Returns whether none is
    /// left that goes on: one whose other paths are silent has said it for all of them.
    pub(super) fn stops(&mut self, now: Mono, arrived: Mono, heard: Heard) -> bool {
        self.forget_others_gone(now, heard.path);
        match self.on(heard.path) {
            Some(active) if active.source != heard.source => return false,
            Some(active) => {
                active.heard = arrived;
                active.stopping = true;
            }
            None => self.add(ActiveRouter::new(arrived, heard)),
        }
        self.all_stop()
    }

    /// Those at these addresses stop.
    pub(super) fn stop(&mut self, is_its_own: impl Fn(IpAddr) -> bool) {
        let its_own = self.by_path.iter_mut().filter(|active| is_its_own(active.source));
        its_own.for_each(|active| active.stopping = true);
    }

    /// Whether none is left that goes on.
    pub(super) fn all_stop(&self) -> bool {
        self.iter().all(|active| active.stopping)
    }

    fn on(&mut self, path: usize) -> Option<&mut ActiveRouter> {
        self.by_path.iter_mut().find(|active| active.path == path)
    }

    fn add(&mut self, new: ActiveRouter) {
        let place = self.by_path.partition_point(|active| active.path < new.path);
        self.by_path.insert(place, new);
    }

    /// On a path that is interrupted the one that was active there is not waited for.
    fn forget_others_gone(&mut self, now: Mono, path: usize) {
        self.by_path.retain(|active| active.path == path || !active.is_gone(now));
    }
}

impl ActiveRouter {
    fn new(now: Mono, heard: Heard) -> Self {
        Self {
            source: heard.source,
            priority: heard.priority,
            interval: heard.interval,
            heard: now,
            stopping: heard.priority == 0,
            path: heard.path,
        }
    }

    pub(super) fn as_heard(&self) -> Heard {
        let Self { source, priority, interval, path, .. } = *self;
        Heard { source, priority, interval, path }
    }
}

/// Another active router of the same priority, heard on that path since then, and last then. The
/// addresses decide between the two (RFC 9568 section 6.4.3), and on another path they may decide otherwise: the
/// first path on which the two hear each other has the last word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tie(pub(super) Option<(usize, Mono, Mono)>);

impl Tie {
    /// It was heard on that path. Says whether the addresses there decide: on the first path at once, on
    /// another one when it has not been heard on an earlier one for as long as three intervals.
    pub(super) fn is_decided_on(&mut self, path: usize, now: Mono, interval: Span) -> bool {
        let patience = interval.times(3);
        match &mut self.0 {
            _ if path == 0 => {
                self.0 = Some((path, now, now));
                true
            }
            Some((earlier, _, last)) if *earlier < path && now.since(*last) <= patience => false,
            Some((same, since, last)) if *same == path && now.since(*last) <= patience => {
                *last = now;
                now.since(*since) > patience
            }
            _ => {
                self.0 = Some((path, now, now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(path: usize, last: u8, priority: u8) -> Heard {
        let source = IpAddr::from([10, 0, 0, last]);
        Heard { source, priority, interval: Interval::ONE_SECOND, path }
    }

    const fn at(seconds: u64) -> Mono {
        Mono(seconds * 1_000_000_000)
    }

    /// Rule: a router that stops is gone when it has said so on every path where it is still heard.
    #[test]
    fn a_farewell_counts_for_all_paths() {
        let mut actives = Actives::default();
        actives.remember(at(0), heard(0, 11, 200));
        actives.remember(at(0), heard(1, 21, 200));
        assert!(!actives.stops(at(1), at(1), heard(1, 21, 0)));
        // It does not count from anybody else.
        assert!(!actives.stops(at(1), at(1), heard(0, 12, 0)));
        assert!(actives.stops(at(1), at(1), heard(0, 11, 0)));

        let mut interrupted = Actives::default();
        interrupted.remember(at(0), heard(0, 11, 200));
        interrupted.remember(at(3), heard(1, 21, 200));
        assert_eq!(interrupted.first().unwrap().source, heard(0, 11, 200).source);
        assert!(interrupted.stops(at(4), at(4), heard(1, 21, 0)));
    }

    /// Bug guarded: after a takeover by a router of lower priority the dead one was remembered for up to
    /// an interval more. The farewell that `vipd release` said for it then made a third one claim beside
    /// the new active router.
    #[test]
    fn who_has_taken_over_is_the_active_one() {
        let mut actives = Actives::default();
        actives.remember(at(0), heard(0, 11, 200));
        actives.remember(at(2), heard(0, 12, 190));
        assert_eq!(actives.first().unwrap().source, heard(0, 11, 200).source, "they fight");
        actives.remember(at(3), heard(0, 12, 190));
        assert_eq!(actives.first().unwrap().source, heard(0, 12, 190).source);
        assert!(!actives.stops(at(3), at(3), heard(0, 11, 0)));
    }

    /// Rule: between equals the first path decides, and another one only when the first has been
    /// silent: otherwise each of two routers may find the other one better, and both let go.
    #[test]
    fn the_first_path_decides_between_equals() {
        let second = Span::from_secs(1);
        let mut tie = Tie::default();
        assert!(!tie.is_decided_on(1, at(0), second));
        assert!(tie.is_decided_on(0, at(0), second));
        for now in 1..=3 {
            assert!(!tie.is_decided_on(1, at(now), second), "{now}");
        }
        let decided = (4..12).map(|now| tie.is_decided_on(1, at(now), second));
        assert_eq!(decided.collect::<Vec<_>>(), [[false; 4], [true; 4]].concat());
    }
}
