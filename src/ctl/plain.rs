//! Treats text from a socket as data. The owner of the runtime directory, an unprivileged user
//! under systemd, can put a socket of its own there. Root's terminal would obey the control
//! characters in a text from that socket.

/// Replaces each control character in a line of JSON by a space, whether it is written out or
/// escaped. Ends of lines and tabs stay.
pub(super) fn without_control_characters(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(next) = rest.chars().next() {
        let length = match next {
            '\\' => {
                let (length, text) = escape(rest);
                plain.push_str(text);
                length
            }
            other => {
                plain.push(if is_harmless(other) { other } else { ' ' });
                other.len_utf8()
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    plain
}

fn is_harmless(character: char) -> bool {
    !character.is_control() || matches!(character, '\n' | '\t')
}

/// Returns the length of the escape sequence that a text begins with, and its replacement.
fn escape(text: &str) -> (usize, &str) {
    let digits = text.strip_prefix("\\u").and_then(|digits| digits.get(..4));
    if let Some(digits) = digits {
        let code = u32::from_str_radix(digits, 16).ok();
        let harmless = code.and_then(char::from_u32).is_none_or(is_harmless);
        return (6, if harmless { text.get(..6).unwrap_or_default() } else { " " });
    }
    match text.get(..2) {
        Some("\\b" | "\\f" | "\\r") => (2, " "),
        Some(pair) => (2, pair),
        // Half of an escape sequence: the parser reports it.
        None => (1, "\\"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bug guarded: a planted socket could write anything on root's terminal, in the text of an
    /// event or an answer. `vipctl` passed on escape sequences (ESC, and the CSI of eight bits).
    #[test]
    fn control_characters_become_spaces() {
        let text = "a\u{1b}[2Jb\rc\u{8}d\u{c}e\u{7f}f\u{9b}31mg\n\th\\u001b\"\u{e4}\u{1f600}";
        let line = serde_json::to_string(text).unwrap();
        let plain = without_control_characters(&line);
        let back: String = serde_json::from_str(&plain).unwrap();
        assert_eq!(back, "a [2Jb c d e f 31mg\n\th\\u001b\"\u{e4}\u{1f600}");
        for (escaped, plain) in [
            (r#""\u001B[0m""#, r#"" [0m""#),
            (r#""\u009b""#, r#"" ""#),
            (r#""\ud83d\ude00\u0041""#, r#""\ud83d\ude00\u0041""#),
            (r#""\\u001b""#, r#""\\u001b""#),
        ] {
            assert_eq!(without_control_characters(escaped), plain);
        }
    }

    /// Rule: a text that is not JSON passes unchanged and brings nothing down.
    #[test]
    fn anything_is_taken() {
        for (odd, plain) in [("\\", "\\"), ("\\u00", "\\u00"), ("\\u\u{e4}", "\\u\u{e4}"), ("", "")]
        {
            assert_eq!(without_control_characters(odd), plain);
        }
    }
}
