//! `mysql`: a MySQL or MariaDB server has a role.
//!
//! A dropped connection of `mysql_async` starts a task that takes leave of the server, however long
//! that takes. So each look has a runtime of its own, on a thread of its own, and both end with it.
//!
//! `writable` and `galera` need no privilege, `replica` needs `REPLICATION CLIENT` (MySQL) or
//! `SLAVE MONITOR` (MariaDB).

use std::collections::BTreeMap;
use std::io;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, IoError, Opts, OptsBuilder, Row, Value};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::password;
use crate::daemon::outside::{Doing, connect, tls, words};
use crate::engine::ProbeResult;
use crate::model::{HostPort, MysqlProbe, MysqlRole};
use crate::time::Span;

/// The longest packet: a row of `SHOW REPLICA STATUS` has some thousand bytes.
const LONGEST: usize = 1 << 20;

/// How long the server waits for our next query, in seconds, before it forgets us.
const WAIT: usize = 60;

/// The columns of a row, by their names.
type Columns = BTreeMap<String, String>;

/// Asks once.
pub(crate) async fn look(probe: &MysqlProbe, doing: &Doing) -> ProbeResult {
    words::answer(ask(probe, doing).await)
}

/// What is wrong with a check that no server has to be asked about.
///
/// # Errors
/// What is wrong, for people.
pub(crate) fn usable(probe: &MysqlProbe) -> Result<(), String> {
    parsed(probe).map(|_| ())
}

async fn ask(probe: &MysqlProbe, doing: &Doing) -> Result<String, String> {
    let password = password::of(probe.password_file.as_deref(), doing).await?;
    let (options, server) = options(probe, password, doing).await?;
    let (role, most) = (probe.role, probe.max_lag);
    let doing = doing.clone();
    alone(async move {
        doing.set(format!("connecting and logging in to {server}"));
        let failed = |error: Error| words_of(&error, &server);
        let mut connection = Conn::new(options).await.map_err(failed)?;
        doing.set(format!("waiting for {server} to answer a query"));
        let found = match role {
            MysqlRole::Any => connection.ping().await.map(|()| Ok(String::new())),
            MysqlRole::Writable => writable(&mut connection).await,
            MysqlRole::Replica => replica(&mut connection, most).await,
            MysqlRole::Galera => galera(&mut connection).await,
        };
        let found = found.map_err(failed)?.map_err(|why| format!("{server} {why}"));
        // The answer stands. A server that does not hear it sees the connection end.
        let _ = connection.disconnect().await;
        found
    })
    .await
}

/// Runs a future where whatever it starts ends with it, and no later than the look.
async fn alone<F>(future: F) -> Result<String, String>
where
    F: Future<Output = Result<String, String>> + Send + 'static,
{
    let (_look, dropped) = oneshot::channel::<()>();
    let thread = spawn_blocking(move || {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| words::system(&error))?;
        runtime.block_on(async {
            tokio::select! {
                found = future => found,
                _ = dropped => Err("nobody waits any more".to_owned()),
            }
        })
    });
    thread.await.unwrap_or_else(|error| Err(error.to_string()))
}

fn parsed(probe: &MysqlProbe) -> Result<Opts, String> {
    Opts::from_url(&probe.url).map_err(|error| format!("the url cannot be used: {error}"))
}

/// How to connect, and what the server is called.
async fn options(
    probe: &MysqlProbe,
    password: Option<String>,
    doing: &Doing,
) -> Result<(Opts, String), String> {
    let options = parsed(probe)?;
    let builder = OptsBuilder::from_opts(options.clone())
        .pass(password)
        // What would be asked for first, and a second connection over a socket.
        .max_allowed_packet(Some(LONGEST))
        .wait_timeout(Some(WAIT))
        .prefer_socket(false);
    if let Some(path) = options.socket() {
        return Ok((builder.into(), path.to_owned()));
    }
    let host = options.ip_or_hostname().trim_start_matches('[').trim_end_matches(']').to_owned();
    let server = HostPort { host, port: options.tcp_port() };
    let addresses = connect::addresses(&server, doing).await?;
    let addresses: Vec<_> = addresses.iter().map(std::net::SocketAddr::ip).collect();
    Ok((builder.resolved_ips(Some(addresses)).into(), server.to_string()))
}

