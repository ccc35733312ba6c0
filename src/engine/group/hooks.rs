//! A sync group as a whole: what its members make of it, and who is told.

use super::super::event::{Action, GroupEvent, HookEvent, HookOwner, ProbeResult};
use super::super::hook::{Ended, Hooks};
use super::super::instance::Instance;
use super::super::status::GroupStatus;
use super::super::story::{Event, Fault, StateName, What, Why};
use super::super::timer::Timer;
use super::super::turn::Turn;
use super::super::{Context, Engine};
use super::picked;
use crate::hash::hash_by;
use crate::model::{InstanceName, Notify, Phase, SyncGroup};
use crate::time::{Mono, Now, Wall};

/// A sync group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Group {
    config: SyncGroup,
    state: StateName,
    since: Wall,
    hooks: Hooks,
    hooks_failed: u64,
    /// The members whose pending election its hook was started for; empty while it was not.
    asked_for: Vec<InstanceName>,
    /// Nobody is told any more.
    given_up: bool,
    /// The configuration has it no more.
    retired: bool,
}

hash_by!(Group {
    state,
    hooks,
    asked_for,
    given_up,
    retired,
} without { config, since, hooks_failed });

impl Engine {
    /// Each touched group follows its members.
    pub(in super::super) fn follow_groups(&mut self, turn: &mut Turn) {
        if self.groups.is_empty() {
            return;
        }
        let places = turn.touched.places();
        turn.groups.extend(places.flat_map(|place| self.index.groups_of(place)));
        for place in turn.groups.clone() {
            let members = self.index.members_of(place).to_vec();
            let asked = self.groups.get(place).into_iter().flat_map(|group| &group.asked_for);
            let asked = asked.flat_map(|name| self.index.name(name)).copied();
            let concerned: Vec<usize> = asked.chain(members.iter().copied()).collect();
            self.each(turn, concerned, |_, _, _| ());
            let Self { config, links, tracks, gates, instances, groups, .. } = self;
            let context = Context { now: turn.now, config, links, tracks, gates };
            if let Some(group) = groups.get_mut(place) {
                group.follow(&context, &mut picked(instances, &members), &mut turn.out);
            }
        }
        self.release_waiting(turn);
    }

    /// Those whose group a reload has taken away, or that it has taken out of their group, need
    /// not wait for it.
    fn release_waiting(&mut self, turn: &mut Turn) {
        let mut places: Vec<usize> = turn.touched.places().collect();
        places.retain(|place| {
            self.instances.get(*place).is_some_and(|instance| {
                instance.waits_for_group()
                    && !self.groups.iter().any(|group| group.holds_back(instance))
            })
        });
        self.each(turn, places, Instance::claim_with_group);
    }

    /// The groups of a new configuration: those that were there go on, whatever else differs.
    pub(in super::super) fn reload_groups(&mut self, now: Now, out: &mut Vec<Action>) {
        let mut before = std::mem::take(&mut self.groups);
        for wanted in &self.config.sync_groups {
            let place = before.iter().position(|group| group.config.name == wanted.name);
            let mut group = match place {
                Some(place) => before.remove(place),
                None => Group::late(wanted.clone(), now),
            };
            group.reconfigure(wanted, out);
            self.groups.push(group);
        }
        for mut group in before {
            group.hooks.forget_waiting(&Notify::default());
            self.groups.push(Group { retired: true, ..group });
        }
    }
}

impl Group {
    /// A group whose members have not started.
    pub(in super::super) fn new(config: SyncGroup, now: Now) -> Self {
        Self {
            state: StateName::Stopped,
            since: now.wall,
            hooks: Hooks::new(HookOwner::Group(config.name.clone())),
            hooks_failed: 0,
            asked_for: Vec::new(),
            given_up: false,
            retired: false,
            config,
        }
    }

    /// The same where a reload has brought it.
    fn late(config: SyncGroup, now: Now) -> Self {
        let mut group = Self::new(config, now);
        group.hooks.number_from(now.mono);
        group
    }

