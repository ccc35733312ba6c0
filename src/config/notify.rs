//! The hooks of an instance or of a sync group.

use std::collections::BTreeMap;

use super::fields::Field;
use super::keys::NOTIFY;
use super::problem::{Marked, Problems, Wrong};
use super::program;
use super::section::{Given, Section};
use super::track::values::{AbsolutePath, Text, Url};
use crate::model::{Notify, Phase};
use crate::time::Span;

/// What a hook may take at the least, and at the most: a failover may wait for it.
const TIMEOUTS: std::ops::RangeInclusive<Span> = Span::from_millis(10)..=Span::from_secs(60);

/// Asking more often would be no asking now and then.
const SHORTEST_VERIFY_INTERVAL: Span = Span::from_secs(1);

/// Reads the key `notify` of an instance; `None` where something in it is wrong.
pub(super) fn read(instance: &Section<'_>, problems: &mut Problems<'_>) -> Option<Notify> {
    let Some((node, spot)) = instance.node("notify") else {
        return (!instance.has("notify")).then(Notify::default);
    };
    hooks(&Section::open(node, spot, &NOTIFY, problems)?, problems)
}

/// Reads the key `notify` of a sync group; `None` where something in it is wrong.
pub(super) fn read_of_group(group: &Section<'_>, problems: &mut Problems<'_>) -> Option<Notify> {
    let Some((node, spot)) = group.node("notify") else {
        return (!group.has("notify")).then(Notify::default);
    };
    let section = Section::open(node, spot, &NOTIFY, problems)?;
    let mut right = true;
    for phase in Phase::ALL.into_iter().filter(|phase| !phase.suits_groups()) {
        if let Some(spot) = section.spot_of(phase.key()) {
            let hint = match phase {
                Phase::BeforeRelease => "use 'after_release': the members leave together",
                Phase::OnConflictWon => "put it at a member: a conflict is on its segment",
                _ => "put it at a member: it is about that one's addresses",
            };
            problems.add(&spot, Wrong::new("is not for a sync group").hint(hint));
            right = false;
        }
    }
    hooks(&section, problems).filter(|_| right)
}

fn hooks(section: &Section<'_>, problems: &mut Problems<'_>) -> Option<Notify> {
    let programs = programs(section, problems);
    let fifo = section.take::<AbsolutePath>("fifo", problems).map(|path| Some(path.0)).or(None);
    let webhook = section.take::<Url>("webhook", problems).map(|url| Some(url.0)).or(None);
    let user = section.take::<Text>("user", problems).map(|text| Some(text.0)).or(None);
    let group = section.take::<Text>("group", problems).map(|text| Some(text.0)).or(None);
    let timeout = timeout(section, problems);
    let retries = section.take::<Retries>("retries", problems).or(Retries(Notify::RETRIES));
    let verify_interval = verify_interval(section, problems);
    let notify = Notify {
        programs: programs?,
        user: user?,
        group: group?,
        fifo: fifo?,
        webhook: webhook?,
        verify_interval: verify_interval?,
        timeout: timeout?,
        retries: retries?.0,
    };
    if notify.programs.is_empty() && notify.fifo.is_none() && notify.webhook.is_none() {
        let wrong = Wrong::new("tells nobody anything");
        problems.add(
            section.spot(),
            wrong.hint("name a program, a fifo or a webhook, or leave it out"),
        );
        return None;
    }
    Some(notify)
}

fn programs(
    section: &Section<'_>,
    problems: &mut Problems<'_>,
) -> Option<BTreeMap<Phase, Vec<String>>> {
    let mut programs = BTreeMap::new();
    let mut right = true;
    for phase in Phase::ALL {
        match program::read(section, phase.key(), problems) {
            Given::Absent => {}
            Given::Wrong => right = false,
            Given::Right(command) => {
                programs.insert(phase, command.value);
            }
        }
    }
    right.then_some(programs)
}

fn timeout(section: &Section<'_>, problems: &mut Problems<'_>) -> Option<Span> {
    let given = section.take::<Span>("timeout", problems);
    if let Given::Right(Marked { value, spot }) = &given
        && !TIMEOUTS.contains(value)
    {
        problems.add(spot, Wrong::expected("10ms to 60s", &value.to_string()));
        return None;
    }
    given.or(Notify::TIMEOUT)
}

fn verify_interval(section: &Section<'_>, problems: &mut Problems<'_>) -> Option<Span> {
    let given = section.take::<Span>("verify_interval", problems);
    if let Given::Right(Marked { value, spot }) = &given {
        if !section.has("verify") {
            problems.add(spot, Wrong::new("has no meaning without 'verify'").hint("leave it out"));
            return None;
        }
        if *value < SHORTEST_VERIFY_INTERVAL {
            problems.add(spot, Wrong::expected("1s or more", &value.to_string()));
            return None;
        }
    }
    given.or(Notify::VERIFY_INTERVAL)
}

/// How often what has failed is tried again.
#[derive(Clone, Copy, Debug)]
struct Retries(u8);

impl Field for Retries {
    type Written = u64;
    const TAKES: &'static str = "a number from 0 to 10";

    fn check(written: u64) -> Result<Self, Wrong> {
        match u8::try_from(written) {
            Ok(number) if number <= 10 => Ok(Self(number)),
            _ => Err(Wrong::expected(Self::TAKES, &written.to_string())),
        }
    }
}
