//! `vipctl standby` and `vipctl online`: out of the election, and back.

use clap::Args;

use super::answer::ask;
use super::exit::Exit;
use super::options::{ConnectionOptions, instance_name};
use super::told::Told;
use crate::api::{Online, Request, Response, Standby, Stood};
use crate::model::InstanceName;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The instance's name in the configuration [default: this node with all instances]
    #[arg(value_parser = instance_name)]
    instance: Option<InstanceName>,
    /// Give up addresses that no other node takes over, too
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    connection: ConnectionOptions,
}

#[derive(Debug, Args)]
pub(super) struct OnlineOptions {
    /// The instance's name in the configuration [default: this node with all instances]
    #[arg(value_parser = instance_name)]
    instance: Option<InstanceName>,
    #[command(flatten)]
    connection: ConnectionOptions,
}

/// Takes out of the election.
pub(super) fn main(options: Options) -> Told {
    let Options { instance, force, connection } = options;
    let what = format!("the standby of {}", scope(instance.as_ref()));
    let named = instance.is_some();
    let request = Request::Standby(Standby { instance, force });
    ask(&connection, &request, &what, |response| tell(named, response))
}

/// Puts back.
pub(super) fn online(options: OnlineOptions) -> Told {
    let OnlineOptions { instance, connection } = options;
    let what = format!("the end of the standby of {}", scope(instance.as_ref()));
    let named = instance.is_some();
    let request = Request::Online(Online { instance });
    ask(&connection, &request, &what, |response| tell(named, response))
}

fn scope(instance: Option<&InstanceName>) -> String {
    instance.map_or("this node".to_owned(), ToString::to_string)
}

/// What a daemon's answer means. What was asked for one instance, with its group, is done as a whole
/// or not at all.
fn tell(named: bool, response: Response) -> Result<Told, Response> {
    let Response::Standby(Stood { answer, not_kept }) = response else { return Err(response) };
    let exit = match (answer.refused.is_empty(), named || answer.standby.is_empty()) {
        (true, _) if not_kept.is_none() => Exit::Ok,
        (false, true) => Exit::Refused,
        _ => Exit::InPart,
    };
    let mut text = answer.to_string();
    if let Some(why) = not_kept {
        text.push_str("\nafter a restart of vipd this is forgotten, it could not be kept: ");
        text.push_str(&why);
    }
    Ok(if exit == Exit::Ok { Told::done(text) } else { Told::problem(exit, text) })
}

#[cfg(test)]
mod tests {
    use super::super::answer::understood;
    use super::*;

    #[track_caller]
    fn told(named: bool, answer: &str) -> (Exit, String) {
        let line = format!(r#"{{"standby":{answer}}}"#);
        let Told { exit, text, .. } = understood(&line, "it", |response| tell(named, response));
        (exit, text)
    }

    /// Rule: done, refused, and done in part are three things to a script, and all that was done and
    /// refused is said.
    #[test]
    fn answers_are_told_in_words() {
        let node2 = r#"{"address":"10.0.0.12","name":"node2"}"#;
        let done = format!(
            r#"{{"standby":{{"node":true,"instances":[]}},"moved":[["web",{node2}]],"refused":[],"not_kept":null}}"#
        );
        let (exit, text) = told(false, &done);
        let expected = "web: node2 (10.0.0.12) has the addresses now\n\
                        this node is on standby, with all instances";
        assert_eq!((exit, text.as_str()), (Exit::Ok, expected));

        let refused = |standby: &str| {
            format!(
                r#"{{"standby":{standby},"moved":[],"refused":[["web","unclaimed"]],"not_kept":null}}"#
            )
        };
        let nothing = refused(r#"{"node":false,"instances":[]}"#);
        let (exit, text) = told(true, &nothing);
        assert_eq!(exit, Exit::Refused);
        assert!(text.starts_with("web: nothing has changed: no other node took"), "{text}");
        assert_eq!(told(false, &nothing).0, Exit::Refused);
        let in_part = refused(r#"{"node":false,"instances":["mail"]}"#);
        assert_eq!(told(false, &in_part).0, Exit::InPart);

        let forgetful = r#"{"standby":{"node":true,"instances":[]},"moved":[],"refused":[],"not_kept":"/x: full"}"#;
        let (exit, text) = told(false, forgetful);
        assert_eq!(exit, Exit::InPart);
        assert!(text.ends_with("could not be kept: /x: full"), "{text}");
    }
}
