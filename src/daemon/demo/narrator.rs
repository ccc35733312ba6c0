//! The terminal: lines that stay, and below them one that lives.

use std::fmt;
use std::io::{self, IsTerminal, Stdout, Write};

/// Writes the story. Only a terminal gets the live line and colours; `NO_COLOR` (no-color.org)
/// takes the colours away.
#[derive(Debug)]
pub(super) struct Narrator {
    out: Stdout,
    live: bool,
    colour: bool,
    alive: bool,
}

/// How a piece of text looks (`console_codes(4)`).
#[derive(Clone, Copy, Debug)]
pub(super) enum Look {
    Bold,
    Dim,
}

impl Narrator {
    /// For the terminal, file or pipe that standard output is.
    pub(super) fn new() -> Self {
        let out = io::stdout();
        let [term, no_colour] = ["TERM", "NO_COLOR"]
            .map(|name| std::env::var_os(name).filter(|value| !value.is_empty()));
        let live = out.is_terminal() && term.is_some_and(|name| name != "dumb");
        let colour = live && no_colour.is_none();
        Self { out, live, colour, alive: false }
    }

    /// A line that stays, or several.
    pub(super) fn say(&mut self, text: impl fmt::Display) -> io::Result<()> {
        self.clear()?;
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Replaces the live line.
    pub(super) fn show(&mut self, text: impl fmt::Display) -> io::Result<()> {
        if !self.live {
            return Ok(());
        }
        self.alive = true;
        // Without automatic wrapping: a narrow terminal cuts the line and it can be replaced.
        write!(self.out, "\r\x1b[?7l{text}\x1b[K\x1b[?7h")?;
        self.out.flush()
    }

    /// Takes the live line away.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.alive) {
            return Ok(());
        }
        write!(self.out, "\r\x1b[K")?;
        self.out.flush()
    }

    /// Text that looks like that where colours are wanted.
    pub(super) fn dress(&self, look: Look, text: impl fmt::Display) -> String {
        let code = match look {
            Look::Bold => "1",
            Look::Dim => "2",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

/// Breaks a line between words where it would be wider than a terminal, 80 columns.
pub(super) fn wrap(line: &str, indent: usize) -> String {
    const WIDTH: usize = 80;
    let mut wrapped = String::new();
    let mut column = 0;
    for word in line.split_inclusive(' ') {
        if column + word.trim_end().chars().count() > WIDTH {
            wrapped.truncate(wrapped.trim_end().len());
            wrapped.push('\n');
            wrapped.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        }
        wrapped.push_str(word);
        column += word.chars().count();
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: no line of the story is wider than a terminal, and no word is lost.
    #[test]
    fn long_lines_are_wrapped_between_words() {
        let short = "  9.25 s  web1: web: stopped -> backup: started";
        assert_eq!(wrap(short, 10), short);
        let long = "  9.25 s  web1: web: backup -> active: preempting web2 (192.0.2.12), which has \
                    the lower priority 190";
        let wrapped = "  9.25 s  web1: web: backup -> active: preempting web2 (192.0.2.12), which \
                       has\n          the lower priority 190";
        assert_eq!(wrap(long, 10), wrapped);
    }
}
