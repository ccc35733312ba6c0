//! Calls that may block for ever: a file system whose server is gone, a resolver, a program that
//! the kernel does not let go.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// A place for one blocking call at a time. Each check has one of its own, so that a check that is
/// stuck holds a thread and delays no other, and never holds a second one.
#[derive(Clone, Debug)]
pub(crate) struct Aside(Arc<Semaphore>);

impl Default for Aside {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

/// The places that belong to a thing and not to a check.
static SHARED: Mutex<BTreeMap<String, Aside>> = Mutex::new(BTreeMap::new());

impl Aside {
    /// The place for calls about this thing, a host or a file: one that hangs holds one thread,
    /// however many checks ask for it, and holds up nothing else.
    pub(crate) fn shared(what: &str) -> Self {
        let mut places = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever waits or calls holds one, too.
        places.retain(|_, place| Arc::strong_count(&place.0) > 1);
        places.entry(what.to_owned()).or_default().clone()
    }

    /// Makes the call on another thread, after the one before has returned. A call whose future is
    /// dropped goes on by itself, and so does what waits for it.
    ///
    /// # Errors
    /// What the call says, or that it panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let turn = Arc::clone(&self.0).acquire_owned().await;
        let turn = turn.map_err(|_| io::Error::from(Errno::ECANCELED))?;
        let calling = spawn_blocking(move || {
            let _until_it_returns = turn;
            call()
        });
        calling.await.unwrap_or_else(|broken| Err(io::Error::other(broken)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Rule: a call that never returns holds one thread, however often its check looks, and the
    /// call after it comes once it has returned.
    #[test]
    fn one_call_at_a_time() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let aside = Aside::default();
            let (release, stuck) = mpsc::channel::<()>();
            let hangs = aside.run(move || {
                let _ = stuck.recv();
                Ok(())
            });
            assert!(timeout(Duration::from_millis(20), hangs).await.is_err());
            let next = timeout(Duration::from_millis(20), aside.run(|| Ok(1))).await;
            assert!(next.is_err(), "it did not wait for its turn");
            drop(release);
            assert_eq!(aside.run(|| Ok(2)).await.unwrap(), 2);
        });
    }

    /// Rule: a call that hangs holds one thread, however often its look is taken again, and holds up
    /// nothing else.
    #[tokio::test]
    async fn one_call_at_a_time_for_each_thing() {
        let (release, stuck) = mpsc::channel::<()>();
        let (short, long) = (Duration::from_millis(50), Duration::from_secs(20));
        let place = || Aside::shared("aside-test-a");
        let first = place();
        let hangs = first.run(move || Ok(stuck.recv().is_ok()));
        assert!(timeout(short, hangs).await.is_err());
        for _ in 0..3 {
            let again = place();
            let again = again.run(|| -> io::Result<()> { panic!("a second call") });
            assert!(timeout(short, again).await.is_err());
        }
        let other = timeout(long, Aside::shared("aside-test-b").run(|| Ok(1))).await;
        assert_eq!(other.unwrap().unwrap(), 1);
        drop(release);
        let after = timeout(long, place().run(|| Ok(2))).await;
        assert_eq!(after.unwrap().unwrap(), 2);
    }
}
