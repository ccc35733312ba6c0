//! The names under which the web side answers. A page of another site can give its own name this
//! machine's address and then read the status with its visitor's browser ("DNS rebinding"). The
//! browser still names the host that it asks for; an address or `localhost` never belongs to
//! another site.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use axum::http::header::{ACCEPT_LANGUAGE, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri};

/// The longest name (RFC 1035 section 2.3.4, without the last dot).
const LONGEST: usize = 253;

/// A name of this machine, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostName(String);

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if name.is_empty()
            || name.len() > LONGEST
            || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        {
            return Err("expected a host name without a port, like db1.example.net".to_owned());
        }
        Ok(Self(name))
    }
}

/// All names that were configured.
#[derive(Debug)]
pub(super) struct Names(Vec<HostName>);

impl Names {
    pub(super) fn new(names: Vec<HostName>) -> Self {
        Self(names)
    }

    /// Refuses a request for a foreign name, with the reason. Metrics and health are answered under
    /// any name, as scrapers and load balancers need it, unless a browser asks.
    pub(super) fn refusal(&self, uri: &Uri, headers: &HeaderMap) -> Option<String> {
        if is_for_programs(uri.path()) && !is_browser(headers) {
            return None;
        }
        let in_target = uri.authority().map(Authority::as_str);
        // HTTP/1.0 may do without; no browser does.
        let in_headers = headers.get_all(HOST).iter().map(|host| host.to_str().unwrap_or_default());
        let foreign = in_target.into_iter().chain(in_headers).find(|host| !self.has(host))?;
        let name = name_of(foreign).and_then(|name| name.parse::<HostName>().ok());
        let advice = name.map_or_else(String::new, |HostName(name)| {
            format!(
                ": if {name} is this machine, add --host-name {name} to vipctl serve (for the \
                 service to ARGS in /etc/default/vipctl-serve)"
            )
        });
        Some(format!(
            "vipctl serve does not answer under this name, only under addresses, localhost and the \
             names that --host-name gives{advice}\n"
        ))
    }

    /// Recognizes this machine in the value of a `Host` header.
    fn has(&self, host: &str) -> bool {
        if let Some((address, port)) = host.strip_prefix('[').and_then(|host| host.split_once(']'))
        {
            // A zone (RFC 6874) means something to the client only.
            let address = address.split('%').next().unwrap_or_default();
            return address.parse::<Ipv6Addr>().is_ok() && is_port(port);
        }
        let Some(name) = name_of(host) else { return false };
        name.parse::<Ipv4Addr>().is_ok()
            || HostName::from_str(name)
                .is_ok_and(|name| name.0 == "localhost" || self.0.contains(&name))
    }
}

/// The part of a `Host` header before the port.
fn name_of(host: &str) -> Option<&str> {
    let end = host.find(':').unwrap_or(host.len());
    let (name, port) = host.split_at_checked(end)?;
    is_port(port).then_some(name)
}

/// True for an empty text, or a colon and digits.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

fn is_for_programs(path: &str) -> bool {
    path == "/metrics" || path == "/healthz" || path.starts_with("/ready/")
}

/// Recognizes a browser: each one names its languages, and no page can keep it from that.
fn is_browser(headers: &HeaderMap) -> bool {
    let said = [ACCEPT_LANGUAGE.as_str(), ORIGIN.as_str(), "sec-fetch-site", "sec-fetch-mode"];
    said.iter().any(|name| headers.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(names: &[&str], target: &str, headers: &[(&'static str, &str)]) -> Option<String> {
        let names = names.iter().map(|name| name.parse().unwrap()).collect();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Names::new(names).refusal(&target.parse().unwrap(), &map)
    }

    /// Rule: addresses, localhost and configured names are answered, with any port, in any case.
    #[test]
    fn own_names_are_answered() {
        let hosts = [
            "127.0.0.1",
            "192.0.2.11:10112",
            "[::1]:10112",
            "[2001:db8::1]",
            "[fe80::1%25eth0]:80",
            "localhost:10112",
            "LocalHost",
            "db1.Example.net.:10112",
            "db1",
        ];
        for host in hosts {
            let refused = refusal(&["DB1.example.net", "db1."], "/status", &[("host", host)]);
            assert_eq!(refused, None, "{host}");
        }
        assert_eq!(refusal(&[], "/status", &[]), None, "HTTP/1.0 without a name");
    }

    /// Bug guarded: every name was answered, so that another site's page could read the status with
    /// its visitor's browser.
    #[test]
    fn foreign_names_are_refused() {
        let hosts = [
            "attacker.example",
            "attacker.example:10112",
            "127.0.0.1.attacker.example",
            "localhost.attacker.example",
            "db1.example.net.attacker.example",
            "db1.example.net@attacker.example",
            "[::1].attacker.example",
            "[attacker.example]",
            "127.1",
            "::1",
            "",
            "db1.example.net:x",
        ];
        for host in hosts {
            for path in ["/", "/status", "/events", "/ready", "/nothing"] {
                let refused = refusal(&["db1.example.net"], path, &[("host", host)]);
                assert!(refused.is_some(), "{host} {path}");
            }
        }
        let both = [("host", "127.0.0.1"), ("host", "attacker.example")];
        assert!(refusal(&[], "/", &both).is_some(), "each of several counts");
        let target = "http://attacker.example/status";
        assert!(refusal(&[], target, &both[..1]).is_some(), "the target counts, too");
        let text = refusal(&[], "/", &[("host", "db1.example.net:10112")]).unwrap();
        assert!(text.contains("add --host-name db1.example.net to"), "{text}");
    }

    /// Rule: scrapers and load balancers use names of their own; browsers do not get in by that.
    #[test]
    fn programs_may_use_any_name() {
        let host = ("host", "db1.example.net:10112");
        for path in ["/metrics", "/healthz", "/ready/web"] {
            assert_eq!(refusal(&[], path, &[host]), None, "{path}");
            for header in ["accept-language", "origin", "sec-fetch-site"] {
                assert!(refusal(&[], path, &[host, (header, "")]).is_some(), "{path} {header}");
            }
        }
    }

    /// Rule: an invalid name is refused at the start.
    #[test]
    fn names_are_validated() {
        for text in ["", ".", "db1:10112", "http://db1", "db 1", "*.example.net", "[::1]"] {
            assert!(text.parse::<HostName>().is_err(), "{text}");
        }
        assert!("a".repeat(254).parse::<HostName>().is_err());
    }
}
