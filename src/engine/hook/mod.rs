//! The hooks of one instance or sync group: who is told what, in which order, and what came of it.
//!
//! Programs run one after the other, and beside them, each in its own order, what goes into the
//! named pipe and to the webhook. Where they are slower than the changes, what has not started yet
//! is left out for what is newer: the last state is always told. What a takeover or a departure
//! waits for stands in no queue with those that are only told.

pub(super) mod call;
mod lane;

use std::collections::BTreeMap;

use super::event::{Action, ProbeResult};
use super::status::HookStatus;
use super::timer::Timer;
use super::words::{StateName, shown};
use crate::hash::hash_by;
use crate::model::{Notify, Phase};
use crate::time::{Mono, Now, Wall};
use call::{HookCall, HookEvent, HookName, HookOwner, HookTarget};
use lane::{Job, Lane};

/// The hooks of an instance or of a sync group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hooks {
    /// What the shell calls them by: an instance has the name from when the daemon got it.
    owner: HookOwner,
    numbers: u64,
    /// What is waited for.
    gates: Lane,
    programs: Lane,
    fifo: Lane,
    webhook: Lane,
    outcomes: BTreeMap<HookName, Outcome>,
    /// How many were left out for something newer.
    superseded: u64,
    /// Whether what fails is tried again.
    patient: bool,
    verify_at: Option<Mono>,
}

hash_by!(Hooks {
    owner,
    gates,
    programs,
    fifo,
    webhook,
    patient,
    verify_at,
} without { numbers, outcomes, superseded });

#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    passed: bool,
    text: String,
    at: Wall,
}

/// A hook that has ended, or was ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) name: HookName,
    /// What went wrong; `None`: nothing.
    pub(super) failure: Option<String>,
    /// Whether it is tried again.
    pub(super) again: bool,
}

impl Hooks {
    pub(super) fn new(owner: HookOwner) -> Self {
        Self {
            owner,
            numbers: 0,
            gates: Lane::default(),
            programs: Lane::default(),
            fifo: Lane::default(),
            webhook: Lane::default(),
            outcomes: BTreeMap::new(),
            superseded: 0,
            patient: true,
            verify_at: None,
        }
    }

    /// Their owner.
    pub(super) const fn owner(&self) -> &HookOwner {
        &self.owner
    }

    /// For an owner that a reload has brought: one of that name may have been there before, and
    /// late answers to its hooks may still come. No number of it is used again: it had one for each
    /// microsecond.
    pub(super) fn number_from(&mut self, now: Mono) {
        self.numbers = now.since(Mono(0)).nanos() / 1_000;
    }

    /// Runs the program for this, where there is one, after those before it.
    pub(super) fn run(
        &mut self,
        now: Now,
        notify: &Notify,
        event: HookEvent,
        out: &mut Vec<Action>,
    ) {
        let phase = event.phase();
        let Some(command) = notify.programs.get(&phase) else { return };
        let target = HookTarget::Program {
            command: command.clone(),
            user: notify.user.clone(),
            group: notify.group.clone(),
        };
        let name = HookName::Program(phase);
        // What is asked is asked again anyway.
        let again = self.patient && phase != Phase::Verify;
        let retries = if again { notify.retries } else { 0 };
        let call = HookCall { target, event, timeout: notify.timeout };
        let job = Job { name, call, retries, attempts: 0, at: now.mono };
        if job.is_waited_for() {
            self.superseded += self.gates.leave_out(name);
        }
        self.lane_of(name).push(job);
        self.start(now.mono, out);
    }

    /// The state is another one: whatever tells of an older one and has not started is left out.
    pub(super) fn supersede(&mut self) {
        for lane in [&mut self.programs, &mut self.fifo, &mut self.webhook] {
            self.superseded += lane.supersede();
        }
    }

    /// The state has changed, and this is what is told of it, in order. What tells of an older
    /// state and has not started is left out.
    pub(super) fn changed(
        &mut self,
        now: Now,
        notify: &Notify,
        from: StateName,
        event: &HookEvent,
        out: &mut Vec<Action>,
    ) {
        self.supersede();
        if from == StateName::Active {
            self.run(now, notify, event.in_phase(Phase::AfterRelease), out);
        }
        match event.state() {
            StateName::Active => self.run(now, notify, event.in_phase(Phase::AfterClaim), out),
            StateName::Fault => self.run(now, notify, event.in_phase(Phase::OnFault), out),
            StateName::Backup | StateName::Standby | StateName::Stopped => {}
        }
        self.tell(now, notify, event, out);
    }

    /// Tells the state to everybody who wants to know each change.
    fn tell(&mut self, now: Now, notify: &Notify, event: &HookEvent, out: &mut Vec<Action>) {
        let patient = self.patient;
        let call = |target| HookCall { target, event: event.clone(), timeout: notify.timeout };
        let job = |name, target| {
            let (call, retries) = (call(target), if patient { notify.retries } else { 0 });
            Job { name, call, retries, attempts: 0, at: now.mono }
        };
        if let Some(path) = &notify.fifo {
            self.fifo.push(job(HookName::Fifo, HookTarget::Fifo(path.clone())));
        }
        if let Some(url) = &notify.webhook {
            self.webhook.push(job(HookName::Webhook, HookTarget::Webhook(url.clone())));
        }
        self.start(now.mono, out);
        self.run(now, notify, event.clone(), out);
    }

    /// What came of a hook, if it is one of these.
    pub(super) fn ended(
        &mut self,
        now: Now,
        owner: &HookOwner,
        number: u64,
        result: &ProbeResult,
        out: &mut Vec<Action>,
    ) -> Option<Ended> {
        if *owner != self.owner {
            return None;
        }
        let job = self.lanes().into_iter().find_map(|lane| lane.finish(number))?;
        let ended = self.learn(now, job, result);
        self.start(now.mono, out);
        Some(ended)
    }

