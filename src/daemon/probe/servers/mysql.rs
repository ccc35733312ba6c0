//! `mysql`, with MariaDB: a source and its replica, and a Galera cluster of one.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::authority::Authority;
use super::scratch::Scratch;
use super::server::{Server, free, run};
use super::*;
use crate::model::{MysqlProbe, MysqlRole};
use crate::time::Span;

const PASSWORD: &str = "s3 cret/#?@";

/// Where Debian keeps Galera.
const GALERA: &str = "/usr/lib/galera/libgalera_smm.so";

struct Mariadb {
    socket: PathBuf,
    address: SocketAddr,
    password_file: PathBuf,
    server: Server,
}

impl Mariadb {
    /// A server with a user `vipd`.
    async fn start(scratch: &Scratch, more: &[&str]) -> Self {
        let address = free();
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let data = scratch.directory(&format!("data-{port}"));
        let data = format!("--datadir={}", data.display());
        // A server that starts removes what others have for the moment in a directory that they
        // share.
        let temporary = scratch.directory(&format!("temporary-{port}"));
        let temporary = format!("--tmpdir={}", temporary.display());
        let normal = ["--no-defaults", "--auth-root-authentication-method=normal"];
        run("mariadb-install-db", &[&normal[..], &["--skip-test-db", &data, &temporary]].concat());
        let socket = scratch.path(&format!("{port}.sock"));
        let mut arguments: Vec<String> = vec!["--no-defaults".into(), data, temporary];
        arguments.push(format!("--socket={}", socket.display()));
        arguments.push(format!("--pid-file={}", scratch.path(&format!("{port}.pid")).display()));
        arguments.extend([format!("--bind-address={ip}"), format!("--port={port}")]);
        arguments.extend([format!("--server-id={port}"), "--log-bin=bin".into()]);
        arguments.extend(["--innodb-buffer-pool-size=16M", "--skip-name-resolve"].map(Into::into));
        arguments.extend(more.iter().map(ToString::to_string));
        let server = Server::start(scratch, "mariadbd", &arguments);
        let password_file = scratch.file("password", PASSWORD);
        let mariadb = Self { socket, address, password_file, server };
        // There is no such user yet.
        comes_to_fail(&mariadb.probe(MysqlRole::Any), "error 1045: Access denied").await;
        mariadb.query(&format!(
            "SET sql_log_bin = 0; CREATE USER vipd IDENTIFIED BY '{PASSWORD}'; \
             GRANT SLAVE MONITOR, REPLICATION SLAVE ON *.* TO vipd; SET sql_log_bin = 1"
        ));
        mariadb
    }

    async fn replica(&self, scratch: &Scratch) -> Self {
        let replica = Self::start(scratch, &["--read-only"]).await;
        let (ip, port) = (self.address.ip(), self.address.port());
        replica.query(&format!(
            "CHANGE MASTER TO MASTER_HOST='{ip}', MASTER_PORT={port}, MASTER_USER='vipd', \
             MASTER_PASSWORD='{PASSWORD}', MASTER_USE_GTID=slave_pos; START SLAVE"
        ));
        replica
    }

    /// A look over TCP.
    fn probe(&self, role: MysqlRole) -> Probe {
        self.url(format!("mysql://vipd@{}/", self.address), role, None)
    }

    fn lag(&self, max_lag: Span) -> Probe {
        let url = format!("mysql://vipd@{}/", self.address);
        self.url(url, MysqlRole::Replica, Some(max_lag))
    }

    fn url(&self, url: String, role: MysqlRole, max_lag: Option<Span>) -> Probe {
        let password_file = Some(self.password_file.clone());
        Probe::Mysql(MysqlProbe { url, password_file, role, max_lag })
    }

    /// What the server's administrator does.
    fn query(&self, query: &str) {
        let socket = format!("--socket={}", self.socket.display());
        run("mariadb", &["--no-defaults", &socket, "-uroot", "-e", query]);
    }
}

/// Rule: a server that takes writes is told from one that takes none, and from a replica.
#[tokio::test]
async fn writable_and_replica_are_told_apart() {
    let scratch = Scratch::new();
    let source = Mariadb::start(&scratch, &[]).await;
    let replica = source.replica(&scratch).await;
    assert_eq!(passes(&source.probe(MysqlRole::Writable)).await, "writable");
    fails_with(&replica.probe(MysqlRole::Writable), "takes no writes: read_only is ON").await;
    // A busy server may be a second behind for a moment.
    let in_time = ProbeResult::Passed("replica, 0 s behind".to_owned());
    until(&replica.probe(MysqlRole::Replica), |result| (*result == in_time).then_some(())).await;
    fails_with(&source.probe(MysqlRole::Replica), "it has no source").await;
    fails_with(&source.probe(MysqlRole::Galera), "is no member of a Galera cluster").await;
    passes(&replica.probe(MysqlRole::Any)).await;
    let socket = format!("mysql://vipd@localhost/?socket={}", source.socket.display());
    passes(&source.url(socket, MysqlRole::Writable, None)).await;
    replica.query("SET GLOBAL read_only = OFF");
    passes(&replica.probe(MysqlRole::Writable)).await;
}

