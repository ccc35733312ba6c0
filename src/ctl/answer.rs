//! What a daemon answers to a request, and what is none.

use std::time::Duration;

use super::exit::Exit;
use super::options::ConnectionOptions;
use super::socket;
use super::told::Told;
use crate::api::{Request, Response};

/// Asks, and has the answer told by `tell`, which gives back what is no answer to this request.
/// `what` names it in messages: `the handover of web`.
pub(super) fn ask(
    connection: &ConnectionOptions,
    request: &Request,
    what: &str,
    tell: impl FnOnce(Response) -> Result<Told, Response>,
) -> Told {
    let patience = Duration::from_secs(connection.timeout);
    match socket::ask(&connection.socket(), request, patience) {
        Ok(line) => {
            let told = understood(&line, what, tell);
            Told { raw: connection.json.then_some(line), ..told }
        }
        Err(trouble) => trouble.into(),
    }
}

/// What an answer means.
pub(super) fn understood(
    line: &str,
    what: &str,
    tell: impl FnOnce(Response) -> Result<Told, Response>,
) -> Told {
    let response = match serde_json::from_str(line) {
        Ok(response) => response,
        Err(error) => {
            let text = format!(
                "vipd's answer is not understood ({error}); vipd and vipctl should be of one \
                 version. It is: {line}"
            );
            return Told::problem(Exit::Protocol, text);
        }
    };
    tell(response).unwrap_or_else(|response| match response {
        Response::Error(error) => {
            Told::problem(Exit::Unavailable, format!("vipd did not deal with {what}: {error}"))
        }
        Response::Forbidden(why) => Told::problem(Exit::Permission, why),
        _ => Told::problem(
            Exit::Protocol,
            format!("vipd has answered something else than was asked. It is: {line}"),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> (Exit, String) {
        let Told { exit, raw, text, .. } = understood(line, "the reload", Err);
        assert_eq!(raw, None);
        (exit, text)
    }

    /// Rule: what is no answer to the request is told as it came, and is never taken for success.
    #[test]
    fn other_answers_are_no_success() {
        let (exit, text) = told(r#"{"error":"vipd stopped before it answered"}"#);
        assert_eq!(exit, Exit::Unavailable);
        assert_eq!(text, "vipd did not deal with the reload: vipd stopped before it answered");
        let (exit, text) = told(r#"{"forbidden":"user nobody may not control vipd"}"#);
        assert_eq!((exit, text.as_str()), (Exit::Permission, "user nobody may not control vipd"));
        let other = r#"{"handover":{"refused":"own_node"}}"#;
        for line in [other, r#"{"handover":{"refused":"full_moon"}}"#, "{}", "hello"] {
            let (exit, text) = told(line);
            assert_eq!(exit, Exit::Protocol);
            assert!(text.ends_with(line), "{text}");
        }
    }
}
