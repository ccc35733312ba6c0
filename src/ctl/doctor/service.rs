//! Services behind the addresses: what listens here, and what is bound to an address that may be
//! elsewhere.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::finding::{Finding, Kind, Severity};
use super::member::Member;
use super::system::{System, setting};
use crate::model::Family;

/// Where services that are put behind floating addresses have their configuration in Debian.
const CONFIGURATIONS: [&str; 12] = [
    "/etc/nginx",
    "/etc/haproxy",
    "/etc/apache2",
    "/etc/postgresql",
    "/etc/mysql",
    "/etc/redis",
    "/etc/unbound",
    "/etc/bind",
    "/etc/postfix",
    "/etc/dovecot",
    "/etc/openvpn",
    "/etc/systemd/system",
];

/// How deep directories are looked into, and at how many files at the most.
const DEEPEST: usize = 4;
const MOST_FILES: usize = 2_000;

/// The words of a line that binds something to an address.
const BINDS: [&str; 9] = [
    "listen",
    "bind",
    "listen_addresses",
    "bind-address",
    "interface",
    "listen-on",
    "inet_interfaces",
    "local",
    "listenstream",
];

/// The words of one that may be bound to what is not there.
const FREELY: [&str; 4] = ["transparent", "freebind", "ip-freebind", "freebind=true"];

/// On the active node: is anybody there?
pub(super) fn nobody(member: &Member<'_>) -> Option<Finding> {
    let first = member.instance.held.first().filter(|_| member.is_active())?;
    let listening = listening();
    let all: BTreeSet<IpAddr> = member.instance.held.iter().map(|held| held.address).collect();
    if listening.is_empty() || listening.iter().any(|at| at.is_unspecified() || all.contains(at)) {
        return None;
    }
    let what = format!("{}: nothing on this machine listens on {}", member.name(), first.address);
    Some(
        Finding::new(Severity::Note, Kind::NobodyListens, what)
            .because(
                "no TCP or UDP socket is bound to it, nor to all addresses (/proc/net/tcp, udp)",
            )
            .mend(
                "start the service, or let a check of vipd watch it (tracks:); a gateway needs \
                 none",
            ),
    )
}

/// A line that binds a service to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    /// The file and the line's number.
    place: String,
    /// The line.
    line: String,
}

/// The lines below /etc that bind a service to one of these addresses.
pub(super) fn bound(system: &System, addresses: &[IpAddr]) -> Vec<Bound> {
    let mut files = Vec::new();
    for directory in CONFIGURATIONS {
        collect(system, directory, DEEPEST, &mut files);
    }
    let mut bound = Vec::new();
    for path in files {
        let text = system.read(&path).unwrap_or_default();
        let lines = text.lines().enumerate().filter(|(_, line)| binds(line, addresses));
        bound.extend(lines.map(|(number, line)| Bound {
            place: format!("{path}:{}", number + 1),
            line: line.trim().to_owned(),
        }));
    }
    bound
}

fn collect(system: &System, directory: &str, depth: usize, files: &mut Vec<String>) {
    for name in system.names(directory) {
        let path = format!("{directory}/{name}");
        // Not through links: what they lead to is elsewhere below, or no configuration.
        let Ok(metadata) = fs::symlink_metadata(system.path(&path)) else { continue };
        if metadata.is_dir() && depth > 0 {
            collect(system, &path, depth - 1, files);
        } else if metadata.is_file() && files.len() < MOST_FILES {
            files.push(path);
        }
    }
}

/// Whether a line binds to one of these addresses, and not freely.
fn binds(line: &str, addresses: &[IpAddr]) -> bool {
    let line = line.trim().to_ascii_lowercase();
    if line.starts_with(['#', ';']) || line.starts_with("//") {
        return false;
    }
    let words: BTreeSet<&str> =
        line.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-'))).collect();
    BINDS.iter().any(|word| words.contains(word))
        && !FREELY.iter().any(|word| words.contains(word))
        && addresses.iter().any(|address| {
            let text = address.to_string();
            line.split(|c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':'))).any(|word| {
                // With a port behind it, or alone.
                word == text || address.is_ipv4() && word.split(':').next() == Some(text.as_str())
            })
        })
}

