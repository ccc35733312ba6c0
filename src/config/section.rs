//! A mapping of the file, read key by key: a mistake in one does not hide those in the others.

use super::fields::{Field, read};
use super::keys::Keys;
use super::problem::{Marked, Problems, Spot, Wrong, quoted};
use super::source::{Content, Entry, Node};

/// What a key holds.
#[derive(Debug)]
pub(super) enum Given<T> {
    /// The key is not there.
    Absent,
    /// It is there, perhaps misspelt, and what is wrong with it has been said.
    Wrong,
    /// A valid value.
    Right(Marked<T>),
}

impl<T> Given<T> {
    /// Whether the key is there.
    pub(super) const fn is_given(&self) -> bool {
        !matches!(self, Self::Absent)
    }

    /// The same with `change` made to the value.
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Given<U> {
        match self {
            Self::Absent => Given::Absent,
            Self::Wrong => Given::Wrong,
            Self::Right(Marked { value, spot }) => {
                Given::Right(Marked { value: change(value), spot })
            }
        }
    }

    /// The value, or `default` where the key is absent; `None` where it is wrong.
    pub(super) fn or(self, default: T) -> Option<T> {
        match self {
            Self::Absent => Some(default),
            Self::Wrong => None,
            Self::Right(marked) => Some(marked.value),
        }
    }
}

/// A mapping with known keys.
pub(super) struct Section<'n> {
    spot: Spot,
    entries: &'n [Entry],
    /// Keys that were probably meant by unknown ones: they are neither said to be missing nor
    /// given their default.
    meant: Vec<&'static str>,
}

impl<'n> Section<'n> {
    /// Opens the mapping `node` and says which of its keys do not belong there; `None` where it
    /// is not a mapping. `spot` has its path and the place of its key.
    pub(super) fn open(
        node: &'n Node,
        spot: Spot,
        keys: &Keys,
        problems: &mut Problems<'_>,
    ) -> Option<Self> {
        let Content::Mapping(entries) = &node.content else {
            problems.add(&spot, Wrong::expected(keys.example, &node.shown()));
            return None;
        };
        let mut section = Self { spot, entries, meant: Vec::new() };
        for entry in entries {
            section.judge_key(entry, keys, problems);
        }
        Some(section)
    }

    fn judge_key(&mut self, entry: &Entry, keys: &Keys, problems: &mut Problems<'_>) {
        let key = entry.key.as_str();
        let spot = self.spot.key(key, entry.place);
        if keys.known.contains(&key) {
            return;
        }
        let advice = keys.advice(key);
        self.meant.extend(advice.meant);
        problems.add(&spot, Wrong::new("unknown key").hint(advice.hint));
    }

    /// Whether `key` is there, or an unknown key that stands for it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.meant.contains(&key) || self.entries.iter().any(|entry| entry.key == key)
    }

    /// The node of `key`, and its spot.
    pub(super) fn node(&self, key: &str) -> Option<(&'n Node, Spot)> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some((&entry.node, self.spot.key(key, entry.node.place)))
    }

    /// The value of `key`.
    pub(super) fn take<T: Field>(&self, key: &str, problems: &mut Problems<'_>) -> Given<T> {
        let Some((node, spot)) = self.node(key) else {
            return if self.has(key) { Given::Wrong } else { Given::Absent };
        };
        match read(node) {
            Ok(value) => Given::Right(Marked { value, spot }),
            Err(wrong) => {
                problems.add(&spot, wrong);
                Given::Wrong
            }
        }
    }

    /// The values of `key`: a list, or one value alone.
    pub(super) fn several<T: Field>(
        &self,
        key: &str,
        problems: &mut Problems<'_>,
    ) -> Given<Vec<Marked<T>>> {
        let Some((node, spot)) = self.node(key) else {
            return if self.has(key) { Given::Wrong } else { Given::Absent };
        };
        several(node, &spot, problems)
    }

    /// The value of `key`, which must be there.
    pub(super) fn require<T: Field>(
        &self,
        key: &'static str,
        problems: &mut Problems<'_>,
    ) -> Option<Marked<T>> {
        match self.take(key, problems) {
            Given::Right(marked) => Some(marked),
            Given::Wrong => None,
            Given::Absent => {
                self.missing(key, &format!("it takes {}", T::TAKES), problems);
                None
            }
        }
    }

    /// Its own spot.
    pub(super) fn spot(&self) -> &Spot {
        &self.spot
    }

    /// The spot of `key`, where that is there.
    pub(super) fn spot_of(&self, key: &str) -> Option<Spot> {
        self.node(key).map(|(_, spot)| spot)
    }

    /// Says that `key` is missing, unless an unknown key stands for it.
    pub(super) fn missing(&self, key: &'static str, hint: &str, problems: &mut Problems<'_>) {
        if !self.meant.contains(&key) {
            let wrong = Wrong::new(format!("the key {} is missing", quoted(key)));
            problems.add(&self.spot, wrong.hint(hint));
        }
    }
}

/// The entries of a mapping whose keys are names that the operator chose.
pub(super) fn named<'n>(
    node: &'n Node,
    spot: &Spot,
    expected: &str,
    problems: &mut Problems<'_>,
) -> Option<&'n [Entry]> {
    let Content::Mapping(entries) = &node.content else {
        problems.add(spot, Wrong::expected(expected, &node.shown()));
        return None;
    };
    Some(entries)
}

/// The values of a list, or one value alone.
pub(super) fn several<T: Field>(
    node: &Node,
    spot: &Spot,
    problems: &mut Problems<'_>,
) -> Given<Vec<Marked<T>>> {
    let items = match &node.content {
        Content::List(items) if items.is_empty() => {
            problems.add(spot, Wrong::expected(T::TAKES, "an empty list"));
            return Given::Wrong;
        }
        Content::List(items) => items.iter().collect(),
        Content::Scalar(_) | Content::Mapping(_) => vec![node],
    };
    let is_list = matches!(node.content, Content::List(_));
    let mut values = Some(Vec::new());
    for (index, item) in items.into_iter().enumerate() {
        let spot = if is_list { spot.item(index, item.place) } else { spot.clone() };
        match (read(item), &mut values) {
            (Ok(value), Some(values)) => values.push(Marked { value, spot }),
            (Ok(_), None) => {}
            (Err(wrong), _) => {
                problems.add(&spot, wrong);
                values = None;
            }
        }
    }
    values.map_or(Given::Wrong, |value| Given::Right(Marked { value, spot: spot.clone() }))
}
