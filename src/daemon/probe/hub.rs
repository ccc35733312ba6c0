//! The thread's work: orders in, one task for each look, answers out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, watch as latest};
use tokio::task::{AbortHandle, JoinSet};

use super::bounded::bounded;
use super::desk::{Desk, Desks};
use super::hooks::Hooks;
use super::look::look;
use super::{Subjects, watch};
use crate::daemon::netlink::News;
use crate::engine::{HookCall, HookOwner, Input};
use crate::model::{TrackConfig, TrackName};

/// What the protocol loop wants.
#[derive(Debug)]
pub(super) enum Order {
    /// Look once, as this configuration has it.
    Look { config: Arc<TrackConfig>, number: u64, until: Instant },
    /// Stop that look, if it is still under way.
    Cancel { track: TrackName, number: u64 },
    /// Carry out a hook.
    Hook { owner: HookOwner, number: u64, call: Box<HookCall>, until: Instant },
    /// End it, if it is still under way.
    CancelHook { owner: HookOwner, number: u64 },
}

/// The looks that are under way.
#[derive(Debug, Default)]
struct Looks {
    tasks: JoinSet<()>,
    last: BTreeMap<TrackName, (u64, AbortHandle)>,
}

/// Looks, until the protocol loop is gone. Whatever is under way then stops, with all that it has
/// started.
pub(super) async fn serve(
    mut orders: mpsc::Receiver<Order>,
    mut subjects: latest::Receiver<Subjects>,
    news: mpsc::Sender<News>,
) {
    let desks = Arc::new(Desks::default());
    // They end when this is dropped.
    let _watchers = watch::start(&subjects, &desks, &news);
    let mut looks = Looks::default();
    let mut hooks = Hooks::default();
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Look { config, number, until }) => {
                    let desk = desks.of(&config.name);
                    looks.start(config, number, until, desk, news.clone());
                }
                Some(Order::Cancel { track, number }) => looks.cancel(&track, number),
                Some(Order::Hook { owner, number, call, until }) => {
                    hooks.start(&mut looks.tasks, owner, number, call, until, news.clone());
                }
                Some(Order::CancelHook { owner, number }) => hooks.cancel(&owner, number),
                None => break,
            },
            Some(_) = looks.tasks.join_next() => {}
            Ok(()) = subjects.changed() => {
                let now = Arc::clone(&subjects.borrow_and_update());
                let exists = |name: &TrackName| now.iter().any(|track| track.name == *name);
                desks.retain(exists);
                looks.last.retain(|name, (_, task)| exists(name) || !task.is_finished());
            }
        }
    }
    looks.tasks.shutdown().await;
}

impl Looks {
    fn start(
        &mut self,
        config: Arc<TrackConfig>,
        number: u64,
        until: Instant,
        desk: Arc<Desk>,
        news: mpsc::Sender<News>,
    ) {
        let track = config.name.clone();
        let task = self.tasks.spawn(async move {
            let result = bounded(look(&config, &desk), config.timeout, until, &desk.doing).await;
            let answer = Input::Probed { track: config.name.clone(), number, result };
            // The protocol loop may have ended meanwhile.
            let _ = news.send(News::Input(answer)).await;
        });
        self.last.insert(track, (number, task));
    }

    fn cancel(&mut self, track: &TrackName, number: u64) {
        if let Some((last, task)) = self.last.get(track)
            && *last == number
        {
            task.abort();
        }
    }
}
