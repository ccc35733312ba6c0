//! How an instance stops being active: at once where it must, and otherwise so that the addresses
//! are answered for all the time.

use super::super::answers::{HandoverAnswer, HandoverRefusal};
use super::super::event::{Action, Answer};
use super::super::story::{Peer, StateName, What, Why};
use super::life::{End, Life, Purpose, Request};
use super::{Context, Instance};
use crate::model::{Family, InterfaceName, NodeName, is_link_local};
use crate::time::Span;
use crate::vrrp::router::{Heard, Outcome};

/// How long a takeover may take at the least, however short the interval is.
const TAKEOVER: Span = Span::from_millis(100);

impl Instance {
    /// Leaves the election at once. The others are told, where they can hear it, when the addresses
    /// are gone: from then on a backup waits for its skew time alone.
    pub(super) fn leave_the_election(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        let held = self.router.holds();
        self.router.shut_down();
        if held && self.can_be_heard(context) {
            self.let_go_and_say_so(context, out);
        } else if held {
            self.let_go(out);
        }
        self.call_off(out);
    }

    /// An orderly stop. An active router goes on answering until another one does, or none does
    /// within a bound; asked a second time it ends at once.
    pub(in super::super) fn stop(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        let before = self.life.end();
        self.end(context, before.unwrap_or(End::Stops), before.is_some(), out);
    }

    /// The configuration has it no more: it leaves as in an orderly stop. Asked again, one that
    /// leaves already ends at once.
    pub(in super::super) fn retire(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        self.end(context, End::Retires, self.life.end().is_some(), out);
    }

    fn end(&mut self, context: &Context<'_>, end: End, again: bool, out: &mut Vec<Action>) {
        if !self.life.has_stopped() {
            // By the checks of a new configuration it may have to let go at once: then its farewell
            // follows the removals.
            let may_answer = self.judge(context).fault.is_none();
            if !again && self.has_addresses() && may_answer {
                self.call_off(out);
                return self.set_out(context, Purpose::End(end), out);
            }
            let from = self.state_name();
            self.leave_the_election(context, out);
            self.stopped(context, end, from, out);
        }
        if again {
            self.hooks.abandon(out);
        }
    }

    /// Is to leave: at once, or when the hook before that has ended.
    fn set_out(&mut self, context: &Context<'_>, purpose: Purpose, out: &mut Vec<Action>) {
        let waits_for_hook = self.ask_before_release(context, out);
        self.life.leave(purpose, waits_for_hook);
        if !waits_for_hook {
            self.depart(context, out);
        }
    }

    /// Leaves.
    pub(super) fn depart(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        let Some(purpose) = self.life.purpose() else { return };
        let (departure, why) = (purpose.departure(), purpose.why());
        let takeover = takeover_time(context.links.moving());
        let first = self.first_after_this(context);
        let outcome = self.router.leave(context.now.mono, departure, takeover, first);
        self.follow(context, outcome, out);
        self.report(What::Leaving(why), out);
    }

    /// Another member of its sync group is handed over.
    pub(in super::super) fn hand_over_with_group(
        &mut self,
        context: &Context<'_>,
        out: &mut Vec<Action>,
    ) {
        if self.is_active() && self.has_addresses() {
            let purpose = self.life.stay().unwrap_or(Purpose::Handover(None));
            self.life.leave(purpose, false);
            self.depart(context, out);
        }
    }

