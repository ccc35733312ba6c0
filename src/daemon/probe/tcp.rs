//! `tcp`: a port takes a connection, and says what it should.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::desk::Desk;
use crate::daemon::outside::{connect, words};
use crate::engine::ProbeResult;
use crate::model::{HostPort, TcpProbe};

/// How much of an answer is read, in bytes.
const LONGEST_ANSWER: usize = 64 << 10;

/// How much of an answer that is not as expected is shown, in characters.
const SHOWN: usize = 60;

/// Looks once.
pub(crate) async fn look(probe: &TcpProbe, desk: &Desk) -> ProbeResult {
    let TcpProbe { address, send, expect } = probe;
    let mut stream = match connect::tcp(address, &desk.doing).await {
        Ok(stream) => stream,
        Err(why) => return ProbeResult::Failed(why),
    };
    if let Some(text) = send
        && let Err(error) = stream.write_all(text.as_bytes()).await
    {
        return ProbeResult::Failed(format!("{address} does not read: {}", words::system(&error)));
    }
    match expect {
        Some(expected) => {
            desk.doing.set(format!("waiting for '{expected}' from {address}"));
            answered(&mut stream, expected, address).await
        }
        None => ProbeResult::Passed(format!("{address} takes connections")),
    }
}

async fn answered(stream: &mut TcpStream, expected: &str, address: &HostPort) -> ProbeResult {
    let mut answer = Vec::new();
    let mut room = stream.take(LONGEST_ANSWER as u64);
    loop {
        let before = answer.len();
        let read = room.read_buf(&mut answer).await;
        // What is new, with what may have begun before it.
        let from = before.saturating_sub(expected.len());
        if contains(answer.get(from..).unwrap_or_default(), expected.as_bytes()) {
            return ProbeResult::Passed(format!("{address} says '{expected}'"));
        }
        match read {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                return ProbeResult::Failed(format!(
                    "{address} does not say '{expected}': {}",
                    words::system(&error)
                ));
            }
        }
    }
    ProbeResult::Failed(format!("{address} does not say '{expected}', but {}", start(&answer)))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

/// The first words of an answer.
fn start(answer: &[u8]) -> String {
    if answer.is_empty() {
        return "closes the connection".to_owned();
    }
    let text = String::from_utf8_lossy(answer.get(..SHOWN * 4).unwrap_or(answer)).into_owned();
    format!("'{}'", text.trim().chars().take(SHOWN).collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::*;

    /// What a look at a server that does `serve` with its first client says.
    fn looked<F: Future<Output = ()>>(
        send: Option<&str>,
        expect: Option<&str>,
        serve: impl FnOnce(TcpStream) -> F,
    ) -> ProbeResult {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let address = HostPort { host: "127.0.0.1".to_owned(), port };
            let owned = |text: &str| text.to_owned();
            let probe = TcpProbe { address, send: send.map(owned), expect: expect.map(owned) };
            let serving = async {
                let (client, _) = listener.accept().await.unwrap();
                serve(client).await;
            };
            let desk = Desk::default();
            let (result, ()) = tokio::join!(look(&probe, &desk), serving);
            result
        })
    }

    fn text(result: ProbeResult) -> String {
        match result {
            ProbeResult::Passed(text) => format!("+ {text}"),
            ProbeResult::Failed(text) => format!("- {text}"),
        }
    }

    /// Rule: an answer passes as soon as the expected text has come, in however many pieces; the
    /// server need not close the connection.
    #[test]
    fn the_expected_text_may_come_in_pieces() {
        let result = looked(Some("INFO\r\n"), Some("role:master"), async |mut client| {
            let mut question = [0; 6];
            client.read_exact(&mut question).await.unwrap();
            assert_eq!(&question, b"INFO\r\n");
            for piece in ["# Replication\r\nrole:m", "ast", "er\r\n"] {
                client.write_all(piece.as_bytes()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let mut rest = Vec::new();
            let _ = client.read_to_end(&mut rest).await;
        });
        assert!(text(result).ends_with("says 'role:master'"));
    }

    /// Rule: another answer fails and is shown; none at all, too.
    #[test]
    fn another_answer_is_shown() {
        let result = looked(None, Some("220"), async |mut client| {
            client.write_all(b"554 no service\r\n").await.unwrap();
        });
        let said = text(result);
        assert!(said.ends_with("does not say '220', but '554 no service'"), "{said}");
        let result = looked(None, Some("220"), async |client| drop(client));
        let said = text(result);
        assert!(said.ends_with("but closes the connection"), "{said}");
    }

    /// Rule: of an endless answer no more than 64 KiB are read.
    #[test]
    fn an_endless_answer_ends() {
        let result =
            looked(
                None,
                Some("220"),
                async |mut client| {
                    while client.write_all(&[b'x'; 4096]).await.is_ok() {}
                },
            );
        assert!(text(result).contains("but 'xxxx"));
    }

    /// Rule: a port that nobody listens on is named with the reason.
    #[test]
    fn a_closed_port_is_refused() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let address = HostPort { host: "127.0.0.1".to_owned(), port: 1 };
        let probe = TcpProbe { address, send: None, expect: None };
        let result = runtime.block_on(look(&probe, &Desk::default()));
        assert_eq!(text(result), "- connection refused by 127.0.0.1:1");
    }
}
