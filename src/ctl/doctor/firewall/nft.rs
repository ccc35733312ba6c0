//! Rules of nftables, as `nft -j list ruleset` writes them (`libnftables-json(5)`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use super::ruleset::{Base, Deed, Holds, Packet, Rule, Ruleset};
use crate::ctl::doctor::member::whole;
use crate::model::Network;

/// Which of nftables' own families see a packet.
fn sees(family: &str, packet: &Packet) -> bool {
    match family {
        "inet" | "netdev" => true,
        "ip" => packet.destination.is_ipv4(),
        "ip6" => packet.destination.is_ipv6(),
        _ => false,
    }
}

/// Reads all rules, as they are for this packet. `without_iptables`: what `iptables` keeps in
/// nftables is left out.
///
/// # Errors
/// When it is not what nft writes.
pub(super) fn read(text: &str, packet: &Packet, without_iptables: bool) -> Result<Ruleset, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let objects = value.get("nftables").and_then(Value::as_array).ok_or("no key 'nftables'")?;
    let sets = sets(objects);
    let mut ruleset = Ruleset::default();
    for chain in objects.iter().filter_map(|object| object.get("chain")) {
        if let Some(base) = base(chain, packet)
            && !(without_iptables && is_of_iptables(chain))
        {
            ruleset.bases.push(base);
        }
    }
    for rule in objects.iter().filter_map(|object| object.get("rule")) {
        let judge = Judge { packet, sets: &sets, table: table_of(rule) };
        let chain = format!("{} {}", judge.table, text_of(rule, "chain"));
        ruleset.chains.entry(chain).or_default().extend(judge.rules(rule));
    }
    Ok(ruleset)
}

fn text_of<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// `inet filter`
fn table_of(object: &Value) -> String {
    format!("{} {}", text_of(object, "family"), text_of(object, "table"))
}

/// Sets and maps by table and name.
fn sets(objects: &[Value]) -> BTreeMap<(String, String), &Vec<Value>> {
    let named = objects.iter().filter_map(|object| object.get("set").or_else(|| object.get("map")));
    let elements = named.filter_map(|set| {
        let key = (table_of(set), text_of(set, "name").to_owned());
        Some((key, set.get("elem")?.as_array()?))
    });
    elements.collect()
}

/// `iptables-nft` writes its chains in capitals into tables of fixed names.
fn is_of_iptables(chain: &Value) -> bool {
    let tables = ["filter", "mangle", "nat", "raw", "security"];
    let name = text_of(chain, "name");
    matches!(text_of(chain, "family"), "ip" | "ip6")
        && tables.contains(&text_of(chain, "table"))
        && matches!(name, "INPUT" | "OUTPUT" | "FORWARD" | "PREROUTING" | "POSTROUTING")
}

fn base(chain: &Value, packet: &Packet) -> Option<Base> {
    let hook = text_of(chain, "hook");
    let family = text_of(chain, "family");
    if !sees(family, packet) || !packet.hooks().contains(&hook) {
        return None;
    }
    if family == "netdev" && !device_is(chain.get("dev"), packet.interface()) {
        return None;
    }
    let (table, name) = (text_of(chain, "table"), text_of(chain, "name"));
    let key = format!("{} {name}", table_of(chain));
    let mend = mend(&key, table, hook, packet);
    let text = format!("nft chain {key} (hook {hook})");
    Some(Base { chain: key, text, accepts: text_of(chain, "policy") != "drop", mend })
}

/// `"dev": "eth0"` or `"dev": ["eth0", "eth1"]`.
fn device_is(device: Option<&Value>, interface: &str) -> bool {
    match device {
        Some(Value::Array(all)) => all.iter().any(|one| one == interface),
        Some(one) => one == interface,
        None => true,
    }
}

fn mend(chain: &str, table: &str, hook: &str, packet: &Packet) -> Vec<String> {
    if table == "firewalld" {
        let add = "firewall-cmd --permanent --add-service=vipd && firewall-cmd --reload";
        return vec![format!("{add}   (with --zone= of {})", packet.interface())];
    }
    let matches =
        if packet.destination.is_ipv4() { "ip protocol vrrp" } else { "ip6 nexthdr vrrp" };
    vec![
        format!("nft insert rule {chain} {matches} accept"),
        format!(
            "and write '{matches} accept' into the {hook} chain in /etc/nftables.conf, or it is \
             gone at the next boot"
        ),
    ]
}

