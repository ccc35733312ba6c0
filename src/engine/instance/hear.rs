//! What an instance hears of the other routers, and of who else says to have its addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::super::Discard;
use super::super::conflict::Conflict;
use super::super::event::Action;
use super::super::receive;
use super::super::repetition::{Accepted, Arrived};
use super::super::story::{Peer, What};
use super::{Context, Instance};
use crate::model::{
    AntiReplay, Authentication, ChecksumStyle, Family, HmacAuthentication, InterfaceName, Mac,
    Version,
};
use crate::time::{Mono, Span};
use crate::vrrp::packet::{Advertisement, ChecksumForm, Decoded};
use crate::vrrp::router::{Heard, Outcome, State};

/// So often at the most it is told in this time which active router is followed: with invented ones
/// it could be another one with each packet.
const FOLLOWED_AT_MOST: u32 = 5;
const FOLLOWED_WITHIN: Span = Span::from_secs(10);

/// Since when the instance is active, and when another active router was last heard beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Presence {
    active_since: Mono,
    other_heard: Option<Mono>,
    /// Since when it is counted how often it was told who is followed, and how often that was.
    followed: (Mono, u32),
    /// Another one has gone on being active for longer than a takeover explains.
    rival: bool,
}

impl Presence {
    pub(super) fn became_active(&mut self, now: Mono) {
        *self =
            Self { active_since: now, other_heard: None, rival: false, followed: self.followed };
    }

    fn may_tell_whom_it_follows(&mut self, now: Mono) -> bool {
        let (since, count) = self.followed;
        let (since, count) =
            if now.since(since) >= FOLLOWED_WITHIN { (now, 0) } else { (since, count) };
        self.followed = (since, count + 1);
        count < FOLLOWED_AT_MOST
    }
}

impl Instance {
    /// A packet that names this instance.
    pub(in super::super) fn received(
        &mut self,
        context: &Context<'_>,
        arrived: Arrived<'_>,
        out: &mut Vec<Action>,
    ) {
        let Self { config, authenticator, .. } = &*self;
        let Arrived { interface, datagram, proof, .. } = arrived;
        match receive::accept(context, config, authenticator, interface, &datagram, proof) {
            Ok((decoded, sequence)) => {
                if let Some(sequence) = sequence {
                    self.authenticator.accepted(datagram.source, sequence);
                }
                let said = self.hear(context, arrived, &decoded, out);
                // What is signed is never said twice.
                if let Some(said) = said.filter(|_| sequence.is_none()) {
                    self.peers.may_repeat(datagram.source, said);
                }
            }
            Err(discard) => {
                if discard == Discard::BeforeStart {
                    self.wait_for_slow_clocks();
                }
                self.note_refusal(context, datagram.source, discard);
                *self.counters.discards.entry(discard).or_default() += 1;
                if receive::is_misconfiguration(&self.config, datagram.source, discard) {
                    let peer = Peer::new(context.config, datagram.source);
                    self.see(context.now.mono, Conflict::Refused(peer, discard), Span::ZERO, out);
                }
            }
        }
    }

    /// What seems to be from before our start may be a recording, or come from a live active router
    /// whose clock is behind ours: it is not obeyed, but nothing is claimed either before that one
    /// could be understood. That is a fixed time after the start, however often it comes.
    fn wait_for_slow_clocks(&mut self) {
        if let Authentication::Hmac(HmacAuthentication {
            anti_replay: AntiReplay::Time(window),
            ..
        }) = &self.config.authentication
        {
            let settled = self.authenticator.settled(*window, self.interval());
            self.router.hold_until(settled);
        }
    }

    /// Our own packets come back now and then: that is no other router.
    fn note_refusal(&mut self, context: &Context<'_>, source: IpAddr, why: Discard) {
        if why != Discard::OwnPacket {
            self.peers.refused(context.config, context.now, source, why);
        }
    }

