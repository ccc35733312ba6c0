//! Rules of iptables, as `iptables-save` and `ip6tables-save` write them.

use std::net::IpAddr;

use super::ruleset::{Base, Deed, Holds, Packet, Rule, Ruleset};
use crate::ctl::doctor::member::whole;
use crate::model::Network;

/// Reads all rules, as they are for this packet. `program` is the one to change them with.
pub(super) fn read(text: &str, packet: &Packet, program: &str) -> Ruleset {
    let mut ruleset = Ruleset::default();
    let uses_ufw =
        ["ufw-before-input", "ufw6-before-input"].iter().any(|chain| text.contains(chain));
    let mut table = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name.trim();
        } else if let Some(chain) = line.strip_prefix(':') {
            let mut words = chain.split_whitespace();
            let (name, policy) = (words.next().unwrap_or_default(), words.next().unwrap_or("-"));
            if policy != "-" && passes(packet, name) {
                ruleset.bases.push(Base {
                    chain: format!("{table} {name}"),
                    text: format!("{program} -t {table}, chain {name}"),
                    accepts: policy == "ACCEPT",
                    mend: mend(packet, program, table, name, uses_ufw),
                });
            }
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let chain = rule.split_whitespace().next().unwrap_or_default();
            let (holds, deed) = judge(&words(rule), table, packet);
            let text = format!("{program} -t {table}: {line}");
            let rules = ruleset.chains.entry(format!("{table} {chain}")).or_default();
            rules.push(Rule { holds, deed, text });
        }
    }
    ruleset
}

/// Whether the packet comes to a chain of the kernel.
fn passes(packet: &Packet, chain: &str) -> bool {
    packet.hooks().iter().any(|hook| hook.eq_ignore_ascii_case(chain))
}

fn mend(packet: &Packet, program: &str, table: &str, chain: &str, uses_ufw: bool) -> Vec<String> {
    let (interface, group) = (packet.interface(), packet.destination);
    if uses_ufw && group.is_ipv6() {
        // Its command line knows VRRP over IPv4 alone.
        let direction = if packet.input.is_some() { "input" } else { "output" };
        return vec![format!(
            "write '-A ufw6-before-{direction} -p vrrp -d {group} -j ACCEPT' before COMMIT into \
             /etc/ufw/before6.rules, then: ufw reload"
        )];
    }
    if uses_ufw {
        let network = packet.network.as_deref().unwrap_or("any");
        let direction = if packet.input.is_some() { "" } else { "out " };
        return vec![format!("ufw allow {direction}proto vrrp from {network} to {group}")];
    }
    let flag = if packet.input.is_some() { "-i" } else { "-o" };
    vec![
        format!("{program} -t {table} -I {chain} {flag} {interface} -p vrrp -j ACCEPT"),
        "and keep it over the next boot: netfilter-persistent save, or the script that writes \
         these rules"
            .to_owned(),
    ]
}