    fn reconfigure(&mut self, config: &SyncGroup, out: &mut Vec<Action>) {
        let old = std::mem::replace(&mut self.config, config.clone());
        self.hooks.forget_waiting(&config.notify);
        if std::mem::take(&mut self.retired) {
            self.hooks.take_time();
        }
        let differ =
            [("members", old.members != config.members), ("notify", old.notify != config.notify)];
        let keys = differ.into_iter().filter(|(_, differs)| *differs);
        let keys: Vec<String> = keys.map(|(key, _)| key.to_owned()).collect();
        if !keys.is_empty() {
            self.report(What::Reconfigured(keys), out);
        }
    }

    /// Its configuration.
    pub(in super::super) fn config(&self) -> &SyncGroup {
        &self.config
    }

    /// Whether this is a member. One that the configuration has no more belongs only to a group
    /// that it has no more, either.
    pub(in super::super) fn has(&self, instance: &Instance) -> bool {
        (self.retired || !instance.is_retired())
            && self.config.members.contains(&instance.config().name)
    }

    /// The members have decided.
    fn follow(
        &mut self,
        context: &Context<'_>,
        members: &mut [&mut Instance],
        out: &mut Vec<Action>,
    ) {
        self.let_claim(context, members, out);
        let Some(state) = self.state_of(members).filter(|state| *state != self.state) else {
            return;
        };
        let from = std::mem::replace(&mut self.state, state);
        self.since = context.now.wall;
        if self.given_up {
            return;
        }
        if state == StateName::Stopped {
            self.hooks.hurry();
        }
        let event = self.event(context, members, Phase::Script, state);
        self.hooks.changed(context.now, &self.config.notify, from, &event, out);
    }

    /// True if an instance that waits for its sync group waits for this group: as a member, or for
    /// the hook that had begun while it was one.
    fn holds_back(&self, instance: &Instance) -> bool {
        let is_member = !self.retired && self.has(instance);
        is_member || self.hooks.is_at_gate() && self.asked_for.contains(&instance.config().name)
    }

    /// Members whose addresses wait have them together: when the group's hook has ended, and those
    /// of all members. One that joins an active group is not waited for.
    fn let_claim(
        &mut self,
        context: &Context<'_>,
        members: &mut [&mut Instance],
        out: &mut Vec<Action>,
    ) {
        // A former member that has another group now waits for that one.
        let is_retired = self.retired;
        let waits = |member: &Instance| {
            let stays = !is_retired || member.is_retired();
            member.waits_for_group() && (stays || !context.gates.has(&member.config().name))
        };
        if !members.iter().any(|member| waits(member)) {
            self.asked_for.clear();
            return;
        }
        if self.asked_for.is_empty() {
            self.ask(context, members, out);
        }
        if self.hooks.is_at_gate() || members.iter().any(|member| member.waits_for_own_hook()) {
            return;
        }
        let mut actions = Vec::new();
        for member in members.iter_mut().filter(|member| waits(member)) {
            member.claim_with_group(context, &mut actions);
        }
        // Everything is on the interfaces before another router hears of it and lets go.
        actions.sort_by_key(|action| match action {
            Action::Send { .. } => 1,
            Action::Hook { .. } => 2,
            _ => 0,
        });
        out.append(&mut actions);
    }

    fn ask(&mut self, context: &Context<'_>, members: &[&mut Instance], out: &mut Vec<Action>) {
        let phase = Phase::BeforeClaim;
        let is_active = self.state == StateName::Active;
        if self.retired || is_active || !self.config.notify.has(phase) {
            return;
        }
        self.asked_for.clone_from(&self.config.members);
        self.report(What::Pending(phase), out);
        // What it is to be, as with an instance.
        let event = self.event(context, members, phase, StateName::Active);
        self.hooks.run(context.now, &self.config.notify, event, out);
    }

