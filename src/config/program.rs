//! A program with its arguments, each by itself: no shell takes a line apart.

use super::fields::{Field, text_in_quotes};
use super::problem::{Marked, Problems, Wrong, quoted};
use super::section::{Given, Section};
use super::source::{Content, Scalar};

/// What it looks like, to follow "it takes".
pub(super) const EXAMPLE: &str = "a list like [/usr/local/bin/check, --fast]";

/// Reads `key`: a list, or the path of a program alone. Never empty.
pub(super) fn read(
    section: &Section<'_>,
    key: &str,
    problems: &mut Problems<'_>,
) -> Given<Vec<String>> {
    if let Some((node, spot)) = section.node(key)
        && !is_list_or_word(&node.content)
    {
        let hint = "each argument stands by itself, because no shell takes a line apart";
        problems.add(&spot, Wrong::expected(EXAMPLE, &node.shown()).hint(hint));
        return Given::Wrong;
    }
    let Marked { value: list, spot } = match section.several::<Argument>(key, problems) {
        Given::Right(list) => list,
        Given::Wrong => return Given::Wrong,
        Given::Absent => return Given::Absent,
    };
    match list.first() {
        Some(program) if program.value.0.starts_with('/') => {
            let value = list.into_iter().map(|argument| argument.value.0).collect();
            Given::Right(Marked { value, spot })
        }
        program => {
            let found = program.map_or_else(|| "nothing".to_owned(), |p| quoted(&p.value.0));
            let spot = program.map_or(&spot, |program| &program.spot);
            problems.add(spot, Wrong::expected("the absolute path of a program", &found));
            Given::Wrong
        }
    }
}

/// Whether no shell would be needed to take it apart.
fn is_list_or_word(content: &Content) -> bool {
    match content {
        Content::List(_) => true,
        Content::Scalar(scalar) => !scalar.text.contains(char::is_whitespace),
        Content::Mapping(_) => false,
    }
}

/// An argument: any text, also none.
struct Argument(String);

impl Field for Argument {
    type Written = String;
    const TAKES: &'static str = "text";

    fn check(written: String) -> Result<Self, Wrong> {
        if written.contains('\0') {
            return Err(Wrong::new("a zero byte must not stand in an argument"));
        }
        Ok(Self(written))
    }

    fn hint(found: &Scalar) -> Option<String> {
        text_in_quotes(found)
    }
}
