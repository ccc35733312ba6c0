//! Which keys there are, which are to come, and what other programs' words mean here.

/// The keys that one kind of mapping may have.
#[derive(Debug)]
pub(super) struct Keys {
    /// Where such a mapping stands, in words.
    pub(super) place: &'static str,
    /// What such a mapping looks like, to follow "expected".
    pub(super) example: &'static str,
    /// The keys that are read.
    pub(super) known: &'static [&'static str],
}

/// The top of the file.
pub(super) static TOP: Keys = Keys {
    place: "at the top of the file",
    example: "a mapping with 'nodes' and 'instances'",
    known: &["nodes", "tracks", "instances", "sync_groups", "control_group"],
};

/// An instance.
pub(super) static INSTANCE: Keys = Keys {
    place: "in an instance",
    example: "a mapping of keys like 'interface: eth0'",
    known: &[
        "interface",
        "virtual_router_id",
        "addresses",
        "extra_addresses",
        "routes",
        "rules",
        "link_local",
        "version",
        "priority",
        "advertisement_interval",
        "maximum_interval",
        "preempt",
        "hold_down",
        "link_down_delay",
        "link_up_delay",
        "lease",
        "announce_refresh",
        "checksum",
        "accept",
        "transport",
        "peers",
        "minimum_ttl",
        "multicast_group",
        "paths",
        "track",
        "if_all_fail",
        "notify",
        "authentication",
        "virtual_mac",
    ],
};

/// An address that is written as a mapping.
pub(super) static ADDRESS: Keys = Keys {
    place: "in an address",
    example: "a mapping of keys like 'address: 10.0.0.100/24'",
    known: &["address", "dev", "label", "scope"],
};

/// A route that moves along.
pub(super) static ROUTE: Keys = Keys {
    place: "in a route",
    example: "a mapping of keys like 'to: 10.9.0.0/16'",
    known: &["to", "via", "dev", "source", "table", "metric", "type", "scope", "mtu", "family"],
};

/// A policy rule that moves along.
pub(super) static RULE: Keys = Keys {
    place: "in a rule",
    example: "a mapping of keys like 'priority: 1000'",
    known: &["priority", "from", "to", "iif", "oif", "fwmark", "action", "table", "family"],
};

/// A check.
pub(super) static TRACK: Keys = Keys {
    place: "in a check",
    example: "a mapping with a kind of check, like 'tcp: { address: \"127.0.0.1:80\" }'",
    known: &[
        "http",
        "tcp",
        "postgres",
        "mysql",
        "redis",
        "dns",
        "process",
        "systemd_unit",
        "interface",
        "ping",
        "arp",
        "file",
        "script",
        "interval",
        "timeout",
        "rise",
        "fall",
        "cost",
        "flap",
    ],
};

/// When a check is not believed.
pub(super) static FLAP: Keys = Keys {
    place: "in 'flap'",
    example: "a mapping like '{ changes: 4, within: 60s, hold: 30s }'",
    known: &["changes", "within", "hold"],
};

/// A sync group that is written as a mapping.
pub(super) static GROUP: Keys = Keys {
    place: "in a sync group",
    example: "a mapping like '{ members: [wan, lan] }'",
    known: &["members", "notify"],
};

/// The hooks of an instance or of a sync group.
pub(super) static NOTIFY: Keys = Keys {
    place: "in 'notify'",
    example: "a mapping like '{ script: /etc/vipd/on-change }'",
    known: &[
        "script",
        "before_claim",
        "after_claim",
        "before_release",
        "after_release",
        "on_fault",
        "on_conflict_won",
        "verify",
        "verify_interval",
        "fifo",
        "webhook",
        "user",
        "group",
        "timeout",
        "retries",
    ],
};

/// How the advertisements of an instance are authenticated.
pub(super) static AUTHENTICATION: Keys = Keys {
    place: "in 'authentication'",
    example: "a mapping like '{ keys: { 1: { file: /etc/vipd/vrrp.key } } }'",
    known: &[
        "keys",
        "send",
        "mode",
        "anti_replay",
        "window",
        "password",
        "password_file",
        "password_credential",
    ],
};

