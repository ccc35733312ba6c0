//! `vipctl handover`: a planned move, in words.

use clap::Args;

use super::answer::ask;
use super::exit::Exit;
use super::options::{ConnectionOptions, instance_name, node_name};
use super::told::Told;
use crate::api::{Handover, Request, Response};
use crate::engine::HandoverAnswer;
use crate::model::{InstanceName, NodeName};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The instance's name in the configuration
    #[arg(value_parser = instance_name)]
    pub(super) instance: InstanceName,
    /// The node that is to take the addresses [default: whichever does]
    #[arg(value_parser = node_name)]
    pub(super) node: Option<NodeName>,
    #[command(flatten)]
    pub(super) connection: ConnectionOptions,
}

/// Asks for it and waits for what comes of it.
pub(super) fn main(options: Options) -> Told {
    let Options { instance, node: to, connection } = options;
    let what = format!("the handover of {instance}");
    let request = Request::Handover(Handover { instance: instance.clone(), to });
    ask(&connection, &request, &what, |response| tell(&instance, response))
}

/// What a daemon's answer means.
fn tell(instance: &InstanceName, response: Response) -> Result<Told, Response> {
    let Response::Handover(answer) = response else { return Err(response) };
    Ok(match &answer {
        HandoverAnswer::Done { .. } => Told::done(format!("{instance}: {answer}")),
        HandoverAnswer::DoneByAnother { .. } => {
            Told::problem(Exit::Another, format!("{instance}: {answer}"))
        }
        HandoverAnswer::Refused(refusal) => {
            Told::problem(Exit::Refused, format!("{instance} was not handed over: {refusal}"))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::answer::understood;
    use super::*;

    #[track_caller]
    fn told(line: &str) -> (Exit, String) {
        let web = "web".try_into().unwrap();
        let Told { exit, text, .. } = understood(line, "it", |response| tell(&web, response));
        (exit, text)
    }

    /// Rule: each answer has its exit code and a text that names the instance and what came of it.
    #[test]
    fn answers_are_told_in_words() {
        let node2 = r#"{"address":"10.0.0.12","name":"node2"}"#;
        let done = format!(r#"{{"handover":{{"done":{{"to":{node2},"took":2100000}}}}}}"#);
        let text = "web: node2 (10.0.0.12) has the addresses now, after 2 ms";
        assert_eq!(told(&done), (Exit::Ok, text.to_owned()));

        let another =
            format!(r#"{{"handover":{{"done_by_another":{{"to":{node2},"wanted":"node3"}}}}}}"#);
        let (exit, text) = told(&another);
        assert_eq!(exit, Exit::Another);
        assert!(text.starts_with("web: node2 (10.0.0.12) has the addresses now, not node3"));

        let (exit, text) = told(r#"{"handover":{"refused":{"nobody":1000000000}}}"#);
        assert_eq!(exit, Exit::Refused);
        assert!(text.starts_with("web was not handed over: no other node took"), "{text}");
    }
}
