//! The virtual routers of the run, and the files that the nodes get.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use fastrand::Rng;

/// The numbers of the two nodes of vipd, which are their addresses, too.
pub(crate) const NODES: [u8; 2] = [11, 12];

/// The number of keepalived's host.
pub(crate) const KEEPALIVED: u8 = 13;

/// A virtual router.
pub(crate) struct Router {
    /// Its name in the configuration.
    pub(crate) name: &'static str,
    vrid: u8,
    /// Its address without the prefix length.
    address: &'static str,
    /// Its advertisement interval, in milliseconds.
    interval: u32,
    /// The place of the node in [`NODES`] that has the higher priority.
    preferred: usize,
    /// The other keys in the file; `{}` is the node's own part of all paths.
    more: &'static str,
}

impl Router {
    /// The address that moves.
    pub(crate) fn address(&self) -> IpAddr {
        self.address.parse().expect("an address")
    }

    /// The same as `ip address` wants it.
    pub(crate) fn with_prefix(&self) -> String {
        format!("{}/{}", self.address, if self.address().is_ipv6() { 64 } else { 24 })
    }

    /// The number of the node that has it while all is well.
    pub(crate) fn owner(&self) -> u8 {
        NODES[self.preferred]
    }
}

/// Each is something else: beside keepalived, quick, IPv6, a sync group of both families, signed.
pub(crate) const ROUTERS: [Router; 6] = [
    Router {
        name: "web",
        vrid: 51,
        address: "10.77.0.100",
        interval: 200,
        preferred: 0,
        more: "track: [service], notify: { script: {}.hook, timeout: 1s, user: root }",
    },
    Router {
        name: "fast",
        vrid: 52,
        address: "10.77.0.101",
        interval: 100,
        preferred: 1,
        more: "notify: { after_claim: {}.hook, timeout: 1s, user: root }",
    },
    Router {
        name: "six",
        vrid: 53,
        address: "2001:db8:77::100",
        interval: 300,
        preferred: 0,
        more: "track: [program]",
    },
    Router {
        name: "wan",
        vrid: 54,
        address: "10.77.0.102",
        interval: 500,
        preferred: 1,
        more: "track: [uplink]",
    },
    Router {
        name: "lan",
        vrid: 55,
        address: "2001:db8:77::101",
        interval: 500,
        preferred: 1,
        more: "announce_refresh: 5s",
    },
    Router {
        name: "signed",
        vrid: 56,
        address: "10.77.0.103",
        interval: 1000,
        preferred: 0,
        more: "authentication: { keys: { 1: { file: {}.key }, 2: { file: {}.other } }, send: $KEY }",
    },
];

/// One that is only in changed files.
pub(crate) const LATE: Router = Router {
    name: "late",
    vrid: 57,
    address: "10.77.0.104",
    interval: 200,
    preferred: 0,
    more: "preempt: never",
};

/// The differences between the files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variant {
    /// The interval of all routers, in per cent of their own.
    interval: u32,
    /// The number of the key that signs.
    key: u8,
    has_late: bool,
    has_extra: bool,
    has_group: bool,
}

impl Variant {
    /// The file that the nodes have while nothing is changed.
    pub(crate) const BASE: Self =
        Self { interval: 100, key: 1, has_late: false, has_extra: false, has_group: true };

    /// Another one.
    pub(crate) fn any(random: &mut Rng) -> Self {
        Self {
            interval: [100, 110, 150][random.usize(..3)],
            key: random.u8(1..=2),
            has_late: random.bool(),
            has_extra: random.bool(),
            has_group: random.bool(),
        }
    }
}

/// The file of the node at a place of [`NODES`]: there is no list of nodes, because keepalived's
/// priority is below both.
pub(crate) fn yaml(directory: &Path, place: usize, variant: Variant) -> String {
    let own = directory.join(NODES[place].to_string()).display().to_string();
    let mut text = format!(
        "tracks:
  service: {{ file: {{ path: {own}.service }}, interval: 500ms, rise: 1, fall: 2 }}
  uplink: {{ file: {{ path: {own}.uplink }}, interval: 500ms, rise: 1, fall: 2, cost: 60 }}
  program: {{ script: {{ command: [{own}.probe], user: root }}, timeout: 500ms, rise: 1, fall: 2 }}
instances:
"
    );
    for router in ROUTERS.iter().chain(variant.has_late.then_some(&LATE)) {
        let _ = writeln!(text, "  {}: {{ {} }}", router.name, keys(router, place, variant, &own));
    }
    if variant.has_group {
        let _ = writeln!(
            text,
            "sync_groups:
  gateway: {{ members: [wan, lan], notify: {{ before_claim: {own}.hook, timeout: 1s, user: root }} }}"
        );
    }
    text
}

fn keys(router: &Router, place: usize, variant: Variant, own: &str) -> String {
    let priority = if router.preferred == place { 200 } else { 150 };
    // Version 3 counts hundredths of a second.
    let interval = (router.interval * variant.interval).div_ceil(1000) * 10;
    let extra = if variant.has_extra && router.name == "web" {
        "extra_addresses: [10.77.0.110/24], "
    } else {
        ""
    };
    let more = router.more.replace("{}", own).replace("$KEY", &variant.key.to_string());
    format!(
        "interface: eth0, virtual_router_id: {}, priority: {priority}, addresses: [\"{}\"], \
         advertisement_interval: {interval}ms, hold_down: 1s, {extra}{more}",
        router.vrid,
        router.with_prefix(),
    )
}

/// A file that is refused as a whole.
pub(crate) fn broken(good: &str, random: &mut Rng) -> String {
    match random.u8(..4) {
        0 => good.replace("virtual_router_id: 51", "virtual_router_id: 999"),
        1 => good.replace("interface: eth0", "interfaces: eth0"),
        2 => format!("{}: [\n", &good[..random.usize(20..good.len())]),
        _ => "\u{0}\u{1}: no YAML\n".repeat(random.usize(1..2000)),
    }
}

/// Puts the programs and files there that the files name.
pub(crate) fn write_files(directory: &Path) {
    for number in NODES {
        let own = |ending: &str| directory.join(format!("{number}.{ending}"));
        let hang = own("hang-hook");
        script(&own("hook"), &format!("[ ! -e {} ] || exec sleep 3600", hang.display()));
        let hang = own("hang-probe");
        script(&own("probe"), &format!("[ ! -e {} ] || exec sleep 3600", hang.display()));
        for (ending, digit) in [("key", "1"), ("other", "2")] {
            fs::write(own(ending), format!("hex:{}", digit.repeat(64))).expect("a key");
            fs::set_permissions(own(ending), Permissions::from_mode(0o600)).expect("its mode");
        }
        for ending in ["service", "uplink"] {
            fs::write(own(ending), "").expect("a file that a check looks for");
        }
    }
}

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("a program");
    fs::set_permissions(path, Permissions::from_mode(0o755)).expect("its mode");
}
