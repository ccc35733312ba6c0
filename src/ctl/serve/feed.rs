//! What the listeners of `/events` hear. The daemon is looked at once for all of them, and only
//! while there are any.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::source::{Seen, Source};

/// How often the daemon is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// What has not changed is told again after this time: ages grow, and a listener that hears nothing
/// for a few times as long knows that what it has heard may be true no more.
const REPEAT: Duration = Duration::from_secs(1);

/// How many may listen at once.
const LISTENERS: usize = 32;

/// A listener has to connect again after this time, so that none is kept that is not there.
const LONGEST: Duration = Duration::from_secs(3600);

/// The latest message, for all listeners: a slow one misses messages, and holds up nobody.
#[derive(Debug)]
pub(super) struct Feed {
    latest: watch::Sender<Option<Message>>,
    wanted: Notify,
    listeners: Arc<Semaphore>,
}

/// How the daemon is, as JSON.
#[derive(Clone, Debug)]
enum Message {
    Snapshot(Arc<str>),
    /// Why nothing is known of it.
    Gone(Arc<str>),
}

/// What must be told at once when it changes: the process, the last event and the status line; and
/// why nothing is known, where that is so.
type Essence = Result<(u32, Option<u64>, String), Arc<str>>;

impl Feed {
    pub(super) fn new() -> Self {
        Self {
            latest: watch::Sender::new(None),
            wanted: Notify::new(),
            listeners: Arc::new(Semaphore::new(LISTENERS)),
        }
    }

    /// Looks at the daemon while somebody listens, for ever.
    pub(super) async fn run(&self, source: &Source) {
        let mut told: Option<(Instant, Essence)> = None;
        loop {
            if self.latest.receiver_count() == 0 {
                // Who comes next must not hear what was true now.
                self.latest.send_replace(None);
                told = None;
                self.wanted.notified().await;
            }
            let seen = source.look().await;
            let essence = essence(&seen);
            if !told.as_ref().is_some_and(|(at, last)| at.elapsed() < REPEAT && *last == essence) {
                self.latest.send_replace(message(&seen));
                told = Some((Instant::now(), essence));
            }
            sleep(LOOK).await;
        }
    }

    /// One more listener; `None`: there are too many.
    pub(super) fn listen(&self) -> Option<impl Stream<Item = Result<Event, Infallible>> + use<>> {
        let place = Arc::clone(&self.listeners).try_acquire_owned().ok()?;
        let mut latest = self.latest.subscribe();
        // What is there already is news to this one.
        latest.mark_changed();
        self.wanted.notify_one();
        Some(unfold(Listener { latest, until: Instant::now() + LONGEST, _place: place }, next))
    }
}

struct Listener {
    latest: watch::Receiver<Option<Message>>,
    until: Instant,
    _place: OwnedSemaphorePermit,
}

async fn next(mut listener: Listener) -> Option<(Result<Event, Infallible>, Listener)> {
    loop {
        timeout_at(listener.until, listener.latest.changed()).await.ok()?.ok()?;
        let message = listener.latest.borrow_and_update().clone();
        let event = match message {
            Some(Message::Snapshot(json)) => Event::default().event("snapshot").data(json),
            Some(Message::Gone(json)) => Event::default().event("gone").data(json),
            None => continue,
        };
        return Some((Ok(event), listener));
    }
}

fn essence(seen: &Seen) -> Essence {
    let snapshot = seen.as_ref().map_err(Arc::clone)?;
    let last = snapshot.events.last().map(|event| event.number);
    Ok((snapshot.process, last, snapshot.text.clone()))
}

fn message(seen: &Seen) -> Option<Message> {
    match seen {
        Ok(snapshot) => Some(Message::Snapshot(serde_json::to_string(&**snapshot).ok()?.into())),
        Err(why) => Some(Message::Gone(serde_json::to_string(&**why).ok()?.into())),
    }
}