/// Where a key is.
pub(super) static KEY: Keys = Keys {
    place: "in a key",
    example: "a mapping like '{ file: /etc/vipd/vrrp.key }'",
    known: &["file", "credential", "secret"],
};

const fn kind(place: &'static str, example: &'static str, known: &'static [&'static str]) -> Keys {
    Keys { place, example, known }
}

/// The kinds of checks: a key in a check, and what stands in it.
pub(super) static KINDS: [(&str, Keys); 13] = [
    (
        "http",
        kind(
            "in an http check",
            "a mapping like '{ url: \"http://127.0.0.1/health\" }'",
            &["url", "method", "status", "body", "host", "ca", "verify", "follow_redirects"],
        ),
    ),
    (
        "tcp",
        kind(
            "in a tcp check",
            "a mapping like '{ address: \"127.0.0.1:80\" }'",
            &["address", "send", "expect"],
        ),
    ),
    (
        "postgres",
        kind(
            "in a postgres check",
            "a mapping like '{ dsn: \"host=/run/postgresql user=vipd\", role: primary }'",
            &["dsn", "password_file", "role", "max_lag"],
        ),
    ),
    (
        "mysql",
        kind(
            "in a mysql check",
            "a mapping like '{ url: \"mysql://vipd@127.0.0.1\", role: writable }'",
            &["url", "password_file", "role", "max_lag"],
        ),
    ),
    (
        "redis",
        kind(
            "in a redis check",
            "a mapping like '{ address: \"127.0.0.1:6379\", role: master }'",
            &["address", "password_file", "role"],
        ),
    ),
    (
        "dns",
        kind(
            "in a dns check",
            "a mapping like '{ server: 127.0.0.1, name: example.org }'",
            &["server", "name", "type", "expect"],
        ),
    ),
    (
        "process",
        kind("in a process check", "a mapping like '{ name: haproxy }'", &["name", "command_line"]),
    ),
    (
        "systemd_unit",
        kind("in a systemd_unit check", "a mapping like '{ unit: nginx.service }'", &["unit"]),
    ),
    ("interface", kind("in an interface check", "a mapping like '{ name: eth1 }'", &["name"])),
    (
        "ping",
        kind(
            "in a ping check",
            "a mapping like '{ targets: [10.0.0.1] }'",
            &["targets", "require"],
        ),
    ),
    (
        "arp",
        kind(
            "in an arp check",
            "a mapping like '{ targets: [10.0.0.1], interface: eth0 }'",
            &["targets", "interface", "require"],
        ),
    ),
    (
        "file",
        kind(
            "in a file check",
            "a mapping like '{ path: /run/maintenance, present: false }'",
            &["path", "present", "minimum", "maximum"],
        ),
    ),
    (
        "script",
        kind(
            "in a script check",
            "a mapping like '{ command: [/usr/local/bin/check] }'",
            &["command", "user", "group"],
        ),
    ),
];

/// Every kind of mapping, in the order of the reference documentation.
fn all() -> impl Iterator<Item = &'static Keys> {
    [
        &TOP,
        &INSTANCE,
        &ADDRESS,
        &ROUTE,
        &RULE,
        &AUTHENTICATION,
        &KEY,
        &NOTIFY,
        &TRACK,
        &FLAP,
        &GROUP,
    ]
    .into_iter()
    .chain(KINDS.iter().map(|(_, keys)| keys))
}

/// Every key that a configuration may have, in the order of the reference documentation.
pub fn keys() -> impl Iterator<Item = &'static str> {
    all().flat_map(|keys| keys.known).copied()
}

/// Every kind of check, in the order of the reference documentation.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(kind, _)| *kind)
}

/// What to say about a key that does not belong where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Advice {
    pub(super) hint: String,
    /// The key that was probably meant: it is then not reported as missing, too.
    pub(super) meant: Option<&'static str>,
}