    /// What the members make of it; `None`: they are on their way, and it stays what it was.
    fn state_of(&self, members: &[&mut Instance]) -> Option<StateName> {
        let states = || {
            let counted = members.iter().filter(|member| !self.retired || member.is_retired());
            counted.map(|member| member.state())
        };
        if states().all(|state| state == StateName::Stopped) {
            return Some(StateName::Stopped);
        }
        let stops = states().any(|state| state == StateName::Stopped);
        if stops || members.iter().any(|member| member.is_pending()) {
            return None;
        }
        // The others are in fault for that reason alone.
        if states().any(|state| state == StateName::Standby) {
            return Some(StateName::Standby);
        }
        if states().any(|state| state == StateName::Fault) {
            return Some(StateName::Fault);
        }
        let are_active = states().all(|state| state == StateName::Active);
        Some(if are_active { StateName::Active } else { StateName::Backup })
    }

    fn event(
        &self,
        context: &Context<'_>,
        members: &[&mut Instance],
        phase: Phase,
        state: StateName,
    ) -> HookEvent {
        let priority = members.first().map_or(0, |member| member.priority().get());
        HookEvent::Group(GroupEvent {
            phase,
            group: self.config.name.clone(),
            node: context.config.this_node.clone(),
            state,
            priority,
            members: members.iter().map(|member| member.as_group_member(context)).collect(),
            why: self.why(members),
            time_ms: context.now.wall.0 / 1_000_000,
        })
    }

    /// The reason of the members; where they have several, that of the one that the others follow.
    fn why(&self, members: &[&mut Instance]) -> String {
        let Some(first) = members.first().filter(|_| !self.retired) else {
            return Why::Retired.to_string();
        };
        if members.iter().all(|member| member.why() == first.why()) {
            return first.why().to_string();
        }
        let leader = members.iter().find(|member| {
            !matches!(member.why(), Why::Fault(Fault::GroupMember(..)) | Why::YieldingWith(_))
        });
        let leader = leader.unwrap_or(first);
        format!("{}: {}", leader.config().name, leader.why())
    }

    /// What came of a hook.
    pub(in super::super) fn hooked(
        &mut self,
        now: Now,
        owner: &HookOwner,
        number: u64,
        result: &ProbeResult,
        out: &mut Vec<Action>,
    ) {
        if let Some(ended) = self.hooks.ended(now, owner, number, result, out) {
            self.note(ended, out);
        }
    }

    /// Does what is due of the hooks.
    pub(in super::super) fn fire(&mut self, now: Now, out: &mut Vec<Action>) {
        for ended in self.hooks.fire(now, out) {
            self.note(ended, out);
        }
    }

    fn note(&mut self, ended: Ended, out: &mut Vec<Action>) {
        let Ended { name, failure, again } = ended;
        if let Some(reason) = failure {
            self.hooks_failed += 1;
            self.report(What::HookFailed(name, reason, again), out);
        }
    }

    fn report(&self, what: What, out: &mut Vec<Action>) {
        out.push(Action::Report(Event::of_group(self.config.name.clone(), what)));
    }

    /// The daemon is to end at once.
    pub(in super::super) fn give_up(&mut self, out: &mut Vec<Action>) {
        self.given_up = true;
        self.hooks.abandon(out);
    }

    /// When [`Group::fire`] is due, and what for.
    pub(in super::super) fn deadline(&self) -> Option<(Mono, Timer)> {
        self.hooks.deadline()
    }

    /// Whether the end has come for it: it has stopped, and everybody was told.
    pub(in super::super) fn is_over(&self) -> bool {
        self.state == StateName::Stopped && self.hooks.is_idle()
    }

    /// Whether the configuration has it no more, and nothing is left to be told.
    pub(in super::super) fn is_gone(&self) -> bool {
        self.retired && self.is_over()
    }

    /// What there is to know about it.
    pub(in super::super) fn status(&self) -> GroupStatus {
        GroupStatus {
            name: self.config.name.clone(),
            members: self.config.members.clone(),
            state: self.state,
            since: self.since,
            hooks: self.hooks.status(),
            hooks_failed: self.hooks_failed,
            hooks_superseded: self.hooks.superseded(),
        }
    }
}
