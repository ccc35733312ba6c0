//! Questions on a terminal, each of which an option answers, too.

use std::io::{self, BufRead, Write};

/// Who is asked.
pub(super) struct Asker<I, O> {
    input: I,
    output: O,
    /// Whether somebody is there to answer.
    asks: bool,
    /// The options without which nobody knows the answer.
    missing: Vec<&'static str>,
}

/// One question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    /// What is asked.
    pub(super) text: &'a str,
    /// The option that answers it.
    pub(super) option: &'static str,
    /// The answer where nobody gives another one.
    pub(super) usual: Option<&'a str>,
}

impl<I: BufRead, O: Write> Asker<I, O> {
    /// `asks`: whether somebody is there to answer.
    pub(super) fn new(input: I, output: O, asks: bool) -> Self {
        Self { input, output, asks, missing: Vec::new() }
    }

    /// The options that would have answered the questions without an answer.
    pub(super) fn missing(&self) -> &[&'static str] {
        &self.missing
    }

    /// Asks until the answer is one. `None`: there is nobody to ask, and no usual answer.
    ///
    /// # Errors
    /// When the input ends or fails.
    pub(super) fn ask<T>(
        &mut self,
        question: Question<'_>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> io::Result<Option<T>> {
        let Question { text, option, usual } = question;
        if !self.asks {
            let answer = usual.and_then(|usual| parse(usual).ok());
            if answer.is_none() {
                self.missing.push(option);
            }
            return Ok(answer);
        }
        loop {
            let hint = usual.map(|usual| format!(" [{usual}]")).unwrap_or_default();
            write!(self.output, "{text}{hint}: ")?;
            self.output.flush()?;
            let mut line = String::new();
            if self.input.read_line(&mut line)? == 0 {
                writeln!(self.output)?;
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let answer = match (line.trim(), usual) {
                ("", Some(usual)) => usual,
                (answer, _) => answer,
            };
            match parse(answer) {
                Ok(answer) => return Ok(Some(answer)),
                Err(why) => writeln!(self.output, "  {why}")?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBER: Question<'_> =
        Question { text: "A number", option: "--number", usual: Some("7") };

    fn number(text: &str) -> Result<u8, String> {
        text.parse().map_err(|_| format!("'{text}' is no number"))
    }

    fn answered(input: &str, asks: bool, question: Question<'_>) -> (Option<u8>, String, usize) {
        let mut output = Vec::new();
        let mut asker = Asker::new(input.as_bytes(), &mut output, asks);
        let answer = asker.ask(question, number).unwrap();
        let missing = asker.missing().len();
        (answer, String::from_utf8(output).unwrap(), missing)
    }

    /// Rule: a wrong answer is told and asked for again; none means the usual one.
    #[test]
    fn wrong_answers_are_asked_for_again() {
        let (answer, said, _) = answered("x\n12\n", true, NUMBER);
        assert_eq!(answer, Some(12));
        assert_eq!(said, "A number [7]:   'x' is no number\nA number [7]: ");
        assert_eq!(answered("\n", true, NUMBER).0, Some(7));
        let mut ended = Asker::new(&b""[..], Vec::new(), true);
        assert!(ended.ask(NUMBER, number).is_err(), "the input has ended");
    }

    /// Rule: where nobody is, nothing is asked; what has no usual answer is missing, by its option.
    #[test]
    fn nobody_is_asked_where_nobody_is() {
        assert_eq!(answered("12\n", false, NUMBER), (Some(7), String::new(), 0));
        let question = Question { usual: None, ..NUMBER };
        assert_eq!(answered("12\n", false, question), (None, String::new(), 1));
    }
}
