//! The hooks that are under way.

use std::collections::BTreeMap;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::bounded::bounded;
use crate::daemon::netlink::News;
use crate::daemon::notify;
use crate::daemon::outside::Aside;
use crate::daemon::outside::Doing;
use crate::engine::{HookCall, HookOwner, Input};

/// Which hooks of one owner follow one another: those that something waits for, and the others.
type Queue = (HookOwner, bool);

/// The hooks that are under way.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    tasks: BTreeMap<(HookOwner, u64), AbortHandle>,
    /// A program that the kernel does not let go, though it is killed, holds back the next one.
    asides: BTreeMap<Queue, Aside>,
}

impl Hooks {
    pub(super) fn start(
        &mut self,
        all: &mut JoinSet<()>,
        owner: HookOwner,
        number: u64,
        call: Box<HookCall>,
        until: Instant,
        news: mpsc::Sender<News>,
    ) {
        self.tasks.retain(|_, task| !task.is_finished());
        let queue = (owner.clone(), call.event.phase().is_waited_for());
        let aside = self.asides.entry(queue).or_default().clone();
        let key = (owner.clone(), number);
        let task = all.spawn(async move {
            let doing = Doing::default();
            let carrying_out = notify::carry_out(&call, &aside, &doing);
            let result = bounded(carrying_out, call.timeout, until, &doing).await;
            // The protocol loop may have ended meanwhile.
            let _ = news.send(News::Input(Input::Hooked { owner, number, result })).await;
        });
        self.tasks.insert(key, task);
    }

    pub(super) fn cancel(&mut self, owner: &HookOwner, number: u64) {
        if let Some(task) = self.tasks.remove(&(owner.clone(), number)) {
            task.abort();
        }
    }
}
