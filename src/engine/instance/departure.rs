//! How an instance stops being active: at once where it must, and otherwise so that the addresses
//! are answered for all the time.

use super::super::answers::{HandoverAnswer, HandoverRefusal};
use super::super::event::{Action, Answer};
use super::super::story::{Peer, StateName, What, Why};
use super::{Condition, Context, Ending, Instance};
use crate::model::{Family, InterfaceName, NodeName, is_link_local};
use crate::time::{Mono, Span};
use crate::vrrp::router::{Departure, Heard, Outcome, State};

/// How long a takeover may take at the least, however short the interval is.
const TAKEOVER: Span = Span::from_millis(100);

/// How long an instance that the configuration has no more is there to be told what the system has
/// refused it at the end: an address that could not be removed must not be forgotten.
const LISTENS_FOR: Span = Span::from_secs(1);

/// A handover that the operator waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HandingOver {
    request: u64,
    to: Option<NodeName>,
    since: Mono,
}

impl Instance {
    /// Leaves the election at once. The others are told, where they can hear it, when the addresses
    /// are gone: from then on a backup waits for its skew time alone.
    pub(super) fn leave_the_election(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        let held = self.router.holds();
        self.router.shut_down();
        if held && context.links.fault(&self.config.interface).is_none() {
            self.let_go_and_say_so(context, out);
        } else if held {
            self.let_go(out);
        }
        self.call_off(out);
    }

    /// An orderly stop. An active router goes on answering until another one does, or none does
    /// within a bound; asked a second time it ends at once.
    pub(in super::super) fn stop(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        let again = self.is_ending();
        self.ending.get_or_insert(Ending::Stops);
        self.end(context, again, out);
    }

    /// The end, which was asked for for the first time or again.
    pub(super) fn end(&mut self, context: &Context<'_>, again: bool, out: &mut Vec<Action>) {
        if self.is_stopped() {
            if again {
                self.hooks.abandon(out);
            }
            return;
        }
        if again || !self.has_something_to_leave() {
            let from = self.state_name();
            self.leave_the_election(context, out);
            self.stopped(context, from, out);
            if again {
                self.hooks.abandon(out);
            }
            return;
        }
        self.call_off(out);
        if !self.departs_later(context, Departure::Stop, out) {
            self.depart(context, Departure::Stop, out);
        }
    }

    /// Whether it leaves and does not come back.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Whether it has addresses that another router could take over.
    fn has_something_to_leave(&self) -> bool {
        self.router.holds() && self.moves_addresses() && !self.is_claiming()
    }

    /// Leaves, unless it has had to let go meanwhile.
    pub(super) fn depart(&mut self, context: &Context<'_>, why: Departure, out: &mut Vec<Action>) {
        if !self.has_something_to_leave() {
            if why == Departure::Stop {
                let from = self.state_name();
                self.leave_the_election(context, out);
                self.stopped(context, from, out);
            }
            return self.call_off(out);
        }
        let takeover = takeover_time(context.links.moving());
        let outcome = self.router.leave(context.now.mono, why, takeover);
        self.follow(context, outcome, out);
        let why = match why {
            Departure::Stop => self.why_it_stops(),
            Departure::Handover => Why::HandingOver,
        };
        self.report(What::Leaving(why), out);
    }

    pub(super) fn stopped(
        &mut self,
        context: &Context<'_>,
        from: StateName,
        out: &mut Vec<Action>,
    ) {
        self.condition = Condition::Stopped;
        self.listens_until = self.is_retired().then(|| context.now.mono + LISTENS_FOR);
        self.devices.remove_all(out);
        if from != StateName::Stopped {
            self.changed(context, from, self.why_it_stops(), out);
        }
    }

    fn why_it_stops(&self) -> Why {
        if self.is_retired() { Why::Retired } else { Why::Stopping }
    }

    /// The operator wants another node to have the addresses. `Err`: it stays as it is.
    pub(in super::super) fn hand_over(
        &mut self,
        context: &Context<'_>,
        request: u64,
        to: Option<&NodeName>,
        out: &mut Vec<Action>,
    ) -> Result<(), HandoverRefusal> {
        if let Some(to) = to {
            let nodes = &context.config.nodes;
            let Some(node) = nodes.iter().find(|node| node.name == *to) else {
                let known = nodes.iter().map(|node| node.name.clone()).collect();
                return Err(HandoverRefusal::NoSuchNode(known));
            };
            let by_link_local =
                self.config.leading_family() == Family::V6 && !self.config.transport.is_unicast();
            if by_link_local && !node.addresses().any(is_link_local) {
                return Err(HandoverRefusal::NoLinkLocal(to.clone()));
            }
        }
        if self.is_ending() || self.is_leaving() {
            return Err(HandoverRefusal::Leaving);
        }
        if self.is_claiming() {
            return Err(HandoverRefusal::Claiming);
        }
        if !self.router.holds() {
            let active = self.active_router().map(|address| Peer::new(context.config, address));
            return Err(HandoverRefusal::NotActive { state: self.state_name(), active });
        }
        if to.is_some() && to == context.config.this_node.as_ref() {
            return Err(HandoverRefusal::OwnNode);
        }
        if !self.moves_addresses() {
            return Err(HandoverRefusal::AddressOwner);
        }
        let since = context.now.mono;
        self.handing_over = Some(HandingOver { request, to: to.cloned(), since });
        if !self.departs_later(context, Departure::Handover, out) {
            self.depart(context, Departure::Handover, out);
        }
        Ok(())
    }

