//! The checks: what all of them have in common. What a kind looks at is in `probe`, the values that
//! stand there in `values`.

mod probe;
pub(super) mod values;

use super::keys::{FLAP, KINDS, TRACK, kinds};
use super::problem::{Marked, Problems, Spot, Wrong};
use super::section::{Given, Section, named};
use super::source::Entry;
use crate::model::{Flap, TrackConfig, TrackName};
use crate::time::Span;
use values::{Changes, Cost, Times};

/// Once a second: a failure is noticed within `fall` of these.
const INTERVAL: Span = Span::from_secs(1);

/// More often than this a check would rather be a load than a check.
const SHORTEST_INTERVAL: Span = Span::from_millis(100);

/// A look that takes less than this is over before a busy machine has begun with it.
const SHORTEST_TIMEOUT: Span = Span::from_millis(10);

/// Where nothing is said, a look may take the whole interval, but not longer than this.
const LONGEST_DEFAULT_TIMEOUT: Span = Span::from_secs(5);

/// One good answer may be luck.
const RISE: u8 = 2;

/// One bad answer, or two, may be a moment's load.
const FALL: u8 = 3;

/// What the key `tracks` says.
#[derive(Default)]
pub(super) struct Tracks {
    /// The checks, valid or not, whose names are.
    pub(super) list: Vec<Draft>,
    /// Whether all of them are in the list.
    pub(super) complete: bool,
}

/// A check as far as it could be read.
pub(super) struct Draft {
    pub(super) name: Marked<TrackName>,
    pub(super) config: Option<TrackConfig>,
}

impl Tracks {
    /// Reads the key `tracks` at the top of the file.
    pub(super) fn read(top: &Section<'_>, problems: &mut Problems<'_>) -> Self {
        let Some((node, spot)) = top.node("tracks") else {
            return Self { list: Vec::new(), complete: !top.has("tracks") };
        };
        let Some(entries) = named(node, &spot, "a mapping of names to checks", problems) else {
            return Self::default();
        };
        let list: Vec<Draft> =
            entries.iter().filter_map(|entry| draft(entry, &spot, problems)).collect();
        Self { complete: list.len() == entries.len(), list }
    }

    /// The check of that name.
    pub(super) fn find(&self, name: &TrackName) -> Option<&Draft> {
        self.list.iter().find(|draft| draft.name.value == *name)
    }
}

fn draft(entry: &Entry, within: &Spot, problems: &mut Problems<'_>) -> Option<Draft> {
    let spot = within.key(&entry.key, entry.place);
    let name =
        TrackName::try_from(entry.key.as_str()).map_err(|bad| problems.add(&spot, bad.into()));
    let section = Section::open(&entry.node, spot.clone(), &TRACK, problems);
    let config = section.and_then(|section| check(&section, name.clone().ok(), problems));
    Some(Draft { name: Marked { value: name.ok()?, spot }, config })
}

fn check(
    section: &Section<'_>,
    name: Option<TrackName>,
    problems: &mut Problems<'_>,
) -> Option<TrackConfig> {
    let probe = kind(section, problems)
        .and_then(|(kind, keys)| {
            let (node, spot) = section.node(kind)?;
            Section::open(node, spot, keys, problems).map(|section| (kind, section))
        })
        .and_then(|(kind, section)| probe::read(kind, &section, problems));
    let interval = longer(section, "interval", SHORTEST_INTERVAL, problems).or(INTERVAL);
    let timeout = timeout(section, interval, problems);
    let rise = section.take::<Times>("rise", problems).or(Times(RISE));
    let fall = section.take::<Times>("fall", problems).or(Times(FALL));
    let cost = section.take::<Cost>("cost", problems).map(|Cost(cost)| Some(cost)).or(None);
    let flap = flap(section, problems);
    Some(TrackConfig {
        name: name?,
        probe: probe?,
        interval: interval?,
        timeout: timeout?,
        rise: rise?.0,
        fall: fall?.0,
        cost: cost?,
        flap: flap?,
    })
}

/// The only kind that is there, with its keys.
fn kind(
    section: &Section<'_>,
    problems: &mut Problems<'_>,
) -> Option<(&'static str, &'static super::keys::Keys)> {
    let names = kinds().collect::<Vec<_>>().join(", ");
    let mut there = KINDS.iter().filter(|(kind, _)| section.has(kind));
    let Some((kind, keys)) = there.next() else {
        let hint = format!("give one of {names}");
        problems.add(section.spot(), Wrong::new("this check looks at nothing").hint(hint));
        return None;
    };
    if let Some((second, _)) = there.next() {
        let what = format!("looks at more than one thing: {kind} and {second}");
        let hint = format!("make a check of each of {names}");
        problems.add(section.spot(), Wrong::new(what).hint(hint));
        return None;
    }
    Some((kind, keys))
}

/// A duration that is not shorter than `shortest`.
fn longer(
    section: &Section<'_>,
    key: &str,
    shortest: Span,
    problems: &mut Problems<'_>,
) -> Given<Span> {
    match section.take::<Span>(key, problems) {
        Given::Right(Marked { value, spot }) if value < shortest => {
            problems
                .add(&spot, Wrong::expected(&format!("{shortest} or more"), &value.to_string()));
            Given::Wrong
        }
        given => given,
    }
}

fn timeout(
    section: &Section<'_>,
    interval: Option<Span>,
    problems: &mut Problems<'_>,
) -> Option<Span> {
    let timeout = longer(section, "timeout", SHORTEST_TIMEOUT, problems);
    let interval = interval?;
    if let Given::Right(Marked { value, spot }) = &timeout
        && *value > interval
    {
        let what = format!("{value} is longer than the interval, {interval}");
        let hint = "the next look starts then: raise 'interval', too, or lower this";
        problems.add(spot, Wrong::new(what).hint(hint));
        return None;
    }
    timeout.or(interval.min(LONGEST_DEFAULT_TIMEOUT))
}

/// `None`: something is wrong with it.
#[expect(clippy::option_option, reason = "wrong, absent, given")]
fn flap(section: &Section<'_>, problems: &mut Problems<'_>) -> Option<Option<Flap>> {
    let Some((node, spot)) = section.node("flap") else {
        return if section.has("flap") { None } else { Some(None) };
    };
    let section = Section::open(node, spot, &FLAP, problems)?;
    let changes = section.require::<Changes>("changes", problems);
    let within = section.require::<Span>("within", problems);
    let hold = section.require::<Span>("hold", problems);
    for span in [&within, &hold].into_iter().flatten() {
        if span.value == Span::ZERO {
            problems.add(&span.spot, Wrong::expected("more than no time", "0s"));
        }
    }
    Some(Some(Flap { changes: changes?.value.0, within: within?.value, hold: hold?.value }))
}
