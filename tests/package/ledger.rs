//! Numbered writes to a database behind the address: which server has acknowledged which.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::client::Answer;
use super::lab::within;

/// Far longer than a write takes where everything is in order.
const PATIENCE: Duration = Duration::from_secs(60);

/// One acknowledged write.
struct Entry {
    number: u64,
    server: String,
    at: Instant,
}

/// What was acknowledged so far. A number is never used twice: a write without an answer may be in
/// the database or not.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Vec<Entry>>>);

impl Ledger {
    /// A client's request: the next number, written by `write`, which says who has acknowledged it.
    pub(crate) fn writes(
        &self,
        mut write: impl FnMut(u64) -> Answer + Send + 'static,
    ) -> impl FnMut() -> Answer + Send + 'static {
        let ledger = self.clone();
        let mut number = 0;
        move || {
            number += 1;
            let answer = write(number);
            if let Ok(server) = &answer {
                ledger.acknowledge(number, server);
            }
            answer
        }
    }

    /// The server has acknowledged this write.
    pub(crate) fn acknowledge(&self, number: u64, server: &str) {
        let entry = Entry { number, server: server.to_owned(), at: Instant::now() };
        self.0.lock().expect("the ledger").push(entry);
    }

    /// Which of the writes that were acknowledged until now are not among the rows, of which there
    /// is one a line.
    pub(crate) fn lost_by(&self, rows: impl FnOnce() -> String) -> Vec<u64> {
        let entries = self.0.lock().expect("the ledger");
        let mut numbers: Vec<u64> = entries.iter().map(|entry| entry.number).collect();
        // The client goes on while the rows are read.
        drop(entries);
        let rows = rows();
        let rows: BTreeSet<u64> = rows.lines().filter_map(|row| row.trim().parse().ok()).collect();
        numbers.retain(|number| !rows.contains(number));
        numbers
    }

    /// Waits until another write is acknowledged.
    #[track_caller]
    pub(crate) fn goes_on(&self) {
        let start = Instant::now();
        within(PATIENCE, "another write is acknowledged", || self.since(start).0 > 0);
    }

    /// How many writes were acknowledged since `from`, and by which servers one after the other.
    pub(crate) fn since(&self, from: Instant) -> (usize, Vec<String>) {
        let acknowledged = self.0.lock().expect("the ledger");
        let lately = acknowledged.iter().filter(|entry| entry.at >= from);
        let mut servers: Vec<String> = lately.clone().map(|entry| entry.server.clone()).collect();
        servers.dedup();
        (lately.count(), servers)
    }
}
