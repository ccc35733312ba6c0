//! Admission to the control socket. A client is judged when it connects, so that a user without
//! permission takes no place from the others.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::access::Client;
use super::places::{Places, Since};

/// Clients served at once of root, and as many of the daemon's own user.
pub(super) const CLIENTS: usize = 16;

/// The number of clients served at once, of all users other than root and the daemon's own.
const OTHERS: usize = 16;

/// The number of clients served at once of one of these users.
const OF_A_USER: usize = 8;

/// The most that can be served at once: root, the daemon's user, and the others.
pub(super) const MOST: usize = 2 * CLIENTS + OTHERS;

/// The time for which a verdict about a user counts. A user who returns again and again is not
/// looked up each time, and a new member of the group waits no longer than this.
const KNOWN: Duration = Duration::from_secs(1);

/// The number of verdicts that are remembered.
const REMEMBERED: usize = 64;

/// The number of lookups that run at once. A lookup may take long if users come from a directory
/// service.
const LOOKUPS: usize = 4;

/// The number of clients that may wait for the same lookup.
const WAITING: usize = 8;

const BUSY: &str = "vipd is looking up other users; try again later";

/// The decision about a client.
#[derive(Debug)]
pub(super) enum Entry {
    /// The client is served.
    In(UnixStream, Client),
    /// The client may not ask, for this reason.
    Refused(UnixStream, Client, String),
    /// There is no place for the client, for this reason.
    Full(UnixStream, String),
}

type Lookup = (Client, Option<String>, Result<(), String>);

/// Decides who is served.
#[derive(Debug)]
pub(super) struct Door {
    /// The group whose members may ask.
    group: watch::Receiver<Option<String>>,
    places: Places,
    verdicts: BTreeMap<(u32, u32), Verdict>,
    lookups: JoinSet<Lookup>,
    waiting: BTreeMap<(u32, u32), Vec<UnixStream>>,
}

#[derive(Debug)]
struct Verdict {
    at: Instant,
    group: Option<String>,
    may_ask: Result<(), String>,
}

impl Door {
    pub(super) fn new(group: watch::Receiver<Option<String>>) -> Self {
        Self {
            group,
            places: Places::default(),
            verdicts: BTreeMap::new(),
            lookups: JoinSet::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Decides about a client that has connected. `None`: its user is being looked up, see
    /// [`Door::looked_up`].
    pub(super) fn knock(&mut self, stream: UnixStream, client: Client) -> Option<Entry> {
        if client.is_trusted() {
            return Some(self.seat(stream, client));
        }
        let known = self.verdicts.get(&client.id());
        if let Some(verdict) =
            known.filter(|known| known.is_current(self.group.borrow().as_deref()))
        {
            return Some(match verdict.may_ask.clone() {
                Ok(()) => self.seat(stream, client),
                Err(why) => Entry::Refused(stream, client, why),
            });
        }
        if let Some(waiting) = self.waiting.get_mut(&client.id()) {
            if waiting.len() >= WAITING {
                return Some(Entry::Full(stream, BUSY.to_owned()));
            }
            waiting.push(stream);
            return None;
        }
        if self.lookups.len() >= LOOKUPS {
            return Some(Entry::Full(stream, BUSY.to_owned()));
        }
        self.waiting.insert(client.id(), vec![stream]);
        let group = self.group.borrow().clone();
        self.lookups.spawn_blocking(move || {
            let may_ask = client.may_ask(group.as_deref());
            (client, group, may_ask)
        });
        None
    }

    /// Waits for the end of a lookup and decides about the clients that waited for it. Never
    /// returns while no lookup runs.
    pub(super) async fn looked_up(&mut self) -> Vec<Entry> {
        let Some(ended) = self.lookups.join_next().await else {
            return std::future::pending().await;
        };
        let (client, group, may_ask) = match ended {
            Ok(lookup) => lookup,
            Err(error) => {
                // It is not known whose lookup this was. All waiting clients are dropped, and have
                // to ask again.
                warn_of_panic(Err(error));
                self.waiting.clear();
                return Vec::new();
            }
        };
        let at = Instant::now();
        self.remember(client, Verdict { at, group, may_ask: may_ask.clone() });
        let waiting = self.waiting.remove(&client.id()).unwrap_or_default();
        let entries = waiting.into_iter().map(|stream| match &may_ask {
            Ok(()) => self.seat(stream, client),
            Err(why) => Entry::Refused(stream, client, why.clone()),
        });
        entries.collect()
    }

    /// Notes that this task serves a client of [`Entry::In`].
    pub(super) fn served(&mut self, client: Client, task: tokio::task::AbortHandle) {
        self.places.take(client.id().0, task, Since::default());
    }

    fn remember(&mut self, client: Client, verdict: Verdict) {
        self.verdicts.retain(|_, known| known.at.elapsed() < KNOWN);
        if self.verdicts.len() >= REMEMBERED {
            self.verdicts.clear();
        }
        self.verdicts.insert(client.id(), verdict);
    }

    fn seat(&mut self, stream: UnixStream, client: Client) -> Entry {
        let user = client.id().0;
        let own = self.places.count(|other| other == user);
        let most = if client.is_trusted() { CLIENTS } else { OF_A_USER };
        if own >= most {
            return Entry::Full(stream, format!("{own} clients are being served; try again later"));
        }
        if !client.is_trusted() {
            let others = self.places.count(|user| !Client::is_trusted_user(user));
            if others >= OTHERS {
                let why = format!("{others} clients of others are being served; try again later");
                return Entry::Full(stream, why);
            }
        }
        Entry::In(stream, client)
    }
}

impl Verdict {
    fn is_current(&self, group: Option<&str>) -> bool {
        self.at.elapsed() < KNOWN && self.group.as_deref() == group
    }
}

pub(super) fn warn_of_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::warn!("a client of the control socket was not served to the end: {error}");
    }
}