    /// Hears an accepted advertisement. Returns what a repetition of it needs, where that would
    /// say nothing new.
    fn hear(
        &mut self,
        context: &Context<'_>,
        arrived: Arrived<'_>,
        decoded: &Decoded,
        out: &mut Vec<Action>,
    ) -> Option<Accepted> {
        let (now, source) = (context.now.mono, arrived.datagram.source);
        let advertisement = &decoded.advertisement;
        self.peers.accepted(context.config, context.now, source, advertisement);
        self.counters.advertisements_received += 1;
        self.counters.priority_zero_received += u64::from(advertisement.priority == 0);
        self.learn_checksum(Family::of(source), decoded.checksum);
        let drifts = self.compare_addresses(context, source, &advertisement.addresses, out);
        let differs = advertisement.interval != self.config.advertisement_interval;
        if differs {
            let peer = Peer::new(context.config, source);
            let is_earlier =
                |c: &Conflict| matches!(c, Conflict::IntervalDrift(who, _) if *who == peer);
            let drift = Conflict::IntervalDrift(peer.clone(), advertisement.interval);
            self.see_instead(now, drift, is_earlier, out);
        }
        let own = self.own_address(context, arrived.interface, source)?;
        let path = self.path(arrived.interface, source)?;
        let Advertisement { priority, interval, .. } = *advertisement;
        let heard = Heard { source, priority, interval, path };
        self.elect(context, arrived.at, heard, own, out);
        let says_the_same = !drifts && !differs && priority > 0;
        says_the_same.then(|| Accepted::new(arrived, context.links, decoded.checksum, heard, own))
    }

    /// Hands an advertisement to the election.
    fn elect(
        &mut self,
        context: &Context<'_>,
        arrived: Mono,
        heard: Heard,
        own: IpAddr,
        out: &mut Vec<Action>,
    ) {
        let now = context.now.mono;
        self.notice_another_active(context, heard, out);
        let before = self.active_router();
        let stops = heard.priority == 0;
        if stops {
            self.stops_on_all_paths(context, heard.source);
        }
        let outcome = self.router.hear(now, arrived, heard, own);
        if stops && self.is_first_after(context, heard.source) {
            self.router.follow_at_once(now, arrived);
        }
        self.follow(context, outcome, out);
        let is_news =
            self.active_router() != before && outcome == Outcome::Nothing && heard.priority > 0;
        if let Some(active) = self.active_router().filter(|_| is_news)
            && self.presence.may_tell_whom_it_follows(now)
        {
            let peer = Peer::new(context.config, active);
            self.report(What::Following(peer, heard.priority), out);
        }
    }

    /// A backup hears its active router say the same again. Returns false where the packet may
    /// change more than the times and numbers of what was heard: then nothing was done.
    pub(in super::super) fn hears_again(
        &mut self,
        context: &Context<'_>,
        arrived: Arrived<'_>,
    ) -> bool {
        let source = arrived.datagram.source;
        if self.active_router() != Some(source) {
            return false;
        }
        let last = self.peers.repeatable(source);
        let Some(last) = last.filter(|last| last.is_repeated_by(arrived, context.links)) else {
            return false;
        };
        let (heard, own, checksum) = (last.heard, last.own, last.checksum);
        if self.learns(Family::of(source)) && self.checksum != checksum {
            return false;
        }
        self.peers.repeated(context.now, source);
        self.counters.advertisements_received += 1;
        self.learn_checksum(Family::of(source), checksum);
        let outcome = self.router.hear(context.now.mono, arrived.at, heard, own);
        debug_assert_eq!(outcome, Outcome::Nothing, "a backup only listens");
        true
    }

    pub(in super::super) fn active_router(&self) -> Option<IpAddr> {
        match self.router.state() {
            State::Backup(backup) => backup.actives.first().map(|active| active.source),
            _ => None,
        }
    }

    /// Two active routers are no conflict while one of them has just taken over: they have not
    /// heard each other yet. It is one when the other stays.
    fn notice_another_active(
        &mut self,
        context: &Context<'_>,
        heard: Heard,
        out: &mut Vec<Action>,
    ) {
        if !matches!(self.router.state(), State::Active(_)) {
            return;
        }
        if self.is_pending() {
            if heard.priority == 0 {
                self.break_silence();
            }
            return;
        }
        self.conflicts.explain();
        let now = context.now.mono;
        self.presence.other_heard = Some(now);
        let peer = Peer::new(context.config, heard.source);
        let theirs = heard.bounded(self.config.maximum_interval).interval;
        let takeover = theirs.span().max(self.interval()).times(3);
        if heard.priority == 0 {
            self.conflicts.over(|c| matches!(c, Conflict::TwoActive(who, _) if *who == peer));
            if std::mem::take(&mut self.presence.rival) {
                self.conflict_won(context, out);
            }
        } else {
            self.presence.rival |= now.since(self.presence.active_since) > takeover;
            self.see(now, Conflict::TwoActive(peer, heard.priority), takeover, out);
        }
    }

