//! What stirs a check: the kernel says that its subject may have changed, and the next look need
//! not wait for its time. Where nobody says so, the looks find out by themselves.

mod files;
mod links;
mod processes;
mod stir;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch as latest};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::desk::Desks;
use super::{Subjects, systemd_unit};
use crate::daemon::netlink::News;
use crate::model::Probe;
use stir::{Stir, Wanted};

/// How long to wait before a watch that has broken down is begun anew.
const PAUSE: Duration = Duration::from_secs(10);

/// Starts the watchers, which end when this is dropped.
pub(crate) fn start(
    subjects: &latest::Receiver<Subjects>,
    desks: &Arc<Desks>,
    news: &mpsc::Sender<News>,
) -> JoinSet<()> {
    let mut all = JoinSet::new();
    all.spawn(follow(subjects.clone(), Stir(news.clone()), file, "files", files::watch));
    all.spawn(follow(subjects.clone(), Stir(news.clone()), interface, "interfaces", links::watch));
    let desks = Arc::clone(desks);
    let processes = move |wanted, stir| processes::watch(wanted, stir, Arc::clone(&desks));
    all.spawn(follow(subjects.clone(), Stir(news.clone()), process, "processes", processes));
    all
}

/// Runs a watcher with what the configuration wants of it, anew with each other configuration. One
/// that breaks down is begun anew, too; people hear of that once.
async fn follow<T: Clone, F: Future<Output = io::Error>>(
    mut subjects: latest::Receiver<Subjects>,
    stir: Stir,
    of: fn(&Probe) -> Option<T>,
    what: &'static str,
    watch: impl Fn(Wanted<T>, Stir) -> F,
) {
    let mut told = false;
    loop {
        let wanted: Wanted<T> = {
            let now = subjects.borrow_and_update();
            now.iter().filter_map(|track| Some((track.name.clone(), of(&track.probe)?))).collect()
        };
        let broken = async {
            if wanted.is_empty() {
                return std::future::pending().await;
            }
            watch(wanted.clone(), stir.clone()).await
        };
        tokio::select! {
            changed = subjects.changed() => if changed.is_err() {
                return;
            },
            error = broken => {
                if !std::mem::replace(&mut told, true) {
                    stir.say(format!(
                        "the kernel does not tell of changes of {what} ({error}): the checks that \
                         depend on them notice at their next look"
                    ))
                    .await;
                }
                tokio::select! {
                    () = sleep(PAUSE) => {}
                    _ = subjects.changed() => {}
                }
            }
        }
    }
}

fn file(probe: &Probe) -> Option<std::path::PathBuf> {
    match probe {
        Probe::File(file) => Some(file.path.clone()),
        Probe::SystemdUnit(probe) => Some(systemd_unit::mark(&probe.unit)),
        _ => None,
    }
}

fn interface(probe: &Probe) -> Option<crate::model::InterfaceName> {
    match probe {
        Probe::Interface(interface) => Some(interface.name.clone()),
        _ => None,
    }
}

fn process(probe: &Probe) -> Option<crate::model::ProcessProbe> {
    match probe {
        Probe::Process(process) => Some(process.clone()),
        _ => None,
    }
}
