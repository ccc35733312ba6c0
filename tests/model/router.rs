//! The state machine of one virtual router alone, with a lease: as little around it as there can
//! be, so that larger worlds can be looked through.

use std::net::IpAddr;

use vipd::model::Interval;
use vipd::time::{Mono, Span};
use vipd::vrrp::router::{Departure, Heard, Outcome, Router, State, Takeover};

use crate::daemon::{Daemon, Deed, Frame, News, Note};
use crate::setup::{INTERVAL, LEASE, Setup, own_address};

/// An advertisement, as far as the election cares.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Word {
    source: IpAddr,
    priority: u8,
}

impl Frame for Word {
    fn is_farewell(&self) -> bool {
        self.priority == 0
    }

    fn corrupted(&self) -> Option<Self> {
        None
    }

    fn words(&self) -> String {
        match self.priority {
            0 => "a farewell".to_owned(),
            priority => format!("an advertisement with priority {priority}"),
        }
    }
}

/// A router, and when it renews its lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RouterAlone {
    own: IpAddr,
    router: Router,
    renew_at: Option<Mono>,
    stopping: bool,
}

impl Daemon for RouterAlone {
    type Frame = Word;

    fn start(setup: &Setup, node: usize, now: Mono) -> (Self, Vec<Deed<Word>>) {
        let router = Router::new(setup.settings(node, false));
        let mut daemon = Self { own: own_address(node), router, renew_at: None, stopping: false };
        let outcome = daemon.router.start(now, now + setup.plan.hold_down);
        let deeds = daemon.follow(now, outcome);
        (daemon, deeds)
    }

    fn tell(&mut self, setup: &Setup, now: Mono, news: News<Word>) -> Vec<Deed<Word>> {
        self.router.wake(now);
        match news {
            News::Heard(Word { source, priority }, arrived) => {
                let heard = Heard { source, priority, interval: Interval::ONE_SECOND, path: 0 };
                let outcome = self.router.hear(now, arrived, heard, self.own);
                self.follow(now, outcome)
            }
            News::Due => self.fire(now),
            News::HandOver => self.leave(now, Departure::Handover),
            News::Stop => self.stop(now),
            News::Reload { reloaded } => {
                let node = usize::from(last(self.own)) - usize::from(last(own_address(0)));
                let due = self.router.reconfigure(now, setup.settings(node, reloaded));
                if due { self.follow(now, Outcome::Advertise) } else { Vec::new() }
            }
            News::Expired if self.router.holds() && !self.router.is_held_up() => {
                vec![self.add(now)]
            }
            News::Slept(length) if length > INTERVAL.times(2) && self.router.resume(now) => {
                self.let_go(None)
            }
            // It has no checks, and stands still between two decisions only.
            News::Probed { .. } | News::TooLate { .. } | News::Expired | News::Slept(_) => {
                Vec::new()
            }
        }
    }

    fn deadline(&self) -> Option<Mono> {
        let router = self.router.deadline().map(|(at, _)| at);
        router.into_iter().chain(self.renew_at).min()
    }

    fn is_active(&self, _: Mono) -> bool {
        self.router.holds()
    }

    fn is_leaving(&self, _: Mono) -> bool {
        matches!(self.router.state(), State::Leaving(_))
    }
}

impl RouterAlone {
    fn fire(&mut self, now: Mono) -> Vec<Deed<Word>> {
        let outcome = self.router.fire(now);
        let mut deeds = self.follow(now, outcome);
        if self.renew_at.is_some_and(|at| at <= now) {
            deeds.push(self.add(now));
        }
        deeds
    }

    fn leave(&mut self, now: Mono, why: Departure) -> Vec<Deed<Word>> {
        let outcome = self.router.leave(now, why, Span::from_millis(101), Vec::new());
        self.follow(now, outcome)
    }

    fn stop(&mut self, now: Mono) -> Vec<Deed<Word>> {
        self.stopping = true;
        if self.router.holds() {
            return self.leave(now, Departure::Stop);
        }
        self.router.shut_down();
        Self::end(Vec::new())
    }

    /// What follows from an outcome, in the order of invariant 5, make before break.
    fn follow(&mut self, now: Mono, outcome: Outcome) -> Vec<Deed<Word>> {
        let own = self.router.priority().get();
        match outcome {
            Outcome::Nothing | Outcome::Distrusted(_) => Vec::new(),
            Outcome::Advertise | Outcome::Reassert => vec![self.say(own)],
            Outcome::TakeOver(Takeover::Owner | Takeover::Silence(..)) => {
                vec![self.say(own), self.note(true), self.add(now)]
            }
            Outcome::TakeOver(Takeover::Stopped(_) | Takeover::Preempt(_)) => {
                vec![self.note(true), self.add(now), self.say(own)]
            }
            Outcome::GiveUp(_) => {
                let farewell = self.say(0);
                self.let_go(Some(farewell))
            }
            Outcome::Overslept(..) => self.let_go(None),
            Outcome::Farewell => vec![self.say(0)],
            Outcome::Unclaimed if !self.stopping => vec![self.say(own)],
            Outcome::Succeeded(_) | Outcome::Unclaimed => {
                let deeds = self.let_go(None);
                if self.stopping { Self::end(deeds) } else { deeds }
            }
        }
    }

    fn say(&self, priority: u8) -> Deed<Word> {
        Deed::Send(Word { source: self.own, priority })
    }

    fn note(&self, address: bool) -> Deed<Word> {
        let farewells = vec![Word { source: self.own, priority: 0 }];
        Deed::WriteDown(address.then_some(Note { address, farewells }))
    }

    fn add(&mut self, now: Mono) -> Deed<Word> {
        self.renew_at = Some(now + LEASE.divided_by(4));
        Deed::Add { lease: Some(LEASE), not_after: now + INTERVAL.times(2) }
    }

    fn let_go(&mut self, farewell: Option<Deed<Word>>) -> Vec<Deed<Word>> {
        self.renew_at = None;
        let deeds = [Deed::Remove].into_iter().chain(farewell);
        deeds.chain([self.note(false)]).collect()
    }

    fn end(mut deeds: Vec<Deed<Word>>) -> Vec<Deed<Word>> {
        deeds.push(Deed::End);
        deeds
    }
}

fn last(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    }
}
