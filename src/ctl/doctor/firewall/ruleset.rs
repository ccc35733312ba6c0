//! What a firewall does with a packet, whichever language its rules are written in.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::ctl::wire::in_network;
use crate::model::Network;

/// How deep chains may lead into each other: rules of a kernel never loop.
const DEEPEST: usize = 64;

/// The packet that is asked about.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    /// Where it comes in; `None`: it goes out.
    pub(super) input: Option<String>,
    /// Where it goes out; `None`: it comes in.
    pub(super) output: Option<String>,
    /// From an address in this network; `None`: not known.
    pub(super) source: Option<Network>,
    /// Its group, or the peer that it is for.
    pub(super) destination: IpAddr,
    /// The network that the routers are in, for rules to write.
    pub(super) network: Option<String>,
}

impl Packet {
    /// Which of the kernel's hooks it passes (`nft(8)`).
    pub(super) fn hooks(&self) -> &'static [&'static str] {
        if self.input.is_some() {
            &["ingress", "prerouting", "input"]
        } else {
            &["output", "postrouting"]
        }
    }

    /// Which kind of address the kernel takes its destination for.
    pub(super) fn kind(&self) -> &'static str {
        match (self.destination.is_multicast(), &self.input) {
            (true, _) => "multicast",
            (false, Some(_)) => "local",
            (false, None) => "unicast",
        }
    }

    /// Its interface.
    pub(super) fn interface(&self) -> &str {
        self.input.as_deref().or(self.output.as_deref()).unwrap_or_default()
    }
}

/// Whether a condition holds for the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Yes,
    No,
    /// It depends on what is not known here.
    Perhaps,
}

impl Holds {
    pub(super) fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    /// Whether an address, of which `known` is known, is in the network of `address` and `prefix`.
    pub(super) fn is_in(known: Network, address: IpAddr, prefix: u8) -> Self {
        match in_network(known.address, address, prefix.min(known.prefix)) {
            false => Self::No,
            true if prefix <= known.prefix => Self::Yes,
            true => Self::Perhaps,
        }
    }

    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Perhaps,
        }
    }

    pub(super) fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Perhaps => Self::Perhaps,
        }
    }
}

/// What a rule does with what it applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Accept,
    /// Drops or rejects it.
    Drop,
    /// Goes on in another chain, and comes back.
    Jump(String),
    /// Goes on in another chain for good.
    Goto(String),
    Return,
    /// Counts it, logs it: goes on with the next rule.
    Nothing,
}

/// A rule, judged for one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) holds: Holds,
    pub(super) deed: Deed,
    /// Where it stands and what it says, for people.
    pub(super) text: String,
}

/// A chain that the kernel calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Base {
    /// The key of its rules in [`Ruleset::chains`].
    pub(super) chain: String,
    /// What it is called, for people.
    pub(super) text: String,
    /// What becomes of what no rule decides about.
    pub(super) accepts: bool,
    /// How to let VRRP through at its start.
    pub(super) mend: Vec<String>,
}

/// All that may decide about one packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ruleset {
    pub(super) bases: Vec<Base>,
    pub(super) chains: BTreeMap<String, Vec<Rule>>,
}

/// That a packet is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ctl::doctor) struct Dropped {
    /// By what.
    pub(in crate::ctl::doctor) by: String,
    /// Rules before that may let it pass: doctor cannot tell.
    pub(in crate::ctl::doctor) unless: Vec<String>,
    /// How to let it through.
    pub(in crate::ctl::doctor) mend: Vec<String>,
}

/// How a walk along a chain ended.
enum End {
    Accepted,
    Dropped(String),
    /// No rule has decided.
    Undecided,
}

impl Ruleset {
    /// What drops the packet: each chain that the kernel calls decides anew.
    pub(super) fn dropped(&self) -> Vec<Dropped> {
        self.bases.iter().filter_map(|base| self.dropped_by(base)).collect()
    }

    fn dropped_by(&self, base: &Base) -> Option<Dropped> {
        let mut unless = Vec::new();
        let by = match self.walk(&base.chain, 0, &mut unless) {
            End::Dropped(rule) => rule,
            End::Undecided if !base.accepts => {
                format!("{}: policy drop, and no rule that accepts protocol 112 (vrrp)", base.text)
            }
            End::Accepted | End::Undecided => return None,
        };
        Some(Dropped { by, unless, mend: base.mend.clone() })
    }

    fn walk(&self, chain: &str, depth: usize, unless: &mut Vec<String>) -> End {
        let rules = self.chains.get(chain).map_or(&[][..], Vec::as_slice);
        for rule in rules {
            match rule.holds {
                Holds::No => continue,
                Holds::Perhaps => {
                    if self.may_accept(&rule.deed, depth) {
                        unless.push(rule.text.clone());
                    }
                    continue;
                }
                Holds::Yes => {}
            }
            match &rule.deed {
                Deed::Accept => return End::Accepted,
                Deed::Drop => return End::Dropped(rule.text.clone()),
                Deed::Return => return End::Undecided,
                Deed::Jump(to) | Deed::Goto(to) if depth < DEEPEST => {
                    match self.walk(to, depth + 1, unless) {
                        End::Undecided if matches!(rule.deed, Deed::Jump(_)) => {}
                        end => return end,
                    }
                }
                Deed::Nothing | Deed::Jump(_) | Deed::Goto(_) => {}
            }
        }
        End::Undecided
    }

