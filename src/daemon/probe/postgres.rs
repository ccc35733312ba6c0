//! `postgres`: a PostgreSQL server has a role.
//!
//! One connection a look, with one query, or two where the lag counts. The connection's own future
//! runs within the look: nothing of it goes on afterwards.
//!
//! What a look asks for needs no privilege: a user that may connect is enough, as
//! `CREATE ROLE vipd LOGIN` makes it.

use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config, Error, NoTls, SimpleQueryMessage, SimpleQueryRow};

use super::password;
use super::postgres_stream::{self, Framed};
use crate::daemon::outside::{Doing, connect, words};
use crate::engine::ProbeResult;
use crate::model::{HostPort, PostgresProbe, PostgresRole};
use crate::time::Span;

/// Where libpq looks for the server where no host is named, as Debian builds it.
const SOCKETS: &str = "/var/run/postgresql";

/// The server's port where none is named.
const PORT: u16 = 5432;

/// How long the server may take to hear that we leave, so that its log does not miss it.
const FAREWELL: Duration = Duration::from_millis(100);

/// What the server is, and whether it refuses writes by its own configuration. A default of our own
/// user (`ALTER ROLE ... SET`) says nothing about the others.
///
/// The time limit is for a server that does not notice that we have gone.
const ROLE: &str = "SET LOCAL statement_timeout = '10s'; \
    SELECT pg_is_in_recovery(), EXISTS (SELECT FROM pg_settings \
    WHERE name = 'default_transaction_read_only' AND setting = 'on' \
    AND source NOT IN ('user', 'database user', 'client', 'session'))";

/// How far a replica is behind, in microseconds (PostgreSQL 15, section 9.27.4, and 28.2.5).
///
/// The age of the last transaction alone would grow while the primary is idle. So it does not count
/// where everything that was received has been replayed; but only as long as something can be
/// received: without a connection to the primary, nobody knows what there would have been.
const LAG: &str = "SET LOCAL statement_timeout = '10s'; \
    SELECT CASE WHEN received AND pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0 \
    ELSE GREATEST(0, (EXTRACT(EPOCH FROM clock_timestamp() - pg_last_xact_replay_timestamp()) \
    * 1000000)::bigint) END, received \
    FROM (SELECT EXISTS (SELECT FROM pg_stat_wal_receiver) AS received) AS receiver";

/// Asks once.
pub(crate) async fn look(probe: &PostgresProbe, doing: &Doing) -> ProbeResult {
    words::answer(ask(probe, doing).await)
}

/// What is wrong with a check that no server has to be asked about.
///
/// # Errors
/// What is wrong, for people.
pub(crate) fn usable(probe: &PostgresProbe) -> Result<(), String> {
    Server::of(&config(probe)?).map(|_| ())
}

async fn ask(probe: &PostgresProbe, doing: &Doing) -> Result<String, String> {
    let mut config = config(probe)?;
    let password = password::of(probe.password_file.as_deref(), doing).await?;
    if let Some(password) = &password {
        config.password(password);
    }
    let server = Server::of(&config)?;
    let name = server.to_string();
    let stream = server.connect(&config, doing).await?;
    doing.set(format!("logging in to {name}"));
    // What remains is inside TLS, or has none.
    config.ssl_mode(SslMode::Disable);
    let (client, connection) = config
        .connect_raw(stream, NoTls)
        .await
        .map_err(|error| format!("{name}: {}", words_of(&error)))?;
    doing.set(format!("waiting for {name} to answer a query"));
    let mut connection = pin!(connection);
    let found = tokio::select! {
        biased;
        found = judge(probe, &client, &name) => found?,
        ended = &mut connection => {
            let why = ended.err().map(|error| words_of(&error));
            return Err(format!("{name}: {}", why.unwrap_or_else(|| "connection closed".to_owned())));
        }
    };
    drop(client);
    // Who does not hear it in this time sees the connection end.
    let _ = timeout(FAREWELL, connection).await;
    Ok(found)
}

fn config(probe: &PostgresProbe) -> Result<Config, String> {
    let mut config: Config = probe.dsn.parse().map_err(|error: Error| {
        // The text of the connection is not repeated: it may hold what should not stand there.
        format!("the dsn cannot be used: {}", words_of(&error))
    })?;
    if config.get_target_session_attrs() != TargetSessionAttrs::Any {
        return Err("the dsn has target_session_attrs: leave it out, 'role' says it".to_owned());
    }
    if config.get_application_name().is_none() {
        config.application_name("vipd");
    }
    Ok(config)
}

