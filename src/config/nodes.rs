//! The nodes of the group, and which of them this one is.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Here;
use super::fields::NodeAddress;
use super::problem::{Marked, Place, Problems, Spot, Wrong, quoted};
use super::section::{Given, Section, named, several};
use super::source::Entry;
use crate::model::{Node, NodeName, Priority};

/// The most nodes that get a priority from their order: the last one's is 10.
const MOST: usize = 20;

/// How many of this machine's addresses a message shows.
const MOST_SHOWN: usize = 8;

/// What the key `nodes` says.
pub(super) struct Nodes {
    /// Whether the file has the key, valid or not.
    pub(super) given: bool,
    /// The nodes in order of preference.
    pub(super) list: Vec<Marked<Node>>,
    /// Which of them this one is.
    this: Option<usize>,
}

impl Nodes {
    /// Reads the key `nodes` at the top of the file.
    pub(super) fn read(top: &Section<'_>, here: &Here, problems: &mut Problems<'_>) -> Self {
        let mut nodes = Self { given: top.has("nodes"), list: Vec::new(), this: None };
        let Some((node, spot)) = top.node("nodes") else {
            if let (Here::Node(name), false) = (here, nodes.given) {
                let what = format!("this is to be node {}, but no nodes are listed", shown(name));
                let spot = Spot { place: Place::START, path: "nodes".to_owned() };
                problems.add(&spot, Wrong::new(what).hint("list the nodes of the group"));
            }
            return nodes;
        };
        let expected = "a mapping of names to addresses, like 'web1: 10.0.0.11'";
        let Some(entries) = named(node, &spot, expected, problems) else { return nodes };
        match entries.len() {
            0 => {
                let wrong = Wrong::expected(expected, "an empty one");
                problems.add(&spot, wrong.hint("leave it out if every instance has a priority"));
            }
            count if count > MOST => {
                let what = format!("lists {count} nodes; only {MOST} have a place in the order");
                problems.add(&spot, Wrong::new(what));
            }
            _ => {}
        }
        nodes.list = list(entries, &spot, problems);
        let complete = nodes.list.len() == entries.len();
        nodes.this = nodes.find(here, complete, &spot, problems);
        nodes
    }

    /// This node.
    pub(super) fn this(&self) -> Option<&Node> {
        self.this.and_then(|index| self.list.get(index)).map(|marked| &marked.value)
    }

    /// The nodes that this one is not.
    pub(super) fn others(&self) -> impl Iterator<Item = &Node> {
        let others = self.list.iter().enumerate().filter(|(place, _)| Some(*place) != self.this);
        others.map(|(_, node)| &node.value)
    }

    /// The priority of this node's place in the order: 200, 190 and so on.
    pub(super) fn priority(&self) -> Option<Priority> {
        priority_of(self.this?)
    }

    /// The nodes by name, each with the priority of its place.
    pub(super) fn priorities(&self) -> Vec<(String, Priority)> {
        let name = |node: &Marked<Node>| node.value.name.to_string();
        let all = self.list.iter().enumerate();
        all.filter_map(|(place, node)| Some((name(node), priority_of(place)?))).collect()
    }

    /// Which of the nodes this one is. Only a list that is `complete` can be said to lack it.
    fn find(
        &self,
        here: &Here,
        complete: bool,
        spot: &Spot,
        problems: &mut Problems<'_>,
    ) -> Option<usize> {
        let mut ours = (0..).zip(&self.list).filter(|(_, node)| here.is(&node.value));
        let Some((index, first)) = ours.next() else {
            if complete && !self.list.is_empty() {
                problems.add(spot, here.is_none_of_them());
            }
            return None;
        };
        for (_, second) in ours {
            let name = shown(&first.value.name);
            let wrong = Wrong::new(format!(
                "{} is an address of this machine, as is that of {name}",
                second.value.address
            ));
            problems.add(&second.spot, wrong.hint("list each machine once"));
        }
        Some(index)
    }
}

fn priority_of(place: usize) -> Option<Priority> {
    let steps = u8::try_from(place).ok()?;
    Priority::try_from(200_u8.checked_sub(steps.checked_mul(10)?)?).ok()
}

fn list(entries: &[Entry], spot: &Spot, problems: &mut Problems<'_>) -> Vec<Marked<Node>> {
    let mut list = Vec::new();
    let mut seen = BTreeMap::<IpAddr, &str>::new();
    for entry in entries {
        let name_spot = spot.key(&entry.key, entry.place);
        let spot = spot.key(&entry.key, entry.node.place);
        let name = NodeName::try_from(entry.key.as_str())
            .map_err(|bad| problems.add(&name_spot, bad.into()));
        let Given::Right(addresses) = several::<NodeAddress>(&entry.node, &spot, problems) else {
            continue;
        };
        let mut own = Vec::new();
        for Marked { value: NodeAddress(address), spot } in addresses.value {
            match seen.insert(address, &entry.key) {
                None => own.push(address),
                Some(other) => {
                    let wrong = Wrong::new(format!("is the address of {}, too", quoted(other)));
                    problems.add(&spot, wrong.hint("give each node its own address"));
                }
            }
        }
        if let (Ok(name), Some((&address, others))) = (name, own.split_first()) {
            list.push(Marked { value: Node { name, address, others: others.to_vec() }, spot });
        }
    }
    list
}

impl Here {
    fn is(&self, node: &Node) -> bool {
        match self {
            Self::Machine { addresses } => {
                node.addresses().any(|own| addresses.iter().any(|(_, here)| *here == own))
            }
            Self::Node(name) => *name == node.name,
        }
    }

    fn is_none_of_them(&self) -> Wrong {
        let addresses = match self {
            Self::Machine { addresses } => addresses,
            Self::Node(name) => {
                let wrong = Wrong::new(format!("there is no node {} in the list", shown(name)));
                return wrong.hint("name one that is, or add it");
            }
        };
        let own: Vec<_> = addresses
            .iter()
            .filter(|(_, address)| address.is_ipv4() && !address.is_loopback())
            .map(|(interface, address)| format!("{address} ({interface})"))
            .collect();
        let none = "this machine has none of these addresses";
        let wrong = match own.as_slice() {
            [] => format!("{none}; it has no IPv4 address at all beside loopback"),
            few if few.len() <= MOST_SHOWN => format!("{none}; its own are {}", few.join(", ")),
            many => {
                let first = many.iter().take(MOST_SHOWN).cloned().collect::<Vec<_>>().join(", ");
                let rest = many.len() - MOST_SHOWN;
                format!("{none}; its own are {first} and {rest} more")
            }
        };
        Wrong::new(wrong).hint("list this machine, or name the node that it is with --node")
    }
}

fn shown(name: &NodeName) -> String {
    quoted(name.as_str())
}
