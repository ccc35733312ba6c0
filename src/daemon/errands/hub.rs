//! The thread's work: orders in, one task for each errand, answers out.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch as latest};
use tokio::task::JoinSet;

use super::hooks::Hooks;
use super::looks::{self, Looks};
use crate::api::Probed;
use crate::daemon::netlink::News;
use crate::daemon::probe::{Desks, Subjects, watch};
use crate::engine::{HookCall, HookOwner};
use crate::model::{TrackConfig, TrackName};

/// What the protocol loop wants.
#[derive(Debug)]
pub(super) enum Order {
    /// Look once, as this configuration has it.
    Look { config: Arc<TrackConfig>, number: u64, until: Instant },
    /// Look once for somebody who wants to see it.
    LookOnce { config: Arc<TrackConfig>, reply: oneshot::Sender<Probed> },
    /// Stop that look, if it is still under way.
    Cancel { track: TrackName, number: u64 },
    /// Carry out a hook.
    Hook { owner: HookOwner, number: u64, call: Box<HookCall>, until: Instant },
    /// End it, if it is still under way.
    CancelHook { owner: HookOwner, number: u64 },
}

/// Runs errands until the protocol loop is gone. Whatever is under way then stops, with all that it has
/// started.
pub(super) async fn serve(
    mut orders: mpsc::Receiver<Order>,
    mut subjects: latest::Receiver<Subjects>,
    news: mpsc::Sender<News>,
) {
    let desks = Arc::new(Desks::default());
    // They end when this is dropped.
    let _watchers = watch::start(&subjects, &desks, &news);
    let mut tasks = JoinSet::new();
    let mut looks = Looks::default();
    let mut hooks = Hooks::default();
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Look { config, number, until }) => {
                    let desk = desks.of(&config.name);
                    looks.start(&mut tasks, config, number, until, desk, news.clone());
                }
                Some(Order::LookOnce { config, reply }) => looks::once(&mut tasks, config, reply),
                Some(Order::Cancel { track, number }) => looks.cancel(&track, number),
                Some(Order::Hook { owner, number, call, until }) => {
                    hooks.start(&mut tasks, owner, number, call, until, news.clone());
                }
                Some(Order::CancelHook { owner, number }) => hooks.cancel(&owner, number),
                None => break,
            },
            Some(_) = tasks.join_next() => {}
            Ok(()) = subjects.changed() => {
                let now = Arc::clone(&subjects.borrow_and_update());
                let exists = |name: &TrackName| now.iter().any(|track| track.name == *name);
                desks.retain(exists);
                looks.retain(exists);
            }
        }
    }
    tasks.shutdown().await;
}