/// Judges the rules of one table.
struct Judge<'a> {
    packet: &'a Packet,
    sets: &'a BTreeMap<(String, String), &'a Vec<Value>>,
    table: String,
}

/// What a packet has where a rule looks.
enum Has<'a> {
    /// One of these names for the same.
    Word(&'a [&'a str]),
    /// An interface.
    Interface(&'a str),
    /// An address of this network.
    Address(Network),
    /// It has no such thing, so no comparison holds.
    Nothing,
    /// Not known here.
    Unknown,
}

impl Judge<'_> {
    /// One rule for each way that a rule can end.
    fn rules(&self, rule: &Value) -> Vec<Rule> {
        let mut holds = Holds::Yes;
        let mut rules = Vec::new();
        let mut add = |holds: Holds, deed: Deed, what: &str| {
            let text = self.text(rule, what);
            rules.push(Rule { holds, deed, text });
        };
        for statement in rule.get("expr").and_then(Value::as_array).into_iter().flatten() {
            let Some((name, value)) = statement.as_object().and_then(|one| one.iter().next())
            else {
                continue;
            };
            match name.as_str() {
                "match" => holds = holds.and(self.matches(value)),
                "vmap" => {
                    for (one, deed, what) in self.verdicts(value) {
                        add(holds.and(one), deed, &what);
                    }
                }
                // Whether it goes on with the rule is not known here.
                "limit" | "quota" | "ct count" | "connlimit" => holds = holds.and(Holds::Perhaps),
                "xt" => match (text_of(value, "type"), text_of(value, "name")) {
                    ("target", name @ ("DROP" | "REJECT")) => add(holds, Deed::Drop, name),
                    ("match", "comment") | ("target", _) => {}
                    _ => holds = holds.and(Holds::Perhaps),
                },
                "queue" => add(holds.and(Holds::Perhaps), Deed::Accept, "queue"),
                _ => {
                    if let Some(deed) = self.deed(statement) {
                        add(holds, deed, name);
                    }
                }
            }
        }
        rules
    }

    fn text(&self, rule: &Value, what: &str) -> String {
        let handle = rule.get("handle").and_then(Value::as_u64).unwrap_or_default();
        let comment = match text_of(rule, "comment") {
            "" => String::new(),
            comment => format!(" \"{comment}\""),
        };
        let (table, chain) = (&self.table, text_of(rule, "chain"));
        format!("nft chain {table} {chain}, rule with handle {handle}{comment}: {what}")
    }

    /// The pairs of a verdict map.
    fn verdicts(&self, map: &Value) -> Vec<(Holds, Deed, String)> {
        let (Some(key), Some(data)) = (map.get("key"), map.get("data")) else { return Vec::new() };
        let pairs = self.elements(data).map_or(&[][..], Vec::as_slice);
        let has = self.has(key);
        pairs
            .iter()
            .filter_map(|pair| {
                let (value, verdict) = (pair.get(0)?, pair.get(1)?);
                let what = verdict.as_object()?.keys().next()?.clone();
                Some((self.is(&has, value), self.deed(verdict)?, format!("vmap {what}")))
            })
            .collect()
    }

    fn matches(&self, value: &Value) -> Holds {
        let (Some(left), Some(right)) = (value.get("left"), value.get("right")) else {
            return Holds::Perhaps;
        };
        let has = self.has(left);
        match (&has, text_of(value, "op")) {
            (Has::Nothing, _) => Holds::No,
            (_, "==" | "in") => self.is(&has, right),
            (_, "!=") => self.is(&has, right).not(),
            _ => Holds::Perhaps,
        }
    }

    /// What the packet has where an expression looks.
    fn has(&self, left: &Value) -> Has<'_> {
        let packet = self.packet;
        let v4 = packet.destination.is_ipv4();
        let multicast = packet.destination.is_multicast();
        if let Some(meta) = left.get("meta") {
            return match text_of(meta, "key") {
                "iif" | "iifname" => Has::interface(packet.input.as_deref()),
                "oif" | "oifname" => Has::interface(packet.output.as_deref()),
                "l4proto" => Has::Word(&["vrrp", "112"]),
                "pkttype" if packet.input.is_some() => {
                    Has::Word(if multicast { &["multicast"] } else { &["host", "unicast"] })
                }
                "nfproto" => Has::Word(if v4 { &["ipv4"] } else { &["ipv6"] }),
                "protocol" => Has::Word(if v4 { &["ip"] } else { &["ip6"] }),
                _ => Has::Unknown,
            };
        }
        if let Some(payload) = left.get("payload") {
            return match (text_of(payload, "protocol"), text_of(payload, "field")) {
                ("ip", _) if !v4 => Has::Nothing,
                ("ip6", _) if v4 => Has::Nothing,
                ("ip", "protocol") | ("ip6", "nexthdr") => Has::Word(&["vrrp", "112"]),
                ("ip" | "ip6", "daddr") => Has::Address(whole(packet.destination)),
                ("ip" | "ip6", "saddr") => packet.source.map_or(Has::Unknown, Has::Address),
                ("ip", "ttl") | ("ip6", "hoplimit") => Has::Word(&["255"]),
                ("ip" | "ip6" | "ether" | "vlan" | "th" | "", _) => Has::Unknown,
                // Of another protocol than VRRP.
                _ => Has::Nothing,
            };
        }
        match (left.get("ct"), left.get("fib")) {
            // Nobody answers multicast, so its connection is new for ever.
            (Some(ct), _) if multicast && text_of(ct, "key") == "state" => Has::Word(&["new"]),
            (_, Some(fib))
                if text_of(fib, "result") == "type"
                    && fib["flags"] == serde_json::json!(["daddr"]) =>
            {
                Has::Word(match packet.kind() {
                    "multicast" => &["multicast"],
                    "local" => &["local"],
                    _ => &["unicast"],
                })
            }
            _ => Has::Unknown,
        }
    }

    /// The elements of a set, written out or by its name.
    fn elements<'a>(&'a self, value: &'a Value) -> Option<&'a Vec<Value>> {
        if let Some(name) = value.as_str().and_then(|name| name.strip_prefix('@')) {
            return self.sets.get(&(self.table.clone(), name.to_owned())).copied();
        }
        value.get("set").or_else(|| value.get("|")).unwrap_or(value).as_array()
    }

    fn is(&self, has: &Has<'_>, right: &Value) -> Holds {
        match has {
            Has::Nothing => return Holds::No,
            Has::Unknown => return Holds::Perhaps,
            Has::Word(_) | Has::Interface(_) | Has::Address(_) => {}
        }
        if right.as_str().is_some_and(|name| name.starts_with('@'))
            && self.elements(right).is_none()
        {
            return Holds::Perhaps;
        }
        if let Some(elements) = self.elements(right) {
            let each = || elements.iter().map(|element| self.is(has, element));
            return if each().any(|holds| holds == Holds::Yes) {
                Holds::Yes
            } else if each().any(|holds| holds == Holds::Perhaps) {
                Holds::Perhaps
            } else {
                Holds::No
            };
        }
        let right = right.get("elem").and_then(|elem| elem.get("val")).unwrap_or(right);
        match has {
            Has::Address(address) => is_address(*address, right),
            Has::Word(words) => is_word(words, right),
            Has::Interface(name) => is_word(&[name], right),
            Has::Nothing | Has::Unknown => Holds::Perhaps,
        }
    }

    /// What a statement does, where it ends the chain or leads to another one.
    fn deed(&self, statement: &Value) -> Option<Deed> {
        let (name, value) = statement.as_object()?.iter().next()?;
        let target = || format!("{} {}", self.table, text_of(value, "target"));
        Some(match name.as_str() {
            "accept" => Deed::Accept,
            "drop" | "reject" => Deed::Drop,
            "return" => Deed::Return,
            "jump" => Deed::Jump(target()),
            "goto" => Deed::Goto(target()),
            _ => return None,
        })
    }
}

