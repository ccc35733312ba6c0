//! `vipctl reload`: another configuration, or what it would change.

use std::fmt::Write as _;

use clap::Args;

use super::answer::ask;
use super::exit::Exit;
use super::options::ConnectionOptions;
use super::told::Told;
use crate::api::{BadFile, Reload, Reloaded, Request, Response};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: ConnectionOptions,
}

/// Asks for it and waits for what comes of it.
pub(super) fn main(options: &Options) -> Told {
    let request = Request::Reload(Reload { dry_run: options.dry_run });
    ask(&options.connection, &request, "the reload", tell)
}

/// What a daemon's answer means.
fn tell(response: Response) -> Result<Told, Response> {
    let Response::Reload(reloaded) = response else { return Err(response) };
    Ok(match reloaded {
        Reloaded::Done(plan) => Told::done(format!("the configuration was read again:\n{plan}")),
        Reloaded::Planned(plan) => Told::done(format!("a reload would do this:\n{plan}")),
        Reloaded::Refused(bad) => Told::problem(Exit::Config, refusal(&bad)),
    })
}

fn refusal(bad: &BadFile) -> String {
    let mut text = "nothing has changed, because the configuration is not valid:".to_owned();
    for problem in &bad.problems {
        let _ = write!(text, "\n{problem}");
    }
    if let Some(error) = &bad.error {
        let _ = write!(text, "\n{error}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::answer::understood;
    use super::*;

    #[track_caller]
    fn told(answer: &str) -> (Exit, String) {
        let line = format!(r#"{{"reload":{answer}}}"#);
        let Told { exit, text, .. } = understood(&line, "the reload", tell);
        (exit, text)
    }

    /// Rule: every mistake is shown with its place and hint, and the exit code is that of
    /// `vipd check`.
    #[test]
    fn answers_are_told_in_words() {
        let problem = |line: u32| {
            format!(
                r#"{{"file":"vipd.yaml","line":{line},"column":5,"key":"instances.web","what":"unknown key 'prioritty'","hint":"did you mean 'priority'?"}}"#
            )
        };
        let bad =
            format!(r#"{{"refused":{{"problems":[{},{}],"error":null}}}}"#, problem(3), problem(9));
        let (exit, text) = told(&bad);
        assert_eq!(exit, Exit::Config);
        let line = "instances.web: unknown key 'prioritty'; did you mean 'priority'?";
        assert!(
            text.contains(&format!("\nvipd.yaml:3:5: {line}\nvipd.yaml:9:5: {line}")),
            "{text}"
        );

        let plan = r#"{"instances":[{"name":"web","change":"unchanged"},{"name":"mail","change":"starts"}],"moved":[],"tracks":[],"sync_groups":[],"nodes":false}"#;
        let (exit, text) = told(&format!(r#"{{"planned":{plan}}}"#));
        let expected = "a reload would do this:\nweb: unchanged\nmail: new: starts";
        assert_eq!((exit, text.as_str()), (Exit::Ok, expected));
        let (_, text) = told(&format!(r#"{{"done":{plan}}}"#));
        assert!(text.starts_with("the configuration was read again:\nweb: unchanged"), "{text}");
    }
}
