//! Calls that may block for ever: a resolver, a file system whose server is gone.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// What is being asked for, each with a place for one call.
static PLACES: Mutex<BTreeMap<String, Arc<Semaphore>>> = Mutex::new(BTreeMap::new());

/// Makes a call on another thread, after the one before it for the same thing has returned. It
/// cannot be interrupted: a dropped look leaves it behind, but never a second one, and no look for
/// another thing waits for it.
///
/// # Errors
/// What the call says, or that it panicked.
pub(super) async fn run<T: Send + 'static>(
    what: &str,
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let turn = place(what).acquire_owned().await;
    let turn = turn.map_err(|_| io::Error::from(Errno::ECANCELED))?;
    let calling = spawn_blocking(move || {
        let _until_it_returns = turn;
        call()
    });
    calling.await.unwrap_or_else(|broken| Err(io::Error::other(broken)))
}

fn place(what: &str) -> Arc<Semaphore> {
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    // Whoever waits or calls holds one, too.
    places.retain(|_, place| Arc::strong_count(place) > 1);
    let place = places.entry(what.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(1)));
    Arc::clone(place)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Rule: a call that hangs holds one thread, however often its look is taken again, and holds up
    /// nothing else.
    #[tokio::test]
    async fn one_call_at_a_time_for_each_thing() {
        let (release, stuck) = mpsc::channel::<()>();
        let (short, long) = (Duration::from_millis(50), Duration::from_secs(20));
        let hangs = run("blocking-test-a", move || Ok(stuck.recv().is_ok()));
        assert!(timeout(short, hangs).await.is_err());
        for _ in 0..3 {
            let again = run("blocking-test-a", || -> io::Result<()> { panic!("a second call") });
            assert!(timeout(short, again).await.is_err());
        }
        let other = timeout(long, run("blocking-test-b", || Ok(1))).await;
        assert_eq!(other.unwrap().unwrap(), 1);
        drop(release);
        let after = timeout(long, run("blocking-test-a", || Ok(2))).await;
        assert_eq!(after.unwrap().unwrap(), 2);
    }
}
