//! What `vipctl` and other programs hear of the daemon and can tell it, on two Unix stream sockets in
//! the runtime directory.
//!
//! [`STATUS_SOCKET`]: everybody may connect. The daemon writes one [`Snapshot`] as a JSON object in
//! one line and ends the connection; it never reads. Who wants to see changes connects again, and
//! finds what happened meanwhile in [`Snapshot::events`]. A daemon that is too busy to say how it is
//! ends the connection without a word.
//!
//! [`CONTROL_SOCKET`]: root, the daemon's own user and the members of the configured `control_group`
//! may ask for something. A client writes one [`Request`] as a JSON object in one line, reads one [`Response`] in one line, and that is
//! the end of the connection:
//!
//! ```text
//! > {"handover":{"instance":"web","to":"node2"}}
//! < {"handover":{"done":{"to":{"address":"10.0.0.12","name":"node2"},"took":2100000}}}
//! ```
//!
//! The one key of the object names the command, so there is no version number: a daemon refuses a
//! command or a parameter that it does not know by an [`Response::Error`] instead of ignoring it,
//! and a client ignores fields of an answer that it does not know. Lengths of time are in
//! nanoseconds, points in time in nanoseconds since 1970-01-01 UTC.

mod request;
mod snapshot;

use serde::Serialize;

pub use request::{
    BadFile, Handover, Online, Probe, Probed, Reload, Reloaded, Request, Response, Standby, Stood,
};
pub use snapshot::{EventRecord, FileStatus, LoopStatus, Snapshot};

/// The runtime directory where nothing else is said.
pub const RUNTIME_DIRECTORY: &str = "/run/vipd";

/// The name of the socket that tells how the daemon is.
pub const STATUS_SOCKET: &str = "status.sock";

/// The name of the socket that takes requests.
pub const CONTROL_SOCKET: &str = "control.sock";

/// The longest request in bytes, its end of line included.
pub const LONGEST_REQUEST: usize = 64 * 1024;

/// A line is not a request.
#[derive(Debug, thiserror::Error)]
#[error("not a request that this version of vipd ({version}) knows: {error}", version = env!("CARGO_PKG_VERSION"))]
pub struct BadRequest {
    error: serde_json::Error,
}

impl Request {
    /// Reads a line, with or without its end.
    ///
    /// # Errors
    /// When it is no JSON, or a command or a parameter is unknown.
    pub fn from_line(line: &[u8]) -> Result<Self, BadRequest> {
        serde_json::from_slice(line).map_err(|error| BadRequest { error })
    }
}

/// The line for a [`Request`] or a [`Response`], with its end.
///
/// # Errors
/// When the message cannot be written as JSON, which none of them should bring about.
pub fn line(message: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::engine::story::{Peer, StateName};
    use crate::engine::{HandoverAnswer, HandoverRefusal};
    use crate::time::Span;

    fn handover(to: Option<&str>) -> Request {
        let to = to.map(|name| name.try_into().unwrap());
        Request::Handover(Handover { instance: "web".try_into().unwrap(), to })
    }

    fn peer() -> Peer {
        let address = IpAddr::from([10, 0, 0, 12]);
        Peer { address, name: Some("node2".try_into().unwrap()) }
    }

    /// Rule: the format of requests is stable: scripts write them, and an older or newer vipctl.
    #[test]
    fn requests_are_written_as_documented() {
        let golden = [
            (handover(Some("node2")), r#"{"handover":{"instance":"web","to":"node2"}}"#),
            (handover(None), r#"{"handover":{"instance":"web","to":null}}"#),
        ];
        for (request, text) in golden {
            assert_eq!(line(&request).unwrap(), format!("{text}\n").as_bytes());
            assert_eq!(Request::from_line(format!("{text}\n").as_bytes()).unwrap(), request);
        }
        let short = br#"{"handover":{"instance":"web"}}"#;
        assert_eq!(Request::from_line(short).unwrap(), handover(None));
    }

    /// Rule: the format of answers is stable, `vipctl --json` shows it to scripts.
    #[test]
    fn responses_are_written_as_documented() {
        let node2 = r#"{"address":"10.0.0.12","name":"node2"}"#;
        let refused = |refusal| Response::Handover(HandoverAnswer::Refused(refusal));
        let golden = [
            (
                Response::Handover(HandoverAnswer::Done {
                    to: peer(),
                    took: Span::from_micros(2_100),
                }),
                format!(r#"{{"handover":{{"done":{{"to":{node2},"took":2100000}}}}}}"#),
            ),
            (
                Response::Handover(HandoverAnswer::DoneByAnother {
                    to: peer(),
                    wanted: "node3".try_into().unwrap(),
                }),
                format!(
                    r#"{{"handover":{{"done_by_another":{{"to":{node2},"wanted":"node3"}}}}}}"#
                ),
            ),
            (
                refused(HandoverRefusal::NotActive {
                    state: StateName::Backup,
                    active: Some(peer()),
                }),
                format!(
                    r#"{{"handover":{{"refused":{{"not_active":{{"state":"backup","active":{node2}}}}}}}}}"#
                ),
            ),
            (
                refused(HandoverRefusal::NoSuchInstance(vec!["web".try_into().unwrap()])),
                r#"{"handover":{"refused":{"no_such_instance":["web"]}}}"#.to_owned(),
            ),
            (
                refused(HandoverRefusal::Nobody(Span::from_secs(1))),
                r#"{"handover":{"refused":{"nobody":1000000000}}}"#.to_owned(),
            ),
            (
                refused(HandoverRefusal::OwnNode),
                r#"{"handover":{"refused":"own_node"}}"#.to_owned(),
            ),
            (Response::Error("why".to_owned()), r#"{"error":"why"}"#.to_owned()),
        ];
        for (response, text) in golden {
            assert_eq!(line(&response).unwrap(), format!("{text}\n").as_bytes());
            assert_eq!(serde_json::from_str::<Response>(&text).unwrap(), response);
        }
    }

    /// Rule: what the daemon does not know is refused by its name and never ignored: a handover
    /// whose parameter was dropped would do something else than was asked for.
    #[test]
    fn unknown_requests_are_refused_by_name() {
        let refused = [
            (r#"{"dance":{}}"#, "unknown variant `dance`, expected one of `handover`"),
            (r#"{"handover":{"instance":"web","within":5}}"#, "unknown field `within`"),
            (r#"{"handover":{}}"#, "missing field `instance`"),
            (r#"{"handover":{"instance":"we b"}}"#, "we b"),
            (r#"{"handover":{"instance":"web"}} {"#, "trailing characters"),
            (r#"{"handover":"#, "EOF while parsing"),
            ("GET / HTTP/1.1", "expected value"),
        ];
        for (text, why) in refused {
            let error = Request::from_line(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("version of vipd"), "{text}: {error}");
        }
        assert!(Request::from_line(b"\xff\xfe\n").is_err());
    }

    /// Rule: a client goes on understanding a daemon whose answers have learnt new fields.
    #[test]
    fn new_fields_of_answers_are_ignored() {
        let text = r#"{"handover":{"done":{"to":{"address":"10.0.0.12","name":"node2"},"took":1,"via":"x"}}}"#;
        assert!(matches!(
            serde_json::from_str(text).unwrap(),
            Response::Handover(HandoverAnswer::Done { .. })
        ));
    }
}