async fn writable(connection: &mut Conn) -> Result<Result<String, String>, Error> {
    // MariaDB has only the first, and it is more than a switch there since 12.
    let query = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'super_read_only')";
    let variables = pairs(connection, query).await?;
    let on = variables.iter().find(|(_, value)| !value.eq_ignore_ascii_case("OFF"));
    Ok(match on {
        Some((name, value)) => Err(format!("takes no writes: {name} is {value}")),
        None if variables.is_empty() => Err("does not say whether it takes writes".to_owned()),
        None => Ok("writable".to_owned()),
    })
}

async fn galera(connection: &mut Conn) -> Result<Result<String, String>, Error> {
    let mut status = pairs(connection, "SHOW GLOBAL STATUS LIKE 'wsrep_%'").await?;
    status.extend(pairs(connection, "SHOW GLOBAL VARIABLES LIKE 'wsrep_reject_queries'").await?);
    Ok(synced(&status))
}

/// Whether a node of a cluster serves: a member of its primary component, with all that the others
/// have, and not told to turn clients away.
fn synced(status: &Columns) -> Result<String, String> {
    const WANTED: [(&str, &str); 4] = [
        ("wsrep_cluster_status", "Primary"),
        ("wsrep_ready", "ON"),
        ("wsrep_local_state_comment", "Synced"),
        ("wsrep_reject_queries", "NONE"),
    ];
    let size = status.get("wsrep_cluster_size").filter(|size| *size != "0");
    let Some(size) = size else { return Err("is no member of a Galera cluster".to_owned()) };
    for (name, wanted) in WANTED {
        let value = status.get(name).map_or("missing", String::as_str);
        if value != wanted {
            return Err(format!("is no synced member: {name} is {value}, not {wanted}"));
        }
    }
    Ok(format!("synced, {size} in the cluster"))
}

async fn replica(
    connection: &mut Conn,
    most: Option<Span>,
) -> Result<Result<String, String>, Error> {
    let version: Option<String> = connection.query_first("SELECT VERSION()").await?;
    let is_mariadb = version.as_ref().is_some_and(|version| version.contains("MariaDB"));
    let query = match connection.server_version() {
        // All sources, not only the one without a name.
        _ if is_mariadb => "SHOW ALL SLAVES STATUS",
        version if version >= (8, 0, 22) => "SHOW REPLICA STATUS",
        _ => "SHOW SLAVE STATUS",
    };
    let rows: Vec<Row> = connection.query(query).await?;
    let sources: Vec<Columns> = rows.iter().map(columns).collect();
    Ok(replicates(&sources, most))
}

/// Whether all sources are followed, and none from too far behind.
fn replicates(sources: &[Columns], most: Option<Span>) -> Result<String, String> {
    let mut longest = Some(Span::ZERO);
    for source in sources {
        for thread in ["IO", "SQL"] {
            runs(source, thread)?;
        }
        let lag = either(source, "Seconds_Behind_Source", "Seconds_Behind_Master");
        let lag = lag.and_then(|seconds| seconds.parse().ok()).map(Span::from_secs);
        longest = longest.zip(lag).map(|(one, other)| one.max(other));
    }
    match (longest, most) {
        _ if sources.is_empty() => Err("is no replica: it has no source".to_owned()),
        (None, Some(_)) => Err("does not know how far it is behind its source".to_owned()),
        (Some(lag), Some(most)) if lag > most => {
            Err(format!("is {lag} behind its source, more than {most}"))
        }
        (Some(lag), _) => Ok(format!("replica, {lag} behind")),
        (None, None) => Ok("replica".to_owned()),
    }
}

fn runs(source: &Columns, thread: &str) -> Result<(), String> {
    match either(source, &format!("Replica_{thread}_Running"), &format!("Slave_{thread}_Running")) {
        Some("Yes") => Ok(()),
        state => {
            let state = state.unwrap_or("unknown");
            let error = source.get(&format!("Last_{thread}_Error")).map_or("", String::as_str);
            let error = if error.is_empty() { String::new() } else { format!(" ({error})") };
            Err(format!("does not replicate: its {thread} thread's running is '{state}'{error}"))
        }
    }
}

