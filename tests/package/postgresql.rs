//! A PostgreSQL primary and its standby: the address follows the primary.

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::{Client as Session, Config, Error, NoTls};

use super::client::{Answer, TIMEOUT};
use super::lab::{Lab, VIP};
use super::ledger::Ledger;
use super::page::Page;
use super::pair::Pair;
use super::primary::Primary;

const TABLE: &str = "runuser -u postgres -- psql --dbname=app --quiet --command '
    CREATE TABLE writes (number bigint PRIMARY KEY); GRANT ALL ON writes TO app'";

/// Rule: docs/recipes/postgresql.md, done as written, gives a pair whose address is where the primary
/// is: after a crash and a promotion, and after a switchover, no acknowledged write is lost, and the
/// old primary gets none any more.
pub(crate) fn follows_the_primary(lab: &Lab) {
    let mut pair = Pair::boot(lab, ["db1", "db2"], false);
    let page = Page::read("recipes/postgresql.md");
    for machine in &pair.machines {
        page.follow(machine);
    }
    pair.machines[0].does(&format!("cd /\n{TABLE}"));
    let (ledger, mut writer) = (Ledger::default(), Writer::new());
    pair.serve(ledger.writes(move |number| writer.write(number)));
    let primary = Primary {
        pair,
        page,
        ledger,
        kill: "systemctl kill --signal=KILL postgresql@15-main",
        rows: "cd /; runuser -u postgres -- psql -At --dbname=app --command 'SELECT number FROM writes'",
        replicates: "cd /; runuser -u postgres -- psql -At --command '
            SELECT state FROM pg_stat_replication' | grep -x streaming",
        follow: "pg-follow",
        replica: "is a replica, no primary",
        dead: "check postgres fails: connection refused",
    };
    primary.moves_about();
}

/// A program with one session, which it opens again when it is lost.
struct Writer {
    runtime: Runtime,
    session: Option<Session>,
}

impl Writer {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { runtime, session: None }
    }

    fn write(&mut self, number: u64) -> Answer {
        let Self { runtime, session } = self;
        let written = runtime.block_on(async { timeout(TIMEOUT, insert(session, number)).await });
        let written = written.map_err(|_| "no answer".to_owned());
        let answer = written.and_then(|written| written.map_err(|why| words(&why)));
        if answer.is_err() {
            *session = None;
        }
        answer
    }
}

async fn insert(session: &mut Option<Session>, number: u64) -> Result<String, Error> {
    let client = match session.take() {
        Some(client) => client,
        None => connect().await?,
    };
    // The server that has committed it says its name in the same answer.
    let statement =
        format!("INSERT INTO writes VALUES ({number}) RETURNING current_setting('cluster_name')");
    let row = client.query_one(&statement, &[]).await;
    *session = Some(client);
    Ok(row?.get(0))
}

async fn connect() -> Result<Session, Error> {
    let mut config = Config::new();
    config.host(VIP.to_string()).user("app").dbname("app");
    let (client, connection) = config.connect(NoTls).await?;
    // It ends with the session, and says there why.
    tokio::spawn(connection);
    Ok(client)
}

fn words(error: &Error) -> String {
    match error.as_db_error() {
        Some(error) => error.message().to_owned(),
        None => error.to_string(),
    }
}
