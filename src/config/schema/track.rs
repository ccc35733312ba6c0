//! Checks.

use schemars::{JsonSchema, Schema};

use super::value::{AbsolutePath, Duration, HostPort, OneOrMany, Statuses, Word};

/// A check: exactly one kind, and how often it looks.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = one_kind)]
pub(super) struct Track {
    /// A web server answers.
    http: Option<Http>,
    /// A port takes a connection.
    tcp: Option<Tcp>,
    /// A PostgreSQL server has a role.
    postgres: Option<Postgres>,
    /// A MySQL or MariaDB server has a role.
    mysql: Option<Mysql>,
    /// A Redis server has a role.
    redis: Option<Redis>,
    /// A name server resolves a name.
    dns: Option<Dns>,
    /// A process runs.
    process: Option<Process>,
    /// A unit of systemd is active.
    systemd_unit: Option<SystemdUnit>,
    /// An interface is up and has carrier.
    interface: Option<Interface>,
    /// Other machines answer pings.
    ping: Option<Ping>,
    /// Other machines answer ARP requests.
    arp: Option<Arp>,
    /// A file is there, or holds a number.
    file: Option<FileCheck>,
    /// A program exits with 0.
    script: Option<Script>,
    /// From the start of one look to the start of the next, from 100ms on. Default: 1s.
    interval: Option<Duration>,
    /// A look that takes longer has failed. Default: interval, at most 5s.
    timeout: Option<Duration>,
    /// So many looks in a row must pass before a failing check passes. Default: 2.
    #[schemars(range(min = 1, max = 100))]
    rise: Option<u8>,
    /// So many looks in a row must fail before a passing check fails. Default: 3.
    #[schemars(range(min = 1, max = 100))]
    fall: Option<u8>,
    /// By how much the check lowers the priority while it fails. Default: none; its node is then not
    /// eligible.
    #[schemars(range(min = 1, max = 253))]
    cost: Option<u8>,
    /// When the check is not to be believed any more.
    flap: Option<Flap>,
}

/// One of the kinds is required, and only one may be there.
fn one_kind(schema: &mut Schema) {
    let kinds = super::super::keys::KINDS.iter();
    let one_of: Vec<_> = kinds.map(|(kind, _)| serde_json::json!({ "required": [kind] })).collect();
    schema.insert("oneOf".to_owned(), one_of.into());
}

/// When a check is not to be believed any more.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Flap {
    /// So many changes between passing and failing.
    #[schemars(range(min = 2, max = 100))]
    changes: u8,
    /// Within this time.
    within: Duration,
    /// It counts as failing until it has not changed for so long.
    hold: Duration,
}

/// A web server answers.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Http {
    /// http:// or https://, without a user or password.
    #[schemars(regex(pattern = "^https?://"))]
    url: String,
    /// Default: GET.
    method: Option<Method>,
    /// The status codes that pass, like 200, 200-299 or a list of such. Default: 200-299.
    status: Option<Statuses>,
    /// Text that must stand in the first 1 MiB of the body. Default: none.
    body: Option<String>,
    /// The Host header, and with https the server's name. Default: the URL's host.
    host: Option<String>,
    /// A file of certificates (PEM) that are trusted instead of the system's.
    ca: Option<AbsolutePath>,
    /// Whether the server's certificate must be valid. Default: true.
    verify: Option<bool>,
    /// Default: false.
    follow_redirects: Option<bool>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "UPPERCASE")]
enum Method {
    Get,
    Head,
}

/// A port takes a connection.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Tcp {
    /// A host and a port.
    address: HostPort,
    /// Text that is sent first. Default: nothing.
    send: Option<String>,
    /// Text that must stand in the answer. Default: none; the connection alone passes.
    expect: Option<String>,
}

/// A PostgreSQL server has a role.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Postgres {
    /// The connection as libpq writes it, or a postgresql:// URL, without a password.
    dsn: String,
    /// The file whose first line is the password. Default: no password.
    password_file: Option<AbsolutePath>,
    /// What the server must be.
    role: PostgresRole,
    /// By how much a replica may be behind. Default: any lag passes.
    max_lag: Option<Duration>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum PostgresRole {
    Primary,
    Replica,
    Any,
}

/// A MySQL or MariaDB server has a role.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Mysql {
    /// Like mysql://vipd@127.0.0.1:3306/mysql, without a password.
    #[schemars(regex(pattern = "^mysql://"))]
    url: String,
    /// The file whose first line is the password. Default: no password.
    password_file: Option<AbsolutePath>,
    /// What the server must be.
    role: MysqlRole,
    /// By how much a replica may be behind (only with the role replica). Default: any lag passes.
    max_lag: Option<Duration>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum MysqlRole {
    Writable,
    Replica,
    Galera,
    Any,
}

/// A Redis server has a role.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Redis {
    /// A host and a port.
    address: HostPort,
    /// The file whose first line is the password. Default: no password.
    password_file: Option<AbsolutePath>,
    /// What the server must be.
    role: RedisRole,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum RedisRole {
    Master,
    Replica,
    Any,
}

/// A name server resolves a name.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Dns {
    /// Its address, with a port where that is not 53.
    server: String,
    /// What is asked for.
    name: String,
    /// Default: A.
    #[schemars(rename = "type")]
    record_type: Option<RecordType>,
    /// A record that must be among the answers. Default: any record of the type passes.
    expect: Option<Word>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "UPPERCASE")]
enum RecordType {
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

/// A process runs: its name, or text in its command line.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Process {
    /// As in /proc/PID/comm: 15 bytes at most.
    #[schemars(length(min = 1, max = 15))]
    name: Option<String>,
    /// Text that stands in its command line.
    command_line: Option<String>,
}

/// A unit of systemd is active.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct SystemdUnit {
    /// Its whole name, like nginx.service.
    #[schemars(regex(pattern = r"\.[a-z]+$"))]
    unit: String,
}

/// An interface is up and has carrier.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Interface {
    /// Which one. The instance's own interface is watched anyway.
    #[schemars(length(min = 1, max = 15))]
    name: String,
}

/// Other machines answer pings.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Ping {
    /// Their addresses.
    targets: OneOrMany<String>,
    /// Default: any.
    require: Option<Require>,
}

/// Other machines answer ARP requests.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Arp {
    /// Their IPv4 addresses.
    targets: OneOrMany<String>,
    /// Where they are asked.
    #[schemars(length(min = 1, max = 15))]
    interface: String,
    /// Default: any.
    require: Option<Require>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Require {
    Any,
    All,
}

/// A file is there, or holds a number.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct FileCheck {
    /// From the root.
    path: AbsolutePath,
    /// Whether it must be there. Default: true.
    present: Option<bool>,
    /// The smallest number that passes.
    minimum: Option<i64>,
    /// The largest number that passes.
    maximum: Option<i64>,
}

/// A program exits with 0.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Script {
    /// The program's absolute path and its arguments. No shell reads it.
    #[schemars(length(min = 1))]
    command: Vec<String>,
    /// Who runs it. Default: the user that vipd runs as, nobody where that is root.
    user: Option<Word>,
    /// In which group. Default: the user's own.
    group: Option<Word>,
}