    /// Whether the operator may take it out of the election. `Err`: it stays as it is.
    pub(in super::super) fn may_stand_by(&self) -> Result<(), HandoverRefusal> {
        if self.is_ending() {
            return Err(HandoverRefusal::Leaving);
        }
        if self.is_claiming() {
            return Err(HandoverRefusal::Claiming);
        }
        if !self.moves_addresses() {
            return Err(HandoverRefusal::AddressOwner);
        }
        Ok(())
    }

    /// The operator wants it out of the election: where it is active, it hands over first.
    pub(in super::super) fn begin_to_stand_by(
        &mut self,
        context: &Context<'_>,
        out: &mut Vec<Action>,
    ) {
        if self.is_active()
            && self.departing.is_none()
            && !self.departs_later(context, Departure::Handover, out)
        {
            self.depart(context, Departure::Handover, out);
        }
    }

    /// The operator wants it in the election after all: a departure that is under way ends, and
    /// what was handed over already may be preempted.
    pub(in super::super) fn stay(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        if self.is_ending() {
            return;
        }
        let was_leaving = self.is_leaving();
        self.departing = None;
        let outcome = self.router.stay(context.now.mono);
        self.follow(context, outcome, out);
        if was_leaving {
            let answer = HandoverAnswer::Refused(HandoverRefusal::CalledOff);
            self.report(What::HandoverFailed(answer), out);
        }
        self.call_off(out);
    }

    /// Whether it is to stop being active, and still is.
    pub(in super::super) fn is_leaving(&self) -> bool {
        matches!(self.router.state(), State::Leaving(_)) || self.departing.is_some()
    }

    /// True if it is out of the election by the operator's wish, as it was told last.
    pub(in super::super) fn is_on_standby(&self) -> bool {
        self.standby
    }

    /// It is out of the election by the operator's wish, or is not. Says whether that is news.
    pub(in super::super) fn set_standby(
        &mut self,
        context: &Context<'_>,
        standby: bool,
        out: &mut Vec<Action>,
    ) -> bool {
        if self.is_retired() || self.standby == standby {
            return false;
        }
        self.standby = standby;
        if !standby {
            // The others of its sync group come back with it; whether they can is seen after this.
            self.group_fault = None;
        }
        self.reconsider(context, out);
        true
    }

    /// Another router is active with higher right. It may not know that this one was: whatever
    /// this one has announced last is still in the clients' caches. So it is told, and announces
    /// the addresses again.
    pub(super) fn give_up(&mut self, context: &Context<'_>, heard: Heard, out: &mut Vec<Action>) {
        self.let_go_and_say_so(context, out);
        let peer = Peer::new(context.config, heard.source);
        let why = if heard.priority > self.router.priority().get() {
            Why::HigherPriority(peer, heard.priority)
        } else {
            Why::HigherAddress(peer)
        };
        self.changed(context, StateName::Active, why, out);
    }

    /// Lets go, and tells those who have heard that it was active.
    pub(super) fn let_go_and_say_so(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        let unheard = self.is_silent();
        self.let_go(out);
        if !unheard {
            self.advertise(context, 0, out);
        }
    }

    /// It has left, and another router has taken over.
    pub(super) fn succeeded(&mut self, context: &Context<'_>, heard: Heard, out: &mut Vec<Action>) {
        let peer = Peer::new(context.config, heard.source);
        self.let_go(out);
        if self.is_ending() {
            self.report(What::Following(peer, heard.priority), out);
            return self.stopped(context, StateName::Active, out);
        }
        self.changed(context, StateName::Active, Why::HandedOver(peer.clone()), out);
        let Some(HandingOver { request, to, since }) = self.handing_over.take() else { return };
        let answer = match to {
            Some(wanted) if peer.name.as_ref() != Some(&wanted) => {
                HandoverAnswer::DoneByAnother { to: peer, wanted }
            }
            _ => HandoverAnswer::Done { to: peer, took: context.now.mono.since(since) },
        };
        out.push(Action::Answer { request, answer: Answer::Handover(answer) });
    }

    /// It has left, and nobody has taken over: a stop goes on, a handover was in vain.
    pub(super) fn unclaimed(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        self.counters.unclaimed += 1;
        if self.is_ending() {
            self.let_go(out);
            return self.stopped(context, StateName::Active, out);
        }
        self.follow(context, Outcome::Reassert, out);
        let Some(HandingOver { request, since, .. }) = self.handing_over.take() else { return };
        let refusal = HandoverRefusal::Nobody(context.now.mono.since(since));
        let answer = HandoverAnswer::Refused(refusal);
        self.report(What::HandoverFailed(answer.clone()), out);
        out.push(Action::Answer { request, answer: Answer::Handover(answer) });
    }

    /// A handover that is under way comes to nothing.
    pub(super) fn call_off(&mut self, out: &mut Vec<Action>) {
        if let Some(HandingOver { request, .. }) = self.handing_over.take() {
            let answer = HandoverAnswer::Refused(HandoverRefusal::CalledOff);
            out.push(Action::Answer { request, answer: Answer::Handover(answer) });
        }
    }

    /// There is no interface of this name any more: it is gone with all that was on it, or has
    /// another name, and what was put on it is still there. Then it must go.
    pub(in super::super) fn interface_vanished(
        &mut self,
        interface: &InterfaceName,
        out: &mut Vec<Action>,
    ) {
        self.routings.interface_vanished(interface, out);
        self.holding.interface_vanished(interface, out);
        self.devices.vanished(interface);
    }
}

/// The time that another node may need to have so many addresses, once it has decided to: its
/// machine may be busy, and the kernel takes up to a millisecond for each. Those of other instances
/// count, too, since they may all leave together.
fn takeover_time(addresses: usize) -> Span {
    TAKEOVER + Span::from_millis(u64::try_from(addresses).unwrap_or(u64::MAX).min(10_000))
}
