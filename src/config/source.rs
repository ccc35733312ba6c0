//! YAML text into a tree whose every node knows its place.
//!
//! `saphyr-parser` gives the structure, because `serde_yaml` gives no place for a value and stops
//! at the first error; `serde_yaml` decides what each scalar is. One tree for both, so that a
//! value and its place cannot disagree.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use serde_yaml::Value;

use super::problem::{Place, Problems, Spot, Wrong, quoted};

/// The longest text that is read. A configuration of a thousand instances is a tenth of it.
const LONGEST_TEXT: usize = 1 << 20;

/// How many bytes of memory anchors and aliases may take, so that a few lines of aliases to
/// aliases cannot fill it. A thousand aliases of a whole instance are a quarter of it.
const LARGEST_COPIES: usize = 8 << 20;

/// How deep lists and mappings may be nested; the configuration needs five.
const DEEPEST: usize = 16;

/// What mostly causes the parser's errors, by a part of their text.
static SYNTAX_HINTS: [(&str, &str); 4] = [
    ("tab", "indent with spaces"),
    ("did not find expected key", "indent the keys of one mapping alike"),
    ("mapping values are not allowed", "put text with ': ' in quotes"),
    ("illegal placement of ':'", "close every '[' and '{' before it"),
];

/// A value of the file.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) content: Content,
}

/// What stands there.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Scalar(Scalar),
    List(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// A value without structure: how it is written, and what YAML takes it for.
#[derive(Clone, Debug)]
pub(super) struct Scalar {
    pub(super) text: String,
    pub(super) value: Value,
}

/// A key of a mapping with its value. The key is taken as written: an instance may be called
/// `51` or `on`.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) node: Node,
}

impl Node {
    /// The value in words, for "expected ..., found ...".
    pub(super) fn shown(&self) -> String {
        match &self.content {
            Content::Scalar(scalar) => scalar.shown(),
            Content::List(_) => "a list".to_owned(),
            Content::Mapping(_) => "a mapping".to_owned(),
        }
    }

    /// The value of this key, where it is a mapping that has it.
    pub(super) fn under(self, key: &str) -> Option<Self> {
        let Content::Mapping(entries) = self.content else { return None };
        entries.into_iter().find(|entry| entry.key == key).map(|entry| entry.node)
    }

    /// Whether nothing stands there, or `null`.
    fn is_nothing(&self) -> bool {
        matches!(self.content, Content::Scalar(Scalar { value: Value::Null, .. }))
    }

    /// How many bytes of memory a copy takes, about.
    fn weight(&self) -> usize {
        size_of::<Entry>()
            + match &self.content {
                Content::Scalar(scalar) => scalar.text.len(),
                Content::List(items) => items.iter().map(Self::weight).sum(),
                Content::Mapping(entries) => {
                    entries.iter().map(|entry| entry.key.len() + entry.node.weight()).sum()
                }
            }
    }
}

impl Scalar {
    fn new(text: Cow<'_, str>, style: ScalarStyle) -> Self {
        let value = match style {
            ScalarStyle::Plain => plain_value(&text),
            _ => Value::String(text.clone().into_owned()),
        };
        Self { text: text.into_owned(), value }
    }

    /// The value in words: text in quotes, everything else as it is written.
    pub(super) fn shown(&self) -> String {
        match self.value {
            Value::Null => "nothing".to_owned(),
            Value::String(_) => quoted(&self.text),
            _ => self.text.clone(),
        }
    }
}

/// What `serde_yaml` takes a scalar without quotes for: nothing, a truth value, a number or text.
fn plain_value(text: &str) -> Value {
    match serde_yaml::from_str(text) {
        Ok(value @ (Value::Null | Value::Bool(_) | Value::Number(_))) => value,
        _ => Value::String(text.to_owned()),
    }
}

