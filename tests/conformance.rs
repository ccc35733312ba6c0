//! The tables of docs/conformance.md and docs/interop.md say what the tests show.

#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    reason = "a test may fail loudly, and reads files"
)]

use std::fs;
use std::path::Path;

/// What a row may say of vipd, and whether a test has to show it.
const VERDICTS: [(&str, bool); 5] = [
    ("holds", true),
    ("differs", false),
    ("kernel", false),
    ("not here", false),
    ("operator", false),
];

/// The words of RFC 2119 that a row may have.
const LEVELS: [&str; 6] = ["MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "RECOMMENDED", "MAY"];

/// The shortest text that can be a reason.
const REASON: usize = 15;

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    fs::read_to_string(path).unwrap_or_default()
}

/// The head of each table, and the line below it.
const HEAD: [&str; 2] =
    ["| Section | Demand | Level | vipd | Shown by, or why |", "|---|---|---|---|---|"];

/// The five cells of each row of the tables, and whatever else looks as if it were to be one: a
/// line with a `|` outside of code.
fn rows(page: &str) -> (Vec<[&str; 5]>, Vec<String>) {
    let (mut rows, mut wrong) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(page.lines()) {
        if HEAD.contains(&line) || !has_bar(line) {
            continue;
        }
        let inner = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |"));
        let cells = inner.map(|inner| inner.split(" | ").map(str::trim).collect::<Vec<_>>());
        match cells.and_then(|cells| <[&str; 5]>::try_from(cells).ok()) {
            Some(cells) if cells.iter().all(|cell| !cell.is_empty() && !has_bar(cell)) => {
                rows.push(cells);
            }
            _ => wrong.push(format!("line {number} is no row of five cells: {line}")),
        }
    }
    (rows, wrong)
}

/// Looks for a `|` outside of backquotes.
fn has_bar(line: &str) -> bool {
    line.split('`').step_by(2).any(|text| text.contains('|'))
}

/// What a cell names in backquotes that looks like a test, and what is left of the cell.
fn tests_in(cell: &str) -> (Vec<&str>, String) {
    let (named, other): (Vec<_>, Vec<_>) = cell
        .split('`')
        .enumerate()
        .partition(|(place, text)| place % 2 == 1 && text.contains("::"));
    let text = |(_, text)| text;
    (named.into_iter().map(text).collect(), other.into_iter().map(text).collect())
}

/// Looks for a test, which is named by its file and its function.
fn find(test: &str) -> Result<(), &'static str> {
    let (file, name) = test.rsplit_once("::").ok_or("has no '::'")?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |directory: &str, file: &str| {
        fs::read_to_string(root.join(directory).join(file).with_extension("rs")).ok()
    };
    let source =
        read("tests", file).or_else(|| read("src", file)).ok_or("there is no such file")?;
    let function = format!("fn {name}(");
    let (before, _) = source.split_once(&function).ok_or("the file has no such function")?;
    if let Some((of @ ("e2e" | "interop"), module)) = file.split_once('/') {
        let cases = read("tests", &format!("{of}/main")).unwrap_or_default();
        let case = format!("{module}::{name},");
        let is_run = cases.lines().any(|line| line.trim() == case);
        return is_run.then_some(()).ok_or("it is not in the list of cases");
    }
    let attribute = before.lines().rev().map(str::trim).find(|line| !line.is_empty());
    (attribute == Some("#[test]")).then_some(()).ok_or("it is no test")
}

/// Bug guarded: a row that lacked a bar, or had one too many blanks, was read as text, and what it
/// says was shown by nothing.
#[test]
fn a_malformed_row_is_no_text() {
    let row = "| 5.1 | A rule | MUST | holds | `engine/owner::another_owner_is_named` |";
    assert_eq!(rows(row).0.len(), 1);
    let malformed = [
        row.strip_suffix(" |").unwrap_or_default(),
        row.strip_prefix("| ").unwrap_or_default(),
        &row.replace("| 5.1 | ", "|5.1| "),
        &row.replace(" | holds", ""),
        &row.replace("| MUST |", "| MUST  |  |"),
        &format!(" {row}"),
        &format!("{row} "),
        "5.1 | A rule",
    ];
    for line in malformed {
        let (rows, wrong) = rows(line);
        assert!(rows.is_empty() && wrong.len() == 1, "'{line}': {rows:?}");
    }
    let text = "Text with `a | b` in code.";
    assert_eq!(rows(text), (Vec::new(), Vec::new()));
}

/// Rule: every row names tests that exist, or says why there is none; what holds is shown.
#[test]
fn every_row_is_shown_or_explained() {
    let page = page("conformance.md");
    let (rows, mut wrong) = rows(&page);
    assert!(rows.len() > 80, "the tables have {} rows", rows.len());
    for [section, demand, level, verdict, shown] in rows {
        let mut complain = |what: &str| wrong.push(format!("{section} '{demand}': {what}"));
        if !LEVELS.contains(&level) {
            complain(&format!("'{level}' is no level"));
        }
        let (tests, text) = tests_in(shown);
        match VERDICTS.iter().find(|(word, _)| *word == verdict) {
            None => complain(&format!("'{verdict}' is no verdict")),
            Some((_, true)) if tests.is_empty() => complain("nothing shows that it holds"),
            Some((_, false)) if text.len() < REASON => complain("there is no reason"),
            Some(_) => {}
        }
        for test in tests {
            if let Err(why) = find(test) {
                complain(&format!("{test}: {why}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Rule: the text between the tables names no test that does not exist either.
#[test]
fn what_the_text_names_exists() {
    let page = page("conformance.md");
    let text = page.lines().filter(|line| !line.starts_with('|') && !line.contains("..."));
    for test in text.flat_map(|line| tests_in(line).0) {
        assert_eq!(find(test), Ok(()), "{test}");
    }
}

/// Rule: what the page about other routers says is shown by cases that there are.
#[test]
fn every_cell_of_the_matrix_is_a_case() {
    let page = page("interop.md");
    let tests: Vec<&str> = page.lines().flat_map(|line| tests_in(line).0).collect();
    assert!(tests.len() > 50, "the page names {} tests", tests.len());
    for test in tests {
        assert_eq!(find(test), Ok(()), "{test}");
    }
}