/// What is bound to an address of this family that another node may have.
pub(super) fn nonlocal(member: &Member<'_>, bound: &[Bound]) -> Option<Finding> {
    let (key, path) = if member.family == Family::V4 {
        ("net.ipv4.ip_nonlocal_bind", "net/ipv4/ip_nonlocal_bind")
    } else {
        ("net.ipv6.ip_nonlocal_bind", "net/ipv6/ip_nonlocal_bind")
    };
    let own: Vec<IpAddr> = member.moving_addresses().map(|one| one.address).collect();
    let own: Vec<&Bound> = bound.iter().filter(|bound| binds(&bound.line, &own)).collect();
    if own.is_empty() || setting(path) != Some(0) {
        return None;
    }
    let what = format!(
        "{}: a service is bound to its address, and cannot start or reload on a node that does \
         not have it",
        member.name()
    );
    Some(
        Finding::new(Severity::Warning, Kind::NonlocalBind, what)
            .because_all(own.iter().map(|bound| format!("{}: {}", bound.place, bound.line)))
            .because(format!(
                "{key} = 0: bind(2) to an address that is elsewhere fails (EADDRNOTAVAIL)"
            ))
            .mend("let it listen on all addresses, which is simplest")
            .mend(format!(
                "or on all nodes: sysctl -w {key}=1, and echo '{key}=1' >> \
                 /etc/sysctl.d/60-vipd.conf"
            )),
    )
}

/// The addresses that something listens on.
fn listening() -> BTreeSet<IpAddr> {
    // 0A: TCP_LISTEN; 07: what UDP has without a peer.
    let tables = [("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")];
    tables
        .iter()
        .flat_map(|(name, state)| {
            let table = fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default();
            sockets(&table, state)
        })
        .collect()
}

/// The local addresses in a table of sockets (`proc(5)`): groups of eight digits, each the memory of
/// four bytes as the machine's number.
fn sockets(table: &str, state: &str) -> Vec<IpAddr> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            if words.get(3) != Some(&state) {
                return None;
            }
            let (digits, _) = words.get(1)?.split_once(':')?;
            let word = |place: usize| u32::from_str_radix(digits.get(place..place + 8)?, 16).ok();
            if digits.len() == 8 {
                return Some(IpAddr::from(Ipv4Addr::from(word(0)?.to_ne_bytes())));
            }
            let mut bytes = [0; 16];
            for (place, chunk) in bytes.chunks_mut(4).enumerate() {
                chunk.copy_from_slice(&word(place * 8)?.to_ne_bytes());
            }
            Some(Ipv6Addr::from(bytes).to_canonical())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: lines that bind to the address count, comments, other addresses and free binding do
    /// not.
    #[test]
    fn lines_that_bind() {
        let vip = [IpAddr::from([10, 77, 0, 10]), "fd00::10".parse().unwrap()];
        for line in [
            "    listen 10.77.0.10:80;",
            "  bind 10.77.0.10:5432",
            "listen_addresses = 'localhost,10.77.0.10'",
            "bind-address=10.77.0.10",
            "listen [fd00::10]:80;",
            "ListenStream=10.77.0.10:80",
        ] {
            assert!(binds(line, &vip), "{line}");
        }
        for line in [
            "# listen 10.77.0.10:80;",
            "listen 10.77.0.100:80;",
            "bind 10.77.0.10:80 transparent",
            "proxy_pass http://10.77.0.10;",
            "listen 80;",
        ] {
            assert!(!binds(line, &vip), "{line}");
        }
    }

    /// Rule: sockets that wait for clients are found with their address (Linux 6.1, little endian).
    #[test]
    #[cfg(target_endian = "little")]
    fn tables_of_sockets() {
        let tcp = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   \
             uid\n0: 64004D0A:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     \
             0\n1: 0100007F:0050 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0\n";
        assert_eq!(sockets(tcp, "0A"), [IpAddr::from([10, 77, 0, 100])]);
        let tcp6 = "  sl  local_address                         remote_address\n0: \
                    00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 \
                    0A 0\n1: 0000000000000000FFFF00000100007F:0017 \
                    00000000000000000000000000000000:0000 0A 0\n";
        assert_eq!(
            sockets(tcp6, "0A"),
            [IpAddr::from(Ipv6Addr::UNSPECIFIED), IpAddr::from([127, 0, 0, 1])]
        );
    }
}
