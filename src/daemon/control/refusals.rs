//! Log lines about users who may not ask: one for each user and minute.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// The time between two lines about the same user.
const DISTANCE: Duration = Duration::from_secs(60);

/// The number of users that have a line of their own. All others share one line, so that a person
/// who can act as many users does not fill the log.
const USERS: usize = 16;

/// The refused users; `None` stands for all beyond [`USERS`].
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<Option<u32>, Told>);

#[derive(Debug)]
struct Told {
    at: Instant,
    left_out: u64,
}

impl Refusals {
    /// Notes that a user was refused with these words. Returns the line to write, if there is one.
    pub(super) fn note(&mut self, now: Instant, user: u32, why: &str) -> Option<String> {
        let has_room = self.0.contains_key(&Some(user)) || self.0.len() < USERS;
        let key = Some(user).filter(|_| has_room);
        if let Some(told) = self.0.get_mut(&key) {
            told.left_out += 1;
            return None;
        }
        self.0.insert(key, Told { at: now, left_out: 0 });
        Some(why.to_owned())
    }

    /// The time at which [`Refusals::due`] has something to tell.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.values().map(|told| told.at + DISTANCE).min()
    }

    /// The lines about the refusals that were left out in the last minute.
    pub(super) fn due(&mut self, now: Instant) -> Vec<String> {
        let is_due = |told: &Told| now.duration_since(told.at) >= DISTANCE;
        self.0.retain(|_, told| !is_due(told) || told.left_out > 0);
        let due = self.0.iter_mut().filter(|(_, told)| is_due(told));
        due.map(|(user, told)| {
            let left_out = std::mem::take(&mut told.left_out);
            told.at = now;
            let who = user.map_or("other users".to_owned(), |user| format!("user {user}"));
            let minute = DISTANCE.as_secs();
            format!("{who} may not control vipd: refused {left_out} more times in {minute} s")
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Rule: a refused user gets one line at once. A minute later a second line has the number of
    /// the other refusals, unless there were none.
    #[test]
    fn one_line_a_minute() {
        let (start, mut refusals) = (Instant::now(), Refusals::default());
        assert_eq!(refusals.deadline(), None);
        assert_eq!(refusals.note(start, 7, "no").as_deref(), Some("no"));
        for _ in 0..1_000 {
            assert_eq!(refusals.note(start + SECOND, 7, "no"), None);
        }
        assert_eq!(refusals.due(start + SECOND * 59), Vec::<String>::new());
        assert_eq!(refusals.deadline(), Some(start + DISTANCE));
        let lines = refusals.due(start + DISTANCE);
        assert_eq!(lines, ["user 7 may not control vipd: refused 1000 more times in 60 s"]);
        assert_eq!(refusals.due(start + DISTANCE * 2), Vec::<String>::new());
        assert_eq!(refusals.deadline(), None);
        assert!(refusals.note(start + DISTANCE * 2, 7, "no").is_some());
    }

    /// Bug guarded: a person who can act as thousands of users (user namespaces) must not cause a
    /// line as each of them.
    #[test]
    fn many_users_share_a_line() {
        let (start, mut refusals) = (Instant::now(), Refusals::default());
        let told = (0..10_000).filter(|user| refusals.note(start, *user, "no").is_some()).count();
        assert_eq!(told, USERS + 1);
        let lines = refusals.due(start + DISTANCE);
        assert_eq!(lines, ["other users may not control vipd: refused 9983 more times in 60 s"]);
    }
}
