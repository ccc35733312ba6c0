//! Configuration text into the model, or every mistake at once.
//!
//! ```text
//! text -> source (a tree of values and their places) -> section + fields (each key by itself)
//!      -> nodes, track, instance, address, notify, groups
//!      -> check, effect (what must hold between them), advice (what is hardly meant) -> Config
//! ```
//!
//! Whatever is wrong is noted with its place and left out; reading goes on, and what is left out
//! is not missed again. The file's format is described in `docs/configuration.md`.

mod address;
mod advice;
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

use zeroize::Zeroizing;

pub use keys::{keys, kinds};
pub use nodes::{Here, OwnAddress};
pub use problem::Problem;

use crate::model::{Config, InstanceConfig};
use instance::Draft;
use nodes::Nodes;
use problem::{Place, Problems, Spot};
use section::{Section, named};
use source::{Content, Node};
use track::Tracks;
use track::values::Text;

/// Findings about a text that are no errors in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The things that the configuration needs and this machine lacks. The instances that cannot
    /// take part without them are in [`Config::awaited`].
    pub awaited: Vec<Problem>,
    /// The settings that are valid but probably not intended.
    pub warnings: Vec<Problem>,
}

/// Reads a configuration as the node `here` sees it. `file_name` is only for the problems.
///
/// An empty text is valid: no nodes and no instances.
///
/// # Errors
///
/// All that is wrong with the text, in the order of the file; never empty. Only after an error in
/// the YAML syntax is the rest of the file not looked at.
pub fn load(file_name: &str, text: &str, here: &Here) -> Result<Config, Vec<Problem>> {
    examine(file_name, text, here).0
}

/// The same as [`load`], with the other findings.
///
/// A machine that is not (yet) one of the nodes may become any of them: the text is valid if it is
/// valid for one of them. The machine's priority is then that of the last such node in the list.
pub fn examine(
    file_name: &str,
    text: &str,
    here: &Here,
) -> (Result<Config, Vec<Problem>>, Findings) {
    let mut first = None;
    for attempt in 0.. {
        let mut problems = Problems::of(file_name);
        let Reading { config, candidates } = read(text, here, attempt, &mut problems);
        let is_right = problems.none();
        let [wrong, awaited, warnings] = problems.sorted();
        let findings = Findings { awaited, warnings };
        match config {
            Some(config) if is_right => return (Ok(config), findings),
            _ => first = first.or(Some((Err(wrong), findings))),
        }
        if attempt + 1 >= candidates {
            break;
        }
    }
    first.unwrap_or_else(|| (Err(Vec::new()), Findings::default()))
}

/// Where the value at this path of keys stands in a text that [`load`] takes: line and column from
/// 1. For what only the running machine can tell of a value. The start, where it is not found.
pub fn locate(text: &str, path: &[&str]) -> (usize, usize) {
    let node = find(text, path);
    let place = node.map_or(Place::START, |node| node.place);
    (place.line, place.column)
}

/// The secret that stands at this path of keys in a text that [`load`] takes, as it is written
/// there; `None`, where nothing is found. What [`load`] returns has no secrets: it is recorded and
/// shown.
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

/// The result of reading a text once.
struct Reading {
    config: Option<Config>,
    /// The number of nodes that this machine may be.
    candidates: usize,
}

/// Reads the text. Where this machine may be several nodes, it is taken for the one with the number
/// `attempt`, from the end of the list.
fn read(text: &str, here: &Here, attempt: usize, problems: &mut Problems<'_>) -> Reading {
    let document = source::parse(text, problems);
    let top = document.as_ref().and_then(|document| {
        let spot = Spot { place: document.place, path: String::new() };
        Section::open(document, spot, &keys::TOP, problems)
    });
    let Some(top) = top else { return Reading { config: None, candidates: 1 } };
    let nodes = Nodes::read(&top, here, attempt, problems);
    let candidates = nodes.candidates();
    Reading { config: rest(&top, nodes, here, problems), candidates }
}

fn rest(
    top: &Section<'_>,
    nodes: Nodes,
    here: &Here,
    problems: &mut Problems<'_>,
) -> Option<Config> {
    let tracks = Tracks::read(top, problems);
    let drafts = instances(top, &nodes, problems);
    let groups = groups::read(top, &drafts, problems);
    let control_group = top.take::<Text>("control_group", problems).map(|text| Some(text.0));
    check::all(&drafts, &nodes, problems);
    effect::all(&drafts, &tracks, &nodes, groups.as_deref().unwrap_or_default(), problems);
    advice::all(&drafts, &nodes, here, problems);
    let mut awaited = check::ownership(&drafts, here, problems);
    if let Some(why) = nodes.awaited() {
        let names = drafts.iter().filter_map(|draft| draft.name.clone());
        awaited = names.map(|name| (name, why.to_owned())).collect();
    }
    let mut instances: Vec<InstanceConfig> =
        drafts.into_iter().map(|draft| draft.config).collect::<Option<_>>()?;
    let sync_groups = groups?;
    groups::share_tracks(&sync_groups, &mut instances);
    Some(Config {
        this_node: nodes.known().map(|node| node.name.clone()),
        nodes: nodes.list.into_iter().map(|node| node.value).collect(),
        tracks: tracks.list.into_iter().map(|draft| draft.config).collect::<Option<_>>()?,
        instances,
        sync_groups,
        control_group: control_group.or(None)?,
        awaited,
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