    /// It has left the election, and does not come back.
    pub(super) fn stopped(
        &mut self,
        context: &Context<'_>,
        end: End,
        from: StateName,
        out: &mut Vec<Action>,
    ) {
        self.router.shut_down();
        self.life.stop(end, context.now.mono);
        self.service.remove_devices(out);
        if from != StateName::Stopped {
            self.changed(context, from, end.why(), out);
        }
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
        if matches!(self.life, Life::Leaving(_) | Life::Stopped { .. }) {
            return Err(HandoverRefusal::Leaving);
        }
        if self.is_pending() {
            return Err(HandoverRefusal::Pending);
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
        let request = Request { number: request, to: to.cloned(), since: context.now.mono };
        self.set_out(context, Purpose::Handover(Some(request)), out);
        Ok(())
    }

    /// Whether the operator may take it out of the election. `Err`: it stays as it is.
    pub(in super::super) fn may_stand_by(&self) -> Result<(), HandoverRefusal> {
        if self.life.end().is_some() {
            return Err(HandoverRefusal::Leaving);
        }
        if self.is_pending() {
            return Err(HandoverRefusal::Pending);
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
        if self.is_active() && !self.is_leaving() {
            self.set_out(context, Purpose::Handover(None), out);
        }
    }

    /// The operator wants it in the election after all: a departure that is under way ends, and
    /// what was handed over already may be preempted.
    pub(in super::super) fn stay(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        if self.life.end().is_some() {
            return;
        }
        let purpose = self.life.stay();
        let outcome = self.router.stay(context.now.mono);
        self.follow(context, outcome, out);
        if let Some(purpose) = purpose {
            let answer = HandoverAnswer::Refused(HandoverRefusal::CalledOff);
            self.report(What::HandoverFailed(answer), out);
            called_off(&purpose, out);
        }
    }

    /// Whether it is to stop being active, and still is.
    pub(in super::super) fn is_leaving(&self) -> bool {
        matches!(self.life, Life::Leaving(_))
    }

    /// It is out of the election by the operator's wish, or is not. Says whether that is news.
    pub(in super::super) fn set_standby(
        &mut self,
        context: &Context<'_>,
        standby: bool,
        out: &mut Vec<Action>,
    ) -> bool {
        if self.is_retired() || self.obstacles.standby == standby {
            return false;
        }
        self.obstacles.standby = standby;
        if !standby {
            // The others of its sync group come back with it; whether they can is seen after this.
            self.obstacles.group = None;
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
        self.fall_back(context, why, out);
    }

    /// Has let go of the addresses and is backup, for this reason. A departure that waited for a
    /// hook is over: a handover came to nothing, and who does not come back need not be backup.
    pub(super) fn fall_back(&mut self, context: &Context<'_>, why: Why, out: &mut Vec<Action>) {
        let purpose = self.life.fall_back();
        if let Some(purpose) = &purpose {
            called_off(purpose, out);
        }
        self.changed(context, StateName::Active, why, out);
        if let Some(Purpose::End(end)) = purpose {
            self.stopped(context, end, StateName::Backup, out);
        }
    }

    /// Lets go, and tells those who have heard that it was active.
    pub(super) fn let_go_and_say_so(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        self.let_go(out);
        self.advertise(context, 0, out);
    }

    /// It has left, and another router has taken over.
    pub(super) fn succeeded(&mut self, context: &Context<'_>, heard: Heard, out: &mut Vec<Action>) {
        let peer = Peer::new(context.config, heard.source);
        self.let_go(out);
        let purpose = self.life.stay();
        if let Some(Purpose::End(end)) = purpose {
            self.report(What::Following(peer, heard.priority), out);
            return self.stopped(context, end, StateName::Active, out);
        }
        self.changed(context, StateName::Active, Why::HandedOver(peer.clone()), out);
        let Some(Purpose::Handover(Some(Request { number, to, since }))) = purpose else { return };
        let answer = match to {
            Some(wanted) if peer.name.as_ref() != Some(&wanted) => {
                HandoverAnswer::DoneByAnother { to: peer, wanted }
            }
            _ => HandoverAnswer::Done { to: peer, took: context.now.mono.since(since) },
        };
        out.push(Action::Answer { request: number, answer: Answer::Handover(answer) });
    }

    /// It has left, and nobody has taken over: a stop goes on, a handover was in vain.
    pub(super) fn unclaimed(&mut self, context: &Context<'_>, out: &mut Vec<Action>) {
        self.counters.unclaimed += 1;
        let purpose = self.life.stay();
        if let Some(Purpose::End(end)) = purpose {
            self.let_go(out);
            return self.stopped(context, end, StateName::Active, out);
        }
        self.follow(context, Outcome::Reassert, out);
        let Some(Purpose::Handover(Some(Request { number, since, .. }))) = purpose else { return };
        let refusal = HandoverRefusal::Nobody(context.now.mono.since(since));
        let answer = HandoverAnswer::Refused(refusal);
        self.report(What::HandoverFailed(answer.clone()), out);
        out.push(Action::Answer { request: number, answer: Answer::Handover(answer) });
    }

    /// A handover that is under way comes to nothing.
    fn call_off(&mut self, out: &mut Vec<Action>) {
        called_off(&Purpose::Handover(self.life.take_request()), out);
    }

    /// There is no interface of this name any more: it is gone with all that was on it, or has
    /// another name, and what was put on it is still there. Then it must go.
    pub(in super::super) fn interface_vanished(
        &mut self,
        interface: &InterfaceName,
        out: &mut Vec<Action>,
    ) {
        self.service.interface_vanished(interface, out);
    }
}

/// The time that another node may need to have so many addresses, once it has decided to: its
/// machine may be busy, and the kernel takes up to a millisecond for each. Those of other instances
/// count, too, since they may all leave together.
fn takeover_time(addresses: usize) -> Span {
    TAKEOVER + Span::from_millis(u64::try_from(addresses).unwrap_or(u64::MAX).min(10_000))
}

/// Answers a handover that has come to nothing, where somebody waits for it.
fn called_off(purpose: &Purpose, out: &mut Vec<Action>) {
    if let Purpose::Handover(Some(Request { number, .. })) = *purpose {
        let answer = HandoverAnswer::Refused(HandoverRefusal::CalledOff);
        out.push(Action::Answer { request: number, answer: Answer::Handover(answer) });
    }
}