fn either<'a>(columns: &'a Columns, name: &str, old: &str) -> Option<&'a str> {
    columns.get(name).or_else(|| columns.get(old)).map(String::as_str)
}

/// The rows of two columns, by the first.
async fn pairs(connection: &mut Conn, query: &str) -> Result<Columns, Error> {
    let rows: Vec<Row> = connection.query(query).await?;
    Ok(rows.iter().filter_map(|row| Some((text(row.as_ref(0)?)?, text(row.as_ref(1)?)?))).collect())
}

fn columns(row: &Row) -> Columns {
    let names = row.columns_ref().iter().map(|column| column.name_str().into_owned());
    let values = (0..row.len()).map(|index| row.as_ref(index).and_then(text));
    names.zip(values).filter_map(|(name, value)| Some((name, value?))).collect()
}

/// A value as the server has written it; `None` for NULL.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    }
}

fn words_of(error: &Error, server: &str) -> String {
    match error {
        Error::Server(error) => format!("{server}: error {}: {}", error.code, error.message),
        Error::Io(IoError::Io(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            connect::refusal(error, server)
        }
        Error::Io(IoError::Io(error)) => match tls::cause(error) {
            Some(why) => format!("{server}: {}", tls::words_of(why, server)),
            None => connect::loss(error, server),
        },
        Error::Driver(error) => format!("{server}: {error}"),
        other => format!("{server}: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(columns: &[(&str, &str)]) -> Columns {
        columns.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// Rule: MySQL's own words, which differ from MariaDB's since 8.0.22, are understood.
    #[test]
    fn a_replica_of_mysql_is_understood() {
        let running = [("Replica_IO_Running", "Yes"), ("Replica_SQL_Running", "Yes")];
        let behind =
            |seconds| columns(&[&running[..], &[("Seconds_Behind_Source", seconds)]].concat());
        let most = Some(Span::from_secs(5));
        assert_eq!(replicates(&[behind("5")], most), Ok("replica, 5 s behind".to_owned()));
        let late = replicates(&[behind("0"), behind("6")], most);
        assert_eq!(late, Err("is 6 s behind its source, more than 5 s".to_owned()));
        let error = [("Replica_IO_Running", "No"), ("Last_IO_Error", "no such host")];
        let stopped = replicates(&[behind("0"), columns(&error)], None).unwrap_err();
        assert_eq!(stopped, "does not replicate: its IO thread's running is 'No' (no such host)");
    }

    /// Rule: a lag that the server does not know (NULL) is none that passes.
    #[test]
    fn an_unknown_lag_is_not_short() {
        let source = columns(&[("Slave_IO_Running", "Yes"), ("Slave_SQL_Running", "Yes")]);
        let unknown = replicates(std::slice::from_ref(&source), Some(Span::from_secs(3600)));
        assert_eq!(unknown, Err("does not know how far it is behind its source".to_owned()));
        assert_eq!(replicates(&[source], None), Ok("replica".to_owned()));
    }

    /// Rule: a member that has lost its cluster, or is not synced, is named with what it lacks.
    #[test]
    fn a_member_without_its_cluster_is_not_synced() {
        let mut status = columns(&[
            ("wsrep_cluster_size", "3"),
            ("wsrep_cluster_status", "Primary"),
            ("wsrep_ready", "ON"),
            ("wsrep_local_state_comment", "Synced"),
            ("wsrep_reject_queries", "NONE"),
        ]);
        assert_eq!(synced(&status), Ok("synced, 3 in the cluster".to_owned()));
        status.insert("wsrep_cluster_status".to_owned(), "non-Primary".to_owned());
        let split = "is no synced member: wsrep_cluster_status is non-Primary, not Primary";
        assert_eq!(synced(&status), Err(split.to_owned()));
        status.remove("wsrep_cluster_status");
        assert!(synced(&status).unwrap_err().contains("wsrep_cluster_status is missing"));
    }
}
