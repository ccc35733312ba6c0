//! What a look says, for people.

use std::error::Error;
use std::io;

use nix::errno::Errno;

use crate::engine::ProbeResult;

/// The longest text of an answer, in characters.
const LONGEST: usize = 200;

/// The answer of a look that found this, or else this wrong.
pub(crate) fn answer(found: Result<String, String>) -> ProbeResult {
    match found {
        Ok(text) => ProbeResult::Passed(line(&text)),
        Err(text) => ProbeResult::Failed(line(&text)),
    }
}

/// On one line that is not too long: servers write their errors for other readers.
pub(crate) fn line(text: &str) -> String {
    let printable = text.replace(char::is_control, " ");
    let words: Vec<&str> = printable.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(LONGEST) {
        None => line,
        Some(_) => line.chars().take(LONGEST - 1).chain(['…']).collect(),
    }
}

/// What the system says, as it stands within a sentence: `connection refused`.
pub(crate) fn system(error: &io::Error) -> String {
    let text = match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    };
    let mut rest = text.chars();
    rest.next().map(|first| first.to_lowercase().chain(rest).collect()).unwrap_or_default()
}

/// An error with the errors behind it: libraries tell what happened only there.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return system(error);
    }
    let text = error.to_string();
    match error.source().map(chain) {
        Some(cause) if !text.contains(&cause) => format!("{text}: {cause}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: whatever a server says stands on one line of at most 200 characters.
    #[test]
    fn what_a_server_says_is_made_one_short_line() {
        assert_eq!(line("  ERROR:\n\tdisk \u{1b}[31m full \r\n"), "ERROR: disk [31m full");
        let long = line(&"ä".repeat(5_000));
        assert_eq!(long.chars().count(), LONGEST);
        assert!(long.ends_with("ä…"), "{long}");
        assert_eq!(line(&"b".repeat(LONGEST)), "b".repeat(LONGEST));
    }

    /// Rule: an error of the system stands there without its number.
    #[test]
    fn an_error_of_the_system_is_a_part_of_a_sentence() {
        let error = io::Error::from_raw_os_error(Errno::ECONNREFUSED as i32);
        assert_eq!(system(&error), "connection refused");
    }
}
