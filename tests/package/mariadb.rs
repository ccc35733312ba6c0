//! A MariaDB source and its replica: the address follows the writable one.

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Error, OptsBuilder};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::client::{Answer, TIMEOUT};
use super::lab::{Lab, VIP};
use super::ledger::Ledger;
use super::page::Page;
use super::pair::Pair;
use super::primary::Primary;

/// Rule: docs/recipes/mariadb.md, done as written, gives a pair whose address is where writes are
/// taken: after a crash and a promotion, and after a switchover, no acknowledged write is lost, and
/// the old source gets none any more.
pub(crate) fn follows_the_writable_one(lab: &Lab) {
    let mut pair = Pair::boot(lab, ["db1", "db2"], false);
    let page = Page::read("recipes/mariadb.md");
    for machine in &pair.machines {
        page.follow(machine);
    }
    pair.machines[0]
        .does("mariadb --execute 'CREATE TABLE app.writes (number bigint PRIMARY KEY)'");
    let (ledger, mut writer) = (Ledger::default(), Writer::new());
    pair.serve(ledger.writes(move |number| writer.write(number)));
    let primary = Primary {
        pair,
        page,
        ledger,
        kill: "systemctl kill --signal=KILL mariadb",
        rows: "mariadb --batch --skip-column-names --execute 'SELECT number FROM app.writes'",
        replicates: "mariadb --execute '
            SELECT command FROM information_schema.processlist' | grep -x 'Binlog Dump'",
        follow: "mariadb-follow",
        replica: "takes no writes: read_only is ON",
        dead: "check mariadb fails",
    };
    primary.moves_about();
}

/// A program with one session, which it opens again when it is lost.
struct Writer {
    runtime: Runtime,
    session: Option<Conn>,
}

impl Writer {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { runtime, session: None }
    }

    fn write(&mut self, number: u64) -> Answer {
        let Self { runtime, session } = self;
        runtime.block_on(async {
            let written = timeout(TIMEOUT, insert(session, number)).await;
            let written = written.map_err(|_| "no answer".to_owned());
            let answer = written.and_then(|written| written.map_err(|why| why.to_string()));
            if answer.is_err() {
                *session = None;
            }
            answer
        })
    }
}

async fn insert(session: &mut Option<Conn>, number: u64) -> Result<String, Error> {
    let mut client = match session.take() {
        Some(client) => client,
        None => connect().await?,
    };
    // The server that has committed it says its name in the same answer.
    let statement = format!("INSERT INTO writes VALUES ({number}) RETURNING @@hostname");
    let name = client.query_first(statement).await?;
    *session = Some(client);
    Ok(name.unwrap_or_default())
}

async fn connect() -> Result<Conn, Error> {
    let server = OptsBuilder::default().ip_or_hostname(VIP.to_string()).prefer_socket(false);
    let server = server.user(Some("app")).pass(Some("change-me")).db_name(Some("app"));
    Conn::new(server).await
}
