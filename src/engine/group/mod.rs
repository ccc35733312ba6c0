//! Sync groups: instances that are active on one node together.
//!
//! Each member has its own state machine and hears its own segment; what they decide is made one
//! decision here, after every input that has touched one of them:
//!
//! - a fault of one is a fault of all;
//! - a member claims its addresses when every member could, and so all do at the same time;
//! - a member that yields takes the others with it;
//! - a member that finds itself backup while another one is active joins it, or where it must leave
//!   its addresses to another router, the others yield.
//!
//! When all that is decided, the group as a whole follows its members ([`Group`]), and tells its
//! hooks.
//!
//! So a node has all of a group or nothing of it, and two nodes that hear each other on any of the
//! segments agree about all of them.

mod gates;
mod hooks;

pub(super) use gates::Gates;
pub(super) use hooks::Group;

use std::collections::{BTreeMap, BTreeSet};

use super::event::Action;
use super::instance::Instance;
use super::story::{Event, Fault, What, Why};
use super::turn::Turn;
use super::{Context, Engine};
use crate::model::{InstanceName, SyncGroup};
use crate::time::Mono;

impl Engine {
    /// Does all that is due of the instances in these places. Of a group everything is put on the
    /// interfaces before the first advertisement makes another router let go.
    pub(super) fn fire_instances(&mut self, turn: &mut Turn, places: Vec<usize>) {
        let mut of_groups: BTreeMap<usize, Vec<Action>> = BTreeMap::new();
        for place in places {
            if self.advertises_again(turn, place) {
                continue;
            }
            let group = self.live_groups_of(place).next();
            self.each(turn, [place], |instance, context, out| {
                let out = group.map_or(out, |group| of_groups.entry(group).or_default());
                instance.fire(context, out);
            });
        }
        for mut actions in of_groups.into_values() {
            if actions.iter().any(relieves_another) {
                actions.sort_by_key(|action| matches!(action, Action::Send { .. }));
            }
            turn.out.append(&mut actions);
        }
    }

    /// The groups of the configuration that an instance is a member of.
    fn live_groups_of(&self, place: usize) -> impl Iterator<Item = usize> {
        let live = self.config.sync_groups.len();
        self.index.groups_of(place).iter().copied().filter(move |group| *group < live)
    }

    /// Makes one decision of what the members of each touched group have decided.
    pub(super) fn align(&mut self, turn: &mut Turn) {
        if self.groups.is_empty() {
            return;
        }
        let mut groups = BTreeSet::new();
        for place in turn.touched.places().collect::<Vec<_>>() {
            groups.extend(self.live_groups_of(place));
            self.each(turn, [place], |instance, _, _| instance.claim_not_before(Mono(0)));
        }
        for place in groups {
            let places = self.index.members_of(place).to_vec();
            // Each is woken first, also where it was not touched yet.
            self.each(turn, places.iter().copied(), |instance, _, _| {
                instance.claim_not_before(Mono(0));
            });
            let (context, instances) = self.parts(turn.now);
            let Some(group) = context.config.sync_groups.get(place) else { continue };
            let were_active = places.iter().map(|place| turn.touched.was_active(*place));
            let before: Vec<bool> = were_active.collect();
            let mut members = picked(instances, &places);
            share_fault(group, &mut members, &context, &mut turn.out);
            yield_or_join(&mut members, &before, &context, &mut turn.out);
            claim_together(&mut members);
        }
    }

    /// The others of an instance's group leave with it.
    pub(super) fn lead_departure(&mut self, turn: &mut Turn, first: usize) {
        for group in self.live_groups_of(first).collect::<Vec<_>>() {
            let mut others = self.index.members_of(group).to_vec();
            others.retain(|place| *place != first);
            self.each(turn, others, Instance::hand_over_with_group);
        }
    }
}

/// The instances in these places, which are in order.
pub(super) fn picked<'a>(
    mut instances: &'a mut [Instance],
    places: &[usize],
) -> Vec<&'a mut Instance> {
    let (mut picked, mut passed) = (Vec::with_capacity(places.len()), 0);
    for place in places {
        let Some((instance, rest)) =
            instances.get_mut(place - passed..).and_then(<[Instance]>::split_first_mut)
        else {
            break;
        };
        picked.push(instance);
        (instances, passed) = (rest, place + 1);
    }
    picked
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
    let in_fault = members.iter().filter(|member| member.obstacles().has_own_fault());
    let in_fault: Vec<InstanceName> = in_fault.map(|member| member.config().name.clone()).collect();
    for member in members {
        let other = in_fault.iter().find(|name| **name != member.config().name);
        let fault = other.map(|name| Fault::GroupMember(group.name.clone(), name.clone()));
        member.set_group_fault(context, fault, out);
    }
}

fn yield_or_join(
    members: &mut [&mut Instance],
    were_active: &[bool],
    context: &Context<'_>,
    out: &mut Vec<Action>,
) {
    if !members.iter().any(|member| member.is_active()) {
        return;
    }
    let leader = members.iter().zip(were_active).find(|(member, was_active)| {
        let has_yielded = **was_active && !member.holds();
        has_yielded || member.is_backup() && !member.may_join(context)
    });
    let leader = leader.map(|(member, _)| member.config().name.clone());
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
