//! `postgres`, with a primary and its streaming replica.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::authority::Authority;
use super::scratch::Scratch;
use super::server::{Server, free, run};
use super::*;
use crate::model::{PostgresProbe, PostgresRole};
use crate::time::Span;

const PASSWORD: &str = "s3 cret";

/// Who may connect: whom the test itself is, and the user of the checks with a password; one
/// database only with TLS.
const ACCESS: &str = "local all postgres trust\nlocal replication postgres trust\n\
    local all vipd scram-sha-256\nhostssl secure vipd 127.0.0.0/8 scram-sha-256\n\
    host postgres vipd 127.0.0.0/8 scram-sha-256\n";

struct Postgres {
    sockets: PathBuf,
    address: SocketAddr,
    password_file: PathBuf,
    server: Server,
}

impl Postgres {
    /// A primary with a user `vipd`.
    async fn primary(scratch: &Scratch, more: &str) -> Self {
        let data = scratch.path("primary");
        let path = data.to_str().unwrap();
        run("initdb", &["-D", path, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8"]);
        scratch.file("primary/pg_hba.conf", ACCESS);
        let settings = format!("shared_buffers = 16MB\nfsync = off\nwal_level = replica\n{more}");
        scratch.file("primary/postgresql.auto.conf", settings);
        let primary = Self::start(scratch, &data);
        comes_to_fail(&primary.probe(PostgresRole::Any), "password authentication failed").await;
        primary.query(&format!("CREATE ROLE vipd LOGIN PASSWORD '{PASSWORD}'"));
        primary.query("CREATE DATABASE secure");
        passes(&primary.probe(PostgresRole::Primary)).await;
        primary
    }

    /// A replica that streams from it.
    async fn replica(&self, scratch: &Scratch) -> Self {
        let data = scratch.path("replica");
        let (host, port) = (self.sockets.to_str().unwrap(), self.address.port().to_string());
        let from = ["-h", host, "-p", &port, "-U", "postgres", "-R", "-c", "fast", "--no-sync"];
        run("pg_basebackup", &[&from[..], &["-D", data.to_str().unwrap()]].concat());
        let replica = Self::start(scratch, &data);
        comes_to_pass(&replica.probe(PostgresRole::Replica)).await;
        replica
    }

    fn start(scratch: &Scratch, data: &Path) -> Self {
        let address = free();
        let sockets = scratch.directory(&format!("sockets-{}", address.port()));
        let (listen, port) = (format!("-h{}", address.ip()), format!("-p{}", address.port()));
        let place = ["-D", data.to_str().unwrap(), "-k", sockets.to_str().unwrap()];
        let server = Server::start(scratch, "postgres", &[&place[..], &[&listen, &port]].concat());
        let password_file = scratch.file("password", PASSWORD);
        Self { sockets, address, password_file, server }
    }

    /// A look over the Unix socket.
    fn probe(&self, role: PostgresRole) -> Probe {
        self.lag(role, None)
    }

    fn lag(&self, role: PostgresRole, max_lag: Option<Span>) -> Probe {
        let (host, port) = (self.sockets.display(), self.address.port());
        let dsn = format!("host={host} port={port} user=vipd dbname=postgres");
        self.dsn(dsn, role, max_lag)
    }

    /// A look over TCP.
    fn tcp(&self, database: &str, more: &str) -> Probe {
        let Self { address, .. } = self;
        let dsn = format!("postgresql://vipd@{address}/{database}?{more}");
        self.dsn(dsn, PostgresRole::Any, None)
    }

    fn dsn(&self, dsn: String, role: PostgresRole, max_lag: Option<Span>) -> Probe {
        let password_file = Some(self.password_file.clone());
        Probe::Postgres(PostgresProbe { dsn, password_file, role, max_lag })
    }

    /// What the server's administrator does.
    fn query(&self, query: &str) -> String {
        let (host, port) = (self.sockets.to_str().unwrap(), self.address.port().to_string());
        run("psql", &["-h", host, "-p", &port, "-U", "postgres", "-qAtc", query])
    }
}

/// Rule: a role is what the server is now: a promoted replica is the primary.
#[tokio::test]
async fn a_role_is_what_the_server_is_now() {
    let scratch = Scratch::new();
    let primary = Postgres::primary(&scratch, "").await;
    let replica = primary.replica(&scratch).await;
    assert_eq!(passes(&primary.probe(PostgresRole::Primary)).await, "primary");
    assert_eq!(passes(&replica.probe(PostgresRole::Replica)).await, "replica");
    assert_eq!(passes(&replica.probe(PostgresRole::Any)).await, "replica");
    fails_with(&primary.probe(PostgresRole::Replica), "is a primary, no replica").await;
    fails_with(&replica.probe(PostgresRole::Primary), "is a replica, no primary").await;
    let gone = primary.probe(PostgresRole::Primary);
    primary.server.crash();
    fails_with(&gone, ".s.PGSQL.").await;
    replica.query("SELECT pg_promote()");
    assert_eq!(comes_to_pass(&replica.probe(PostgresRole::Primary)).await, "primary");
}

/// Rule: a primary that takes no writes is none to follow; that our own user takes none is nobody's
/// business.
#[tokio::test]
async fn a_primary_that_takes_no_writes_is_none() {
    let scratch = Scratch::new();
    let primary = Postgres::primary(&scratch, "").await;
    let probe = primary.probe(PostgresRole::Primary);
    primary.query("ALTER ROLE vipd SET default_transaction_read_only = on");
    passes(&probe).await;
    primary.query("ALTER ROLE vipd RESET default_transaction_read_only");
    primary.query("ALTER SYSTEM SET default_transaction_read_only = on");
    primary.query("SELECT pg_reload_conf()");
    comes_to_fail(&probe, "takes no writes").await;
    passes(&primary.probe(PostgresRole::Any)).await;
}

/// Rule: lag is what has been received and not replayed, or may have been missed. An idle primary
/// is no lag, and a lost one is not none.
#[tokio::test]
async fn lag_is_what_a_replica_may_have_missed() {
    let scratch = Scratch::new();
    let primary = Postgres::primary(&scratch, "").await;
    let replica = primary.replica(&scratch).await;
    let probe = replica.lag(PostgresRole::Replica, Some(Span::from_secs(1)));
    primary.query("CREATE TABLE t (n int)");
    comes_to_pass(&probe).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(passes(&probe).await, "replica, 0 s behind");
    replica.query("SELECT pg_wal_replay_pause()");
    primary.query("INSERT INTO t VALUES (1)");
    comes_to_fail(&probe, "behind its primary, more than 1 s").await;
    passes(&replica.lag(PostgresRole::Any, Some(Span::from_secs(3600)))).await;
    replica.query("SELECT pg_wal_replay_resume()");
    comes_to_pass(&probe).await;
    primary.server.crash();
    comes_to_fail(&probe, "has no connection to its primary").await;
    passes(&replica.probe(PostgresRole::Replica)).await;
}

/// Rule: what the server says is told, and never the password.
#[tokio::test]
async fn what_the_server_refuses_is_told() {
    let scratch = Scratch::new();
    let mut primary = Postgres::primary(&scratch, "").await;
    fails_with(&primary.tcp("nothing", "sslmode=disable"), "no pg_hba.conf entry").await;
    fails_with(&primary.tcp("postgres", "sslmode=require"), "speaks no TLS").await;
    passes(&primary.tcp("postgres", "sslmode=prefer")).await;
    fails_with(&primary.tcp("postgres", "sslmode=verify-full"), "the dsn cannot be used").await;
    fails_with(&primary.tcp("postgres", "target_session_attrs=read-write"), "'role' says it").await;
    let several = primary.dsn("host=a,b user=vipd".into(), PostgresRole::Any, None);
    fails_with(&several, "names 2 servers").await;
    let good = std::mem::replace(&mut primary.password_file, scratch.file("wrong", "hunter2"));
    let why = fails(&primary.probe(PostgresRole::Any)).await;
    assert!(why.contains("FATAL: password authentication failed"), "{why}");
    assert!(!why.contains("hunter2"), "{why}");
    primary.password_file = good;
    primary.query("ALTER ROLE vipd CONNECTION LIMIT 0");
    fails_with(&primary.probe(PostgresRole::Any), "too many connections for role").await;
}

/// Rule: `sslmode` decides on TLS over TCP, and the password is asked for inside it.
#[tokio::test]
async fn a_database_that_wants_tls_gets_it() {
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch);
    let certificate = authority.certificate(&scratch, "db.test", 2400);
    run("chmod", &["600", certificate.key.to_str().unwrap()]);
    let (chain, key) = (certificate.chain.display(), certificate.key.display());
    let tls = format!("ssl = on\nssl_cert_file = '{chain}'\nssl_key_file = '{key}'\n");
    let primary = Postgres::primary(&scratch, &tls).await;
    passes(&primary.tcp("secure", "sslmode=require")).await;
    passes(&primary.tcp("secure", "")).await;
    fails_with(&primary.tcp("secure", "sslmode=disable"), "no encryption").await;
}

/// Rule: a server that has stopped working without dying is not waited for longer than its caller
/// wants, and serves again once it goes on.
#[tokio::test]
async fn a_stopped_server_is_left_at_the_timeout() {
    use nix::sys::signal::Signal;
    let scratch = Scratch::new();
    let primary = Postgres::primary(&scratch, "").await;
    let probe = primary.probe(PostgresRole::Primary);
    primary.server.signal(Signal::SIGSTOP);
    for _ in 0..3 {
        let early = timeout(Duration::from_millis(200), look(&probe)).await;
        assert!(early.is_err(), "{early:?}");
    }
    primary.server.signal(Signal::SIGCONT);
    comes_to_pass(&probe).await;
    let left = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'vipd'";
    let began = Instant::now();
    while primary.query(left).trim() != "0" {
        assert!(began.elapsed() < BOUND, "connections are left over");
    }
}
