//! Checks: what decides whether this node is fit to hold the addresses.
//!
//! No secret stands in any of these types: a recording holds the whole configuration, and people
//! send recordings to each other. A password is in a file of its own, which is named here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::name::{InterfaceName, TrackName};
use crate::time::Span;

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackConfig {
    /// Its name.
    pub name: TrackName,
    /// What is looked at.
    pub probe: Probe,
    /// From the start of one look to the start of the next, at least 100 ms. A look that takes
    /// longer delays the next one: two never run at once.
    pub interval: Span,
    /// A look that takes longer has failed: at least 10 ms, at most the interval.
    pub timeout: Span,
    /// So many looks in a row must pass until it passes: at least 1.
    pub rise: u8,
    /// So many looks in a row must fail until it fails: at least 1.
    pub fall: u8,
    /// By how much it lowers the priority while it fails, 1 to 253. `None`: while it fails, this
    /// node is not eligible.
    pub cost: Option<u8>,
    /// When it changes so often that it is not believed any more.
    pub flap: Option<Flap>,
}

/// A check that changes between passing and failing too often counts as failing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flap {
    /// So many changes are too many: at least 2.
    pub changes: u8,
    /// Within this time.
    pub within: Span,
    /// It counts as failing until it has not changed for this long.
    pub hold: Span,
}

/// What a check looks at. Each look is one shot, bounded by the check's timeout; a passing one may
/// say something short about what it found, a failing one says what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// A web server answers.
    Http(HttpProbe),
    /// A TCP port takes a connection, and says what it should.
    Tcp(TcpProbe),
    /// A PostgreSQL server has a role.
    Postgres(PostgresProbe),
    /// A MySQL or MariaDB server has a role.
    Mysql(MysqlProbe),
    /// A Redis server has a role.
    Redis(RedisProbe),
    /// A name server resolves a name.
    Dns(DnsProbe),
    /// A process runs.
    Process(ProcessProbe),
    /// A unit of systemd is active.
    SystemdUnit(SystemdUnitProbe),
    /// An interface is up and has carrier.
    Interface(InterfaceProbe),
    /// Other machines answer ICMP echo requests.
    Ping(PingProbe),
    /// Other machines answer ARP requests.
    Arp(ArpProbe),
    /// A file is there, is not there, or holds a number in a range.
    File(FileProbe),
    /// A program exits with 0.
    Script(ScriptProbe),
}

impl Probe {
    /// The key that stands for this kind in the configuration.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Tcp(_) => "tcp",
            Self::Postgres(_) => "postgres",
            Self::Mysql(_) => "mysql",
            Self::Redis(_) => "redis",
            Self::Dns(_) => "dns",
            Self::Process(_) => "process",
            Self::SystemdUnit(_) => "systemd_unit",
            Self::Interface(_) => "interface",
            Self::Ping(_) => "ping",
            Self::Arp(_) => "arp",
            Self::File(_) => "file",
            Self::Script(_) => "script",
        }
    }
}

/// `http`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpProbe {
    /// What is asked for: `http://` or `https://`, without a user.
    pub url: String,
    /// How.
    pub method: HttpMethod,
    /// The status codes that pass; never empty.
    pub status: Vec<StatusRange>,
    /// Text that must stand in the body.
    pub body: Option<String>,
    /// The `Host` header (and with https the server's name), where that is not the URL's host.
    pub host: Option<String>,
    /// The certificates (PEM) that are trusted instead of the system's. An absolute path.
    pub ca: Option<PathBuf>,
    /// Whether the server's certificate must be valid.
    pub verify: bool,
    /// Whether a redirection is followed, up to ten times; otherwise its status is the answer's.
    pub follow_redirects: bool,
}

/// The method of a request (RFC 9110 section 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpMethod {
    /// `GET`
    #[serde(rename = "GET")]
    Get,
    /// `HEAD`: no body is sent.
    #[serde(rename = "HEAD")]
    Head,
}

/// Status codes of HTTP from one to another, both included: 100 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRange {
    /// The lowest.
    pub first: u16,
    /// The highest, not below the lowest.
    pub last: u16,
}

impl StatusRange {
    /// Success (RFC 9110 section 15.3).
    pub const SUCCESS: Self = Self { first: 200, last: 299 };

    /// Whether this status is one of them.
    pub fn contains(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }
}

/// `200` or `200-299`, as in the configuration.
impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last } = self;
        if first == last { write!(f, "{first}") } else { write!(f, "{first}-{last}") }
    }
}

/// A host, by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPort {
    /// A name, or an address without brackets; never empty.
    pub host: String,
    /// The port, never 0.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// `tcp`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpProbe {
    /// Where to connect to.
    pub address: HostPort,
    /// What is sent once the connection stands.
    pub send: Option<String>,
    /// What must stand in the answer, of which at most the first 64 KiB are read.
    pub expect: Option<String>,
}

