//! A command's last words.

use std::io::Write;

use super::exit::Exit;
use super::socket::Trouble;

/// What a command tells at its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) exit: Exit,
    /// The daemon's answer as it came, where that is wanted.
    pub(super) raw: Option<String>,
    /// For people; with nothing in it, nothing is said.
    pub(super) text: String,
    /// Whether this is what was asked for, and not why that cannot be had.
    pub(super) is_result: bool,
}

impl Told {
    pub(super) fn done(text: String) -> Self {
        Self::shown(Exit::Ok, text)
    }

    /// A result that is not all good.
    pub(super) fn shown(exit: Exit, text: String) -> Self {
        Self { exit, raw: None, text, is_result: true }
    }

    pub(super) fn problem(exit: Exit, text: String) -> Self {
        Self { exit, raw: None, text, is_result: false }
    }

    /// Writes it: results to standard output, what went wrong to standard error. An answer as it
    /// came says it all, whichever it is.
    pub(super) fn write(self) -> Exit {
        let text = self.text.trim_end();
        // Nobody is left to hear of a closed output.
        let _ = match self.raw {
            Some(line) => writeln!(anstream::stdout(), "{line}"),
            None if text.is_empty() => Ok(()),
            None if self.is_result => writeln!(anstream::stdout(), "{text}"),
            None => writeln!(anstream::stderr(), "vipctl: {text}"),
        };
        self.exit
    }
}

impl From<Trouble> for Told {
    fn from(trouble: Trouble) -> Self {
        Self::problem(trouble.exit(), trouble.to_string())
    }
}
