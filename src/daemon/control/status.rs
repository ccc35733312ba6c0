//! The status socket: whoever connects gets one snapshot. The protocol loop is asked for one at most
//! so often, however many connect and however slowly they read.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Asked;
use super::places::{Places, Since};
use super::socket::Listening;
use crate::api;

/// How many clients are served at once; others wait in the kernel's queue.
const CLIENTS: usize = 64;

/// How far apart snapshots are taken at the least.
const DISTANCE: Duration = Duration::from_millis(25);

/// How long the protocol loop may take for one. A loop that takes longer has other sorrows.
const ANSWERING: Duration = Duration::from_secs(2);

/// How long a client may take to read one.
const READING: Duration = Duration::from_secs(5);

/// The same while all places are taken, for the user who has the most of them.
const CROWDED: Duration = Duration::from_millis(250);

/// How long to wait where the system has no room for a client, before trying again.
const NO_ROOM: Duration = Duration::from_millis(200);

/// The last snapshot, as it is written.
#[derive(Debug)]
struct Taken {
    at: Instant,
    line: Arc<[u8]>,
}

/// Serves clients until the other end of `requests` is dropped.
pub(super) async fn serve(socket: Listening, requests: mpsc::Sender<Asked>) -> io::Result<()> {
    let listener = UnixListener::from_std(socket.listener.try_clone()?)?;
    let last = Arc::new(Mutex::new(None));
    let (mut clients, mut places) = (JoinSet::new(), Places::default());
    let mut looked = Instant::now();
    loop {
        let is_crowded = clients.len() >= CLIENTS;
        tokio::select! {
            () = requests.closed() => return Ok(()),
            accepted = listener.accept(), if !is_crowded => match accepted {
                Ok((stream, _)) => {
                    // An unknown user counts as one more user.
                    let user = stream.peer_cred().map_or(u32::MAX, |peer| peer.uid());
                    let reading = Since::default();
                    let served =
                        client(stream, requests.clone(), Arc::clone(&last), Arc::clone(&reading));
                    places.take(user, clients.spawn(served), reading);
                    // Forgets those that have ended.
                    places.count(|_| true);
                }
                Err(error) => {
                    tracing::warn!("the status socket cannot take a client: {error}");
                    sleep(NO_ROOM).await;
                }
            },
            Some(ended) = clients.join_next() => {
                if let Err(error) = ended
                    && !error.is_cancelled()
                {
                    tracing::warn!("a client of the status socket got nothing: {error}");
                }
            }
            () = sleep_until(looked + CROWDED), if is_crowded => {
                looked = Instant::now();
                places.end_idle(looked, CROWDED);
            }
        }
    }
}

async fn client(
    mut stream: UnixStream,
    requests: mpsc::Sender<Asked>,
    last: Arc<Mutex<Option<Taken>>>,
    reading: Since,
) {
    if let Some(line) = snapshot(&requests, &last).await {
        let _ = reading.set(Instant::now());
        // Who does not read it loses it.
        let _ = timeout(READING, stream.write_all(&line)).await;
    }
}

/// A snapshot that is no older than this call; shared with all who have asked at the same time.
async fn snapshot(
    requests: &mpsc::Sender<Asked>,
    last: &Mutex<Option<Taken>>,
) -> Option<Arc<[u8]>> {
    let asked = Instant::now();
    let mut last = last.lock().await;
    if let Some(taken) = last.as_ref() {
        if taken.at >= asked {
            return Some(Arc::clone(&taken.line));
        }
        sleep_until(taken.at + DISTANCE).await;
    }
    let at = Instant::now();
    let (reply, answer) = oneshot::channel();
    requests.send(Asked::Snapshot(reply)).await.ok()?;
    let snapshot = timeout(ANSWERING, answer).await.ok()?.ok()?;
    let line: Arc<[u8]> = api::line(&snapshot).ok()?.into();
    *last = Some(Taken { at, line: Arc::clone(&line) });
    Some(line)
}
