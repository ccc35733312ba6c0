//! The sync groups: instances that are on one node together.

use std::collections::BTreeMap;

use super::instance::Draft;
use super::keys::{GROUP, nearest};
use super::notify;
use super::problem::{Marked, Problems, Spot, Wrong, quoted};
use super::section::{self, Given, Section, named};
use super::source::{Content, Entry};
use crate::model::{GroupName, InstanceConfig, InstanceName, Notify, Phase, SyncGroup};

const EXAMPLE: &str = "a list of instances like [wan, lan]";

/// Reads the key `sync_groups` at the top of the file; `None` where something in it is wrong.
pub(super) fn read(
    top: &Section<'_>,
    drafts: &[Draft<'_>],
    problems: &mut Problems<'_>,
) -> Option<Vec<SyncGroup>> {
    let Some((node, spot)) = top.node("sync_groups") else {
        return (!top.has("sync_groups")).then(Vec::new);
    };
    let entries = named(node, &spot, "a mapping of names to lists of instances", problems)?;
    let mut taken = BTreeMap::new();
    let groups: Vec<_> =
        entries.iter().map(|entry| group(entry, &spot, drafts, &mut taken, problems)).collect();
    groups.into_iter().collect()
}

fn group<'d>(
    entry: &Entry,
    within: &Spot,
    drafts: &'d [Draft<'_>],
    taken: &mut BTreeMap<InstanceName, Spot>,
    problems: &mut Problems<'_>,
) -> Option<SyncGroup> {
    let name_spot = within.key(&entry.key, entry.place);
    let name =
        GroupName::try_from(entry.key.as_str()).map_err(|bad| problems.add(&name_spot, bad.into()));
    let (list, notify) = parts(entry, within, problems)?;
    let mut members: Vec<(Spot, &'d Draft<'_>)> = Vec::new();
    for Marked { value: member, spot } in &list.value {
        if let Some(first) = taken.get(member) {
            let what = format!("{} is already in {}", quoted(member.as_str()), first.path);
            problems.add(spot, Wrong::new(what).hint("an instance is in one group, once"));
        } else if let Some(draft) = drafts.iter().find(|draft| draft.name.as_ref() == Some(member))
        {
            members.push((spot.clone(), draft));
        } else {
            problems.add(spot, unknown(member, drafts));
        }
        taken.entry(member.clone()).or_insert_with(|| spot.clone());
    }
    if list.value.len() < 2 {
        let wrong = Wrong::expected("two instances or more", &list.value.len().to_string());
        problems.add(&list.spot, wrong.hint("an instance alone needs no group"));
    }
    alike(&members, problems);
    let members = list.value.into_iter().map(|member| member.value).collect();
    Some(SyncGroup { name: name.ok()?, members, notify: notify? })
}

type Parts = (Marked<Vec<Marked<InstanceName>>>, Option<Notify>);

/// The members and the hooks of a group: a list of the members, or a mapping with both.
fn parts(entry: &Entry, within: &Spot, problems: &mut Problems<'_>) -> Option<Parts> {
    let spot = within.key(&entry.key, entry.node.place);
    let (list, notify) = if let Content::Mapping(_) = entry.node.content {
        let section = Section::open(&entry.node, spot, &GROUP, problems)?;
        let list = section.several::<InstanceName>("members", problems);
        if let Given::Absent = list {
            section.missing("members", &format!("it takes {EXAMPLE}"), problems);
        }
        (list, notify::read_of_group(&section, problems))
    } else {
        (section::several(&entry.node, &spot, problems), Some(Notify::default()))
    };
    match list {
        Given::Right(list) => Some((list, notify)),
        Given::Absent | Given::Wrong => None,
    }
}

fn unknown(name: &InstanceName, drafts: &[Draft<'_>]) -> Wrong {
    let wrong = Wrong::new(format!("there is no instance {}", quoted(name.as_str())));
    let known = drafts.iter().filter_map(|draft| draft.name.as_ref()).map(InstanceName::as_str);
    match nearest(known, name.as_str()) {
        Some(near) => wrong.hint(format!("did you mean '{near}'?")),
        None => wrong.hint(EXAMPLE),
    }
}

/// One election for all of them: what it depends on must be the same.
fn alike(members: &[(Spot, &Draft<'_>)], problems: &mut Problems<'_>) {
    let members = members.iter().map(|(spot, draft)| Some((spot.clone(), draft.config.clone()?)));
    let Some(members) = members.collect::<Option<Vec<_>>>() else { return };
    let Some(((_, first), others)) = members.split_first() else { return };
    for (spot, other) in &members {
        if other.priority.is_owner() {
            let wrong =
                Wrong::new("the owner of its addresses (priority 255) cannot be in a group");
            problems.add(spot, wrong.hint("they would not move with the others"));
        }
    }
    for (spot, _) in members.iter().filter(|(_, m)| m.notify.has(Phase::BeforeRelease)) {
        let wrong =
            Wrong::new("has a 'before_release', for which the others of its group would wait");
        problems.add(spot, wrong.hint("use 'after_release': the members leave together"));
    }
    for (spot, other) in others.iter().filter(|(_, other)| !other.priority.is_owner()) {
        if let Some(key) = difference(first, other) {
            let what = format!("has another '{key}' than {}", quoted(first.name.as_str()));
            let hint = "the members of a group have one election, and must agree on it";
            problems.add(spot, Wrong::new(what).hint(hint));
        }
    }
}

fn difference(first: &InstanceConfig, other: &InstanceConfig) -> Option<&'static str> {
    let differ = [
        ("priority", first.priority != other.priority),
        ("advertisement_interval", first.advertisement_interval != other.advertisement_interval),
        ("preempt", first.preempt != other.preempt),
        ("if_all_fail", first.if_all_fail != other.if_all_fail),
    ];
    differ.into_iter().find(|(_, differs)| *differs).map(|(key, _)| key)
}

/// A check of one member is one of all: each gets the checks of the others.
pub(super) fn share_tracks(groups: &[SyncGroup], instances: &mut [InstanceConfig]) {
    for group in groups {
        let mut tracks = Vec::new();
        let members = instances.iter().filter(|one| group.members.contains(&one.name));
        for track in members.flat_map(|member| &member.tracks) {
            if !tracks.contains(track) {
                tracks.push(track.clone());
            }
        }
        for member in instances.iter_mut().filter(|i| group.members.contains(&i.name)) {
            member.tracks.clone_from(&tracks);
        }
    }
}