    /// A conflict in the place of an earlier one of the same router.
    fn see_instead(
        &mut self,
        now: Mono,
        conflict: Conflict,
        is_earlier: impl Fn(&Conflict) -> bool,
        out: &mut Vec<Action>,
    ) {
        self.counters.conflicts += 1;
        if let Some(count) = self.conflicts.see_instead(now, conflict.clone(), is_earlier) {
            self.report(What::Conflict(conflict, count), out);
        }
    }

    fn interval(&self) -> Span {
        self.config.advertisement_interval.span()
    }

    /// Our next advertisement is summed like the last valid one of the group.
    fn learn_checksum(&mut self, family: Family, form: ChecksumForm) {
        if self.config.version == Version::V3 && family == Family::V4 {
            self.counters.checksum_without_pseudo_header +=
                u64::from(form == ChecksumForm::Message);
            if self.learns(family) {
                self.checksum = form;
            }
        }
    }

    /// Whether it computes the checksum in this family as the others do.
    fn learns(&self, family: Family) -> bool {
        let leaves_room = self.config.version == Version::V3 && family == Family::V4;
        leaves_room && self.config.checksum == ChecksumStyle::Auto
    }

    /// Another list than ours is drift: said, counted, and no reason to refuse the
    /// advertisement. Refusing it would make two active routers. Returns whether it is one.
    fn compare_addresses(
        &mut self,
        context: &Context<'_>,
        source: IpAddr,
        advertised: &[IpAddr],
        out: &mut Vec<Action>,
    ) -> bool {
        let ours = || self.config.addresses_of(Family::of(source)).map(|own| own.address);
        let same = ours().eq(advertised.iter().copied());
        // Hardly ever is anything other than the same list heard.
        let (ours, theirs): (BTreeSet<IpAddr>, BTreeSet<IpAddr>) = if same {
            (BTreeSet::new(), BTreeSet::new())
        } else {
            (ours().collect(), advertised.iter().copied().collect())
        };
        let of_this_router = |c: &Conflict| matches!(c, Conflict::AddressDrift { peer, .. } if peer.address == source);
        if ours == theirs {
            self.conflicts.over(of_this_router);
            return false;
        }
        self.counters.address_drift += 1;
        let drift = Conflict::AddressDrift {
            peer: Peer::new(context.config, source),
            extra: theirs.difference(&ours).copied().collect(),
            missing: ours.difference(&theirs).copied().collect(),
        };
        self.see_instead(context.now.mono, drift, of_this_router, out);
        true
    }

    /// Another station says that it has an address. If it is one of ours while we hold it, the
    /// segment is told again who has it; and people are, unless it turns out to be a takeover.
    pub(in super::super) fn address_conflict(
        &mut self,
        context: &Context<'_>,
        interface: &InterfaceName,
        (mac, address): (Mac, IpAddr),
        out: &mut Vec<Action>,
    ) {
        let is_it = |a: &&crate::model::VirtualAddress| {
            a.address == address && self.service.place(&self.config, a) == interface
        };
        let own = context.links.get(interface).and_then(|link| link.mac);
        let Some(ours) = self.config.moving_addresses().find(is_it).cloned() else { return };
        // A leaving router expects another one to announce the addresses.
        if !self.is_serving() || own == Some(mac) {
            return;
        }
        let now = context.now.mono;
        self.counters.address_conflicts += 1;
        self.service.defend(context, &self.config, &ours, out);
        // A router that takes over says so by its advertisement, within an interval.
        let takeover = self.interval().times(2);
        if self.presence.other_heard.is_none_or(|at| now.since(at) > takeover) {
            let settled = self.presence.active_since + takeover;
            let grace = takeover.max(settled.since(now));
            let conflict = Conflict::DuplicateAddress(address, mac);
            self.counters.conflicts += 1;
            if let Some(count) = self.conflicts.suspect(now, conflict.clone(), grace) {
                self.report(What::Conflict(conflict, count), out);
            }
        }
    }
}
