//! The control thread: clients in, requests out to the protocol loop, answers back.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use super::Asked;
use super::socket::Listening;
use crate::api::{self, LONGEST_REQUEST, Request, Response};

/// How many clients are served at once.
pub(super) const CLIENTS: usize = 16;

/// How long a client may take to write its request, and to read the answer.
const READING: Duration = Duration::from_secs(5);

/// How long an answer of the protocol loop may take: longer than the longest active-down interval
/// of RFC 9568 (some 164 s). It only bounds what a mistake of ours could hold up.
const ANSWERING: Duration = Duration::from_secs(300);

/// How long the last answers may take once vipd stops.
const FAREWELL: Duration = Duration::from_millis(500);

/// How long to wait where the system has no room for a client, before trying again.
const NO_ROOM: Duration = Duration::from_millis(200);

/// Serves clients until the other end of `requests` is dropped. Removes the socket then.
pub(super) fn run(socket: Listening, requests: mpsc::Sender<Asked>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.and_then(|runtime| runtime.block_on(serve(socket, requests)));
    if let Err(error) = served {
        tracing::warn!("the control socket cannot be served: {error}");
    }
}

async fn serve(socket: Listening, requests: mpsc::Sender<Asked>) -> io::Result<()> {
    let listener = UnixListener::from_std(socket.listener.try_clone()?)?;
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            () = requests.closed() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if clients.len() < CLIENTS => {
                    clients.spawn(client(stream, requests.clone()));
                }
                Ok((stream, _)) => turn_away(&stream),
                Err(error) => {
                    tracing::warn!("the control socket cannot take a client: {error}");
                    sleep(NO_ROOM).await;
                }
            },
            Some(ended) = clients.join_next() => warn_of_panic(ended),
        }
    }
    // From now on clients hear at once that nobody is there.
    drop((listener, socket));
    // No time limit of theirs counts any more: who has not asked by now never will.
    let farewell = async {
        while let Some(ended) = clients.join_next().await {
            warn_of_panic(ended);
        }
    };
    // Who does not read the answer in this time does not get it.
    let _ = timeout(FAREWELL, farewell).await;
    Ok(())
}

fn warn_of_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::warn!("a client of the control socket was not served to the end: {error}");
    }
}

/// Tells one client too many, without waiting: a line has room in a new socket.
fn turn_away(stream: &UnixStream) {
    let response = Response::Error(format!("{CLIENTS} clients are being served; try again later"));
    if let Ok(line) = api::line(&response) {
        // Where there is no room, the closed connection has to say it.
        let _ = stream.try_write(&line);
    }
}

/// Serves one client from its request to its answer.
async fn client(mut stream: UnixStream, requests: mpsc::Sender<Asked>) {
    let response = match timeout(READING, read(&mut stream)).await {
        Ok(Ok(Some(line))) => match Request::from_line(&line) {
            Ok(request) => {
                log(&stream, &request);
                ask(&requests, request).await
            }
            Err(error) => Response::Error(error.to_string()),
        },
        Ok(Ok(None)) => return,
        Ok(Err(why)) => Response::Error(why),
        Err(_) => Response::Error(format!("no whole line came within {} s", READING.as_secs())),
    };
    if let Ok(line) = api::line(&response) {
        // A client that has gone, or does not read, has lost its answer: it changes nothing.
        let _ = timeout(READING, stream.write_all(&line)).await;
    }
}

/// The first line; `None` where the client says nothing.
async fn read(stream: impl AsyncRead + Unpin) -> Result<Option<Vec<u8>>, String> {
    let longest = u64::try_from(LONGEST_REQUEST).unwrap_or(u64::MAX);
    let mut line = Vec::new();
    let mut reader = BufReader::new(stream.take(longest));
    match reader.read_until(b'\n', &mut line).await {
        Ok(0) => Ok(None),
        Ok(LONGEST_REQUEST) if !line.ends_with(b"\n") => {
            Err(format!("the request is longer than {LONGEST_REQUEST} bytes"))
        }
        Ok(_) => Ok(Some(line)),
        Err(error) => Err(format!("the request cannot be read: {error}")),
    }
}

/// Who asks for what: one line for whoever wonders later why an address has moved.
fn log(stream: &UnixStream, request: &Request) {
    let Request::Handover(wanted) = request;
    let instance = wanted.instance.as_str();
    let to = wanted.to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
    let who = match stream.peer_cred() {
        Ok(peer) => match peer.pid() {
            Some(process) => format!("user {} (process {process})", peer.uid()),
            None => format!("user {}", peer.uid()),
        },
        Err(error) => format!("an unknown user ({error})"),
    };
    tracing::info!(INSTANCE = instance, "{instance}: {who} asks for a handover{to}");
}

/// Has the protocol loop answer a request.
async fn ask(requests: &mpsc::Sender<Asked>, request: Request) -> Response {
    let (reply, answer) = oneshot::channel();
    let stopped = || Response::Error("vipd stopped before it answered".to_owned());
    match requests.try_send(Asked { request, reply }) {
        Ok(()) => match timeout(ANSWERING, answer).await {
            Ok(answer) => answer.unwrap_or_else(|_| stopped()),
            Err(_) => Response::Error(format!("vipd did not answer in {} s", ANSWERING.as_secs())),
        },
        Err(TrySendError::Full(_)) => {
            Response::Error("vipd has too many requests waiting; try again later".to_owned())
        }
        Err(TrySendError::Closed(_)) => stopped(),
    }
}