    /// Whether following a rule that perhaps applies could let the packet pass.
    fn may_accept(&self, deed: &Deed, depth: usize) -> bool {
        match deed {
            Deed::Accept | Deed::Return => true,
            Deed::Drop | Deed::Nothing => false,
            Deed::Jump(to) | Deed::Goto(to) => {
                let rules = self.chains.get(to).map_or(&[][..], Vec::as_slice);
                depth < DEEPEST
                    && rules
                        .iter()
                        .filter(|rule| rule.holds != Holds::No)
                        .any(|rule| self.may_accept(&rule.deed, depth + 1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(holds: Holds, deed: Deed, text: &str) -> Rule {
        Rule { holds, deed, text: text.to_owned() }
    }

    fn ruleset(accepts: bool, chains: &[(&str, Vec<Rule>)]) -> Ruleset {
        let base = Base {
            chain: "input".to_owned(),
            text: "chain input".to_owned(),
            accepts,
            mend: Vec::new(),
        };
        let chains = chains.iter().map(|(name, rules)| ((*name).to_owned(), rules.clone()));
        Ruleset { bases: vec![base], chains: chains.collect() }
    }

    fn jump(to: &str) -> Deed {
        Deed::Jump(to.to_owned())
    }

    /// Rule: rules decide in their order, through chains and back, and the policy decides last.
    #[test]
    fn the_first_rule_that_applies_decides() {
        let other = vec![rule(Holds::No, Deed::Drop, "a"), rule(Holds::Yes, Deed::Return, "b")];
        let start = vec![
            rule(Holds::Yes, Deed::Nothing, "log"),
            rule(Holds::Yes, jump("other"), "c"),
            rule(Holds::Yes, Deed::Drop, "d"),
        ];
        let set = ruleset(true, &[("input", start), ("other", other)]);
        let dropped = set.dropped();
        assert_eq!(dropped[0].by, "d");
        let accepted = ruleset(false, &[("input", vec![rule(Holds::Yes, Deed::Accept, "vrrp")])]);
        assert_eq!(accepted.dropped(), []);
        assert!(ruleset(false, &[]).dropped()[0].by.contains("policy drop"));
        // What goes to another chain for good does not come back.
        let gone = vec![
            rule(Holds::Yes, Deed::Goto("empty".to_owned()), "goto"),
            rule(Holds::Yes, Deed::Accept, "too late"),
        ];
        assert_eq!(ruleset(false, &[("input", gone)]).dropped().len(), 1);
    }

    /// Rule: what cannot be told is said, and is no verdict.
    #[test]
    fn what_is_not_known_is_said() {
        let start = vec![
            rule(Holds::Perhaps, Deed::Accept, "perhaps"),
            rule(Holds::Perhaps, Deed::Drop, "perhaps not"),
            rule(Holds::Yes, Deed::Drop, "drop"),
        ];
        let dropped = ruleset(true, &[("input", start)]).dropped();
        assert_eq!(
            (dropped[0].by.as_str(), &dropped[0].unless[..]),
            ("drop", &["perhaps".to_owned()][..])
        );
        let perhaps = vec![rule(Holds::Perhaps, Deed::Drop, "perhaps not")];
        assert_eq!(ruleset(true, &[("input", perhaps)]).dropped(), []);
    }

    /// Rule: of an address of which the network alone is known, a rule about a larger network decides, and
    /// one about a part of it may or may not apply.
    #[test]
    fn an_address_in_a_network() {
        let known = Network { address: "fe80::".parse().unwrap(), prefix: 64 };
        let is_in = |text: &str, prefix| Holds::is_in(known, text.parse().unwrap(), prefix);
        assert_eq!(is_in("fe80::", 10), Holds::Yes);
        assert_eq!(is_in("::", 0), Holds::Yes);
        assert_eq!(is_in("fe80::12", 128), Holds::Perhaps);
        assert_eq!(is_in("2001:db8::", 32), Holds::No);
        assert_eq!(is_in("10.0.0.0", 8), Holds::No);
    }

    /// Bug guarded: chains that lead into each other end.
    #[test]
    fn a_loop_ends() {
        let start = vec![rule(Holds::Yes, jump("input"), "again")];
        assert_eq!(ruleset(true, &[("input", start)]).dropped(), []);
        let perhaps = vec![rule(Holds::Perhaps, jump("input"), "again")];
        assert_eq!(ruleset(true, &[("input", perhaps)]).dropped(), []);
    }
}
