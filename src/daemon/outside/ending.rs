//! How a program ends, in words.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use nix::sys::signal::Signal;

use super::exec::{self, Program, Tail};
use super::{Aside, Doing};
use crate::engine::ProbeResult;

/// Runs a program to its end: well with exit code 0, and what it printed last. Where this is dropped
/// before, `doing` says so.
pub(crate) async fn of(program: Program, aside: &Aside, doing: &Doing) -> ProbeResult {
    let mut output = Output { tail: Tail::default(), doing };
    output.doing.set("it still runs");
    match exec::run(program, aside, &mut output.tail).await {
        Ok(status) => verdict(status, output.tail.last_line()),
        Err(why) => ProbeResult::Failed(why),
    }
}

/// What a program prints: where it is killed, its last line is what there is to say.
struct Output<'a> {
    tail: Tail,
    doing: &'a Doing,
}

impl Drop for Output<'_> {
    fn drop(&mut self) {
        let line = self.tail.last_line();
        if !line.is_empty() {
            self.doing.set(format!("it still runs, its last line was: {line}"));
        }
    }
}

fn verdict(status: ExitStatus, line: String) -> ProbeResult {
    let ended = match (status.code(), status.signal()) {
        (Some(0), _) => return ProbeResult::Passed(line),
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(number)) => match Signal::try_from(number) {
            Ok(signal) => format!("killed by {signal}"),
            Err(_) => format!("killed by signal {number}"),
        },
        (None, None) => status.to_string(),
    };
    ProbeResult::Failed(if line.is_empty() { ended } else { format!("{ended}: {line}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: the exit code or the signal is named, with the last line where there is one.
    #[test]
    fn ends_are_named() {
        let failed = |raw, line: &str| verdict(ExitStatus::from_raw(raw), line.to_owned());
        let expected = |text: &str| ProbeResult::Failed(text.to_owned());
        assert_eq!(failed(0, "fine"), ProbeResult::Passed("fine".to_owned()));
        assert_eq!(failed(3 << 8, "no disk"), expected("exit code 3: no disk"));
        assert_eq!(failed(1 << 8, ""), expected("exit code 1"));
        assert_eq!(failed(11, ""), expected("killed by SIGSEGV"));
    }
}
