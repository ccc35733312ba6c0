//! Files, by `inotify(7)`: the directory of each is watched, so that one that comes, goes or is
//! replaced is noticed like one that is written.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use tokio::time::interval;

use super::stir::{Stir, Wanted};
use crate::daemon::outside::Aside;
use crate::daemon::socket::Readiness;
use crate::model::TrackName;

/// How often directories that were not there are looked for again.
const AGAIN: Duration = Duration::from_secs(5);

/// Which directory each watch is of.
type Watches = BTreeMap<WatchDescriptor, PathBuf>;

/// Watches until something fails; says what.
pub(super) async fn watch(wanted: Wanted<PathBuf>, stir: Stir) -> io::Error {
    match serve(&wanted, &stir).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn serve(
    wanted: &[(TrackName, PathBuf)],
    stir: &Stir,
) -> io::Result<std::convert::Infallible> {
    let inotify = Arc::new(Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?);
    let readiness = Readiness::of(&*inotify)?;
    let directories: BTreeSet<PathBuf> =
        wanted.iter().filter_map(|(_, path)| path.parent()).map(Path::to_owned).collect();
    let mut watches = Watches::new();
    let mut again = interval(AGAIN);
    // A file system may not answer.
    let aside = Aside::default();
    loop {
        tokio::select! {
            () = poll_fn(|context| readiness.poll(context)) => {
                let events = match inotify.read_events() {
                    Ok(events) => events,
                    Err(Errno::EAGAIN) => {
                        readiness.clear();
                        continue;
                    }
                    Err(errno) => return Err(errno.into()),
                };
                stir.all(stirred(wanted, &watches, &events)).await;
            }
            _ = again.tick() => {
                let (inotify, directories) = (Arc::clone(&inotify), directories.clone());
                watches = aside.run(move || add(&inotify, directories)).await?;
            }
        }
    }
}

/// Watches these directories. One that is watched already stays so; one that is not there is none.
fn add(inotify: &Inotify, directories: BTreeSet<PathBuf>) -> io::Result<Watches> {
    let changes = AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_ATTRIB
        | AddWatchFlags::IN_ONLYDIR;
    let mut watches = Watches::new();
    for directory in directories {
        match inotify.add_watch(&directory, changes) {
            Ok(watch) => {
                watches.insert(watch, directory);
            }
            // `max_user_watches` is used up.
            Err(Errno::ENOSPC) => return Err(Errno::ENOSPC.into()),
            Err(_) => {}
        }
    }
    Ok(watches)
}

/// The checks that events are about.
fn stirred(
    wanted: &[(TrackName, PathBuf)],
    watches: &Watches,
    events: &[InotifyEvent],
) -> BTreeSet<TrackName> {
    let lost = events.iter().any(|event| event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW));
    let about = wanted.iter().filter(|(_, path)| {
        lost || events.iter().any(|event| {
            let name = event.name.as_deref();
            name.is_some()
                && name == path.file_name()
                && watches.get(&event.wd).map(PathBuf::as_path) == path.parent()
        })
    });
    about.map(|(track, _)| track.clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;
    use crate::daemon::netlink::News;
    use crate::engine::Input;

    /// Rule: a file that comes, is written, replaced or goes stirs its check and no other; so does
    /// one whose directory was not there at first, once it is found.
    #[test]
    fn what_happens_to_a_file_stirs_its_check() {
        let directory = std::env::temp_dir().join(format!("vipd-inotify-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let (mark, other) = (directory.join("mark"), directory.join("other"));
        let name = |name: &str| TrackName::try_from(name).unwrap();
        let wanted = vec![(name("mark"), mark.clone()), (name("else"), directory.join("else"))];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (news, mut heard) = mpsc::channel(64);
            tokio::spawn(watch(wanted, Stir(news)));
            let mut stirs = async |what: &str| match timeout(AGAIN * 4, heard.recv()).await {
                Ok(Some(News::Input(Input::Stirred { track }))) => {
                    assert_eq!(track.as_str(), "mark", "{what}");
                    // What else belongs to it.
                    while timeout(Duration::from_millis(50), heard.recv()).await.is_ok() {}
                }
                other => panic!("{what}: {other:?}"),
            };
            tokio::time::sleep(Duration::from_millis(100)).await;
            fs::write(&mark, "1").unwrap();
            stirs("created").await;
            fs::write(&mark, "2").unwrap();
            stirs("written").await;
            fs::write(&other, "3").unwrap();
            fs::rename(&other, &mark).unwrap();
            stirs("replaced").await;
            fs::remove_file(&mark).unwrap();
            stirs("removed").await;
        });
        fs::remove_dir_all(directory).unwrap();
    }
}
