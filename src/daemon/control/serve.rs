//! The control socket: clients in, requests out to the protocol loop, answers back.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::super::standby::StandbyFile;
use super::Asked;
use super::access::Client;
use super::door::{Door, Entry, warn_of_panic};
use super::refusals::Refusals;
use super::socket::Listening;
use crate::api::{self, Handover, LONGEST_REQUEST, Reload, Request, Response, Stood};
use crate::engine::Standby;
use crate::model::InstanceName;

/// How long a client may take to write its request, and to read the answer.
const READING: Duration = Duration::from_secs(5);

/// How long an answer of the protocol loop may take: longer than the longest active-down interval
/// of RFC 9568 (some 164 s). It only bounds what a mistake of ours could hold up.
const ANSWERING: Duration = Duration::from_secs(300);

/// How long the last answers may take once vipd stops.
const FAREWELL: Duration = Duration::from_millis(500);

/// How long to wait where the system has no room for a client, before trying again.
const NO_ROOM: Duration = Duration::from_millis(200);

/// What a client is served with.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) requests: mpsc::Sender<Asked>,
    pub(super) standby: Arc<Mutex<StandbyFile>>,
    /// The standby state as of the last answer.
    pub(super) last: watch::Receiver<Standby>,
}

/// Serves clients until the other end of the requests is dropped, then removes the sockets. The
/// members of `group` may ask.
pub(super) fn run(
    status: Listening,
    control: Listening,
    group: watch::Receiver<Option<String>>,
    desk: Desk,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.and_then(|runtime| {
        runtime.block_on(async {
            let shown = super::status::serve(status, desk.requests.clone());
            let (shown, served) = tokio::join!(shown, serve(control, Door::new(group), desk));
            shown.and(served)
        })
    });
    if let Err(error) = served {
        tracing::warn!("the status and control sockets cannot be served: {error}");
    }
}

async fn serve(socket: Listening, mut door: Door, desk: Desk) -> io::Result<()> {
    let listener = UnixListener::from_std(socket.listener.try_clone()?)?;
    let mut clients = JoinSet::new();
    let mut refusals = Refusals::default();
    loop {
        let entries = tokio::select! {
            () = desk.requests.closed() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => match Client::of(&stream) {
                    Ok(client) => door.knock(stream, client).into_iter().collect(),
                    Err(error) => vec![Entry::Full(stream, format!("unknown client: {error}"))],
                },
                Err(error) => {
                    tracing::warn!("the control socket cannot take a client: {error}");
                    sleep(NO_ROOM).await;
                    continue;
                }
            },
            entries = door.looked_up() => entries,
            Some(ended) = clients.join_next() => {
                warn_of_panic(ended);
                continue;
            }
            () = due(refusals.deadline()) => {
                refusals.due(Instant::now()).iter().for_each(|line| tracing::warn!("{line}"));
                continue;
            }
        };
        for entry in entries {
            match entry {
                Entry::In(stream, client) => {
                    let task = clients.spawn(serve_one(stream, client, desk.clone()));
                    door.served(client, task);
                }
                Entry::Refused(stream, client, why) => {
                    if let Some(line) = refusals.note(Instant::now(), client.id().0, &why) {
                        tracing::warn!("{line}");
                    }
                    turn_away(&stream, &Response::Forbidden(why));
                }
                Entry::Full(stream, why) => turn_away(&stream, &Response::Error(why)),
            }
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

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Tells a client why it is not served, without waiting: a line has room in a new socket.
fn turn_away(stream: &UnixStream, response: &Response) {
    if let Ok(line) = api::line(response) {
        // Where there is no room, the closed connection has to say it.
        let _ = stream.try_write(&line);
    }
}

/// Serves one client from its request to its answer.
async fn serve_one(mut stream: UnixStream, client: Client, desk: Desk) {
    let response = match timeout(READING, read(&mut stream)).await {
        Ok(Ok(Some(line))) => match Request::from_line(&line) {
            Ok(request) => admit(client, &desk, request).await,
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

/// Deals with a request of a client that may make it.
async fn admit(client: Client, desk: &Desk, request: Request) -> Response {
    log(client, &request);
    match request {
        Request::Standby(_) | Request::Online(_) => stand_by(desk, request).await,
        request => ask(&desk.requests, request).await,
    }
}

/// Has the protocol loop take something out or put it back, and keeps what is out then.
async fn stand_by(desk: &Desk, request: Request) -> Response {
    // Nobody waits for another one's answer: who is to come back calls off what is under way.
    let mut response = ask(&desk.requests, request).await;
    if let Response::Standby(Stood { not_kept, .. }) = &mut response {
        let file = desk.standby.clone().lock_owned().await;
        // Not that of this answer: a later one may have been kept already.
        let standby = desk.last.borrow().clone();
        let written = spawn_blocking(move || file.write(&standby)).await;
        let outcome = written.unwrap_or_else(|error| Err(error.to_string()));
        *not_kept = outcome.err();
        if let Some(why) = not_kept {
            tracing::warn!("what is on standby was not kept for the next start: {why}");
        }
    }
    response
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
fn log(client: Client, request: &Request) {
    let what = match request {
        Request::Handover(Handover { instance, to: None }) => format!("a handover of {instance}"),
        Request::Handover(Handover { instance, to: Some(to) }) => {
            format!("a handover of {instance} to {to}")
        }
        Request::Standby(standby) => {
            let by_force = if standby.force { ", by force" } else { "" };
            format!("standby of {}{by_force}", scope(standby.instance.as_ref()))
        }
        Request::Online(online) => {
            format!("the end of standby of {}", scope(online.instance.as_ref()))
        }
        Request::Reload(Reload { dry_run: true }) => "what a reload would change".to_owned(),
        Request::Reload(Reload { dry_run: false }) => "a reload of the configuration".to_owned(),
        Request::Probe(probe) => format!("a look of the check {}", probe.track),
    };
    let instance = match request {
        Request::Handover(handover) => Some(&handover.instance),
        Request::Standby(standby) => standby.instance.as_ref(),
        Request::Online(online) => online.instance.as_ref(),
        Request::Reload(_) | Request::Probe(_) => None,
    };
    tracing::info!(INSTANCE = instance.map(InstanceName::as_str), "{client} asks for {what}");
}

fn scope(instance: Option<&InstanceName>) -> &str {
    instance.map_or("the whole node", InstanceName::as_str)
}

/// Has the protocol loop answer a request.
async fn ask(requests: &mpsc::Sender<Asked>, request: Request) -> Response {
    let (reply, answer) = oneshot::channel();
    let stopped = || Response::Error("vipd stopped before it answered".to_owned());
    match requests.try_send(Asked::Request { request, reply }) {
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
