//! The nodes of the group, and which of them this one is.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::fields::NodeAddress;
use super::problem::{Marked, Place, Problems, Spot, Wrong, quoted};
use super::section::{Given, Section, named, several};
use super::source::Entry;
use crate::model::{InterfaceName, Node, NodeName, Priority};

/// The most nodes that get a priority from their order: the last one's is 10.
const MOST: usize = 20;

/// The most addresses that a message shows.
const MOST_SHOWN: usize = 8;

/// The machine on which the configuration is to be valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Here {
    /// On this machine: one of the nodes has one of its addresses, and an address owner has the
    /// virtual ones. Where that is not so (yet), the file is right all the same.
    Machine {
        /// The addresses of each of its interfaces.
        addresses: Vec<OwnAddress>,
        /// The node that it is by the configuration in effect. It stays that one where none of its
        /// addresses is there at the moment.
        was: Option<Node>,
    },
    /// On the node of this name, whatever addresses this machine has.
    Node(NodeName),
}

/// An address that a machine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnAddress {
    /// The interface that has the address.
    pub interface: InterfaceName,
    /// The address itself, without the length of its prefix.
    pub address: IpAddr,
    /// The length of its network's prefix.
    pub prefix: u8,
}

impl Here {
    /// On a machine with these addresses, of which nothing was known before.
    pub const fn machine(addresses: Vec<OwnAddress>) -> Self {
        Self::Machine { addresses, was: None }
    }

    fn is(&self, node: &Node) -> bool {
        match self {
            Self::Machine { addresses, .. } => {
                node.addresses().any(|own| addresses.iter().any(|here| here.address == own))
            }
            Self::Node(name) => *name == node.name,
        }
    }
}

/// What the key `nodes` says.
pub(super) struct Nodes {
    /// Whether the file has the key, valid or not.
    pub(super) given: bool,
    /// The nodes in order of preference.
    pub(super) list: Vec<Marked<Node>>,
    /// Which of them this one is, or is taken for.
    this: Option<usize>,
    /// Why it is not known which of them this one is.
    awaited: Option<String>,
}

impl Nodes {
    /// Reads the key `nodes` at the top of the file. If this machine is not (yet) one of the nodes,
    /// it is taken for the one with the number `attempt` from the end.
    pub(super) fn read(
        top: &Section<'_>,
        here: &Here,
        attempt: usize,
        problems: &mut Problems<'_>,
    ) -> Self {
        let given = top.has("nodes");
        let mut nodes = Self { given, list: Vec::new(), this: None, awaited: None };
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
        // A list that lacks one of its nodes cannot be said to lack this one.
        if nodes.list.len() == entries.len() {
            nodes.find(here, attempt, &spot, problems);
        }
        nodes
    }

    /// This node, where it is known which one that is.
    pub(super) fn known(&self) -> Option<&Node> {
        let index = self.this.filter(|_| self.awaited.is_none())?;
        self.list.get(index).map(|marked| &marked.value)
    }

    /// The reason why this node is not known.
    pub(super) fn awaited(&self) -> Option<&str> {
        self.awaited.as_deref()
    }

    /// The number of nodes that this machine may be.
    pub(super) fn candidates(&self) -> usize {
        if self.awaited.is_some() { self.list.len() } else { 1 }
    }

    /// The nodes that this one is not.
    pub(super) fn others(&self) -> impl Iterator<Item = &Node> {
        let others = self.list.iter().enumerate().filter(|(place, _)| Some(*place) != self.this);
        others.map(|(_, node)| &node.value)
    }

    /// The priority of this node's place in the order: 200, 190 and so on.
    pub(super) fn priority(&self) -> Option<Priority> {
        Priority::of_place(self.this?)
    }

    /// The nodes by name, each with the priority of its place.
    pub(super) fn priorities(&self) -> Vec<(String, Priority)> {
        let all = self.list.iter().enumerate();
        all.filter_map(|(place, node)| {
            Some((node.value.name.to_string(), Priority::of_place(place)?))
        })
        .collect()
    }

    /// Finds out which of the nodes this one is.
    fn find(&mut self, here: &Here, attempt: usize, spot: &Spot, problems: &mut Problems<'_>) {
        let ours: Vec<usize> =
            (0..).zip(&self.list).filter(|(_, n)| here.is(&n.value)).map(|(i, _)| i).collect();
        let (addresses, was) = match here {
            Here::Machine { addresses, was } => (addresses, was),
            Here::Node(name) => {
                self.this = ours.first().copied();
                if self.this.is_none() && !self.list.is_empty() {
                    let wrong = Wrong::new(format!("there is no node {} in the list", shown(name)));
                    problems.add(spot, wrong.hint("name one that is, or add it"));
                }
                return;
            }
        };
        let before = self.list.iter().position(|node| was.as_ref() == Some(&node.value));
        let before = before.filter(|index| ours.is_empty() || ours.contains(index));
        let (spot, wrong) = match (before, ours.as_slice()) {
            (Some(index), _) | (None, &[index]) => {
                self.this = Some(index);
                return;
            }
            (None, &[first, second, ..]) => match (self.list.get(first), self.list.get(second)) {
                (Some(first), Some(second)) => (&second.spot, both(&first.value, &second.value)),
                _ => return,
            },
            (None, []) => (spot, none_of_them(&self.list, addresses)),
        };
        self.awaited = Some(wrong.what.clone());
        problems.wait(spot, wrong);
        self.this = self.list.len().checked_sub(attempt + 1);
    }
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

fn both(first: &Node, second: &Node) -> Wrong {
    let wrong = Wrong::new(format!(
        "this machine has the addresses of two nodes: of {} and of {} ({})",
        shown(&first.name),
        shown(&second.name),
        second.address
    ));
    wrong.hint("list each machine once")
}

fn none_of_them(list: &[Marked<Node>], addresses: &[OwnAddress]) -> Wrong {
    let wanted = list.iter().flat_map(|node| node.value.addresses());
    let wanted = some(wanted.map(|address| address.to_string()).collect());
    let own = addresses
        .iter()
        .filter(|own| own.address.is_ipv4() && !own.address.is_loopback())
        .map(|own| format!("{} ({})", own.address, own.interface))
        .collect::<Vec<_>>();
    let none = format!("this machine has none of the nodes' addresses ({wanted})");
    let wrong = if own.is_empty() {
        format!("{none}; it has no IPv4 address at all beside loopback")
    } else {
        format!("{none}; its own are {}", some(own))
    };
    Wrong::new(wrong).hint("list this machine, or name the node that it is with --node")
}

/// The first of a list, and how many more there are.
fn some(list: Vec<String>) -> String {
    let more = list.len().saturating_sub(MOST_SHOWN);
    let first = list.into_iter().take(MOST_SHOWN).collect::<Vec<_>>().join(", ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}

fn shown(name: &NodeName) -> String {
    quoted(name.as_str())
}
