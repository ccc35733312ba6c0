//! What is wrong, where, and what would be right.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::BadName;

/// How many characters of a key or value a message shows.
const LONGEST_SHOWN: usize = 100;

/// A point in the text: line and column from 1, counted in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Place {
    /// The start of the file: for what is missing from all of it.
    pub(super) const START: Self = Self { line: 1, column: 1 };
}

/// A value's place and its key path, like `instances.db.addresses[0]`.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub(super) place: Place,
    pub(super) path: String,
}

impl Spot {
    /// The spot of `key` inside this one.
    pub(super) fn key(&self, key: &str, place: Place) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        if (1..=LONGEST_SHOWN).contains(&key.len())
            && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '<'))
        {
            Self { place, path: format!("{}{dot}{key}", self.path) }
        } else {
            Self { place, path: format!("{}{dot}{}", self.path, quoted(key)) }
        }
    }

    /// The spot of the item with this index, from 0, inside this one.
    pub(super) fn item(&self, index: usize, place: Place) -> Self {
        Self { place, path: format!("{}[{index}]", self.path) }
    }
}

/// A value that was read, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Marked<T> {
    pub(super) value: T,
    pub(super) spot: Spot,
}

/// What is wrong with a value, and what would be right where that does not follow from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) what: String,
    pub(super) hint: Option<String>,
}

impl Wrong {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None }
    }

    pub(super) fn expected(what: &str, found: &str) -> Self {
        Self::new(format!("expected {what}, found {found}"))
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl From<BadName> for Wrong {
    fn from(bad: BadName) -> Self {
        Self::new(format!("{} cannot be {}: {}", quoted(&bad.name), bad.what, bad.why))
    }
}

/// One thing about the configuration: a mistake, or what it needs of this machine and does not
/// find, or what is worth another look. It displays as one line for people and editors:
/// `vipd.yaml:7:15: instances.db.priority: expected a number from 1 to 255, found 300`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The file, as it was named to [`load`](super::load).
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The path of the key, like `instances.db.priority`; empty where it is the whole file.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What would be right, where `what` does not already say so.
    pub hint: Option<String>,
}

impl Problem {
    /// As it displays, with a word for its kind behind the place, where it is no mistake.
    pub fn labelled(&self, kind: &str) -> String {
        let (file, line, column) = (&self.file, self.line, self.column);
        format!("{file}:{line}:{column}: {kind}: {}", Unplaced(self))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, Unplaced(self))
    }
}

/// A problem without its place.
struct Unplaced<'a>(&'a Problem);

impl fmt::Display for Unplaced<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Problem { key, what, hint, .. }) = self;
        if !key.is_empty() {
            write!(f, "{key}: ")?;
        }
        f.write_str(what)?;
        match hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// The findings so far in one file.
#[derive(Debug)]
pub(super) struct Problems<'a> {
    file: &'a str,
    found: Vec<Problem>,
    awaited: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl<'a> Problems<'a> {
    pub(super) fn of(file: &'a str) -> Self {
        Self { file, found: Vec::new(), awaited: Vec::new(), warnings: Vec::new() }
    }

    /// A mistake of the file.
    pub(super) fn add(&mut self, spot: &Spot, wrong: Wrong) {
        self.found.push(self.problem(spot, wrong));
    }

    /// Something that is not on this machine, and may come: no mistake of the file.
    pub(super) fn wait(&mut self, spot: &Spot, wrong: Wrong) {
        self.awaited.push(self.problem(spot, wrong));
    }

    /// Something that is valid, and hardly meant.
    pub(super) fn warn(&mut self, spot: &Spot, wrong: Wrong) {
        self.warnings.push(self.problem(spot, wrong));
    }

    fn problem(&self, spot: &Spot, wrong: Wrong) -> Problem {
        Problem {
            file: self.file.to_owned(),
            line: spot.place.line,
            column: spot.place.column,
            key: printable(&spot.path),
            what: printable(&wrong.what),
            hint: wrong.hint.map(|hint| printable(&hint)),
        }
    }

    pub(super) fn none(&self) -> bool {
        self.found.is_empty()
    }

    /// All of them in the order of the file: the mistakes, what is awaited, the warnings.
    pub(super) fn sorted(self) -> [Vec<Problem>; 3] {
        let mut all = [self.found, self.awaited, self.warnings];
        for list in &mut all {
            list.sort_by_key(|problem| (problem.line, problem.column));
        }
        all
    }
}

/// `text` without control characters: what stands in the file must not break the terminal or
/// the log that shows it.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Text of the file in quotes, cut where it is long, as messages show it.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(LONGEST_SHOWN).and_then(|(end, _)| text.get(..end)) {
        Some(start) => format!("'{start}…'"),
        None => format!("'{text}'"),
    }
}
