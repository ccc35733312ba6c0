//! Programs that write numbered rows through the virtual address, without pause.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::{Client as Session, Config, Error, NoTls, Row};

use crate::book::{Book, Entry};
use crate::lab::{Host, VIP};

/// A write without an answer in this time may be in the database or not.
const TIMEOUT: Duration = Duration::from_millis(500);

/// The pause between an answer and the next write.
const PAUSE: Duration = Duration::from_millis(5);

/// The server that has taken a row in says its name, its timeline and the time in the same answer.
const STATEMENT: &str = "RETURNING current_setting('cluster_name'),
    left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),
    extract(epoch FROM clock_timestamp())::float8";

/// Writes until it is dropped.
pub(crate) struct Writer {
    over: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

/// The use that a writer makes of its session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It keeps it until it is lost.
    Keeps,
    /// It opens one for each row.
    Opens,
}

impl Writer {
    /// Starts one on `host`, with the numbers from `first` on.
    pub(crate) fn start(host: &Host, book: &Book, manner: Manner, first: i64) -> Self {
        let (over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        // A thread stays in the namespace that it was started in.
        let thread = host.inside(|| {
            let (over, asked, book) = (Arc::clone(&over), Arc::clone(&asked), book.clone());
            thread::spawn(move || {
                let mut desk = Desk::new(manner);
                for number in first.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                    desk.write(number).into_iter().for_each(|entry| book.acknowledge(entry));
                    sleep(PAUSE);
                }
            })
        });
        Self { over, asked, thread: Some(thread) }
    }

    /// The number of writes that it has begun.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A writer's connection.
struct Desk {
    runtime: Runtime,
    session: Option<Session>,
    manner: Manner,
}

impl Desk {
    fn new(manner: Manner) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { runtime, session: None, manner }
    }

    /// Writes one row; what was acknowledged.
    fn write(&mut self, number: i64) -> Option<Entry> {
        let Self { runtime, session, manner } = self;
        let written = runtime.block_on(async { timeout(TIMEOUT, insert(session, number)).await });
        let row = written.ok().and_then(Result::ok);
        if row.is_none() || *manner == Manner::Opens {
            *session = None;
        }
        let row = row?;
        Some(Entry { number, server: row.get(0), timeline: row.get(1), at: row.get(2) })
    }
}

async fn insert(session: &mut Option<Session>, number: i64) -> Result<Row, Error> {
    let client = match session.take() {
        Some(client) => client,
        None => connect().await?,
    };
    let statement = format!("INSERT INTO writes VALUES ({number}) {STATEMENT}");
    let row = client.query_one(&statement, &[]).await;
    *session = Some(client);
    row
}

async fn connect() -> Result<Session, Error> {
    let mut config = Config::new();
    config.host(VIP.to_string()).user("app").dbname("app");
    let (client, connection) = config.connect(NoTls).await?;
    // It ends with the session, and says there why.
    tokio::spawn(connection);
    Ok(client)
}