/// Rule: a replica whose threads do not both run is none, and the server's own reason is told; one
/// that is behind passes as far as `max_lag` goes.
#[tokio::test]
async fn a_replica_that_stands_still_or_lags_fails() {
    let scratch = Scratch::new();
    let source = Mariadb::start(&scratch, &[]).await;
    let replica = source.replica(&scratch).await;
    let probe = replica.probe(MysqlRole::Replica);
    comes_to_pass(&probe).await;
    replica.query("STOP SLAVE SQL_THREAD");
    fails_with(&probe, "its SQL thread's running is 'No'").await;
    replica.query("STOP SLAVE; CHANGE MASTER TO MASTER_DELAY = 600; START SLAVE");
    comes_to_pass(&probe).await;
    source.query("CREATE DATABASE later");
    comes_to_fail(&replica.lag(Span::from_secs(1)), "behind its source, more than 1 s").await;
    passes(&replica.lag(Span::from_secs(500))).await;
    source.server.crash();
    comes_to_fail(&probe, "its IO thread's running is 'Connecting'").await;
}

/// Rule: a server that stops in the middle of its answer is left at the timeout, with nothing that
/// waits for the rest.
///
/// Bug guarded: a dropped connection of `mysql_async` reads the rest in a task of its own, which
/// never ends where the server never does.
#[tokio::test]
async fn half_an_answer_is_not_waited_for() {
    let scratch = Scratch::new();
    let mut server = Mariadb::start(&scratch, &[]).await;
    let listener = TcpListener::bind((free().ip(), 0)).await.unwrap();
    let real = std::mem::replace(&mut server.address, listener.local_addr().unwrap());
    let probe = server.probe(MysqlRole::Writable);
    let between = async {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut upstream = TcpStream::connect(real).await.unwrap();
        relay(&mut upstream, &mut client, 0).await;
        relay(&mut client, &mut upstream, 0).await;
        relay(&mut upstream, &mut client, 0).await;
        relay(&mut client, &mut upstream, 0).await;
        // Without the packet that ends the rows.
        relay(&mut upstream, &mut client, 9).await;
        client
    };
    let bound = Duration::from_secs(3);
    let (early, mut client) = tokio::join!(timeout(bound, look(&probe)), between);
    assert!(early.is_err(), "{early:?}");
    let mut rest = Vec::new();
    let end = timeout(BOUND, client.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "the connection is still open");
}

/// Passes on what comes next, but for so many bytes at its end.
async fn relay(from: &mut TcpStream, to: &mut TcpStream, short: usize) {
    let mut bytes = vec![0; 16 * 1024];
    let length = from.read(&mut bytes).await.unwrap();
    to.write_all(&bytes[..length - short]).await.unwrap();
}

/// Rule: a member of a Galera cluster passes while it is synced, and its cluster primary.
#[tokio::test]
async fn a_galera_member_passes_while_it_is_synced() {
    let scratch = Scratch::new();
    let cluster = free();
    let provider = format!("--wsrep-provider={GALERA}");
    let options = format!(
        "--wsrep-provider-options=base_host={0};base_port={1};gmcast.listen_addr=tcp://{cluster};\
         gcache.size=16M",
        cluster.ip(),
        cluster.port()
    );
    let node = format!("--wsrep-node-address={}", cluster.ip());
    let galera = Mariadb::start(
        &scratch,
        &[
            "--wsrep-on=ON",
            &provider,
            &options,
            &node,
            "--wsrep-cluster-address=gcomm://",
            "--wsrep-new-cluster",
            "--binlog-format=ROW",
            "--innodb-autoinc-lock-mode=2",
        ],
    )
    .await;
    let probe = galera.probe(MysqlRole::Galera);
    assert_eq!(comes_to_pass(&probe).await, "synced, 1 in the cluster");
    galera.query("SET GLOBAL wsrep_desync = ON");
    comes_to_fail(&probe, "wsrep_local_state_comment is Donor/Desynced").await;
    galera.query("SET GLOBAL wsrep_desync = OFF");
    comes_to_pass(&probe).await;
    galera.query("SET GLOBAL wsrep_reject_queries = ALL");
    fails_with(&probe, "wsrep_reject_queries is ALL").await;
}

/// Rule: what the server says is told, and never the password; TLS is spoken where the URL wants
/// it.
#[tokio::test]
async fn what_the_server_refuses_is_told() {
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch);
    let certificate = authority.certificate(&scratch, "db.test", 2400);
    let chain = format!("--ssl-cert={}", certificate.chain.display());
    let key = format!("--ssl-key={}", certificate.key.display());
    let mut server = Mariadb::start(&scratch, &[&chain, &key]).await;
    let url = |server: &Mariadb, more: &str| {
        let url = format!("mysql://vipd@{}/{more}", server.address);
        server.url(url, MysqlRole::Any, None)
    };
    passes(&url(&server, "")).await;
    fails_with(&url(&server, "nothing"), "error 1044").await;
    fails_with(&url(&server, "?dance=1"), "the url cannot be used").await;
    server.query("ALTER USER vipd REQUIRE SSL");
    fails_with(&url(&server, ""), "Access denied").await;
    passes(&url(&server, "?require_ssl=true&verify_ca=false")).await;
    fails_with(&url(&server, "?require_ssl=true"), "from an unknown issuer").await;
    server.query("ALTER USER vipd REQUIRE NONE; REVOKE SLAVE MONITOR ON *.* FROM vipd");
    fails_with(&server.probe(MysqlRole::Replica), "SLAVE MONITOR").await;
    server.password_file = scratch.file("wrong", "hunter2");
    let why = fails(&url(&server, "")).await;
    assert!(why.contains("error 1045: Access denied"), "{why}");
    assert!(!why.contains("hunter2"), "{why}");
}
