//! Configuration text into the model, or every mistake at once.
//!
//! ```text
//! text -> source (a tree of values and their places) -> section + fields (each key by itself)
//!      -> nodes, track, instance, address, notify, groups
//!      -> check, effect (what must hold between them) -> Config
//! ```
//!
//! Whatever is wrong is noted with its place and left out; reading goes on, and what is left out
//! is not missed again. The file's format is described in `docs/configuration.md`.

mod address;
mod authentication;
mod check;
mod duration;
mod effect;
mod family;
mod fields;
mod groups;
mod instance;
mod keys;
mod nodes;
mod notify;
mod problem;
mod program;
mod routing;
pub mod schema;
mod section;
mod source;
mod track;
mod transport;

use std::net::IpAddr;

use zeroize::Zeroizing;

pub use keys::{keys, kinds};
pub use problem::Problem;

use crate::model::{Config, InstanceConfig, InterfaceName, NodeName};
use instance::Draft;
use nodes::Nodes;
use problem::{Place, Problems, Spot};
use section::{Section, named};
use source::{Content, Node};
use track::Tracks;
use track::values::Text;

/// Where the configuration is to be valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Here {
    /// On this machine: one of the nodes has one of its addresses, and an address owner has the
    /// virtual ones.
    Machine {
        /// The addresses of each of its interfaces.
        addresses: Vec<(InterfaceName, IpAddr)>,
    },
    /// On the node of this name, whatever addresses this machine has.
    Node(NodeName),
}

/// Reads a configuration as the node `here` sees it. `file_name` is only for the problems.
///
/// An empty text is valid: no nodes and no instances.
///
/// # Errors
///
/// All that is wrong, in the order of the file; never empty. Only after an error in the YAML
/// syntax is the rest of the file not looked at.
pub fn load(file_name: &str, text: &str, here: &Here) -> Result<Config, Vec<Problem>> {
    let mut problems = Problems::of(file_name);
    match read(text, here, &mut problems) {
        Some(config) if problems.none() => Ok(config),
        _ => Err(problems.sorted()),
    }
}

/// Where the value at this path of keys stands in a text that [`load`] takes: line and column from 1.
/// For what only the running machine can tell of a value. The start, where it is not found.
pub fn locate(text: &str, path: &[&str]) -> (usize, usize) {
    let node = find(text, path);
    let place = node.map_or(Place::START, |node| node.place);
    (place.line, place.column)
}

/// The secret that stands at this path of keys in a text that [`load`] takes, as it is written there;
/// `None`, where nothing is found. What [`load`] returns has no secrets: it is recorded and shown.
pub fn secret(text: &str, path: &[&str]) -> Option<Zeroizing<String>> {
    match find(text, path)?.content {
        Content::Scalar(scalar) => Some(Zeroizing::new(scalar.text)),
        _ => None,
    }
}

fn find(text: &str, path: &[&str]) -> Option<Node> {
    let document = source::parse(text, &mut Problems::of(""))?;
    path.iter().try_fold(document, |node, key| node.under(key))
}

fn read(text: &str, here: &Here, problems: &mut Problems<'_>) -> Option<Config> {
    let document = source::parse(text, problems)?;
    let spot = Spot { place: document.place, path: String::new() };
    let top = Section::open(&document, spot, &keys::TOP, problems)?;
    let nodes = Nodes::read(&top, here, problems);
    let tracks = Tracks::read(&top, problems);
    let drafts = instances(&top, &nodes, problems);
    let groups = groups::read(&top, &drafts, problems);
    let control_group = top.take::<Text>("control_group", problems).map(|text| Some(text.0));
    check::all(&drafts, &nodes, here, problems);
    effect::all(&drafts, &tracks, &nodes, groups.as_deref().unwrap_or_default(), problems);
    let mut instances: Vec<InstanceConfig> =
        drafts.into_iter().map(|draft| draft.config).collect::<Option<_>>()?;
    let sync_groups = groups?;
    groups::share_tracks(&sync_groups, &mut instances);
    Some(Config {
        this_node: nodes.this().map(|node| node.name.clone()),
        nodes: nodes.list.into_iter().map(|node| node.value).collect(),
        tracks: tracks.list.into_iter().map(|draft| draft.config).collect::<Option<_>>()?,
        instances,
        sync_groups,
        control_group: control_group.or(None)?,
    })
}

/// The instances that could be read at least in part.
fn instances<'n>(top: &Section<'n>, nodes: &Nodes, problems: &mut Problems<'_>) -> Vec<Draft<'n>> {
    let Some((node, spot)) = top.node("instances") else { return Vec::new() };
    let expected = "a mapping of names to instances";
    named(node, &spot, expected, problems)
        .unwrap_or_default()
        .iter()
        .filter_map(|entry| instance::read(entry, &spot, nodes, problems))
        .collect()
}