impl Keys {
    /// What `unknown` probably means.
    pub(super) fn advice(&self, unknown: &str) -> Advice {
        if let Some(word) = FOREIGN.iter().find(|word| word.is(unknown) && word.fits(self)) {
            return Advice { hint: word.hint.to_owned(), meant: word.meant };
        }
        if let Some(keys) = all().find(|keys| keys.known.contains(&unknown)) {
            let hint = format!("it belongs {}: is the indentation right?", keys.place);
            return Advice { hint, meant: None };
        }
        let meant = self.nearest(unknown);
        let hint = match meant {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("the keys {} are {}", self.place, self.known.join(", ")),
        };
        Advice { hint, meant }
    }

    /// The key that was probably meant by `unknown`.
    fn nearest(&self, unknown: &str) -> Option<&'static str> {
        let written = unknown.to_ascii_lowercase().replace('-', "_");
        nearest(self.known.iter().copied(), &written)
    }
}

/// The one of `names` that differs from `written` by a slip of the fingers: by at most a third.
pub(super) fn nearest<'n>(names: impl Iterator<Item = &'n str>, written: &str) -> Option<&'n str> {
    names
        .map(|name| (strsim::damerau_levenshtein(name, written), name))
        .filter(|(distance, name)| distance * 3 <= name.len())
        .min()
        .map(|(_, name)| name)
}

/// A word that keepalived's users know, or that is easily taken for one of ours.
struct Foreign {
    /// The word; with `*` at the end, every word that starts so.
    word: &'static str,
    /// What to write instead.
    hint: &'static str,
    /// The key that does it.
    meant: Option<&'static str>,
}

impl Foreign {
    fn is(&self, unknown: &str) -> bool {
        match self.word.strip_suffix('*') {
            Some(start) => unknown.starts_with(start),
            None => unknown == self.word,
        }
    }

    /// Whether what was meant is a key of this mapping, or nothing in particular.
    fn fits(&self, keys: &Keys) -> bool {
        self.meant.is_none_or(|meant| keys.known.contains(&meant))
    }
}

const fn foreign(word: &'static str, meant: &'static str, hint: &'static str) -> Foreign {
    Foreign { word, hint, meant: Some(meant) }
}

const fn without_equal(word: &'static str, hint: &'static str) -> Foreign {
    Foreign { word, hint, meant: None }
}

const UNICAST: &str =
    "write 'transport: unicast'; the peers are the other nodes, or 'peers: [10.0.0.12]'";
const TRACKS: &str = "checks stand by name under 'tracks' at the top of the file; an instance names \
                      those that it depends on: 'track: [web]'";
const HOOKS: &str =
    "write 'notify: { script: /etc/vipd/on-change }'; it gets the state as its third argument";
const AUTHENTICATION_KEYS: &str = "write 'authentication: { keys: { 1: { file: /etc/vipd/vrrp.key } } }', or with version 2 \
     'authentication: { password_file: /etc/vipd/password }'";
const ADDRESSES: &str = "the virtual addresses are 'addresses: [10.0.0.100/24]'";
const VIRTUAL_ROUTER_ID: &str = "the key is 'virtual_router_id'";
const INTERVAL: &str = "the key is 'advertisement_interval', with a unit: 1s or 100ms";
const ROUTES: &str = "write 'routes: [{ to: 10.9.0.0/16, via: 10.0.0.1 }]'";
const RULES: &str = "write 'rules: [{ priority: 1000, from: 10.0.0.100/32, table: 100 }]'";
const INSTANCES: &str = "write the instances by name under 'instances'";

