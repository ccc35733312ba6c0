//! The single values in checks: what each is written as, and what it takes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::super::fields::{Field, read_by_serde, text_in_quotes};
use super::super::problem::Wrong;
use super::super::source::Scalar;
use crate::model::{
    HostPort, HttpMethod, MysqlRole, PostgresRole, RecordType, RedisRole, Require, StatusRange,
};

/// The port of DNS (RFC 1035 section 4.2).
const DNS: u16 = 53;

read_by_serde!(bool, "true or false", |_| None);
read_by_serde!(i64, "a whole number", |_| None);
read_by_serde!(HttpMethod, "GET or HEAD", |_| None);
read_by_serde!(PostgresRole, "primary, replica or any", |_| None);
read_by_serde!(MysqlRole, "writable, replica, galera or any", |_| None);
read_by_serde!(RedisRole, "master, replica or any", |_| None);
read_by_serde!(RecordType, "A, AAAA, CNAME, MX, NS, PTR, SOA, SRV or TXT", |_| None);
read_by_serde!(Require, "any or all", |_| None);

macro_rules! number {
    ($(#[$doc:meta])* $type:ident, $range:expr, $takes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(super) struct $type(pub(super) u8);

        impl Field for $type {
            type Written = u64;
            const TAKES: &'static str = $takes;

            fn check(written: u64) -> Result<Self, Wrong> {
                match u8::try_from(written) {
                    Ok(number) if $range.contains(&number) => Ok(Self(number)),
                    _ => Err(Wrong::expected(Self::TAKES, &written.to_string())),
                }
            }
        }
    };
}

number!(
    /// How many looks in a row count.
    Times,
    (1..=100),
    "a number from 1 to 100"
);
number!(
    /// How many changes are too many.
    Changes,
    (2..=100),
    "a number from 2 to 100"
);
number!(
    /// By how much a priority is lowered.
    Cost,
    (1..=253),
    "a number from 1 to 253"
);

/// Text that is not empty.
#[derive(Clone, Debug)]
pub(in super::super) struct Text(pub(in super::super) String);

impl Field for Text {
    type Written = String;
    const TAKES: &'static str = "text";

    fn check(written: String) -> Result<Self, Wrong> {
        if written.is_empty() {
            return Err(Wrong::expected("text", "''"));
        }
        Ok(Self(written))
    }

    fn hint(found: &Scalar) -> Option<String> {
        text_in_quotes(found)
    }
}

/// The path of a file, from the root.
#[derive(Clone, Debug)]
pub(in super::super) struct AbsolutePath(pub(in super::super) PathBuf);

impl Field for AbsolutePath {
    type Written = String;
    const TAKES: &'static str = "an absolute path like /etc/vipd/password";

    fn check(written: String) -> Result<Self, Wrong> {
        let path = PathBuf::from(&written);
        if path.is_absolute() && !written.contains('\0') {
            return Ok(Self(path));
        }
        Err(Self::wrong(&written))
    }
}

impl Field for HostPort {
    type Written = String;
    const TAKES: &'static str = "a host and its port, like 127.0.0.1:5432";

    fn check(written: String) -> Result<Self, Wrong> {
        let (host, port) = written.rsplit_once(':').ok_or_else(|| Self::wrong(&written))?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bare {
            Some(host) => {
                host.parse::<std::net::Ipv6Addr>().map_err(|_| Self::wrong(&written))?.to_string()
            }
            None if host.contains(':') => {
                return Err(Self::wrong(&written)
                    .hint(format!("put the address in brackets: [{host}]:{port}")));
            }
            None => host.to_owned(),
        };
        let port =
            port.parse().ok().filter(|port| *port > 0).ok_or_else(|| Self::wrong(&written))?;
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err(Self::wrong(&written));
        }
        Ok(Self { host, port })
    }
}

/// The address of a name server, with or without a port.
#[derive(Clone, Copy, Debug)]
pub(super) struct NameServer(pub(super) SocketAddr);

impl Field for NameServer {
    type Written = String;
    const TAKES: &'static str = "the address of a name server, like 10.0.0.53 or 10.0.0.53:5353";

    fn check(written: String) -> Result<Self, Wrong> {
        let alone = written.parse::<IpAddr>().map(|address| SocketAddr::new(address, DNS)).ok();
        alone
            .or_else(|| written.parse::<SocketAddr>().ok())
            .filter(|server| server.port() > 0)
            .map(Self)
            .ok_or_else(|| Self::wrong(&written))
    }
}