/// `postgres`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostgresProbe {
    /// The connection as libpq writes it (`host=... user=...`, or a `postgresql://` URL), without a
    /// password.
    pub dsn: String,
    /// The file whose first line is the password. An absolute path; read at each look.
    pub password_file: Option<PathBuf>,
    /// What the server must be.
    pub role: PostgresRole,
    /// By how much a replica's replay may be behind its primary; never with
    /// [`PostgresRole::Primary`].
    pub max_lag: Option<Span>,
}

/// What a PostgreSQL server is (`pg_is_in_recovery()`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PostgresRole {
    /// It is not in recovery and takes writes.
    Primary,
    /// It is in recovery.
    Replica,
    /// It answers a query.
    Any,
}

/// `mysql`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MysqlProbe {
    /// The connection as `mysql://user@host:port/database`, without a password; with
    /// `?socket=/path` over a Unix socket.
    pub url: String,
    /// The file whose first line is the password. An absolute path; read at each look.
    pub password_file: Option<PathBuf>,
    /// What the server must be.
    pub role: MysqlRole,
    /// By how much a replica may be behind its source; only with [`MysqlRole::Replica`].
    pub max_lag: Option<Span>,
}

/// What a MySQL or MariaDB server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MysqlRole {
    /// It takes writes (`read_only` is off).
    Writable,
    /// It replicates, and both of its replication threads run.
    Replica,
    /// It is a synced member of a Galera cluster's primary component.
    Galera,
    /// It answers a query.
    Any,
}

/// `redis`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisProbe {
    /// Where to connect to.
    pub address: HostPort,
    /// The file whose first line is the password. An absolute path; read at each look.
    pub password_file: Option<PathBuf>,
    /// What the server must be.
    pub role: RedisRole,
}

/// What a Redis server says that it is (`INFO replication`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedisRole {
    /// `role:master`
    Master,
    /// `role:slave`, with its link to the master up.
    Replica,
    /// It answers `PING`.
    Any,
}

/// `dns`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsProbe {
    /// The server that is asked, over UDP; port 53 where the operator wrote none.
    pub server: SocketAddr,
    /// The name that is asked for.
    pub name: String,
    /// The type of record.
    #[serde(rename = "type")]
    pub record_type: RecordType,
    /// A record that must be among the answers, as a zone file writes its data. `None`: any will
    /// do.
    pub expect: Option<String>,
}

/// A type of resource record (RFC 1035 section 3.2.2, RFC 3596).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "their names are the field's terms")]
pub enum RecordType {
    A,
    Aaaa,
    Cname,
    Mx,
    Ns,
    Ptr,
    Soa,
    Srv,
    Txt,
}

/// `process`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessProbe {
    /// One has this name: as in `/proc/PID/comm`, at most 15 bytes.
    Name(String),
    /// This text stands in the command line of one, whose arguments are joined by blanks.
    CommandLine(String),
}

/// `systemd_unit`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemdUnitProbe {
    /// The whole name of the unit, like `nginx.service`. It passes while `ActiveState` is `active`
    /// or `reloading`.
    pub unit: String,
}

/// `interface`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceProbe {
    /// The interface that must be up and have carrier.
    pub name: InterfaceName,
}

/// `ping`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingProbe {
    /// Who is asked; never empty.
    pub targets: Vec<IpAddr>,
    /// How many must answer.
    pub require: Require,
}

/// `arp`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArpProbe {
    /// Who is asked; never empty.
    pub targets: Vec<Ipv4Addr>,
    /// On which interface.
    pub interface: InterfaceName,
    /// How many must answer.
    pub require: Require,
}

/// How many witnesses must answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Require {
    /// One of them.
    Any,
    /// All of them.
    All,
}

/// `file`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileProbe {
    /// An absolute path.
    pub path: PathBuf,
    /// What must be true of it.
    pub condition: FileCondition,
}

/// What must be true of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileCondition {
    /// It is there.
    Present,
    /// It is not there.
    Absent,
    /// The first word in it is a whole number in this range, both ends included.
    Number {
        /// The lowest that passes.
        minimum: Option<i64>,
        /// The highest that passes.
        maximum: Option<i64>,
    },
}

/// `script`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptProbe {
    /// The program, by an absolute path, and its arguments: no shell reads them. Never empty.
    pub command: Vec<String>,
    /// The user that it runs as; `None`: the daemon's own, or `nobody` where that is root.
    pub user: Option<String>,
    /// The group, where that is not the user's own.
    pub group: Option<String>,
}