/// The words of a rule; what stands in quotes is one.
fn words(rule: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut quoted, mut escaped) = (false, false);
    for character in rule.chars() {
        match character {
            _ if escaped => {
                word.push(character);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ' ' if !quoted => {
                words.extend(Some(std::mem::take(&mut word)).filter(|w| !w.is_empty()));
            }
            _ => word.push(character),
        }
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

/// Whether a rule applies, and what it does.
fn judge(words: &[String], table: &str, packet: &Packet) -> (Holds, Deed) {
    let (mut holds, mut deed) = (Holds::Yes, Deed::Nothing);
    let mut words = words.iter().skip(1).map(String::as_str).peekable();
    let mut negated = false;
    while let Some(word) = words.next() {
        if word == "!" {
            negated = true;
            continue;
        }
        // Where an option has no value, the next word is an option, too.
        let value = words.next_if(|next| !next.starts_with('-') && *next != "!").unwrap_or("");
        let one = match word {
            // Its own options say what it looks for.
            "-m" => known_module(value),
            "-j" | "-g" => {
                deed = target(word, value, table);
                // What follows belongs to it.
                break;
            }
            _ => condition(word, value, packet),
        };
        holds = holds.and(if negated { one.not() } else { one });
        negated = false;
    }
    (holds, deed)
}

fn known_module(name: &str) -> Holds {
    match name {
        "comment" | "conntrack" | "state" | "pkttype" | "addrtype" => Holds::Yes,
        // For other protocols alone.
        "tcp" | "udp" | "icmp" | "icmp6" | "multiport" | "sctp" => Holds::No,
        _ => Holds::Perhaps,
    }
}

fn condition(option: &str, value: &str, packet: &Packet) -> Holds {
    let interface = |name: Option<&str>| {
        Holds::of(name.is_some_and(|name| match value.strip_suffix('+') {
            Some(start) => name.starts_with(start),
            None => name == value,
        }))
    };
    match option {
        "-p" => Holds::of(matches!(value, "vrrp" | "112" | "all" | "0")),
        "-i" => interface(packet.input.as_deref()),
        "-o" => interface(packet.output.as_deref()),
        "-d" => is_in(whole(packet.destination), value),
        "-s" => packet.source.map_or(Holds::Perhaps, |source| is_in(source, value)),
        // Nobody answers an advertisement, so its connection is new for ever.
        "--ctstate" | "--state" => Holds::of(value.split(',').any(|state| state == "NEW")),
        "--pkt-type" if packet.input.is_some() => {
            let multicast = packet.destination.is_multicast();
            Holds::of(value == if multicast { "multicast" } else { "unicast" })
        }
        "--dst-type" => {
            Holds::of(value.split(',').any(|kind| kind.eq_ignore_ascii_case(packet.kind())))
        }
        "--comment" => Holds::Yes,
        _ => Holds::Perhaps,
    }
}

fn is_in(address: Network, network: &str) -> Holds {
    let (network, prefix) = network.split_once('/').unwrap_or((network, ""));
    let Ok(network) = network.parse::<IpAddr>() else { return Holds::Perhaps };
    match (prefix, prefix.parse()) {
        ("", _) => Holds::is_in(address, network, whole(network).prefix),
        (_, Ok(prefix)) => Holds::is_in(address, network, prefix),
        _ => Holds::Perhaps,
    }
}

fn target(option: &str, name: &str, table: &str) -> Deed {
    match name {
        "ACCEPT" => Deed::Accept,
        "DROP" | "REJECT" => Deed::Drop,
        "RETURN" => Deed::Return,
        // These and others of the kind are written in capitals, and so may a chain be: one that is
        // not there has no rules, and nothing comes of it.
        _ if option == "-g" => Deed::Goto(format!("{table} {name}")),
        _ => Deed::Jump(format!("{table} {name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What iptables-save 1.8.9 wrote of rules that were made for this test.
    const CAPTURED: &str = "\
# Generated by iptables-save v1.8.9 (nf_tables) on Tue Nov 24 18:41:43 2026
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i eth+ -p vrrp -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i br0 -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -m comment --comment \"hello -j DROP\" -m pkttype --pkt-type multicast -j REJECT \
                            --reject-with icmp-port-unreachable
-A INPUT -d 224.0.0.0/4 ! -i lo -j DROP
-A INPUT -m addrtype --dst-type MULTICAST -j ACCEPT
COMMIT
# Completed on Tue Nov 24 18:41:43 2026
";

    fn packet(interface: &str) -> Packet {
        Packet {
            input: Some(interface.to_owned()),
            output: None,
            source: Some(whole([10, 0, 0, 12].into())),
            destination: [224, 0, 0, 18].into(),
            network: Some("10.0.0.0/24".to_owned()),
        }
    }

    fn dropped(text: &str, interface: &str) -> Vec<String> {
        let dropped = read(text, &packet(interface), "iptables").dropped();
        dropped.into_iter().map(|one| one.by).collect()
    }

    /// Rule: the first rule that applies decides, and is shown as it is written.
    #[test]
    fn the_rule_that_drops_is_shown() {
        assert_eq!(dropped(CAPTURED, "eth0"), Vec::<String>::new());
        let reject = "iptables -t filter: -A INPUT -m comment --comment \"hello -j DROP\" -m \
                      pkttype --pkt-type multicast -j REJECT --reject-with icmp-port-unreachable";
        assert_eq!(dropped(CAPTURED, "br0"), [reject]);
    }

    /// Rule: chains of one's own are followed, negations hold for one condition, and a policy alone
    /// is named as such.
    #[test]
    fn chains_and_negations() {
        let text = "*filter\n:INPUT DROP [0:0]\n:lan - [0:0]\n-A INPUT ! -i eth1 -j lan\n-A lan ! \
                    -s 10.0.0.0/24 -j ACCEPT\n-A lan -p vrrp -j RETURN\nCOMMIT\n";
        let [by] = &dropped(text, "eth0")[..] else { panic!() };
        assert!(by.starts_with("iptables -t filter, chain INPUT: policy drop"), "{by}");
        let text = text.replace("-j RETURN", "-j ACCEPT");
        assert_eq!(dropped(&text, "eth0"), Vec::<String>::new());
        assert_eq!(dropped(&text, "eth1").len(), 1);
    }

    /// Rule: who uses ufw is told ufw's command, with the segment's network, and over IPv6 the
    /// line to write.
    #[test]
    fn ufw() {
        let text = "*filter\n:INPUT DROP [0:0]\n:ufw-before-input - [0:0]\nCOMMIT\n";
        let dropped = read(text, &packet("eth0"), "iptables").dropped();
        assert_eq!(dropped[0].mend, ["ufw allow proto vrrp from 10.0.0.0/24 to 224.0.0.18"]);
        let six = Packet {
            source: Some(Network { address: "fe80::".parse().unwrap(), prefix: 64 }),
            destination: "ff02::12".parse().unwrap(),
            ..packet("eth0")
        };
        let text = text.replace("ufw-", "ufw6-");
        let dropped = read(&text, &six, "ip6tables").dropped();
        let rule = "-A ufw6-before-input -p vrrp -d ff02::12 -j ACCEPT";
        assert!(dropped[0].mend[0].contains(rule), "{:?}", dropped[0].mend);
    }
}
