//! The looks that are under way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};

use super::bounded::bounded;
use crate::api::Probed;
use crate::daemon::netlink::News;
use crate::daemon::probe::{Desk, look};
use crate::engine::Input;
use crate::model::{TrackConfig, TrackName};
use crate::time::Span;

/// The looks that are under way.
#[derive(Debug, Default)]
pub(super) struct Looks {
    last: BTreeMap<TrackName, (u64, AbortHandle)>,
}

impl Looks {
    pub(super) fn start(
        &mut self,
        all: &mut JoinSet<()>,
        config: Arc<TrackConfig>,
        number: u64,
        until: Instant,
        desk: Arc<Desk>,
        news: mpsc::Sender<News>,
    ) {
        let track = config.name.clone();
        let task = all.spawn(async move {
            let result = bounded(look(&config, &desk), config.timeout, until, &desk.doing).await;
            let answer = Input::Probed { track: config.name.clone(), number, result };
            // The protocol loop may have ended meanwhile.
            let _ = news.send(News::Input(answer)).await;
        });
        self.last.insert(track, (number, task));
    }

    pub(super) fn cancel(&mut self, track: &TrackName, number: u64) {
        if let Some((last, task)) = self.last.get(track)
            && *last == number
        {
            task.abort();
        }
    }

    /// Forgets the checks that do not exist any more, once their looks have ended.
    pub(super) fn retain(&mut self, exists: impl Fn(&TrackName) -> bool) {
        self.last.retain(|name, (_, task)| exists(name) || !task.is_finished());
    }
}

/// Looks once, and tells who waits for it: unless that one has gone meanwhile.
pub(super) fn once(
    all: &mut JoinSet<()>,
    config: Arc<TrackConfig>,
    mut reply: oneshot::Sender<Probed>,
) {
    all.spawn(async move {
        // A desk of its own: it must not be in the way of the check.
        let (desk, began) = (Desk::default(), Instant::now());
        let until = began + Duration::from_nanos(config.timeout.nanos());
        let looking = bounded(look(&config, &desk), config.timeout, until, &desk.doing);
        let result = tokio::select! {
            result = looking => result,
            () = reply.closed() => return,
        };
        let took = Span::from_nanos(began.elapsed().as_nanos().try_into().unwrap_or(u64::MAX));
        let _ = reply.send(Probed { result, took });
    });
}