/// Where a server listens.
enum Server {
    Tcp {
        /// What its certificate may be for, and what we connect to.
        name: String,
        address: HostPort,
    },
    Unix(PathBuf),
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { address, .. } => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl Server {
    /// The only one that the connection names.
    fn of(config: &Config) -> Result<Self, String> {
        let (hosts, addresses) = (config.get_hosts(), config.get_hostaddrs());
        let several = hosts.len().max(addresses.len()).max(config.get_ports().len());
        if several > 1 {
            return Err(format!("the dsn names {several} servers: a check looks at one"));
        }
        let port = config.get_ports().first().copied().unwrap_or(PORT);
        let tcp = |name: &str| {
            let host = addresses.first().map_or(name.to_owned(), ToString::to_string);
            Self::Tcp { name: name.to_owned(), address: HostPort { host, port } }
        };
        Ok(match (hosts.first(), addresses.first()) {
            (Some(Host::Tcp(name)), _) => tcp(name),
            (Some(Host::Unix(directory)), _) => Self::Unix(socket(directory, port)),
            (None, Some(address)) => tcp(&address.to_string()),
            (None, None) => Self::Unix(socket(SOCKETS.as_ref(), port)),
        })
    }

    /// A connection to it, with TLS as `sslmode` says; never over a Unix socket, as with libpq.
    async fn connect(
        &self,
        config: &Config,
        doing: &Doing,
    ) -> Result<Framed<Box<dyn connect::Stream>>, String> {
        Ok(Framed::new(match self {
            Self::Unix(path) => Box::new(connect::unix(path, doing).await?),
            Self::Tcp { name, address } => {
                let stream = connect::tcp(address, doing).await?;
                let mode = config.get_ssl_mode();
                doing.set(format!("asking {self} for TLS"));
                let stream = postgres_stream::negotiate(stream, name, mode, doing).await;
                stream.map_err(|why| format!("{self}: {why}"))?
            }
        }))
    }
}

fn socket(directory: &std::path::Path, port: u16) -> PathBuf {
    directory.join(format!(".s.PGSQL.{port}"))
}

/// Whether the server is what it should be.
async fn judge(probe: &PostgresProbe, client: &Client, name: &str) -> Result<String, String> {
    let row = row(client, ROLE, name).await?;
    let (replica, read_only) = (row.get(0) == Some("t"), row.get(1) == Some("t"));
    match (probe.role, replica) {
        (PostgresRole::Primary, true) => Err(format!("{name} is a replica, no primary")),
        (PostgresRole::Primary, false) if read_only => {
            Err(format!("{name} is a primary that takes no writes: default_transaction_read_only"))
        }
        (PostgresRole::Replica, false) => Err(format!("{name} is a primary, no replica")),
        (PostgresRole::Primary | PostgresRole::Any, false) => Ok("primary".to_owned()),
        (PostgresRole::Replica | PostgresRole::Any, true) => match probe.max_lag {
            None => Ok("replica".to_owned()),
            Some(most) => lag(client, most, name).await,
        },
    }
}

async fn lag(client: &Client, most: Span, name: &str) -> Result<String, String> {
    let row = row(client, LAG, name).await?;
    let without = match row.get(1) {
        Some("t") => "",
        _ => ", and has no connection to its primary",
    };
    match row.get(0).and_then(|micros| micros.parse().ok()).map(Span::from_micros) {
        None => Err(format!("{name} is a replica that has replayed no transaction yet{without}")),
        Some(lag) if lag > most => {
            Err(format!("{name} is {lag} behind its primary, more than {most}{without}"))
        }
        Some(lag) => Ok(format!("replica, {lag} behind")),
    }
}

/// The first row that a query answers with.
async fn row(client: &Client, query: &str, name: &str) -> Result<SimpleQueryRow, String> {
    let answer = client.simple_query(query).await;
    let messages = answer.map_err(|error| format!("{name}: {}", words_of(&error)))?;
    let row = messages.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    row.ok_or_else(|| format!("{name} answers a query without a row"))
}

/// What the server says where it says something: `FATAL: the database system is starting up`.
fn words_of(error: &Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{}: {}", error.severity(), error.message()),
        None if error.is_closed() => "it closed the connection before it had answered".to_owned(),
        None => words::chain(error),
    }
}
