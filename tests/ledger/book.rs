//! The ledger: which server has acknowledged which write, and when it took it in.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use crate::lab::Lab;

/// One acknowledged write. All times are of one clock: the servers are on one machine.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) number: i64,
    /// The server's name.
    pub(crate) server: String,
    /// The timeline that it was on: a promotion begins a new one.
    pub(crate) timeline: String,
    /// When the server took the row in, in seconds.
    pub(crate) at: f64,
}

/// All that was acknowledged. A number is never used twice: a write without an answer may be in the
/// database or not.
#[derive(Clone, Default)]
pub(crate) struct Book(Arc<Mutex<Vec<Entry>>>);

impl Book {
    pub(crate) fn acknowledge(&self, entry: Entry) {
        self.0.lock().expect("the ledger").push(entry);
    }

    /// The number of writes that were acknowledged so far.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().expect("the ledger").len()
    }

    /// A copy, in the order of the answers.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.0.lock().expect("the ledger").clone()
    }
}

/// The acknowledged writes that are not among the rows.
pub(crate) fn lost(entries: &[Entry], rows: &BTreeSet<i64>) -> Vec<i64> {
    entries.iter().map(|entry| entry.number).filter(|number| !rows.contains(number)).collect()
}

/// Two writes that show two servers at once: one that a server took in on an older timeline after
/// another one had taken in a write on a newer one, or on the same timeline elsewhere.
pub(crate) fn at_once(entries: &[Entry]) -> Option<(Entry, Entry)> {
    let mut sorted = entries.to_vec();
    sorted.sort_by(|one, two| one.at.total_cmp(&two.at));
    let pair = sorted.windows(2).find(|pair| {
        let same = pair[0].server == pair[1].server;
        pair[1].timeline < pair[0].timeline || (pair[1].timeline == pair[0].timeline && !same)
    });
    pair.map(|pair| (pair[0].clone(), pair[1].clone()))
}

/// The number of times that the writes moved from one server to another.
pub(crate) fn moves(entries: &[Entry]) -> usize {
    let mut sorted = entries.to_vec();
    sorted.sort_by(|one, two| one.at.total_cmp(&two.at));
    sorted.windows(2).filter(|pair| pair[0].server != pair[1].server).count()
}

/// Rule: a ledger with a row that is lost, or with rows of two servers at once, is found out.
pub(crate) fn bites(_: &Lab) {
    let entry = |number, server: &str, timeline: &str, at| Entry {
        number,
        server: server.to_owned(),
        timeline: timeline.to_owned(),
        at,
    };
    let good =
        [entry(1, "node11", "1", 1.0), entry(2, "node11", "1", 2.0), entry(3, "node12", "2", 3.0)];
    assert_eq!(lost(&good, &BTreeSet::from([1, 2, 3, 4])), [0; 0]);
    assert_eq!(lost(&good, &BTreeSet::from([1, 3])), [2]);
    assert_eq!(at_once(&good), None);
    assert_eq!(moves(&good), 1);
    // The old server takes one more in after the new one has.
    let late = entry(4, "node11", "1", 4.0);
    assert!(at_once(&[&good[..], &[late]].concat()).is_some());
    // Both believe to be on the same timeline.
    let twin = entry(5, "node11", "2", 5.0);
    assert!(at_once(&[&good[..], &[twin]].concat()).is_some());
}
