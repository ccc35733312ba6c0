//! A client on a third machine, which asks one thing after the other and keeps account.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use super::lab::{Host, running_time};

/// The pause between an answer and the next request.
const PAUSE: Duration = Duration::from_millis(5);

/// A request without an answer in this time has failed, unless the machine stood still meanwhile.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(200);

/// Which server has answered, or what went wrong.
pub(crate) type Answer = Result<String, String>;

struct Request {
    start: Instant,
    end: Instant,
    answer: Answer,
    /// Whether the machine did not run somebody who was ready for so long that no answer says
    /// nothing.
    excused: bool,
}

/// Asks until it is dropped.
pub(crate) struct Client {
    requests: Arc<Mutex<Vec<Request>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    /// Starts to call `ask` on `host`, again and again.
    pub(crate) fn start(host: &Host, mut ask: impl FnMut() -> Answer + Send + 'static) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let (kept, ended) = (Arc::clone(&requests), Arc::clone(&over));
        // A thread stays in the namespace that it was started in.
        let thread = host.inside(|| {
            thread::spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    let answer = ask();
                    let end = Instant::now();
                    let waited = end - start >= TIMEOUT;
                    let excused =
                        answer.is_err() && waited && running_time(start, end) < TIMEOUT / 2;
                    let request = Request { start, end, answer, excused };
                    kept.lock().expect("the requests").push(request);
                    sleep(PAUSE);
                }
            })
        });
        Self { requests, over, thread: Some(thread) }
    }

    /// Who answered everything that was asked in the last `span`, if that was one server.
    pub(crate) fn served_by(&self, span: Duration) -> Option<String> {
        let requests = self.requests.lock().expect("the requests");
        let since = Instant::now().checked_sub(span)?;
        let mut lately = requests.iter().rev().take_while(|request| request.start > since);
        let server = lately.next()?.answer.clone().ok()?;
        lately.all(|request| request.answer.as_ref() == Ok(&server)).then_some(server)
    }

    /// What it has seen since `from`.
    pub(crate) fn account(&self, from: Instant) -> Account {
        let requests = self.requests.lock().expect("the requests");
        let mut account = Account::default();
        let mut failing_since = None;
        for request in requests.iter().filter(|request| request.end >= from) {
            account.requests += 1;
            match &request.answer {
                Ok(server) => {
                    if let Some(since) = failing_since.take() {
                        let gap = running_time(since, request.end);
                        account.longest_gap = account.longest_gap.max(gap);
                    }
                    if account.servers.last() != Some(server) {
                        account.servers.push(server.clone());
                    }
                }
                Err(_) if request.excused => account.excused += 1,
                Err(why) => {
                    failing_since.get_or_insert(request.start);
                    *account.failed.entry(why.clone()).or_default() += 1;
                }
            }
        }
        let unfinished =
            failing_since.map_or(Duration::ZERO, |since| running_time(since, Instant::now()));
        account.longest_gap = account.longest_gap.max(unfinished);
        account
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What a client has seen.
#[derive(Default)]
pub(crate) struct Account {
    requests: usize,
    failed: BTreeMap<String, usize>,
    /// The number of those that failed while the machine stood still.
    excused: usize,
    /// From the start of the first failed request to the next answer, without the machine's stalls.
    pub(crate) longest_gap: Duration,
    servers: Vec<String>,
}

impl Account {
    /// How many requests were not answered.
    pub(crate) fn failures(&self) -> usize {
        self.failed.values().sum()
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (requests, servers) = (self.requests, self.servers.join(", then "));
        write!(f, "{requests} requests, answered by {servers}; ")?;
        if self.excused > 0 {
            write!(f, "{} failed while the machine stood still; ", self.excused)?;
        }
        if self.failed.is_empty() {
            return f.write_str("none failed");
        }
        let failed = self.failed.iter().map(|(why, count)| format!("{count} × {why}"));
        let failed: Vec<_> = failed.collect();
        let gap = self.longest_gap.as_millis();
        write!(f, "{} failed ({}), longest gap {gap} ms", self.failures(), failed.join(", "))
    }
}
