//! The clients that a socket is serving, by user, so that one user cannot take all places.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

/// The time at which a client was given its answer, which it has not read to the end.
pub(super) type Since = Arc<OnceLock<Instant>>;

/// The places that are taken.
#[derive(Debug, Default)]
pub(super) struct Places(Vec<Place>);

#[derive(Debug)]
struct Place {
    user: u32,
    task: AbortHandle,
    reading: Since,
}

impl Places {
    /// Notes that this task serves a client of this user.
    pub(super) fn take(&mut self, user: u32, task: AbortHandle, reading: Since) {
        self.0.push(Place { user, task, reading });
    }

    /// Counts the places of the users for whom `is_one` is true.
    pub(super) fn count(&mut self, is_one: impl Fn(u32) -> bool) -> usize {
        self.0.retain(|place| !place.task.is_finished());
        self.0.iter().filter(|place| is_one(place.user)).count()
    }

    /// Ends clients of the user with the most places: those that have not read for this long.
    pub(super) fn end_idle(&mut self, now: Instant, patience: Duration) {
        self.0.retain(|place| !place.task.is_finished());
        let users = self.0.iter().map(|place| place.user);
        let most = users.max_by_key(|user| self.0.iter().filter(|one| one.user == *user).count());
        for place in self.0.iter().filter(|place| Some(place.user) == most) {
            if place.reading.get().is_some_and(|since| now.duration_since(*since) >= patience) {
                place.task.abort();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: when places are short, the user with the most places loses the clients that do not
    /// read. No other user loses a client.
    #[tokio::test(flavor = "current_thread")]
    async fn the_user_with_the_most_loses() {
        let now = Instant::now();
        let mut places = Places::default();
        let mut tasks = Vec::new();
        let mut add = |user: u32, reads: bool| {
            let task = tokio::spawn(std::future::pending::<()>());
            let since = Since::default();
            if !reads {
                since.set(now).unwrap();
            }
            places.take(user, task.abort_handle(), since);
            tasks.push(task);
        };
        add(0, false);
        add(7, true);
        add(7, false);
        places.end_idle(now, Duration::from_secs(1));
        places.end_idle(now + Duration::from_secs(1), Duration::from_secs(1));
        tokio::task::yield_now().await;
        assert_eq!((places.count(|user| user == 0), places.count(|user| user == 7)), (1, 1));
        assert!(tasks[2].is_finished());
    }
}