    /// Does what is due: gives up waiting, starts the next.
    pub(super) fn fire(&mut self, now: Now, out: &mut Vec<Action>) -> Vec<Ended> {
        let overdue: Vec<_> =
            self.lanes().into_iter().filter_map(|lane| lane.overdue(now.mono)).collect();
        let mut ended = Vec::new();
        for (job, number) in overdue {
            out.push(Action::CancelHook { owner: self.owner.clone(), number });
            let reason = format!("it has not ended within {}", job.call.timeout);
            ended.push(self.learn(now, job, &ProbeResult::Failed(reason)));
        }
        self.start(now.mono, out);
        ended
    }

    fn learn(&mut self, now: Now, job: Job, result: &ProbeResult) -> Ended {
        let (passed, text) = match result {
            ProbeResult::Passed(text) => (true, shown(text)),
            ProbeResult::Failed(text) => (false, shown(text)),
        };
        let name = job.name;
        let failure = (!passed).then(|| text.clone());
        self.outcomes.insert(name, Outcome { passed, text, at: now.wall });
        if matches!(name, HookName::Program(Phase::Verify)) {
            self.verify_at = None;
        }
        let again = !passed && self.lane_of(name).again(now.mono, job);
        Ended { name, failure, again }
    }

    fn start(&mut self, now: Mono, out: &mut Vec<Action>) {
        let mut number = self.numbers;
        let mut calls = Vec::new();
        for lane in self.lanes() {
            if let Some(call) = lane.start(now, number + 1) {
                number += 1;
                calls.push((number, call));
            }
        }
        self.numbers = number;
        out.extend(calls.into_iter().map(|(number, call)| {
            let (owner, call) = (self.owner.clone(), Box::new(call));
            Action::Hook { owner, number, call }
        }));
    }

    /// When it is to be asked next whether the addresses are still this node's; `None`: it is being
    /// asked, or nobody wants to know.
    pub(super) fn verify_at(&mut self, now: Mono, notify: &Notify, active: bool) -> Option<Mono> {
        if !active || !notify.has(Phase::Verify) {
            self.verify_at = None;
            return None;
        }
        let is_asked = self.programs.running() == Some(HookName::Program(Phase::Verify));
        if !is_asked && self.verify_at.is_none() {
            self.verify_at = Some(now + notify.verify_interval);
        }
        self.verify_at
    }

    /// It is asked now.
    pub(super) fn verifies(&mut self) {
        self.verify_at = None;
    }

    /// The daemon stops: what has failed is not tried again.
    pub(super) fn hurry(&mut self) {
        self.patient = false;
        self.lanes().into_iter().for_each(Lane::hurry);
    }

    /// The daemon goes on: what fails is tried again.
    pub(super) fn take_time(&mut self) {
        self.patient = true;
    }

    /// Ends everything.
    pub(super) fn abandon(&mut self, out: &mut Vec<Action>) {
        let owner = self.owner.clone();
        for number in self.lanes().into_iter().filter_map(Lane::abandon) {
            out.push(Action::CancelHook { owner: owner.clone(), number });
        }
        self.verify_at = None;
    }

    /// True if the program for this, which something waits for, is under way or waits for its turn.
    pub(super) fn is_awaited(&self, phase: Phase) -> bool {
        self.gates.has(HookName::Program(phase))
    }

    /// Drops the programs that something waits for and that the configuration no longer has, unless
    /// they have started.
    pub(super) fn forget_waiting(&mut self, notify: &Notify) {
        for phase in [Phase::BeforeClaim, Phase::BeforeRelease] {
            if !notify.has(phase) {
                self.superseded += self.gates.leave_out(HookName::Program(phase));
            }
        }
    }

    /// Whether something that is waited for is under way or waits.
    pub(super) fn is_at_gate(&self) -> bool {
        !self.gates.is_idle()
    }

    /// Whether nothing is under way or waits.
    pub(super) fn is_idle(&self) -> bool {
        self.all().into_iter().all(Lane::is_idle)
    }

    /// When [`Hooks::fire`] is due, and what for.
    pub(super) fn deadline(&self) -> Option<(Mono, Timer)> {
        let next = self.all().into_iter().filter_map(Lane::deadline).chain(self.verify_at).min();
        next.map(|at| (at, Timer::Hook))
    }

    /// What there is to know about them.
    pub(super) fn status(&self) -> Vec<HookStatus> {
        let running: Vec<HookName> = self.all().into_iter().filter_map(Lane::running).collect();
        let mut names: Vec<HookName> = self.outcomes.keys().copied().collect();
        names.extend(running.iter().filter(|name| !self.outcomes.contains_key(*name)));
        let status = |name: HookName| HookStatus {
            name,
            running: running.contains(&name),
            last: self.outcomes.get(&name).map(|o| (o.passed, o.text.clone(), o.at)),
        };
        names.into_iter().map(status).collect()
    }

    /// How many were left out for something newer.
    pub(super) fn superseded(&self) -> u64 {
        self.superseded
    }

    fn lanes(&mut self) -> [&mut Lane; 4] {
        [&mut self.gates, &mut self.programs, &mut self.fifo, &mut self.webhook]
    }

    fn all(&self) -> [&Lane; 4] {
        [&self.gates, &self.programs, &self.fifo, &self.webhook]
    }

    fn lane_of(&mut self, name: HookName) -> &mut Lane {
        match name {
            HookName::Program(phase) if phase.is_waited_for() => &mut self.gates,
            HookName::Program(_) => &mut self.programs,
            HookName::Fifo => &mut self.fifo,
            HookName::Webhook => &mut self.webhook,
        }
    }
}