macro_rules! witness {
    ($type:ty, $takes:literal) => {
        impl Field for $type {
            type Written = String;
            const TAKES: &'static str = $takes;

            fn check(written: String) -> Result<Self, Wrong> {
                let address: Self = written.parse().map_err(|_| Self::wrong(&written))?;
                if address.is_unspecified() || address.is_multicast() {
                    return Err(Self::wrong(&written).hint("use the address of a host"));
                }
                Ok(address)
            }
        }
    };
}

witness!(IpAddr, "an address like 10.0.0.1");
witness!(Ipv4Addr, "an IPv4 address like 10.0.0.1");

/// Which status codes pass: `200`, a number to YAML, or `200-299`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Status(pub(super) StatusRange);

impl Field for Status {
    type Written = serde_yaml::Value;
    const TAKES: &'static str = "a status like 200, or a range like 200-299";

    fn check(written: serde_yaml::Value) -> Result<Self, Wrong> {
        let text = match written {
            serde_yaml::Value::String(text) => text,
            serde_yaml::Value::Number(number) => number.to_string(),
            serde_yaml::Value::Bool(truth) => truth.to_string(),
            _ => String::new(),
        };
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        let codes = [first, last].map(|code| {
            let code = code.trim().parse().ok();
            code.filter(|code| (100..=599).contains(code))
        });
        let [Some(first), Some(last)] = codes else { return Err(Self::wrong(&text)) };
        if first > last {
            return Err(Self::wrong(&text).hint("the lower one comes first"));
        }
        Ok(Self(StatusRange { first, last }))
    }
}

/// Where a web server is asked.
#[derive(Clone, Debug)]
pub(in super::super) struct Url(pub(in super::super) String);

impl Field for Url {
    type Written = String;
    const TAKES: &'static str = "a URL like http://127.0.0.1/health";

    fn check(written: String) -> Result<Self, Wrong> {
        let rest = written.strip_prefix("http://").or_else(|| written.strip_prefix("https://"));
        let authority = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
        match authority {
            None | Some("") => Err(Self::wrong(&written)),
            Some(authority) if authority.contains('@') => {
                Err(Wrong::new("a user and a password must not stand in a URL")
                    .hint("let the server answer without them"))
            }
            Some(_) if written.contains(|c: char| c.is_whitespace() || c.is_control()) => {
                Err(Self::wrong(&written).hint("no blanks may stand in it"))
            }
            Some(_) => Ok(Self(written)),
        }
    }
}

/// How to connect to a PostgreSQL server.
#[derive(Clone, Debug)]
pub(super) struct PostgresDsn(pub(super) String);

impl Field for PostgresDsn {
    type Written = String;
    const TAKES: &'static str = "a connection like \"host=/run/postgresql user=vipd\"";

    fn check(written: String) -> Result<Self, Wrong> {
        let is_url = ["postgresql://", "postgres://"].iter().any(|s| written.starts_with(s));
        if !is_url && !written.contains('=') {
            return Err(Self::wrong(&written));
        }
        let has_word = written
            .split(['=', ' ', '?', '&', '\t'])
            .any(|word| word.trim_start().starts_with("password"));
        if has_word || is_url && has_password(&written) {
            return Err(no_password());
        }
        Ok(Self(written))
    }
}

/// How to connect to a MySQL server.
#[derive(Clone, Debug)]
pub(super) struct MysqlUrl(pub(super) String);

impl Field for MysqlUrl {
    type Written = String;
    const TAKES: &'static str = "a URL like mysql://vipd@127.0.0.1:3306/mysql";

    fn check(written: String) -> Result<Self, Wrong> {
        if !written.starts_with("mysql://") || written.contains(char::is_whitespace) {
            return Err(Self::wrong(&written));
        }
        if has_password(&written) {
            return Err(no_password());
        }
        Ok(Self(written))
    }
}

/// Whether `user:password@` stands in a URL.
fn has_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

/// What is recorded, logged and shown must not hold one: the configuration is all of these.
fn no_password() -> Wrong {
    Wrong::new("a password must not stand in the configuration")
        .hint("write it into a file that only root can read, and name that with 'password_file'")
}
