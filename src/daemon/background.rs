//! A thread that does what may block, and never makes its feeder wait.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

/// A thread that works off items from a bounded channel: logging, recording.
#[derive(Debug)]
pub(crate) struct Background<T> {
    /// None once closed. The items are in boxes, because the channel has the room for all that may
    /// wait from its beginning.
    feed: Option<SyncSender<Box<T>>>,
    done: Receiver<()>,
}

impl<T: Send + 'static> Background<T> {
    /// Starts the thread; `work` ends when its channel does. `capacity` items may wait.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn start(
        name: &str,
        capacity: usize,
        work: impl FnOnce(Receiver<Box<T>>) + Send + 'static,
    ) -> io::Result<Self> {
        let (feed, items) = mpsc::sync_channel(capacity);
        let (ending, done) = mpsc::channel();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Dropped when the work has ended, also by a panic: that is the sign.
            let _ending: mpsc::Sender<()> = ending;
            work(items);
        })?;
        Ok(Self { feed: Some(feed), done })
    }

    /// Hands over an item, or gives it up: `false` when the thread is too far behind or gone.
    #[must_use]
    pub(crate) fn feed(&self, item: T) -> bool {
        self.feed.as_ref().is_some_and(|feed| feed.try_send(Box::new(item)).is_ok())
    }

    /// Ends the channel: the thread works off what is in it.
    pub(crate) fn close(&mut self) {
        self.feed = None;
    }

    /// Ends the channel and waits for the work, but not for longer than `patience`. Says whether
    /// it was done by then.
    pub(crate) fn finish(mut self, patience: Duration) -> bool {
        self.close();
        self.done.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a stuck thread costs its feeder nothing but the items.
    #[test]
    fn a_stuck_thread_does_not_hold_up_its_feeder() {
        let (release, stuck) = mpsc::channel::<()>();
        let background = Background::start("stuck", 2, move |items: Receiver<Box<u8>>| {
            let _ = stuck.recv();
            assert!(items.iter().count() >= 2);
        })
        .unwrap();
        let taken = (0..10).filter(|item| background.feed(*item)).count();
        assert_eq!(taken, 2);
        drop(release);
        assert!(background.finish(Duration::from_secs(10)));
    }

    /// Rule: the end of the program does not wait for a thread that never ends.
    #[test]
    fn patience_is_bounded() {
        let (_release, stuck) = mpsc::channel::<()>();
        let background = Background::start("stuck", 1, move |_items: Receiver<Box<u8>>| {
            let _ = stuck.recv();
        })
        .unwrap();
        assert!(!background.finish(Duration::from_millis(1)));
    }
}