impl<'a> Has<'a> {
    fn interface(name: Option<&'a str>) -> Self {
        match name {
            Some(name) => Self::Interface(name),
            None => Self::Nothing,
        }
    }
}

fn parse(value: &Value) -> Option<IpAddr> {
    value.as_str()?.parse().ok()
}

fn is_address(address: Network, right: &Value) -> Holds {
    if let Some(prefix) = right.get("prefix") {
        let network = prefix.get("addr").and_then(parse);
        let length =
            prefix.get("len").and_then(Value::as_u64).and_then(|len| u8::try_from(len).ok());
        return match (network, length) {
            (Some(network), Some(length)) => Holds::is_in(address, network, length),
            _ => Holds::Perhaps,
        };
    }
    if let Some(range) = right.get("range") {
        let ends = (range.get(0).and_then(parse), range.get(1).and_then(parse));
        let (Some(first), Some(last)) = ends else { return Holds::Perhaps };
        let is_whole = address == whole(address.address);
        return match (first..=last).contains(&address.address) {
            inside if is_whole => Holds::of(inside),
            _ => Holds::Perhaps,
        };
    }
    parse(right).map_or(Holds::Perhaps, |one| Holds::is_in(address, one, whole(one).prefix))
}

fn is_word(words: &[&str], right: &Value) -> Holds {
    let text = match right {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return Holds::Perhaps,
    };
    match text.strip_suffix('*') {
        Some(start) => Holds::of(words.iter().any(|word| word.starts_with(start))),
        None => Holds::of(words.contains(&text.as_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What nft 1.0.6 wrote of a ruleset that was made for this test.
    const CAPTURED: &str = include_str!("../../../../tests/doctor/nft.json");

    fn packet(interface: &str, source: &str) -> Packet {
        let ip = |text: &str| text.parse().unwrap();
        let destination = if source.contains(':') { "ff02::12" } else { "224.0.0.18" };
        Packet {
            input: Some(interface.to_owned()),
            output: None,
            source: Some(whole(ip(source))),
            destination: ip(destination),
            network: None,
        }
    }

    fn dropped(packet: &Packet) -> Vec<String> {
        let dropped = read(CAPTURED, packet, true).unwrap().dropped();
        dropped.into_iter().map(|one| format!("{} unless {:?}", one.by, one.unless)).collect()
    }

    /// Rule: a rule that accepts VRRP counts where its other conditions hold, whatever rules for
    /// other protocols stand before it.
    #[test]
    fn what_is_accepted_is_not_dropped() {
        assert_eq!(dropped(&packet("eth7", "10.0.0.12")), Vec::<String>::new(), "by its source");
        assert_eq!(
            dropped(&packet("eth1", "192.0.2.12")),
            Vec::<String>::new(),
            "by its interface"
        );
        assert_eq!(dropped(&packet("wg3", "192.0.2.12")), Vec::<String>::new(), "by a wildcard");
    }

    /// Rule: the rule that drops is named with its place, and what might let the packet pass before.
    #[test]
    fn the_rule_that_drops_is_named() {
        let limit = "unless [\"nft chain inet filter input, rule with handle 24: accept\"]";
        let expected = format!("nft chain inet filter input, rule with handle 25: drop {limit}");
        assert_eq!(dropped(&packet("eth7", "192.0.2.12")), [expected]);
        let expected = format!("nft chain inet filter input, rule with handle 26: reject {limit}");
        assert_eq!(dropped(&packet("eth7", "fe80::1")), [expected], "IPv6");
    }

    /// Rule: output has chains of its own, maps of verdicts included.
    #[test]
    fn output() {
        let out = |interface: &str| Packet {
            input: None,
            output: Some(interface.to_owned()),
            ..packet("", "10.0.0.11")
        };
        assert_eq!(dropped(&out("eth0")), Vec::<String>::new());
        let [by] = &dropped(&out("eth1"))[..] else { panic!() };
        assert!(by.starts_with("nft chain inet filter output, rule with handle 28: drop"), "{by}");
    }

    /// Rule: the command fits the chain that drops.
    #[test]
    fn the_command_fits_the_chain() {
        let dropped = read(CAPTURED, &packet("eth7", "192.0.2.12"), true).unwrap().dropped();
        assert_eq!(dropped[0].mend[0], "nft insert rule inet filter input ip protocol vrrp accept");
        let dropped = read(CAPTURED, &packet("eth7", "fe80::1"), true).unwrap().dropped();
        assert_eq!(dropped[0].mend[0], "nft insert rule inet filter input ip6 nexthdr vrrp accept");
    }

    /// Rule: a policy alone is named as such; what `iptables` keeps here is not read twice.
    #[test]
    fn policies() {
        let text = r#"{"nftables": [{"chain": {"family": "ip", "table": "filter", "name": "INPUT",
            "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}}]}"#;
        let eth0 = packet("eth0", "10.0.0.12");
        let dropped = read(text, &eth0, false).unwrap().dropped();
        assert!(dropped[0].by.contains("policy drop, and no rule that accepts protocol 112"));
        assert_eq!(read(text, &eth0, true).unwrap().dropped(), []);
        assert_eq!(read(text, &packet("eth0", "fe80::1"), false).unwrap().dropped(), []);
        assert!(read("[]", &eth0, false).is_err());
    }
}
