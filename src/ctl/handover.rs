//! `vipctl handover`: a planned move, in words.

use std::time::Duration;

use super::cli::HandoverOptions;
use super::exit::Exit;
use super::{Told, socket};
use crate::api::{Handover, Request, Response};
use crate::engine::HandoverAnswer;
use crate::model::InstanceName;

/// Asks for it and waits for what comes of it.
pub(super) fn main(options: HandoverOptions) -> Told {
    let HandoverOptions { instance, node: to, connection } = options;
    let request = Request::Handover(Handover { instance: instance.clone(), to });
    let patience = Duration::from_secs(connection.timeout);
    match socket::ask(&connection.socket(), &request, patience) {
        Ok(line) => {
            let raw = connection.json.then(|| line.clone());
            Told { raw, ..tell(&instance, &line) }
        }
        Err(trouble) => Told::problem(trouble.exit(), trouble.to_string()),
    }
}

/// What a daemon's answer means.
fn tell(instance: &InstanceName, line: &str) -> Told {
    match serde_json::from_str(line) {
        Ok(Response::Handover(answer)) => match &answer {
            HandoverAnswer::Done { .. } => Told::done(format!("{instance}: {answer}")),
            HandoverAnswer::DoneByAnother { .. } => {
                Told::problem(Exit::Another, format!("{instance}: {answer}"))
            }
            HandoverAnswer::Refused(refusal) => {
                Told::problem(Exit::Refused, format!("{instance} was not handed over: {refusal}"))
            }
        },
        Ok(Response::Error(error)) => Told::problem(
            Exit::Unavailable,
            format!("vipd did not deal with the handover of {instance}: {error}"),
        ),
        Ok(Response::Forbidden(why)) => Told::problem(Exit::Permission, why),
        Ok(_) => Told::problem(
            Exit::Protocol,
            format!("vipd has answered something else than was asked. It is: {line}"),
        ),
        Err(error) => Told::problem(
            Exit::Protocol,
            format!(
                "vipd's answer is not understood ({error}); vipd and vipctl should be of one \
                 version. It is: {line}"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn told(line: &str) -> (Exit, String) {
        let Told { exit, raw, text } = tell(&"web".try_into().unwrap(), line);
        assert_eq!(raw, None);
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

    /// Rule: what is no answer to a handover is told as it came, and is not taken for one.
    #[test]
    fn other_answers_are_no_success() {
        let (exit, text) = told(r#"{"error":"vipd stopped before it answered"}"#);
        assert_eq!(exit, Exit::Unavailable);
        assert!(text.ends_with("handover of web: vipd stopped before it answered"), "{text}");
        for line in [r#"{"handover":{"refused":"full_moon"}}"#, "{}", "hello"] {
            let (exit, text) = told(line);
            assert_eq!(exit, Exit::Protocol);
            assert!(text.ends_with(line), "{text}");
        }
    }
}