/// The only document of `text`, an empty mapping where it is empty; `None` where it cannot be
/// read, which is then said.
pub(super) fn parse(text: &str, problems: &mut Problems<'_>) -> Option<Node> {
    let spot = Spot { place: Place::START, path: String::new() };
    if text.len() > LONGEST_TEXT {
        let what = format!("the file has {} bytes; at most {LONGEST_TEXT} are read", text.len());
        problems.add(&spot, Wrong::new(what));
        return None;
    }
    let mut reader = Reader {
        events: Parser::new_from_str(text),
        problems,
        anchors: BTreeMap::new(),
        copies_left: LARGEST_COPIES,
    };
    match reader.document(&spot) {
        Ok(Some(node)) if !node.is_nothing() => Some(node),
        Ok(_) => Some(Node { place: Place::START, content: Content::Mapping(Vec::new()) }),
        Err(Stop { spot, wrong }) => {
            problems.add(&spot, wrong);
            None
        }
    }
}

/// A problem after which nothing more can be read.
struct Stop {
    spot: Spot,
    wrong: Wrong,
}

struct Reader<'t, 'p, 'f> {
    events: Parser<'t, StrInput<'t>>,
    problems: &'p mut Problems<'f>,
    /// The anchored nodes that are complete, by the parser's number for them.
    anchors: BTreeMap<usize, Node>,
    copies_left: usize,
}

impl<'t> Reader<'t, '_, '_> {
    fn document(&mut self, top: &Spot) -> Result<Option<Node>, Stop> {
        let mut document = None;
        loop {
            let (event, span) = self.next(top)?;
            match event {
                Event::StreamEnd => return Ok(document),
                Event::DocumentStart(_) if document.is_some() => {
                    let spot = Spot { place: place(span.start), path: String::new() };
                    let wrong = Wrong::new("a second document starts here");
                    self.problems.add(&spot, wrong.hint("one file holds one configuration"));
                    return Ok(document);
                }
                Event::StreamStart
                | Event::DocumentStart(_)
                | Event::DocumentEnd
                | Event::Nothing => {}
                event => document = Some(self.node(event, span, top, 0)?),
            }
        }
    }

