//! Sync groups: instances that are active on one node together.
//!
//! Each member has its own state machine and hears its own segment; what they decide is made one
//! decision here, after every input:
//!
//! - a fault of one is a fault of all;
//! - a member claims its addresses when every member could, and so all do at the same time;
//! - a member that yields takes the others with it;
//! - a member that finds itself backup while another one is active joins it, or where it must leave
//!   its addresses to another router, the others yield.
//!
//! When all that is decided, the group as a whole follows its members ([`Group`]), and tells its hooks.
//!
//! So a node has all of a group or nothing of it, and two nodes that hear each other on any of the
//! segments agree about all of them.

mod hooks;

pub(super) use hooks::Group;

use super::event::Action;
use super::instance::Instance;
use super::story::{Event, Fault, What, Why};
use super::{Context, Engine};
use crate::model::{InstanceName, SyncGroup};
use crate::time::{Mono, Now};

impl Engine {
    /// Does everything of the instances that is due. Of a group everything is put on the interfaces
    /// before the first advertisement makes another router let go.
    pub(super) fn fire(&mut self, now: Now, out: &mut Vec<Action>) {
        let context =
            Context { now, config: &self.config, links: &self.links, tracks: &self.tracks };
        let groups = &context.config.sync_groups;
        let mut of_groups = vec![Vec::new(); groups.len()];
        for instance in &mut self.instances {
            let name = &instance.config().name;
            let place = groups.iter().position(|group| group.members.contains(name));
            let out = place.and_then(|place| of_groups.get_mut(place)).unwrap_or(&mut *out);
            instance.fire(&context, out);
        }
        for mut actions in of_groups {
            if actions.iter().any(relieves_another) {
                actions.sort_by_key(|action| matches!(action, Action::Send { .. }));
            }
            out.append(&mut actions);
        }
    }

    /// The members that are active, by name: what [`Engine::align`] compares with.
    pub(super) fn active_members(&self) -> Vec<InstanceName> {
        let groups = &self.config.sync_groups;
        if groups.is_empty() {
            return Vec::new();
        }
        let grouped = |name: &&InstanceName| groups.iter().any(|g| g.members.contains(*name));
        let active = self.instances.iter().filter(|instance| instance.is_active());
        active.map(|instance| &instance.config().name).filter(grouped).cloned().collect()
    }

    /// Makes one decision of what the members of each group have decided.
    pub(super) fn align(&mut self, now: Now, before: &[InstanceName], out: &mut Vec<Action>) {
        let context =
            Context { now, config: &self.config, links: &self.links, tracks: &self.tracks };
        for instance in &mut self.instances {
            instance.claim_not_before(Mono(0));
        }
        for group in &context.config.sync_groups {
            let is_member = |instance: &&mut Instance| {
                !instance.is_retired() && group.members.contains(&instance.config().name)
            };
            let mut members: Vec<&mut Instance> =
                self.instances.iter_mut().filter(is_member).collect();
            share_fault(group, &mut members, &context, out);
            yield_or_join(&mut members, before, &context, out);
            claim_together(&mut members);
        }
    }

    /// The others of an instance's group leave with it.
    pub(super) fn lead_departure(&mut self, now: Now, first: &InstanceName, out: &mut Vec<Action>) {
        let context =
            Context { now, config: &self.config, links: &self.links, tracks: &self.tracks };
        let groups = &context.config.sync_groups;
        let together = |name: &InstanceName| {
            groups.iter().any(|g| g.members.contains(first) && g.members.contains(name))
        };
        for instance in &mut self.instances {
            if instance.config().name != *first && together(&instance.config().name) {
                instance.hand_over_with_group(&context, out);
            }
        }
    }
}

/// Whether this tells that a live router is relieved, which answers until it hears so.
fn relieves_another(action: &Action) -> bool {
    let Action::Report(Event { what: What::Changed { why, .. }, .. }) = action else {
        return false;
    };
    matches!(why, Why::Preempting(..) | Why::PeerStopped(_))
}

fn share_fault(
    group: &SyncGroup,
    members: &mut [&mut Instance],
    context: &Context<'_>,
    out: &mut Vec<Action>,
) {
    let in_fault = members.iter().filter(|member| member.has_own_fault());
    let in_fault: Vec<InstanceName> = in_fault.map(|member| member.config().name.clone()).collect();
    for member in members {
        let other = in_fault.iter().find(|name| **name != member.config().name);
        let fault = other.map(|name| Fault::GroupMember(group.name.clone(), name.clone()));
        member.set_group_fault(context, fault, out);
    }
}

fn yield_or_join(
    members: &mut [&mut Instance],
    before: &[InstanceName],
    context: &Context<'_>,
    out: &mut Vec<Action>,
) {
    if !members.iter().any(|member| member.is_active()) {
        return;
    }
    let has_yielded =
        |member: &&mut Instance| !member.holds() && before.contains(&member.config().name);
    let must_not_join = |member: &&mut Instance| member.is_backup() && !member.may_join(context);
    let leader = members.iter().find(|member| has_yielded(member) || must_not_join(member));
    let leader = leader.map(|member| member.config().name.clone());
    for member in members {
        match &leader {
            Some(leader) if member.is_active() => member.yield_with(context, leader, out),
            None if member.is_backup() => member.join(context, out),
            _ => {}
        }
    }
}

/// No member claims before every member could.
fn claim_together(members: &mut [&mut Instance]) {
    const NEVER: Mono = Mono(u64::MAX);
    if members.iter().any(|member| member.holds()) {
        return;
    }
    let all = members.iter().map(|member| member.claim_time().unwrap_or(NEVER)).max();
    for member in members {
        member.claim_not_before(all.unwrap_or(NEVER));
    }
}