static FOREIGN: [Foreign; 49] = [
    without_equal(
        "state",
        "vipd has no state: the start is always backup, then the highest priority wins; the order \
         of 'nodes' gives the priorities",
    ),
    foreign("vrid", "virtual_router_id", VIRTUAL_ROUTER_ID),
    foreign("router_id", "virtual_router_id", VIRTUAL_ROUTER_ID),
    foreign("advert_int", "advertisement_interval", INTERVAL),
    foreign("interval", "advertisement_interval", INTERVAL),
    foreign("virtual_ipaddress", "addresses", ADDRESSES),
    foreign("virtual_addresses", "addresses", ADDRESSES),
    foreign("virtual_ips", "addresses", ADDRESSES),
    foreign("address", "addresses", ADDRESSES),
    foreign("vips", "addresses", ADDRESSES),
    foreign("vip", "addresses", ADDRESSES),
    foreign("nopreempt", "preempt", "write 'preempt: never'"),
    foreign("preempt_delay", "preempt", "write 'preempt: after 60s'"),
    foreign("vrrp_version", "version", "the key is 'version', in the instance"),
    without_equal("garp_*", "vipd announces its addresses by itself: leave it out"),
    foreign("auth_*", "authentication", AUTHENTICATION_KEYS),
    foreign("active_key", "send", "the key is 'send': the number of the key that signs"),
    foreign("time_window", "window", "the key is 'window', with a unit: 5s"),
    foreign("track_*", "track", TRACKS),
    foreign("checks", "tracks", TRACKS),
    foreign("weight", "cost", "the key is 'cost': by how much a failing check lowers the priority"),
    foreign("vrrp_sync_group", "sync_groups", "write 'sync_groups: { gateway: [wan, lan] }'"),
    foreign("groups", "sync_groups", "write 'sync_groups: { gateway: [wan, lan] }'"),
    foreign("notify_*", "notify", HOOKS),
    foreign("unicast_*", "transport", UNICAST),
    foreign("mcast_*", "multicast_group", "the key is 'multicast_group'"),
    foreign(
        "vrrp_mcast_group*",
        "multicast_group",
        "the key is 'multicast_group', in the instance",
    ),
    foreign("use_vmac*", "virtual_mac", "write 'virtual_mac: true'"),
    foreign(
        "virtual_ipaddress_excluded",
        "extra_addresses",
        "addresses that move along but are not advertised are 'extra_addresses: [10.0.0.101/24]'",
    ),
    foreign("virtual_routes", "routes", ROUTES),
    foreign("virtual_rules", "rules", RULES),
    foreign("src", "source", "the key is 'source': the address to send from"),
    foreign("gateway", "via", "the key is 'via'"),
    foreign("gw", "via", "the key is 'via'"),
    foreign("pref", "priority", "the key is 'priority'"),
    foreign("lookup", "table", "the key is 'table'"),
    without_equal("nexthop*", "a route has one next router here: 'via: 10.0.0.1'"),
    without_equal("onlink", "vipd does not make routes over routers that are not on the link"),
    without_equal("no_track", "vipd always needs the interfaces of what moves: leave it out"),
    foreign("no_accept", "accept", "vipd writes no firewall rules: leave it out"),
    without_equal("strict_mode", "vipd keeps to the standard and writes no firewall rules"),
    without_equal("vrrp_strict", "vipd keeps to the standard and writes no firewall rules"),
    without_equal("global_defs", "vipd has no global settings: leave it out"),
    foreign("vrrp_script", "tracks", TRACKS),
    foreign("vrrp_instance", "instances", INSTANCES),
    foreign("instance", "instances", INSTANCES),
    foreign("peers", "nodes", "list all nodes of the group, this one too, under 'nodes'"),
    foreign("device", "dev", "the key is 'dev'"),
    foreign("ip", "address", "the key is 'address'"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a slip of the fingers gets the key that was meant, and a word from elsewhere the
    /// list of keys: a wrong guess sends the reader astray.
    #[test]
    fn the_nearest_key_is_near() {
        assert_eq!(INSTANCE.nearest("adresses"), Some("addresses"));
        assert_eq!(INSTANCE.nearest("virtual-router-id"), Some("virtual_router_id"));
        assert_eq!(INSTANCE.nearest("Interface"), Some("interface"));
        assert_eq!(INSTANCE.nearest("prioirty"), Some("priority"));
        assert_eq!(INSTANCE.nearest("colour"), None);
        assert_eq!(INSTANCE.nearest(""), None);
    }

    /// Rule: what an advice says was meant is a key.
    #[test]
    fn advice_names_keys_that_exist() {
        for word in &FOREIGN {
            assert!(word.meant.is_none_or(|meant| keys().any(|key| key == meant)), "{}", word.word);
        }
    }
}
