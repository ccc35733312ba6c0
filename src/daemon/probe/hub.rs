//! The thread's work: orders in, one task for each look, answers out.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use tokio::sync::{mpsc, watch as latest};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout_at;

use super::hooks::Hooks;
use super::look::{Desk, Desks, Doing, look};
use super::{Subjects, watch};
use crate::daemon::netlink::News;
use crate::engine::{HookCall, Input, ProbeResult};
use crate::model::{InstanceName, TrackConfig, TrackName};
use crate::time::Span;

/// What the protocol loop wants.
#[derive(Debug)]
pub(super) enum Order {
    /// Look once, as this configuration has it.
    Look { config: Arc<TrackConfig>, number: u64, until: Instant },
    /// Stop that look, if it is still under way.
    Cancel { track: TrackName, number: u64 },
    /// Carry out a hook.
    Hook { instance: InstanceName, number: u64, call: Box<HookCall>, until: Instant },
    /// End it, if it is still under way.
    CancelHook { instance: InstanceName, number: u64 },
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
                Some(Order::Hook { instance, number, call, until }) => {
                    hooks.start(&mut looks.tasks, instance, number, call, until, news.clone());
                }
                Some(Order::CancelHook { instance, number }) => hooks.cancel(&instance, number),
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

/// A look or a hook that ends, and whose own mistakes are no more than a failure of this one.
pub(super) async fn bounded(
    looking: impl Future<Output = ProbeResult>,
    timeout: Span,
    until: Instant,
    doing: &Doing,
) -> ProbeResult {
    let looking = AssertUnwindSafe(looking).catch_unwind();
    // What is not finished at the end of this statement is dropped, which stops it.
    let looked = timeout_at(until.into(), looking).await;
    let doing = doing.take();
    match looked {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => {
            ProbeResult::Failed(format!("vipd itself broke here: {}", words(panic.as_ref())))
        }
        Err(_) => {
            let doing = if doing.is_empty() { doing } else { format!(" ({doing})") };
            ProbeResult::Failed(format!("no answer within {timeout}{doing}"))
        }
    }
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it does not say why")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn looked(looking: impl Future<Output = ProbeResult>, doing: &Doing) -> ProbeResult {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let until = Instant::now() + Duration::from_millis(30);
        runtime.block_on(bounded(looking, Span::from_millis(30), until, doing))
    }

    /// Rule: a mistake of ours in a look fails that look, with what it says.
    #[test]
    fn a_panic_is_a_failed_look() {
        let result = looked(async { panic!("no {}", "luck") }, &Doing::default());
        assert_eq!(result, ProbeResult::Failed("vipd itself broke here: no luck".to_owned()));
    }

    /// Rule: a look that is too late says what it waited for last, also where it says so when it is
    /// stopped; the next one does not.
    #[test]
    fn a_late_look_says_what_it_waited_for() {
        let doing = Doing::default();
        doing.set("connecting");
        let result = looked(std::future::pending(), &doing);
        let expected = ProbeResult::Failed("no answer within 30 ms (connecting)".to_owned());
        assert_eq!(result, expected);
        let result = looked(std::future::pending(), &doing);
        assert_eq!(result, ProbeResult::Failed("no answer within 30 ms".to_owned()));
    }

    /// Rule: whatever a panic carries, there is something to say.
    #[test]
    fn a_panic_has_words() {
        assert_eq!(words(&"one"), "one");
        assert_eq!(words(&"two".to_owned()), "two");
        assert_eq!(words(&3), "it does not say why");
    }
}