    fn next(&mut self, spot: &Spot) -> Result<(Event<'t>, Span), Stop> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(syntax_error(&error)),
            None => Err(Stop { spot: spot.clone(), wrong: Wrong::new("the file ends too early") }),
        }
    }

    /// The node that starts with `event`; `within` is its path and its key's place.
    fn node(
        &mut self,
        event: Event<'t>,
        span: Span,
        within: &Spot,
        depth: usize,
    ) -> Result<Node, Stop> {
        let spot = Spot { place: place(span.start), path: within.path.clone() };
        if depth > DEEPEST {
            let wrong = Wrong::new("nested too deeply").hint("the configuration has five levels");
            return Err(Stop { spot, wrong });
        }
        let (anchor, tag, content) = match event {
            Event::Alias(anchor) => return self.alias(anchor, spot),
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, tag, Content::Scalar(Scalar::new(text, style)))
            }
            Event::SequenceStart(anchor, tag) => (anchor, tag, self.list(&spot, depth)?),
            Event::MappingStart(anchor, tag) => (anchor, tag, self.mapping(&spot, depth)?),
            _ => return Err(Stop { spot, wrong: Wrong::new("a value is missing here") }),
        };
        if let Some(tag) = tag {
            self.refuse_tag(&tag, &spot);
        }
        let node = Node { place: spot.place, content };
        if anchor != 0 {
            self.pay_for_copy(&node, spot)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn refuse_tag(&mut self, tag: &Tag, spot: &Spot) {
        let handle = if tag.is_yaml_core_schema() { "!!" } else { &tag.handle };
        let tag = quoted(&format!("{handle}{}", tag.suffix));
        let wrong = Wrong::new(format!("has the YAML tag {tag}"));
        self.problems.add(spot, wrong.hint("leave the tag out: vipd knows what each value is"));
    }

    /// A copy of the anchored node. What is in it keeps its place: a mistake is mended there.
    fn alias(&mut self, anchor: usize, spot: Spot) -> Result<Node, Stop> {
        let Some(node) = self.anchors.get(&anchor) else {
            let wrong = Wrong::new("this alias stands inside of what it stands for");
            return Err(Stop { spot, wrong });
        };
        let node = node.clone();
        self.pay_for_copy(&node, spot)?;
        Ok(node)
    }

    fn pay_for_copy(&mut self, node: &Node, spot: Spot) -> Result<(), Stop> {
        let Some(left) = self.copies_left.checked_sub(node.weight()) else {
            let wrong = Wrong::new("the anchors and aliases up to here stand for too much");
            return Err(Stop { spot, wrong });
        };
        self.copies_left = left;
        Ok(())
    }

    fn list(&mut self, spot: &Spot, depth: usize) -> Result<Content, Stop> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next(spot)?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(Content::List(items));
            }
            let within = spot.item(items.len(), spot.place);
            items.push(self.node(event, span, &within, depth + 1)?);
        }
    }

    fn mapping(&mut self, spot: &Spot, depth: usize) -> Result<Content, Stop> {
        let mut entries = Vec::new();
        let mut seen = BTreeMap::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.next(spot)?;
            let place = place(span.start);
            let (key, plain) = match event {
                Event::MappingEnd => break,
                Event::Scalar(text, style, ..) => (text, style == ScalarStyle::Plain),
                event => {
                    self.refuse_key(event, span, spot, depth)?;
                    continue;
                }
            };
            let key_spot = spot.key(&key, place);
            let (event, span) = self.next(&key_spot)?;
            let mut node = self.node(event, span, &key_spot, depth + 1)?;
            if node.is_nothing() || !matches!(node.content, Content::Scalar(_)) {
                node.place = place;
            }
            if plain && key == "<<" {
                merged.push((node, key_spot));
            } else if let Some(first) = seen.get(&*key) {
                self.refuse_duplicate(*first, &key_spot);
            } else {
                seen.insert(key.clone().into_owned(), place);
                entries.push(Entry { key: key.into_owned(), place, node });
            }
        }
        for (node, key_spot) in merged {
            self.merge(node, &key_spot, &mut seen, &mut entries);
        }
        Ok(Content::Mapping(entries))
    }

    /// Says that a list or mapping stands as a key, and reads past it and its value.
    fn refuse_key(
        &mut self,
        event: Event<'t>,
        span: Span,
        spot: &Spot,
        depth: usize,
    ) -> Result<(), Stop> {
        let key_spot = Spot { place: place(span.start), path: spot.path.clone() };
        self.problems.add(&key_spot, Wrong::new("a key must be a plain word"));
        self.node(event, span, &key_spot, depth + 1)?;
        let (event, span) = self.next(&key_spot)?;
        self.node(event, span, &key_spot, depth + 1).map(|_| ())
    }

    fn refuse_duplicate(&mut self, first: Place, spot: &Spot) {
        let wrong = Wrong::new(format!("stands here twice; it is already in line {}", first.line));
        self.problems.add(spot, wrong.hint("keep one of them"));
    }

    /// Adds what a merge key (`<<: *common`) brings, except for keys that are there already.
    fn merge(
        &mut self,
        node: Node,
        spot: &Spot,
        seen: &mut BTreeMap<String, Place>,
        entries: &mut Vec<Entry>,
    ) {
        match node.content {
            Content::Mapping(brought) => {
                for entry in brought {
                    if !seen.contains_key(&entry.key) {
                        seen.insert(entry.key.clone(), entry.place);
                        entries.push(entry);
                    }
                }
            }
            Content::List(items)
                if items.iter().all(|item| matches!(item.content, Content::Mapping(_))) =>
            {
                for item in items {
                    self.merge(item, spot, seen, entries);
                }
            }
            _ => {
                let wrong = Wrong::expected("a mapping to merge, like '*name'", &node.shown());
                self.problems.add(spot, wrong);
            }
        }
    }
}

fn place(marker: Marker) -> Place {
    Place { line: marker.line(), column: marker.col() + 1 }
}

fn syntax_error(error: &ScanError) -> Stop {
    let spot = Spot { place: place(*error.marker()), path: String::new() };
    let wrong = Wrong::new(format!("this is not YAML: {}", error.info()));
    let hint = SYNTAX_HINTS.iter().find(|(part, _)| error.info().contains(part));
    Stop { spot, wrong: Wrong { hint: hint.map(|(_, hint)| (*hint).to_owned()), ..wrong } }
}
